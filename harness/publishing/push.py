"""From a run folder to what is pushed: the adapters of a run, and the files of one."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError
from xlift.harness.publishing.lifts import measure_lifts

if TYPE_CHECKING:
    from xlift.harness.publishing.package import Facts, File

logger = logging.getLogger(__name__)


def prepare_package(place: Path, repository: str, run: Path | None, leaderboard: str | None = None) -> tuple[Facts, list[File]]:
    """The facts of an adapter and the files to push. Raises UserError for what must not, or cannot, be published."""
    from xlift.harness.publishing import model_card, package

    found = package.find_run(place, run)
    facts = package.gather(place, repository, found, leaderboard=leaderboard)
    if facts.record and found:
        facts = replace(facts, lifts=measure_lifts(found, facts))
    if facts.record is None:
        logger.warning("%s: no evaluation of it was found; the card says so", place)
    return facts, package.collect(facts, model_card.write_card(facts), model_card.write_eval_results(facts))


def find_adapters(run: Path, owner: str) -> dict[str, Path]:
    """Repository and folder of each measured adapter of a run, those that were trained elsewhere left out."""
    from xlift.harness.models import adapters
    from xlift.harness.publishing import package

    package.find_run(run, run)
    if "/" in owner:
        raise UserError(
            f"{owner!r}: with --all name the owner alone, {owner.partition('/')[0]}; the repositories are named after the suite"
        )
    folders = {adapters.resolve(path).sha256: path for path in sorted(run.glob("fit-*/adapter")) if path.parent.suffix != ".part"}
    records = [record for record in package.read_by_age(run) if record.method and record.adapter and record.adapter["sha256"] in folders]
    if not records:
        raise UserError(f"{run}: no adapter in it that was trained and measured; run the suite to its end")
    records.sort(key=lambda record: (record.label, record.seed or 0))
    several = len({record.seed for record in records}) > 1
    found = {}
    for record in records:  # of two evaluations of one label and seed the newer comes last, and stays
        tail = f"-seed{record.seed}" if several and record.seed is not None else ""
        found[f"{owner}/{re.sub(r'[^A-Za-z0-9.-]+', '-', f'{record.suite}-{record.label}{tail}')[:96]}"] = folders[
            (record.adapter or {})["sha256"]
        ]
    return found
