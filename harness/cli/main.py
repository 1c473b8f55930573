"""The ``xlift`` command: thin wrappers around ``import xlift``. Results go to stdout, progress to stderr."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import xlift
from xlift.harness.cli import data, hub, site
from xlift.harness.cli.arguments import (
    RUNS,
    AsJson,
    Judge,
    Overrides,
    Runs,
    Strict,
    SuiteName,
    Wait,
    add_judge,
    add_strict,
    read_adapters,
    split_names,
)
from xlift.harness.cli.demo import demo
from xlift.harness.cli.judge import fidelity, judge
from xlift.harness.cli.merge import merge
from xlift.harness.cli.naming import naming
from xlift.harness.cli.output import list_rows, print_frame, print_rows
from xlift.harness.cli.probe import probe
from xlift.harness.cli.report import compare_paper, report, report_on
from xlift.harness.cli.show import show
from xlift.harness.cli.signal import plan_items, signal
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.logs import show_progress
from xlift.harness.core.times import write_seconds

if TYPE_CHECKING:
    import pandas as pd

    from xlift import Suite

MISTAKES = cast(type[Exception], typer.BadParameter.__mro__[2])
"""The base class of every error that Typer raises for wrong input. It is click's ClickException, of which Typer has a copy since 0.26 that
it does not name."""

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(demo)
app.command()(report)
app.command()(compare_paper)
app.add_typer(data.app, name="data")
app.command()(judge)
app.command()(fidelity)
app.command()(show)
app.command()(probe)
app.command()(signal)
app.command()(plan_items)
app.command()(site.site)
app.command()(site.record)
app.command()(site.reproduce)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(xlift.__version__)
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print xlift's version.")] = False,
) -> None:
    """Train published methods that lift a language model beyond English, measure them on equal terms, and compare."""
    if "XLIFT_SAMPLES" in os.environ:
        from xlift.tasks.data import check_variable

        check_variable()


@app.command()
def run(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS, dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
        card: Annotated[str | None, typer.Option("--card", help="With --dry-run: hours on this GPU, such as a100-80gb.")] = None,
        executor: Annotated[str | None, typer.Option("--executor", metavar="slurm|local|ray", help="Hand workers (resources of the suite) "
                                                     "to a scheduler; --dry-run prints its script, --wait waits for their end.")] = None,
        address: Annotated[str | None, typer.Option("--address", help="With --executor ray: HOST:PORT of a cluster; without, "
                                                    "this machine's.")] = None,
        strict: Strict = False, judge: Judge = None, wait: Wait = False, as_json: AsJson = False) -> None:  # fmt: skip
    """Prepare, train, measure and judge every method of a suite, then print the table. Run it again to resume."""
    loaded = _load(suite, add_judge(overrides, judge), strict)
    if address and not executor:
        raise UserError(f"--address {address} goes with --executor ray")
    if executor:
        with naming(suite):
            ended = _submit(loaded, runs, executor, address, wait=wait, dry_run=dry_run)
        if not ended:
            return
    if card and not dry_run:
        raise UserError("--card goes with --dry-run: a run takes the GPU that there is")
    with naming(suite):
        if dry_run:
            _show_plan(xlift.plan(loaded, runs, card=card), as_json)
            return
        report_on(lambda: xlift.run(loaded, runs, wait=wait), as_json)


def _submit(suite: Suite, runs: Path, executor: str, address: str | None, *, wait: bool, dry_run: bool) -> bool:
    """Start workers through a scheduler, or print its script. Returns whether the workers have ended."""
    found = xlift.submit(suite, runs, executor=executor, address=address, wait=wait, dry_run=dry_run)
    if isinstance(found, str):
        typer.echo(found)
        return False
    if not found.jobs:
        return True
    typer.echo(f"{len(found.jobs)} workers: {', '.join(found.jobs)}; logs: {found.root / 'logs'}", err=True)
    if not wait:
        typer.echo(f"`xlift run {suite.name}` shows what is finished, and does the rest, once they have ended", err=True)
    return wait


@app.command()
def worker(
    run: Annotated[str, typer.Argument(metavar="RUN|SUITE", help="A run folder, such as runs/demo, or a suite.")],
    minutes: Annotated[float | None, typer.Option("--minutes", help="Time until it ends; without, it works until nothing is left.")] = None,
    overrides: Overrides = None, runs: Runs = RUNS,
) -> None:  # fmt: skip
    """Be one of several workers of a run, on any machine that sees its folder: take what is ready until nothing is left."""
    finished = xlift.work(run, minutes=minutes, runs=runs, settings=overrides or [])
    typer.echo("the run is finished" if finished else "the time is up; other workers, or this command again, go on with the rest", err=True)


@app.command()
def train(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS, strict: Strict = False, wait: Wait = False,
          as_json: AsJson = False) -> None:  # fmt: skip
    """Prepare and train the methods of a suite, without measuring them; prints where the adapters lie."""
    with naming(suite):
        print_frame(xlift.train(_load(suite, overrides, strict), runs, wait=wait), as_json)


@app.command()
def prepare(suite: SuiteName, overrides: Overrides = None, runs: Runs = RUNS,
            out: Annotated[Path, typer.Option("--out", help="Folder in which each method gets a folder.")] = Path("rows"),
            strict: Strict = False, wait: Wait = False, as_json: AsJson = False) -> None:  # fmt: skip
    """Stop after the data: each method's rows as Parquet and JSONL for TRL, LLaMA-Factory and axolotl, with a data card."""
    with naming(suite):
        print_frame(xlift.prepare(_load(suite, overrides, strict), out, runs, wait=wait), as_json)


@app.command()
def evaluate(
    again: Annotated[str | None, typer.Argument(metavar="[hub:ORG/NAME]",
            help="An adapter of the hub, to be measured again with the settings of its scores.")] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Tasks or groups, separated by commas. {lang} and {flores} are replaced by --languages.")
    ] = None,
    adapters: Annotated[
        list[str] | None, typer.Option("--adapter", metavar="NAME=PATH", help="A PEFT adapter: a folder or hub:ORG/NAME.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="The base model.  [default: smollm2-135m-instruct]")] = None,
    languages: Annotated[str, typer.Option("--languages", help="Codes separated by commas.")] = "en",
    limit: Annotated[int | None, typer.Option("--limit", help="Number of items of each task. Fewer than 40 make a smoke test.")] = None,
    backend: Annotated[str | None, typer.Option("--backend", help="Engine: auto, vllm, hf or api.  [default: auto]")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the run folder.")] = "evaluate",
    judge: Judge = None, overrides: Overrides = None, runs: Runs = RUNS,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a group of tasks that lacks the data of a language.")] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure a base model and any adapters of it on one loaded engine."""
    named = read_adapters(adapters)
    engine = {"engine": {"backend": backend}} if backend else {}
    results = report_on(
        lambda: xlift.evaluate(
            base, tasks=split_names(tasks), adapters=named, again=again, languages=split_names(languages), limit=limit,
            runs=runs, settings=add_strict(add_judge(overrides, judge), strict), wait=wait, name=name, **engine,
        ),
        as_json,
    )  # fmt: skip
    for line in results.look_back():
        typer.echo(line, err=True)


@app.command(name="ls")
def list_names(what: Annotated[str, typer.Argument(metavar="methods|tasks|languages|suites")],
               data: Annotated[bool, typer.Option("--data", help="For languages: show the training data of each.")] = False,
               as_json: AsJson = False) -> None:  # fmt: skip
    """List what xlift knows."""
    lists = {"methods": xlift.list_methods, "tasks": xlift.list_tasks, "languages": xlift.list_languages, "suites": xlift.list_suites}
    if what not in lists:
        raise UserError(f"cannot list {what!r}{name_nearest(what, lists)}")
    if data and what != "languages":
        raise UserError("--data is for languages: xlift ls languages --data")
    print_frame(xlift.list_languages(data=True) if data else lists[what](), as_json)


@app.command()
def tasks(path: Annotated[bool, typer.Option("--path", help="Print the folder for lm_eval --include_path.")] = False,
          pair: Annotated[str | None, typer.Option("--pair", metavar="SRC-TGT", help="Write one more FLORES pair.")] = None,
          dev: Annotated[list[str] | None, typer.Option("--dev", metavar="TASK", help="Write a task or a group on its benchmark's dev "
                "split, for choosing rates; may be given again.")] = None,
          out: Annotated[Path, typer.Option("--out", help="Folder for the files of --pair and --dev.")] = Path()) -> None:  # fmt: skip
    """Print the folder of the lm-eval tasks, or write a task for a FLORES pair without English, or tasks on a dev split."""
    from xlift.tasks import index

    if pair:
        typer.echo(index.write_pair_file(pair, out))
    for file in index.write_dev_files(dev or (), out):
        typer.echo(file)
    if path:
        typer.echo(index.folder())
    if not (pair or dev or path):
        raise UserError("say --path for the task folder, --pair SRC-TGT for one more FLORES pair, or --dev TASK for a task on a dev split")


@app.command(name="fit-scaling")
def fit_scaling(
    sources: Annotated[list[Path], typer.Argument(metavar="PILOTS...",
            help="CSV files with language,rows,score[,similarity], or run folders.")],
    budget: Annotated[int, typer.Option("--budget", help="Number of translation rows to split.")],
    languages: Annotated[str | None, typer.Option("--languages",
            help="Codes separated by commas. Without it, all languages that have pilots.")] = None,
    metric: Annotated[str, typer.Option("--metric", help="Metric of the FLORES tasks in run folders.")] = "corpus_chrf",
    ceiling: Annotated[float, typer.Option("--ceiling", help="The best score that is possible.")] = 100.0,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Fit the scaling law of parallel rows to pilots, and split a budget over languages, with errors."""
    found = xlift.fit_scaling(sources, budget, languages=split_names(languages), metric=metric, ceiling=ceiling)
    law = found.law
    if as_json:
        typer.echo(json.dumps({"law": law.model_dump(mode="json"), "allocation": found.rows, "doubts": found.doubts}, indent=1))
        return
    typer.echo(f"score = {law.ceiling:g} - a * (similarity * rows)^b, from {law.points} points")
    typer.echo(f"a = {law.a:.4g} ± {law.a_error:.2g}, b = {law.b:.4f} ± {law.b_error:.4f}, residual {law.residual_sd:.3f}, r2 {law.r2:.3f}")
    print_rows(found.rows, as_json=False)
    for doubt in found.doubts:
        typer.echo(f"doubt: {doubt}")
    typer.echo(f"\noptions for cross_lingual:\n{found.options}", nl=False)


@app.command(name="new-method")
def new_method(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the method: lower-case words joined by '_'.")],
               out: Annotated[Path, typer.Option("--out", help="Folder in which the package is made.")] = Path()) -> None:  # fmt: skip
    """Write an installable package with one working method, its defaults and its test."""
    from xlift.harness.cli import new_method as package

    for path in package.create(name, out):
        typer.echo(path)


@app.command()
def validate(suites: Annotated[list[str], typer.Argument(metavar="SUITE...")], overrides: Overrides = None) -> None:
    """Check suites without running them: keys, methods, options, tasks and languages. Say what is left out, which data they will read, and
    from where.

    If a suite lacks data that it needs, the command says so and ends with exit code 2.
    """
    stops = []
    for name in suites:
        suite = xlift.load_suite(name, overrides or [])
        with naming(name):
            remarks = xlift.validate(suite)
            needed = xlift.survey(suite)
        remarks += [f"left out: {line}" for line in needed.attrs["left out"]]
        stop = needed.attrs["stop"]
        typer.echo(f"{name}: valid, but it cannot run here" if stop else f"{name}: valid")
        for remark in remarks:
            typer.echo(f"  {remark}")
        data.show_needs(list_rows(needed))
        stops += [f"{name}: {stop}"] if stop else []
    for stop in stops:
        typer.echo(f"xlift: {stop}", err=True)
    if stops:
        raise typer.Exit(2)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works on this machine: devices, engines, data and the hub."""
    from xlift.harness.cli.doctor import examine_machine

    print_rows(examine_machine(), as_json)


@app.command(name="lm-eval", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def lm_eval(context: typer.Context) -> None:
    """Run lm_eval with xlift's model (--model xlift) and its tasks known; all arguments are lm_eval's."""
    from xlift.harness.evaluation.lm_eval_command import run_command

    run_command(context.args)


app.command()(hub.push)
app.command()(hub.pull)
app.command()(merge)


def main() -> None:
    """Entry point: a UserError is one line on stderr and its exit code, 2 or 3."""
    show_progress()
    if sys.stdout is None:
        typer.echo("xlift: standard output is closed, and results go there; send it to a file or to /dev/null", err=True)
        sys.exit(2)
    try:
        sys.exit(app(prog_name="xlift", standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(1)
    except MISTAKES as error:
        sys.exit(_show_mistake(error))
    except UserError as error:
        typer.echo(f"xlift: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _let_go_of_output()
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename:
            raise
        _let_go_of_output()
        typer.echo(f"xlift: standard output cannot be written ({error.strerror})", err=True)
        sys.exit(2)


def _let_go_of_output() -> None:
    """Drop the output that is still to be written, without another error at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_mistake(error: Exception) -> int:
    """Show a wrong command, argument or option in one line, or the help that replaces a command. Returns the exit code."""
    context, text = getattr(error, "ctx", None), error.format_message()  # type: ignore[attr-defined]
    if "\n" in text:
        typer.echo(text, err=True)
    else:
        where = f" ({context.command_path} --help shows what there is)" if context else ""
        typer.echo(f"xlift: {text.rstrip('.')}{where}", err=True)
    return int(error.exit_code)  # type: ignore[attr-defined]


def _load(source: str, overrides: list[str] | None, strict: bool) -> Suite:
    return xlift.load_suite(source, add_strict(overrides, strict))


def _show_plan(plan: pd.DataFrame, as_json: bool) -> None:
    import pandas as pd

    totals = plan.attrs["totals"]
    if as_json:
        typer.echo(json.dumps({"stages": list_rows(plan), "totals": totals, "data": plan.attrs["data"]}, indent=1))
        return
    times = ["" if pd.isna(seconds) else write_seconds(seconds) for seconds in plan["seconds"]]
    print_frame(plan.drop(columns="seconds").assign(time=times), as_json=False)
    data.show_needs(plan.attrs["data"])
    for key, value in totals.items():
        typer.echo(f"{key}: {value}")


if __name__ == "__main__":
    main()
