"""Two models on the same units: how far apart they are, and how sure that is.

Both were asked the same users (or queries), so what is looked at is the difference of each user.
What makes a user hard for both then cancels.

- Interval: users are resampled, the same for both models (Efron & Tibshirani 1993, ch. 8). With
  several seeds a second interval resamples the seeds of each model too, crossed with the users (the
  pigeonhole bootstrap of Owen 2007). A resample of S seeds has only (S - 1) / S of their variance,
  so its deviation from all seeds is scaled by sqrt(S / (S - 1)) (Rao & Wu 1988).
- `sign_flip`: were the models exchangeable, the sign of each user's difference would be a coin's
  (Fisher 1935, sec. 21). It asks about the difference of means, weights included, so it decides.
- Wilcoxon's signed rank test asks whether differences lie around 0, whatever their size; it knows
  no weights, and stands beside.

The tests hold these trained models fixed; only the second interval says what training again does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from tastebench.metrics.resample import LARGE, resampled_means

RESAMPLES = 10_000
LEVEL = 0.95
POWER = 0.8

_EXACT = 13  # 2^13 ways to choose signs are fewer than those that would be drawn
_DECIMALS = 12  # what is equal but for the order of a sum is equal
_TOGETHER = 64  # sign vectors at a time


@dataclass(frozen=True)
class Paired:
    """How far apart two models are over `n` units that both were asked.

    Attributes:
        n: Units.
        mean_a, mean_b: Weighted means over units, then over seeds.
        difference: `mean_a - mean_b`.
        low, high: Ends of its 95 % interval over units; None with fewer than two.
        low_seeds, high_seeds: The same over units and seeds; None where neither has several.
        p: Of the sign-flip test, two-sided.
        p_wilcoxon: Of Wilcoxon's signed rank test, two-sided.
        effect: Mean over standard deviation of the differences, d_z of Cohen 1988; None where they
            do not vary, unless all are 0.
        wins, ties, losses: Units for which A is better, equal, worse; None, as `p_wilcoxon`, where
            a unit's value is its part in a number that only all rows have.
        detectable: The difference that `n` units show with a probability of 80 %, at 5 % two-sided;
            None with fewer than two units.
    """

    n: int
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    low_seeds: float | None
    high_seeds: float | None
    p: float
    p_wilcoxon: float | None
    effect: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    detectable: float | None

    @property
    def widest(self) -> tuple[float, float] | None:
        """The interval over seeds too where there is one, else that over units."""
        for low, high in ((self.low_seeds, self.high_seeds), (self.low, self.high)):
            if low is not None and high is not None:
                return low, high
        return None


def paired(
    a: np.ndarray,
    b: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    interval_resamples: int | None = None,
    higher_is_better: bool = True,
) -> Paired:
    """Compares two models unit by unit; with A and B exchanged, all that has a sign changes it.

    Args:
        a: Values of each unit and seed of A, float64 `[n, seeds]`, n at least 1; no NaN.
        b: Those of B, `[n, seeds]`; it may have another number of seeds.
        weights: How much each unit counts, above 0, `[n]`; None counts every unit once.
        seed: Of the resamples and signs.
        resamples: How many of each.
        interval_resamples: How many of units, where their number is another one.
        higher_is_better: Whether a higher value wins.

    Raises:
        ValueError: Arrays that do not fit, are empty, or hold what is no number.

    >>> found = paired(np.array([[0.5], [0.5], [0.9]]), np.array([[0.1], [0.2], [0.3]]))
    >>> round(found.difference, 4), found.p, found.wins
    (0.4333, 0.25, 3)
    """
    weights = np.ones(len(a)) if weights is None else weights
    _check(a, b, weights)
    n = len(a)
    each = np.round(a.mean(axis=1) - b.mean(axis=1), _DECIMALS)
    means = [float(np.average(side.mean(axis=1), weights=weights)) for side in (a, b)]
    difference = means[0] - means[1]
    (low, high), (low_seeds, high_seeds) = _intervals(
        a, b, weights, difference, seed, interval_resamples or resamples
    )
    error = standard_error(each, weights)
    better = each if higher_is_better else -each
    return Paired(
        n=n,
        mean_a=means[0],
        mean_b=means[1],
        difference=difference,
        low=low,
        high=high,
        low_seeds=low_seeds,
        high_seeds=high_seeds,
        p=sign_flip(weights * each, np.random.default_rng(seed), resamples),
        p_wilcoxon=wilcoxon(each),
        effect=effect_size(each, weights),
        wins=int((better > 0).sum()),
        ties=int((better == 0).sum()),
        losses=int((better < 0).sum()),
        detectable=None if error is None else detectable(error),
    )


def _check(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> None:
    sound = a.ndim == b.ndim == 2 and len(a) == len(b) == len(weights) and a.size and b.size
    if not sound or weights.ndim != 1:
        raise ValueError(f"{a.shape}, {b.shape} and {weights.shape} weights do not pair")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a value is no number: leave its unit out for both")
    if not ((weights > 0) & np.isfinite(weights)).all():
        raise ValueError("a weight is a number above 0")


# -------------------------------------------------------------------------------- intervals

_Ends = tuple[float | None, float | None]


def _intervals(
    a: np.ndarray,
    b: np.ndarray,
    weights: np.ndarray,
    difference: float,
    seed: int,
    resamples: int,
) -> tuple[_Ends, _Ends]:
    """The ends over units, and over units and seeds."""
    if len(a) < 2:
        return (None, None), (None, None)
    # One order for both ways round: else other draws would make A - B another number than B - A.
    swap = b.tobytes() < a.tobytes()
    first, second = (b, a) if swap else (a, b)
    rng = np.random.default_rng(seed)
    means = resampled_means(np.concatenate([first, second], axis=1), weights, rng, resamples)
    sides = np.split(means, [first.shape[1]], axis=1)
    drawn = [sides[0].mean(axis=1) - sides[1].mean(axis=1)]
    if a.shape[1] > 1 or b.shape[1] > 1:
        over = [(side * seed_weights(side.shape[1], resamples, rng)).sum(axis=1) for side in sides]
        drawn.append(over[0] - over[1])
    ends = [_ends(-one if swap else one, difference) for one in drawn]
    return ends[0], ends[1] if len(ends) > 1 else (None, None)


def _ends(drawn: np.ndarray, difference: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(min(low, difference)), float(max(high, difference))


def seed_weights(n_seeds: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How much each seed counts in each resample of seeds, `[resamples, n_seeds]`; rows sum to 1.

    1 / S + sqrt(S / (S - 1)) (c - 1) / S for a seed that was drawn c times: the variance of such a
    mean is s^2 / S with S - 1 in s^2, as it should be, and not (S - 1) / S of that.
    """
    if n_seeds == 1:
        return np.ones((resamples, 1))
    times = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=resamples)
    scale = np.sqrt(n_seeds / (n_seeds - 1))
    weights: np.ndarray = (1 + scale * (times - 1)) / n_seeds
    return weights


# ------------------------------------------------------------------------------------ tests


def sign_flip(x: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> float:
    """How often random signs make the sum of `x` as far from 0 as it is, two-sided.

    All ways to choose signs up to 13 values that are not 0. With more they are drawn, and what was
    observed counts as one of the draws (Phipson & Smyth 2010), so that p is never 0. Above 20,000
    values the sum of random signs is taken as normal, with the exact variance, the sum of squares.

    >>> sign_flip(np.array([1.0, 2.0, 3.0, 0.0]), np.random.default_rng(0))
    0.25
    """
    observed = abs(float(x.sum()))
    size = np.abs(x[x != 0])
    if not len(size):
        return 1.0
    least = observed - 1e-12 * float(size.sum())  # sums in another order differ in rounding
    if len(size) > LARGE:
        spread = float(np.sqrt((size**2).sum()))
        return 2 * NormalDist().cdf(-max(least, 0.0) / spread)
    if len(size) <= _EXACT:
        codes = np.arange(2 ** len(size))[:, None] >> np.arange(len(size)) & 1
        return float((np.abs(_flipped(codes, size)) >= least).mean())
    hits = 0
    for start in range(0, resamples, _TOGETHER):
        rows = min(_TOGETHER, resamples - start)
        drawn = np.frombuffer(rng.bytes(rows * -(-len(size) // 8)), np.uint8).reshape(rows, -1)
        signs = np.unpackbits(drawn, axis=1, count=len(size))
        hits += int((np.abs(_flipped(signs, size)) >= least).sum())
    return (1 + hits) / (1 + resamples)


def _flipped(bits: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Sums of `size` with a minus where a bit is 0, `[rows]`."""
    sums: np.ndarray = 2 * (bits.astype(np.float64) @ size) - size.sum()
    return sums


def wilcoxon(differences: np.ndarray) -> float:
    """Wilcoxon's signed rank test, two-sided: its p; 1 where all differences are 0.

    Differences of 0 are left out. Exact for at most 50 others of distinct sizes, else as SciPy
    chooses.
    """
    from scipy import stats

    known = differences[differences != 0]
    return float(stats.wilcoxon(known).pvalue) if len(known) else 1.0


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test, two-sided: are questions that one alone got right a coin's?

    Args:
        only_a: Questions that A alone got right.
        only_b: Those that B alone got right.

    >>> mcnemar(3, 0)
    0.25
    """
    from scipy import stats

    both = only_a + only_b
    return float(stats.binomtest(only_a, both, 0.5).pvalue) if both else 1.0


# ----------------------------------------------------------------------------- sizes, power


def standard_error(differences: np.ndarray, weights: np.ndarray) -> float | None:
    """Of the weighted mean over units; None with fewer than two.

    s / sqrt(n), s that of weight x (difference - mean) over the mean weight (Cochran 1977, sec.
    2.11).
    """
    n = len(differences)
    if n < 2:
        return None
    mean = np.average(differences, weights=weights)
    pull = weights * (differences - mean) / weights.mean()
    return float(np.sqrt((pull**2).sum() / (n * (n - 1))))


def effect_size(differences: np.ndarray, weights: np.ndarray) -> float | None:
    """Mean over standard deviation of the differences, n - 1 in it; None where they do not vary."""
    if not differences.any():
        return 0.0
    n = len(differences)
    mean = float(np.average(differences, weights=weights))
    variance = float(np.average((differences - mean) ** 2, weights=weights))
    varies = n > 1 and variance > (10.0**-_DECIMALS * abs(mean)) ** 2
    return mean / float(np.sqrt(variance * n / (n - 1))) if varies else None


def detectable(error: float, power: float = POWER, level: float = LEVEL) -> float:
    """The smallest difference that a two-sided test finds with this power.

    (z_(1+level)/2 + z_power) standard errors: 2.80 of them for 80 % at 5 % (Cohen 1988, ch. 2).
    """
    z = NormalDist().inv_cdf
    return error * (z((1 + level) / 2) + z(power))


# ---------------------------------------------------------------------------- many at a time


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted so that any false find among all is as rare as each was (Holm 1979).

    The i-th smallest of m times m - i + 1, at least its predecessor, at most 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    raised = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    return _placed(order, raised)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """p-values adjusted for the share of false finds among all finds (Benjamini & Hochberg 1995).

    The i-th smallest of m times m / i, at most its successor.

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    raised = given[order] * len(given) / np.arange(1, len(given) + 1)
    return _placed(order, np.minimum.accumulate(raised[::-1])[::-1])


def _placed(order: np.ndarray, raised: np.ndarray) -> list[float]:
    found = np.empty(len(order))
    found[order] = np.minimum(raised, 1.0)
    return [float(one) for one in found]
