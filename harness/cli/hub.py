"""The commands that speak to the hub: ``xlift push`` and ``xlift pull``, and the look back after ``xlift evaluate`` of a hub adapter."""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlift.harness.rows import UserError

if TYPE_CHECKING:
    from xlift.harness.hub import Pushed, Target
    from xlift.harness.publication import Facts, File

logger = logging.getLogger(__name__)

LINK = "hub.json"
"""In the run folder: where its adapters lie on the hub."""


def push(
    source: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's folder; with --all a run folder.")],
    target: Annotated[str, typer.Argument(metavar="ORG/NAME", help="The repository; with --all the owner alone.")],
    every: Annotated[bool, typer.Option("--all", help="Every measured adapter of a run, and a collection of them.")] = False,
    suite: Annotated[Path | None, typer.Option("--suite", metavar="RUN", help="The adapter's run folder, where it lies elsewhere.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; no network, no token.")] = False,
    request: Annotated[bool, typer.Option("--pr", help="Open a pull request in place of a commit.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private, where it is made.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Load the hub's copy and compare its logits with the local one's.")] = False,
    accept: Annotated[bool, typer.Option("--accept-licences", help="Acknowledge training data whose licences restrict use.")] = False,
    leaderboard: Annotated[str | None, typer.Option("--leaderboard", metavar="URL", help="The adapter's row, for the card.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Put an adapter on the hub with a card written from its run, then read it back and compare."""
    from xlift.harness import hub

    places = find_adapters(Path(source), target) if every else {target: Path(source)}
    run = Path(source) if every else suite
    packages = [prepare(place, repository, run, leaderboard) for repository, place in places.items()]
    targets = [hub.Target(facts.repository, private, request) for facts, _ in packages]
    if dry_run:
        _show_plans([_plan(one, facts, files) for one, (facts, files) in zip(targets, packages, strict=True)], as_json)
        return
    _require_acceptance([facts for facts, _ in packages], accept)
    rows = []
    for one, (facts, files) in zip(targets, packages, strict=True):
        done = hub.push(one, files, f"{facts.made['method']} adapter, made by xlift")
        rows.append({**asdict(done), **({"largest_logit_difference": _check(one, done, facts, files, run)} if check else {})})
        if not as_json:
            _tell(rows[-1])
    collection = _link(run, target, rows, packages, private) if every and not request else None
    if as_json:
        typer.echo(json.dumps({"pushed": rows, "collection": collection} if every else rows[0], indent=1))
    elif collection:
        typer.echo(f"collection: {collection}")


def pull(
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME[@REVISION]")],
    out: Annotated[Path | None, typer.Option("--out", help="Copy it into this folder; else it stays in the hub's cache.")] = None,
) -> None:
    """Fetch an adapter from the hub, check that it is whole, and print its folder."""
    from xlift.harness import hub

    name, _, revision = repository.removeprefix("hub:").partition("@")
    typer.echo(hub.pull(name, revision or None, out))


def prepare(place: Path, repository: str, run: Path | None, leaderboard: str | None = None) -> tuple[Facts, list[File]]:
    """The facts of an adapter and the files to push. Raises UserError for what must not, or cannot, be published."""
    from xlift.harness import card, publication

    found = publication.find_run(place, run)
    facts = publication.gather(place, repository, found, leaderboard=leaderboard)
    if facts.record and found:
        facts = replace(facts, lifts=measure_lifts(found, facts))
    if facts.record is None:
        logger.warning("%s: no evaluation of it was found; the card says so", place)
    return facts, publication.collect(facts, card.write_card(facts), card.write_eval_results(facts))


def measure_lifts(run: Path, facts: Facts) -> dict[tuple[str, str], dict[str, Any]]:
    """Difference to the base by (task, metric), paired by item where both sides' samples are at hand."""
    from xlift.harness.card_text import list_metrics
    from xlift.leaderboard import comparisons, documents

    record = facts.record
    if record is None or facts.base_record is None:
        return {}
    wanted = sorted({metric for task, result in record.tasks.items() for metric in list_metrics(task, result)} - {*documents.PER_DOCUMENT})
    try:
        scored = documents.collect([run], wanted)
    except UserError as error:
        logger.warning("differences go without intervals: %s", error)
        return {}
    pair = [one for one in scored if one.label == "base" or (one.label, one.seed) == (record.label, record.seed)]
    table = comparisons.tabulate_tasks([one for one in pair if one.task in record.tasks])
    rows: Any = table.to_dict("records")
    found = {(row["task"], row["metric"]): row for row in rows if row["value"] is not None and row["value"] == row["value"]}
    return found | _measure_corpora(run, facts)


def _measure_corpora(run: Path, facts: Facts) -> dict[tuple[str, str], dict[str, Any]]:
    """``measure_lifts`` for the scores of whole corpora, resampled by document."""
    from xlift.harness.card_text import list_metrics
    from xlift.leaderboard import corpora, documents

    record, base, found = facts.record, facts.base_record, {}
    if record is None or base is None:
        return {}
    for task, result in record.tasks.items():
        for metric in set(list_metrics(task, result)) & {*documents.PER_DOCUMENT}:
            try:
                pairs = [documents.read_pairs(run, one, task, metric) for one in (record, base)]
                found[task, metric] = asdict(corpora.compare_corpora(pairs[0], pairs[1], result.signatures.get(metric, "")))
            except UserError as error:
                logger.warning("%s %s: its difference goes without an interval: %s", task, metric, error)
    return found


def find_adapters(run: Path, owner: str) -> dict[str, Path]:
    """Repository and folder of each measured adapter of a run, those that were trained elsewhere left out."""
    from xlift.harness import adapters, publication

    publication.find_run(run, run)
    if "/" in owner:
        raise UserError(
            f"{owner!r}: with --all name the owner alone, {owner.partition('/')[0]}; the repositories are named after the suite"
        )
    folders = {adapters.resolve(path).sha256: path for path in sorted(run.glob("fit-*/adapter")) if path.parent.suffix != ".part"}
    records = [
        record for record in publication.read_by_age(run) if record.method and record.adapter and record.adapter["sha256"] in folders
    ]
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


def tell_reproduction(run: Path, adapters: Mapping[str, str]) -> None:
    """After an evaluation: each hub adapter's recorded scores beside the fresh ones, on stderr."""
    from xlift.harness import reproduction
    from xlift.harness.adapters import resolve
    from xlift.harness.results import read

    folders = {name: resolve(place).folder for name, place in adapters.items() if place.startswith("hub:")}
    if not folders:
        return
    fresh = {record.label: record for record in read([run])}
    for name, rows in reproduction.compare_all(folders, fresh).items():
        typer.echo(reproduction.summarise(name, rows), err=True)
        for row in rows:
            if row["difference"] and not row["otherwise"]:
                shown = f"{row['recorded']:.6g} recorded, {row['fresh']:.6g} now ({row['difference']:+.3g})"
                typer.echo(f"  {row['task']} {row['metric']}: {shown}", err=True)


def _plan(target: Target, facts: Facts, files: Sequence[File]) -> dict[str, Any]:
    from xlift.harness import card_text, hub

    return {**hub.plan(target, files), "base_model": facts.base.id, "restrictions": card_text.list_restrictions(facts)}


def _show_plans(plans: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(plans[0] if len(plans) == 1 else plans, ensure_ascii=False, indent=1))
        return
    for plan in plans:
        how = ", by pull request" if plan["pull_request"] else ""
        typer.echo(f"{plan['repository']} ({plan['visibility']} where it is made{how}), an adapter of {plan['base_model']}")
        for file in plan["files"]:
            typer.echo(f"  {file['sha256']}  {file['bytes']:>12}  {file['path']}")
        for line in plan["restrictions"]:
            typer.echo(f"restricted (needs --accept-licences): {line}")
        if not plan["card_known"]:
            typer.echo("no card of it is known on this machine; this would be the card:")
        typer.echo("\n".join(plan["card_diff"]) or "the card is as it was last seen from here")


def _require_acceptance(found: Sequence[Facts], accept: bool) -> None:
    from xlift.harness.card_text import list_restrictions

    lines = list(dict.fromkeys(line for facts in found for line in list_restrictions(facts)))
    if lines and not accept:
        more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
        raise UserError(
            f"training data with restricted use: {'; '.join(lines[:3])}{more}; the card says so, and --accept-licences pushes it"
        )
    for line in lines:
        logger.warning("restricted use: %s", line)


def _check(target: Target, done: Pushed, facts: Facts, files: Sequence[File], run: Path | None) -> float:
    """The largest difference of a logit between the local adapter and the hub's copy. Raises UserError where there is one."""
    from xlift.harness import base_model, hub, publication
    from xlift.harness.config import BaseSettings

    folder = publication.find_run(facts.adapter.folder, run)
    suite = json.loads((folder / publication.SUITE).read_text(encoding="utf-8")) if folder else {}
    base = base_model.resolve(BaseSettings(**suite.get("base", {"model": facts.base.id, "revision": facts.base.revision})))
    with tempfile.TemporaryDirectory(prefix="xlift-") as empty:
        found = hub.compare_logits(base, facts.adapter.folder, hub.fetch(target, done.revision, Path(empty)))
    if found:
        raise UserError(f"{target.repository}: the hub's copy gives other logits than {facts.adapter.folder} (by up to {found:.3g})")
    return found


def _tell(row: Mapping[str, Any]) -> None:
    what = f"sent {', '.join(row['sent'])}" if row["sent"] else "nothing to send, all files are there"
    checked = "; loaded from the hub, its logits are the local ones" if "largest_logit_difference" in row else ""
    typer.echo(f"{row['url']} at {row['commit'][:12]}: {what}; read back and compared{checked}")


def _link(run: Path | None, owner: str, rows: Sequence[Mapping[str, Any]], packages: Sequence[Any], private: bool) -> str | None:
    """Make the suite's collection, and write where the adapters lie into the run folder, for the leaderboard."""
    from xlift.harness import hub
    from xlift.harness.store import explain_disk, write_json

    if run is None:
        return None
    suite = json.loads((run / "suite.resolved.json").read_text(encoding="utf-8"))["name"]
    notes = {facts.repository: f"{facts.made['label']}: {facts.made['method']}" for facts, _ in packages}
    collection = hub.collect_on_hub(owner, f"xlift: {suite}", notes, private=private)
    found = [
        {"label": facts.made["label"], "seed": facts.record.seed if facts.record else None, **{key: row[key] for key in ("url", "commit")}}
        for row, (facts, _) in zip(rows, packages, strict=True)
    ]
    with explain_disk(run):
        write_json(run / LINK, {"collection": collection, "adapters": found})
    return collection
