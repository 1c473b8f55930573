"""The ``xlift`` command: thin wrappers around functions that a notebook can call. Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlift.harness.cli import hub, site
from xlift.harness.cli.arguments import RUNS, AsJson, Judge, Overrides, Runs, SuiteName, split_adapter
from xlift.harness.cli.judge import fidelity, judge
from xlift.harness.cli.output import print_rows
from xlift.harness.cli.probe import probe
from xlift.harness.cli.report import print_report, report
from xlift.harness.cli.show import show
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.logs import show_progress

if TYPE_CHECKING:
    from xlift.harness.config.suite import Suite

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(report)
app.command()(judge)
app.command()(fidelity)
app.command()(show)
app.command()(probe)
app.command()(site.site)
app.command()(site.record)


@app.command()
def run(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS, dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
        strict: Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items.")] = False,
        judge: Judge = None, as_json: AsJson = False) -> None:  # fmt: skip
    """Prepare, train, measure and judge every method of a suite, then print the table. Run it again to resume."""
    loaded = _load(suite, _add_judge(overrides, judge), strict)
    # After the suite is read: a mistake in it must not wait for what a run needs.
    from xlift.harness.pipeline.dry_run import plan_run
    from xlift.harness.pipeline.run import measure_suite

    if dry_run:
        _show_dry(plan_run(loaded, runs), as_json)
        return
    _judge_and_report(loaded, measure_suite(loaded, runs), as_json)


@app.command()
def train(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS,
          strict: Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items.")] = False,
          as_json: AsJson = False) -> None:  # fmt: skip
    """Prepare and train the methods of a suite, without measuring them; prints where the adapters lie."""
    loaded = _load(suite, overrides, strict)
    from xlift.harness.pipeline.run import fit_all, open_run

    trained = fit_all(open_run(loaded, runs))
    rows = [{"label": model.label, "seed": model.seed, "adapter": model.adapter} for model in trained]
    print_rows(rows, as_json)


@app.command()
def prepare(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS,
            out: Annotated[Path, typer.Option("--out", help="A folder in it is written for each method.")] = Path("rows"),
            strict: Annotated[bool, typer.Option("--strict", help="Refuse training rows that overlap evaluation items.")] = False,
            as_json: AsJson = False) -> None:  # fmt: skip
    """Stop after the data: each method's rows as Parquet and JSONL for TRL, LLaMA-Factory and axolotl, with a data card."""
    loaded = _load(suite, overrides, strict)
    from xlift.harness.pipeline.run import open_run, prepare_all
    from xlift.harness.publishing import export_rows

    opened = open_run(loaded, runs)
    written = {label: export_rows.export(opened, label, folder, out / label) for label, folder in prepare_all(opened).items()}
    print_rows([{"label": label, "folder": str(out / label), "files": len(files)} for label, files in written.items()], as_json)


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
    from xlift.harness.config.suite import read_suite
    from xlift.harness.pipeline.run import measure_suite

    named = dict(split_adapter(text) for text in adapters or [])
    if again:
        from xlift.harness.publishing.reproduction import recall

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
    loaded = read_suite(values, "command line", _add_judge(overrides, judge))
    folder = measure_suite(loaded, runs)
    _judge_and_report(loaded, folder, as_json)
    hub.tell_reproduction(folder, named)


@app.command(name="ls")
def list_names(what: Annotated[str, typer.Argument(metavar="methods|tasks|languages|suites")], as_json: AsJson = False) -> None:
    """List what xlift knows."""
    from xlift.harness.cli.ls import LISTS

    if what not in LISTS:
        raise UserError(f"cannot list {what!r}{name_nearest(what, LISTS)}")
    print_rows(LISTS[what](), as_json)


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
    from xlift.harness.pipeline.pilots import read_pilots
    from xlift.harness.recipes import scaling_law

    law = scaling_law.fit_scaling(read_pilots(sources, metric), ceiling)
    found = scaling_law.allocate(law, budget, languages.split(",") if languages else list(law.similarity))
    rows, doubts = scaling_law.describe(law, found), scaling_law.judge(law, found)
    if as_json:
        typer.echo(json.dumps({"law": law.model_dump(mode="json"), "allocation": rows, "doubts": doubts}, indent=1))
        return
    typer.echo(f"score = {law.ceiling:g} - a * (similarity * rows)^b, from {law.points} points")
    typer.echo(f"a = {law.a:.4g} ± {law.a_error:.2g}, b = {law.b:.4f} ± {law.b_error:.4f}, residual {law.residual_sd:.3f}, r2 {law.r2:.3f}")
    print_rows(rows, as_json=False)
    for doubt in doubts:
        typer.echo(f"doubt: {doubt}")
    typer.echo(f"\noptions for cross_lingual:\n{scaling_law.write_options(law)}", nl=False)


@app.command(name="new-method")
def new_method(name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by '_'.")],
               out: Annotated[Path, typer.Option("--out", help="Where the package folder is made.")] = Path()) -> None:  # fmt: skip
    """Write an installable package with one working method, its defaults and its test."""
    from xlift.harness.cli import new_method as package

    for path in package.create(name, out):
        typer.echo(path)


@app.command()
def validate(suites: Annotated[list[str], typer.Argument(metavar="SUITE...")], overrides: Overrides = None) -> None:
    """Check suites without running them: keys, methods, options, tasks and languages."""
    from xlift.harness.pipeline.dry_run import check_suite

    for name in suites:
        check_suite(_load(name, overrides, strict=False))
        typer.echo(f"{name}: valid")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works on this machine: devices, engines, data and hub."""
    from xlift.harness.cli.doctor import examine_machine

    print_rows(examine_machine(), as_json)


@app.command(name="lm-eval", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def lm_eval(context: typer.Context) -> None:
    """Run lm_eval with xlift's model registered (--model xlift); all arguments are lm_eval's."""
    from lm_eval.__main__ import cli_evaluate

    import xlift.harness.evaluation.lm_eval_entry  # noqa: F401  registers the model

    sys.argv = ["lm_eval", *context.args]
    cli_evaluate()


app.command()(hub.push)
app.command()(hub.pull)


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
    from xlift.harness.config.suite import load_suite

    return load_suite(source, [*(overrides or []), *(["data.strict=true"] if strict else [])])


def _add_judge(overrides: list[str] | None, judge: str | None) -> list[str]:
    return [*(overrides or []), *([] if judge is None else [f"judge.judge={json.dumps(judge)}"])]


def _judge_and_report(suite: Suite, folder: Path, as_json: bool) -> None:
    from xlift.harness.judging.judgement import judge_suite

    try:
        judge_suite(suite, folder)
    finally:  # a judge that fails takes no score with it
        print_report([folder], as_json)
        typer.echo(f"results: {folder}", err=True)


def _show_dry(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(plan, indent=1))
        return
    print_rows(plan["stages"], as_json=False)
    for key, value in plan["totals"].items():
        typer.echo(f"{key}: {value}")


if __name__ == "__main__":
    main()
