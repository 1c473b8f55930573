"""The rows that every built-in method makes of the bundled samples, as one hash each: no change of the code may change them unseen."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from typing import Any
from zlib import crc32

import pytest
from fakes import FakeContext, make_up_task

from xlift.harness.plugin import Answer, Chat, LanguageMissingError, Mask, Plan, Sampling, find_method, load, names
from xlift.tasks.data import evaluation_texts, read_training
from xlift.tasks.language_id import identify as guess_languages
from xlift.tasks.leaks import Guard

# If a hash changes because the rows must change, raise the method's `version` (or RECIPES_VERSION where a shared recipe changed), so that
# old rows are not taken for new ones, and write the new hash here: the failing test prints it.
GOLDEN = {
    "cross_lingual": "064aa1f8aa06357442a7baac7f0c2f5ec8139393acf4912795a0f33bcbc72daf",
    "dpo_self_improvement": "e8b9b98e73adbfe6b75fc196f472c2258c65950687851f21d36b23d20bf6411b",
    "linguistically_diverse_prompts": "974386830bf3dae22f346732b6e88f767e51560d3d08b5b91606101de9a718c1",
    "pivot_language": "87f81eadadfdf6cf4bff80170157cee5d6ae9f3aaf5b4f996a69cf6f16277f0c",
    "pivot_only": "574fffa639790610545f41eefb059dc8db184a1b8de65f23f3885919d0cde89e",
    "question_alignment": "6d92c872117167d0edfd89fbf88efe0d4ba69e8785e59f398c88b58962604bc2",
    "self_distillation": "be4ea01f1f9ed9645a40e8db1f7c1116162835a6220a08d2d743daef30df870f",
    "sft_on_chosen": "264636b43c1b3e66a0e8976112509ff54df1b8cc746ef8996dc45006e8e92a25",
    "star_alignment": "865d700f2503114b109302a6cb32eeda31a3c9658639fc0dbe7ecd2607aa5efa",
    "translate_then_sft": "078b6353d6475b724ddc5bd5c76885ebf3bb951fdc0a7cbd576c8ebf4139c5c3",
    "query_policy": "35adfd85c19fb3ac37bfd301213520b0cf798e6e44faec6f0d9af0bddceb00fe",
    "query_policy/static": "5699b6a245778ae9f068fc4f27557ba103738589c78d596b2fc0674f81effb03",
    "encoder_merge": "c7a10458da7fa81aa9fecdda83814d28f5dcaa003f43f6b1acafddd3d8bd28e9",
    "encoder_merge/langbridge": "9a200ac8eb897a38c6e95c76cef53f313ce82d6820c7c5ed391e6aaefef0694f",
    "inference_intervention": "253d22e9d9606a93ff308397ab0405582f388c2689118499937b1126f2d1c77b",
    "inference_intervention/vectors": "5865b68f47b61ad0605f2e5647f33e026dbebe575197c55c44192a53f03f7d32",
    "preference_gap": "8ddc516ac5002e6deffed44df7f3c98c88ef231eeabecca4ed060b56e5c49ab0",
    "preference_gap/shuffled": "68fce3c04ed95bbc0bcc7578d3ff6158aea3ea62a71cc1569b55c22d9ea2dd54",
    "alignment_preference": "0baccf4bd35e87cc1d449e3e2e784883d5212b84201c60eca598ccebef30f444",
    "knowledge_triples": "66e4e7e5f4c520cd794fea1616cf8077dd69551ab6902939cc23914a24187aa6",
    "multilingual_reasoning": "c5592490b392bef0f144b1a77739154e305c43ba44eb09b8ffbb48da6a4b51bf",
    "self_instruct": "e9913c0fcc1c4ce17ac66d7abd55993bcc8cf8fac015ec2f2e345439a446163c",
    "knowledge_alignment": "90864ec53d1032c8f26d3d853b83f4aeefa53db2b0af31f5cc1ee607cfb0d0d8",
    "representation_alignment": "a4ae2b3603b199fee340bbb02523c484623bb96ab19f0e02cb2f5aff5cac82fc",
    "representation_alignment/summed": "899ad593e2558364962314ceb4c2a776848234e75b8ec76b008e4a3a176abfd3",
    "subspace_alignment": "d347914ddeb9c23c785051f67937dcca74add3ca3c8347a1ff340bc1d5486a0a",
    "subspace_alignment/repaired": "8f7e3ff43947ae35ae0ac4fa17af94330751ae0913470b1b0d1f02222a734af0",
    "language_neurons": "bc15ec8425048f171bb84c7b5cfe394aee833f2696a7cb00b782ccd54bc671ef",
    "layer_swap": "9bc9f3dc709e8a6daa16a2769c504979404c9ea7eda7855e5875374951eb5cab",
    "task_arithmetic": "cb32c89b106a457046f9acba399957242e975205988e3a7dc37f1282538520fe",
    "translation_pruning": "2a9a299c39e2eb2500d76f84175b96d38f0b0d8e38a8969e92516ceacd5212ed",
    "translation_pruning/random": "2bec0cf81dcc68b1fde882d58dba9c4633e37b216ba49934e51f1afe09f14165",
    "xlt_prompt": "bb680250a35faf5bd8815a978949724d7f881328f8aeec50d35ddc0a645584ae",
    "cross_lingual/both_directions": "d66f649551bdb397dc2e59d43425ec08f95ff6508dd5df624c4f82d97c07b6e3",
    "cross_lingual/scaling_law": "3877864e08c70357d3d08a8793580fb1388413de0322346c135fbd39aaa3968f",
    "cross_lingual/translated": "7e6e75094ca9a62543d008d3ed2c7d205c0698e02d7b6c108ea74811b1f595f9",
    "cross_lingual/to_pivot": "f8dc13aab165e9e0722b24bd1cf69a25b803d7635ea63593a8420fce63ca679a",
    "cross_lingual/second_stage": "45979ac9dc882309f55351cec430f515a31448ce08ec59248b8124f4dffdff8f",
    "knowledge_triples/triples_alone": "a144fe9e662a91a4d71c5c2795b7dea7463f0db1c1740c62acf27a98c33826e4",
    "multilingual_reasoning/cross_sampled": "0d851bbf271d00cce9f05a199a370458d94738dce71edf39c2835e042f384f31",
    "multilingual_reasoning/steps": "284cd973d6aa340e9fc7bd312a35bea68a90b5ff5c3f9753eace1388e38261ba",
    "dpo_self_improvement/reasoning": "ff8f75a82a6f59c5ab9b94c3763614a58736a42da6221551665aa84b5aad55c7",
    "dpo_self_improvement/round_2": "0f4e40f5e4d08cb9b22e8108645f7a2095ea347d415339882922f322e07ff2de",
    "linguistically_diverse_prompts/translator": "c92369c0fb262e5d4b7403f1553c11843c4b2ba3417c1252a508aeb9133661f1",
    "pivot_language/own_answers": "55c38506b356aae161d69818b3c5a67a30a1fb295bb913873e14614b2258345c",
    "pivot_language/translated_prompts": "e1ef46c86f601758dc9089532696f312ec2f8466af556fdb63779099705aab8f",
    "question_alignment/general": "efdecdb6bea76f8ca0709f19169c9130cfa310c2df793b697ab0478df99370aa",
    "self_distillation/aligned": "21054141d4ed61ce093e492714a997cf6e368461af2fac52373f80c732d2ff1a",
    "self_distillation/gold": "99a11eba87cd800e7dfb3e0642e7decd76a1575e00ca68c8769de922d7ef88de",
    "star_alignment/two_hubs": "5992aec6589aec876a94fffe88e5116f421528d48160ed89b1a0ceb32a1cf87a",
    "translate_then_sft/mixed": "a23e58fbcc99abed085fdb8db5d13bf19ddefe8510529e8723a5ad512f1d8d76",
    "xlt_prompt/named_languages": "5f65668dcb5f0a380b0fb208a197fe646cc1baea8e1c9f38aa299c069a8c604b",
}
LEAKS_AND_LANGUAGES = "d5a809f595d8c73756f66c9f023f4b45bfdca29b775bf8bdd16c1dc9198a0ef9"

LANGUAGES = ("es", "de", "sw")
BUDGET = 120
LAW = {"a": 150.0, "b": -0.2, "similarity": {"es": 1.0, "de": 0.8, "sw": 0.3}}
VARIANTS: dict[str, dict[str, Any]] = {
    "cross_lingual/both_directions": {"direction": "both"},
    "cross_lingual/scaling_law": {"allocation": "scaling", "scaling": LAW},
    "cross_lingual/to_pivot": {"direction": "to_pivot"},
    "cross_lingual/translated": {"translated": "always"},
    "cross_lingual/second_stage": {"second_stage": 0.15, "pivot_instructions": 0.655, "target_instructions": 0.2, "translation": 0.145},
    "knowledge_triples/triples_alone": {"triples": 1.0, "links": 0.0},
    "multilingual_reasoning/cross_sampled": {"questions": "pivot", "answers": "sampled"},
    "multilingual_reasoning/steps": {"frame": "steps", "answers": "sampled"},
    "dpo_self_improvement/reasoning": {"track": "reasoning", "prompt_corpus": "gsm8k"},
    "dpo_self_improvement/round_2": {"prompts": 30},
    "inference_intervention/vectors": {"move": "vector", "positions": "answer", "layers": [0.5], "random": True, "held_out": 5},
    "preference_gap/shuffled": {"shuffled": True, "keep": 0.0},
    "linguistically_diverse_prompts/translator": {"translations": "translator", "exemplars": 3, "characters": 50},
    "knowledge_alignment": {"entities": 1.0, "triples": 0.0},  # no object of the bundled facts has a name in two languages
    "representation_alignment/summed": {"layer": 1, "pool": "last", "alternate": False, "shuffled": True},
    "subspace_alignment/repaired": {"shared": "complement", "rank": 2, "keep": 0.0},
    "pivot_language/own_answers": {"answers": "self", "restate": False},
    "pivot_language/translated_prompts": {"prompt_corpus": "alpaca_en"},
    "question_alignment/general": {"question_corpus": "alpagasus", "task_corpus": "alpaca", "question_translation": 0.7, "task": 0.3},
    "self_distillation/aligned": {"dictionary": "alignment", "code_switch": "both", "code_switch_rows": 0.6},
    "self_distillation/gold": {"bad_answers": "gold", "gold_overlap": 0.1, "code_switch": "off", "direction": "from_pivot"},
    "star_alignment/two_hubs": {"hubs": ["en", "es"], "instructions": 0.25, "constrained": 0.15, "interactive": 0.2},
    "query_policy": {"corpus": "alpaca", "items": 20},
    "query_policy/static": {"corpus": "alpaca", "items": 20, "choose": "static"},
    "encoder_merge/langbridge": {"mapping": 0.0, "queries": "pivot", "reads_prompt": False, "inner": 0.0},
    "translation_pruning": {"shots": 2},
    "translation_pruning/random": {"shots": 2, "random": True, "to_pivot": False},
    "translate_then_sft/mixed": {"pivot_instructions": 0.25, "target_instructions": 0.75},
    "xlt_prompt/named_languages": {"languages": ["zh", "es"], "token_factor": 3.0},
}
"""Options that open another branch, by method and a name for them."""

WORDS = {
    "es": "water agua, year año, years años, night noche, week semana, home casa, first primera, telephone teléfono, under bajo, "
    "train tren, every cada, nobody nadie, almost casi, because porque, before antes, after después, little poco, "
    "little pequeño, children niños",
    "de": "water Wasser, year Jahr, years Jahre, night Nacht, week Woche, people Menschen, without ohne, telephone Telefon, "
    "under unter, every jeden, nobody niemand, almost fast, because weil, before bevor, after nach, little wenig, "
    "children Kinder, hour Stunde, more mehr",
    "sw": "water maji, year mwaka, years miaka, night usiku, week wiki, people watu, without bila, telephone simu, under chini, "
    "every kila, first kwanza, because kwa sababu, before kabla, after baada, little kidogo, children watoto, work kazi, "
    "more zaidi, rain mvua",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_rows_of_a_method_stay_as_they_are(name: str) -> None:
    found = digest(make_plan(name))
    assert found == GOLDEN[name], (
        f"The plan that {name} makes of the bundled samples has changed. If it must not change, the code has a fault, so mend the code. If "
        f"it must change, raise the `version` of the method (or RECIPES_VERSION where a recipe that several methods share has changed) "
        f'and write the new hash into GOLDEN in this file: "{name}": "{found}",'
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_plan_says_enough(name: str) -> None:
    plan = make_plan(name)
    assert len(plan.rows) >= 20 or plan.profile or plan.policy or plan.arrays, (
        f"{name} makes only {len(plan.rows)} rows here, which is too few to notice a change."
    )


def test_every_method_has_a_hash() -> None:
    built_in = {name for name in names() if find_method(name).__module__.startswith("xlift.methods.")}
    lacking = {*built_in, *VARIANTS} - set(GOLDEN)
    assert not lacking, (
        f"There is no hash for {', '.join(sorted(lacking))}. Give each of them a line in GOLDEN in this file, with any text in place of "
        "the hash, and run this test file again: what fails then prints the hash."
    )
    gone = set(GOLDEN) - {*built_in, *VARIANTS}
    assert not gone, f"GOLDEN has a hash for {', '.join(sorted(gone))}, which is no method or variant any more. Take its line out."


@cache
def make_plan(name: str) -> Plan:
    method, _, variant = name.partition("/")
    return load(method, VARIANTS.get(name, {})).prepare(make_context(int(variant == "round_2")))


def digest(plan: Plan) -> str:
    """Rows in their order, then all else of the plan that a run depends on; not its facts, which only describe it."""
    lines = [row.to_dict() for row in plan.rows]
    rest = {
        "objective": {**asdict(plan.objective), "kind": type(plan.objective).__name__},
        "phases": plan.phases,
        "profile": plan.profile.model_dump(mode="json") if plan.profile else None,
        "drops": dict(plan.drops),
        **({"where": asdict(plan.where)} if plan.where else {}),
        **({"parts": {name: asdict(part) for name, part in plan.parts.items()}, "edit": asdict(plan.edit)} if plan.edit else {}),
        **({"steer": plan.steer.model_dump(mode="json"), "chosen_on": plan.chosen_on} if plan.steer else {}),
        **({"policy": plan.policy.model_dump(mode="json"), "chosen_on": plan.chosen_on} if plan.policy else {}),
        **({"module": plan.module.model_dump(mode="json")} if plan.module else {}),
        **({"arrays": {name: array.shape for name, array in plan.arrays.items()}} if plan.arrays else {}),
        **({"numbers": {name: array.tolist() for name, array in plan.arrays.items()}} if isinstance(plan.edit, Mask) else {}),
    }
    text = "\n".join(json.dumps(line, sort_keys=True, ensure_ascii=False) for line in [*lines, rest])
    return sha256(text.encode()).hexdigest()


def make_context(number: int) -> FakeContext:
    """A world of the bundled samples, in the given round, whose model and translator fail now and then."""
    context = FakeContext(LANGUAGES, BUDGET)
    vars(context).update(round=number, read=read, identify=identify, translate=translate, generate=make_generate(number))
    vars(context).update(score_translations=score)
    return context


def read(corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
    """Corpora that have samples as they are, the others made of them, and ``alpaca_en``, which is alpaca without other languages."""
    match corpus:
        case "alpaca_en" if lang == "en":
            return read_samples("alpaca", "en")
        case "alpagasus":
            rows = read_samples("alpaca", lang)
            return [{**row, "output": row["output"] if lang == "en" and at % 3 else None} for at, row in enumerate(rows)]
        case "gsm8k":
            return [
                {
                    "id": row["id"],
                    "question": f"{row['instruction']} ({at} + {at})",
                    "answer": f"{row['output']}\n{at} + {at} = <<{at}+{at}={2 * at}>>{2 * at}.\n#### {2 * at}",
                    "final_answer": str(2 * at),
                }
                for at, row in enumerate(zip_english(lang))
            ]
        case "lexicon" if lang in WORDS:
            pairs = [entry.split(" ", 1) for entry in WORDS[lang].split(", ")]
            return [{"id": f"lexicon-{at}", "en": en, "text": text, "part": "xling"} for at, (en, text) in enumerate(pairs)]
    return read_samples(corpus, lang)


def zip_english(lang: str) -> list[dict[str, Any]]:
    """Instructions in a language with the English answers, as GSM8K has its solutions."""
    return [{**row, "output": en["output"]} for row, en in zip(read_samples("alpaca", lang), read_samples("alpaca", "en"), strict=True)]


SPOKEN = ("en", "es", "de", "fr", "sw")
"""Languages of the samples that the hashes were made of; later ones would change what a method that reads every language makes."""


@cache
def read_samples(corpus: str, lang: str) -> list[dict[str, Any]]:
    if lang not in SPOKEN:
        raise LanguageMissingError(f"{corpus} in {lang!r} is not among the rows of this test")
    return list(read_training(corpus, lang, samples="always"))


def translate(texts: Sequence[str], source: str, target: str) -> list[str | None]:
    """The text in a made-up dialect; nothing, the text itself or far too much now and then."""
    return [translate_one(text, target) for text in texts]


def translate_one(text: str, target: str) -> str | None:
    match crc32(f"{target}: {text}".encode()) % 29:
        case 0:
            return None
        case 1:
            return text
        case 2:
            return text * 9
    return " ".join(word + ("o" if target == "en" else target) for word in text.split(" "))


def score(texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
    """By chance; one of a hundred texts is too long."""
    drawn = [crc32(f"{text} {translation}".encode()) for text, translation in zip(texts, translations, strict=True)]
    return [None if one % 100 == 0 else -(1 + one % 7) / 4 for one in drawn]


def draw(place: int, chat: Chat) -> Answer:
    """Tasks where tasks are begun, else a solution of a problem that ends in a sum, right in half of all draws; cut off now and then."""
    if chat[-1]["role"] == "assistant":
        return Answer(f" {make_up_task(2 * place)}\n### Task 5\nInstruction: {make_up_task(2 * place + 1)}", 40, place % 11 != 0)
    left, right = map(int, re.findall(r"\((\d+) \+ (\d+)\)", chat[-1]["content"])[-1])
    result = left + right + place % 2
    return Answer(f"First {place % 4}. {left} + {right} = {result}.{' So.' * (place % 3)} The answer is {result}.", 9, place % 13 != 0)


def make_generate(number: int) -> Callable[[Sequence[Chat], Sampling], list[Answer]]:
    def generate(chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        if sampling.temperature:
            return [draw(1000 * sampling.seed + place, chat) for place, chat in enumerate(chats)]
        return [answer(f"{number} {sampling.max_tokens}", chat) for chat in chats]

    return generate


def answer(salt: str, chat: Chat) -> Answer:
    """The end of the prompt in capitals; empty, cut off or going round in circles now and then."""
    prompt = chat[-1]["content"]
    text = f"{prompt[-300:].strip().upper()}, {salt}!"
    match crc32(f"{salt}: {prompt}".encode()) % 31:
        case 0:
            return Answer("", 1, True)
        case 1:
            return Answer(text, 9, False)
        case 2:
            return Answer(f"{text} and so on and so on and so on and so on and so on", 9, True)
    return Answer(text, len(text), True)


def identify(texts: Sequence[str]) -> list[str]:
    """Too short to tell, but for a text now and then."""
    return ["sw" if crc32(text.encode()) % 37 == 0 else "zh" if crc32(text.encode()) % 37 == 1 else "und" for text in texts]


def test_what_leaks_and_what_language_a_text_has_stay_as_they_are() -> None:
    """Of the texts that the samples of the benchmarks hold, and of what is left of them when words are lost, added or cut off."""
    asked = [("mgsm", lang) for lang in ("en", "es", "de", "sw")] + [("flores", "en-es"), ("xquad", "es")]
    texts = [text for corpus, lang in asked for text in evaluation_texts(corpus, lang, samples="always")]
    guard = Guard(texts[::2])
    changed = [text for whole in texts for text in change(whole)]
    found = json.dumps([guard.find_leaks(changed), guess_languages(changed)])
    assert sha256(found.encode()).hexdigest() == LEAKS_AND_LANGUAGES, (
        "The leak guard or the identification of languages judges the bundled samples otherwise than before, so the rows of every method "
        "may change. If they must, raise RECIPES_VERSION and write the new hash into LEAKS_AND_LANGUAGES in this file: "
        f"{sha256(found.encode()).hexdigest()}"
    )


def change(text: str) -> list[str]:
    words = text.split(" ")
    return [text, f"Say: {text.upper()}!", " ".join(words[: len(words) // 2]), " ".join(words[::2]), " ".join(words[-4:]), words[0]]
