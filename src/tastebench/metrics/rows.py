"""Metrics of labelled rows with one value a unit, so that whole units can be resampled.

Rows of one user resemble each other: what was sampled, and what an interval has to resample, are
users. So each metric here is given as one value a unit and a weight, such that the weighted mean
over units is the metric of all rows. That works in three ways:

- A mean over groups or rows (`gauc`, `ndcg@k`, `logloss`) is each unit's own mean, weighted by how
  many of them it has.
- A number that only all rows together have (`auc`, `f1`) is split into pseudo-values: metric +
  units x influence of the unit. Influences add up to 0, so the mean is the metric, and the variance
  of the mean is the sum of squared influences: for `auc` that of DeLong et al. 1988 where each row
  is a unit of its own, of Obuchowski 1997 where units have many rows (both divide by n - 1 of each
  class or its units, where this divides by n - 1 of all units).
- `ece` is a sum over bins of absolute values. With the sign of each bin as it is over all rows it
  is a mean over rows. The interval then says how sure that mean is; it does not correct that noise
  alone keeps an ECE above 0.

The order of rows changes no value beyond rounding, and scores change no weight: two models asked
the same rows have the same weights, and can be compared unit by unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tastebench.metrics import click
from tastebench.metrics.calibration import bins_of, equal_width
from tastebench.metrics.grammar import Metric, parse_rows
from tastebench.metrics.groups import dense, mean_by
from tastebench.metrics.measure import measure
from tastebench.metrics.ranks import Ranks
from tastebench.ragged import Ragged

LARGEST_LOG_ODDS = 52 * float(np.log(2))
"""Log-odds count up to here, which is a probability of 1 - 2^-52: `logloss` of log-odds is then the
`click.logloss` of their probabilities, which are kept within the same bounds."""

_ROUNDING = 1e-13  # of a sum of numbers below 1, a row
_SMALLEST_NORMAL = np.uint32(2**23)  # as bits of a float32; what is below may be flushed to zero


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with a label and a score each, in any order.

    Attributes:
        label: 0 or 1, int8 `[n]`.
        score: Higher is more likely 1, floating `[n]`; no NaN.
        group: What ranking metrics and `gauc` are computed within (user or impression), int64
            `[n]`.
        unit: What is resampled (user), int64 `[n]`; every group lies in one unit.
        log_odds: The scores are log-odds, log p / (1 - p). Where they are not, nothing says what
            probability they stand for, and metrics of probabilities are undefined.

    Raises:
        ValueError: Arrays that do not fit, another label, a NaN score, or a group in two units.
    """

    label: np.ndarray
    score: np.ndarray
    group: np.ndarray
    unit: np.ndarray
    log_odds: bool = True

    def __post_init__(self) -> None:
        for name in ("label", "score", "group", "unit"):
            column = getattr(self, name)
            if column.shape != (len(self.label),):
                raise ValueError(f"{name} {column.shape} does not fit {len(self.label)} rows")
        for name in ("group", "unit"):
            if not np.issubdtype(getattr(self, name).dtype, np.integer):
                raise ValueError(f"{name} must hold integers, got {getattr(self, name).dtype}")
        if not np.issubdtype(self.score.dtype, np.floating):
            raise ValueError(f"score must hold floating numbers, got {self.score.dtype}")
        _refuse(self.label, "label", (self.label != 0) & (self.label != 1), "a label is 0 or 1")
        _refuse(self.score, "score", np.isnan(self.score), "a score must be a number")
        astray = np.flatnonzero(self.unit_of_group[self.group_index] != self.unit_index)
        if len(astray):
            row = astray[0]
            other = self.units[self.unit_of_group[self.group_index[row]]]
            raise ValueError(
                f"group {self.group[row]} has rows of unit {self.unit[row]} and of unit {other}: "
                "every group lies in one unit"
            )

    def __len__(self) -> int:
        return len(self.label)

    @property
    def units(self) -> np.ndarray:
        """The units that occur, ascending, int64 `[u]`: what the values of a metric belong to."""
        return self._unit[1]

    @property
    def unit_index(self) -> np.ndarray:
        """Place of each row's unit in `units`, int64 `[n]`."""
        return self._unit[0]

    @property
    def group_index(self) -> np.ndarray:
        """Place of each row's group among the groups that occur, ascending, int64 `[n]`."""
        return self._group[0]

    @cached_property
    def unit_of_group(self) -> np.ndarray:
        """Index of the unit of each group, int64 `[g]`."""
        index = np.zeros(len(self._group[1]), dtype=np.int64)
        index[self.group_index] = self.unit_index
        return index

    @cached_property
    def counts(self) -> dict[str, int]:
        """What there is, and what some metrics leave out."""
        rows = np.bincount(self.group_index, minlength=len(self.unit_of_group))
        positives = np.bincount(self.group_index[self.positive], minlength=len(rows))
        return {
            "rows": len(self),
            "positives": int(positives.sum()),
            "groups": len(rows),
            "groups_without_positive": int((positives == 0).sum()),
            "groups_of_one_class": int(((positives == 0) | (positives == rows)).sum()),
        }

    @cached_property
    def positive(self) -> np.ndarray:
        """Whether each row's label is 1, bool `[n]`."""
        clicked: np.ndarray = self.label == 1
        return clicked

    @cached_property
    def steps(self) -> np.ndarray:
        """Place of each row's score among the distinct scores, rising, uint32 `[n]`."""
        order = np.argsort(self.score)
        ordered = self.score[order]
        steps = np.zeros(len(self), dtype=np.uint32)
        steps[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1], dtype=np.uint32)
        return steps

    @cached_property
    def order_as_float32(self) -> np.ndarray:
        """Numbers in the order of the scores and equal where they are, float32 `[n]`.

        What sorts within groups sorts float32 by their bits, several times faster than others, and
        for several metrics. Scores that float32 holds exactly are taken as they are; of others the
        steps become the bits of numbers from the smallest normal one on.
        """
        with np.errstate(over="ignore"):
            narrow = self.score.astype(np.float32)
        if np.array_equal(narrow, self.score):
            return narrow
        numbers: np.ndarray = (self.steps + _SMALLEST_NORMAL).view(np.float32)
        return numbers

    @cached_property
    def ranks(self) -> Ranks:
        """Where the positive rows of each group stand among its rows."""
        sizes = np.bincount(self.group_index, minlength=len(self.unit_of_group))
        order = np.argsort(self.group_index, kind="stable")
        return Ranks.from_candidates(
            Ragged.from_lengths(self.order_as_float32[order], sizes),
            Ragged.from_lengths(self.label[order], sizes),
        )

    @cached_property
    def kept_log_odds(self) -> np.ndarray:
        """The scores within `LARGEST_LOG_ODDS` of 0, float64 `[n]`."""
        return np.clip(self.score.astype(np.float64), -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)

    @cached_property
    def _unit(self) -> tuple[np.ndarray, np.ndarray]:
        return dense(self.unit)

    @cached_property
    def _group(self) -> tuple[np.ndarray, np.ndarray]:
        return self._unit if self.group is self.unit else dense(self.group)


class _Column(NamedTuple):
    """A value and a weight for every unit; no weights count every unit once."""

    values: np.ndarray
    weights: np.ndarray | None = None


def measure_rows(
    names: Sequence[str], rows: LabelledRows
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Each metric of each unit, and how much the unit counts.

    Args:
        names: Metrics of rows (`auc`, `logloss`), and ranking metrics (`ndcg@5`), which are then
            those of each group's rows.
        rows: What was asked and answered.

    Returns:
        Name to values, float64 `[u]`, by ascending unit; NaN where the metric is undefined for the
        unit. And name to weights, float64 `[u]`; a metric that counts every unit alike is not
        there. The weighted mean of a metric's values is the metric of all rows.

    Raises:
        UsageError: An unknown metric, or one that labelled rows do not have.

    >>> rows = LabelledRows(
    ...     label=np.array([1, 0, 1, 0, 1, 0]),
    ...     score=np.array([2.0, 1.0, 0.5, 0.7, 0.1, -1.0]),
    ...     group=np.array([10, 10, 11, 11, 20, 20]),
    ...     unit=np.array([1, 1, 1, 1, 2, 2]),
    ... )
    >>> values, weights = measure_rows(["gauc"], rows)
    >>> values["gauc"].tolist(), weights["gauc"].tolist()
    ([0.5, 1.0], [2.0, 1.0])
    """
    values, weights = {}, {}
    for metric in parse_rows(names):
        column = _measure(metric, rows)
        values[str(metric)] = column.values
        weight = column.weights
        if weight is not None and (weight[weight > 0] != 1).any():
            weights[str(metric)] = weight
    return values, weights


def _measure(metric: Metric, rows: LabelledRows) -> _Column:
    if metric.info.needs == "ranks":
        of_groups = measure([str(metric)], rows.ranks)[str(metric)]
        return _Column(*mean_by(rows.unit_of_group, of_groups, len(rows.units)))
    return _MEASURES[metric.name](rows)


def _gauc(rows: LabelledRows) -> _Column:
    """AUC of each group; a unit is the mean over its groups with both classes."""
    grouped = click.gauc(rows.label, rows.order_as_float32, rows.group_index)
    return _Column(*mean_by(rows.unit_of_group, grouped.values, len(rows.units)))


def _gauc_weighted(rows: LabelledRows) -> _Column:
    """As `_gauc`, where a group counts by its rows."""
    grouped = click.gauc(rows.label, rows.order_as_float32, rows.group_index)
    return _Column(*mean_by(rows.unit_of_group, grouped.values, len(rows.units), grouped.rows))


def _auc(rows: LabelledRows) -> _Column:
    """Pseudo-values of the AUC over all rows.

    The placement V of a positive row is the share of negatives scored below it, of a negative row
    the share of positives scored above it, ties half (DeLong et al. 1988). The influence of a unit
    is the sum over its positives of (V - AUC) / n_pos, plus the sum over its negatives of (V - AUC)
    / n_neg (Obuchowski 1997). Placements are counted twice, in integers, so that sums are exact.
    """
    positive, steps, n_units = rows.positive, rows.steps, len(rows.units)
    n_positive = int(positive.sum())
    n_negative = len(rows) - n_positive
    if not n_positive or not n_negative:
        return _undefined(rows)
    at = np.bincount(steps)
    positives_at = np.bincount(steps[positive], minlength=len(at))
    negatives_at = at - positives_at
    beaten = 2 * np.cumsum(negatives_at) - negatives_at
    beating = 2 * (n_positive - np.cumsum(positives_at)) + positives_at
    area = int(positives_at @ beaten) / 2 / (n_positive * n_negative)
    influence = np.zeros(n_units)
    for mine, twice, n_own, n_other in (
        (positive, beaten, n_positive, n_negative),
        (~positive, beating, n_negative, n_positive),
    ):
        unit = rows.unit_index[mine]
        placed = np.bincount(unit, twice[steps[mine]], n_units) / (2 * n_other)
        influence += (placed - area * np.bincount(unit, minlength=n_units)) / n_own
    return _Column(area + n_units * influence)


def _logloss(rows: LabelledRows) -> _Column:
    """Mean over a unit's rows of log(1 + e^-z) for a click and log(1 + e^z) for none."""
    if not rows.log_odds:
        return _undefined(rows)
    z = rows.kept_log_odds
    return _row_means(rows, np.logaddexp(0, np.where(rows.positive, -z, z)))


def _ece(rows: LabelledRows) -> _Column:
    """Mean over a unit's rows of sign(b) (y - p), sign(b) that of the sum of y - p in the bin.

    A bin whose sum is 0 up to rounding has no sign: it must not depend on the order of its rows.
    """
    if not rows.log_odds:
        return _undefined(rows)
    probability = 1 / (1 + np.exp(-rows.kept_log_odds))
    bins = bins_of(probability, equal_width(click.ECE_BINS))
    gap = rows.positive - probability
    total, size = np.bincount(bins, gap, click.ECE_BINS), np.bincount(bins, None, click.ECE_BINS)
    sign = np.where(np.abs(total) > _ROUNDING * size, np.sign(total), 0.0)
    return _row_means(rows, sign[bins] * gap)


def _f1(rows: LabelledRows) -> _Column:
    """Pseudo-values of F1 = 2 TP / D, D = 2 TP + FP + FN.

    The influence of a unit is (2 TP_u - F1 D_u) / D: that of a ratio of sums (Cochran 1977, sec.
    2.11). Weights D_u would give the same mean and interval, but differ from model to model.
    """
    if not rows.log_odds:
        return _undefined(rows)
    predicted = rows.score >= 0  # a probability of 0.5 or more
    either = rows.positive.astype(np.int64) + predicted
    n_units = len(rows.units)
    hits = 2 * np.bincount(rows.unit_index[rows.positive & predicted], minlength=n_units)
    either_by_unit = np.bincount(rows.unit_index, either, n_units)
    total = int(either.sum())
    if not total:
        return _undefined(rows)
    value = int(hits.sum()) / total
    return _Column(value + n_units * (hits - value * either_by_unit) / total)


_MEASURES: dict[str, Callable[[LabelledRows], _Column]] = {
    "auc": _auc,
    "gauc": _gauc,
    "gauc_weighted": _gauc_weighted,
    "logloss": _logloss,
    "ece": _ece,
    "f1": _f1,
}


def _undefined(rows: LabelledRows) -> _Column:
    return _Column(np.full(len(rows.units), np.nan))


def _row_means(rows: LabelledRows, values: np.ndarray) -> _Column:
    return _Column(*mean_by(rows.unit_index, values, len(rows.units)))


def _refuse(column: np.ndarray, name: str, bad: np.ndarray, why: str) -> None:
    places = np.flatnonzero(bad)
    if len(places):
        raise ValueError(f"{name}[{places[0]}] is {column[places[0]]}: {why}")
