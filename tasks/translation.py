"""Scores for translation: chrF++ and spBLEU through sacrebleu (Post 2018, arXiv:1804.08771), and COMET over saved samples.

spBLEU is BLEU over FLORES-200 sentence pieces (NLLB Team 2022, arXiv:2207.04672). Its tokeniser is a file that sacrebleu looks for in
``$SACREBLEU/models`` (``~/.sacrebleu/models``), where ``sacrebleu --tokenize flores200`` puts it. Nothing here downloads it: without it
another tokeniser is used, and ``signatures`` says which.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers import tokenizer_spm

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.languages import find
from xlift.tasks.entries import AS_WRITTEN
from xlift.tasks.language_id import is_off_target, language_scores
from xlift.tasks.thinking import separate
from xlift.tasks.translated_line import first_line

_LOG = logging.getLogger(__name__)

_SCRIPT_TOKENIZERS = {"Hans": "zh", "Hant": "zh"} | dict.fromkeys(("Jpan", "Thai", "Khmr", "Laoo", "Mymr", "Tibt"), "char")
"""Replacements of the sentence pieces in scripts without spaces. In all others it is mteval's international tokeniser."""


def chrf_per_line(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF++ of each line, 0 to 100."""
    return [_chrf().sentence_score(hypothesis, [reference]).score for hypothesis, reference in zip(hypotheses, references, strict=True)]


def spbleu_per_line(hypotheses: Sequence[str], references: Sequence[str], lang: str) -> list[float]:
    """spBLEU of each line, 0 to 100, over the n-gram orders that the line has (sacrebleu's setting for single sentences)."""
    bleu = _bleu(_tokenizer(lang), sentence=True)
    return [bleu.sentence_score(hypothesis, [reference]).score for hypothesis, reference in zip(hypotheses, references, strict=True)]


def corpus_chrf(items: Sequence[tuple[str, str]]) -> float:
    """chrF++ of a corpus, 0 to 100, from (reference, hypothesis) pairs: an lm-eval aggregation."""
    references, hypotheses = zip(*items, strict=True)
    return float(_chrf().corpus_score(hypotheses, [references]).score)


def corpus_spbleu(items: Sequence[tuple[str, str, str]]) -> float:
    """spBLEU of a corpus, 0 to 100, from (reference, hypothesis, target language) triples of one language: an lm-eval aggregation."""
    references, hypotheses, langs = zip(*items, strict=True)
    if len(set(langs)) > 1:
        raise ValueError(f"spBLEU is of one target language at a time, got {', '.join(sorted(set(langs)))}")
    return float(_bleu(_tokenizer(langs[0]), sentence=False).corpus_score(hypotheses, [references]).score)


def signatures(lang: str) -> dict[str, str]:
    """sacrebleu's signature of each metric of ``process_results`` into ``lang``, with the tokeniser that this machine really uses."""
    chrf = _sign(_chrf())
    sentence, corpus = (_sign(_bleu(_tokenizer(lang), sentence=flag)) for flag in (True, False))
    signed = {"chrf": chrf, "corpus_chrf": chrf, "spbleu": sentence, "corpus_spbleu": corpus}
    return signed | {f"{name}{AS_WRITTEN}": signature for name, signature in signed.items()}


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """The hook that task files of an xlift before 0.2 name: ``score_line`` without the scores as written, which those files do not list."""
    return {name: score for name, score in score_line(doc, results).items() if not name.endswith(AS_WRITTEN)}


def score_line(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """lm-eval's hook. ``doc`` has ``source``, ``target`` and ``target_lang``, an xlift code.

    ``chrf`` and ``spbleu`` are scores of the line, for paired tests; the ``corpus_`` values go to the aggregation of the same name. A line
    in a wrong language counts as an empty one, because names and numbers alone give a copied source some 20 points. The scores that end in
    ``AS_WRITTEN`` take it as it is. A line whose language cannot be told counts as it is in both.
    """
    reference, lang = doc["target"], doc["target_lang"]
    said = separate(results[0])
    hypothesis, chatter = first_line(said.answer, doc["source"], reference)
    language = _tell_language(hypothesis, reference, lang)
    as_written = _score(hypothesis, reference, lang)
    return {
        **(_score("", reference, lang) if language.get("off_target") else as_written),
        **{f"{name}{AS_WRITTEN}": score for name, score in as_written.items()},
        **language,
        "chatter": float(chatter),
        "empty": float(not hypothesis),
        "thinking_cut": float(said.cut),
    }


def _tell_language(hypothesis: str, reference: str, lang: str) -> dict[str, float]:
    """``language_scores`` of a line. If the reference itself is taken for another language, lines off target cannot be told."""
    language = language_scores(hypothesis, lang)
    return language_scores("", lang) if language.get("off_target") and is_off_target(reference, lang) else language


def _score(hypothesis: str, reference: str, lang: str) -> dict[str, Any]:
    return {
        "chrf": chrf_per_line([hypothesis], [reference])[0],
        "spbleu": spbleu_per_line([hypothesis], [reference], lang)[0],
        "corpus_chrf": (reference, hypothesis),
        "corpus_spbleu": (reference, hypothesis, lang),
    }


def comet_scores(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    model: str | Path,
    *,
    batch_size: int = 16,
    gpus: int = 0,
) -> list[float]:
    """COMET of each line (Rei et al. 2022), about 0 to 1 for ``Unbabel/wmt22-comet-da``, to be run over saved samples.

    ``model`` is a checkpoint file, a model folder as on the hub, or a name on the hub, which is downloaded. The command ``comet-score`` of
    the package unbabel-comet does the work in an environment of its own, because it needs an older transformers than xlift. If it is not on
    the path, the variable XLIFT_COMET names it. Raises UserError if the command is missing or fails.
    """
    named = os.environ.get("XLIFT_COMET", "comet-score")
    command = shutil.which(named)
    if command is None:
        raise UserError(
            f"COMET: there is no command {named!r}: install unbabel-comet in an environment of its own (python -m venv comet; "
            "comet/bin/pip install unbabel-comet) and set XLIFT_COMET=comet/bin/comet-score"
        )
    checkpoint = Path(model) / "checkpoints" / "model.ckpt"
    chosen = str(checkpoint if checkpoint.is_file() else model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = [command, "--model", chosen, "--batch_size", str(batch_size), "--gpus", str(gpus), "--quiet"]
        for flag, lines in {"-s": sources, "-t": hypotheses, "-r": references}.items():
            path = Path(folder) / f"lines{flag}.txt"
            path.write_text("".join(f"{' '.join(line.split())}\n" for line in lines), encoding="utf-8")
            arguments += [flag, str(path)]
        found = Path(folder) / "scores.json"
        utf8 = {**os.environ, "PYTHONUTF8": "1"}
        done = subprocess.run([*arguments, "--to_json", str(found)], capture_output=True, text=True, check=False, env=utf8)
        if done.returncode or not found.is_file():
            said = one_line(Exception(done.stderr[-300:] or "it wrote no scores"))
            raise UserError(f"COMET: {named} ended with status {done.returncode}: {said}")
        (rows,) = json.loads(found.read_text(encoding="utf-8")).values()
    if len(rows) != len(hypotheses):
        raise UserError(f"COMET: {named} scored {len(rows)} of {len(hypotheses)} lines")
    return [float(row["COMET"]) for row in rows]


def _tokenizer(lang: str) -> str:
    return "flores200" if _has_pieces() else _SCRIPT_TOKENIZERS.get(find(lang).script, "intl")


@cache
def _has_pieces() -> bool:
    model = Path(tokenizer_spm.SACREBLEU_DIR, "models", Path(tokenizer_spm.SPM_MODELS["flores200"]["url"]).name)
    if not model.is_file():
        _LOG.warning("spBLEU without its tokeniser (%s is missing): other tokens are counted, see the signature", model)
    return model.is_file()


@cache
def _chrf() -> CHRF:
    return CHRF(word_order=2)


@cache
def _bleu(tokenize: str, *, sentence: bool) -> BLEU:
    try:
        return BLEU(tokenize=tokenize, effective_order=sentence)
    except (OSError, RuntimeError) as error:
        raise UserError(f"the tokeniser {tokenize!r} in {tokenizer_spm.SACREBLEU_DIR} does not load: delete its file ({error})") from error


def _sign(metric: CHRF | BLEU) -> str:
    metric.corpus_score(["a"], [["a"]])  # the number of references enters the signature at the first score
    return str(metric.get_signature())
