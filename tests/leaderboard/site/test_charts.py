"""Charts of lines: where the points lie, and what is said to those who do not see them."""

import re

import pytest
from result_folders import Page

from xlift.leaderboard.analysis.rows import Figure
from xlift.leaderboard.site.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Line, Panel, Point, draw_inside, write_file
from xlift.leaderboard.site.drawings import draw_interval, find_reach


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


def test_one_interval_far_beyond_the_others_is_an_arrow_and_does_not_set_the_scale() -> None:
    figures = [Figure(value, value - 0.1, value + 0.1) for value in (0.1, 0.2, 0.3, -3.0)]
    reach = find_reach(figures)
    assert reach == pytest.approx(0.4)
    far, near = draw_interval(figures[3], reach), draw_interval(figures[1], reach)
    assert 'class="beyond" d="M-60.5 0L-51.5-5V5Z"' in far and "<circle" not in far
    assert '<circle cx="28.0" r="4.5"/>' in near and '<rect x="14.0" y="-3" width="28.0"' in near


def test_the_scale_of_intervals_is_the_farthest_end() -> None:
    assert find_reach([Figure(0.1, -0.5, 0.7), Figure(0.2)]) == pytest.approx(0.7)
    assert find_reach([Figure(0.0)] * 9 + [Figure(5.0)]) == 5, "most lifts are nothing at all"
    assert find_reach([]) == 1 and find_reach([Figure(), Figure(0.0)]) == 1
