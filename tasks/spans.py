"""Scores short answers copied from a text (XQuAD, MLQA): exact match, F1 and containment, each against the best gold answer.

The normalisation is that of the official MLQA script (facebookresearch/MLQA, mlqa_evaluation_v1.py): case, punctuation and the articles of
the answer's language are removed, and Chinese is cut into characters. We differ where the script has a gap or a slip:

- Every language is taken (the script has seven). The articles of el, fr, it, pt and ro are ours; a language that is not listed here has
  none to remove.
- Thai, Japanese, Lao, Khmer, Burmese and Tibetan are cut into characters, each with its marks, because words are not separated there
  either.
- Texts are in NFKC, with case folding (and the dotless i of Turkish), ASCII digits, and no invisible characters: ``１２`` is ``12``,
  ``STRASSE`` is ``Straße``.
- Arabic ال is removed only at the beginning of a word (the script cuts it out of the middle of words; lm-eval's copy does not).
- An answer that is only articles or punctuation ("A") stays as it is, so that an empty answer is never right.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import regex

from xlift.tasks import official
from xlift.tasks.language_id import language_scores
from xlift.tasks.lines import answer_line
from xlift.tasks.thinking import separate

_WORDS = {
    "de": "ein eine einen einem eines einer der die das den dem des",
    "el": "ο η το οι τα του της των τον την τη τους τις ένας μία μια ένα ενός μιας έναν",
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "fr": "un une des le la les",
    "it": "un uno una il lo la i gli le",
    "pt": "um uma uns umas o a os as",
    "ro": "un o unui unei unor niște",
    "vi": "của là cái chiếc những",
}
_ARTICLES = {lang: regex.compile(rf"\b(?:{words.casefold().replace(' ', '|')})\b") for lang, words in _WORDS.items()}
_ARTICLES["ar"] = regex.compile(r"(?<!\S)(?:ال)+")
_ELIDED = regex.compile(r"\b(?:l|un)['’](?=\w)")  # l'eau, un'isola: must go before the apostrophe does
_ELIDING = frozenset({"fr", "it"})
_DOTLESS_I = frozenset({"tr", "az", "crh"})
_DROPPED = regex.compile(rf"[\p{{P}}{regex.escape(string.punctuation)}]")  # also $ + < = > ^ ` | ~, as in the MLQA script
_INVISIBLE = regex.compile(r"\p{Cf}")
_UNSPACED = frozenset({"zh", "zh-Hant", "yue", "ja", "th", "lo", "km", "my", "shn", "bo", "dz"})
_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}ー\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_MIXED = regex.compile(rf"[{_SCRIPTS}]\p{{M}}*|[^{_SCRIPTS}\s]+")


def normalise(text: str, lang: str) -> str:
    """The tokens of ``text`` with one space between them. Normalising again changes nothing. It is empty only if ``text`` shows nothing."""
    while (changed := _normalise_once(text, lang)) != text:
        text = changed
    return text


def tokenise(text: str, lang: str) -> list[str]:
    """Normalised words, or characters if ``lang`` puts no space between words, with Latin words and numbers among them whole."""
    return normalise(text, lang).split()


def exact_match(prediction: str, golds: Sequence[str], lang: str) -> float:
    """1.0 if the normalised prediction equals a gold answer, else 0.0."""
    return _best(lambda tokens, gold: float(tokens == gold), prediction, golds, lang)


def f1(prediction: str, golds: Sequence[str], lang: str) -> float:
    """The harmonic mean of token precision and recall against the best gold answer, 0 to 1. It is never below ``exact_match``."""
    return _best(_overlap, prediction, golds, lang)


def containment(prediction: str, golds: Sequence[str], lang: str) -> float:
    """1.0 if all tokens of a gold answer are in the prediction, in order and without a gap.

    It is stricter than x-LLM (NJUNLP), which looks for the lower-cased first gold answer as a substring, so that "8" is found in "18".
    """
    return _best(lambda tokens, gold: float(f" {' '.join(gold)} " in f" {' '.join(tokens)} "), prediction, golds, lang)


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's scores of one XQuAD item, each 0 to 1. ``official_em`` and ``official_f1`` are those of the SQuAD script.

    ``doc`` has ``answers`` (in SQuAD's form) and ``lang``, the language of the answer. The line that ``answer_line`` finds is scored: chat
    models put a greeting or a label before it, and base models go on to invent the next question.
    """
    return _process(doc, results[0], official.squad)


def process_mlqa_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The same for one MLQA item. ``official_em`` and ``official_f1`` are those of the MLQA script, for its seven languages."""
    return _process(doc, results[0], official.mlqa)


def _process(doc: Mapping[str, Any], text: str, rules: official.Rules) -> dict[str, float]:
    prediction, golds, lang = answer_line(text), doc["answers"]["text"], doc["lang"]
    said = rules(prediction, lang)
    wanted = [rules(gold, lang) for gold in golds]
    return {
        "exact_match": exact_match(prediction, golds, lang),
        "f1": f1(prediction, golds, lang),
        "containment": containment(prediction, golds, lang),
        "official_em": official.exact_match(said, wanted),
        "official_f1": official.f1(said, wanted),
        **language_scores(prediction, lang),
        "thinking_cut": float(separate(text).cut),
    }


def _best(score: Callable[[list[str], list[str]], float], prediction: str, golds: Sequence[str], lang: str) -> float:
    tokens = tokenise(prediction, lang)
    return max((score(tokens, gold) for gold in (tokenise(text, lang) for text in golds) if gold), default=0.0)


def _overlap(tokens: list[str], gold: list[str]) -> float:
    shared = (Counter(tokens) & Counter(gold)).total()
    return 2 * shared / (len(tokens) + len(gold))


def _normalise_once(text: str, lang: str) -> str:
    text = _fold_case(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)), lang)
    if lang in _ELIDING:
        text = _ELIDED.sub(" ", text)
    text = _keep_some(_DROPPED.sub("", text), text)
    if lang in _ARTICLES:
        text = _keep_some(_ARTICLES[lang].sub(" ", text), text)
    return " ".join(_MIXED.findall(text) if lang in _UNSPACED else text.split())


def _fold_case(text: str, lang: str) -> str:
    if lang in _DOTLESS_I:
        text = text.replace("I", "ı").replace("İ", "i")
    folded = unicodedata.normalize("NFKC", text.casefold())
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in folded)


def _keep_some(shorter: str, text: str) -> str:
    return shorter if shorter.strip() else text
