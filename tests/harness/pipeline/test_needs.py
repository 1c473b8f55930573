"""The data that a suite will ask for, found out before any work: here, to fetch, samples or nowhere."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import Call
from fakes import FakeContext
from loopback_hub import State

import xlift
from xlift import methods
from xlift.harness.config.suite import Suite, load_suite, read_suite, shipped_suites
from xlift.harness.core.errors import LanguageMissingError, UserError
from xlift.harness.evaluation.tasks import expand_tasks
from xlift.harness.pipeline import needs
from xlift.harness.plugin import Method, Options, Plan, load
from xlift.harness.recipes.registry import load_labelled
from xlift.tasks.data import read

QA_TASK = "xlift_xquad_{lang}"


def suite_of(method: str, languages: Sequence[str] = ("es",), samples: str = "never", **options: Any) -> Suite:
    values = {
        "name": "small", "languages": {"train": list(languages), "evaluate": ["es"]}, "data": {"samples": samples},
        "methods": {"m": {"method": method, "options": options}}, "evaluate": {"tasks": [QA_TASK]},
    }  # fmt: skip
    return read_suite(values, "test")


def states(suite: Suite) -> dict[tuple[str, str, str], tuple[str, str]]:
    found = needs.list_needs(suite, expand_tasks(suite)[0])
    return {(need.who, need.supply.corpus, need.supply.lang): (need.supply.state, need.instead) for need in found}


READ = {
    "alignment_preference": {("gsm8k", "en"), ("gsm8k", "es")},
    "cross_lingual": {("alpaca", "en"), ("alpaca", "es"), ("parallel", "es")},
    "dpo_self_improvement": {("alpagasus", "en"), ("alpagasus", "es")},
    "knowledge_triples": {("triples", "en"), ("triples", "es"), ("entities", "es")},
    "multilingual_reasoning": {("gsm8k", "en"), ("gsm8k", "es")},
    "pivot_language": {("alpagasus", "en"), ("alpagasus", "es"), ("alpaca", "en")},
    "pivot_only": {("alpaca", "en")},
    "question_alignment": {("gsm8k", "en"), ("gsm8k", "es")},
    "self_distillation": {("alpaca", "en"), ("lexicon", "es"), ("parallel", "es")},
    "self_instruct": {("alpaca/seed", "en"), ("alpaca/seed", "es")},
    "layer_swap": {("gsm8k", "en"), ("alpaca", "en"), ("alpaca", "es")},
    "language_neurons": {("parallel", "es")},
    "translation_pruning": {("parallel", "es")},
    "task_arithmetic": {("gsm8k", "en"), ("alpaca", "en"), ("alpaca", "es")},
    "sft_on_chosen": {("alpagasus", "en"), ("alpagasus", "es")},
    "star_alignment": {("alpaca", "en"), ("parallel", "es"), ("lexicon", "es")},
    "translate_then_sft": {("alpaca", "en")},
    "xlt_prompt": set(),
}


@pytest.mark.parametrize("method", READ)
def test_what_each_method_reads(method: str) -> None:
    found = load(method, {}).list_readings("en", ("es",))
    assert {(one.corpus, one.lang) for one in found} == READ[method]


class Recording(FakeContext):
    """Remembers what was asked for; a corpus has every language."""

    def __init__(self) -> None:
        super().__init__(("es",), 40)
        self.read_of: set[tuple[str, str]] = set()

    def read(self, corpus: str, lang: str) -> Any:
        self.read_of.add((corpus, lang))
        return super().read(corpus, lang)


@pytest.mark.parametrize("method", [*READ, "linguistically_diverse_prompts"])
def test_a_method_reads_nothing_that_it_does_not_say(method: str) -> None:
    context = Recording()
    made = load(method, {"corpus": "parallel", "translations": "translator"} if method.startswith("lingu") else {})
    made.prepare(context)
    assert context.read_of <= {(one.corpus, one.lang) for one in made.list_readings("en", ("es",))}


@pytest.mark.usefixtures("unplugged")
def test_states(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{"train/alpaca/alpaca_en_random9k.jsonl.gz": '{"instruction": "Hi.", "input": "", "output": "Hello."}\n'})
    assert states(suite_of("cross_lingual")) == {
        ("tasks", "xquad", "es"): ("nowhere", ""),
        ("m", "alpaca", "en"): ("here", ""),
        ("m", "alpaca", "es"): ("nowhere", "the pivot's instructions are translated by the base itself (translators.default: self)"),
        ("m", "parallel", "es"): ("nowhere", ""),
    }
    assert states(suite_of("cross_lingual", samples="missing"))["m", "parallel", "es"] == ("samples", "")


@pytest.mark.usefixtures("unplugged")
def test_who_translates_is_named() -> None:
    served = {"en-es": {"kind": "api", "model": "mt", "url": "http://h/v1"}, "default": {"kind": "seq2seq", "model": "org/nllb"}}
    suite = suite_of("cross_lingual", ("es", "fr"))
    named = read_suite(suite.model_dump() | {"translators": served}, "test")
    assert states(named)["m", "alpaca", "es"][1].endswith("translated by mt at a server (translators.en-es: api)")
    assert states(named)["m", "alpaca", "fr"][1].endswith("translated by org/nllb (translators.default: seq2seq)")
    own = {"m": {"method": "cross_lingual", "translators": {"en-fr": {"kind": "command", "command": "cat"}}}}
    none_of_es = read_suite(suite.model_dump() | {"methods": own}, "test")
    assert states(none_of_es)["m", "alpaca", "fr"][1].endswith("by a command (methods.m.translators.en-fr: command)")
    assert states(none_of_es)["m", "alpaca", "es"][1] == "the pivot's instructions are translated"


def test_sizes_of_what_is_to_be_fetched(mirror: State, monkeypatch: pytest.MonkeyPatch) -> None:
    table = xlift.survey(suite_of("question_alignment", ("es", "fr")))
    rows = [tuple(row) for row in table[["for", "corpus", "languages", "state"]].itertuples(index=False, name=None)]
    assert rows == [("tasks", "xquad", "es", "to fetch"), ("m", "gsm8k", "en es fr", "to fetch")]
    read("xquad", "es"), read("gsm8k", "fr")
    rows = [tuple(row) for row in xlift.survey(suite_of("question_alignment", ("es", "fr")))[["corpus", "languages", "state"]].values]
    assert rows == [("xquad", "es", "here"), ("gsm8k", "en fr", "here"), ("gsm8k", "es", "to fetch")]
    assert mirror.count("GET .*es-en") == 0, "nothing of it was fetched"


@pytest.mark.usefixtures("unplugged")
def test_samples_are_proposed_only_where_there_are_any() -> None:
    english, tamil = (suite_of("pivot_only"), suite_of("question_alignment", ("ta",)))
    advice = {
        (need.supply.corpus, need.supply.lang): needs.list_choices(need)
        for suite in (english, tamil)
        for need in needs.list_needs(suite, ())
    }
    allowed = "allow the bundled samples with data.samples: missing"
    assert allowed in advice["alpaca", "en"] and allowed in advice["gsm8k", "en"]
    assert allowed not in advice["gsm8k", "ta"], "no sample of word problems is in Tamil"


@pytest.mark.usefixtures("unplugged")
def test_nowhere_is_one_line_with_choices_before_any_work(fill_folder: Callable[..., Path], tmp_path: Path, call: Call) -> None:
    fill_folder(**{"xquad/es.jsonl": '{"id": "a", "context": "c", "question": "q", "answers": {"text": ["c"], "answer_start": [0]}}\n'})
    suite = suite_of("cross_lingual")
    with pytest.raises(UserError) as caught:
        xlift.plan(suite, tmp_path)
    text = str(caught.value)
    assert "m: alpaca in 'en' is nowhere to be found (and 1 more: m: parallel in 'es')" in text
    assert "no connection to http://localhost:9" in text and "\n" not in text
    assert "add rows of your own with 'xlift data add'; name another corpus in methods.m.options; train fewer languages" in text
    with pytest.raises(UserError, match="nowhere to be found"):
        xlift.run(suite, tmp_path)
    path = tmp_path / "suite.yaml"
    path.write_text(suite.model_dump_json())
    code, out, err = call("validate", path, "samples")
    assert code == 2 and f"{path}: valid, but it cannot run here\n" in out and "samples: valid\n" in out
    assert "nowhere" in out and "the pivot's instructions are translated" in out
    assert err.count("\n") == 1 and f"xlift: {path}: m: alpaca in 'en' is nowhere to be found" in err
    code, out, err = call("run", path, "--dry-run")
    assert code == 2 and out == "" and "is nowhere to be found" in err


@pytest.mark.usefixtures("unplugged")
def test_the_suite_of_samples_has_every_method_and_needs_nothing_else() -> None:
    suite = load_suite("samples")
    built_in = {path.stem for path in Path(methods.__file__).parent.glob("*.py") if path.stem != "__init__"}
    # No encoder and no translation model come with xlift, and without one nothing can say how likely a translation is.
    assert {chosen.method for chosen in suite.methods.values()} == built_in - {"alignment_preference", "encoder_merge"}
    assert {state for state, _ in states(suite).values()} == {"samples"}


@pytest.mark.usefixtures("unplugged")
def test_a_suite_whose_tasks_have_no_data_cannot_run(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(suite_of("xlt_prompt").model_dump_json())
    code, out, err = call("validate", path)
    assert code == 2 and "cannot run here" in out and "xquad in 'es', split test, cannot be read here" in err


class NamesCorpora(Options):
    prompt_corpus: str = "alpaca"
    translation_corpus: str = "parallel"


class Silent(Method[NamesCorpora]):
    Options = NamesCorpora

    def prepare(self, ctx: Any) -> Plan:
        raise LanguageMissingError("not called")


def test_a_method_that_says_nothing_stops_no_run() -> None:
    found = Silent(NamesCorpora()).list_readings("en", ("es",))
    assert [(one.corpus, one.lang) for one in found] == [("alpaca", "en"), ("alpaca", "es"), ("parallel", "es")]
    assert {one.instead for one in found} == {"the method decides"}


FETCHING = [name for name in shipped_suites() if name != "samples"]
"""Suites that ship, but for the one that reads the bundled samples alone."""


@pytest.mark.parametrize("name", FETCHING)
def test_everything_that_a_shipped_suite_reads_is_fetched_from_its_published_layout(mirror: State, name: str) -> None:
    assert "XLIFT_DATA" not in os.environ
    suite = load_suite(name, ["data.samples=never"])
    found = needs.list_needs(suite, expand_tasks(suite)[0])
    needs.require(found)
    fetched = [need.supply for need in found if need.supply.state == "to fetch"]
    assert fetched and all(len(read(*supply.key)) > 0 for supply in fetched)
    after = needs.list_needs(suite, expand_tasks(suite)[0])
    assert {need.supply.state for need in after} <= {"here", "nowhere"}
    assert all(need.instead for need in after if need.supply.state == "nowhere")


@pytest.mark.parametrize("name", FETCHING)
def test_a_dry_run_of_a_shipped_suite_reports_its_data(mirror: State, tiny_base: Path, tmp_path: Path, call: Call, name: str) -> None:
    """On a tiny base that translates for itself, as neither the suites' bases nor their translators are here."""
    changes = (f"base.model={tiny_base}", "translators={default: {kind: self}}", "data.samples=never", "engine.max_length=4096")
    # the tiny base has two layers
    fewer = {"slam": ("layers=[0, 1]",), "layer-swap": ("bottom=1", "top=1", "transition=0")}
    labels = [label for label in fewer if label in load_suite(name).methods]
    changes = (*changes, *(f"methods.{label}.options.{option}" for label in labels for option in fewer[label]))
    settings = [part for change in changes for part in ("--set", change)]
    code, out, err = call("run", name, "--dry-run", "--json", "--runs", tmp_path, *settings)
    assert code == 0, err
    rows = json.loads(out)["data"]
    assert rows and {row["state"] for row in rows} <= {"to fetch", "nowhere"} and mirror.count("GET") == 0, "nothing is fetched"
    assert all(row["otherwise"] for row in rows if row["state"] == "nowhere")
    assert call("data", "get", name)[0] == 0
    assert set(xlift.survey(xlift.load_suite(name, changes))["state"]) <= {"here", "nowhere"}


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        (
            "pivot_language",
            {"prompt_corpus": "alpacca"},
            "^methods.m.options.prompt_corpus: unknown corpus 'alpacca'; did you mean 'alpaca'",
        ),
        ("star_alignment", {"hubs": ["de"]}, "^methods.m: star_alignment: hubs: 'de' is neither the pivot nor a trained language$"),
        ("star_alignment", {"hubs": ["es", "es"]}, "^methods.m: star_alignment: hubs: es, es names one twice$"),
        ("subspace_alignment", {"rank": 99}, "^methods.m: rank 99: 2 languages with the pivot have from 1 to 1 dimensions of their own$"),
        ("language_neurons", {"switch_off": ["de"]}, "^methods.m: switch_off: 'de' is neither the pivot nor trained; name some of en, es$"),
    ],
)
def test_what_a_method_cannot_read_is_said_with_its_label(method: str, options: dict[str, object], says: str) -> None:
    methods = {"m": {"method": method, "options": options}}
    suite = read_suite(
        {"name": "s", "languages": {"train": ["es"], "evaluate": ["es"]}, "methods": methods, "evaluate": {"tasks": ["t"]}}, "s"
    )
    with pytest.raises(UserError, match=says):
        needs.list_needs(suite, ())


def test_shares_that_do_not_add_up_are_refused_when_a_suite_is_checked() -> None:
    says = "pivot_language, pivot_instructions: these shares add up to 0.750, not 1"
    with pytest.raises(UserError, match=says):
        load_labelled("m", "pivot_language", {"pivot_language": 0.5})
