"""What a method's code may do to the process that it runs in: nothing that lasts."""

import os
import sys
from pathlib import Path

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.recipes.contained import MethodError, contain


def test_what_a_plugin_raises_is_one_line_with_its_place() -> None:
    with (
        pytest.raises(MethodError, match=r"^ZeroDivisionError: .*; line \d+ of recipes/test_con") as caught,
        contain(plugin=True),
    ):
        1 / 0  # noqa: B018
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_fault_of_xlift_itself_is_shown_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), contain(plugin=False):
        1 / 0  # noqa: B018


@pytest.mark.parametrize("plugin", [True, False])
def test_a_refusal_stays_what_it_is(plugin: bool) -> None:
    with pytest.raises(UserError, match="^too few rows$") as caught, contain(plugin=plugin):
        raise UserError("too few rows")
    assert type(caught.value) is UserError


@pytest.mark.parametrize("code", [0, 3, "bye"])
def test_nothing_ends_the_program(code: object) -> None:
    with pytest.raises(MethodError, match=rf"^it ends the program \(exit {code!r}; line \d+ of .*\), which"), contain(plugin=False):
        sys.exit(code)  # type: ignore[arg-type]


def test_what_is_printed_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with contain(plugin=True):
        print("so far so good")
    assert capsys.readouterr() == ("", "so far so good\n")


def test_the_folder_is_what_it_was(tmp_path: Path) -> None:
    before = Path.cwd()
    with contain(plugin=True):
        os.chdir(tmp_path)
    assert Path.cwd() == before


def test_a_forked_copy_does_not_go_on(tmp_path: Path) -> None:
    with contain(plugin=True):
        copy = os.fork()
    (tmp_path / str(os.getpid())).touch()
    assert copy and os.waitpid(copy, 0)[1] == 0
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]
