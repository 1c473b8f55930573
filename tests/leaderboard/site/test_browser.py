"""The site in chromium, opened from disk: sorting, re-scoring, search, the address, no script, phone, dark, keyboard, hostile answers."""

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
HOSTILE = ["<script>document.title = 'owned'</script>", "<img src=x onerror=\"document.title='owned'\">", "\u202egnp.exe", "x" * 100_000]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "s"
    tasks = ("xlift_mgsm_direct_en", "xlift_mgsm_direct_es")
    write_run(root, "base", dict.fromkeys(tasks, BAD))
    write_run(root, "better", dict.fromkeys(tasks, GOOD), seed=0, answers=HOSTILE * 5)
    write_run(root, "half", dict.fromkeys(tasks, [1.0] * 10 + [0.0] * 10), seed=0, adapter="c", items_of=40)
    write_training(root, "better")
    for share in (0.25, 0.5):
        bits = {"xlift_flores_bpb_eng_Latn_spa_Latn": [1.0 + share] * 20}
        write_run(root, "better", bits, seed=0, share=share, metric="bits_per_byte", adapter="p")
    other = tmp_path_factory.mktemp("results") / "t"
    arabic: dict[str, Any] = {"suite": "t", "base": "other-7b", "metric": "f1", "lang": "ar", "answers": ["مرحبا 8 (ok)"] * 60}
    for label, seed, score in (("base", None, 0.0), ("long", 0, 1.0)):
        write_run(other, label, {f"xlift_xquad_{code}": [score] * 60 for code in ("ar", "es")}, seed=seed, **arabic)
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


def choose(page: Page, *languages: str) -> None:
    """Open the list of languages, and tick some."""
    page.locator(".pick summary").click()
    for language in languages:
        page.locator(".pick").get_by_label(language).check()
    page.keyboard.press("Escape")
    assert not page.locator(".pick fieldset").is_visible()


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
    assert rows(page) == ranked
    lift = page.get_by_role("button", name="Lift", exact=True)
    lift.click()
    assert rows(page) == ranked and page.locator("th[aria-sort=descending]").inner_text().startswith("Lift")
    lift.click()
    assert rows(page) == ["s--half", "s--better", "s--base"], "a row without a number stays last"
    page.get_by_label("Hide smoke tests").check()
    assert rows(page) == ["s--better", "s--base"] and page.locator("output").inner_text() == "2 of 3 rows"
    other = show("index.html" + page.url.partition("index.html")[2])
    assert rows(other) == ["s--better", "s--base"] and other.get_by_label("Hide smoke tests").is_checked()
    page.get_by_role("button", name="Reset").click()
    wait_until(page, "!location.hash")
    assert rows(page) == ranked


def test_a_language_scores_the_table_anew(show: Any) -> None:
    """18 of 20 against 2 in both languages for the one, 10 against 2 for the other, whose page is that of the whole."""
    page = show("index.html")
    before = page.locator("tr[data-id=s--better] td.lift").inner_text()
    choose(page, "English")
    assert page.locator("tr[data-id=s--better] td.lift b").inner_text() == "+80.0"
    assert page.locator("tr[data-id=s--half] td.lift b").inner_text() == "+40.0"
    assert "in English" in page.locator("#answer").inner_text() and page.url.endswith("#language=en")
    assert not page.locator(".of-all").first.is_visible(), "what was said of all languages is not of this one"
    assert not page.locator("td.kind").first.is_visible(), "there is nothing but English left that could be lifted"
    assert page.locator("table.heat td.chosen").count() == 2
    other = show("index.html#language=en")
    assert other.locator("#answer").inner_text() == page.locator("#answer").inner_text()
    page.get_by_role("button", name="Reset").click()
    wait_until(page, "!location.hash")
    assert page.locator("tr[data-id=s--better] td.lift").inner_text() == before and page.locator(".of-all").first.is_visible()


def test_several_languages_are_the_mean_of_their_lifts(show: Any) -> None:
    """Better lifts English and Spanish by 80 points each, half by 40: so are the means. Nothing is ranked then."""
    page = show("index.html")
    alone = page.locator("tr[data-id=s--better] td.lift small").inner_text()
    choose(page, "English", "Spanish")
    assert page.url.endswith("#language=es&language=en") or page.url.endswith("#language=en&language=es")
    assert page.locator("tr[data-id=s--better] td.lift b").inner_text() == "+80.0"
    assert page.locator("tr[data-id=s--half] td.lift b").inner_text() == "+40.0"
    assert page.locator("tr[data-id=s--better] td.lift small").inner_text() == alone, "the widest interval of two that err alike is theirs"
    assert page.locator("tr[data-id=s--better] td.rank").inner_text() == "–" and rows(page)[:2] == ["s--better", "s--half"]
    assert "the largest mean lift is +80.0" in page.locator("#answer").inner_text()
    assert page.locator("table.heat td.chosen").count() == 4 and page.locator(".pick b").inner_text() in (
        "Spanish, English",
        "English, Spanish",
    )
    other = show("index.html" + page.url.partition("index.html")[2])
    assert other.locator("#answer").inner_text() == page.locator("#answer").inner_text()


def test_bases_are_chosen_by_size(show: Any) -> None:
    page = show("bases.html")
    assert page.locator("tr[data-size]:visible").count() == 3
    page.get_by_label("4B to 10B").check()
    assert page.locator("tr[data-size]:visible").all_inner_texts()[0].startswith("other-7b") and page.url.endswith(
        "#size=4b-to-10b-" + page.url[-6:]
    )
    other = show("bases.html" + page.url.partition("bases.html")[2])
    assert other.locator("tr[data-size]:visible").count() == 1 and other.get_by_label("4B to 10B").is_checked()
    other.get_by_role("searchbox").fill("half")
    assert other.get_by_text("No lift is left with this choice.").is_visible()
    other.get_by_role("button", name="Reset").click()
    wait_until(other, "!location.hash")
    assert other.locator("tr[data-size]:visible").count() == 3


def test_a_language_that_nobody_measured_is_three_clicks_away(show: Any) -> None:
    page = show("index.html")
    page.get_by_role("navigation", name="Site").get_by_role("link", name="Languages").click()
    page.get_by_role("searchbox", name="Language").fill("swah")
    assert page.get_by_text("Nothing was measured in Swahili here.").is_visible() and page.get_by_text("xlift run sw.yaml").is_visible()
    assert page.locator("output").inner_text() == "1 language"
    page.get_by_role("searchbox", name="Language").fill("klingon")
    assert "No language of this name" in page.locator("output").inner_text()
    linked = show("languages.html#sw")
    assert linked.get_by_text("Nothing was measured in Swahili here.").is_visible()


def test_the_script_writes_a_view_as_the_page_has_it(show: Any) -> None:
    """Scored anew without a choice, the table and the map are those that were built."""
    page = show("index.html")
    texts = "[...document.querySelectorAll('table.board td:not(.open), table.heat td')].map(one => one.innerText)"
    names = "[...document.querySelectorAll('table.heat td a')].map(one => one.ariaLabel)"
    bars = "[...document.querySelectorAll('table.board svg rect')].map(one => Number(one.getAttribute('width')))"
    built = [page.evaluate(one) for one in (texts, names, bars)]
    page.evaluate("location.hash = 'q=+'")
    wait_until(page, "document.querySelector('#filters').elements.q.value === ' '")
    assert [page.evaluate(one) for one in (texts, names)] == built[:2]
    assert page.evaluate(bars) == pytest.approx(built[2], abs=0.5), "the script has the numbers as they are shown, rounded"


def test_search_leaves_the_rows_of_a_name_and_an_empty_result_says_so(show: Any) -> None:
    page = show("index.html")
    page.get_by_role("searchbox", name="Method").fill("HAL")
    assert rows(page) == ["s--half"] and page.locator("table.heat tr[data-row]:visible").count() == 1
    page.get_by_role("searchbox", name="Method").fill("nothing of this name")
    assert rows(page) == [] and page.get_by_text("No row is left.").is_visible()
    page.get_by_role("button", name="Show all rows again").click()
    wait_until(page, "!location.hash")
    assert len(rows(page)) == 3 and not page.get_by_text("No row is left.").is_visible()


def test_another_base_is_a_page_of_its_own(show: Any) -> None:
    page = show("index.html")
    assert rows(page) == ["s--better", "s--half", "s--base"]
    page.get_by_label("Base model").select_option(label="other-7b")
    page.wait_for_url("**/bases/other-7b.html*")
    assert rows(page) == ["t--long", "t--base"]
    page.goto(page.url.rpartition("/bases/")[0] + "/bases.html")
    assert [one.split()[0] for one in page.locator("section table tbody tr").all_inner_texts()] == ["other-7b", "tiny", "tiny"]


def test_a_row_opens_without_script_too(show: Any) -> None:
    for script in (True, False):
        page = show("index.html", java_script_enabled=script)
        assert page.locator("tr.more:visible").count() == 0
        page.locator("tr[data-id=s--better] details summary").click()
        assert page.locator("tr.more:visible").count() == 1 and "Tokens trained" in page.locator("tr.more:visible").inner_text()


def test_compare_shows_the_rows_that_were_chosen(show: Any) -> None:
    page = show("index.html")
    page.get_by_label("Compare better").check()
    page.get_by_label("Compare base").first.check()
    page.get_by_role("link", name="Compare the chosen rows").click()
    page.wait_for_url("**/compare.html#rows=*")
    assert page.locator("thead th[data-id]:visible").count() == 2 and page.locator("tr[data-pair]:visible").count() == 1


def test_two_rows_can_be_picked_for_a_comparison(show: Any) -> None:
    page = show("compare.html")
    page.get_by_label("First row").select_option("s--better")
    page.get_by_label("Second row").select_option("s--half")
    page.wait_for_url("**/compare.html#rows=s--better,s--half")
    wait_until(page, "document.querySelectorAll('thead th[data-id]:not([hidden])').length === 2")
    assert page.locator("tr[data-pair]:visible").count() == 1
    page.get_by_label("Second row").select_option("t--long")
    wait_until(page, "!document.getElementById('apart').hidden")
    assert page.get_by_text("they may not be compared").is_visible() and page.locator("tr[data-pair]:visible").count() == 0


def test_two_rows_are_compared_item_by_item(show: Any) -> None:
    """18 of 20 right against 10 of 20, the first ten the same: eight items differ, all for the first."""
    page = show("compare.html#rows=s--better,s--half")
    wait_until(page, "document.querySelectorAll('.strip').length > 0")
    strip = page.locator(".strip").filter(has_text="Spanish")
    assert "better is ahead on 8 of 20 items and behind on 0; the mean difference is +40.0 points" in strip.inner_text()
    assert strip.locator("circle").count() == 20 and strip.locator("circle.up").count() == 8
    strip.locator("summary").click()
    assert strip.locator("li").first.inner_text().startswith("item 10: 100.0 against 0.0 (+100.0)") and strip.locator("li").count() == 5
    strip.get_by_role("link", name="answer of half").first.click()
    page.wait_for_url("**/samples/s--half--seed0/xlift_mgsm_direct_es-1.html#doc-10")
    assert page.locator("#doc-10").count() == 1
    page.goto(page.url.rpartition("/samples/")[0] + "/compare.html#rows=s--better,t--long")
    wait_until(page, "document.querySelector('#items p').textContent.includes('no task')")
    assert page.locator(".strip").count() == 0


def test_prompts_come_from_the_file_that_all_models_share(show: Any) -> None:
    name = "samples/s--better--seed0/xlift_mgsm_direct_es-1.html"
    page = show(name)
    first = page.locator("article").first
    assert first.locator("dt").all_inner_texts()[:4] == ["Prompt", "Reference", "Base", "Answer"] and "¿0?" in first.inner_text()
    page.get_by_role("searchbox", name="Search").fill("¿13?")
    assert page.locator("article:visible").count() == 1
    plain = show(name, java_script_enabled=False)
    assert plain.locator("article").first.locator("dt").all_inner_texts()[0] == "Answer"
    plain.get_by_role("link", name="Prompt, reference and the base’s answer").first.click()
    assert "¿0?" in plain.locator("#doc-0").inner_text()


def test_samples_are_searched(show: Any) -> None:
    page = show("samples/s--better--seed0/xlift_mgsm_direct_es-1.html")
    page.get_by_role("searchbox", name="Search").fill("onerror")
    assert page.locator("article:visible").count() == 5, "one of the four answers that come round five times"


def test_without_script_every_table_is_there(show: Any) -> None:
    page = show("index.html", java_script_enabled=False)
    assert page.locator("tr[data-id]:visible").count() == 3 and not page.locator("form").is_visible()
    assert "+80.0" in page.locator("main").inner_text() and page.locator("table.heat td a:visible").count() == 4


def test_arrows_walk_through_the_map_and_say_what_a_cell_holds(show: Any) -> None:
    page = show("index.html")
    cells = page.locator("table.heat td a")
    assert page.locator("table.heat td a[tabindex='0']").count() == 1, "one stop for the whole map"
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.closest('td').dataset.language") == "en"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').dataset.row") == "s--half"
    assert page.locator(".told").first.inner_text().startswith("half, English: +40.0")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement === document.querySelector('table.heat td a')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/languages/es.html")


def test_a_phone_has_cards_and_nothing_sideways_but_the_map(show: Any) -> None:
    page = show("index.html", viewport={"width": 360, "height": 640})
    box = page.locator("tr[data-id=s--better] td.lift").bounding_box()
    assert box["x"] + box["width"] <= 360 and page.locator("tr[data-id=s--better] svg.bar").bounding_box()["width"] > 200
    wide = "[...document.querySelectorAll('main .scroll, main figure')].filter(one => one.scrollWidth > one.clientWidth + 1)"
    assert page.evaluate(f"{wide}.every(one => one.querySelector('table.heat'))")
    for width in (1024, 1440):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") == width and page.evaluate(f"{wide}.length") == 0


PAGES = (
    "index.html", "bases/other-7b.html", "bases.html", "methods.html", "languages.html", "benchmarks.html", "data.html", "about.html",
    "compare.html", "signal.html", "benchmarks/xlift_mgsm_direct.html", "languages/es.html", "methods/cross_lingual.html",
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
    every = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
    found = Axe().run(page, options=every).response["violations"]
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
    page.get_by_role("button", name="Lift", exact=True).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert rows(page)[0] == "s--half"


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
    assert len(seen) == len(list(site.rglob("*.html"))), "no page stands alone"


def test_print_has_the_tables_and_no_controls(show: Any) -> None:
    page = show("index.html")
    page.emulate_media(media="print")
    assert not page.locator("form").is_visible() and page.locator("tr[data-id]:visible").count() == 3


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
