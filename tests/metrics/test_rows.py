from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import (
    f1_score,
    label_ranking_average_precision_score,
    log_loss,
    ndcg_score,
    roc_auc_score,
)

from tastebench.contracts import Evaluation
from tastebench.errors import UsageError
from tastebench.metrics import Ranks, bootstrap, click, measure
from tastebench.metrics.grammar import METRICS
from tastebench.metrics.rows import LARGEST_LOG_ODDS, LabelledRows, measure_rows
from tastebench.ragged import Ragged

ROW_METRICS = [name for name, info in METRICS.items() if info.needs == "rows"]
RANK_METRICS = [
    "ndcg@2",
    "ndcg",
    "recall@2",
    "recall_capped@2",
    "precision@2",
    "hit@1",
    "mrr",
    "mrr_allpos",
    "map",
    "lrap",
]
BY_ORDER = [*RANK_METRICS, "auc", "gauc", "gauc_weighted"]


def rows_of(
    label: Sequence[int],
    score: Sequence[float],
    group: Sequence[int] | None = None,
    unit: Sequence[int] | None = None,
    **options: Any,
) -> LabelledRows:
    groups = np.zeros(len(label), np.int64) if group is None else np.array(group, np.int64)
    units = groups if unit is None else np.array(unit, np.int64)
    return LabelledRows(
        np.array(label, np.int8), np.array(score, np.float64), groups, units, **options
    )


def pooled(name: str, rows: LabelledRows) -> float:
    """The weighted mean over units, as a record has it."""
    values, weights = measure_rows([name], rows)
    return Evaluation("user", rows.units, values, weights).means()[name]


def random_rows(seed: int, n: int = 60, dtype: type = np.float64) -> LabelledRows:
    """Few distinct scores, so that many tie; a user has up to three groups."""
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, 9, n) * 7 - 20
    group = unit * 3 + rng.integers(0, 3, n)
    score = rng.choice([-2.0, -0.3, -0.0, 0.0, 0.25, 1.5, 4.0], n).astype(dtype)
    return LabelledRows(rng.integers(0, 2, n).astype(np.int8), score, group, unit)


# ------------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("auc", 5 / 6),
        ("gauc", 5 / 6),
        ("gauc_weighted", 5 / 6),
        ("lrap", 5 / 6),
        ("mrr_allpos", 2 / 3),
        ("mrr", 1.0),
        ("ndcg@2", 1 / (1 + 1 / np.log2(3))),  # 0.6131
        ("hit@1", 1.0),
        ("recall@2", 1 / 2),
        ("precision@2", 1 / 2),
        ("map", 5 / 6),
    ],
)
def test_the_worked_example(name: str, value: float) -> None:
    rows = rows_of([1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5])
    values, weights = measure_rows([name], rows)
    np.testing.assert_allclose(values[name], [value], rtol=1e-14)
    assert weights.keys() <= {"gauc_weighted"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("lrap", 0.5), ("ndcg@1", 0.5), ("gauc", 0.5), ("auc", 0.5), ("mrr", 13 / 18)],
)
def test_equal_scores_decide_nothing(name: str, value: float) -> None:
    # The first of two positives among four: ranks 1, 2, 3 with chance 3/6, 2/6, 1/6.
    assert pooled(name, rows_of([0, 0, 1, 1], [0.3] * 4)) == pytest.approx(value, rel=1e-14)


def test_auc_of_users_by_hand() -> None:
    # Positives' placements 1 (user 5) and 2/3 (user 3), negatives' 1/2 (5), 1 and 1 (3); AUC 5/6.
    # Influence of user 5: (1 - 5/6)/2 + (1/2 - 5/6)/3 = -1/36, of user 3 the opposite.
    rows = rows_of([1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.5], [5, 5, 3, 3, 3])
    values, weights = measure_rows(["auc"], rows)
    assert rows.units.tolist() == [3, 5]
    np.testing.assert_allclose(values["auc"], [5 / 6 + 2 / 36, 5 / 6 - 2 / 36], rtol=1e-14)
    assert weights == {}


def test_gauc_of_users_with_several_groups_by_hand() -> None:
    # User 1: group 10 is 1, group 11 is 0, group 12 has one class; user 2: group 20 is 3/4 (a tie).
    rows = rows_of(
        [1, 0, 0, 1, 1, 1, 0, 0],
        [2.0, 1.0, 3.0, 1.0, 9.0, 0.5, 0.5, 0.1],
        [10, 10, 11, 11, 12, 20, 20, 20],
        [1, 1, 1, 1, 1, 2, 2, 2],
    )
    values, weights = measure_rows(["gauc", "gauc_weighted"], rows)
    np.testing.assert_array_equal(values["gauc"], [1 / 2, 3 / 4])
    np.testing.assert_array_equal(weights["gauc"], [2, 1])
    np.testing.assert_array_equal(weights["gauc_weighted"], [4, 3])
    assert pooled("gauc", rows) == pytest.approx((1 + 0 + 3 / 4) / 3)
    assert pooled("gauc_weighted", rows) == pytest.approx((2 * 1 + 2 * 0 + 3 * 3 / 4) / 7)


def test_what_a_metric_leaves_out_is_counted() -> None:
    # Group 1 has no positive, 2 only positives, 3 both.
    rows = rows_of([0, 0, 1, 1, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [1, 1, 2, 2, 3, 3])
    values, weights = measure_rows(["gauc", "gauc_weighted", "ndcg@1", "lrap"], rows)
    np.testing.assert_array_equal(values["gauc"], [np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(values["ndcg@1"], [np.nan, 1.0, 0.0])
    np.testing.assert_array_equal(values["lrap"], [np.nan, 1.0, 0.5])
    assert weights.keys() == {"gauc_weighted"}
    assert rows.counts == {
        "rows": 6,
        "positives": 3,
        "groups": 3,
        "groups_without_positive": 1,
        "groups_of_one_class": 2,
    }
    found = bootstrap(values["gauc"], np.random.default_rng(0))
    assert (found.n, found.undefined) == (1, 2)


def test_one_class_has_no_auc_and_nothing_predicted_no_f1() -> None:
    rows = rows_of([0, 0], [-1.0, -2.0], [1, 2])
    values, _ = measure_rows(["auc", "f1", "logloss"], rows)
    assert np.isnan(values["auc"]).all()
    assert np.isnan(values["f1"]).all()
    assert np.isfinite(values["logloss"]).all()


def test_f1_by_hand() -> None:
    # TP 1, FP 2 (one at 0, a probability of 1/2), FN 1: F1 = 2/5. User 1 has 2 TP = 2 of D = 3,
    # user 2 has 0 of 2: 2/5 + 2 (2 - 6/5) / 5 and 2/5 + 2 (0 - 4/5) / 5.
    rows = rows_of([1, 0, 1, 0, 0], [0.5, 2.0, -0.1, -3.0, 0.0], [1, 1, 2, 2, 2])
    values, weights = measure_rows(["f1"], rows)
    np.testing.assert_allclose(values["f1"], [0.72, 0.08], rtol=1e-14)
    assert weights == {}


def test_ece_by_hand() -> None:
    # At p = 1/2 the labels 1, 0, 1 are above, at 3/4 the labels 1, 1, 0, 0 below their mean.
    high = np.log(3)
    rows = rows_of([1, 0, 1, 1, 1, 0, 0], [0, 0, high, 0, high, high, high], [1, 1, 1, 2, 2, 2, 2])
    values, weights = measure_rows(["ece"], rows)
    np.testing.assert_allclose(values["ece"], [(0.5 - 0.5 - 0.25) / 3, 1.75 / 4], rtol=1e-12)
    np.testing.assert_array_equal(weights["ece"], [3, 4])
    assert pooled("ece", rows) == pytest.approx((0.5 + 1.0) / 7, rel=1e-12)


def test_logloss_by_hand() -> None:
    rows = rows_of([1, 1, 0], [0.0, np.log(3), np.log(3)], [1, 2, 2])
    values, weights = measure_rows(["logloss"], rows)
    expected = [np.log(2), (np.log(4 / 3) + np.log(4)) / 2]
    np.testing.assert_allclose(values["logloss"], expected, rtol=1e-15)
    np.testing.assert_array_equal(weights["logloss"], [1, 2])


@pytest.mark.parametrize("score", [37.0, 1e4, np.inf])
def test_certainty_costs_as_much_as_among_probabilities(score: float) -> None:
    rows = rows_of([0, 1], [score, -score], [1, 2])
    worst = click.logloss(np.array([0, 1]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(measure_rows(["logloss"], rows)[0]["logloss"], worst, rtol=1e-12)
    assert pytest.approx(worst, rel=1e-12) == LARGEST_LOG_ODDS
    right = rows_of([1, 0], [score, -score])
    assert 0 < pooled("logloss", right) < 1e-15
    assert pooled("ece", right) < 1e-15


def test_scores_that_are_no_log_odds_have_no_probability() -> None:
    rows = rows_of([1, 0, 1], [9.0, 2.0, 1.0], [1, 1, 2], log_odds=False)
    values, _ = measure_rows([*ROW_METRICS, "mrr"], rows)
    for name in ("logloss", "ece", "f1"):
        assert np.isnan(values[name]).all()
    assert pooled("auc", rows) == 0.5
    assert pooled("gauc", rows) == 1.0


def test_no_rows() -> None:
    values, weights = measure_rows([*ROW_METRICS, *RANK_METRICS], rows_of([], []))
    assert {name: column.shape for name, column in values.items()} == dict.fromkeys(values, (0,))
    assert list(values) == [*ROW_METRICS, *RANK_METRICS]
    assert weights == {}


# ----------------------------------------------------------------------------- against the oracles


SEEDS = st.integers(0, 100_000)
DTYPES = st.sampled_from([np.float32, np.float64])


@settings(max_examples=40, deadline=None)
@given(SEEDS, DTYPES, st.sampled_from([1, 2, 7, 60]))
def test_the_mean_over_units_is_the_metric_of_all_rows(seed: int, dtype: type, n: int) -> None:
    rows = random_rows(seed, n, dtype)
    label, score, p = rows.label, rows.score, expit(rows.score.astype(np.float64))
    wholes = {
        "auc": click.auc(label, score),
        "gauc": click.gauc(label, score, rows.group).mean,
        "gauc_weighted": click.gauc_weighted(label, score, rows.group).mean,
        "logloss": click.logloss(label, p),
        "ece": click.ece(label, p),
        "f1": click.f1(label, p),
    }
    assert set(wholes) == set(ROW_METRICS)
    for name, whole in wholes.items():
        np.testing.assert_allclose(pooled(name, rows), whole, atol=1e-12, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_rank_metrics_are_means_over_groups(seed: int) -> None:
    rows = random_rows(seed)
    for name in RANK_METRICS:
        of_groups = []
        for group in np.unique(rows.group):
            mine = rows.group == group
            one = Ranks.from_candidates(
                Ragged.from_lists([rows.score[mine]], np.float64),
                Ragged.from_lists([rows.label[mine]], np.int8),
            )
            of_groups.append(measure([name], one)[name][0])
        np.testing.assert_allclose(pooled(name, rows), np.nanmean(of_groups), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_groups_equal_sklearn(seed: int) -> None:
    rows = random_rows(seed)
    own = LabelledRows(rows.label, rows.score, rows.group, rows.group)  # a group is a unit
    values, weights = measure_rows(["gauc", "ndcg@3", "lrap"], own)
    assert weights == {}
    for i, group in enumerate(own.units):
        mine = own.group == group
        y, s = own.label[mine], own.score[mine]
        if 0 < y.sum() < len(y):
            assert values["gauc"][i] == pytest.approx(roc_auc_score(y, s), abs=1e-12)
            assert values["ndcg@3"][i] == pytest.approx(ndcg_score([y], [s], k=3), abs=1e-12)
            lrap = label_ranking_average_precision_score([y], [s])
            assert values["lrap"][i] == pytest.approx(lrap, abs=1e-12)
        else:
            assert np.isnan(values["gauc"][i])
            np.testing.assert_equal(values["lrap"][i], 1.0 if y.all() else np.nan)


def test_probability_metrics_equal_sklearn() -> None:
    rng = np.random.default_rng(3)
    z, label = rng.normal(0, 3, 4000), rng.integers(0, 2, 4000).astype(np.int8)
    unit = rng.integers(0, 100, 4000)
    rows = LabelledRows(label, z, unit, unit)
    assert pooled("logloss", rows) == pytest.approx(log_loss(label, expit(z)), abs=1e-12)
    assert pooled("f1", rows) == pytest.approx(f1_score(label, z >= 0), abs=1e-12)
    assert pooled("auc", rows) == pytest.approx(roc_auc_score(label, z), abs=1e-12)


# -------------------------------------------------------------------------------------- invariance


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    rows = random_rows(seed)
    at = np.random.default_rng(seed).permutation(len(rows))
    other = LabelledRows(rows.label[at], rows.score[at], rows.group[at], rows.unit[at])
    names = [*ROW_METRICS, *RANK_METRICS]
    (values, weights), (again, again_weights) = (measure_rows(names, r) for r in (rows, other))
    np.testing.assert_array_equal(rows.units, other.units)
    for name in names:
        if name in ("auc", "gauc", "gauc_weighted"):  # sums of integers, or in the order of groups
            np.testing.assert_array_equal(again[name], values[name], err_msg=name)
        else:
            np.testing.assert_allclose(again[name], values[name], atol=1e-12, err_msg=name)
    np.testing.assert_equal(again_weights, weights)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([lambda s: 3 * s - 5, lambda s: s**3 + s, expit, np.float32]))
def test_what_looks_at_the_order_alone_ignores_the_scale(seed: int, rising: Any) -> None:
    rows = random_rows(seed)
    other = LabelledRows(rows.label, rising(rows.score), rows.group, rows.unit)
    values, other_values = (measure_rows(BY_ORDER, r)[0] for r in (rows, other))
    np.testing.assert_equal(other_values, values)  # to the last bit


def test_scores_that_differ_beyond_float32_differ() -> None:
    # In float32 they would tie in pairs, and the last two be infinite.
    rows = rows_of([0, 1, 0, 1, 0, 1], [1.0, 1 + 1e-12, -1e-300, 1e-300, 1e200, 1e201])
    pairs = LabelledRows(rows.label, rows.score, np.arange(6) // 2, np.arange(6) // 2)
    np.testing.assert_array_equal(measure_rows(["gauc"], pairs)[0]["gauc"], [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(measure_rows(["hit@1"], pairs)[0]["hit@1"], [1.0, 1.0, 1.0])


def test_ids_far_apart_are_ids() -> None:
    near = random_rows(4)
    far = LabelledRows(near.label, near.score, near.group * 10**12, near.unit * 10**15)
    np.testing.assert_array_equal(far.units, near.units * 10**15)
    np.testing.assert_equal(measure_rows(["gauc", "mrr"], far), measure_rows(["gauc", "mrr"], near))


def test_two_models_asked_the_same_have_the_same_weights() -> None:
    # Otherwise they could not be compared unit by unit.
    one = random_rows(1)
    score = np.random.default_rng(9).normal(size=len(one))
    other = LabelledRows(one.label, score, one.group, one.unit)
    names = [*ROW_METRICS, *RANK_METRICS]
    np.testing.assert_equal(measure_rows(names, other)[1], measure_rows(names, one)[1])


# --------------------------------------------------------------------------- how sure the mean is


def placements(label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the positives and of the negatives, from all pairs."""
    positive, negative = score[label == 1], score[label == 0]
    right = (positive[:, None] > negative) + (positive[:, None] == negative) / 2
    return right.mean(axis=1), right.mean(axis=0)


def test_rows_as_units_have_the_variance_of_delong() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(700) < 0.3).astype(np.int8)
    score = rng.normal(label, 1).round(1)  # with ties
    each = np.arange(700)
    values = measure_rows(["auc"], LabelledRows(label, score, each, each))[0]["auc"]
    v10, v01 = placements(label, score)
    m, n = len(v10), len(v01)
    # Sums of squares agree exactly; DeLong divides them by m - 1 and n - 1 instead of m and n.
    squares = ((values - values.mean()) ** 2).sum() / 700**2
    assert squares == pytest.approx(v10.var() / m + v01.var() / n, rel=1e-10)
    delong = v10.var(ddof=1) / m + v01.var(ddof=1) / n
    assert values.var(ddof=1) / 700 == pytest.approx(delong, rel=1 / m)


def clustered(rng: np.random.Generator, users: int) -> LabelledRows:
    """Users differ in how much they click and in how they are scored; a user's rows are alike."""
    size = rng.integers(4, 25, users)
    unit = np.repeat(np.arange(users), size)
    bias, offset = rng.normal(-0.5, 1, users)[unit], rng.normal(0, 0.8, users)[unit]
    taste = rng.normal(size=len(unit))
    label = (rng.random(len(unit)) < expit(bias + taste)).astype(np.int8)
    score = bias / 2 + offset + taste + rng.normal(size=len(unit))
    return LabelledRows(label, score, unit, unit)


def test_users_as_units_have_the_variance_of_obuchowski() -> None:
    rows = clustered(np.random.default_rng(2), 80)
    both = [u for u in range(80) if len(set(rows.label[rows.unit == u].tolist())) == 2]
    kept = np.isin(rows.unit, both)  # so that all her cluster counts are one
    rows = LabelledRows(rows.label[kept], rows.score[kept], rows.group[kept], rows.unit[kept])
    values = measure_rows(["auc"], rows)[0]["auc"]
    v10, v01 = placements(rows.label, rows.score)
    area, m, n, clusters = v10.mean(), len(v10), len(v01), len(both)
    positives, negatives = rows.unit[rows.label == 1], rows.unit[rows.label == 0]
    a = np.array([(v10[positives == u] - area).sum() for u in both])
    b = np.array([(v01[negatives == u] - area).sum() for u in both])
    share = clusters / (clusters - 1)
    s10, s01, s11 = share * (a @ a) / m, share * (b @ b) / n, share * (a @ b)
    variance = s10 / m + s01 / n + 2 * s11 / (m * n)
    assert values.var(ddof=1) / clusters == pytest.approx(variance, rel=1e-10)


@pytest.mark.parametrize("name", ["auc", "f1", "logloss", "ece"])
def test_the_interval_is_that_of_resampled_users(name: str) -> None:
    rows = clustered(np.random.default_rng(5), 400)
    whole = {
        "auc": click.auc,
        "f1": lambda y, s: click.f1(y, expit(s)),
        "logloss": lambda y, s: click.logloss(y, expit(s)),
        "ece": lambda y, s: click.ece(y, expit(s)),
    }[name]
    rng = np.random.default_rng(6)
    at = Ragged.from_rows(rows.unit, np.arange(len(rows)), 400)
    drawn = []
    for _ in range(1500):
        picked = at[rng.integers(0, 400, 400)].values
        drawn.append(whole(rows.label[picked], rows.score[picked]))
    values, weights = measure_rows([name], rows)
    got = bootstrap(values[name], rng, resamples=4000, weights=weights.get(name))
    assert got.mean == pytest.approx(whole(rows.label, rows.score), rel=1e-9)
    half = (got.high - got.low) / 2
    assert half == pytest.approx(1.96 * np.std(drawn), rel=0.06)  # its own error is 2 %
    if name != "ece":  # resampled, an ECE is larger: noise is absolute
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert (got.low, got.high) == pytest.approx((low, high), abs=0.1 * half)


def test_coverage_of_the_auc_of_clustered_rows() -> None:
    generator = np.random.default_rng(7)
    everyone = clustered(generator, 100_000)
    truth = click.auc(everyone.label, everyone.score)
    inside, naive = 0, 0
    for _ in range(200):
        rows = clustered(generator, 150)
        found = bootstrap(measure_rows(["auc"], rows)[0]["auc"], generator, resamples=300)
        each = np.arange(len(rows))
        alone = LabelledRows(rows.label, rows.score, each, each)
        wrong = bootstrap(measure_rows(["auc"], alone)[0]["auc"], generator, resamples=300)
        assert found.mean == pytest.approx(wrong.mean)
        inside += found.low <= truth <= found.high
        naive += wrong.low <= truth <= wrong.high
    assert 0.9 <= inside / 200 <= 0.985  # 95 % within 3 sigma
    assert naive < inside


# -------------------------------------------------------------------------------- what is refused


def refused(message: str, **columns: Any) -> None:
    good = {
        "label": np.array([1, 0], np.int8),
        "score": np.array([0.1, 0.2]),
        "group": np.array([0, 0]),
        "unit": np.array([0, 0]),
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        LabelledRows(**(good | columns))


def test_rows_that_cannot_be_measured_are_refused() -> None:
    refused("score (1,) does not fit 2 rows", score=np.array([0.1]))
    refused("label (2, 1) does not fit 2 rows", label=np.zeros((2, 1), np.int8))
    refused("label[1] is 2: a label is 0 or 1", label=np.array([1, 2]))
    refused("label[0] is nan: a label is 0 or 1", label=np.array([np.nan, 1]))
    refused("score[1] is nan: a score must be a number", score=np.array([0.1, np.nan]))
    refused("score must hold floating numbers, got int64", score=np.array([1, 2]))
    refused("group must hold integers, got float64", group=np.array([0.0, 1.0]))
    refused("unit must hold integers, got <U1", unit=np.array(["a", "b"]))
    refused("group 0 has rows of unit 4 and of unit 5", unit=np.array([4, 5]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("coverage@10", "no metric 'coverage@10': it is computed from lists"),
        ("ndcg_pairwise@5", "use ndcg@5"),
        ("gauk", "did you mean gauc"),
    ],
)
def test_metrics_that_rows_do_not_have_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        measure_rows([name], rows_of([1, 0], [0.2, 0.1]))
    assert message in str(caught.value)


def test_log_odds_of_probabilities_give_the_numbers_of_the_probabilities() -> None:
    rng = np.random.default_rng(8)
    p, label = rng.random(500), rng.integers(0, 2, 500).astype(np.int8)
    rows = LabelledRows(label, logit(p), np.arange(500), np.arange(500))
    assert pooled("logloss", rows) == pytest.approx(click.logloss(label, p), rel=1e-12)
    assert pooled("ece", rows) == pytest.approx(click.ece(label, p), rel=1e-9)
