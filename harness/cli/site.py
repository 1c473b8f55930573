"""``xlift site``, a static leaderboard of result folders, and ``xlift record``, a run in a form that can be committed and published."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import xlift
from xlift.harness.cli.arguments import RUNS, AsJson, Runs, Wait
from xlift.harness.cli.output import print_frame
from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    from xlift import PushPlan


def site(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Run folders, folders of them, or results files of lm_eval and others.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the site is written.")] = Path("site"),
    base: Annotated[
        str | None, typer.Option("--base", metavar="NAME", help="What results of other programs are compared with, by its name there.")
    ] = None,
    url: Annotated[str, typer.Option("--url", help="Where it will be published: links elsewhere then show its picture.")] = "",
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Show it at http://127.0.0.1:PORT until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8000,
    push: Annotated[str | None, typer.Option("--push", metavar="ORG/NAME", help="Put it on the hub as a static Space.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the Space private, where it is made.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what --push would send; no network, no token.")] = False,
) -> None:
    """Build the leaderboard of finished runs as static pages that need no server."""
    if dry_run and not push:
        raise UserError("--dry-run shows what --push ORG/NAME would send; name the Space")
    for line in xlift.build_site(results, out, base=base, url=url):
        typer.echo(f"left out: {line}", err=True)
    typer.echo(out / "index.html")
    if push:
        _push(out, push, private, dry_run)
    if show:
        webbrowser.open((out / "index.html").resolve().as_uri())
    if serve:
        _serve(out, port)


def record(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the record is written, such as leaderboard/results/demo.")] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who measured it, as a board shows it.")] = "",
    check: Annotated[Path | None, typer.Option("--check", metavar="DIR", help="Check a record instead of making one.")] = None,
) -> None:
    """Copy a run's numbers without its texts and adapters: manifests, scores by document, costs. The site can be built from it.

    With --check, say whether a record is whole and may be published.
    """
    if check is not None:
        if run is not None or out is not None:
            raise UserError("--check DIR takes neither RUN nor --out: it makes nothing")
        _check_record(check)
        return
    if run is None or out is None:
        raise UserError("name a run and where its record is written: xlift record RUN --out DIR; or xlift record --check DIR")
    files = xlift.export_record(run, out, by=by)
    size = sum((out / name).stat().st_size for name in files)
    typer.echo(f"{out}: {len(files)} files, {size:,} bytes", err=True)
    typer.echo(out)


def reproduce(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A record or a run folder, such as leaderboard/results/methods-small.")],
    row: Annotated[str, typer.Argument(metavar="ROW", help="The method's label in it, such as cross-lingual.")],
    runs: Runs = RUNS,
    seeds: Annotated[list[int] | None, typer.Option("--seed", metavar="N", help="Run this seed. Without it, all seeds of the row.")] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who runs it again, as a board shows it.")] = "",
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Run one row of a record again as it was run, and compare the two task by task."""
    print_frame(xlift.reproduce(record, row, runs, seeds=seeds or (), by=by, wait=wait), as_json)


def _check_record(folder: Path) -> None:
    from xlift.leaderboard.loading.check_record import list_limits

    faults = xlift.check_record(folder)
    for fault in faults:
        typer.echo(fault)
    if faults:
        raise typer.Exit(1)
    for line in list_limits(folder):
        typer.echo(f"limit: {line}", err=True)
    typer.echo(f"{folder}: whole, and may be published")


def _push(folder: Path, repository: str, private: bool, dry_run: bool) -> None:
    found = xlift.push_site(folder, xlift.Target(repository, private), dry_run=dry_run)
    paths = [file.path for file in found.files] if isinstance(found, xlift.PushPlan) else [*found.sent, *found.unchanged]
    if shown := sum(path.startswith("samples/") and path.endswith(".html") for path in paths):
        typer.echo(f"{shown} pages show prompts and references of benchmarks; a site built from records (xlift record) has none", err=True)
    if isinstance(found, xlift.PushPlan):
        _show_plan(found)
        return
    what = f"sent {len(found.sent)} files" if found.sent else "nothing to send, all files are there"
    typer.echo(f"{found.url} at {found.commit[:12]}: {what}; read back and compared")


def _show_plan(plan: PushPlan) -> None:
    typer.echo(f"{plan.repository} ({plan.visibility} where it is made), a static Space")
    folders: dict[str, list[int]] = {}
    for file in plan.files:
        name, slash, _ = file.path.partition("/")
        folders.setdefault(name + slash, []).append(file.bytes)
    for name, sizes in sorted(folders.items()):
        typer.echo(f"  {len(sizes):>6} files  {sum(sizes):>12,} bytes  {name}")


def _serve(folder: Path, port: int) -> None:
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    except OSError as error:
        raise UserError(f"port {port}: {error.strerror}; choose another with --port, or 0 for a free one") from None
    with server:
        typer.echo(f"http://127.0.0.1:{server.server_port}/", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
