"""The expected reciprocal rank of the first of several items that hide among equal scores."""

from __future__ import annotations

import numpy as np

from tastebench.metrics.harmonic import harmonic_between

_STABLE = 8.0  # the forward recurrence may amplify rounding by e^8 m, which leaves 11 digits
_DECAY = 40.0  # the backward recurrence forgets its start to e^-40


def expected_reciprocal(
    start: np.ndarray, size: np.ndarray, relevant: np.ndarray, k: int | None
) -> np.ndarray:
    """E[1 / (s + J)], J the first of m relevant places among t in random order; 0 beyond k.

    P(J = j) = C(t - j, m - 1) / C(t, m).

    Args:
        start: Candidates above the run of ties (s), int64 `[b]`.
        size: Candidates in the run (t), int64 `[b]`.
        relevant: Relevant ones among them (m), int64 `[b]`, 1 or more.
        k: Cut-off on s + J; None for none.

    Returns:
        float64 `[b]`.
    """
    last = size - relevant + 1  # the latest place the first relevant item can have
    if k is None or (start + last <= k).all():
        out = 1.0 / (start + 1.0)  # right where nothing else has the item's score
        several = np.flatnonzero(size > 1)
        if len(several):
            out[several] = _without_cut(start[several], size[several], relevant[several])
        return out
    out = np.zeros(len(start))
    whole = start + last <= k
    out[whole] = expected_reciprocal(start[whole], size[whole], relevant[whole], None)
    cut = ~whole & (start < k)
    out[cut] = _with_cut(start[cut], size[cut], relevant[cut], k)
    return out


def _with_cut(start: np.ndarray, size: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """The sum over the at most k places that are seen, term by term."""
    chance = relevant / size
    out = np.zeros(len(start))
    for j in range(1, k - int(start.min(initial=k)) + 1):
        out += np.where(start + j <= k, chance / (start + j), 0.0)
        # P(J = j + 1) / P(J = j) = (t - j - m + 1) / (t - j), 0 once no place is left
        chance *= np.maximum(size - relevant - j + 1, 0) / np.maximum(size - j, 1)
    return out


def _without_cut(start: np.ndarray, size: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """The whole expectation in a number of steps that grows with m, not with the run of ties.

    With g(m) = E[1 / (s + J)], (m - 1) C(t - j, m - 1) = (t - j - m + 2) C(t - j, m - 2) gives
    (m - 1) g(m) = m / (t - m + 1) [(t + s - m + 2) g(m - 1) - 1], and g(1), g(t) are known.
    Forward it amplifies rounding by up to m (1 + x)^(m - 1), x = (s + 1) / (t - m + 1); backward it
    shrinks it by 1 / (1 + x) a step. Each run takes the direction that is stable for it.
    """
    growth = np.log1p((start + 1) / (size - relevant + 1))
    forward = relevant * growth < _STABLE
    out = np.empty(len(start))
    out[forward] = _forward(start[forward], size[forward], relevant[forward])
    backward = ~forward
    steps = np.ceil(_DECAY / growth[backward]).astype(np.int64)
    out[backward] = _backward(start[backward], size[backward], relevant[backward], steps)
    return out


def _forward(start: np.ndarray, size: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    g: np.ndarray = harmonic_between(start, start + size) / size
    for m in range(2, int(relevant.max(initial=1)) + 1):
        on = np.flatnonzero(relevant >= m)
        s, t = start[on], size[on]
        g[on] = m / ((m - 1) * (t - m + 1)) * ((t + s - m + 2) * g[on] - 1)
    return g


def _backward(
    start: np.ndarray, size: np.ndarray, relevant: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    steps = np.minimum(steps, size - relevant)
    g: np.ndarray = 1.0 / (start + 1.0)  # exact for m = t, forgotten otherwise
    for step in range(int(steps.max(initial=0)), 0, -1):
        on = np.flatnonzero(steps >= step)
        s, t, m = start[on], size[on], relevant[on] + step
        g[on] = (1 + (m - 1) * (t - m + 1) / m * g[on]) / (t + s - m + 2)
    return g
