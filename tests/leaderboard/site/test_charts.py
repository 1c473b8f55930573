"""What a machine without the libraries of charts is told."""

import sys
from pathlib import Path

import pytest
from result_folders import write_run

from xlift.harness.core.errors import UserError
from xlift.leaderboard.site.builder import build


def test_a_site_without_what_draws_charts_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", {"xlift_mgsm_direct_es": [1.0, 0.0]})
    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.delitem(sys.modules, "xlift.leaderboard.site.charts", raising=False)
    with pytest.raises(UserError, match=r"charts need altair, which is not installed: pip install 'xlift\[site\]'"):
        build([tmp_path / "s"], tmp_path / "site")
    assert not (tmp_path / "site").exists()
