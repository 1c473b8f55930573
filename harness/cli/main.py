"""The ``xlift`` command: thin wrappers around functions that a notebook can call. Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlift.harness import cli_hub, cli_site
from xlift.harness.cli_judge import JUDGE, fidelity, judge
from xlift.harness.cli_probe import probe
from xlift.harness.cli_show import show
from xlift.harness.progress import show_progress
from xlift.harness.rows import UserError, name_nearest

if TYPE_CHECKING:
    import pandas as pd

    from xlift.harness.config import Suite

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(judge)
app.command()(fidelity)
app.command()(show)
app.command()(probe)
app.command()(cli_site.site)
app.command()(cli_site.record)

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A YAML file, or the name of a suite that ships (xlift ls suites).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key: --set train.learning_rate=1.0e-4")
]
Runs = Annotated[Path, typer.Option("--runs", help="Where run folders lie.")]
Judge = Annotated[str | None, typer.Option("--judge", metavar=JUDGE, help="Judge the X-AlpacaEval answers too; the rest of the judge's "
                                           "options are keys of the suite: --set judge.model=NAME.")]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
RUNS = Path("runs")


@app.command()
def run(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS, dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
        strict: Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items.")] = False,
        judge: Judge = None, as_json: AsJson = False) -> None:  # fmt: skip
    """Prepare, train, measure and judge every method of a suite, then print the table. Run it again to resume."""
    loaded = _load(suite, _add_judge(overrides, judge), strict)
    # After the suite is read: a mistake in it must not wait for what a run needs.
    from xlift.harness import dry
    from xlift.harness import run as pipeline

    if dry_run:
        _show_dry(dry.plan_run(loaded, runs), as_json)
        return
    _judge_and_report(loaded, pipeline.measure_suite(loaded, runs), as_json)


@app.command()
def train(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS,
          strict: Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items.")] = False,
          as_json: AsJson = False) -> None:  # fmt: skip
    """Prepare and train the methods of a suite, without measuring them; prints where the adapters lie."""
    loaded = _load(suite, overrides, strict)
    from xlift.harness import run as pipeline

    trained = pipeline.fit_all(pipeline.open_run(loaded, runs))
    rows = [{"label": model.label, "seed": model.seed, "adapter": model.adapter} for model in trained]
    _print_rows(rows, as_json)


@app.command()
def prepare(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS,
            out: Annotated[Path, typer.Option("--out", help="A folder in it is written for each method.")] = Path("rows"),
            strict: Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items.")] = False,
            as_json: AsJson = False) -> None:  # fmt: skip
    """Stop after the data: each method's rows as Parquet and JSONL for TRL, LLaMA-Factory and axolotl, with a data card."""
    loaded = _load(suite, overrides, strict)
    from xlift.harness import export
    from xlift.harness import run as pipeline

    opened = pipeline.open_run(loaded, runs)
    written = {label: export.export(opened, label, folder, out / label) for label, folder in pipeline.prepare_all(opened).items()}
    _print_rows([{"label": label, "folder": str(out / label), "files": len(files)} for label, files in written.items()], as_json)


@app.command()
def evaluate(
    again: Annotated[str | None, typer.Argument(metavar="[hub:ORG/NAME]", help="Measure an adapter again as its scores were.")] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Tasks or groups, split by commas; {lang} and {flores} stand for --languages.")
    ] = None,
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", metavar="NAME=PATH", help="A PEFT adapter, a folder or hub:ORG/NAME.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="The base model.  [default: smollm2-135m-instruct]")] = None,
    languages: Annotated[str, typer.Option("--languages", help="Codes separated by commas.")] = "en",
    limit: Annotated[int | None, typer.Option("--limit", help="Items of each task: a smoke test.")] = None,
    backend: Annotated[str | None, typer.Option("--backend", help="auto, vllm, hf or api.  [default: auto]")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the run folder.")] = "evaluate",
    judge: Judge = None, overrides: Overrides = None, runs: Runs = RUNS, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure a base model and any adapters of it on one loaded engine."""
    from xlift.harness import config
    from xlift.harness import run as pipeline

    named = dict(_split_adapter(text) for text in adapters or [])
    if again:
        from xlift.harness.reproduction import recall

        if limit:
            raise UserError(
                f"--limit: {again} is measured on as many items as its scores were; leave it out, or name --adapter and --tasks"
            )
        known = recall(again)
        named[again.rpartition("/")[2].partition("@")[0]] = again
        base, tasks, backend = base or known.base, tasks or known.tasks, backend or known.backend
        overrides = [*known.settings, *(overrides or [])]
    if not tasks:
        raise UserError("say --tasks, or name an adapter as hub:ORG/NAME to measure it again as its scores were")
    values = {
        "name": name,
        "base": {"model": base or "smollm2-135m-instruct"},
        "languages": {"evaluate": languages.split(",")},
        "engine": {"backend": backend or "auto"},
        "evaluate": {"tasks": tasks.split(","), "limit": limit, "adapters": named},
    }
    loaded = config.read(values, "command line", _add_judge(overrides, judge))
    folder = pipeline.measure_suite(loaded, runs)
    _judge_and_report(loaded, folder, as_json)
    cli_hub.tell_reproduction(folder, named)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, such as runs/demo.")], as_json: AsJson = False
) -> None:
    """Print the scores, lifts and costs of finished runs."""
    _report(folders, as_json)


@app.command(name="ls")
def list_names(what: Annotated[str, typer.Argument(metavar="methods|tasks|languages|suites")], as_json: AsJson = False) -> None:
    """List what xlift knows."""
    from xlift.harness import inventory

    if what not in inventory.LISTS:
        raise UserError(f"cannot list {what!r}{name_nearest(what, inventory.LISTS)}")
    _print_rows(inventory.LISTS[what](), as_json)


@app.command()
def tasks(path: Annotated[bool, typer.Option("--path", help="Print the folder for lm_eval --include_path.")] = False,
          pair: Annotated[str | None, typer.Option("--pair", metavar="SRC-TGT", help="Write one more FLORES pair.")] = None,
          out: Annotated[Path, typer.Option("--out", help="Where --pair writes its YAML.")] = Path()) -> None:  # fmt: skip
    """Where the lm-eval tasks lie, and FLORES pairs beyond English."""
    from xlift.tasks import index

    if pair:
        typer.echo(index.write_pair_file(pair, out))
    elif path:
        typer.echo(index.folder())
    else:
        raise UserError("say --path for the task folder, or --pair SRC-TGT for one more FLORES pair")


@app.command(name="fit-scaling")
def fit_scaling(
    sources: Annotated[list[Path], typer.Argument(metavar="PILOTS...", help="CSV: language,rows,score[,similarity]; or run folders.")],
    budget: Annotated[int, typer.Option("--budget", help="Translation rows to split.")],
    languages: Annotated[str | None, typer.Option("--languages", help="Codes separated by commas; else all that have pilots.")] = None,
    metric: Annotated[str, typer.Option("--metric", help="Of the FLORES tasks in run folders.")] = "corpus_chrf",
    ceiling: Annotated[float, typer.Option("--ceiling", help="The best score there can be.")] = 100.0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Fit the scaling law of parallel rows to pilots, and split a budget over languages, with errors."""
    from xlift.harness import scaling
    from xlift.harness.pilots import read_pilots

    law = scaling.fit_scaling(read_pilots(sources, metric), ceiling)
    found = scaling.allocate(law, budget, languages.split(",") if languages else list(law.similarity))
    rows, doubts = scaling.describe(law, found), scaling.judge(law, found)
    if as_json:
        typer.echo(json.dumps({"law": law.model_dump(mode="json"), "allocation": rows, "doubts": doubts}, indent=1))
        return
    typer.echo(f"score = {law.ceiling:g} - a * (similarity * rows)^b, from {law.points} points")
    typer.echo(f"a = {law.a:.4g} ± {law.a_error:.2g}, b = {law.b:.4f} ± {law.b_error:.4f}, residual {law.residual_sd:.3f}, r2 {law.r2:.3f}")
    _print_rows(rows, as_json=False)
    for doubt in doubts:
        typer.echo(f"doubt: {doubt}")
    typer.echo(f"\noptions for cross_lingual:\n{scaling.write_options(law)}", nl=False)


@app.command(name="new-method")
def new_method(name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by '_'.")],
               out: Annotated[Path, typer.Option("--out", help="Where the package folder is made.")] = Path()) -> None:  # fmt: skip
    """Write an installable package with one working method, its defaults and its test."""
    from xlift.harness import new_method as package

    for path in package.create(name, out):
        typer.echo(path)


@app.command()
def validate(suites: Annotated[list[str], typer.Argument(metavar="SUITE...")], overrides: Overrides = None) -> None:
    """Check suites without running them: keys, methods, options, tasks and languages."""
    from xlift.harness import dry

    for name in suites:
        dry.check(_load(name, overrides, strict=False))
        typer.echo(f"{name}: valid")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works on this machine: devices, engines, data and hub."""
    from xlift.harness import inventory

    _print_rows(inventory.examine_machine(), as_json)


@app.command(name="lm-eval", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def lm_eval(context: typer.Context) -> None:
    """Run lm_eval with xlift's model registered (--model xlift); all arguments are lm_eval's."""
    from lm_eval.__main__ import cli_evaluate

    import xlift.harness.lm  # noqa: F401  registers the model

    sys.argv = ["lm_eval", *context.args]
    cli_evaluate()


app.command()(cli_hub.push)
app.command()(cli_hub.pull)


def main() -> None:
    """Entry point: a UserError is one line on stderr and its exit code, 2 or 3."""
    show_progress()
    try:
        app(standalone_mode=True)
    except UserError as error:
        typer.echo(f"xlift: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _load(source: str, overrides: list[str] | None, strict: bool) -> Suite:
    from xlift.harness import config

    return config.load(source, [*(overrides or []), *(["data.strict=true"] if strict else [])])


def _add_judge(overrides: list[str] | None, judge: str | None) -> list[str]:
    return [*(overrides or []), *([] if judge is None else [f"judge.judge={json.dumps(judge)}"])]


def _judge_and_report(suite: Suite, folder: Path, as_json: bool) -> None:
    from xlift.harness.judgement import judge_suite

    try:
        judge_suite(suite, folder)
    finally:  # a judge that fails takes no score with it
        _report([folder], as_json)
        typer.echo(f"results: {folder}", err=True)


def _split_adapter(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    return (name, place) if equals else (Path(text.split("@")[0]).name or text, text)


def _report(folders: list[Path], as_json: bool) -> None:
    from xlift.harness import results
    from xlift.leaderboard import table
    from xlift.leaderboard.judgements import group_settings, read_win_rates

    records = results.read(folders)
    scores, costs = table.tabulate_scores(records), table.tabulate_costs(records)
    if scores.empty:
        raise UserError(f"{', '.join(map(str, folders))}: {len(records)} measured models, and no task has a score; evaluate them again")
    rates = group_settings([rate for folder in folders for rate in read_win_rates(folder, results.read([folder]))])
    if as_json:
        tables = {"scores": scores, "costs": costs, "win_rates": table.tabulate_win_rates([one for some in rates.values() for one in some])}
        typer.echo(json.dumps({name: json.loads(found.to_json(orient="records")) for name, found in tables.items()}, indent=1))
        return
    _print_table(table.spread_models(scores), "Scores (value ± standard error; lift over base in brackets)")
    for setting, some in rates.items():
        title = (
            f"Win rates judged by {setting.name} (calibration: {some[0].calibration}); not comparable with other judges, modes, opponents"
        )
        _print_table(table.spread_win_rates(some), title)
    _print_table(costs, "Cost")
    for record in records:
        for part, share in (record.cost.get("prepare", {}).get("losses") or {}).items():
            typer.echo(f"{record.name}: {part} lost {share:.0%} of its rows; the drops by reason are in the prepare stage's manifest.json")
    for line in table.doubt_lifts(scores):
        typer.echo(line)
    if (scores["items"] < scores["items_of"]).any():
        typer.echo("Smoke test: not all items of every task were used.")


def _show_dry(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(plan, indent=1))
        return
    _print_rows(plan["stages"], as_json=False)
    for key, value in plan["totals"].items():
        typer.echo(f"{key}: {value}")


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    import pandas as pd

    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        _print_table(pd.DataFrame(rows))


def _print_table(frame: pd.DataFrame, title: str | None = None) -> None:
    from rich.console import Console
    from rich.table import Table

    # Without a terminal a table must not be squeezed into 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 400)
    shown = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in frame.columns:
        shown.add_column(str(column), justify="right" if frame[column].dtype.kind in "if" else "left")
    for row in frame.itertuples(index=False):
        shown.add_row(
            *("" if value is None or value != value else f"{value:g}" if isinstance(value, float) else str(value) for value in row)
        )
    console.print(shown)


if __name__ == "__main__":
    main()
