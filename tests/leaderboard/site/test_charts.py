"""Charts of lines: where the points lie, and what is said to those who do not see them."""

import re

from result_folders import Page

from xlift.leaderboard.site.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Line, Panel, Point, draw_inside, write_file


def make(last: float, count: int = 2) -> Chart:
    line = Line("seed 0", tuple(Point(10.0 * number, last * number, 0.0, last * number) for number in range(count)))
    return Chart((Panel("Loss", (line,), "bits"),), "tokens", "Loss & tokens")


def test_a_line_reaches_from_the_least_to_the_largest() -> None:
    rising, falling = draw_inside(make(2.0)), draw_inside(make(-2.0))
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    assert f'd="M{left:.1f} {bottom:.1f}L{right:.1f} {top:.1f}"' in rising
    assert f'd="M{left:.1f} {top:.1f}L{right:.1f} {bottom:.1f}"' in falling
    assert 'aria-label="Loss &amp; tokens"' in rising


def test_many_points_are_a_line_alone_and_few_have_intervals() -> None:
    assert draw_inside(make(1.0, 5)).count("<circle") == 5 and draw_inside(make(1.0, 5)).count('class="span') == 5
    assert draw_inside(make(1.0, 40)).count("<circle") == 0


def test_a_flat_line_has_axes_too() -> None:
    assert "nan" not in draw_inside(make(0.0)) and draw_inside(make(0.0)).count("<circle") == 2


def test_several_lines_have_a_legend_in_a_page_and_in_a_file() -> None:
    lines = (Line("one", (Point(0, 0), Point(1, 1))), Line("<two>", (Point(0, 1), Point(1, 0))))
    chart = Chart((Panel("a", lines, "lift"), Panel("b", lines[:1], "lift")), "tokens", "Two lines")
    inside, alone = draw_inside(chart), write_file(chart)
    assert [Page(text).text.count("<two>") for text in (inside, alone)] == [1, 1]
    assert re.findall('class="line (l[0-9])"', inside) == ["l0", "l1", "l0", "l0", "l1"], "two panels and the legend"
    assert "<desc>Two lines</desc>" in alone and "light-dark(" in alone and alone.startswith("<svg xmlns=")
