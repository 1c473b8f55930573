"""The benchmarks that are scored by likelihood: no answer is generated, and a model says how likely given answers are."""

from __future__ import annotations

from functools import partial
from itertools import permutations

from xlift.tasks import wording
from xlift.tasks.corpus_table import ANSWERS, CORPORA
from xlift.tasks.entries import Benchmark, Form, pair_with_english, singles

_bits = partial(Benchmark, scorer="likelihood", process="measure_bits", metrics=("bits_per_byte",), headline="bits_per_byte")
_choice = partial(Benchmark, scorer="likelihood", process="measure_choice", metrics=("acc", "acc_norm", "margin"), headline="acc")


def _form(corpus: str) -> Form:
    """One task for each language of a corpus."""
    return Form("", singles(corpus), None)


LIKELIHOOD = (
    _bits(
        name="flores_bpb",
        title="FLORES-200, bits",
        dataset="mteb/flores",
        corpus="flores",
        split="devtest",
        shots="dev",
        forms=(
            Form("from_eng", pair_with_english("flores", 0), None),
            Form("to_eng", pair_with_english("flores", 1), None),
        ),
        ask=wording.ask_translation,
        answers="translation",
        parallel=True,
        answered_in=1,
        flores_codes=True,
        any_pair=True,
    ),
    _bits(
        name="flores_text_bpb",
        title="FLORES-200 text, bits",
        dataset="mteb/flores",
        corpus="flores",
        split="devtest",
        forms=(_form("flores"),),
        ask=wording.ask_nothing,
        answers="sentence",
        parallel=True,
    ),
    _bits(
        name="ntrex_text_bpb",
        title="NTREX-128 text, bits",
        dataset="MicrosoftTranslator/NTREX",
        corpus="ntrex",
        split="test",
        forms=(_form("ntrex"),),
        ask=wording.ask_nothing,
        answers="sentence",
        parallel=True,
    ),
    _bits(
        name="xquad_bpb",
        title="XQuAD, bits",
        dataset="google/xquad",
        corpus="xquad",
        split="test",
        forms=(_form("xquad"),),
        ask=wording.ask_span,
        answers="spans",
        parallel=True,
    ),
    _bits(  # a part of its documents is in each language
        name="mlqa_bpb",
        title="MLQA, bits",
        dataset="facebook/mlqa",
        corpus="mlqa",
        split="dev",
        forms=(_form("mlqa"), Form("cross", tuple(permutations(CORPORA["mlqa"].languages, 2)), None)),
        ask=wording.ask_span,
        answers="spans",
    ),
    _bits(
        name="mgsm_bpb",
        title="MGSM, bits",
        dataset="juletxara/mgsm",
        corpus="mgsm",
        split="test",
        shots="exemplars",
        forms=(Form("sentence", singles("mgsm"), None),),
        ask=wording.ask_number,
        answers="number_sentence",
        parallel=True,
    ),
    _bits(
        name="x_alpaca_eval_bpb",
        title="X-AlpacaEval, bits",
        dataset="zhihz0535/X-AlpacaEval",
        corpus="x_alpaca_eval",
        split="gpt-4-turbo-2024-04-09",
        forms=(Form("", tuple((code,) for code in ("bn", "de", "en", "es", "fr", "ru", "sw", "th", "zh")), None),),
        ask=wording.ask_instruction,
        answers="reference",
        parallel=True,
    ),
    _choice(
        name="belebele_likelihood",
        title="Belebele, likelihood",
        dataset="facebook/belebele",
        corpus="belebele",
        split="test",
        forms=(_form("belebele"),),
        ask=wording.ask_choice,
        target="answer",
        choices=ANSWERS,
        parallel=True,
    ),
    _choice(
        name="xcopa",
        title="XCOPA",
        dataset="cambridgeltl/xcopa",
        corpus="xcopa",
        split="test",
        shots="val",
        forms=(_form("xcopa"),),
        ask=wording.ask_cause,
        target="{{answer}}",
        answers="sentences",
        parallel=True,
    ),
    _choice(
        name="pawsx",
        title="PAWS-X",
        dataset="google-research-datasets/paws-x",
        corpus="pawsx",
        split="test",
        shots="dev",
        forms=(_form("pawsx"),),
        ask=wording.ask_same,
        target="{{answer}}",
        labels="pawsx",
    ),
    _choice(
        name="xnli",
        title="XNLI",
        dataset="facebook/xnli",
        corpus="xnli",
        split="dev",
        forms=(_form("xnli"),),
        ask=wording.ask_entailment,
        target="{{answer}}",
        labels="xnli",
        parallel=True,
    ),
    _choice(
        name="sib200",
        title="SIB-200",
        dataset="dadelani/sib-200",
        corpus="sib200",
        split="test",
        shots="dev",
        forms=(_form("sib200"),),
        ask=wording.ask_topic,
        target="{{answer}}",
        labels="sib200",
        parallel=True,
    ),
    _choice(
        name="bmlama",
        title="BMLAMA-17",
        dataset="Betswish/Cross-Lingual-Consistency",
        corpus="bmlama",
        split="test",
        forms=(_form("bmlama"),),
        ask=wording.ask_nothing,
        target="{{answer}}",
        answers="facts",
        parallel=True,
    ),
)
