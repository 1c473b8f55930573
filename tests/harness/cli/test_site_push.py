"""The site on the hub: what would be sent, what arrives, what is deleted there, and that a preview is served."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import loopback_hub
import pytest
from result_folders import write_run
from typer.testing import CliRunner, Result

from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "runs" / "s"
    write_run(root, "base", {TASK: [0.0, 1.0]})
    write_run(root, "m", {TASK: [1.0, 1.0]}, seed=0, answers=["see /home/me/notes", "ocho"])
    return root


def push(results: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["site", str(results), "--out", str(results.parent / "site"), "--push", "lab/board", *options])


def test_a_dry_run_sends_nothing_and_needs_no_token(results: Path, unplugged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = push(results, "--dry-run")
    assert done.exit_code == 0 and "lab/board (public where it is made), a static Space" in done.stdout
    assert "README.md" in done.stdout and "samples/" in done.stdout and "2 pages show prompts" in done.stderr
    alone = CliRunner().invoke(app, ["site", str(results), "--dry-run"])
    assert isinstance(alone.exception, UserError)


def test_the_space_has_the_pages_of_the_site_and_loses_those_it_made_before(results: Path, loopback: loopback_hub.State) -> None:
    out = results.parent / "site"
    first = push(results)
    assert first.exit_code == 0 and "/spaces/lab/board at " in first.stdout and loopback_hub.TOKEN not in first.output
    (out / "private.txt").write_text("mine")
    held = loopback.repositories["lab/board"].find("main")
    assert held and held[1]["index.html"] == (out / "index.html").read_bytes() and b"sdk: static" in held[1]["README.md"]
    assert "private.txt" not in held[1] and ".site.json" not in held[1]

    assert "nothing to send" in push(results).stdout
    next(path.parent for path in results.glob("evaluate-*/manifest.json") if '"label": "m"' in path.read_text()).rename(results / "x.part")
    push(results)
    held = loopback.repositories["lab/board"].find("main")
    assert held and "runs/s--m--seed0.html" not in held[1] and "runs/s--base.html" in held[1] and ".gitattributes" in held[1]


SECRET = "hf_" + "a1" * 17


def test_a_token_in_a_suite_is_not_published(results: Path, loopback: loopback_hub.State) -> None:
    (results / "suite.resolved.json").write_text(f'{{"name": "s", "key": "{SECRET}"}}')
    assert push(results).exit_code == 0
    held = loopback.repositories["lab/board"].find("main")
    assert held and "data/suites/s.json" in held[1]
    assert [name for name, content in held[1].items() if SECRET.encode() in content] == []


def test_a_token_on_a_page_stops_the_push(results: Path, loopback: loopback_hub.State) -> None:
    for path in results.rglob("samples_*.jsonl"):
        path.write_text(path.read_text(encoding="utf-8").replace("ocho", SECRET), encoding="utf-8")
    done = push(results)
    assert isinstance(done.exception, UserError) and "looks like a token" in str(done.exception)
    assert "lab/board" not in loopback.repositories


@pytest.mark.slow
def test_a_preview_is_served_until_it_is_stopped(results: Path) -> None:
    place = ["--out", str(results.parent / "site"), "--serve", "--port", "0"]
    command = [sys.executable, "-m", "xlift.harness.cli", "site", str(results), *place]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr
        try:
            url = next(line.strip() for line in served.stderr if line.startswith("http://127.0.0.1:"))
            with urllib.request.urlopen(f"{url}index.html") as page:
                assert b"<title>" in page.read()
        finally:
            served.terminate()
