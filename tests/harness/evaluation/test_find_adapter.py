"""The adapter behind a measurement: among the run's own, where it lay, or gone."""

import json
from pathlib import Path

from pushable import write_run

from xlift.harness.evaluation.adapters import find_adapter
from xlift.harness.evaluation.records import Measurement, read_records


def measured(run: Path) -> Measurement:
    (found,) = (one for one in read_records([run]).measurements if one.record.adapter)
    return found


def test_a_runs_own_adapter_is_found_whatever_it_was_called(tmp_path: Path) -> None:
    adapter = write_run(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    found = find_adapter(measured(tmp_path / "moved"))
    assert found is not None and found.folder == tmp_path / "moved" / adapter.relative_to(tmp_path / "run")


def test_another_adapter_is_found_where_it_lay(tmp_path: Path) -> None:
    given = write_run(tmp_path / "run").rename(tmp_path / "given")
    (manifest,) = (tmp_path / "run").glob("evaluate-m-*/manifest.json")
    values = json.loads(manifest.read_text())
    values["record"]["adapter"]["name"] = "given"
    manifest.write_text(json.dumps({**values, "adapter": str(given)}))
    found = find_adapter(measured(tmp_path / "run"))
    assert found is not None and found.folder == given
    given.rename(tmp_path / "gone")
    assert find_adapter(measured(tmp_path / "run")) is None
