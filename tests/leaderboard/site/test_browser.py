"""The site in chromium, opened from disk: sorting, filters, the address, no script, narrow and dark, keyboard, axe, hostile answers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from result_folders import write_run, write_training

from xlift.leaderboard.site.builder import build

pytestmark = pytest.mark.browser

GOOD, BAD = [1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2
OTHERS = ["t--long", "t--base"]
HOSTILE = ["<script>document.title = 'owned'</script>", "<img src=x onerror=\"document.title='owned'\">", "\u202egnp.exe", "x" * 100_000]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "s"
    tasks = ("xlift_mgsm_direct_en", "xlift_mgsm_direct_es")
    write_run(root, "base", dict.fromkeys(tasks, BAD))
    write_run(root, "better", dict.fromkeys(tasks, GOOD), seed=0, answers=HOSTILE * 5)
    write_run(root, "half", dict.fromkeys(tasks, [1.0] * 10 + [0.0] * 10), seed=0, adapter="c", items_of=40)
    write_training(root, "better")
    other = tmp_path_factory.mktemp("results") / "t"
    arabic: dict[str, Any] = {"suite": "t", "base": "other", "metric": "f1", "lang": "ar", "answers": ["مرحبا 8 (ok)"] * 60}
    write_run(other, "base", {"xlift_xquad_ar": [0.0] * 60}, **arabic)
    write_run(other, "long", {"xlift_xquad_ar": [1.0] * 60}, seed=0, **arabic)
    out = tmp_path_factory.mktemp("site") / "site"
    build([root, other], out)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        opened = started.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def show(browser: Browser, site: Path) -> Iterator[Any]:
    """Opens a page of the site; whatever it complains of, or asks of another place, fails the test."""
    faults: list[str] = []
    contexts = []

    def open_page(name: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(site.as_uri()) else faults.append(request.url))
        page.goto(f"{site.as_uri()}/{name}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def rows(page: Page) -> list[str | None]:
    return [row.get_attribute("data-id") for row in page.locator("tr[data-id]:visible").all()]


def wait_until(page: Page, expression: str) -> None:
    """Wait for an expression to hold. `wait_for_function` evaluates text inside the page, which the page's policy forbids."""
    for _ in range(500):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"{expression} did not become true in 10 seconds")


def test_sorting_and_filters_live_in_the_address(show: Any) -> None:
    page = show("index.html")
    ranked = ["s--better", "s--half", "s--base"]
    assert rows(page) == [*ranked, *OTHERS]
    mean = page.get_by_role("button", name="Mean score").first
    mean.click()
    assert rows(page) == [*ranked, *OTHERS] and page.locator("th[aria-sort=descending]").first.inner_text().startswith("Mean score")
    mean.click()
    assert rows(page) == [*ranked[::-1], *OTHERS[::-1]]
    page.get_by_label("Hide smoke tests").check()
    page.locator("select[name=method]").select_option("cross_lingual")
    page.locator("select[name=base]").select_option("tiny")
    assert rows(page) == ["s--better"] and page.locator("output").inner_text() == "1 of 5 rows"
    other = show("index.html" + page.url.partition("index.html")[2])
    assert rows(other) == ["s--better"] and other.get_by_label("Hide smoke tests").is_checked()
    page.get_by_role("button", name="Reset").click()
    wait_until(page, "!location.hash")
    assert rows(page) == [*ranked, *OTHERS]


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("base", "other", 2), ("method", "base", 2), ("trained", "es", 3), ("evaluated", "ar", 2), ("evaluated", "es", 3),
        ("benchmark", "xlift_xquad", 2),
    ],
)  # fmt: skip
def test_each_filter_leaves_the_rows_it_names(show: Any, name: str, value: str, left: int) -> None:
    page = show(f"index.html#{name}={value}")
    assert len(rows(page)) == left and page.locator(f"select[name={name}]").input_value() == value
    if name == "benchmark":
        assert page.locator("th[data-benchmark]:visible").count() == 1


def test_rows_without_a_number_stay_last(show: Any) -> None:
    page = show("index.html#sort=lift&order=desc")
    assert rows(page)[2] == "s--base"
    page.get_by_role("button", name="Lift", exact=True).first.click()
    assert rows(page)[2] == "s--base"


def test_compare_shows_the_rows_that_were_chosen(show: Any) -> None:
    page = show("index.html")
    page.get_by_label("Compare better").check()
    page.get_by_label("Compare base").first.check()
    page.get_by_role("link", name="Compare the chosen rows").click()
    page.wait_for_url("**/compare.html#rows=*")
    assert page.locator("thead th[data-id]:visible").count() == 2 and page.locator("tr[data-pair]:visible").count() == 1


def test_without_script_every_table_is_there(show: Any) -> None:
    page = show("index.html", java_script_enabled=False)
    assert page.locator("tr[data-id]:visible").count() == 5 and not page.locator("form").is_visible()
    assert "+80.0" in page.locator("main").inner_text()


PAGES = (
    "index.html", "compare.html", "benchmarks/xlift_mgsm_direct.html", "languages/es.html", "methods/cross_lingual.html",
    "runs/s--better--seed0.html", "samples/s--better--seed0/xlift_mgsm_direct_es-1.html", "samples/t--long--seed0/xlift_xquad_ar-1.html",
)  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_a_phone(show: Any, name: str) -> None:
    page = show(name, viewport={"width": 360, "height": 640})
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_in_light_and_no_faint_text_in_dark(browser: Browser, site: Path, name: str) -> None:
    context = browser.new_context(color_scheme="light", bypass_csp=True)
    page = context.new_page()
    page.goto(f"{site.as_uri()}/{name}")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    page.emulate_media(color_scheme="dark")
    contrast = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}
    found += Axe().run(page, options=contrast).response["violations"]
    context.close()
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_dark_pages_are_dark(show: Any) -> None:
    shades = [
        show("index.html", color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor") for scheme in ("light", "dark")
    ]
    assert shades == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]


def test_the_keyboard_reaches_the_content_and_sorts(show: Any) -> None:
    page = show("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.get_by_role("button", name="Mean score").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert rows(page)[0] == "s--base"
    page.get_by_role("region", name="Group 1: s").focus()
    page.set_viewport_size({"width": 360, "height": 640})
    page.keyboard.press("ArrowRight")
    wait_until(page, "document.activeElement.scrollLeft > 0")


def test_every_internal_link_opens(show: Any, site: Path) -> None:
    page = show("index.html")
    waiting, seen = [page.url], set()
    while waiting:
        url = waiting.pop()
        seen.add(url)
        page.goto(url)
        for link in page.eval_on_selector_all("a[href], link[href], img[src]", "all => all.map(one => one.href || one.src)"):
            place, _, anchor = link.partition("#")
            assert Path(place.removeprefix("file://")).is_relative_to(site) and Path(place.removeprefix("file://")).is_file(), link
            if anchor and place == url:
                assert page.locator(f"[id='{anchor}']").count() == 1, link
            if place.endswith(".html") and place not in seen and place not in waiting:
                waiting.append(place)
    assert len(seen) == len(list(site.rglob("*.html")))


def test_print_has_the_tables_and_no_controls(show: Any) -> None:
    page = show("index.html")
    page.emulate_media(media="print")
    assert not page.locator("form").is_visible() and page.locator("tr[data-id]:visible").count() == 5


def test_arabic_answers_run_from_the_right(show: Any) -> None:
    page = show("samples/t--long--seed0/xlift_xquad_ar-1.html")
    answer = page.locator("article dd", has_text="مرحبا").last
    assert (answer.get_attribute("lang"), answer.evaluate("one => getComputedStyle(one).direction")) == ("ar", "rtl")
    page.get_by_role("navigation", name="Pages, above").get_by_role("link", name="2").click()
    assert page.locator("article").count() == 10


def test_hostile_answers_are_only_text(show: Any) -> None:
    page = show("samples/s--better--seed0/xlift_mgsm_direct_es-1.html")
    assert "better" in page.title() and page.locator("article img").count() == 0 and page.locator("article script").count() == 0
    assert "<script>document.title" in page.locator("article").first.inner_text()
    assert page.get_by_text("U+202E").first.is_visible() and page.get_by_text("96,000 more characters").first.is_visible()
    page.get_by_label("flipped").check()
    assert page.locator("article:visible").count() == 20
    page.get_by_label("off-target").check()
    assert page.locator("article:visible").count() == 2
