"""How translation quality grows with parallel rows, and how a budget of rows is best split over languages.

Source: x-LLaMA and m-LLaMA, Zhu et al. 2023 (arXiv:2308.04948): score_i(D) = 100 - a * (g_i * D)^b with b < 0, where g_i is the similarity
of language i to English. MuIT maximises the sum of the scores under a budget with SLSQP. We differ as follows: the ceiling is a parameter,
g_i is fitted if it is not given, the maximum is computed in closed form (each term is a power of D_i), and errors of the fit are carried
over to the split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import Field

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.settings import Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cell = str | int | float | None
"""The values that a field of a table can have."""

DRAWS = 2000
"""The number of parameters drawn from the fit's normal distribution, for the errors of an allocation."""


@dataclass(frozen=True)
class Pilot:
    """One measured point: the score in a language of a model trained on a number of parallel rows."""

    language: str
    rows: float
    score: float
    similarity: float | None = None
    """The similarity to the pivot, on any scale that is the same for all languages. It is fitted if it is not known."""


class ScalingLaw(Section):
    """score(language, D) = ceiling - a * (similarity * D)^b."""

    a: float = Field(gt=0, allow_inf_nan=False)
    b: float = Field(lt=0, allow_inf_nan=False)
    similarity: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    """The similarity of each language. A common factor can be moved into ``a``: only ratios matter for a split."""
    ceiling: float = Field(100.0, gt=0, allow_inf_nan=False)
    """The best score that is possible: 100 for COMET x 100, chrF++ and spBLEU."""

    def similarity_of(self, language: str) -> float:
        """The similarity of a language. Raises UserError if it has none."""
        if language not in self.similarity:
            raise UserError(
                f"scaling.similarity: none for {language!r}{name_nearest(language, self.similarity)}; add it or run pilots in it"
            )
        return self.similarity[language]

    def predict(self, language: str, rows: float) -> float:
        """The score after training on a number of rows (above 0). Outside the pilots' sizes it may be far off, and even below 0."""
        exponent = self.b * math.log(self.similarity_of(language) * rows)
        return self.ceiling - self.a * math.exp(min(exponent, 700.0))  # beyond lies what a float cannot hold


class FittedLaw(ScalingLaw):
    """A law with its errors. The fit is linear: log(ceiling - score) = log a + b * log D + c_i, g_i = exp(c_i / b)."""

    a_error: float
    """The standard error of ``a``, from the residuals."""
    b_error: float
    residual_sd: float
    """The standard deviation of the residuals in log units: 0.02 is 2 % of the distance to the ceiling."""
    r2: float
    """The share of the variance of log(ceiling - score) that the law explains."""
    points: int
    fitted: tuple[str, ...]
    """The languages whose similarity was fitted. If none was given, they are relative to the first language of the pilots, which has 1."""
    covariance: tuple[tuple[float, ...], ...]
    """Covariance of log a, b and the c_i of the fitted languages, in this order."""

    @property
    def degrees_of_freedom(self) -> int:
        return self.points - len(self.covariance)


@dataclass(frozen=True)
class Share:
    """What one language gets, and its predicted score, beside the uniform split."""

    language: str
    rows: int
    score: float
    uniform_rows: int
    uniform_score: float
    rows_error: float | None = None
    """The standard deviation over draws of the law; None if the law was given without errors."""
    score_error: float | None = None


@dataclass(frozen=True)
class Allocation:
    """A budget split over languages."""

    shares: tuple[Share, ...]
    gain_error: float | None = None

    @property
    def rows(self) -> dict[str, int]:
        return {share.language: share.rows for share in self.shares}

    @property
    def score(self) -> float:
        """Mean predicted score over the languages."""
        return sum(share.score for share in self.shares) / len(self.shares)

    @property
    def uniform_score(self) -> float:
        return sum(share.uniform_score for share in self.shares) / len(self.shares)

    @property
    def gain(self) -> float:
        """The points of mean score over the uniform split. It is never below 0, except by the rounding to whole rows."""
        return self.score - self.uniform_score


@dataclass(frozen=True)
class Split:
    """A law that was fitted, and a budget that was split by it."""

    law: FittedLaw
    allocation: Allocation

    @property
    def rows(self) -> list[dict[str, Cell]]:
        """A row for each language, and under ``all`` their sum (rows) and mean (scores). Errors (``_sd``) are one standard deviation."""
        return describe(self.law, self.allocation)

    @property
    def doubts(self) -> list[str]:
        """Reasons against using it, one sentence each."""
        return judge(self.law, self.allocation)

    @property
    def options(self) -> str:
        """The law as options of cross_lingual, as YAML for ``methods.LABEL.options``."""
        return write_options(self.law)


def fit_scaling(pilots: Sequence[Pilot], ceiling: float = 100.0) -> FittedLaw:
    """Fit the law by least squares in log space, with one ``b`` for all languages.

    If no pilot has a similarity, the first language has 1 and the others are fitted. If some have, the missing ones are fitted. Raises
    UserError if the points do not suffice for the fit, and if scores do not rise with rows.
    """
    import numpy as np

    _check_pilots(pilots, ceiling)
    known = _read_similarity(pilots) or {pilots[0].language: 1.0}
    fitted = [lang for lang in dict.fromkeys(pilot.language for pilot in pilots) if lang not in known]
    if len(pilots) <= 2 + len(fitted):
        named = "a, b" + (f" and the similarity of {', '.join(fitted)}" if fitted else "")
        raise UserError(f"pilots: {len(pilots)} points for {2 + len(fitted)} parameters ({named}); add points until there are more")
    design = np.array(
        [[1, math.log(pilot.rows * known.get(pilot.language, 1)), *(pilot.language == lang for lang in fitted)] for pilot in pilots], float
    )
    shortfall = np.log([ceiling - pilot.score for pilot in pilots])
    found = np.linalg.lstsq(design, shortfall)[0]
    residuals, centred = shortfall - design @ found, shortfall - shortfall.mean()
    variance = float(residuals @ residuals) / (len(pilots) - len(found))
    covariance = variance * np.linalg.inv(design.T @ design)
    b, b_error = float(found[1]), math.sqrt(covariance[1, 1])
    if b > -1e-9:
        raise UserError(
            f"pilots: scores do not rise with rows (b = {b:.4f} ± {b_error:.4f}, must be below 0): there is no gain to allocate"
        )
    if max(map(abs, found[2:]), default=0.0) > 100 * -b:
        raise UserError(f"pilots: scores hardly rise with rows (b = {b:.4f} ± {b_error:.4f}), too little to fit similarities; give them")
    a = math.exp(found[0])
    return FittedLaw(
        a=a, b=b, ceiling=ceiling, a_error=a * math.sqrt(covariance[0, 0]), b_error=b_error, residual_sd=math.sqrt(variance),
        similarity=known | {lang: math.exp(c / b) for lang, c in zip(fitted, found[2:], strict=True)},
        r2=1 - float(residuals @ residuals) / max(float(centred @ centred), 1e-300), points=len(pilots),
        fitted=tuple(fitted), covariance=tuple(map(tuple, covariance.tolist())),
    )  # fmt: skip


def allocate(law: ScalingLaw, budget: int, languages: Sequence[str]) -> Allocation:
    """The whole rows, adding up to ``budget``, at which the law predicts the highest mean score.

    At the maximum, one more row is worth the same in every language, hence D_i is proportional to (g_i^b)^(1 / (1 - b)); neither ``a`` nor
    the ceiling changes that. Each language gets at least one row. A law with errors gives an allocation with errors. Raises UserError for a
    budget below one row for each language, and for a language without a similarity.
    """
    languages = list(dict.fromkeys(languages))
    if not languages or budget < len(languages):
        raise UserError(f"allocation: {budget} rows cannot be split over {len(languages)} languages; give each one row at least")
    weights = [law.b / (1 - law.b) * math.log(law.similarity_of(lang)) for lang in languages]
    rows = _split(budget, [math.exp(weight - max(weights)) for weight in weights])
    uniform = _split(budget, [1.0] * len(languages))
    errors = _draw_errors(law, languages, rows, uniform) if isinstance(law, FittedLaw) else _Errors([None] * len(rows), [None] * len(rows))
    shares = [
        Share(lang, rows[i], law.predict(lang, rows[i]), uniform[i], law.predict(lang, uniform[i]), errors.rows[i], errors.scores[i])
        for i, lang in enumerate(languages)
    ]
    return Allocation(tuple(shares), errors.gain)


def describe(law: ScalingLaw, allocation: Allocation) -> list[dict[str, Cell]]:
    """A table's rows: one for each language, and under ``all`` their sum (rows) and mean (scores). Errors are one standard deviation."""
    rows: list[dict[str, Cell]] = [
        {
            "language": share.language,
            "similarity": float(f"{law.similarity_of(share.language):.4g}"),
            "rows": share.rows,
            "rows_sd": _round(share.rows_error),
            "score": _round(share.score),
            "score_sd": _round(share.score_error),
            "uniform_rows": share.uniform_rows,
            "uniform_score": _round(share.uniform_score),
            "gain": _round(share.score - share.uniform_score),
            "gain_sd": None,
        }
        for share in allocation.shares
    ]
    total = {
        "language": "all",
        "similarity": None,
        "rows": sum(allocation.rows.values()),
        "rows_sd": None,
        "score": _round(allocation.score),
        "score_sd": None,
        "uniform_rows": sum(share.uniform_rows for share in allocation.shares),
        "uniform_score": _round(allocation.uniform_score),
        "gain": _round(allocation.gain),
        "gain_sd": _round(allocation.gain_error),
    }
    return [*rows, total]


def judge(law: FittedLaw, allocation: Allocation) -> list[str]:
    """Reasons against using an allocation, one sentence each."""
    found = []
    if -law.b < 2 * law.b_error:
        found.append(f"b = {law.b:.4f} ± {law.b_error:.4f} is not clearly below 0: the pilots do not show that rows help")
    error = allocation.gain_error or 0.0
    if len(allocation.shares) > 1 and allocation.gain <= 2 * error:
        found.append(f"the gain over the uniform split, {allocation.gain:.3f} ± {error:.3f} points, is not clear: split uniformly")
    noise = law.residual_sd * (law.ceiling - allocation.score) / math.sqrt(len(allocation.shares))
    if 2 * error < allocation.gain < noise:
        found.append(f"the gain, {allocation.gain:.3f} points, is below the noise of one model's mean score, about {noise:.3f}")
    if law.degrees_of_freedom < 5:
        found.append(f"{law.points} points leave {law.degrees_of_freedom} degrees of freedom: the errors themselves are rough")
    return found


def write_options(law: ScalingLaw) -> str:
    """The law as options of cross_lingual, as YAML for ``methods.LABEL.options``."""
    plain = {
        "a": float(f"{law.a:.6g}"),
        "b": float(f"{law.b:.6g}"),
        "similarity": {lang: float(f"{value:.6g}") for lang, value in law.similarity.items()},
        "ceiling": law.ceiling,
    }
    return yaml.safe_dump({"allocation": "scaling", "scaling": plain}, sort_keys=False)


@dataclass(frozen=True)
class _Errors:
    """The standard deviations by language, and of the gain."""

    rows: Sequence[float | None]
    scores: Sequence[float | None]
    gain: float | None = None


def _draw_errors(law: FittedLaw, languages: Sequence[str], rows: Sequence[int], uniform: Sequence[int]) -> _Errors:
    """How far laws differ that are drawn from the fit's normal distribution, without those with b >= 0."""
    import numpy as np

    mean = [math.log(law.a), law.b, *(law.b * math.log(law.similarity[lang]) for lang in law.fitted)]
    drawn = np.random.default_rng(0).multivariate_normal(mean, np.array(law.covariance), DRAWS, check_valid="ignore", method="eigh")
    drawn = drawn[drawn[:, 1] < 0]
    a, b = np.exp(drawn[:, :1]), drawn[:, 1:2]
    columns = [
        drawn[:, 2 + law.fitted.index(lang)] if lang in law.fitted else b[:, 0] * math.log(law.similarity_of(lang)) for lang in languages
    ]
    offsets = np.stack(columns, axis=1)  # (draws, languages): c_i
    weights = np.exp(offsets / (1 - b))

    def fall_short(counts: Sequence[int]) -> NDArray[np.float64]:
        short: NDArray[np.float64] = a * np.exp(offsets + b * np.log(counts))
        return short

    gains = (fall_short(uniform) - fall_short(rows)).mean(axis=1)
    shares = weights / weights.sum(axis=1, keepdims=True)
    return _Errors((sum(rows) * shares.std(axis=0)).tolist(), fall_short(rows).std(axis=0).tolist(), float(gains.std()))


def _split(budget: int, weights: Sequence[float]) -> list[int]:
    """Whole rows by largest remainder, at least one each. A larger weight never gets fewer rows, and of two equal ones the first never
    does."""
    exact = [budget * weight / sum(weights) for weight in weights]
    rows = [max(1, int(share)) for share in exact]
    by_remainder = sorted(range(len(rows)), key=lambda i: rows[i] - exact[i])
    for i in by_remainder[: max(0, budget - sum(rows))]:
        rows[i] += 1
    while sum(rows) > budget:
        rows[max(range(len(rows)), key=lambda i: (rows[i], -weights[i], i))] -= 1
    return rows


def _check_pilots(pilots: Sequence[Pilot], ceiling: float) -> None:
    if not pilots:
        raise UserError("pilots: there are no points to fit")
    for pilot in pilots:
        where = f"pilots: {pilot.language}, {pilot.rows:g} rows, score {pilot.score:g}"
        if not 0 < pilot.rows < math.inf:
            raise UserError(f"{where}: rows must be above 0; the law says nothing of the base model")
        if not -math.inf < pilot.score < ceiling:
            raise UserError(f"{where}: the score must be below the ceiling of {ceiling:g}")
        if pilot.similarity is not None and not 0 < pilot.similarity < math.inf:
            raise UserError(f"{where}: similarity must be above 0, got {pilot.similarity:g}")
    if ceiling > 1 and max(pilot.score for pilot in pilots) <= 1:
        raise UserError(f"pilots: no score is above 1, but the ceiling is {ceiling:g}; give scores of 0 to 100, or a ceiling of 1")
    sizes = {(pilot.language, pilot.rows) for pilot in pilots}
    if len(sizes) == len({language for language, _ in sizes}):
        raise UserError("pilots: every language has one size only; the law needs two sizes at least in one of them, better three or four")


def _read_similarity(pilots: Iterable[Pilot]) -> dict[str, float]:
    known: dict[str, float] = {}
    for pilot in pilots:
        if pilot.similarity is not None and known.setdefault(pilot.language, pilot.similarity) != pilot.similarity:
            raise UserError(f"pilots: {pilot.language} has two similarities, {known[pilot.language]:g} and {pilot.similarity:g}")
    return known


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
