"""Choices among profiles: features and choice by hand, what lm-eval's requests become, and what is refused."""

import json
from math import log, sqrt
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from refusals import refusal
from scripted import Scripted, ask_likelihoods, ask_lm, user

from xlift.harness.core.settings import read_section
from xlift.harness.evaluation.evaluate import save_whole_answers
from xlift.harness.models.adapters import resolve
from xlift.harness.models.policy import BUCKETS, FEATURES, Policy, describe_query
from xlift.harness.models.profile import InferenceProfile

PLAIN, NAMED = InferenceProfile(), InferenceProfile(prompt={"es": "<{prompt}>"}, header={"es": "[ES]"}, without_header="whole")


def weigh(*first: float) -> tuple[float, ...]:
    return (*first, *[0.0] * (FEATURES - len(first)))


def make(plain: tuple[float, ...], named: tuple[float, ...], **changed: Any) -> Policy:
    return Policy(profiles={"plain": PLAIN, "named": NAMED}, weights={"es": {"plain": plain, "named": named}}, **changed)


ASKS = make(weigh(0.5), weigh(0, 0, 0, 1.0))
"""Questions are named, all else is plain."""


def test_features_by_hand() -> None:
    found = describe_query("ab1?\n")
    assert len(found) == FEATURES == 5 + BUCKETS
    # 5 characters, one of them a digit; it asks; one line break; three triples, in buckets of their own or not
    assert found[:5] == pytest.approx((1, log(6) / 10, 1 / 5, 1, log(2) / 5))
    buckets = [crc32(part.encode()) % BUCKETS for part in ("ab1", "b1?", "1?\n")]
    counts = [buckets.count(place) for place in range(BUCKETS)]
    size = sqrt(sum(count**2 for count in counts))
    assert found[5:] == pytest.approx([count / size for count in counts])
    assert describe_query("") == (1.0, *[0.0] * (FEATURES - 1))
    assert describe_query("AB1?\n") == found and describe_query("¿؟")[3] == 1.0


def test_the_highest_sum_is_chosen() -> None:
    assert ASKS.choose("es", "¿Capital?") == "named" and ASKS.choose("es", "Di algo.") == "plain"
    assert make(weigh(1), weigh(1)).choose("es", "a") == "plain", "a tie goes to the first"
    drawn = make(weigh(1), weigh(0), draw=True)
    assert [drawn.choose("es", text) for text in "abcd"] == [["plain", "named"][crc32(text.encode()) % 2] for text in "abcd"]


def test_each_request_has_its_own_profile() -> None:
    engine = Scripted(None, "[ES] París", "algo", "Paris", "[ES] no")
    engine.policy = ASKS
    lm, requests = ask_lm(
        engine,
        ("xlift_xquad_es", user("¿Capital?")), ("xlift_xquad_es", user("Di algo.")), ("xlift_xquad_en", user("Capital?")),
        ("xlift_xquad_es", user("¿2?")),
    )  # fmt: skip
    assert lm.generate_until(requests) == ["París", "algo", "Paris", "no"]
    assert [turns for (turns, _), _ in engine.asked] == [user("<¿Capital?>"), user("Di algo."), user("Capital?"), user("<¿2?>")]
    said = lm.take_whole_answers()
    assert [(one["doc_id"], one["profile"], one["answer"]) for one in said] == [
        (0, "named", "[ES] París"), (1, "plain", "algo"), (3, "named", "[ES] no"),
    ]  # fmt: skip
    engine.policy = None
    assert lm.generate_until(requests)[0] == "[ES] París" and lm.take_whole_answers() == []


def test_likelihoods_are_taken_behind_the_chosen_wording() -> None:
    engine = Scripted(None, "Paris")
    engine.policy = ASKS
    lm, requests = ask_likelihoods(engine, ("xlift_xquad_bpb_es", "¿Capital?", "París"), ("xlift_xquad_bpb_es", "Di algo.", "algo"))
    lm.loglikelihood(requests)
    prompts = [json.dumps([user(text), True], ensure_ascii=False) for text in ("<¿Capital?>", "Di algo.")]
    assert engine.scored == [(prompts[0] + "Paris\n\n[ES]\n", "París"), (prompts[1], "algo")]


def test_the_names_of_chosen_profiles_are_counted_beside_the_answers(tmp_path: Path) -> None:
    said: Any = [
        {"task": "t", "doc_id": number, "lang": "es", "answer": "a", "header": True, "profile": name}
        for number, name in enumerate(("named", "plain", "named"))
    ]
    found: Any = save_whole_answers(said, tmp_path)
    assert found["chosen"] == {"named": 2, "plain": 1}
    assert json.loads((tmp_path / "whole_answers.jsonl").read_text().splitlines()[0])["profile"] == "named"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"profiles": {"plain": {}}}, "profiles"),
        ({"profiles": {"plain": {}, "other": {}}}, "profiles plain and other are the same, so that nothing is chosen between them"),
        ({"weights": {}}, "weights"),
        ({"weights": {"es": {"plain": [1.0] * FEATURES}}}, "weights for 'es': of plain, and the profiles are named, plain"),
        ({"weights": {"es": {"plain": [1.0], "named": [1.0] * FEATURES}}}, f"plain must have {FEATURES} finite numbers"),
        ({"weight": {}}, "unknown key 'weight'; did you mean 'weights'"),
    ],
)
def test_a_choice_that_is_none_is_refused(changes: dict[str, Any], says: str) -> None:
    values = {**ASKS.model_dump(mode="json"), **changes}
    assert says in refusal(lambda: read_section(Policy, {"policy": values}, "policy", "adapter/xlift.json"))


def test_an_adapter_that_chooses(tmp_path: Path) -> None:
    def write(policy: Policy) -> Path:
        (tmp_path / "xlift.json").write_text(json.dumps({"policy": policy.model_dump(mode="json"), "base": {"name": "tiny"}}))
        return tmp_path

    found = resolve(write(ASKS))
    assert (found.peft_type, found.has_weights, found.is_more_than_profile, found.policy) == ("POLICY", False, False, ASKS)
    assert resolve(write(make(weigh(0.5), weigh(0, 0, 0, 1.1)))).sha256 != found.sha256
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    assert "both weights and a choice among profiles" in refusal(lambda: resolve(tmp_path))
