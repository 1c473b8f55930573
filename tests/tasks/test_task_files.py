import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml
from lm_eval.utils import apply_template

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import languages
from xlift.tasks import index, make_yaml, numbers
from xlift.tasks.benchmarks import BENCHMARKS, find_benchmark
from xlift.tasks.entries import METRICS

TASKS = Path(make_yaml.__file__).parent
PROMPTS = yaml.safe_load((TASKS / "prompts.yaml").read_text(encoding="utf-8"))
GROUPS = {
    "mgsm_direct": 11,
    "mgsm_cot": 11,
    "msvamp_direct": 10,
    "msvamp_cot": 10,
    "xquad": 12,
    "mlqa": 7,
    "mlqa_cross": 7 * 6,
    "flores_from_eng": 203,
    "flores_to_eng": 203,
    "x_alpaca_eval": 13,
    "judged_x_alpaca_eval": 13,
    "belebele_likelihood": 122,
    "belebele_generated": 122,
    "language_confusion_monolingual": 15,
    "language_confusion_crosslingual": 14,
    "flores_bpb_from_eng": 203,
    "flores_bpb_to_eng": 203,
    "flores_text_bpb": 204,
    "ntrex_text_bpb": 112,
    "xquad_bpb": 12,
    "mlqa_bpb": 7,
    "mlqa_bpb_cross": 7 * 6,
    "mgsm_bpb_sentence": 11,
    "x_alpaca_eval_bpb": 9,
    "xcopa": 10,
    "pawsx": 7,
    "xnli": 15,
    "sib200": 204,
    "bmlama": 17,
}
ALIKE = ("flores_text_bpb", "ntrex_text_bpb", "x_alpaca_eval_bpb", "xcopa", "pawsx", "xnli", "sib200", "bmlama")
LANGUAGES = {name: benchmark.languages for name, benchmark in BENCHMARKS.items()}


def expected_tasks() -> set[str]:
    flores = [language.flores for language in languages().values() if language.code != "en" and language.in_flores]
    return {
        *(f"xlift_{name}_{kind}_{lang}" for name in ("mgsm", "msvamp") for kind in ("direct", "cot") for lang in LANGUAGES[name]),
        *(f"xlift_mgsm_bpb_sentence_{lang}" for lang in LANGUAGES["mgsm"]),
        *(f"xlift_xquad_{bits}{lang}" for bits in ("", "bpb_") for lang in LANGUAGES["xquad"]),
        *(f"xlift_mlqa_{bits}{lang}" for bits in ("", "bpb_") for lang in LANGUAGES["mlqa"]),
        *(f"xlift_mlqa_{bits}{one}_{other}" for bits in ("", "bpb_") for one, other in permutations(LANGUAGES["mlqa"], 2)),
        *(f"xlift_flores_{bits}eng_Latn_{code}" for bits in ("", "bpb_") for code in flores),
        *(f"xlift_flores_{bits}{code}_eng_Latn" for bits in ("", "bpb_") for code in flores),
        *(f"xlift_{name}_{lang}" for name in ALIKE for lang in LANGUAGES[name]),
        *(f"xlift_{kind}x_alpaca_eval_{lang}" for kind in ("", "judged_") for lang in LANGUAGES["x_alpaca_eval"]),
        *(f"xlift_belebele_{kind}_{lang}" for kind in ("likelihood", "generated") for lang in LANGUAGES["belebele_generated"]),
        *(f"xlift_language_confusion_monolingual_{lang}" for lang in LANGUAGES["language_confusion_monolingual"]),
        *(f"xlift_language_confusion_crosslingual_{lang}" for lang in LANGUAGES["language_confusion_crosslingual"]),
    }


def folder_of(name: str) -> str:
    benchmark = find_benchmark(name)
    assert benchmark
    return benchmark.name


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    return TaskManager(include_path=str(TASKS), include_defaults=False)


@pytest.fixture(scope="module")
def configs() -> dict[str, dict[str, Any]]:
    """Every task as lm-eval reads it, templates merged and functions found: its index would drop a broken one in silence."""
    return {path.stem: load_yaml(path) for path in sorted(TASKS.glob("*/xlift_*.yaml"))}


def test_the_files_are_as_generated() -> None:
    assert make_yaml.check() == []
    assert make_yaml.main(["--check"]) == 0


def test_check_names_missing_stale_and_extra_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_yaml.write(tmp_path)
    assert make_yaml.check(tmp_path) == []
    (tmp_path / "mgsm/template").unlink()
    (tmp_path / "xquad/xlift_xquad_de.yaml").write_text(make_yaml.HEADER + "task: other\n")
    (tmp_path / "flores/old.yaml").write_text(make_yaml.HEADER)
    (tmp_path / "flores/mine.yaml").write_text("task: mine\n")
    wrong = ["missing: mgsm/template", "stale: xquad/xlift_xquad_de.yaml", "extra: flores/mine.yaml", "extra: flores/old.yaml"]
    assert make_yaml.check(tmp_path) == wrong
    monkeypatch.setattr(make_yaml, "check", lambda: wrong)
    assert make_yaml.main(["--check"]) == 1
    assert caplog.messages[:4] == wrong
    monkeypatch.undo()
    make_yaml.write(tmp_path)
    assert make_yaml.check(tmp_path) == ["extra: flores/mine.yaml"], "a file that is not generated is the user's to delete"


def test_the_benchmarks_languages() -> None:
    assert {name: " ".join(codes) for name, codes in LANGUAGES.items() if len(codes) < 100} == {
        "mgsm": "bn de en es fr ja ru sw te th zh",
        "msvamp": "bn de en es fr ja ru sw th zh",
        "xquad": "ar de el en es hi ro ru th tr vi zh",
        "mlqa": "ar de en es hi vi zh",
        "x_alpaca_eval": "ar bn de en es fr it ja ko ru sw th zh",
        "judged_x_alpaca_eval": "ar bn de en es fr it ja ko ru sw th zh",
        "language_confusion_monolingual": "ar de en es fr hi id it ja ko pt ru tr vi zh",
        "language_confusion_crosslingual": "ar de es fr hi id it ja ko pt ru tr vi zh",
        "xquad_bpb": "ar de el en es hi ro ru th tr vi zh",
        "mlqa_bpb": "ar de en es hi vi zh",
        "mgsm_bpb": "bn de en es fr ja ru sw te th zh",
        "x_alpaca_eval_bpb": "bn de en es fr ru sw th zh",
        "xcopa": "et ht id it sw ta th tr vi zh",
        "pawsx": "de en es fr ja ko zh",
        "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
        "bmlama": "ar ca el en es fa fr he hu ja ko nl ru tr uk vi zh",
    }


def test_lm_eval_finds_every_task_and_group(manager: TaskManager) -> None:
    assert (
        len(expected_tasks())
        == 11 * 3 + 10 * 2 + 12 * 2 + 7 * 2 + 42 * 2 + 406 * 2 + 204 + 112 + 13 * 2 + 9 + 122 * 2 + 15 + 14 + 10 + 7 + 15 + 204 + 17
    )
    assert set(manager.all_subtasks) == expected_tasks()
    assert set(manager.all_groups) == {f"xlift_{name}" for name in GROUPS}
    assert not manager.all_tags


def test_every_file_loads_and_is_named_after_its_task(configs: dict[str, dict[str, Any]]) -> None:
    assert len(configs) == 1864 + 29
    for stem, config in configs.items():
        assert stem == config.get("group", config["task"])


SCORERS = ("numbers", "spans", "language_id", "verdicts", "choices", "confusion")


def test_functions_are_xlifts_by_full_name() -> None:
    named = {name for text in make_yaml.render().values() for name in re.findall(r"!function (\S+)", text)}
    scorers = {f"xlift.tasks.{module}.process_results" for module in SCORERS}
    scorers |= {"xlift.tasks.spans.process_mlqa_results", "xlift.tasks.translation.score_line"}
    corpus = {"xlift.tasks.translation.corpus_chrf", "xlift.tasks.translation.corpus_spbleu"}
    judge = {"xlift.harness.judging.lm_eval_filter.JudgedTask", "xlift.tasks.verdicts.length_controlled"}
    likelihood = {
        "xlift.tasks.likelihood_task.LikelihoodTask",
        "xlift.tasks.likelihood.measure_bits",
        "xlift.tasks.likelihood.measure_choice",
    }
    golds = {
        f"xlift.tasks.golds.{kind}" for kind in ("translation", "sentence", "spans", "number_sentence", "reference", "sentences", "facts")
    }
    assert named == {"xlift.tasks.data.dataset"} | scorers | corpus | judge | likelihood | golds


def test_groups_average_over_languages(configs: dict[str, dict[str, Any]]) -> None:
    for name, size in GROUPS.items():
        group = configs[f"xlift_{name}"]
        assert len(group["task"]) == size
        assert set(group["task"]) <= expected_tasks()
        scored = [entry["metric"] for entry in configs[group["task"][0]]["metric_list"]]
        assert [entry["metric"] for entry in group["aggregate_metric_list"]] == scored
        assert all(entry["weight_by_size"] is False and entry["aggregation"] == "mean" for entry in group["aggregate_metric_list"])


@pytest.mark.parametrize("name", sorted(expected_tasks() - {name for name in expected_tasks() if "flores" in name and "fra" not in name}))
def test_a_merged_task_is_whole(name: str, configs: dict[str, dict[str, Any]]) -> None:
    config = configs[name]
    assert config["num_fewshot"] == 0
    if not BENCHMARKS[folder_of(name)].generated:
        assert config["output_type"] == "multiple_choice" and "generation_kwargs" not in config
        options = {"belebele_likelihood": 4, "pawsx": 2, "xnli": 3, "sib200": 7}
        if count := options.get(folder_of(name)):
            assert len(set(config["doc_to_choice"])) == count and config["doc_to_target"] in ("answer", "{{answer}}")
        else:
            assert callable(config["doc_to_choice"]) and config["doc_to_target"] in (config["doc_to_choice"], "{{answer}}")
    else:
        assert config["output_type"] == "generate_until"
        assert config["generation_kwargs"].keys() == {"until", "do_sample", "max_gen_toks"}
        assert config["generation_kwargs"]["until"] == [] and config["generation_kwargs"]["do_sample"] is False
    assert config["test_split"] == config["dataset_kwargs"]["split"]
    # lm-eval calls dataset(**metadata, **dataset_kwargs): a key in both is a TypeError
    assert not config["metadata"].keys() & config["dataset_kwargs"].keys()
    assert config["metadata"]["version"] == BENCHMARKS[folder_of(name)].version
    for metric in config["metric_list"]:
        assert metric.keys() == {"metric", "aggregation", "higher_is_better"}


def test_budgets_follow_the_script_of_the_answer(configs: dict[str, dict[str, Any]]) -> None:
    def budget(name: str) -> int:
        return int(configs[name]["generation_kwargs"]["max_gen_toks"])

    assert [budget(f"xlift_mgsm_{kind}_{lang}") for kind in ("direct", "cot") for lang in ("es", "te")] == [32, 32, 512, 1024]
    assert [budget(f"xlift_mlqa_{pair}") for pair in ("de_hi", "hi_de", "zh")] == [64, 256, 64]
    assert [budget(f"xlift_flores_{pair}") for pair in ("eng_Latn_tha_Thai", "tha_Thai_eng_Latn")] == [1024, 256]


READING = {"context": "CONTEXT.", "question": "QUESTION? ", **{f"option_{number}": f" ANSWER-{number}" for number in "1234"}}
DOCS: dict[str, dict[str, Any]] = {
    "mgsm": {"question": "QUESTION? ", "answer": "18"},
    "msvamp": {"question": "QUESTION? ", "answer": "18"},
    "xquad": {"context": "CONTEXT.", "question": "QUESTION?", "answers": {"text": ["SPAN"], "answer_start": [0]}},
    "mlqa": {"context": "CONTEXT.", "question": "QUESTION?", "answers": {"text": ["SPAN"], "answer_start": [0]}},
    "flores": {"source": " SOURCE. ", "target": "TARGET."},
    "x_alpaca_eval": {"instruction": "INSTRUCTION {{not a template}}"},
    "belebele_likelihood": READING,
    "belebele_generated": READING,
    "language_confusion_monolingual": {"instruction": "INSTRUCTION {{not a template}}"},
    "language_confusion_crosslingual": {"instruction": "INSTRUCTION {{not a template}}"},
}
DOCS |= {f"{name}_bpb": DOCS[name] for name in ("mgsm", "xquad", "mlqa", "flores", "x_alpaca_eval")}
DOCS |= {name: {} for name in ("flores_text_bpb", "ntrex_text_bpb", "bmlama")}
DOCS |= {
    "xcopa": {"premise": "PREMISE. ", "question": "effect"},
    "pawsx": {"context": "CONTEXT.", "sentence": "SENTENCE."},
    "xnli": {"context": "CONTEXT.", "hypothesis": "HYPOTHESIS."},
    "sib200": {"text": "TEXT. "},
}


@pytest.mark.parametrize("folder", DOCS)
def test_prompts_hold_the_item_and_no_loose_ends(folder: str, configs: dict[str, dict[str, Any]]) -> None:
    tasks = [name for name in expected_tasks() if folder_of(name) == folder]
    assert tasks
    for name in tasks:
        prompt = apply_template(configs[name]["doc_to_text"], DOCS[folder])
        assert prompt == prompt.strip()
        unseen = {"answer", "answers", "target"} | ({"question"} if folder == "xcopa" else set())
        for key in DOCS[folder].keys() - unseen:
            assert prompt.count(DOCS[folder][key].strip()) == 1
        if "instruction" not in DOCS[folder]:
            assert not re.search(r"[{}]|\n{3}| \n", prompt), prompt


@pytest.mark.parametrize("lang", LANGUAGES["mgsm"])
def test_the_sentence_asked_for_is_the_one_extracted(lang: str, configs: dict[str, dict[str, Any]]) -> None:
    sentence = PROMPTS["mgsm"][lang]["answer"]
    assert sentence.count("N") == 1 and sentence in configs[f"xlift_mgsm_cot_{lang}"]["doc_to_text"]
    for reply in (f"3 + 4 = 7\n\n{sentence}", f"{sentence}\n\n(3 + 4 = 7, 2 x 7 = 14)"):
        scored = numbers.process_results({"answer": "1234", "lang": lang, "question": ""}, [reply.replace("N", "1234")])
        assert scored["accuracy"] == 1.0 and scored["extraction_failure"] == 0.0, reply


def test_labels_stand_in_the_instruction_of_topics(configs: dict[str, dict[str, Any]]) -> None:
    for lang in ("sw", "zh", "th"):
        config = configs[f"xlift_sib200_{lang}"]
        assert all(label in config["doc_to_text"] for label in config["doc_to_choice"])
    assert configs["xlift_sib200_th"]["metadata"]["instruction_language"] == "en"
    asked = [apply_template(configs["xlift_xcopa_it"]["doc_to_text"], {"premise": "P", "question": kind}) for kind in ("cause", "effect")]
    assert "causa" in asked[0] and "conseguenza" in asked[1] and "causa" not in asked[1]


def test_the_translation_wording_names_every_other_language_that_has_some() -> None:
    wording = PROMPTS["flores"]
    assert set(wording) <= set(languages())
    for lang in set(wording) - {"en"}:
        assert set(wording[lang]["names"]) == set(wording) - {lang}
        assert wording[lang]["instruction"].count("{target}") == 1


@pytest.mark.parametrize(
    ("pair", "asked_in", "instruction"),
    [
        (("es", "de"), "es", "Traduce el siguiente texto al alemán. Responde solo con la traducción."),
        (
            ("spa_Latn", "quy_Latn"),
            "en",
            "Translate the following text from Spanish into Ayacucho Quechua. Reply with the translation only.",
        ),
        (("ca", "eng_Latn"), "en", "Translate the following text from Catalan into English. Reply with the translation only."),
    ],
)
def test_pairs_on_demand(pair: tuple[str, str], asked_in: str, instruction: str, tmp_path: Path) -> None:
    config = make_yaml.pair_config(*pair)
    assert config["doc_to_text"] == instruction + "\n\n{{source | trim}}"
    assert config["metadata"]["instruction_language"] == asked_in
    path = make_yaml.write_pair(*pair, tmp_path / "new")
    assert load_yaml(path) == config
    assert TaskManager(include_path=str(path.parent), include_defaults=False).all_subtasks == [path.stem] == [config["task"]]


def test_a_pair_on_demand_equals_the_file_that_ships(configs: dict[str, dict[str, Any]]) -> None:
    assert make_yaml.pair_config("sw", "en") == configs["xlift_flores_swh_Latn_eng_Latn"]


def test_a_task_on_the_dev_split_differs_by_its_split_and_name_alone(
    configs: dict[str, dict[str, Any]], fill_folder: Callable[..., Path], tmp_path: Path
) -> None:
    fill_folder(**{f"flores200_dataset/dev/{code}.dev": f"{text}\n" for code, text in {"eng_Latn": "One.", "spa_Latn": "Uno."}.items()})
    (path,) = index.write_dev_files(["xlift_flores_bpb_eng_Latn_spa_Latn"], tmp_path)
    written, shipped = load_yaml(path), configs["xlift_flores_bpb_eng_Latn_spa_Latn"]
    assert written.pop("dataset_name") == "spa_Latn"
    assert (written.pop("task"), written.pop("test_split")) == ("dev_xlift_flores_bpb_eng_Latn_spa_Latn", "dev")
    assert written.pop("dataset_kwargs") == {**shipped["dataset_kwargs"], "split": "dev"}
    assert written == {key: value for key, value in shipped.items() if key in written}
    loaded = TaskManager(include_path=str(tmp_path), include_defaults=False).load([path.stem])
    assert [(doc["source"], doc["target"]) for doc in loaded["tasks"][path.stem].test_docs()] == [("One.", "Uno.")]


def test_groups_are_written_on_their_dev_split(tmp_path: Path) -> None:
    assert len(index.write_dev_files(["xlift_xcopa"], tmp_path)) == len(BENCHMARKS["xcopa"].languages) == 10


def test_pairs_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs two languages, not 'es' twice"):
        make_yaml.pair_config("spa_Latn", "es")
    with pytest.raises(UserError, match="unknown language 'spa_Latin'; did you mean 'spa_Latn'"):
        make_yaml.pair_config("en", "spa_Latin")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="name a folder that can be written to"):
        make_yaml.write_pair("en", "es", tmp_path / "file")


class GoldenModel(LM):
    """Answers each item with its gold answer, in the languages it knows, else with nothing; keeps what it was asked."""

    def __init__(self, knows: tuple[str, ...]) -> None:
        super().__init__()
        self.knows = knows
        self.requests: list[Instance] = []

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        self.requests += requests
        return [self.answer(request.doc) if request.doc["lang"] in self.knows else "" for request in requests]

    def answer(self, doc: dict[str, Any]) -> str:
        if "answers" in doc:
            return "\n" + str(doc["answers"]["text"][0])
        return str(doc.get("answer") or doc.get("target") or doc["instruction"])

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Two bits for each byte of an answer in a language that it knows, else four; half of that for the right option of several."""
        found = []
        for request in requests:
            prompt, answer = request.args
            assert answer == answer.strip() != "" and prompt == prompt.rstrip(), "no space goes over from the prompt to the answer"
            knows = request.doc["lang"] in self.knows
            wrong = "option_1" in request.doc and answer != str((int(request.doc["answer"]) - knows) % 4 + 1)
            bits = len(answer.encode()) * (2 if knows else 4) * (2 if wrong else 1)
            found.append((-bits * math.log(2), False))
        return found

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        raise AssertionError("no task asks for it")


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XLIFT_SAMPLES", "always")
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path))


def evaluate(model: LM, tasks: list[Any], manager: TaskManager, **more: Any) -> dict[str, Any]:
    found = simple_evaluate(
        model=model, tasks=tasks, task_manager=manager, bootstrap_iters=10, random_seed=None, torch_random_seed=None, **more
    )
    assert found is not None
    return dict(found)


PERFECT = {
    "xlift_mgsm_direct_es": {"accuracy": 1.0, "extraction_failure": 0.0},
    "xlift_mgsm_cot_de": {"accuracy": 1.0},
    "xlift_msvamp_cot_fr": {"accuracy": 1.0},
    "xlift_xquad_en": {"exact_match": 1.0, "f1": 1.0, "containment": 1.0},
    "xlift_mlqa_de": {"exact_match": 1.0},
    "xlift_mlqa_de_es": {"exact_match": 1.0, "off_target": 0.0},
    "xlift_flores_eng_Latn_spa_Latn": {
        "chrf": 100.0,
        "spbleu": 100.0,
        "corpus_chrf": 100.0,
        "corpus_spbleu": 100.0,
        "chatter": 0.0,
        "empty": 0.0,
    },
    "xlift_flores_swh_Latn_eng_Latn": {"corpus_chrf": 100.0, "off_target": 0.0},
    "xlift_x_alpaca_eval_fr": {"off_target": 0.0, "empty": 0.0},
    "xlift_belebele_likelihood_sw": {"acc": 1.0, "acc_norm": 1.0, "margin": 2.0},
    "xlift_flores_bpb_eng_Latn_spa_Latn": {"bits_per_byte": 2.0},
    "xlift_flores_text_bpb_sw": {"bits_per_byte": 2.0},
    "xlift_xquad_bpb_en": {"bits_per_byte": 2.0},
    "xlift_mlqa_bpb_de_es": {"bits_per_byte": 2.0},
    "xlift_mgsm_bpb_sentence_fr": {"bits_per_byte": 2.0},
    "xlift_belebele_generated_de": {"accuracy": 1.0, "extraction_failure": 0.0, "language_unknown": 1.0},
    "xlift_language_confusion_monolingual_es": {"line_pass_rate": 1.0, "off_target": 0.0, "empty": 0.0},
}


@pytest.mark.usefixtures("samples")
def test_gold_answers_get_full_marks(manager: TaskManager) -> None:
    model = GoldenModel(("de", "en", "es", "fr", "sw"))
    scores = evaluate(model, list(PERFECT), manager)["results"]
    for name, wanted in PERFECT.items():
        assert {metric: scores[name][f"{metric},none"] for metric in wanted} == pytest.approx(wanted), name
        means = [metric for metric in BENCHMARKS[folder_of(name)].metrics if not (METRICS[metric].whole or METRICS[metric].partial)]
        assert all(isinstance(scores[name][f"{metric}_stderr,none"], float) for metric in means), "per-item floats have standard errors"
    assert all(request.args[1]["until"] == [] for request in model.requests if request.request_type == "generate_until")


class ThinkingModel(GoldenModel):
    """Thinks of something else first; of every other item for ever."""

    def answer(self, doc: dict[str, Any]) -> str:
        self.said = getattr(self, "said", 0) + 1
        return f"<think>\nIt may be 7, or Paris.\n</think>\n\n{super().answer(doc)}" if self.said % 2 else "<think>\nIt may be 7"


@pytest.mark.usefixtures("samples")
def test_tasks_take_thinking_off_by_themselves(manager: TaskManager) -> None:
    """In plain lm-eval, whatever the model: the tasks have no other help."""
    generated = {"xlift_mgsm_direct_es": "accuracy", "xlift_xquad_en": "exact_match", "xlift_flores_swh_Latn_eng_Latn": "chrf"}
    found = evaluate(ThinkingModel(("en", "es", "sw")), list(generated), manager, limit=10)
    for name, metric in generated.items():
        scores = found["results"][name]
        best = 100.0 if metric == "chrf" else 1.0
        assert scores[f"{metric},none"] == pytest.approx(best / 2) and scores["thinking_cut,none"] == 0.5, name


@pytest.mark.usefixtures("samples")
def test_no_answers_get_none(manager: TaskManager) -> None:
    scores = evaluate(GoldenModel(()), list(PERFECT), manager)["results"]
    assert scores["xlift_mgsm_direct_es"]["extraction_failure,none"] == 1.0
    assert scores["xlift_xquad_en"]["f1,none"] == scores["xlift_flores_eng_Latn_spa_Latn"]["corpus_chrf,none"] == 0.0
    assert scores["xlift_x_alpaca_eval_fr"]["empty,none"] == 1.0
    assert scores["xlift_belebele_likelihood_sw"]["acc,none"] == scores["xlift_belebele_generated_de"]["accuracy,none"] == 0.0
    assert scores["xlift_belebele_generated_de"]["extraction_failure,none"] == 1.0
    assert scores["xlift_xquad_bpb_en"]["bits_per_byte,none"] == pytest.approx(4.0)
    assert scores["xlift_language_confusion_monolingual_es"]["line_pass_rate,none"] == 0.0


@pytest.mark.usefixtures("samples")
def test_an_english_answer_is_confusion_where_another_language_is_asked_for(manager: TaskManager) -> None:
    tasks = [f"xlift_language_confusion_{form}" for form in ("crosslingual_de", "crosslingual_fr", "monolingual_en")]
    scores = evaluate(GoldenModel(("de", "en")), tasks, manager)["results"]  # it repeats what it is asked, which is in English
    assert scores[tasks[0]]["line_pass_rate,none"] == 0.0 and scores[tasks[0]]["off_target,none"] > 0.9
    assert scores[tasks[1]]["line_pass_rate,none"] == 0.0 and scores[tasks[1]]["empty,none"] == 1.0
    assert scores[tasks[2]]["line_pass_rate,none"] == 1.0
    assert all("word_pass_rate,none" not in scores[task] for task in tasks), "English words say nothing about a language in Latin letters"


@pytest.mark.usefixtures("samples")
def test_a_group_is_the_mean_of_its_languages(configs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    parts = {"xlift_mgsm_cot": ["xlift_mgsm_cot_de", "xlift_mgsm_cot_es"]}
    parts["xlift_flores_from_eng"] = ["xlift_flores_eng_Latn_deu_Latn", "xlift_flores_eng_Latn_spa_Latn"]
    for name, tasks in parts.items():
        assert set(tasks) < set(configs[name]["task"])
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**configs[name], "group": f"part_of_{name}", "task": tasks}))
    both = TaskManager(include_path=[str(TASKS), str(tmp_path)], include_defaults=False)
    groups = evaluate(GoldenModel(("es",)), ["part_of_xlift_mgsm_cot", "part_of_xlift_flores_from_eng"], both)["groups"]
    assert groups["part_of_xlift_mgsm_cot"]["accuracy,none"] == pytest.approx(0.5)
    assert groups["part_of_xlift_flores_from_eng"]["corpus_chrf,none"] == pytest.approx(50.0)


@pytest.mark.usefixtures("samples")
def test_a_pair_on_demand_runs_inline(manager: TaskManager) -> None:
    found = evaluate(GoldenModel(("es",)), [make_yaml.pair_config("de", "es")], manager)
    assert found["results"]["xlift_flores_deu_Latn_spa_Latn"]["corpus_chrf,none"] == pytest.approx(100.0)


@pytest.mark.slow
def test_lm_eval_validates_all_of_them() -> None:
    names = sorted(expected_tasks() | {f"xlift_{name}" for name in GROUPS})
    command = [sys.executable, "-m", "lm_eval", "validate", "--include_path", str(TASKS), "--tasks"]
    done = subprocess.run([*command, ",".join(names)], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (0, "All tasks found and valid")
    missing = subprocess.run([*command, "xlift_mgsm_cot_es,xlift_mgsm_cot_xx"], capture_output=True, text=True, timeout=300)
    assert (missing.returncode, missing.stdout.strip().splitlines()[-1]) == (1, "Tasks not found: xlift_mgsm_cot_xx")
