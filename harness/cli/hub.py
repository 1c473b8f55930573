"""The commands that speak to the hub: ``xlift push`` and ``xlift pull``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import xlift
from xlift.harness.cli.arguments import AsJson

if TYPE_CHECKING:
    from xlift import Pushed, PushPlan


def push(
    source: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's folder; with --all a run folder.")],
    target: Annotated[str, typer.Argument(metavar="ORG/NAME", help="The repository; with --all the owner alone.")],
    every: Annotated[bool, typer.Option("--all", help="Every measured adapter of a run, and a collection of them.")] = False,
    suite: Annotated[
        Path | None, typer.Option("--suite", metavar="RUN", help="The adapter's run folder, if the adapter is not in it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent; no network, no token.")] = False,
    request: Annotated[bool, typer.Option("--pr", help="Open a pull request in place of a commit.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private if it does not exist yet.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Load the hub's copy and compare its logits with the local one's.")] = False,
    accept: Annotated[bool, typer.Option("--accept-licences", help="Acknowledge training data whose licences restrict use.")] = False,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Push an adapter that xlift did not train: its card says what is known.")
    ] = False,
    leaderboard: Annotated[
        str | None, typer.Option("--leaderboard", metavar="URL", help="Address of the adapter's row on a leaderboard, for the card.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put an adapter on the hub with a card written from its run, then read it back and compare."""
    where = xlift.Target(target, private, request)
    if every:
        tell = None if as_json else _tell
        found = xlift.push_all(
            source, where, leaderboard=leaderboard, dry_run=dry_run, check=check, accept_licences=accept, tell=tell
        )  # fmt: skip
        if isinstance(found, list):
            _show_plans(found, as_json)
        elif as_json:
            typer.echo(json.dumps({"pushed": [_to_json(one) for one in found.pushed], "collection": found.collection}, indent=1))
        elif found.collection:
            typer.echo(f"collection: {found.collection}")
        return
    done = xlift.push(
        source, where, run=suite, leaderboard=leaderboard, dry_run=dry_run, check=check, accept_licences=accept, foreign=foreign
    )
    if isinstance(done, xlift.PushPlan):
        _show_plans([done], as_json)
    elif as_json:
        typer.echo(json.dumps(_to_json(done), indent=1))
    else:
        _tell(done)


def pull(
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME[@REVISION]")],
    out: Annotated[Path | None, typer.Option("--out", help="Copy it into this folder. Without it, it stays in the hub's cache.")] = None,
) -> None:
    """Fetch an adapter from the hub, check that it is whole, and print its folder."""
    typer.echo(xlift.pull(repository, out))


def _show_plans(plans: list[PushPlan], as_json: bool) -> None:
    if as_json:
        found = [asdict(plan) for plan in plans]
        typer.echo(json.dumps(found[0] if len(found) == 1 else found, ensure_ascii=False, indent=1))
        return
    for plan in plans:
        how = ", by pull request" if plan.pull_request else ""
        typer.echo(f"{plan.repository} ({plan.visibility} where it is made{how}), an adapter of {plan.base_model}")
        for file in plan.files:
            typer.echo(f"  {file.sha256}  {file.bytes:>12}  {file.path}")
        for line in plan.restrictions:
            typer.echo(f"restricted (needs --accept-licences): {line}")
        if not plan.card_known:
            typer.echo("no card of it is known on this machine; this would be the card:")
        typer.echo("\n".join(plan.card_diff) or "the card is as it was last seen from here")


def _tell(done: Pushed) -> None:
    what = f"sent {', '.join(done.sent)}" if done.sent else "nothing to send, all files are there"
    checked = "" if done.largest_logit_difference is None else "; loaded from the hub, its logits are the local ones"
    typer.echo(f"{done.url} at {done.commit[:12]}: {what}; read back and compared{checked}")


def _to_json(done: Pushed) -> dict[str, Any]:
    found = asdict(done)
    if done.largest_logit_difference is None:
        del found["largest_logit_difference"]
    return found
