"""The site as a folder: what is on its pages, that it is the same each time, and that bad input breaks nothing."""

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_folders import BAD, GOOD, TASKS, Page, read_record_of, write_run, write_training
from typer.testing import CliRunner

from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError
from xlift.leaderboard.analysis import board
from xlift.leaderboard.loading import foreign, runs
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.site import builder, filters
from xlift.leaderboard.site.builder import STATE, build
from xlift.leaderboard.site.text import clean, direction, show, write_prose

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "]]></article></main><!-- ",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u2066 \x00\x1b[31m",
    "lone \ud800 surrogate",
    "x" * 200_000,
    "a" + "\u0301" * 500,
    "javascript:alert(1)",
    "مرحبا بالعالم",
    "你好，世界",
]


def read_site(out: Path) -> dict[str, str]:
    """The files of a site by name; of a picture its hash."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            found[path.relative_to(out).as_posix()] = hashlib.sha256(data).hexdigest() if path.suffix == ".png" else data.decode()
    return found


def test_ranks_share_what_cannot_be_told_apart(results: Path) -> None:
    made = board.make(runs.collect([results], foreign.read))
    (group,) = made.groups
    assert [(row.label, row.rank, len(row.runs)) for row in group.rows] == [("better", 1, 2), ("same", 1, 1), ("base", 2, 1)]
    assert "one seed: ranked above or below none, as another seed might turn the order" in group.rows[1].notes
    better = group.rows[0]
    # 18 of 20 right against 2 of 20: 80 points, on the trained language and on the pivot alike.
    assert {kind: round(one.value or 0, 6) for kind, one in better.averages.items() if one.of} == {"lift": 80.0, "retention": 80.0}
    assert better.mean == pytest.approx(90) and group.rows[2].mean == pytest.approx(10)


def test_a_page_says_what_can_be_told_apart(results: Path, tmp_path: Path) -> None:
    """Means of 90 and 10 points: their spread is 80 / sqrt(2), 56.6 points. Two seeds of one method are equal."""
    for share, scores in ((0.25, BAD), (0.8, GOOD)):
        for label in ("better", "same"):
            bits = {"xlift_flores_bpb_eng_Latn_spa_Latn": scores if label == "better" else BAD}
            write_run(results, label, bits, seed=0, share=share, metric="bits_per_byte", adapter=label[0])
    build([results], tmp_path / "site")
    page = Page((tmp_path / "site/signal.html").read_text()).text
    assert "xlift_mgsm_direct_es" in page and "0.566" in page and "No agreement of likelihoods" in page
    rows = json.loads((tmp_path / "site/data/signal.json").read_text())
    assert {(row["task"], row["metric"], row["noise"]) for row in rows} >= {("xlift_mgsm_direct_es", "accuracy", 0.0)}
    assert "signal.html" in (tmp_path / "site/about.html").read_text() and builder.owns("signal.html")


def test_pages_say_what_was_measured(results: Path, tmp_path: Path) -> None:
    assert build([results], tmp_path / "site") == ()
    index = Page((tmp_path / "site/index.html").read_text())
    assert [one["data-id"] for one in index.all("tr") if "data-id" in one] == ["s--better", "s--same", "s--base"]
    assert "+80.0" in index.text and "1 of 3" in index.text and "2 seeds" in index.text
    run = Page((tmp_path / "site/runs/s--better--seed0.html").read_text()).text
    assert "xlift_mgsm_direct_es-k" in run and "d" * 16 in run and "+80.0" in run
    samples = Page((tmp_path / "site/samples/s--better--seed0/xlift_mgsm_direct_es-1.html").read_text())
    assert "flipped: 20" in samples.text and "wrong: 2" in samples.text
    assert {"lang": "es", "dir": "ltr", "class": "text"} in samples.all("dd")


def test_thinking_has_a_cost_and_is_folded_away(tmp_path: Path) -> None:
    root, spent = tmp_path / "runs" / "s", {"thinking_tokens": 80, "requests": 20}
    answers = ["<think>\nPerhaps <b>13</b>?\n</think>\n\nocho", "<think>\nPerhaps"]
    write_run(root, "base", {TASKS[0]: [1.0, 0.0]}, evaluation={**spent, "thinking_tokens": 0})
    write_run(root, "m", {TASKS[0]: [1.0, 0.0]}, seed=0, answers=answers, evaluation=spent)
    assert [row.cost.thinking for row in board.make(runs.collect([root], foreign.read)).rows] == [0, 4]
    build([root], tmp_path / "site")
    index = (tmp_path / "site/index.html").read_text()
    assert "Thinking tokens an answer" in index and 'data-value="4">4</td>' in index
    shown = (tmp_path / f"site/samples/s--m--seed0/{TASKS[0]}-1.html").read_text()
    folded = "<details><summary>18 characters</summary>Perhaps &lt;b&gt;13&lt;/b&gt;?</details>"
    assert f'<dt>Answer: thinking</dt><dd class="text" dir="auto">{folded}</dd>' in shown
    assert '<dt>Answer</dt><dd class="text" dir="ltr" lang="en">ocho</dd>' in shown
    assert "<dt>Answer: thinking, which never ended</dt>" in shown
    quiet = tmp_path / "quiet"
    write_run(quiet / "s", "base", {TASKS[0]: [1.0, 0.0]}, evaluation={**spent, "thinking_tokens": 0})
    build([quiet], tmp_path / "still")
    assert "Thinking tokens" not in (tmp_path / "still/index.html").read_text()


def test_prompts_are_written_once_for_all_models(results: Path, tmp_path: Path) -> None:
    write_run(results, "other", {TASKS[1]: GOOD}, seed=0, adapter="o", target="nueve")
    build([results], tmp_path / "site")
    pages = {name: text for name, text in read_site(tmp_path / "site").items() if f"/{TASKS[1]}-1" in name}
    shown = {name.split("/")[1]: "¿7?" in text for name, text in pages.items() if name.endswith(".html")}
    assert shown == {
        "s--base": True,
        "s--better--seed0": False,
        "s--better--seed1": False,
        "s--same--seed0": False,
        "s--other--seed0": True,
    }
    assert [name for name in pages if name.endswith(".js")] == [f"samples/s--base/{TASKS[1]}-1.js"]
    link = {"href": f"../s--base/{TASKS[1]}-1.html#doc-7"}
    assert link in Page(pages[f"samples/s--better--seed0/{TASKS[1]}-1.html"]).all("a"), "the way there without a script"
    assert "<dt>Base</dt>" in json.loads(pages[f"samples/s--base/{TASKS[1]}-1.js"].partition('"doc-7":')[2].splitlines()[0].rstrip(","))


def test_a_page_of_a_benchmark_shows_an_item_like_its_own(results: Path, tmp_path: Path) -> None:
    build([results], tmp_path / "site")
    page = Page((tmp_path / "site/benchmarks/xlift_mgsm_direct.html").read_text()).text
    assert "Mara hornea 4 bandejas" in page and "the share of answers that are right" in page and "5.0 to 100 points" in page


def test_every_link_leads_somewhere_and_nothing_leaves_the_folder(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build([results], out)
    for path in out.rglob("*.html"):
        page = Page(path.read_text())
        policies = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
        assert len(policies) == 1 and policies[0] and policies[0].startswith("default-src 'none';") and "unsafe" not in policies[0]
        assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
        assert all(one.get("alt") for one in page.all("img"))
        for _, attributes in page.elements:
            assert not {name for name in attributes if name.startswith("on") or name == "style"}
            for name in ("href", "src"):
                if link := attributes.get(name):
                    place, anchor = urldefrag(link)
                    target = path.parent / unquote(place) if place else path
                    assert target.is_file() and target.resolve().is_relative_to(out.resolve()), link
                    if anchor:
                        ids = [one.get("id") for _, one in Page(target.read_text()).elements]
                        assert ids.count(anchor) == 1, link
    assert Page((out / "index.html").read_text()).all("script") == [
        {"src": "data/views/tiny.js", "defer": None}, {"src": "assets/site.js", "defer": None},
    ]  # fmt: skip


def test_rebuilds_are_equal_and_a_change_stays_on_its_pages(results: Path, tmp_path: Path) -> None:
    build([results], tmp_path / "one")
    moved = tmp_path / "elsewhere" / "s"
    moved.parent.mkdir()
    results.rename(moved)
    build([moved], tmp_path / "two")
    first = read_site(tmp_path / "one")
    assert first == read_site(tmp_path / "two")

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").rglob("*") if path.is_file()}
    build([moved], tmp_path / "two")
    assert written == {path: path.stat().st_mtime_ns for path in written}

    (sheet,) = [path for path in moved.rglob("samples_xlift_mgsm_direct_es_*") if read_record_of(path)["label"] == "same"]
    sheet.write_text(sheet.read_text().replace("ocho", "nueve"))
    build([moved], tmp_path / "two")
    second = read_site(tmp_path / "two")
    assert {name for name in second if second[name] != first.get(name)} == {
        "samples/s--same--seed0/xlift_mgsm_direct_es-1.html", STATE
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("xlift.methods/cross_lingual.py", '"""Cross-lingual', '"""Across languages: cross-lingual'),
        ("xlift.tasks/benchmarks.py", 'headline="accuracy"', 'headline="extraction_failure"'),
        ("xlift.harness/core/languages.tsv", "Spanish", "Castilian"),
        ("xlift.leaderboard/site/templates/index.html", "{% endblock %}", "<p>New.</p>{% endblock %}"),
    ],
)
def test_a_site_is_built_again_when_what_makes_its_pages_changes(
    name: str, before: str, after: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a copy of xlift's files, of which the docstrings and defaults of methods go straight to a page."""
    for package in builder.PACKAGES:
        skipped = shutil.ignore_patterns("results", "__pycache__")
        shutil.copytree(str(files(package)), tmp_path / "code" / package, ignore=skipped)
    for module in (builder, filters):
        monkeypatch.setattr(module, "files", (tmp_path / "code").joinpath)
    site = tmp_path / "site"
    build([results], site)
    first, state = read_site(site), (site / STATE).stat().st_mtime_ns
    build([results], site)
    assert (site / STATE).stat().st_mtime_ns == state, "nothing changed"

    source = tmp_path / "code" / name
    assert before in source.read_text()
    source.write_text(source.read_text().replace(before, after, 1))
    build([results], site)
    assert (site / STATE).stat().st_mtime_ns > state
    changed = {page for page, text in read_site(site).items() if text != first[page]}
    assert changed == {STATE, *(("methods.html", "methods/cross_lingual.html") if "methods/" in name else ())}


def test_a_removed_run_takes_its_pages_along_and_no_other_file(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build([results], out)
    (out / "mine.txt").write_text("mine")
    for stage in [path.parent for path in results.glob("evaluate-*/manifest.json") if read_record_of(path)["label"] == "same"]:
        stage.rename(stage.with_name(stage.name + ".part"))
    build([results], out)
    assert not (out / "runs/s--same--seed0.html").exists() and (out / "runs/s--base.html").exists()
    assert (out / "mine.txt").read_text() == "mine"


def test_hostile_samples_and_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "s"
    write_run(root, "base", {TASKS[1]: [1.0] * len(HOSTILE)}, suite="../../etc")
    label = "</script><b>../x\u202e"
    manifest = write_run(root, "m", {TASKS[1]: [1.0] * len(HOSTILE)}, seed=0, suite="../../etc", answers=HOSTILE)
    for path in manifest.glob("evaluate-*/manifest.json"):
        path.write_text(path.read_text().replace('"label": "m"', f'"label": {json.dumps(label)}'))
    out = tmp_path / "site"
    build([root], out)
    plain = {name: text for name, text in read_site(out).items() if name.endswith(".html")}
    expected = {tag for tag, _ in Page(next(text for name, text in plain.items() if "base" in name and "samples" in name)).elements}
    for name, text in plain.items():
        page = Page(text)
        assert re.fullmatch(r"[a-z0-9_./-]+", name), name
        assert len(page.all("script")) <= 2 and not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", text)
        if name.startswith("samples"):
            assert {tag for tag, _ in page.elements} <= expected | {"span"}
    shown = Page(next(text for name, text in plain.items() if name.startswith("samples") and "base" not in name)).text
    for text in ("<script>alert(1)</script>", "{{ 7 * 7 }}", "U+202E", "U+D800", "U+0000", "196,000 more characters", "مرحبا", "你好"):
        assert text in shown
    for path in [*tmp_path.rglob("*")]:
        assert path.is_relative_to(root.parent) or path.is_relative_to(out), path


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(), max_size=60))
def test_no_text_escapes(text: str) -> None:
    html = str(show(text))
    page = Page(f"<p>{html}</p>")
    assert {tag for tag, _ in page.elements} <= {"p", "span"}
    html.encode("utf-8")
    clean(text).encode("utf-8")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\ud800-\udfff\x00-\x08]", html + clean(text))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(), max_size=80), min_size=1, max_size=3),
    st.lists(st.text(st.characters(), max_size=80), min_size=1, max_size=3),
)
def test_slugs_are_file_names_and_keep_names_apart(one: list[str], other: list[str]) -> None:
    assert re.fullmatch(r"[a-z0-9_-]+", slug(*one)) and len(slug(*one)) < 200
    assert (slug(*one) == slug(*other)) == (one == other)


def test_directions() -> None:
    assert [direction(code) for code in ("ar", "he", "ur", "es", "zh", "xx", None)] == ["rtl", "rtl", "rtl", "ltr", "ltr", "auto", "auto"]


def test_what_is_not_comparable_stands_in_a_group_of_its_own(results: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "runs" / "t", "base", dict.fromkeys(TASKS, BAD[:10]), suite="t", key="limited", items_of=20)
    made = board.make(runs.collect([results, other], foreign.read))
    assert [[row.suite for row in group.rows] for group in made.groups] == [["s", "s", "s"], ["t"]]
    assert "items of xlift_mgsm_direct: 10 (first group: 20)" in made.groups[1].differences
    assert [row.smoke for row in made.rows] == [False, False, False, True]


def test_a_limit_that_leaves_forty_items_makes_no_smoke_test(tmp_path: Path) -> None:
    """40 of 250 items, drawn by a hash, are a sample; 39 are too few for an interval."""
    for suite, scores in (("enough", GOOD * 2), ("few", (GOOD * 2)[1:])):
        write_run(tmp_path / "runs" / suite, "base", {TASKS[1]: scores}, suite=suite, key=suite, items_of=250)
    made = board.make(runs.collect([tmp_path / "runs"], foreign.read))
    assert {row.suite: row.smoke for row in made.rows} == {"enough": False, "few": True}
    build([tmp_path / "runs"], tmp_path / "site")
    badges = {suite: (tmp_path / f"site/runs/{suite}--base.html").read_text().count(">smoke<") for suite in ("enough", "few")}
    assert badges == {"enough": 0, "few": 2}, "beside the name and beside the task"


def test_an_incomplete_row_is_counted_and_not_ranked(results: Path) -> None:
    write_run(results, "half", {TASKS[0]: GOOD}, seed=0, adapter="e")
    made = board.make(runs.collect([results], foreign.read))
    half = next(row for row in made.rows if row.label == "half")
    assert half.rank is None and "1/2 tasks: not ranked" in half.notes
    assert (half.averages["lift"].have, half.averages["lift"].of, half.averages["lift"].value) == (0, 1, None)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda stage: (stage / "manifest.json").write_text("{"), "damaged"),
        (lambda stage: (stage / "manifest.json").write_text("[1]"), "damaged"),
        (lambda stage: edit(stage, schema_version=9), "does not follow schema version 1"),
        (lambda stage: edit(stage, tasks={"t": 3}), "does not follow schema version 1"),
        (lambda stage: edit(stage, label="\ud800"), "not valid Unicode"),
        (lambda stage: escape(stage), "must lie beside the manifest"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(results: Path, tmp_path: Path, damage: "object", said: str) -> None:
    (stage,) = [path.parent for path in results.glob("evaluate-*/manifest.json") if read_record_of(path)["label"] == "same"]
    damage(stage)  # type: ignore[operator]
    (line,) = build([results], tmp_path / "site")
    assert said in line and str(tmp_path) not in line
    assert said in (tmp_path / "site/index.html").read_text().replace("&#39;", "'")


def edit(stage: Path, **changes: object) -> None:
    manifest = json.loads((stage / "manifest.json").read_text())
    manifest["record"].update(changes)
    (stage / "manifest.json").write_text(json.dumps(manifest))


def escape(stage: Path) -> None:
    tasks = json.loads((stage / "manifest.json").read_text())["record"]["tasks"]
    tasks[TASKS[0]]["samples"] = "../../secret.jsonl"
    edit(stage, tasks=tasks)


def test_of_two_evaluations_the_newer_counts(results: Path, tmp_path: Path) -> None:
    write_run(results, "same", dict.fromkeys(TASKS, GOOD), seed=0, adapter="c", day="02")
    (line,) = build([results], tmp_path / "site")
    assert "same (seed 0) has a newer measurement, evaluate-stage-0-" in line
    rows = json.loads((tmp_path / "site/data/rows.json").read_text())
    assert {row["label"]: row["mean"] for row in rows}["same"] == pytest.approx(90)
    page = Page((tmp_path / "site/runs/s--same--seed0.html").read_text()).text
    assert "Earlier measurements" in page and page.count("2026-01-01T00:00:00Z") == 2, "one line for each task"
    assert "Earlier measurements" not in (tmp_path / "site/runs/s--better--seed0.html").read_text()
    feed = (tmp_path / "site/feed.xml").read_text()
    assert "measured again: the same tasks under the same settings" in feed and "measured for the first time, on 2 tasks" in feed


@pytest.mark.parametrize("make", [lambda out: out.write_text("x"), lambda out: (out.mkdir(), (out / "thesis.tex").write_text("x"))])
def test_a_folder_that_is_not_a_site_is_refused(results: Path, tmp_path: Path, make: "object") -> None:
    make(tmp_path / "site")  # type: ignore[operator]
    with pytest.raises(UserError, match="choose an"):
        build([results], tmp_path / "site")


def test_the_command(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["site", str(results), "--out", str(tmp_path / "site")])
    assert done.exit_code == 0 and done.stdout.strip() == str(tmp_path / "site/index.html")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert CliRunner().invoke(app, ["site", str(results), "--out", str(tmp_path / "site"), "--open"]).exit_code == 0
    assert opened == [(tmp_path / "site/index.html").resolve().as_uri()]
    with pytest.raises(UserError, match="no such results"):
        build([tmp_path / "nothing"], tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no finished evaluation"):
        build([tmp_path / "empty"], tmp_path / "other")


@pytest.mark.slow
def test_the_site_is_built_without_torch(results: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.argv[1:] = ['site', {str(results)!r}, '--out', {str(tmp_path / 'site')!r}]\n"
    code += "from xlift.harness.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "assert not {'torch', 'transformers', 'lm_eval', 'vllm', 'datasets'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256((tmp_path / "site/index.html").read_bytes()).hexdigest()


def test_a_run_page_tells_where_the_adapter_comes_from_and_lies(results: Path, tmp_path: Path) -> None:
    write_training(results, "better", adapter="0")
    url = "https://huggingface.co/lab/s-better-seed0"
    links = [{"label": "better", "seed": 0, "url": url, "commit": "c"}, {"label": "same", "seed": 0, "url": "javascript:alert(1)"}]
    together = "https://huggingface.co/collections/lab/xlift-s-0123"
    (results / "hub.json").write_text(json.dumps({"collection": together, "adapters": [*links, 3, {"label": "x", "seed": []}]}))
    (results / "suite.resolved.json").write_text(json.dumps({"name": "s", "base": {"model": "/secret/models/tiny"}}))
    out = tmp_path / "site"
    build([results], out)
    page = Page((out / "runs/s--better--seed0.html").read_text())
    assert {url, together} <= {one.get("href") for one in page.all("a")}
    assert together not in (out / "runs/s--same--seed0.html").read_text(), "it was not pushed"
    assert "dropped: es/translation: too long" in page.text and "trained on cpu" in page.text and "better".ljust(64, "r") in page.text
    assert [one["aria-label"] for one in page.all("svg") if one.get("role") == "img"] == [
        "Training loss against tokens trained, a line for each of 2 seeds"
    ]
    assert not any("secret" in text or "javascript:alert" in text for text in read_site(out).values())
    assert "seed 0: mean score 90.0" in Page((out / "index.html").read_text()).text
    assert json.loads((out / "data/curves.json").read_text())[0] == {"run": "s--better--seed0", "step": 1, "tokens": 100, "loss": 3.0}
    kept, dropped = json.loads((out / "data/training.json").read_text())
    assert (kept["rows"], kept["number"], dropped["rows"], dropped["number"]) == ("es/translation", 100, "es/translation: too long", 7)
    assert json.loads((out / "data/options.json").read_text())[0]["option"] == "rows"


def test_answers_in_another_language_are_marked_beside_their_score(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build([results], out)
    for name in ("benchmarks/xlift_mgsm_direct.html", "languages/es.html"):
        text = Page((out / name).read_text()).text
        assert "90 % off target" in text and "10 % off target" not in text
    assert "90% of the 20 answers whose language can be told are in another one" in Page((out / "index.html").read_text()).text


def test_a_language_that_was_trained_and_never_asked_has_a_page(tmp_path: Path) -> None:
    for label, seed in (("base", None), ("m", 0)):
        write_run(tmp_path / "s", label, {"xlift_mgsm_direct_de": GOOD}, seed=seed)
    build([tmp_path / "s"], tmp_path / "site")
    assert "No benchmark was asked in Spanish" in (tmp_path / "site/languages/es.html").read_text()
    assert {one.get("href") for one in Page((tmp_path / "site/index.html").read_text()).all("a")} >= {
        "languages/es.html",
        "languages/de.html",
    }


def test_processes_that_share_the_pages_make_the_same(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build([results], tmp_path / "alone")
    monkeypatch.setattr("xlift.harness.core.parallel.SHARED", 1)
    build([results], tmp_path / "shared")
    assert read_site(tmp_path / "alone") == read_site(tmp_path / "shared")


def test_a_build_that_was_killed_can_be_made_again(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("xlift.leaderboard.site.data_files.write_data", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build([results], tmp_path / "site")
    build([results], tmp_path / "site")
    build([results], tmp_path / "other")
    assert read_site(tmp_path / "site") == read_site(tmp_path / "other")


def test_prose_keeps_paragraphs_and_code() -> None:
    assert str(write_prose("One\nline: ``a < b``.\n\nTwo.")) == "<p>One line: <code>a &lt; b</code>.</p>\n<p>Two.</p>"


def test_every_page_marks_intervals_of_one_seed(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build([results], out)
    mark = 'title="The interval is of one training: what another seed would change is not in it">one seed</span>'
    for name in ("index.html", "compare.html", "benchmarks/xlift_mgsm_direct.html", "languages/es.html", "runs/s--same--seed0.html"):
        assert mark in (out / name).read_text(), name
    assert mark not in (out / "runs/s--better--seed0.html").read_text() and mark not in (out / "runs/s--base.html").read_text()
    rows = {row["label"]: row for row in json.loads((out / "data/rows.json").read_text())}
    assert [rows[label]["one_seed"] for label in ("better", "same", "base")] == [False, True, False]


def test_a_control_has_a_badge_and_a_column_of_the_data(tmp_path: Path) -> None:
    run = tmp_path / "s"
    write_run(run, "base", dict(zip(TASKS, (GOOD, BAD), strict=True)))
    for label in ("idea", "shuffled"):
        write_run(run, label, dict(zip(TASKS, (GOOD, GOOD), strict=True)), adapter=label, control=label == "shuffled")
    build([run], site := tmp_path / "site")
    text = (site / "index.html").read_text()
    names = re.findall(r"<bdi>(\w+)</bdi></a>( <span class=\"badge\"[^>]*>control</span>)?", text)
    assert {name for name, badge in names if badge} == {"shuffled"} and ("shuffled", "") not in names
    rows = {row["label"]: row["control"] for row in csv.DictReader((site / "data" / "rows.csv").open())}
    assert rows == {"base": "False", "idea": "False", "shuffled": "True"}


def test_intervals_over_unknown_articles_are_marked(tmp_path: Path) -> None:
    root, task = tmp_path / "runs" / "s", "xlift_flores_eng_Latn_spa_Latn"
    write_run(root, "base", {task: [20.0 + number % 7 for number in range(120)]}, metric="chrf")
    write_run(root, "m", {task: [22.0 + number % 5 for number in range(120)]}, seed=0, metric="chrf")
    build([root], tmp_path / "site")
    mark = ">articles unknown</span>"
    assert mark in (tmp_path / "site/runs/s--m--seed0.html").read_text()
    for path in root.rglob("samples_*"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**row, "group": f"article {row['doc_id'] // 2}"}) + "\n" for row in rows))
    build([root], tmp_path / "site")
    assert not any(mark in text for text in read_site(tmp_path / "site").values())


def test_a_rate_off_target_is_no_score_and_says_over_how_many(tmp_path: Path) -> None:
    root, task = tmp_path / "runs" / "s", "xlift_x_alpaca_eval_es"
    for label, seed, values in (("base", None, BAD), ("m", 0, GOOD)):
        write_run(root, label, {task: values}, seed=seed, metric="off_target")
    for path in root.glob("evaluate-*/manifest.json"):
        found = json.loads(path.read_text())
        found["record"]["tasks"][task]["metrics"]["language_unknown"] = {"value": 0.25, "stderr": 0.1}
        path.write_text(json.dumps(found))
    build([root], tmp_path / "site")
    page = Page((tmp_path / "site/benchmarks/xlift_x_alpaca_eval.html").read_text()).text
    assert "off-target rate (lower is better)" in page and "score" not in page
    index = Page((tmp_path / "site/index.html").read_text()).text
    # 15 of 20 can be told: 90 % of them, 67.5 % of all, are off target
    assert "of 15/20 told" in index and "on 7.5, off 67.5, cannot tell 25.0" in index
