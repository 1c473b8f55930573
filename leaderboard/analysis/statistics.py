"""What a difference between scores is worth: intervals, tests, corrections and ranks on per-document scores.

Scores are given as one array for each language, of shape (seeds, documents); a single task is one language. The same position is the same
document in all arrays that are compared. docs/statistics.md says what each number means and how often its interval is right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from xlift.harness.core.errors import UserError
from xlift.harness.core.limits import LEAST_DOCUMENTS
from xlift.leaderboard.analysis.seeds import SeedPool, pool_seeds

Array = NDArray[np.float64]
Scores = Sequence[Array]
"""One array (seeds, documents) for each language."""

LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
RESAMPLES = 2000
LEAST_FREEDOM = 4.0
"""The fewest degrees of freedom of the same scores' spread. With fewer it depends on a few documents, and there is no interval and no
test."""
_LEAST_SPREAD = 1 / 3
"""The least standard error of a resample, as a share of the sample's: if few documents differ, a resample may have none of them."""
_LEAST = 1e-100
"""The smallest p that is told apart."""
_MOST_DOCUMENTS = 10**12
_HALVINGS = 30
"""The number of halvings of the logarithms between that and 1, with which p is known to six digits."""


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference of means, with everything that is known of its error."""

    value: float
    low: float
    high: float
    """The ends of the 95 % interval, over documents and, with several seeds, over seeds; nan if there are too few documents for one."""
    p: float
    """Two-sided, not corrected; nan if nothing is compared, and if there is no interval."""
    test: str
    """mcnemar, t, bootstrap or none."""
    parts: tuple[tuple[float, float], ...]
    """The standard errors and degrees of freedom by source: documents first, then the seeds of each side that has several."""
    seed_sd: float | None
    """The standard deviation of the seeds' means; None with one seed, whose variance is not known."""
    seed_df: float | None
    """The degrees of freedom of the seeds' variance: their number minus one, and more if other models add information (``SeedPool``)."""
    seeds: int
    documents: int
    """Number of documents of all languages together."""
    drawn: int
    """The number of them that are drawn separately: the same document in several languages counts once."""

    @property
    def spread(self) -> float:
        """The standard deviation of a document's score or difference, as its part of the error has it."""
        return float(self.parts[0][0] * self.documents**0.5)


def compare(
    method: Scores, base: Scores, *, parallel: bool = False, pool: SeedPool | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The mean of method minus base, averaged over languages with equal weights.

    ``pool`` is the variance between seeds that the models of the same comparison tell together, beside that of each side's own seeds.

    Documents are resampled within each language, or jointly if they are ``parallel``: the same documents in every language, whose scores
    rise and fall together. With fewer than ``LEAST_DOCUMENTS`` documents whose scores are not 0 or 1, and if hardly any of them differ
    (``LEAST_FREEDOM``), there is only the mean. Raises UserError for different numbers of languages or documents, and for fewer than two
    documents.
    """
    _check(method, base)
    half = _padding([*method, *base], len(method) if parallel else 1)
    exact = bool(half) and len(method) == 1 and all(len(one[0]) == 1 for one in (method, base))
    ours, theirs = method[0], base[0]
    documents = sum(one.shape[1] for one in method)
    if parallel:
        method, base = _join(method), _join(base)
    differences = [ours.mean(axis=0) - theirs.mean(axis=0) for ours, theirs in zip(method, base, strict=True)]
    pads = [np.array([half, -half]) if half else np.empty(0) for _ in differences]
    bounds = (-1.0, 1.0) if half else None
    found, centre = _estimate(differences, pads, [_seed_part(method, pool), _seed_part(base, pool)], bounds, resamples, seed)
    if np.isnan(found.low):
        return replace(found, seeds=len(method[0]), documents=documents)
    if exact:
        p = float(mcnemar(((ours == 1) & (theirs == 0)).sum(), ((ours == 0) & (theirs == 1)).sum()))
    else:
        p = float(_p_value(np.array([centre]), [(np.array([se]), np.array([df])) for se, df in found.parts], found.documents)[0])
    return replace(found, p=p, test="mcnemar" if exact else "t", seeds=len(method[0]), documents=documents)


def estimate(scores: Scores, *, parallel: bool = False, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Mean score of one model, averaged over languages with equal weights; see ``compare``."""
    _check(scores, scores)
    half = _padding(scores, len(scores) if parallel else 1) / 2
    joined = _join(scores) if parallel else scores
    pads = [np.array([0.5 + half, 0.5 - half]) if half else np.empty(0) for _ in joined]
    bounds = (0.0, 1.0) if half else None
    found, _ = _estimate([one.mean(axis=0) for one in joined], pads, [_seed_part(joined)], bounds, resamples, seed)
    return replace(found, seeds=len(scores[0]), documents=sum(one.shape[1] for one in scores))


def combine(found: Sequence[tuple[float, Estimate]]) -> Estimate:
    """The weighted sum of estimates by the same seeds over different documents. Each weight is above 0.

    The interval joins the half-widths as those of independent estimates. The test is stricter: it joins the documents' errors in the same
    way, but adds up the seeds' errors, because each estimate measured the same trainings. If one of the estimates has no interval, the sum
    has none.
    """
    if len(found) == 1:
        ((weight, one),) = found
        scaled = tuple((weight * se, df) for se, df in one.parts)
        return replace(one, value=weight * one.value, low=weight * one.low, high=weight * one.high, parts=scaled)
    value = sum(weight * one.value for weight, one in found)
    below = sum((weight * (one.value - one.low)) ** 2 for weight, one in found) ** 0.5
    above = sum((weight * (one.high - one.value)) ** 2 for weight, one in found) ** 0.5
    errors, dfs = (
        np.array(column)[:, None] for column in zip(*((weight * one.parts[0][0], one.parts[0][1]) for weight, one in found), strict=True)
    )
    mean, df = _average(errors, dfs)
    parts = [(float(mean[0]) * len(found), float(df[0]))]
    for number in range(1, max(len(one.parts) for _, one in found)):
        seeds = [(weight * one.parts[number][0], one.parts[number][1]) for weight, one in found if len(one.parts) > number]
        parts.append((sum(se for se, _ in seeds), min(df for _, df in seeds)))
    drawn = sum(one.drawn for _, one in found)
    tested = not any(np.isnan(one.p) for _, one in found)
    p = float(_p_value(np.array([value]), [(np.array([se]), np.array([df])) for se, df in parts], drawn)[0]) if tested else float("nan")
    return Estimate(
        value=value,
        low=value - below,
        high=value + above,
        p=p,
        test="t" if tested else "none",
        parts=tuple(parts),
        seed_sd=None,
        seed_df=parts[1][1] if len(parts) > 1 else None,
        seeds=found[0][1].seeds,
        documents=sum(one.documents for _, one in found),
        drawn=drawn,
    )


def mcnemar(wins: ArrayLike, losses: ArrayLike) -> Array:
    """The two-sided p of the exact McNemar test: a binomial test on the documents that only one side gets right."""
    fewer = np.minimum(wins, losses)
    return np.asarray(np.minimum(1.0, 2 * special.bdtr(fewer, np.add(wins, losses), 0.5)))


def correct(p: ArrayLike) -> Array:
    """Holm's correction over all comparisons given. nan, a comparison that was not made, stays nan and does not count."""
    # It brings all of scipy.stats: a second, which processes that only compare can do without.
    from statsmodels.stats.multitest import multipletests

    given = np.asarray(p, dtype=np.float64)
    corrected, made = np.full(given.shape, np.nan), ~np.isnan(given)
    if made.any():
        corrected[made] = multipletests(given[made], alpha=ALPHA, method="holm")[1]
    return corrected


def detectable(parts: Sequence[tuple[float, float]], comparisons: int = 1) -> float:
    """The smallest true difference that is found with 80 % power, at the level of Holm's first step, ALPHA / comparisons.

    ``parts`` are those of an Estimate. Returns nan if no document differs, because the spread is then not known.
    """
    total = np.sqrt(sum(((_t(ALPHA / comparisons / 2, df) + _t(1 - POWER, df)) * se) ** 2 for se, df in parts if se > 0))
    return float(total) if total > 0 else float("nan")


def count_needed(spread: float, difference: float, seeds: Sequence[tuple[float, float]] = (), comparisons: int = 1) -> int | None:
    """The number of documents with which a true ``difference`` is found with 80 % power by a paired t test at the level ALPHA /
    comparisons.

    ``spread`` is the standard deviation of a document's difference. ``seeds`` are standard errors with their degrees of freedom, which more
    documents do not lower. None if those alone hide the difference, if there is none, and if no document differs.
    """
    if not difference > 0 or not spread > 0:
        return None

    def finds(count: int) -> bool:
        return detectable([(spread / count**0.5, count - 1), *seeds], comparisons) <= difference

    counts = range(2, _MOST_DOCUMENTS)
    place = bisect_left(counts, True, key=finds)
    return counts[place] if place < len(counts) else None


def round_up(items: int) -> int:
    """A number of items rounded up to two digits, which is all that a forecast is worth."""
    unit = int(10 ** max(len(str(items)) - 2, 0))
    return -(-items // unit) * unit


def compare_pairs(scores: Mapping[str, Scores], *, parallel: bool = False, least: int = LEAST_DOCUMENTS) -> pd.DataFrame:
    """Tests of every pair of models on the same documents: columns first, second, difference and p, as ``compare`` has them.

    A test of scores that are not 0 or 1 needs ``least`` documents and ``LEAST_FREEDOM``; give 0 if the scores are 0 or 1 and were only
    weighted since. One matrix product for each language serves all pairs, and the models' seeds are pooled (``pool_scores``).
    """
    names, sheets = list(scores), list(scores.values())
    for sheet in sheets[1:]:
        _check(sheet, sheets[0])
    languages = len(sheets[0])
    half = _padding([one for sheet in sheets for one in sheet], languages if parallel else 1)
    if parallel:
        sheets = [_join(sheet) for sheet in sheets]
    i, j = np.array(list(combinations(range(len(names)), 2)), dtype=int).reshape(-1, 2).T
    values, centres, errors, dfs = [], [], [], []
    for column in zip(*sheets, strict=True):
        means = np.stack([one.mean(axis=0) for one in column])
        gram, totals, count = means @ means.T, means.sum(axis=1), means.shape[1]
        squares = np.maximum(gram[i, i] + gram[j, j] - 2 * gram[i, j], 0) + 2 * half**2
        size = count + 2 * bool(half)
        centres.append((totals[i] - totals[j]) / size)
        values.append((totals[i] - totals[j]) / count)
        errors.append(np.sqrt(np.maximum(squares / size - centres[-1] ** 2, 0) / (size - 1)))
        dfs.append(np.full(len(i), size - 1.0) if half else _find_pair_freedoms(means))
    item = _average(np.stack(errors), np.stack(dfs))
    pool = pool_scores(sheets)
    seed_parts = [_seed_part(sheet, pool) for sheet in sheets]
    parts = [item] + [(np.array([seed_parts[k].se for k in side]), np.array([seed_parts[k].df for k in side])) for side in (i, j)]
    documents = sum(one.shape[1] for one in sheets[0])
    p = _p_value(np.mean(centres, axis=0), parts, documents)
    if not half and least:
        p = np.where((documents >= least) & (item[1] >= LEAST_FREEDOM), p, np.nan)
    if half and languages == 1:
        right = np.rint(means @ (1 - means).T).astype(np.int64)
        single = np.array([len(sheet[0]) == 1 for sheet in sheets])
        p = np.where(single[i] & single[j], mcnemar(right[i, j], right[j, i]), p)
    first, second = ([names[k] for k in side] for side in (i, j))
    return pd.DataFrame({"first": first, "second": second, "difference": np.mean(values, axis=0), "p": p})


def pool_scores(models: Iterable[Scores]) -> SeedPool | None:
    """The variance between seeds that models with the same languages and documents tell together."""
    return pool_seeds([_mean_seeds(scores) for scores in models])


def rank(values: Mapping[str, float], pairs: pd.DataFrame) -> pd.DataFrame:
    """The rank and ties of each model. The rank is 1 plus the number of models that are significantly better.

    A higher value in ``values`` is better. ``pairs`` has first, second and p_corrected. ``tied`` names the models that cannot be told from
    this one. Telling apart is not transitive, so two models with the same rank may have different ties.
    """
    better: dict[str, int] = dict.fromkeys(values, 0)
    tied: dict[str, list[str]] = {name: [] for name in values}
    for first, second, p in zip(*(pairs[name].tolist() for name in ("first", "second", "p_corrected")), strict=True):
        if p < ALPHA:
            better[min(first, second, key=lambda name: values[name])] += 1
        else:
            tied[first].append(second)
            tied[second].append(first)
    rows = [{"model": name, "value": values[name], "rank": 1 + better[name], "tied": tuple(tied[name])} for name in values]
    return pd.DataFrame(rows).sort_values(["rank", "value"], ascending=[True, False], ignore_index=True)


@dataclass(frozen=True)
class _SeedPart:
    sd: float | None
    """The standard deviation of the seeds themselves, without the pool."""
    se: float
    """The standard error from the whole variance of the seeds' means, for tests."""
    excess: float
    """The standard error from the variance that the documents' own noise does not explain, for intervals."""
    df: float


def _mean_seeds(scores: Scores) -> list[float]:
    """Each seed's mean over documents, then over languages."""
    return [float(mean) for mean in np.mean([one.mean(axis=1) for one in scores], axis=0)]


def _seed_part(scores: Scores, pool: SeedPool | None = None) -> _SeedPart:
    """The variance between seeds by two-way random effects, seeds x documents, moderated by the ``pool`` if there is one.

    A few seeds are close together by chance often enough to cause false positives at Holm's levels, so tests do not subtract the noise.
    """
    seeds = len(scores[0])
    if seeds < 2:
        return _SeedPart(None, 0.0, 0.0, 1.0)
    own = float(np.var(_mean_seeds(scores), ddof=1))
    noise = 0.0
    for one in scores:
        documents = one.shape[1]
        residuals = one - one.mean(axis=1, keepdims=True) - one.mean(axis=0, keepdims=True) + one.mean()
        noise += (residuals**2).sum() / ((seeds - 1) * (documents - 1)) / documents / len(scores) ** 2
    variance, freedom = pool.moderate(own, seeds) if pool else (own, seeds - 1.0)
    return _SeedPart(own**0.5, (variance / seeds) ** 0.5, float(max(variance - noise, 0.0) / seeds) ** 0.5, freedom)


def _estimate(
    columns: Sequence[Array],
    pads: Sequence[Array],
    seeds: Sequence[_SeedPart],
    bounds: tuple[float, float] | None,
    resamples: int,
    seed: int,
) -> tuple[Estimate, float]:
    """The mean of the columns' means, not tested, and the same with ``pads``, the columns' pseudo-documents, from which a test starts.

    ``bounds`` are the least and the largest possible value.
    """
    value = float(np.mean([column.mean() for column in columns]))
    padded = [np.concatenate(pair) for pair in zip(columns, pads, strict=True)]
    centre = float(np.mean([column.mean() for column in padded]))
    sizes = np.array([len(column) for column in padded], dtype=np.float64)
    freedoms = sizes - 1 if bounds else np.array([_find_freedoms(column[None])[0] for column in padded])
    se, df = _average(np.array([column.std(ddof=1) for column in padded]) / np.sqrt(sizes), freedoms)
    documents = sum(len(column) for column in columns)
    low, high = float("nan"), float("nan")
    if bounds:
        below, above = _expand_percentile(padded, float(df), resamples, seed)
        low, high = centre + below, centre + above
    elif documents >= LEAST_DOCUMENTS and df >= LEAST_FREEDOM:
        below, above = _studentise(padded, float(se), resamples, seed)
        # Where few documents differ, resamples without them make the studentised ends too short, and few degrees of freedom these long.
        half = float(_t((1 - LEVEL) / 2, df) * se)
        low, high = centre + min(below, -half), centre + max(above, half)
    # Independent sources join by their half-widths, each with its own degrees of freedom: Zou and Donner 2008.
    width = sum((_t((1 - LEVEL) / 2, part.df) * part.excess) ** 2 for part in seeds)
    parts = ((float(se), float(df)), *((part.se, part.df) for part in seeds if part.sd is not None))
    ends = np.array([value - np.hypot(value - low, width**0.5), value + np.hypot(high - value, width**0.5)])
    low, high = np.clip(ends, *bounds) if bounds else ends
    found = Estimate(
        value=value,
        low=float(low),
        high=float(high),
        p=float("nan"),
        test="none",
        parts=parts,
        seed_sd=seeds[0].sd,
        seed_df=None if seeds[0].sd is None else seeds[0].df,
        seeds=0,
        documents=documents,
        drawn=documents,
    )
    return found, centre


def _expand_percentile(columns: Sequence[Array], df: float, resamples: int, seed: int) -> tuple[float, float]:
    """The ends of the interval about the mean of the columns' means, by the expanded percentile bootstrap (Hesterberg 2015).

    The bootstrap of n documents is too narrow by sqrt((n - 1) / n), and its normal tails are too short.
    """
    spread = np.zeros(resamples)
    for number, column in enumerate(columns):
        size = len(column)
        means = _draw(size, resamples, seed, number) @ (column - column.mean()).astype(np.float32)
        spread += means * np.sqrt(size / (size - 1)) / len(columns)
    tail = special.ndtr(-_t((1 - LEVEL) / 2, df))
    below, above = np.quantile(spread, [tail, 1 - tail])
    return float(below), float(above)


def _studentise(columns: Sequence[Array], se: float, resamples: int, seed: int) -> tuple[float, float]:
    """The same by the studentised bootstrap (Efron and Tibshirani 1993, section 12.5), which follows the skew of the documents.

    Each resample's deviation is divided by its own standard error, not below ``_LEAST_SPREAD`` of the sample's, ``se``.
    """
    spread, variance = np.zeros(resamples), np.zeros(resamples)
    for number, column in enumerate(columns):
        size, drawn = len(column), _draw(len(column), resamples, seed, number)
        centred = (column - column.mean()).astype(np.float32)
        means = drawn @ centred
        spread += means / len(columns)
        variance += (drawn @ centred**2 - means**2) / (size - 1) / len(columns) ** 2
    errors = np.sqrt(np.maximum(variance, (_LEAST_SPREAD * se) ** 2))
    ratios = np.divide(spread, errors, out=np.zeros(resamples), where=errors > 0)
    lower, upper = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return -float(upper) * se, -float(lower) * se


@lru_cache(maxsize=8)
def _draw(documents: int, resamples: int, seed: int, stream: int) -> NDArray[np.float32]:
    """Weights (resamples, documents) of bootstrap samples, whose rows sum to 1. All comparisons of one size share them."""
    drawn = np.random.default_rng([seed, stream]).integers(0, documents, (resamples, documents))
    flat = (drawn + documents * np.arange(resamples)[:, None]).ravel()
    counts = np.bincount(flat, minlength=resamples * documents).reshape(resamples, documents)
    return (counts / documents).astype(np.float32)


def _p_value(values: Array, parts: Sequence[tuple[Array, Array]], documents: int) -> Array:
    """The level at which the joined half-widths of ``parts`` just reach zero; with documents alone this is Student's paired t test.

    n pairs have 2^n ways to swap sides, so nothing below 2^(1 - n) is claimed.
    """
    size = np.abs(values)
    (se, df), *others = parts
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(size > 0, 2 * special.stdtr(df, -size / se), 1.0)
    joint = (size > 0) & (sum((other for other, _ in others), np.zeros_like(size)) > 0)
    if joint.any():
        errors, dfs = (np.stack([part[kind][joint] for part in parts]) for kind in (0, 1))
        least, most, wanted = np.full(joint.sum(), np.log(_LEAST)), np.zeros(joint.sum()), size[joint] ** 2
        for _ in range(_HALVINGS):
            middle = (least + most) / 2
            far = ((special.stdtrit(dfs, np.exp(middle) / 2) * errors) ** 2).sum(axis=0) > wanted
            least, most = np.where(far, middle, least), np.where(far, most, middle)
        p[joint] = np.exp(least)
    return np.asarray(np.maximum(p, 2.0 ** (1 - documents)))


def _find_freedoms(columns: Array) -> Array:
    """The degrees of freedom of the standard error of each row's mean, (rows,) from (rows, documents); 0 if all of them are 0.

    They are n - 1, times 2 / (kurtosis - 1) if the kurtosis is above the normal one (Box and Andersen 1955): a spread that comes from a few
    documents is known less well than one that comes from all of them.
    """
    means = columns.mean(axis=1, keepdims=True)
    centred = columns - means
    second, fourth = (centred**2).mean(axis=1), (centred**4).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 2 / (fourth / second**2 - 1)
    freedoms: Array = (columns.shape[1] - 1) * np.where(second > 0, np.minimum(share, 1), means[:, 0] != 0)
    return freedoms


def _find_pair_freedoms(means: Array) -> Array:
    """The same for the differences of every pair of rows, in the order of ``combinations``."""
    found = [_find_freedoms(means[number] - means[number + 1 :]) for number in range(len(means) - 1)]
    return np.concatenate([np.empty(0), *found])


def _average(errors: Array, dfs: Array) -> tuple[Array, Array]:
    """The standard error of the mean of independent estimates, along the first axis, and its degrees of freedom (Satterthwaite)."""
    variance = (errors**2).sum(axis=0)
    shares = np.divide(errors**4, dfs, out=np.zeros_like(errors), where=errors > 0).sum(axis=0)
    df = np.divide(variance**2, shares, out=np.asarray(dfs.sum(axis=0), dtype=np.float64), where=shares > 0)
    return np.sqrt(variance) / len(errors), df


def _padding(arrays: Sequence[Array], joined: int) -> float:
    """The distance of the two pseudo-documents of 0/1 scores from their centre; 0 for other scores.

    There is one document won and one lost in each language (Bonett and Price 2012, for paired proportions). Without them a handful of
    discordant documents gives intervals that are too short, and none gives the interval [0, 0]. If ``joined`` languages share a column, its
    two pseudo-documents add the variance that theirs would add.
    """
    binary = all(((array == 0) | (array == 1)).all() for array in arrays)
    return 1 / joined**0.5 if binary else 0.0


def _join(scores: Scores) -> list[Array]:
    """Parallel languages as one: each document's mean over languages."""
    return [np.mean(np.stack(scores), axis=0)]


def _check(method: Scores, base: Scores) -> None:
    if len(method) != len(base):
        raise UserError(f"{len(method)} languages against {len(base)}: average both over the same languages")
    for ours, theirs in zip(method, base, strict=True):
        if ours.shape[1] != theirs.shape[1]:
            raise UserError(f"{ours.shape[1]} documents against {theirs.shape[1]}: score both on the same documents")
        if ours.shape[1] < 2:
            raise UserError(f"{ours.shape[1]} document: an interval needs two at least; raise evaluate.limit")


def _t(tail: float | Array, df: float | Array) -> Array:
    """Student's t that is exceeded with probability ``tail``."""
    return np.asarray(-special.stdtrit(df, tail))
