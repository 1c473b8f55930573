"""What a user of plain lm_eval sees of his mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.tasks import data, index
from xlift.tasks.faults import runs_in, show_in_one_line


@pytest.mark.parametrize(
    ("program", "holds"),
    [
        ("/env/bin/lm_eval", True),
        ("C:/env/Scripts/lm-eval.exe", True),
        ("/env/site-packages/lm_eval/__main__.py", True),
        ("/env/bin/xlift", False),
        ("/env/site-packages/pytest/__main__.py", False),
        ("lm_eval_results.py", False),
        ("", False),
    ],
)
def test_lm_eval_is_known_by_its_name(program: str, holds: bool) -> None:
    assert runs_in(program) is holds


def test_no_other_program_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.excepthook
    monkeypatch.setattr(sys, "argv", ["/env/bin/xlift"])
    data.dataset("mgsm", "es", samples="always")
    assert sys.excepthook is before
    code = "import sys; before = sys.excepthook; sys.argv[0] = 'lm_eval'; import xlift.tasks.data; assert sys.excepthook is before"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_first_task_that_lm_eval_reads_brings_the_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.excepthook
    monkeypatch.setattr(sys, "excepthook", before)
    monkeypatch.setattr(sys, "argv", ["/env/bin/lm_eval"])
    data.dataset("mgsm", "es", samples="always")
    shown = sys.excepthook
    assert shown is not before
    data.dataset("mgsm", "en", samples="always")
    assert sys.excepthook is shown, "the next task adds none"


def test_other_exceptions_are_shown_as_before(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: seen.append(error))
    monkeypatch.setattr(sys, "argv", ["/env/bin/lm_eval"])
    show_in_one_line()
    fault = ValueError("no mistake of the user's")
    sys.excepthook(ValueError, fault, None)
    assert seen == [fault]
    with pytest.raises(SystemExit, match="2"):
        sys.excepthook(UserError, UserError("two\nlines"), None)
    assert seen == [fault] and capsys.readouterr().err == "xlift: two lines\n"


@pytest.mark.slow
def test_a_wrong_data_folder_in_plain_lm_eval(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "nowhere"))
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "dummy", "--include_path", str(index.folder())]
    done = subprocess.run([*command, "--tasks", "xlift_mgsm_direct_es"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"xlift: XLIFT_DATA names {tmp_path / 'nowhere'}, which is not a folder")
