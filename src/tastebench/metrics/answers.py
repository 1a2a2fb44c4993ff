"""From options that were scored to right and wrong: one value a question."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastebench.metrics.grammar import DIMENSIONS, parse_all

ANSWERED = "answered"


def right(scores: np.ndarray, gold: np.ndarray, status: Sequence[str]) -> np.ndarray:
    """How far each answer is right, float64 `[n]`.

    Args:
        scores: Of each option, `[n, options]`.
        gold: Place of the right option, int64 `[n]`.
        status: `answered`, or why there is no answer; that is never right, not even by chance.

    >>> scores = np.array([[0.0, 2.0], [1.0, 1.0], [3.0, 0.0]])
    >>> right(scores, np.array([1, 0, 1]), ["answered"] * 3).tolist()
    [1.0, 0.5, 0.0]
    """
    answered = np.array([word == ANSWERED for word in status], dtype=bool)
    found = np.zeros(len(gold))
    given = scores[answered]
    best = given == given.max(axis=1, keepdims=True)
    found[answered] = best[np.arange(len(given)), gold[answered]] / best.sum(axis=1)
    return found


def measure_right(
    names: Sequence[str], share: np.ndarray, kind: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of every question; NaN where a metric counts questions of another kind.

    Args:
        names: Metrics of answers, e.g. `accuracy`, `accuracy_interest`, `accuracy_df`.
        share: From `right`.
        kind: Name of each question's kind.
    """
    values = {}
    for metric in parse_all(names, needs="answers"):
        of = metric.name.removeprefix("accuracy").removeprefix("_")
        counted = DIMENSIONS.get(of, (of,)) if of else np.unique(kind)
        values[str(metric)] = np.where(np.isin(kind, counted), share, np.nan)
    return values
