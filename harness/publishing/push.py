"""From a run folder to the hub: the adapters of a run, the files of one, and how they are sent."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xlift.harness.config.suite import BaseSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import RESOLVED, explain_disk, read_object, write_json
from xlift.harness.models import adapters, bases
from xlift.harness.publishing import hub, model_card
from xlift.harness.publishing.hub import Pushed, PushPlan, Target
from xlift.harness.publishing.lifts import measure_lifts
from xlift.harness.publishing.package import Facts, File, find_run

logger = logging.getLogger(__name__)

LINK = "hub.json"
"""The name of the file in the run folder that says where its adapters are on the hub."""


@dataclass(frozen=True)
class Package:
    """An adapter made ready for the hub."""

    target: Target
    facts: Facts
    files: tuple[File, ...]
    run: Path | None
    """Its run folder, if one was named."""

    @property
    def restrictions(self) -> list[str]:
        """Training data with restricted use, a line each."""
        return model_card.list_restrictions(self.facts)


@dataclass(frozen=True)
class PushedRun:
    """What a push of all adapters of a run did."""

    pushed: tuple[Pushed, ...]
    collection: str | None
    """Its address; None if pull requests were opened, because their repositories may belong to anybody."""


def pack(place: Path, target: Target, run: Path | None, leaderboard: str | None, *, foreign: bool = False) -> Package:
    """An adapter's folder made ready, with ``foreign`` also one that xlift did not train. Raises UserError for what must not or cannot be
    published."""
    facts, files = prepare_package(place, target.repository, run, leaderboard, foreign=foreign)
    return Package(target, facts, tuple(files), run)


def pack_run(run: Path, target: Target, leaderboard: str | None) -> list[Package]:
    """All measured adapters of a run made ready, for repositories of the owner that ``target`` names."""
    places = find_adapters(run, target.repository)
    return [pack(place, replace(target, repository=repository), run, leaderboard) for repository, place in places.items()]


def plan(package: Package) -> PushPlan:
    """What a push of it would send. No server is asked."""
    found = hub.plan(package.target, package.files)
    return replace(found, base_model=package.facts.base.id, restrictions=tuple(package.restrictions))


def require_acceptance(packages: Iterable[Package], accept: bool) -> None:
    """Raise UserError if training data have restricted use and that is not accepted."""
    lines = list(dict.fromkeys(line for package in packages for line in package.restrictions))
    if lines and not accept:
        more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
        raise UserError(
            f"training data with restricted use: {'; '.join(lines[:3])}{more}; the card says so, and --accept-licences pushes it"
        )
    for line in lines:
        logger.warning("restricted use: %s", line)


def send(package: Package, check: bool) -> Pushed:
    """Push an adapter. With ``check``, load the hub's copy and raise UserError if its logits are not the local ones."""
    done = hub.push(package.target, package.files, _describe(package.facts))
    return replace(done, largest_logit_difference=_compare(package, done)) if check else done


def _describe(facts: Facts) -> str:
    return "adapter, described by xlift" if facts.is_foreign else f"{facts.made['method']} adapter, made by xlift"


def send_run(
    run: Path, target: Target, packages: Sequence[Package], check: bool, tell: Callable[[Pushed], None] | None = None
) -> PushedRun:  # fmt: skip
    """``send`` the adapters of a run, one after the other, and make the collection of them. ``tell`` is called after each."""
    done = []
    for package in packages:
        done.append(send(package, check))
        if tell:
            tell(done[-1])
    collection = None if target.request else _link(run, target, packages, done)
    return PushedRun(tuple(done), collection)


def _compare(package: Package, done: Pushed) -> float:
    facts, target = package.facts, package.target
    card = facts.adapter.folder / adapters.CARD
    made = read_object(card) if card.is_file() else {}  # with the paths of this machine
    settings = made.get("settings") or {}
    if "base" not in settings and (run := find_run(facts.adapter.folder, package.run)):  # an adapter of 0.1
        settings = read_object(run / RESOLVED)
    base = bases.resolve(BaseSettings(**settings.get("base", {"model": facts.base.local, "revision": facts.base.revision})))
    adapters.check(facts.adapter, base)
    with tempfile.TemporaryDirectory(prefix="xlift-") as empty:
        found = hub.compare_logits(base, facts.adapter.folder, hub.fetch(target, done.revision, Path(empty)))
    if found:
        raise UserError(f"{target.repository}: the hub's copy gives other logits than {facts.adapter.folder} (by up to {found:.3g})")
    return found


def _link(run: Path, target: Target, packages: Sequence[Package], pushed: Sequence[Pushed]) -> str:
    """Make the collection of a suite, and write the places of its adapters into the run folder, for the leaderboard. Returns its
    address."""
    suite = next(one.facts.record.suite for one in packages if one.facts.record)
    notes = {one.target.repository: f"{one.facts.made['label']}: {one.facts.made['method']}" for one in packages}
    collection = hub.collect_on_hub(target.repository, f"xlift: {suite}", notes, private=target.private)
    found = []
    for done, one in zip(pushed, packages, strict=True):
        seed = one.facts.record.seed if one.facts.record else None
        found.append({"label": one.facts.made["label"], "seed": seed, "url": done.url, "commit": done.commit})
    with explain_disk(run):
        write_json(run / LINK, {"collection": collection, "adapters": found})
    return collection


def prepare_package(
    place: Path, repository: str, run: Path | None, leaderboard: str | None = None, *, foreign: bool = False
) -> tuple[Facts, list[File]]:
    """The facts of an adapter and the files to push. Raises UserError for what must not or cannot be published."""
    from xlift.harness.publishing import package

    found = package.find_run(place, run)
    facts = package.gather(place, repository, found, leaderboard=leaderboard, foreign=foreign)
    facts = replace(facts, lifts=measure_lifts(facts))
    if facts.record is None:
        logger.warning("%s: no evaluation of it was found; the card says so", place)
    return facts, package.collect(facts, model_card.write_card(facts), model_card.write_eval_results(facts))


def find_adapters(run: Path, owner: str) -> dict[str, Path]:
    """The repository and folder of each measured adapter of a run, without those that were trained elsewhere."""
    from xlift.harness.evaluation.records import read_records
    from xlift.harness.publishing import package

    package.find_run(run, run)
    if "/" in owner:
        raise UserError(
            f"{owner!r}: with --all name the owner alone, {owner.partition('/')[0]}; the repositories are named after the suite"
        )
    folders = {adapters.resolve(path).sha256: path for path in sorted(run.glob("fit-*/adapter")) if path.parent.suffix != ".part"}
    records = [record for record in read_records([run]).records if record.method and record.adapter and record.adapter["sha256"] in folders]
    if not records:
        raise UserError(f"{run}: no adapter in it that was trained and measured; run the suite to its end")
    several = len({record.seed for record in records}) > 1
    found = {}
    for record in records:
        tail = f"-seed{record.seed}" if several and record.seed is not None else ""
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{record.suite}-{record.label}{tail}")[:96]
        found[f"{owner}/{name}"] = folders[(record.adapter or {})["sha256"]]
    return found
