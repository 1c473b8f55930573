"""The commands that speak to the hub: ``xlift push`` and ``xlift pull``."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlift.harness.core.errors import UserError
from xlift.harness.publishing.push import find_adapters, prepare_package

if TYPE_CHECKING:
    from xlift.harness.publishing.hub import Pushed, Target
    from xlift.harness.publishing.package import Facts, File

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
    from xlift.harness.publishing import hub

    places = find_adapters(Path(source), target) if every else {target: Path(source)}
    run = Path(source) if every else suite
    packages = [prepare_package(place, repository, run, leaderboard) for repository, place in places.items()]
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
    from xlift.harness.publishing import hub

    name, _, revision = repository.removeprefix("hub:").partition("@")
    typer.echo(hub.pull(name, revision or None, out))


def _plan(target: Target, facts: Facts, files: Sequence[File]) -> dict[str, Any]:
    from xlift.harness.publishing import hub, model_card

    return {**hub.plan(target, files), "base_model": facts.base.id, "restrictions": model_card.list_restrictions(facts)}


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
    from xlift.harness.publishing.model_card import list_restrictions

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
    from xlift.harness.config.suite import BaseSettings
    from xlift.harness.models import bases
    from xlift.harness.publishing import hub, package

    folder = package.find_run(facts.adapter.folder, run)
    suite = json.loads((folder / package.SUITE).read_text(encoding="utf-8")) if folder else {}
    base = bases.resolve(BaseSettings(**suite.get("base", {"model": facts.base.id, "revision": facts.base.revision})))
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
    from xlift.harness.core.store import explain_disk, write_json
    from xlift.harness.publishing import hub

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
