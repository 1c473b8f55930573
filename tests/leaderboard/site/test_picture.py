"""The picture that a link to the board shows elsewhere."""

import io
from pathlib import Path

import pytest
from PIL import Image
from result_folders import Page, write_run

from xlift.harness.core.errors import UserError
from xlift.leaderboard.site.builder import build, owns

GOOD, BAD = [1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2
BLUE = (11, 87, 208)


def near(colour: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(abs(one - two) < 12 for one, two in zip(colour, other, strict=True))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "runs" / "s"
    write_run(root, "base", {"xlift_mgsm_direct_es": BAD})
    for seed in (0, 1):
        write_run(root, "bésser 日本", {"xlift_mgsm_direct_es": GOOD}, seed=seed, adapter=str(seed))
    return root


def test_it_shows_the_bars_and_is_the_same_each_time(results: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build([results], tmp_path / name)
    data = (tmp_path / "one/board.png").read_bytes()
    assert data == (tmp_path / "two/board.png").read_bytes() and len(data) < 60_000 and owns("board.png")
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == (1200, 630)
    row = [image.getpixel((x, y)) for y in range(200, 560) for x in range(721, 1001, 3)]
    assert any(near(colour, BLUE) for colour in row), "a significant lift stands to the right of no lift in blue"


def test_a_page_names_it_and_says_it_in_words(results: Path, tmp_path: Path) -> None:
    build([results], tmp_path / "site")
    metas = {one["property"]: one["content"] for one in Page((tmp_path / "site/index.html").read_text()).all("meta") if "property" in one}
    assert metas["og:image"] == "board.png" and metas["og:image:alt"] == metas["og:description"]
    build([results], tmp_path / "site", url="https://example.org/board/")
    assert 'content="https://example.org/board/board.png"' in (tmp_path / "site/index.html").read_text()
    with pytest.raises(UserError, match="is no address of a site"):
        build([results], tmp_path / "site", url='"><script>')
