"""Records: publishing the numbers of a run, checking a record that somebody hands in, and running a row of it again."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.api import RUNS, load_suite, run
from xlift.harness.core.errors import UserError, name_nearest, name_run
from xlift.harness.core.secrets import name_variables
from xlift.harness.core.times import write_seconds

if TYPE_CHECKING:
    import pandas as pd

    from xlift.harness.config.suite import Suite
    from xlift.results import Results

logger = logging.getLogger(__name__)


def export_record(run: str | Path, out: str | Path, *, by: str = "") -> list[str]:
    """Copy a run's numbers without its texts and adapters into ``out``, to be committed and published. Returns the files' names.

    ``by`` says who measured, and a board shows it. The copy can be read like a run folder. Raises UserError for a run that is not complete,
    and if a file holds a path or a secret.
    """
    from xlift.harness.core.store import RESOLVED
    from xlift.harness.publishing.package import File, scan
    from xlift.leaderboard.loading.record import extract_record, write_record

    files = extract_record(Path(run))
    variables = name_variables(json.loads(files.get(RESOLVED, "{}")))
    for name, text in files.items():
        scan(File(name, text.encode()), variables=variables)
    write_record(files, Path(out), by)
    return list(files)


def check_record(folder: str | Path) -> list[str]:
    """One line for each reason why a record cannot be published; none if it can be.

    Its files, hashes and schema are checked, its scores against those of its documents, each method against its base, that its suite could
    run them again, and that it holds no texts, secrets or paths of a machine. Raises UserError for a folder that is no record.
    """
    from xlift.harness.core.store import RESOLVED
    from xlift.harness.publishing.package import File, scan
    from xlift.leaderboard.loading.check_record import check_record as check
    from xlift.leaderboard.loading.record import STATE

    place = Path(folder)
    faults = check(place)
    for path in sorted(path for path in place.rglob("*.json*") if path.is_file()):
        name = path.relative_to(place).as_posix()
        try:
            scan(File(name, path.read_bytes()))
        except UserError as error:
            faults.append(str(error))
        except ValueError:  # check has named it
            continue
    named = {fault.partition(": ")[0] for fault in faults}
    return faults if named & {RESOLVED, STATE} else [*faults, *_check_suite(place)]


def _check_suite(record: Path) -> Iterator[str]:
    """Why the methods of a record could not be run again by the suite that lies in it."""
    from xlift.harness.core.store import RESOLVED, read_object

    try:
        load_suite(read_object(record / RESOLVED))
    except UserError as error:
        yield f"{RESOLVED}: its methods cannot be run again by it: {error}"


def reproduce(
    record: str | Path, label: str, runs: str | Path = RUNS, *, seeds: Collection[int] = (), by: str = "", wait: bool = False
) -> pd.DataFrame:
    """Run one method of a record again, as its resolved suite says, and compare the two, one row for each task.

    ``seeds`` are those that are run and compared; without them it is all seeds of the suite. The run is ``runs/NAME-again``. It holds the
    table as ``reproduced-LABEL.json`` with who did it (``by``); a board shows the file if it is in the record. The columns are those of
    ``compare_again``. Raises UserError as ``run`` does, and for a label or a seed that is not in the record.
    """
    from xlift.harness.core.store import RESOLVED, read_object, write_json
    from xlift.leaderboard.analysis.reproduction import compare_again, write_reproduction
    from xlift.leaderboard.loading.scores import collect_documents
    from xlift.results import load_results

    folder = Path(record)
    if not folder.is_dir():
        raise UserError(f"{folder}: {name_run(folder)}")
    if not (folder / RESOLVED).is_file():
        raise UserError(f"{folder}: no {RESOLVED} in it, so nobody knows how it was run; name a record or a run folder")
    values = read_object(folder / RESOLVED)
    whole = load_suite(values)
    results = load_results(folder)
    chosen = _choose_seeds(results, folder, whole, label, seeds)
    theirs = [one for one in collect_documents(results.measurements) if one.label == label and (one.seed is None or one.seed in chosen)]
    # Without what is of other rows, and without the devices of the machine that it ran on. Answers are made anew, as those that are kept
    # may be the ones that were recorded.
    evaluate = {**values["evaluate"], "adapters": {}, "share_answers": False}
    others = {"methods": {label: values["methods"][label]}, "evaluate": evaluate, "expected": [], "resources": {}, "seeds": chosen}
    suite = load_suite({**values, **others, "name": f"{whole.name}-again"})
    logger.info("%s", _foretell(results, label, Path(runs) / suite.name))
    found = run(suite, runs, wait=wait)
    table = compare_again(theirs, collect_documents(found.measurements), label)
    write_json(found.folder / f"reproduced-{label}.json", write_reproduction(table, label, chosen, by))
    return table


def _choose_seeds(results: Results, folder: Path, whole: Suite, label: str, wanted: Collection[int]) -> list[int]:
    """The seeds of a row that are to be run again. Raises UserError for a row or a seed that was not measured."""
    measured: dict[str, list[int | None]] = {}
    for record in results.records:
        if record.label in whole.methods:
            measured.setdefault(record.label, []).append(record.seed)
    if label not in measured and label in whole.methods:
        raise UserError(f"{folder}: {label} was not measured in it, so a new run has no counterpart")
    if label not in measured:
        raise UserError(f"{label!r}: no method of {folder}{name_nearest(label, measured, shown=60)}")
    seeds = sorted(seed for seed in measured[label] if seed is not None)
    if wanted and not seeds:
        raise UserError(f"{label} of {folder} trains nothing, so it has no seeds; leave the seed out")
    if unknown := sorted(set(wanted) - set(seeds)):
        raise UserError(f"seed {unknown[0]}: {label} of {folder} has {', '.join(map(str, seeds))}")
    return sorted(set(wanted)) or seeds or list(whole.seeds)


def _foretell(results: Results, label: str, folder: Path) -> str:
    """Where the run will be, and what one training of the row took in the record."""
    costs = results.costs
    own = costs[costs["model"].isin([record.name for record in results.records if record.label == label])]
    parts = (("training took", "seconds"), ("measuring", "evaluation_seconds"))
    took = [f"{what} {write_seconds(float(own[name].mean()))}" for what, name in parts if name in own and own[name].notna().any()]
    said = f"; for each seed of the record, {' and '.join(took)}" if took else ""
    return f"{label} is run again in {folder}, and the base is measured beside it{said}"
