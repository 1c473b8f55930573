"""The picture that a link to the board shows elsewhere: its answer and its bars as a PNG of 1200 by 630 pixels, drawn when it is built."""

from __future__ import annotations

import io
import re
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from xlift.leaderboard.analysis.rows import LeaderboardRow
from xlift.leaderboard.site.boards import UNITS, Page
from xlift.leaderboard.site.drawings import find_reach, name_sign
from xlift.leaderboard.site.filters import points

SIZE = (1200, 630)
SHARP = 2
"""It is drawn so many times as large, and made smaller at the end, as what draws it has no smooth edges."""
EDGE, TOP = 64, 52
MOST_ROWS, MOST_LINES = 5, 4
COLOURS = 128
INK, MUTED, LINE, PAGE, ACCENT = "#1b1f24", "#57606a", "#d5dbe1", "#ffffff", "#0b57d0"
SHADES = {"up": "#0b57d0", "down": "#b34700", "unsure": "#57606a"}
"""As in assets/colours.css, which a picture cannot read."""
_UNKNOWN = re.compile("[^ -~\u2026]")
"""Letters that the font of a picture lacks."""


class _Canvas:
    """A picture, in pixels of its final size."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (SIZE[0] * SHARP, SIZE[1] * SHARP), PAGE)
        self.draw = ImageDraw.Draw(self.image)

    def font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(size * SHARP)

    def write(self, x: float, y: float, text: str, size: int, colour: str = INK, anchor: str = "la") -> None:
        self.draw.text((x * SHARP, y * SHARP), _plain(text), fill=colour, font=self.font(size), anchor=anchor)

    def measure(self, text: str, size: int) -> float:
        return self.font(size).getlength(_plain(text)) / SHARP

    def box(self, left: float, top: float, right: float, bottom: float, colour: str, round_: float = 0) -> None:
        self.draw.rounded_rectangle([side * SHARP for side in (left, top, right, bottom)], round_ * SHARP, fill=colour)


def draw_picture(page: Page) -> bytes:
    """The picture of a ranking."""
    canvas = _Canvas()
    canvas.box(EDGE, TOP, EDGE + 44, TOP + 44, ACCENT, 10)
    steps = [(10, 32), (17, 32), (17, 24), (24, 24), (24, 16), (28, 16), (28, 12), (32, 12)]
    canvas.draw.line([((EDGE + x) * SHARP, (TOP + y) * SHARP) for x, y in steps], fill=PAGE, width=4 * SHARP, joint="curve")
    canvas.write(EDGE + 58, TOP + 22, "xlift leaderboard", 26, MUTED, "lm")
    y = TOP + 74.0
    for line in _wrap(canvas, page.answer, 34, SIZE[0] - 2 * EDGE):
        canvas.write(EDGE, y, line, 34)
        y += 45
    rows = [row for row in page.group.rows if "lift" in row.averages and row.averages["lift"].value is not None]
    rows.sort(key=lambda row: -(row.averages["lift"].value or 0))
    if rows:
        _draw_bars(canvas, rows[:MOST_ROWS], y + 26)
        unit = UNITS[page.group.view.scope.measure]
        canvas.write(EDGE, SIZE[1] - 44, f"lift over the base, {unit}, with 95 % intervals", 20, MUTED)
    out = io.BytesIO()
    canvas.image.resize(SIZE, Image.Resampling.LANCZOS).quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _draw_bars(canvas: _Canvas, rows: list[LeaderboardRow], top: float) -> None:
    """Each row's name, its interval about 0, and its lift."""
    reach = find_reach([row.averages["lift"] for row in rows])
    middle, half = 720.0, 280.0
    step = min(46.0, (SIZE[1] - 62 - top) / len(rows))
    canvas.box(middle - 1, top - 4, middle + 1, top + step * len(rows) - 6, LINE)
    for number, row in enumerate(rows):
        lift, y = row.averages["lift"], top + step * number + step / 2 - 4
        shade, value = SHADES[name_sign(lift)], lift.value or 0.0
        low, high = (value, value) if lift.low is None or lift.high is None else (lift.low, lift.high)
        canvas.write(EDGE, y, _cut(canvas, row.marked, 24, middle - half - EDGE - 20), 24, INK, "lm")
        left, at, right = (middle + half * min(max(end / reach, -1.0), 1.0) for end in (low, value, high))
        canvas.box(left, y - 5, right + 1, y + 5, _pale(shade), 5)
        canvas.box(at - 9, y - 9, at + 9, y + 9, shade, 9)
        canvas.write(SIZE[0] - EDGE, y, points(value, True, lift.digits) or "0", 24, shade, "rm")


def _pale(colour: str) -> str:
    """A colour at two fifths of its strength on white."""
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 - 0.4 * (255 - part)):02x}" for part in parts)


def _wrap(canvas: _Canvas, text: str, size: int, width: float) -> list[str]:
    """A text in lines of a width; of too many the last one ends with an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if canvas.measure(longer, size) <= width:
            lines[-1] = longer
        elif len(lines) == MOST_LINES:
            lines[-1] = _cut(canvas, longer, size, width)
            break
        else:
            lines.append(word)
    return lines


def _cut(canvas: _Canvas, text: str, size: int, width: float) -> str:
    """A text as it fits a width, with an ellipsis for what does not."""
    if canvas.measure(text, size) <= width:
        return text
    while text and canvas.measure(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _plain(text: str) -> str:
    """A text in the letters of the font: without accents, and with a question mark for what has no such letter."""
    dashed = text.replace("\u2212", "-").replace("\u2013", "-")
    bare = "".join(letter for letter in unicodedata.normalize("NFD", dashed) if not unicodedata.combining(letter))
    return _UNKNOWN.sub("?", bare)
