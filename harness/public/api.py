"""The functions of ``import xlift``: from a suite to results, and from results to what is published.

Each loads what it needs when it is called, so that a mistake in a suite shows before torch is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.data import list_names
from xlift.harness.config import suite as config
from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from xlift.harness.diagnostics.records import Probe
    from xlift.harness.judging.judgement import Judgement
    from xlift.harness.pipeline.submission import Submission
    from xlift.harness.publishing.hub import Pushed, PushPlan, Target
    from xlift.harness.publishing.push import PushedRun
    from xlift.harness.recipes.scaling_law import Split
    from xlift.results import Results

RUNS = "runs"


class JudgeError(UserError):
    """The judge failed after all models were measured. Their scores are in ``results``, and the same call continues with the judge."""

    results: Results


def load_suite(source: str | Path | Mapping[str, Any], settings: Iterable[str] = (), **sections: Any) -> Suite:
    """A suite from a YAML file, the name of one that ships, or a mapping of the same keys.

    ``sections`` change it: a mapping is merged key by key (``train={"tokens": 2_000_000}``), everything else replaces what was there
    (``seeds=[0, 1]``). ``settings`` do the same as texts, as ``xlift run --set`` takes them (``["train.tokens=2000000"]``), and come last.

    Raises UserError, which names the key and the nearest right one, for whatever does not follow the schema.
    """
    if isinstance(source, Mapping):
        return config.read_suite(config.merge(source, sections), "suite", settings)
    return config.load_suite(source, settings, sections)


def _require_suite(suite: object) -> None:
    """Raise UserError for a name, a path or a mapping in the place of a suite."""
    if not isinstance(suite, Suite):
        raise UserError(f"{suite!r:.80} is no suite; load it first: xlift.load_suite({suite!r:.80})")


def validate(suite: Suite) -> list[str]:
    """Check a suite. Raises UserError for a method, an option or a task that does not exist, and for settings with which nothing can be
    trained.

    It needs no model and no data. A base that is a folder on this machine is checked too. Returns what a person should know although
    nothing is wrong, a line for each: a base that was not chosen, languages that a benchmark lacks, and a warning of languages that are
    trained and not measured.
    """
    from xlift.harness.pipeline.dry_run import check_suite

    _require_suite(suite)
    return check_suite(suite)


def plan(suite: Suite, runs: str | Path = RUNS, *, card: str | None = None) -> pd.DataFrame:
    """What ``run`` would do, without doing it: one row for each stage, with columns stage, label, state (``done`` or ``to do``), rows,
    tokens, steps, items and seconds.

    Methods that only read corpora make their rows for it. For methods that ask a model, rows and tokens are upper bounds, or missing if
    there is no bound. Seconds are rough. They are those of this machine, or, computed on paper, those of a ``card`` (rtx4090-24gb,
    a100-80gb, h100-80gb); a card is chosen by itself if the base has 500 million parameters or more and there is no GPU here. The base need
    not be on this machine: sizes in the suite's ``base.sizes`` are enough.

    ``attrs["totals"]`` of the table holds the run folder, the number of tasks, what is left out, time, the memory of each training, and the
    disk space that is needed and free. ``attrs["data"]`` holds the rows of ``survey``. Nothing is fetched. Raises UserError as ``run``
    does, also for what its methods would only find out later: a corpus, a translator or a program that is missing, and memory that cannot
    hold the base.
    """
    import pandas as pd

    from xlift.harness.pipeline.dry_run import plan_run

    _require_suite(suite)
    found = plan_run(suite, Path(runs), card)
    table = pd.DataFrame(found["stages"]).astype(dict.fromkeys(("rows", "tokens", "steps", "items"), "Int64"))
    table.attrs["totals"], table.attrs["data"] = found["totals"], found["data"]
    return table


def plan_items(suite: Suite, pilots: Iterable[str | Path] = (), *, difference: float = 1.0, bits: float = 0.01) -> pd.DataFrame:
    """How many items each task of a suite needs in order to find a difference between a method and the base with 80 % power, one row for
    each task. The difference is ``difference`` points of 100, or ``bits`` per byte.

    ``pilots`` are run folders with the same tasks or benchmarks, which show how much an item's score changes. Without one, shares are
    planned as if one item in five changed, and nothing is known of other scores; nor is it of the tasks of other makers whose data are not
    on this machine. Raises UserError for a wrong suite, for missing data, and for a pilot that cannot be read.
    """
    from xlift.harness.pipeline.dry_run import list_tasks_asked
    from xlift.leaderboard.analysis import signal
    from xlift.leaderboard.loading.scores import collect_documents
    from xlift.results import load_results
    from xlift.tasks.benchmarks import find_metric, per_document, place

    asked = []
    for task in list_tasks_asked(suite):
        if known := task.foreign:
            asked.append(signal.PlannedTask(task.name, known.benchmark, known.metric, task.items, task.available))
        elif metric := per_document(task.name):
            benchmark, _ = place(task.name, suite.languages.pivot)
            asked.append(signal.PlannedTask(task.name, benchmark, find_metric(metric), task.items, task.available))
    folders = list(pilots)
    measured = signal.gather(collect_documents(load_results(*folders).measurements)) if folders else ()
    return signal.plan_items(asked, measured, difference=difference, bits=bits)


def run(suite: Suite, runs: str | Path = RUNS, *, wait: bool = False) -> Results:
    """Prepare the rows of every method, train an adapter for each seed, measure them and the base, and ask the judge if the suite names
    one.

    Everything is written below ``runs/NAME``, and what is finished there is not done again, so the same call resumes. Each stage runs in a
    process of its own. Two runs never work in one folder; with ``wait``, this one waits until the other has ended.

    Raises UserError if another process works in the folder, and, before anything is trained, if the suite is wrong or something is missing,
    such as a base model, data or a task. Raises JudgeError if all models were measured and the judge failed.
    """
    from xlift.harness.pipeline.run import measure_suite

    _require_suite(suite)
    return _judge(suite, measure_suite(suite, Path(runs), wait=wait))


def _judge(suite: Suite, folder: Path) -> Results:
    from xlift.harness.judging.judgement import judge_suite
    from xlift.results import load_results

    try:
        judge_suite(suite, folder)
    except UserError as error:
        failed = JudgeError(str(error))
        failed.exit_code, failed.results = error.exit_code, load_results(folder)
        raise failed from None
    return load_results(folder)


def work(
    run: str | Path, *, minutes: float | None = None, token: str | None = None, runs: str | Path = RUNS, settings: Iterable[str] = ()
) -> bool:
    """Be one of several workers of a run: take stages that are ready until nothing is left, or until ``minutes`` are over.

    ``run`` is a run folder, or a suite as ``load_suite`` takes it with ``settings``, whose folder is ``runs/NAME``. A stage that is not
    finished when the time is over is killed, and the next worker continues it. ``token`` is what ``submit`` left in the folder. Returns
    whether the whole run is finished; judging is left to ``run``. Raises UserError as ``run`` does, if the folder is not the one that was
    meant, if another version of xlift works in it, and at the end for the first stage that failed.
    """
    from xlift.harness.pipeline import worker

    changes = list(settings)
    is_run = Path(run).is_dir()
    if is_run and changes:
        raise UserError(f"--set: {run} is the folder of a run, whose suite stands in it; name the suite to change it")
    opened = worker.join_run(Path(run), token) if is_run or token else worker.share_run(load_suite(run, changes), Path(runs))
    return worker.work(opened, minutes)


def submit(
    suite: Suite, runs: str | Path = RUNS, *, executor: str = "slurm", address: str | None = None, wait: bool = False, dry_run: bool = False
) -> Submission | str:
    """Start workers of a run (``resources`` of the suite) through a scheduler: ``slurm``, or ``local`` for processes of this machine.

    Base and data are fetched first. The workers continue when this process ends; with ``wait`` it waits for their end. ``ray`` is driven
    from here until everything is measured, on the cluster of that ``address``, or without one on the cluster of this machine, which is
    started if there is none. ``run`` then finds what was made. With ``dry_run`` nothing is done, and the script that Slurm would get is
    returned. Raises UserError as ``run`` does before anything is trained, and if the scheduler is missing.
    """
    from xlift.harness.pipeline import submission

    _require_suite(suite)
    if dry_run:
        return submission.write_script(suite, Path(runs), executor)
    return submission.submit(suite, Path(runs), executor, wait=wait, address=address)


def train(suite: Suite, runs: str | Path = RUNS, *, wait: bool = False) -> pd.DataFrame:
    """Do what ``run`` does without measuring. Returns one row for each adapter, with columns label, seed and adapter, its folder.

    A method that trains nothing has one row without a seed, and its adapter holds only an inference profile.
    """
    import pandas as pd

    from xlift.harness.pipeline.run import begin, train_all

    _require_suite(suite)
    with begin(suite, Path(runs), wait=wait) as opened:
        trained = train_all(opened)
    rows = [{"label": model.label, "seed": model.seed, "adapter": model.adapter} for model in trained]
    return pd.DataFrame(rows, columns=["label", "seed", "adapter"]).astype({"seed": "Int64"})


def prepare(suite: Suite, out: str | Path = "rows", runs: str | Path = RUNS, *, wait: bool = False) -> pd.DataFrame:
    """Make the training rows only, and write them to ``out/LABEL`` as Parquet and as JSONL for TRL, LLaMA-Factory and axolotl, with a data
    card.

    Returns one row for each method, with columns label, folder and files, their number. Files of an earlier export are replaced. Raises
    UserError if a folder holds other files.
    """
    import pandas as pd

    from xlift.harness.pipeline.run import begin, prepare_all
    from xlift.harness.publishing import export_rows

    _require_suite(suite)
    rows = []
    with begin(suite, Path(runs), wait=wait) as opened:
        for label, prepared in prepare_all(opened).items():
            folder = Path(out) / label
            written = export_rows.export(opened, label, prepared, folder)
            rows.append({"label": label, "folder": str(folder), "files": len(written)})
    return pd.DataFrame(rows, columns=["label", "folder", "files"])


def evaluate(  # noqa: PLR0913 (as many as the command's options)
    base: str | None = None, *, tasks: Sequence[str] = (), adapters: Mapping[str, str | Path] | None = None, again: str | None = None,
    languages: Sequence[str] = ("en",), limit: int | None = None, runs: str | Path = RUNS, settings: Iterable[str] = (),
    wait: bool = False, **sections: Any,
) -> Results:  # fmt: skip
    """Measure a base model and any adapters of it on one loaded engine, in the run folder ``runs/evaluate``.

    ``base`` is a local folder or a hub repository; if not given, it is the small model of the demo. ``adapters`` maps the names that
    tables show to folders or ``hub:ORG/NAME``. In the names of ``tasks``, ``{lang}`` and ``{flores}`` are replaced by each of
    ``languages``. ``limit`` is the number of items of each task, the same for all models. ``again="hub:ORG/NAME"`` measures an adapter of
    the hub with the settings of its recorded scores, except for those that are given here. Further keys of a suite are given as in
    ``load_suite``: ``name="other"``, ``engine={"backend": "vllm"}``. ``wait`` means the same as in ``run``.

    Raises UserError if something does not exist or does not fit together, and JudgeError as ``run`` does.
    """
    languages, tasks, settings = list_names(languages), list_names(tasks), list_names(settings)
    values: dict[str, Any] = {"name": "evaluate", "languages": {"evaluate": languages}}
    named = {name: str(place) for name, place in (adapters or {}).items()}
    if again:
        from xlift.harness.publishing.reproduction import name_adapter, recall

        if limit:
            raise UserError(f"limit: {again} is measured on as many items as its scores were; leave it out, or name adapters and tasks")
        known = recall(again)
        named[name_adapter(again)] = again
        base, tasks, settings = base or known.base, tasks or known.tasks, (*known.settings, *settings)
        values["engine"] = {"backend": known.backend}
    if not tasks:
        raise UserError("name tasks, or an adapter as hub:ORG/NAME to measure it again as its scores were")
    values |= {"base": {"model": base}} if base else {}
    # A published score is reproduced by answers that are made anew, not by those that it was made of.
    published = any(place.startswith("hub:") for place in named.values())
    values |= {"evaluate": {"tasks": tuple(tasks), "limit": limit, "adapters": named, "share_answers": not published}}
    return run(config.read_suite(config.merge(values, sections), "evaluate", settings), runs, wait=wait)


def fit_scaling(
    pilots: Iterable[str | Path], budget: int, *, languages: Sequence[str] = (), metric: str = "corpus_chrf", ceiling: float = 100.0
) -> Split:
    """Fit the scaling law of parallel rows to pilots, and split ``budget`` rows over languages.

    ``pilots`` are CSV files (``language,rows,score[,similarity]``) or run folders, from which ``metric`` of the FLORES tasks is taken. If
    ``languages`` are not given, they are all that have pilots. ``ceiling`` is the best score that is possible. The result has the split in
    ``rows``, reasons against using it in ``doubts``, and the options for ``cross_lingual`` in ``options``. docs/scaling.md has the law.

    Raises UserError for pilots that are not comparable or too few.
    """
    from xlift.harness.pipeline.pilots import read_pilots
    from xlift.harness.recipes import scaling_law

    law = scaling_law.fit_scaling(read_pilots(map(Path, pilots), metric), ceiling)
    return scaling_law.Split(law, scaling_law.allocate(law, budget, list(languages or law.similarity)))


def calibrate(judge: str, **settings: Any) -> Judgement:
    """Ask a judge the built-in probes, which are comparisons with a known outcome. Its replies are kept, and win rates name them.

    ``judge`` and ``settings`` are those of ``Results.judge``. ``calibration["rows"]`` of the result has a row for each kind of probe, and
    ``rows`` is empty. Raises UserError as ``Results.judge`` does.
    """
    from xlift.harness.judging.judgement import judge as ask
    from xlift.results import read_judge

    return ask(read_judge(judge, {**settings, "calibrate": True}), [])


def probe(
    subject: Results | str | Path, *, adapters: Mapping[str, str | Path] | None = None, languages: Sequence[str] = (),
    pivot: str | None = None, corpus: str = "flores", limit: int | None = None, labels: bool = False, out: str | Path | None = None,
) -> Probe:  # fmt: skip
    """Measure how a base and adapters of it represent parallel sentences: cosine and retrieval between translations by layer, and
    perplexity.

    With ``labels``, linear classifiers are also fitted to the states of SIB-200's sentences, in all languages, with controls.

    ``subject`` is a base model, or a run (``Results`` of one folder, or the folder) whose measured adapters are probed. ``adapters`` maps
    the names that tables show to further adapters. If ``languages`` and ``pivot`` are not given, they are those of the run; a base model
    needs languages. ``limit`` is the number of sentences, from the first on. ``probe.json`` and ``probe.svg`` are written into ``out``, or
    into the folder of the run.

    Raises UserError if a model, an adapter or a language cannot be found, and for fewer than two sentences.
    """
    from dataclasses import replace

    from xlift.harness.diagnostics import probe as diagnostics
    from xlift.harness.diagnostics.labels import read_labelled
    from xlift.harness.publishing.probe_files import write_probe

    references = {name: str(place) for name, place in (adapters or {}).items()}
    place = _read_folder(subject).expanduser()
    run = place if diagnostics.is_run(place) else None
    if run:
        opened = diagnostics.open_run(run)
        opened = replace(opened, adapters={**opened.adapters, **diagnostics.resolve_adapters(references)})
    else:
        opened = diagnostics.open_model(str(subject), references)
    codes = tuple(languages) or opened.languages
    if not codes:
        raise UserError("--languages: name at least one besides the pivot, such as es,sw")
    sentences = diagnostics.read_sentences(codes, pivot or opened.pivot, corpus, limit)
    found = diagnostics.probe(opened, sentences, labelled=read_labelled(list(sentences.texts), limit) if labels else None)
    if folder := out or run:
        write_probe(found, Path(folder))
    return found


def build_site(
    results: Iterable[Results | str | Path], out: str | Path = "site", *, base: str | None = None, url: str = ""
) -> tuple[str, ...]:  # fmt: skip
    """Build the leaderboard as static pages that need no server, beginning with ``out/index.html``. Returns a line for each thing that was
    left out.

    ``results`` are ``Results``, run folders or folders of them, and results files of lm-eval and other programs. ``base`` names the model
    with which results of other programs are compared, if they do not name it themselves. ``url`` is where the site will be published, which
    links elsewhere need to show its picture. Only files that change are written.

    Raises UserError for results and a base that do not exist, for a ``url`` that is none, and if ``out`` holds files that are not a site's.
    """
    from xlift.leaderboard.site.builder import build

    places: list[Path] = []
    for one in [results] if isinstance(results, str | Path) else results:
        places += [Path(one)] if isinstance(one, str | Path) else one.folders
    return build(places, Path(out), base, url)


def push(
    adapter: str | Path, target: str | Target, *, run: str | Path | None = None, leaderboard: str | None = None, dry_run: bool = False,
    check: bool = False, accept_licences: bool = False, foreign: bool = False,
) -> Pushed | PushPlan:  # fmt: skip
    """Put an adapter on the hub with a card written from its run, read it back, and compare.

    ``target`` is ``ORG/NAME``, or a ``Target`` for a private repository or a pull request. ``run`` is the adapter's run folder, if the
    adapter is not in it; ``leaderboard`` is the address of its row, for the card. ``check`` loads the hub's copy and compares its logits;
    ``accept_licences`` acknowledges training data whose licences restrict use. ``foreign`` allows an adapter that xlift did not train: its
    card says what its files hold, its scores if ``run`` has them, and that the rest is not known. With ``dry_run`` nothing is sent and no
    server is asked: a ``PushPlan`` says what would be sent.

    Raises UserError for what may not or cannot be published, and ServiceError, which is a UserError too, if the hub fails.
    """
    from xlift.harness.publishing import push as publishing

    package = publishing.pack(Path(adapter), _read_target(target), Path(run) if run else None, leaderboard, foreign=foreign)
    if dry_run:
        return publishing.plan(package)
    publishing.require_acceptance([package], accept_licences)
    return publishing.send(package, check)


def push_all(
    run: Results | str | Path, owner: str | Target, *, leaderboard: str | None = None, dry_run: bool = False, check: bool = False,
    accept_licences: bool = False, tell: Callable[[Pushed], None] | None = None,
) -> PushedRun | list[PushPlan]:  # fmt: skip
    """``push`` every measured adapter of a run to a repository of ``owner`` that is named after suite and label, and make a collection of
    them.

    ``owner`` is ``ORG``, or a ``Target`` with that name. ``tell`` is called after each push. Raises UserError as ``push`` does, before
    anything is sent.
    """
    from xlift.harness.publishing import push as publishing

    where, folder = _read_target(owner), _read_folder(run)
    packages = publishing.pack_run(folder, where, leaderboard)
    if dry_run:
        return [publishing.plan(package) for package in packages]
    publishing.require_acceptance(packages, accept_licences)
    return publishing.send_run(folder, where, packages, check, tell)


def push_site(folder: str | Path, target: str | Target, *, dry_run: bool = False) -> Pushed | PushPlan:
    """Put a site that was built in ``folder`` on the hub as a static Space. Pages that the site no longer has are deleted there.

    Raises UserError for a folder that is no site and a file that holds a path of this machine or a secret, and ServiceError, which is a
    UserError too, if the hub fails.
    """
    from xlift.harness.publishing import push_site as publishing

    where = _read_target(target)
    return publishing.plan_site(Path(folder), where) if dry_run else publishing.send_site(Path(folder), where)


def _read_target(target: str | Target) -> Target:
    from xlift.harness.publishing.hub import Target

    return Target(target) if isinstance(target, str) else target


def _read_folder(run: Results | str | Path) -> Path:
    return Path(run) if isinstance(run, str | Path) else run.folder


def pull(repository: str, out: str | Path | None = None) -> Path:
    """Fetch an adapter, ``ORG/NAME`` or ``ORG/NAME@REVISION``, from the hub, check that it is complete, and return its folder.

    The folder is in the hub's cache, or is ``out``. Raises UserError if its weights are not those that were pushed.
    """
    from xlift.harness.publishing import hub

    name, _, revision = repository.removeprefix("hub:").partition("@")
    return hub.pull(name, revision or None, Path(out) if out else None)


def merge(adapter: str | Path, out: str | Path, *, base: str | None = None, dtype: str = "bfloat16") -> Path:
    """Merge an adapter into its base, write the result into the empty folder ``out`` as a model of its own, and return the folder.

    It holds safetensors in ``dtype`` with tokenizer and chat template. ``adapter`` is a folder or ``hub:ORG/NAME``; ``base`` is needed if
    the adapter does not name its base. Raises UserError for a profile without weights, and for an adapter that does not fit or changes
    nothing.
    """
    from xlift.harness.models.merging import write_merged

    return write_merged(str(adapter), Path(out), base, dtype)


def list_methods() -> pd.DataFrame:
    """Built-in and installed methods, with columns method and about: the first sentence about the method, or what is wrong with it."""
    import pandas as pd

    from xlift.harness.recipes import registry

    def describe(name: str) -> str:
        try:
            return registry.describe(name)
        except UserError as error:
            return f"cannot be used: {error}"

    return pd.DataFrame([{"method": name, "about": describe(name)} for name in registry.names()])


def list_tasks() -> pd.DataFrame:
    """The lm-eval tasks of xlift, groups first, with columns name, tasks (how many) and reads (the corpus of a single task)."""
    import pandas as pd

    from xlift.tasks import index

    return pd.DataFrame(index.list_all())


def list_languages(data: bool = False) -> pd.DataFrame:
    """The 204 languages of FLORES-200 and five of Belebele: columns code, flores, name, own name, and benchmarks, which have the language.

    With ``data``, the languages of FLORES-200 with the training corpora that have an address: columns code, name, parallel, lexicon,
    instructions, problems, questions and benchmarks.
    """
    import pandas as pd

    from xlift.harness.core.languages import languages
    from xlift.tasks import coverage, index

    if data:
        found = coverage.list_coverage()
        return pd.DataFrame(
            {"code": one.lang, "name": languages()[one.lang].name, **{kind: " ".join(parts) for kind, parts in one.training.items()},
             "benchmarks": " ".join(one.benchmarks)}
            for one in found
        )  # fmt: skip
    covered = index.languages_of_benchmarks()
    return pd.DataFrame(
        {"code": language.code, "flores": language.flores, "name": language.name, "own name": language.own_name,
         "benchmarks": " ".join(covered.get(language.code, ()))}
        for language in languages().values()
    )  # fmt: skip


def list_suites() -> pd.DataFrame:
    """The suites that come with xlift, with columns suite, base and methods, the labels of the methods that they compare."""
    import pandas as pd

    loaded = {name: config.load_suite(name) for name in config.shipped_suites()}
    return pd.DataFrame({"suite": name, "base": suite.base.model, "methods": ", ".join(suite.methods)} for name, suite in loaded.items())
