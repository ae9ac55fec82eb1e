"""Statistics of paired runs: effects, failures, and families of tests.

Failed runs are counted and tested separately. An effect is that of the pairs in which
both sides trained.
"""

import bisect
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..._optional import require

EXACT_PAIRS = 14  # Up to so many pairs, all sign flips are tried: 2^14 = 16,384.
SIGN_FLIPS = 20_000  # With more pairs so many are drawn, one of them the identity.
RESAMPLES = 10_000  # Of the bootstrap.

# The numbers of an effect, in their order in files.
NUMBERS = (
    *("mean", "low", "high", "p", "p_sign_flip"),
    *("iqm", "iqm_low", "iqm_high", "median", "deviation", "excluded"),
)


@dataclasses.dataclass(frozen=True)
class Effect:
    """Mean, intervals and tests of differences that are paired by seed.

    The t interval needs a spread. If there are fewer than two differences, or all are
    equal, `low` and `high` are NaN, `p` is 1 and `sign` is 0, however large the
    differences are. Equal differences mostly mean that a seed changed nothing or that
    the metric has few values; they do not tell how far other runs would lie.

    Attributes:
        differences: tuple of float, one for each pair that trained.
        confidence: float, of all intervals.
        formula: str, what was subtracted.

    Example:

    >>> from keras_wconv.experiments.report.statistics import Effect
    >>> effect = Effect.of([0.1, 0.2, 0.3])
    >>> effect.format(unit="dB")
    '+0.200 dB (-0.048 to +0.448)'
    >>> effect.sign, effect.can_decide
    (0, False)
    >>> Effect.of([0.2, 0.2, 0.2]).format()
    '+0.200 (no interval: all 3 differences are equal)'
    """

    differences: tuple[float, ...]
    confidence: float = 0.95
    formula: str = ""

    @classmethod
    def of(
        cls,
        differences: ArrayLike,
        confidence: float = 0.95,
        formula: str = "",
        resolution: float = 0.0,
    ) -> "Effect":
        """Returns the effect of differences, one for each pair that trained.

        Args:
            differences: array-like of floats.
            confidence: float in (0, 1).
            formula: str, what was subtracted.
            resolution: float, the rounding of the values that were subtracted.
                Differences within it count as equal.

        Returns:
            An `Effect`.

        Raises:
            ValueError: If a difference is not finite, or `confidence` not in (0, 1).
        """
        _check_level("confidence", confidence)
        differences = _finite("differences", differences)
        if len(differences):
            resolution = max(resolution, 1e-9 * np.abs(differences).max())
            if np.ptp(differences) <= resolution:
                differences = np.full_like(differences, differences.mean())
        return cls(tuple(differences.tolist()), float(confidence), formula)

    @property
    def count(self) -> int:
        """How many pairs trained."""
        return len(self.differences)

    @functools.cached_property
    def mean(self) -> float:
        """The mean difference, NaN without a pair."""
        return float(np.mean(self.differences)) if self.count else math.nan

    @functools.cached_property
    def median(self) -> float:
        """The median difference, NaN without a pair."""
        return float(np.median(self.differences)) if self.count else math.nan

    @functools.cached_property
    def deviation(self) -> float:
        """The standard deviation: 0 if all are equal, NaN with fewer than two pairs."""
        if self.count < 2:
            return math.nan
        if not np.ptp(self.differences):
            return 0.0
        return float(np.std(self.differences, ddof=1))

    @property
    def low(self) -> float:
        """The lower end of the t interval, NaN without a spread."""
        return self.interval(self.confidence)[0]

    @property
    def high(self) -> float:
        """The upper end of the t interval, NaN without a spread."""
        return self.interval(self.confidence)[1]

    def interval(self, confidence: float) -> tuple[float, float]:
        """Returns the t interval of any level, NaN twice without a spread."""
        if not self.deviation > 0:
            return math.nan, math.nan
        reach = _stats().t.isf((1 - confidence) / 2, self.count - 1)
        reach *= self.deviation / math.sqrt(self.count)
        return float(self.mean - reach), float(self.mean + reach)

    @functools.cached_property
    def p(self) -> float:
        """The two-sided p of the paired t test, 1 without a spread."""
        if not self.deviation > 0:
            return 1.0
        t = abs(self.mean) / (self.deviation / math.sqrt(self.count))
        return float(2 * _stats().t.sf(t, self.count - 1))

    @functools.cached_property
    def p_sign_flip(self) -> float:
        """The two-sided p of the mean under flips of signs, which needs no normality.

        It is exact for up to 14 pairs. With more, it is that of 20,000 flips drawn with
        a fixed seed. They include the identity, so that p is never 0.
        """
        if not self.count:
            return 1.0
        differences = np.array(self.differences)
        sums = np.abs(_signs(self.count) @ differences)
        rounding = 1e-12 * np.abs(differences).sum()
        return float(np.mean(sums >= abs(differences.sum()) - rounding))

    @property
    def p_decisive(self) -> float:
        """The larger of `p` and `p_sign_flip`: a decision needs both tests."""
        return max(self.p, self.p_sign_flip)

    @property
    def can_decide(self) -> bool:
        """Whether there are enough pairs to decide at all: six at 95 %.

        The smallest p of the sign-flip test is 2 / 2^count.
        """
        return 2.0 ** (1 - self.count) <= 1 - self.confidence

    @property
    def sign(self) -> int:
        """1 or -1 if both the t interval and the sign-flip test exclude 0, else 0."""
        if self.p_sign_flip > 1 - self.confidence:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    @property
    def excluded(self) -> float:
        """The smallest size of a difference that the t interval excludes.

        A difference of this size or larger, of either sign, is excluded: it is the end
        of the interval that is farther from 0, infinite without an interval. (Two
        one-sided tests at 5 % each would use the narrower 90 % interval; here all
        statements use the interval that is shown.)

        Example:

        >>> from keras_wconv.experiments.report.statistics import Effect
        >>> round(Effect.of([0.1, 0.2, 0.3]).excluded, 3)
        0.448

        Source: Schuirmann, "A comparison of the two one-sided tests procedure and the
        power approach", 1987.
        """
        return max(abs(self.low), abs(self.high)) if self.deviation > 0 else math.inf

    @functools.cached_property
    def iqm(self) -> float:
        """The interquartile mean, without a quarter of the differences at each end."""
        if not self.count:
            return math.nan
        return float(_stats().trim_mean(self.differences, 0.25))

    @property
    def iqm_low(self) -> float:
        """The lower end of the bootstrap interval of `iqm`."""
        return self._iqm_interval[0]

    @property
    def iqm_high(self) -> float:
        """The upper end of the bootstrap interval of `iqm`."""
        return self._iqm_interval[1]

    @functools.cached_property
    def _iqm_interval(self):
        """The expanded percentile interval, NaN twice where it cannot hold its level.

        Plain percentiles are too narrow for few pairs. No resample leaves the range of
        the pairs, which covers the middle with 1 - 2 / 2^count: see `can_decide`.

        Source: Hesterberg, "What teachers should know about the bootstrap", 2015,
        section 5.3.
        """
        if not self.deviation > 0 or not self.can_decide:
            return math.nan, math.nan
        stats, count = _stats(), self.count
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, count, (RESAMPLES, count))
        means = stats.trim_mean(np.array(self.differences)[drawn], 0.25, axis=1)
        critical = stats.t.isf((1 - self.confidence) / 2, count - 1)
        tail = stats.norm.sf(math.sqrt(count / (count - 1)) * critical)
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)

    def format(self, scale: float = 1, unit: str = "") -> str:
        """Returns the mean and the t interval as text, or why there is none."""
        unit = f" {unit}" if unit else ""
        if not self.count:
            return "no pair trained"
        mean = f"{scale * self.mean:+.3f}{unit}"
        if self.count == 1:
            return f"{mean} (no interval: one pair trained)"
        if not self.deviation > 0:
            return f"{mean} (no interval: all {self.count} differences are equal)"
        return f"{mean} ({scale * self.low:+.3f} to {scale * self.high:+.3f})"

    def seeds_for(
        self, difference: float, power: float = 0.8, limit: int = 100_000
    ) -> tuple[float, float, float]:
        """Returns how many pairs would show a difference, with an interval.

        The deviation is an estimate, a poor one from few pairs. Its chi-square interval
        gives that of the number of pairs.

        Args:
            difference: float, the true difference.
            power: float, the probability to show it.
            limit: int, the largest number to consider.

        Returns:
            `(count, low, high)`: the number of pairs and its interval at `confidence`,
            infinite beyond `limit`, NaN if the differences have no spread. It is at
            least one more than the sign-flip test needs to decide: with no more, all
            differences must have the same sign.

        Raises:
            ValueError: If `difference` is 0 or not finite.

        Example:

        >>> from keras_wconv.experiments.report.statistics import Effect
        >>> Effect.of([-0.55, -0.31, 0.02, 0.28, 0.56]).seeds_for(0.126)
        (100, 38, 810)
        """
        if not 0 < abs(difference) < math.inf:
            raise ValueError(
                f"`difference` must be finite and not 0. Received: {difference}"
            )
        if not self.deviation > 0:
            return math.nan, math.nan, math.nan
        stats, alpha = _stats(), 1 - self.confidence
        fewest = math.ceil(1 - math.log2(alpha)) + 1

        def reached(count, deviation):
            shift = abs(difference) / deviation * math.sqrt(count)
            critical = stats.t.isf(alpha / 2, count - 1)
            return float(stats.nct.sf(critical, count - 1, shift))

        def planned(deviation):
            counts = range(fewest, limit + 1)
            index = bisect.bisect_left(
                counts, power, key=lambda count: reached(count, deviation)
            )
            return counts[index] if index < len(counts) else math.inf

        squares = (self.count - 1) * self.deviation**2
        ends = stats.chi2.isf([alpha / 2, 1 - alpha / 2], self.count - 1)
        low, high = np.sqrt(squares / ends)
        return planned(self.deviation), planned(low), planned(high)

    def to_dict(self) -> dict:
        """Returns all numbers for JSON, None for those that are undefined."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        return {
            **{k: v if math.isfinite(v) else None for k, v in numbers.items()},
            "count": self.count,
            "sign": self.sign,
            "confidence": self.confidence,
            "formula": self.formula,
        }


@dataclasses.dataclass(frozen=True)
class Failures:
    """How often two sides failed, paired by seed.

    Attributes:
        count: int, of pairs.
        a, b: int, how many runs of each side failed.
        only_a, only_b: int, in how many pairs only one side failed.
        confidence: float, of the intervals.

    Example:

    >>> from keras_wconv.experiments.report.statistics import Failures
    >>> failures = Failures.of([True] * 3 + [False] * 7, [False] * 10)
    >>> print(failures.format())
    3 of 10 (7 to 65 %) against 0 of 10 (0 to 31 %) failed, p = 0.250
    """

    count: int
    a: int
    b: int
    only_a: int
    only_b: int
    confidence: float = 0.95

    @classmethod
    def of(
        cls, failed_a: ArrayLike, failed_b: ArrayLike, confidence: float = 0.95
    ) -> "Failures":
        """Returns the failures of two sides.

        Args:
            failed_a, failed_b: array-like of bool, one for each seed, in one order.
            confidence: float in (0, 1).

        Raises:
            ValueError: If the two are not lists of booleans of one length.
        """
        _check_level("confidence", confidence)
        a, b = _booleans("failed_a", failed_a), _booleans("failed_b", failed_b)
        _check_pairs(failed_a=a, failed_b=b)
        return cls(
            len(a),
            *(int(np.sum(x)) for x in (a, b, a & ~b, b & ~a)),
            confidence=float(confidence),
        )

    @property
    def interval_a(self) -> tuple[float, float]:
        """The Clopper-Pearson interval of the failure rate of a."""
        return self._rate(self.a)

    @property
    def interval_b(self) -> tuple[float, float]:
        """The Clopper-Pearson interval of the failure rate of b."""
        return self._rate(self.b)

    def _rate(self, failed):
        if not self.count:
            return 0.0, 1.0
        test = _stats().binomtest(failed, self.count)
        return tuple(map(float, test.proportion_ci(self.confidence, method="exact")))

    @functools.cached_property
    def p(self) -> float:
        """The p of the exact McNemar test, on pairs in which only one side failed."""
        count = self.only_a + self.only_b
        return float(_stats().binomtest(self.only_a, count).pvalue) if count else 1.0

    @property
    def can_decide(self) -> bool:
        """Whether enough pairs differ to decide at all: six at 95 %."""
        return 2.0 ** (1 - self.only_a - self.only_b) <= 1 - self.confidence

    @property
    def sign(self) -> int:
        """1 if a fails more often, -1 if b does, 0 if the test does not show it."""
        if self.p > 1 - self.confidence:
            return 0
        return int(np.sign(self.only_a - self.only_b))

    def format(self) -> str:
        """Returns counts, intervals and the p of the test as text."""

        def side(failed, interval):
            low, high = (f"{100 * end:.0f}" for end in interval)
            return f"{failed} of {self.count} ({low} to {high} %)"

        sides = side(self.a, self.interval_a), side(self.b, self.interval_b)
        return f"{' against '.join(sides)} failed, p = {self.p:.3f}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """Whether a is better than b: in failures, and where both trained.

    The two questions are one family: Holm's method over both controls the error rate of
    the decision. A question with too few pairs to be answered is left out, so that it
    does not weaken the other.

    Attributes:
        effect: `Effect` of a - b, of the pairs in which both trained.
        failures: `Failures` of all pairs.
        direction: `"max"` or `"min"`, which values are better.

    Source: Tarone, "A modified Bonferroni method for discrete data", 1990, for leaving
    out.
    """

    effect: Effect
    failures: Failures
    direction: str = "max"

    @functools.cached_property
    def p_values(self) -> dict[str, float]:
        """Holm's adjusted p of each question, 1 where it cannot be answered."""
        questions = {"effect": self.effect, "failures": self.failures}
        p = {"effect": self.effect.p_decisive, "failures": self.failures.p}
        asked = [name for name, question in questions.items() if question.can_decide]
        adjusted = holm_adjusted([p[name] for name in asked]).tolist()
        return dict.fromkeys(questions, 1.0) | dict(zip(asked, adjusted, strict=True))

    @property
    def signs(self) -> dict[str, int]:
        """For each question 1 if a is better, -1 if b is, 0 if it is not shown."""
        alpha = 1 - self.effect.confidence
        better = {
            "effect": self.effect.sign * (1 if self.direction == "max" else -1),
            "failures": -self.failures.sign,
        }
        return {k: v if self.p_values[k] <= alpha else 0 for k, v in better.items()}

    @property
    def decision(self) -> int:
        """1 if a is better, -1 if b is, 0 if nothing is shown or the two disagree."""
        signs = set(self.signs.values()) - {0}
        return signs.pop() if len(signs) == 1 else 0

    @property
    def reason(self) -> str:
        """What is shown about a, or why nothing is shown."""
        shown = {
            "effect": {1: "better where both train", -1: "worse where both train"},
            "failures": {1: "fails less often", -1: "fails more often"},
        }
        signs = {name: sign for name, sign in self.signs.items() if sign}
        if signs:
            joined = " but " if len(set(signs.values())) == 2 else " and "
            return joined.join(shown[name][sign] for name, sign in signs.items())
        if self.effect.can_decide:
            return "no difference shown, in failures or where both train"
        return (
            f"too few pairs to decide: both trained in {self.effect.count} of "
            f"{self.failures.count}"
        )


def answer(
    values_a: ArrayLike,
    values_b: ArrayLike,
    failed_a: ArrayLike,
    failed_b: ArrayLike,
    confidence: float = 0.95,
    formula: str = "",
    direction: str = "max",
) -> Answer:
    """Answers whether a is better than b, from runs that are paired by seed.

    Args:
        values_a, values_b: array-like of floats, the metric of each seed's run, in one
            order. Values of failed runs are not used.
        failed_a, failed_b: array-like of bool, which runs failed.
        confidence: float in (0, 1).
        formula: str, what is subtracted.
        direction: `"max"` or `"min"`, which values are better.

    Returns:
        An `Answer`.

    Raises:
        ValueError: If lengths differ, a run that did not fail has no finite value, or
            another argument is wrong.

    Example:

    >>> from keras_wconv.experiments.report.statistics import answer
    >>> a = [30.1, 30.4, 30.2, 30.5, 30.3, 30.6, float("nan")]
    >>> b = [30.0, 30.1, 30.1, 30.2, 30.1, 30.2, 30.3]
    >>> found = answer(a, b, [False] * 6 + [True], [False] * 7)
    >>> found.decision, found.effect.count, found.reason
    (1, 6, 'better where both train')
    """
    _check_direction(direction)
    failures = Failures.of(failed_a, failed_b, confidence)
    failed_a, failed_b = np.array(failed_a, bool), np.array(failed_b, bool)
    a, b = np.asarray(values_a, "float64"), np.asarray(values_b, "float64")
    _check_pairs(values_a=a, values_b=b, failed_a=failed_a, failed_b=failed_b)
    for name, values, failed in (("a", a, failed_a), ("b", b, failed_b)):
        if not np.isfinite(values[~failed]).all():
            raise ValueError(
                f"`values_{name}` must be finite where `failed_{name}` is False: mark "
                f"a run without a value as failed. Received: {values.tolist()}"
            )
    both = ~(failed_a | failed_b)
    # Metrics are float32: equal differences may not be equal in the last digit.
    largest = np.abs(np.concatenate([a[both], b[both], [0.0]])).max()
    resolution = 4 * np.finfo("float32").eps * largest
    effect = Effect.of(a[both] - b[both], confidence, formula, resolution)
    return Answer(effect, failures, direction)


def holm_adjusted(p_values: ArrayLike) -> np.ndarray:
    """Returns the p-values of a family of tests, adjusted by Holm's method.

    Example:

    >>> from keras_wconv.experiments.report import statistics
    >>> statistics.holm_adjusted([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    p_values = np.asarray(p_values, "float64")
    order = np.argsort(p_values)
    left = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(p_values[order] * left)
    return np.minimum(adjusted, 1)


@dataclasses.dataclass(frozen=True)
class Row:
    """An effect as one row of a table, adjusted for all rows.

    Attributes:
        p: float, adjusted by Holm's method.
        low, high: floats, the simultaneous interval, NaN without a spread.
        sign: 1 or -1 if the effect is shown, else 0.
    """

    p: float
    low: float
    high: float
    sign: int


def simultaneous(effects: Sequence[Effect], alpha: float = 0.05) -> list[Row]:
    """Returns the rows of a table under one rule, for gains and losses alike.

    `sign` follows Holm's method over the decisive p-values: with a probability of
    `1 - alpha` no row shows an effect that is not there. The intervals are t intervals
    at `1 - alpha / rows`: with that probability all of them hold. Holm's method is
    sharper, so that the interval of a row that is shown may contain 0.

    The sign-flip test of n pairs can decide in tables of at most `alpha * 2^(n - 1)`
    rows: 25 with ten seeds at 95 %.

    Args:
        effects: sequence of `Effect`, all rows, including those that cannot decide.
        alpha: float in (0, 1), the error rate of the table.

    Returns:
        A list of `Row`, in the order of the effects.

    Example:

    >>> from keras_wconv.experiments.report.statistics import Effect, simultaneous
    >>> gain = Effect.of([0.1, 0.2, 0.3, 0.2, 0.1, 0.3])
    >>> row, _ = simultaneous([gain, Effect.of([-0.1, 0.1, 0.2, -0.3, 0.1, 0.0])])
    >>> gain.sign, row.sign, round(row.p, 4)
    (1, 0, 0.0625)
    """
    _check_level("alpha", alpha)
    rows = []
    adjusted = holm_adjusted([effect.p_decisive for effect in effects])
    for effect, p in zip(effects, adjusted.tolist(), strict=True):
        low, high = effect.interval(1 - alpha / len(effects))
        sign = int(np.sign(effect.mean)) if p <= alpha else 0
        rows.append(Row(p, low, high, sign))
    return rows


def summary(values: ArrayLike, failed: ArrayLike | None = None) -> dict[str, float]:
    """Returns a summary of the runs of one candidate.

    Args:
        values: array-like of floats, one for each run.
        failed: array-like of bool, which failed; by default none.

    Returns:
        A dict of `"mean"`, `"median"`, `"iqm"` and `"deviation"` of the runs that
        trained (NaN where too few did), their `"count"`, and how many `"failed"`.

    Raises:
        ValueError: If a run that did not fail has no finite value.

    Example:

    >>> from keras_wconv.experiments.report.statistics import summary
    >>> runs = summary([1.0, 2.0, 6.0, 0.1], [False, False, False, True])
    >>> runs["mean"], runs["median"], runs["count"], runs["failed"]
    (3.0, 2.0, 3, 1)
    """
    values = np.asarray(values, "float64")
    failed = np.zeros(len(values), bool) if failed is None else failed
    failed = _booleans("failed", failed)
    _check_pairs(values=values, failed=failed)
    trained = Effect.of(_finite("values", values[~failed]))
    return {
        "mean": trained.mean,
        "median": trained.median,
        "iqm": trained.iqm,
        "deviation": trained.deviation,
        "count": trained.count,
        "failed": int(failed.sum()),
    }


def wilcoxon(differences: ArrayLike) -> float:
    """Returns the two-sided p of Wilcoxon's signed-rank test over many data sets.

    It is the usual test between two models with one difference for each data set. Data
    sets without a difference are left out; if all are, p is 1.

    Args:
        differences: array-like of floats, one for each data set.

    Raises:
        ValueError: If a difference is not finite.

    Example:

    >>> from keras_wconv.experiments.report.statistics import wilcoxon
    >>> wilcoxon([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    0.03125

    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets",
    2006.
    """
    differences = _finite("differences", differences)
    if not differences.any():
        return 1.0
    return float(_stats().wilcoxon(differences).pvalue)


def average_ranks(
    table: Mapping[str, ArrayLike], direction: str = "max"
) -> dict[str, float]:
    """Returns each model's mean rank over many data sets; 1 is the best.

    Args:
        table: dict of arrays over the data sets, by model.
        direction: `"max"` or `"min"`, which values are better.

    Raises:
        ValueError: If lengths differ or a value is not finite.

    Example:

    >>> from keras_wconv.experiments.report.statistics import average_ranks
    >>> average_ranks({"x": [0.9, 0.8, 0.7], "y": [0.8, 0.8, 0.9]})
    {'x': 1.5, 'y': 1.5}

    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets",
    2006.
    """
    _check_direction(direction)
    columns = {name: _finite(f"table[{name!r}]", table[name]) for name in table}
    _check_pairs(**columns)
    values = np.array(list(columns.values())) * (-1 if direction == "max" else 1)
    ranks = _stats().rankdata(values, axis=0).mean(axis=1)
    return dict(zip(table, ranks.tolist(), strict=True))


def _stats():
    return require("scipy.stats", extra="data")


@functools.lru_cache(maxsize=4)
def _signs(count):
    """Returns flips of signs as rows of 1 and -1, the first one without a flip."""
    if count <= EXACT_PAIRS:
        flipped = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return 1.0 - 2.0 * flipped
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (SIGN_FLIPS, count))
    signs[0] = 1
    return signs


def _check_level(name, level):
    if not 0 < level < 1:
        raise ValueError(f"`{name}` must lie between 0 and 1. Received: {level}")


def _check_direction(direction):
    if direction not in ("max", "min"):
        raise ValueError(f'`direction` must be "max" or "min". Received: {direction!r}')


def _check_pairs(**columns):
    """Raises a ValueError unless arrays are one-dimensional and of one length."""
    shapes = {name: column.shape for name, column in columns.items()}
    if {len(shape) for shape in shapes.values()} != {1} or len({*shapes.values()}) > 1:
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in columns)} must be lists of one "
            f"length, in one order. Received shapes: {shapes}"
        )


def _finite(name, values):
    values = np.asarray(values, "float64")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"`{name}` must be a list of finite numbers: take out failed runs first, "
            f"and count them as `Failures`. Received: {values.tolist()}"
        )
    return values


def _booleans(name, values):
    values = np.asarray(values)
    if values.size and values.dtype != bool:
        raise ValueError(
            f"`{name}` must be booleans, one for each run. Received: {values.tolist()}"
        )
    return values.astype(bool)
