"""Inference profiles: what they do to a prompt and an answer, what lm-eval then scores, and how they travel with an adapter."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from quiz import take_quiz
from refusals import refusal
from scripted import GREEDY, Scripted, ask_likelihoods, ask_lm, user

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.settings import read_section
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.base import Engine
from xlift.harness.engines.load import load_engine
from xlift.harness.evaluation.evaluate import save_whole_answers
from xlift.harness.models.adapters import resolve
from xlift.harness.models.bases import Base
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.steering import Steer
from xlift.tasks import index

PLUG = InferenceProfile(system={"es": "English, then Spanish."}, header={"es": "[ES]"}, token_factor=3, stops=())
SPANISH = "¿Cuál es la capital de Francia y cuántos habitantes tiene hoy?"


def test_turns_are_asked_in_its_own_words() -> None:
    profile = InferenceProfile(system={"es": "S"}, prompt={"es": "{a} {prompt}!", "de": "<{prompt}>"})
    assert profile.ask(ask("¿{prompt}?", system="old"), "es") == ask("{a} ¿{prompt}?!", system="S")
    assert profile.ask(ask("was", system="old"), "de") == ask("<was>", system="old")
    assert profile.ask(ask("quoi", system="old"), "fr") == ask("quoi", system="old")
    shot = (*ask("one"), {"role": "assistant", "content": "1"}, {"role": "user", "content": "two"})
    assert [turn["content"] for turn in profile.ask(shot, "de")] == ["one", "1", "<two>"]


@pytest.mark.parametrize(
    ("changes", "tokens", "stop"),
    [({}, 10, ("\n",)), ({"token_factor": 1.1}, 11, ("\n",)), ({"token_factor": 1.25}, 13, ("\n",)), ({"min_tokens": 64}, 64, ("\n",)),
     ({"token_factor": 3, "min_tokens": 20, "stops": ()}, 30, ()), ({"stops": ("END",)}, 10, ("END",))],
)  # fmt: skip
def test_allowance_and_stops(changes: dict[str, Any], tokens: int, stop: tuple[str, ...]) -> None:
    sampled = InferenceProfile(**changes).sample(Sampling(max_tokens=10, stop=("\n",), temperature=0.5))
    assert sampled == Sampling(max_tokens=tokens, stop=stop, temperature=0.5)


def test_extraction_takes_what_follows_the_first_header() -> None:
    assert PLUG.extract("Paris.\n[ES]\nParís. [ES] otra vez ", "es") == "París. [ES] otra vez"
    assert PLUG.extract("Paris.", "es") is None
    assert PLUG.extract("Paris.\n[ES]", "es") == ""
    assert PLUG.extract("Paris.", "de") == "Paris."


@given(st.text(), st.text())
def test_nothing_before_the_header_is_scored(before: str, after: str) -> None:
    found = PLUG.extract(before.replace("[", "") + "[ES]" + after, "es")
    assert found == after.strip()


def test_which_items_it_covers() -> None:
    profile = InferenceProfile(tasks=("xlift_flores", "xlift_mgsm"), prompt={"es": "{prompt}"})
    assert profile.covers("xlift_flores_eng_Latn_spa_Latn", "es")
    assert not profile.covers("xlift_flores_spa_Latn_eng_Latn", "en") and not profile.covers("xlift_xquad_es", "es")
    assert PLUG.covers("anything", "es") and not InferenceProfile(token_factor=2).covers("anything", "es")


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"hedaer": {}}, "unknown key 'hedaer'; did you mean 'header'"),
        ({"header": {"es": " "}}, "text for 'es' is empty"),
        ({"system": {"esp": "x"}}, "unknown language 'esp'"),
        ({"system": {"spa_Latn": "x"}}, "write 'es' for 'spa_Latn'"),
        ({"prompt": {"es": "no place for it"}}, "must hold {prompt} once, it does 0 times"),
        ({"token_factor": 0.5}, "token_factor"),
        (["a"], "must be keys with values below it"),
    ],
)
def test_a_profile_that_does_not_validate(card: Any, says: str) -> None:
    said = refusal(lambda: read_section(InferenceProfile, {"profile": card}, "profile", "adapter/xlift.json"))
    assert says in said and said.startswith("adapter/xlift.json")
    assert read_section(InferenceProfile, {"profile": None}, "profile", "") is None
    assert read_section(InferenceProfile, {}, "profile", "") is None


@pytest.mark.parametrize(
    ("task", "lang"),
    [("xlift_mgsm_direct_bn", "bn"), ("xlift_flores_eng_Latn_spa_Latn", "es"), ("xlift_flores_deu_Latn_zho_Hant", "zh-Hant"),
     ("xlift_mlqa_en_es", "en"), ("xlift_mlqa_de", "de"), ("hellaswag", None), ("xlift_mine", None)],
)  # fmt: skip
def test_the_language_a_task_is_answered_in(task: str, lang: str | None) -> None:
    assert index.answer_language(task) == lang


def test_only_items_in_its_languages_are_touched() -> None:
    engine = Scripted(PLUG, "Paris [ES] París", "Paris [ES] Paris", "no header", "[ES] identificado")
    lm, requests = ask_lm(
        engine,
        ("xlift_xquad_es", user("¿Capital?")), ("xlift_xquad_en", user("Capital?")),
        ("xlift_mgsm_cot_es", user("¿2?")), ("other", user(SPANISH)),
    )  # fmt: skip
    assert lm.generate_until(requests) == ["París", "Paris [ES] Paris", "", "identificado"]
    system = {"role": "system", "content": "English, then Spanish."}
    assert [turns for (turns, _), _ in engine.asked] == [
        [system, *user("¿Capital?")], user("Capital?"), [system, *user("¿2?")], [system, *user(SPANISH)],
    ]  # fmt: skip
    assert [(sampling.max_tokens, sampling.stop) for _, sampling in engine.asked] == [(30, ()), (10, ("\n",)), (30, ()), (30, ())]
    assert engine.usage["header_missing"] == 1 and engine.usage["short_allowances"] == 0
    assert lm.take_whole_answers() == [
        {"task": "xlift_xquad_es", "doc_id": 0, "lang": "es", "answer": "Paris [ES] París", "header": True},
        {"task": "xlift_mgsm_cot_es", "doc_id": 2, "lang": "es", "answer": "no header", "header": False},
        {"task": "other", "doc_id": 3, "lang": "es", "answer": "[ES] identificado", "header": True},
    ]
    assert lm.take_whole_answers() == []


def test_an_answer_without_its_header_may_count_whole() -> None:
    engine = Scripted(PLUG.model_copy(update={"without_header": "whole"}), "no header")
    lm, requests = ask_lm(engine, ("xlift_xquad_es", user("¿Capital?")))
    assert lm.generate_until(requests) == ["no header"]
    assert engine.usage["header_missing"] == 1


def test_an_allowance_stays_within_the_engines_length() -> None:
    engine = Scripted(PLUG, *["[ES] a"] * 4, room=[40, 25, -50, 5])
    lm, requests = ask_lm(engine, *[("xlift_xquad_es", user("a"))] * 3, ("xlift_xquad_en", user("a")))
    lm.generate_until(requests)
    # 30 asked for; never below the task's own 10, for which the engine cuts prompts as it does without a profile
    assert [sampling.max_tokens for _, sampling in engine.asked] == [30, 25, 10, 10]
    assert engine.usage["short_allowances"] == 2


def test_a_prompt_that_did_not_come_from_the_template_is_refused() -> None:
    engine = Scripted(PLUG, "x")
    plain = json.dumps("plain")
    lm, requests = ask_lm(engine, ("xlift_xquad_es", user("a")))
    raw = Instance("generate_until", {}, (plain, dict(GREEDY)), 0, ("xlift_xquad_es", 0, 1))
    assert "give --apply_chat_template" in refusal(lambda: lm.generate_until([raw]))
    english = Instance("generate_until", {}, (plain, dict(GREEDY)), 0, ("xlift_xquad_en", 0, 1))
    assert lm.generate_until([english]) == ["x"], "no language of the profile, so nothing to refuse"
    engine.profile = InferenceProfile(prompt={"es": "{prompt}"})
    lm.apply_chat_template(user("b"))
    assert "leave --cache_requests out" in refusal(lambda: lm.generate_until(requests)), "turns of another profile's run are forgotten"


def test_a_begun_answer_goes_with_a_profile_that_waits_for_no_header() -> None:
    begun = [*user("¿Capital?"), {"role": "assistant", "content": "La capital es"}]
    engine = Scripted(InferenceProfile(prompt={"es": "<{prompt}>"}), "París")
    lm, requests = ask_lm(engine, ("xlift_xquad_es", begun), opens=False)
    assert lm.generate_until(requests) == ["París"]
    assert engine.asked[0][0] == [[*user("<¿Capital?>"), begun[1]], False]
    lm, requests = ask_lm(Scripted(PLUG, "París"), ("xlift_xquad_es", begun), opens=False)
    assert "begins the answer itself ('La capital es')" in refusal(lambda: lm.generate_until(requests))


def test_likelihoods_of_running_text_are_refused_where_it_has_a_say() -> None:
    lm, _ = ask_lm(Scripted(PLUG))
    english = Instance("loglikelihood_rolling", {}, ("The capital of France is a large city called Paris.",), 0, ("choices_en", 0, 1))
    spanish = Instance("loglikelihood_rolling", {}, (SPANISH,), 0, ("choices_es", 0, 1))
    assert lm.loglikelihood_rolling([english]) == [-1.0]
    said = refusal(lambda: lm.loglikelihood_rolling([spanish]))
    assert "choices_es is scored by likelihood, and the adapter's profile for 'es' needs" in said


def test_a_likelihood_is_taken_where_the_scored_part_begins() -> None:
    """The model says the pivot's part itself, once for all answers to one prompt; the header follows, though it did not come."""
    engine = Scripted(PLUG, "Paris\n\n[ES]\nRoma", "one [ES] uno", "Paris")
    lm, requests = ask_likelihoods(
        engine,
        ("xlift_xquad_bpb_es", "¿Capital?", "París"), ("xlift_xquad_bpb_es", "¿Capital?", "Roma"), ("xlift_xquad_bpb_es", "¿1?", "uno"),
        ("xlift_xquad_bpb_es", "¿?", "no"), ("xlift_xquad_bpb_en", "Capital?", "Paris"), ("xlift_flores_text_bpb_es", "", "Hola."),
    )  # fmt: skip
    assert lm.loglikelihood(requests) == [(-1.0, True)] * 6
    system = {"role": "system", "content": "English, then Spanish."}
    asked = [json.dumps([[system, *user(text)], True], ensure_ascii=False) for text in ("¿Capital?", "¿1?", "¿?")]
    assert [(json.dumps(prompt, ensure_ascii=False), sampling.max_tokens, sampling.stop) for prompt, sampling in engine.asked] == [
        (prompt, 3 * 256, ()) for prompt in asked
    ]
    assert engine.scored == [
        (asked[0] + "Paris\n\n[ES]\n", "París"), (asked[0] + "Paris\n\n[ES]\n", "Roma"), (asked[1] + "one [ES] ", "uno"),
        (asked[2] + "Paris\n\n[ES]\n", "no"), (json.dumps([user("Capital?"), True], ensure_ascii=False), "Paris"), ("", "Hola."),
    ]  # fmt: skip
    assert engine.usage["header_missing"] == 1 and [said["header"] for said in lm.take_whole_answers()] == [True, True, False]


def test_a_likelihood_behind_another_wording() -> None:
    engine = Scripted(InferenceProfile(prompt={"es": "<{prompt}>"}))
    lm, requests = ask_likelihoods(engine, ("xlift_xquad_bpb_es", "¿Capital?", "París"))
    lm.loglikelihood(requests)
    assert engine.scored == [(json.dumps([user("<¿Capital?>"), True], ensure_ascii=False), "París")] and not engine.asked
    raw = Instance("loglikelihood", {}, (SPANISH, " París"), 0, ("choices_es", 0, 1))
    assert "give --apply_chat_template" in refusal(lambda: lm.loglikelihood([raw]))


@pytest.fixture
def prompting(tiny: Base, tmp_path: Path) -> Callable[[InferenceProfile], Path]:
    """Write a folder that holds a profile alone."""

    def write(profile: InferenceProfile) -> Path:
        card = {"base": {"name": "tiny", "sha256": tiny.sha256}, "profile": profile.model_dump(mode="json")}
        (tmp_path / "xlift.json").write_text(json.dumps(card), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture(scope="module")
def hf(tiny: Base) -> Iterator[Engine]:
    with load_engine(tiny, EngineSettings(backend="hf", dtype="float32")) as running:
        yield running


def test_a_profile_alone_leaves_the_weights_of_the_base(
    hf: Engine,
    tiny: Base,
    prompting: Callable[[InferenceProfile], Path],
    make_adapter: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def say() -> str:
        return hf.generate([ask("hi")], Sampling(max_tokens=16))[0].text

    before, trained = say(), resolve(make_adapter(tiny, scale=0.5))
    hf.swap(trained)
    assert hf.profile is None and say() != before
    hf.swap(resolve(prompting(PLUG)))
    assert hf.profile == PLUG and say() == before
    monkeypatch.setattr(type(hf), "_load_weights", lambda *_: pytest.fail("the base's weights are current already"))
    hf.swap(None)
    assert hf.profile is None and say() == before


QUESTIONS = (SPANISH, "¿Quién escribió la novela sobre el caballero de la Mancha?", "What is the name of the highest mountain on Earth?")


def evaluate(answers: Sequence[str], model: Any, model_args: Any = None) -> Any:
    return take_quiz(list(zip(QUESTIONS, answers, strict=True)), model, model_args)


def test_lm_eval_scores_the_extracted_part_alone(hf: Engine, tiny: Base, prompting: Callable[[InferenceProfile], Path]) -> None:
    profile = InferenceProfile(system={"es": "Sé breve."}, prompt={"es": "Tarea: {prompt}"}, token_factor=3)
    hf.swap(None)
    chats = [profile.ask(ask(question), "es") for question in QUESTIONS[:2]]
    first, second = (answer.text for answer in hf.generate(chats, Sampling(max_tokens=24)))
    [english] = hf.generate([ask(QUESTIONS[2])], Sampling(max_tokens=8))
    header = first[3:6]
    assert header.strip() and header not in second, "what the random model says"
    folder = prompting(profile.model_copy(update={"header": {"es": header}}))
    expected = [first.partition(header)[2].strip(), "", english.text]

    hf.swap(resolve(folder))
    missing = hf.usage["header_missing"]
    results = evaluate(expected, hf.lm())
    assert results["results"]["quiz"]["exact_match,none"] == 1.0
    assert [sample["resps"] for sample in results["samples"]["quiz"]] == [[[text]] for text in expected]
    assert hf.usage["header_missing"] == missing + 1
    assert [said["answer"] for said in hf.lm().take_whole_answers()] == [first, second]
    hf.swap(None)

    plain = evaluate(expected, "xlift", {"base": str(tiny.folder), "adapter": str(folder), "backend": "hf", "dtype": "float32"})
    assert plain["results"]["quiz"] == results["results"]["quiz"]
    assert [sample["resps"] for sample in plain["samples"]["quiz"]] == [sample["resps"] for sample in results["samples"]["quiz"]]


def test_whole_answers_are_kept_beside_what_was_scored(tmp_path: Path) -> None:
    said = [
        {"task": "quiz", "doc_id": number, "lang": "es", "answer": answer, "header": "[ES]" in answer}
        for number, answer in enumerate(("Paris\n[ES] París", "Paris", "?"))
    ]
    assert save_whole_answers(said, tmp_path) == {"answers": 3, "header_missing": {"quiz": 2}, "file": "whole_answers.jsonl"}
    assert [json.loads(line) for line in (tmp_path / "whole_answers.jsonl").read_text(encoding="utf-8").splitlines()] == said
    assert save_whole_answers([], tmp_path / "none") is None


@pytest.mark.parametrize(
    "change", [{"token_factor": float("inf")}, {"token_factor": float("nan")}, {"token_factor": 1e9}, {"min_tokens": 10**9}]
)
def test_what_a_pulled_profile_may_ask_for_is_bounded(change: dict[str, float]) -> None:
    assert next(iter(change)) in refusal(lambda: read_section(InferenceProfile, {"profile": change}, "profile", "xlift.json"))


def test_states_are_moved_language_by_language() -> None:
    engine = Scripted(None, "a", "b")
    lm, requests = ask_lm(engine, ("xlift_xquad_es", user("a")), ("xlift_xquad_en", user("b")), ("xlift_mgsm_cot_es", user("c")))
    engine.answers = ("a", "b", "c")
    assert lm.generate_until(requests) == ["a", "b", "c"] and engine.steered == [(None, 3)], "no moves, so all at once"
    engine.steering, engine.steered = Steer(layers=(1,), strengths={"es": 0.5}, positions="answer"), []
    engine.answers = ("x", "y")
    assert lm.generate_until(requests) == ["x", "x", "y"], "each answer at its own place"
    assert engine.steered == [("es", 2), (None, 1)] and engine.lang is None
    engine.steering, engine.steered = engine.steering.model_copy(update={"tasks": ("xlift_mgsm",)}), []
    lm.generate_until(requests)
    assert engine.steered == [(None, 2), ("es", 1)]


def test_likelihoods_are_taken_with_moved_states_and_those_of_running_text_are_refused() -> None:
    engine = Scripted(None)
    engine.steering = Steer(layers=(1,), strengths={"es": 0.5}, positions="answer")
    lm, requests = ask_likelihoods(engine, ("xlift_xquad_bpb_es", "a", "b"), ("xlift_xquad_bpb_en", "a", "b"), ("other", SPANISH, "b"))
    lm.loglikelihood(requests)
    assert engine.steered == [("es", 2), (None, 1)]
    spanish = Instance("loglikelihood_rolling", {}, (SPANISH,), 0, ("choices_es", 0, 1))
    assert "no prompt after which the adapter could move states for 'es'" in refusal(lambda: lm.loglikelihood_rolling([spanish]))
