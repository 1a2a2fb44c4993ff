"""Metrics of labelled rows: how well scores tell clicks from no clicks, and how well they mean it.

Labels are 0 or 1. A NaN score is refused with its row; metrics that read scores as probabilities
refuse anything outside [0, 1], so that raw logits never give a number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tastebench.metrics.groups import dense
from tastebench.metrics.order import sort_keys

ECE_BINS = 15
F1_THRESHOLD = 0.5
_TINY = 2.0**-52


class Grouped(NamedTuple):
    """A metric within each group, and its mean.

    Attributes:
        mean: Over the groups for which it is defined; NaN if there is none.
        group: The groups that occur, ascending, int64 `[g]`.
        values: Metric of each group, float64 `[g]`; NaN where undefined.
        rows: Rows of each group, int64 `[g]`.
    """

    mean: float
    group: np.ndarray
    values: np.ndarray
    rows: np.ndarray

    @property
    def used(self) -> int:
        """Groups that the mean is over."""
        return int(np.isfinite(self.values).sum())

    @property
    def undefined(self) -> int:
        """Groups left out because the metric is undefined for them."""
        return len(self.values) - self.used


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve over all rows; a tied pair counts half; NaN with one class.

    Raises:
        ValueError: Arrays that do not fit, a label other than 0 and 1, or a NaN score.

    >>> auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    0.75
    """
    everyone = np.zeros(len(labels), dtype=np.int64)
    values = _group_auc(*_checked(labels, scores), everyone)[1]
    return float(values[0]) if len(values) else float("nan")


def gauc(labels: np.ndarray, scores: np.ndarray, group: np.ndarray) -> Grouped:
    """AUC within each group, then the plain mean over the groups that have both classes.

    Args:
        labels: 0 or 1, `[n]`.
        scores: Higher is more likely 1, `[n]`.
        group: User or impression of each row, integers `[n]`, in any order.

    Raises:
        ValueError: As `auc`.
    """
    if group.shape != labels.shape or not np.issubdtype(group.dtype, np.integer):
        raise ValueError(f"group must hold {len(labels)} integers, got {group.dtype} {group.shape}")
    index, groups = dense(group)
    rows, values = _group_auc(*_checked(labels, scores), index)
    return Grouped(_mean(values, np.ones(len(values))), groups, values, rows)


def gauc_weighted(labels: np.ndarray, scores: np.ndarray, group: np.ndarray) -> Grouped:
    """As `gauc`, but the mean weighs each group by its number of rows (Zhu et al. 2017)."""
    plain = gauc(labels, scores, group)
    return plain._replace(mean=_mean(plain.values, plain.rows))


def logloss_rows(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each row's label, float64 `[n]`.

    Probabilities are kept within [2^-52, 1 - 2^-52], as scikit-learn does for float64: one row that
    is wrong with certainty costs 36 and not infinity.

    Raises:
        ValueError: As `auc`, or a score outside [0, 1].
    """
    truth, p = _checked_probabilities(labels, probabilities)
    kept = np.clip(p, _TINY, 1 - _TINY)
    losses: np.ndarray = -np.log(np.where(truth, kept, 1 - kept))
    return losses


def logloss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean of `logloss_rows`; NaN without rows."""
    losses = logloss_rows(labels, probabilities)
    return float(losses.mean()) if len(losses) else float("nan")


def ece(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error in 15 equal bins (Naeini et al. 2015); NaN without rows.

    Sum over bins of their share of rows times |mean label - mean probability|. A bin holds its
    lower edge and the last one also 1.

    Raises:
        ValueError: As `auc`, or a score outside [0, 1].
    """
    truth, p = _checked_probabilities(labels, probabilities)
    if not len(p):
        return float("nan")
    inner = np.arange(1, ECE_BINS) / ECE_BINS
    bins = np.searchsorted(inner, p, side="right")
    gaps = np.bincount(bins, weights=truth - p, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(p))


def f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """F1 of the positive class at threshold 0.5; NaN if there is no positive and none is predicted.

    Raises:
        ValueError: As `auc`, or a score outside [0, 1].
    """
    truth, p = _checked_probabilities(labels, probabilities)
    predicted = p >= F1_THRESHOLD
    either = int(truth.sum()) + int(predicted.sum())  # 2 TP + FP + FN
    return 2 * int((truth & predicted).sum()) / either if either else float("nan")


def _group_auc(
    truth: np.ndarray, scores: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and AUC of each group, from one sort of (group, score, label).

    In a group's rising order every positive beats the negatives before its run of ties and halves
    with those in it (Mann & Whitney 1947). Twice the count is an integer, so the sum is exact.
    """
    keys = np.sort(sort_keys(index, scores, truth))
    positive = (keys & np.uint64(1)).astype(np.int64)
    runs = np.flatnonzero(_changes(keys >> np.uint64(1)))
    group = (keys[runs] >> np.uint64(33)).astype(np.int64)
    size = np.diff(np.append(runs, len(keys)))
    positives = np.add.reduceat(positive, runs) if len(runs) else positive
    negatives = size - positives
    heads = np.flatnonzero(_changes(group))
    below = np.cumsum(negatives) - negatives
    below -= below[heads][group]
    twice = _sum_runs(positives * (2 * below + negatives), heads)
    n_positive, n_negative = _sum_runs(positives, heads), _sum_runs(negatives, heads)
    values = np.full(len(heads), np.nan)
    pairs = n_positive * n_negative
    np.divide(twice / 2, pairs, out=values, where=pairs > 0)
    return n_positive + n_negative, values


def _sum_runs(values: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Sums between consecutive heads."""
    return np.add.reduceat(values, heads) if len(heads) else values


def _changes(values: np.ndarray) -> np.ndarray:
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def _checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels as booleans, and the scores."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape} must be equally long")
    truth = labels == 1
    bad = np.flatnonzero(~(truth | (labels == 0)))
    if len(bad):
        raise ValueError(f"labels[{bad[0]}] is {labels[bad[0]]}: a label is 0 or 1")
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        raise ValueError(f"scores[{missing[0]}] is NaN: a score must be a number")
    return truth, scores


def _checked_probabilities(
    labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    truth, p = _checked(labels, probabilities)
    outside = np.flatnonzero((p < 0) | (p > 1))
    if len(outside):
        raise ValueError(
            f"scores[{outside[0]}] is {p[outside[0]]}: this metric reads scores as probabilities, "
            "between 0 and 1"
        )
    return truth, p.astype(np.float64)


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    defined = np.isfinite(values)
    if not defined.any():
        return float("nan")
    return float(np.average(values[defined], weights=weights[defined]))
