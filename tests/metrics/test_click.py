from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, roc_auc_score

from tastebench.metrics.click import auc, ece, f1, gauc, gauc_weighted, logloss, logloss_rows


def arrays(*values: float) -> np.ndarray:
    return np.array(values)


@pytest.mark.parametrize(
    ("labels", "scores", "value"),
    [
        ((1, 0, 1, 0, 0), (0.9, 0.8, 0.7, 0.6, 0.5), 5 / 6),  # the worked check: 0.8333
        ((1, 0), (0.5, 0.5), 1 / 2),
        ((1, 0, 0), (0.5, 0.5, 0.1), 3 / 4),
        ((0, 1), (0.9, 0.1), 0.0),
        ((1, 1), (0.9, 0.1), np.nan),
        ((0,), (0.9,), np.nan),
        ((), (), np.nan),
        ((1, 0), (0.0, -0.0), 1 / 2),
        ((1, 0), (np.inf, -np.inf), 1.0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auc_by_hand(labels: object, scores: object, value: float, dtype: type) -> None:
    np.testing.assert_allclose(auc(np.array(labels), np.array(scores, dtype)), value, rtol=1e-15)


def test_gauc_by_hand() -> None:
    # Group 3: one positive above one of two negatives and tied with the other: 3/4.
    # Group 8: both classes, right order. Group 5: one class.
    group = np.array([3, 5, 3, 8, 3, 8, 5])
    labels = np.array([1, 1, 0, 1, 0, 0, 1])
    scores = np.array([0.5, 0.1, 0.5, 0.3, 0.2, 0.1, 0.9])
    got = gauc(labels, scores, group)
    assert got.mean == pytest.approx((3 / 4 + 1) / 2)
    assert got.group.tolist() == [3, 5, 8]
    np.testing.assert_array_equal(got.values, [3 / 4, np.nan, 1.0])
    assert got.rows.tolist() == [3, 2, 2]
    assert (got.used, got.undefined) == (2, 1)
    assert gauc_weighted(labels, scores, group).mean == pytest.approx((3 * 3 / 4 + 2) / 5)


def test_no_group_with_both_classes_leaves_no_mean() -> None:
    got = gauc(np.array([1, 0]), np.array([0.5, 0.5]), np.array([0, 1]))
    assert np.isnan(got.mean)
    assert np.isnan(gauc_weighted(np.array([1]), np.array([0.5]), np.array([0])).mean)
    assert got.undefined == 2
    empty = gauc(np.empty(0), np.empty(0), np.empty(0, np.int64))
    assert np.isnan(empty.mean)
    assert len(empty.group) == 0


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(0, 8), (-4, 4), (10**9, 10**9 + 5)]),
)
def test_gauc_equals_sklearn_group_by_group(seed: int, dtype: type, span: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    group = rng.integers(*span, n)
    labels = rng.integers(0, 2, n)
    scores = rng.choice([-1.5, -0.0, 0.0, 0.25, 2.0, 1e-20], n).astype(dtype)
    got = gauc(labels, scores, group)
    assert got.group.tolist() == sorted(set(group.tolist()))
    for g, value, rows in zip(got.group, got.values, got.rows, strict=True):
        mine = group == g
        assert rows == mine.sum()
        if len(set(labels[mine])) == 2:
            assert value == pytest.approx(roc_auc_score(labels[mine], scores[mine]), abs=1e-12)
        else:
            assert np.isnan(value)
    defined = np.isfinite(got.values)
    assert got.mean == pytest.approx(got.values[defined].mean(), abs=1e-12)
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=2))
def test_auc_of_reversed_scores_is_the_rest_to_one(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    scores = np.array([score for _, score in rows], float)
    np.testing.assert_allclose(
        auc(labels, scores) + auc(labels, -scores), auc(labels, scores) * 0 + 1
    )


def test_probability_metrics_equal_sklearn() -> None:
    rng = np.random.default_rng(5)
    labels, p = rng.integers(0, 2, 500), rng.random(500)
    p[:4], labels[:4] = [0, 1, 0, 1], [0, 0, 1, 1]
    assert logloss(labels, p) == pytest.approx(log_loss(labels, p), abs=1e-9)
    assert logloss_rows(labels, p).mean() == logloss(labels, p)
    assert f1(labels, p) == pytest.approx(f1_score(labels, p >= 0.5), abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "p", "value"),
    [
        # Two bins: [0, 1/15) holds 0.05 twice, [8/15, 9/15) holds 0.55.
        ((0, 1, 1), (0.05, 0.05, 0.55), (2 * abs(0.5 - 0.05) + abs(1 - 0.55)) / 3),
        ((1, 1, 0), (1.0, 1.0, 0.0), 0.0),
        ((1, 0), (0.5, 0.5), 0.0),  # calibrated on average within the bin
        ((0, 1), (0.2, 0.19), (0.2 + 0.81) / 2),  # an edge opens the next bin
        ((), (), np.nan),
    ],
)
def test_ece_by_hand(labels: object, p: object, value: float) -> None:
    np.testing.assert_allclose(ece(np.array(labels), np.array(p, float)), value, atol=1e-15)


@pytest.mark.parametrize(
    ("labels", "p", "value"),
    [
        ((1, 1, 0, 0), (0.9, 0.1, 0.8, 0.2), 2 / 4),
        ((1, 0), (0.5, 0.4), 1.0),
        ((1,), (0.1,), 0.0),
        ((0,), (0.1,), np.nan),
    ],
)
def test_f1_by_hand(labels: object, p: object, value: float) -> None:
    np.testing.assert_equal(f1(np.array(labels), np.array(p)), value)


def test_logloss_of_no_rows() -> None:
    assert np.isnan(logloss(np.empty(0), np.empty(0)))


ALL = [auc, logloss, ece, f1]


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        (arrays(1, 0, 1), arrays(0.1, np.nan, np.nan), "scores[1] is NaN: a score must be"),
        (arrays(1, 2), arrays(0.1, 0.2), "labels[1] is 2: a label is 0 or 1"),
        (arrays(1, np.nan), arrays(0.1, 0.2), "labels[1] is nan"),
        (arrays(1, 0), arrays(0.1), "must be equally long"),
    ],
)
def test_rows_that_cannot_be_measured_are_refused(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: np.ndarray,
    scores: np.ndarray,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        metric(labels, scores)


@pytest.mark.parametrize("metric", [logloss, ece, f1])
@pytest.mark.parametrize("bad", [1.5, -0.1, -np.inf])
def test_scores_that_are_no_probabilities_are_refused(
    metric: Callable[[np.ndarray, np.ndarray], float], bad: float
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"scores[1] is {bad}: this metric reads")):
        metric(arrays(1, 0), arrays(0.3, bad))


@pytest.mark.parametrize("group", [np.array([0]), np.array([0.0, 1.0]), np.array(["a", "b"])])
def test_groups_are_one_integer_a_row(group: np.ndarray) -> None:
    with pytest.raises(ValueError, match="group must hold 2 integers"):
        gauc(arrays(1, 0), arrays(0.1, 0.2), group)
