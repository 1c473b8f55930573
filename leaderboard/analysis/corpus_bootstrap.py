"""Comparing corpus-level translation scores: a paired bootstrap that scores each resampled corpus anew (Koehn 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from xlift.harness.core.errors import UserError
from xlift.harness.core.limits import LEAST_DOCUMENTS
from xlift.leaderboard.analysis.statistics import LEVEL, RESAMPLES, Estimate

if TYPE_CHECKING:
    from sacrebleu.metrics import BLEU, CHRF

Pairs = Sequence[tuple[str, str]]
"""(reference, hypothesis) of each document."""


def compare_corpora(method: Pairs, base: Pairs, signature: str, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Corpus score of method minus base under sacrebleu's ``signature``, such as ``nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no``.

    The counts behind the score are taken once for each document and added up again for each resample. p is Student's, from the bootstrap's
    standard error: a share of resamples could not fall below 1 / resamples and would not survive Holm's correction in a large table. With
    fewer than ``LEAST_DOCUMENTS`` documents there is no interval and no p. Raises UserError if the references differ, and for a signature
    that is neither chrF's nor BLEU's.
    """
    if [reference for reference, _ in method] != [reference for reference, _ in base]:
        raise UserError("corpus scores of different references cannot be compared: evaluate both on the same documents")
    documents = len(method)
    if documents < 2:
        raise UserError(f"{documents} document: an interval needs two at least; raise evaluate.limit")
    metric = _metric(signature)
    ours, theirs = (_count(metric, pairs) for pairs in (method, base))
    drawn = np.random.default_rng(seed).multinomial(documents, np.full(documents, 1 / documents), size=resamples)
    value = _score(metric, ours.sum(axis=0)) - _score(metric, theirs.sum(axis=0))
    pairs = zip(drawn @ ours, drawn @ theirs, strict=True)
    spread = np.array([_score(metric, one) - _score(metric, other) for one, other in pairs]) - value
    spread *= np.sqrt(documents / (documents - 1))
    df = documents - 1.0
    tail = special.ndtr(special.stdtrit(df, (1 - LEVEL) / 2))
    low, high = value + np.quantile(spread, [tail, 1 - tail])
    se = float(spread.std(ddof=1))
    p = 2 * float(special.stdtr(df, -abs(value) / se)) if se > 0 else 1.0
    if documents < LEAST_DOCUMENTS:
        low = high = p = float("nan")
    return Estimate(value, float(low), float(high), p, "bootstrap", ((se, df),), None, None, 1, documents, documents)


def _metric(signature: str) -> BLEU | CHRF:
    from sacrebleu.metrics import BLEU, CHRF

    fields = dict(part.split(":", 1) for part in signature.split("|") if ":" in part)
    lowercase = fields.get("case") == "lc"
    if "nc" in fields:
        return CHRF(
            char_order=int(fields["nc"]), word_order=int(fields["nw"]), lowercase=lowercase, whitespace=fields.get("space") == "yes"
        )
    if "tok" in fields:
        return BLEU(tokenize=fields["tok"], lowercase=lowercase, effective_order=fields.get("eff") == "yes", smooth_method=fields["smooth"])
    raise UserError(f"signature {signature!r}: only chrF and BLEU can be resampled")


def _count(metric: BLEU | CHRF, pairs: Pairs) -> NDArray[np.int64]:
    references, hypotheses = zip(*pairs, strict=True)
    return np.array(metric._extract_corpus_statistics(hypotheses, [references]), dtype=np.int64)


def _score(metric: BLEU | CHRF, counts: NDArray[np.int64]) -> float:
    return float(metric._compute_score_from_stats(counts.tolist()).score)
