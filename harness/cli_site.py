"""``xlift site``, result folders as a static leaderboard, and ``xlift record``, a run as it can be committed and published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlift.harness.rows import UserError


def site(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Run folders, folders of them, or results files of lm_eval and others.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the site is written.")] = Path("site"),
    serve: Annotated[bool, typer.Option("--serve", help="Show it at http://127.0.0.1:PORT until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8000,
) -> None:
    """Build the leaderboard of finished runs as static pages that need no server."""
    from xlift.leaderboard.site import build

    for line in build(results, out):
        typer.echo(f"left out: {line}", err=True)
    typer.echo(out / "index.html")
    if serve:
        _serve(out, port)


def record(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")],
    out: Annotated[Path, typer.Option("--out", help="Where the record is written, such as leaderboard/results/demo.")],
) -> None:
    """Copy a run's numbers without its texts and adapters: manifests, scores by document, costs. The site can be built from it."""
    from xlift.harness.publication import File, scan
    from xlift.leaderboard import records

    files = records.extract(run)
    for name, text in files.items():
        scan(File(name, text.encode()))
    records.write(files, out)
    typer.echo(f"{out}: {len(files)} files, {sum(map(len, files.values())):,} bytes", err=True)
    typer.echo(out)


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
