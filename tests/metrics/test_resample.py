from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tastebench.metrics.resample import LARGE, resampled_means


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_models_share_resamples() -> None:
    values = rng(1).random((40, 1))
    means = resampled_means(
        np.concatenate([values, values + 0.25, 1 - values], 1), None, rng(), 500
    )
    np.testing.assert_allclose(means[:, 1], means[:, 0] + 0.25)
    np.testing.assert_allclose(means[:, 2], 1 - means[:, 0])


def test_hits_follow_the_binomial() -> None:
    values = np.repeat([1.0, 0.0], [3, 7])[:, None]
    means = resampled_means(values, None, rng(), 50_000)[:, 0]
    seen = np.bincount(np.rint(10 * means).astype(int), minlength=11) / 50_000
    np.testing.assert_allclose(seen, binom.pmf(np.arange(11), 10, 0.3), atol=0.01)


def test_weights_and_undefined_units() -> None:
    nan = np.nan
    values = np.array([[nan, nan], [0.2, nan], [0.4, 1.0], [0.9, 0.5]])
    weights = np.array([100.0, 1, 2, 3])
    means = resampled_means(values, weights, rng(), 20_000)
    # Three units are drawn from; the second model has no value if all draws are the first of them.
    draws = np.stack(np.meshgrid(*[[1, 2, 3]] * 3), -1).reshape(-1, 3)
    for model in (0, 1):
        known = ~np.isnan(values[draws, model])
        total = (known * weights[draws]).sum(axis=1)
        part = (np.nan_to_num(values[draws, model]) * weights[draws] * known).sum(axis=1)
        exact = part[total > 0] / total[total > 0]
        got = means[~np.isnan(means[:, model]), model]
        assert got.mean() == pytest.approx(exact.mean(), abs=0.01)
        assert set(np.round(got, 12)) == set(np.round(exact, 12))
    assert np.isnan(means[:, 1]).mean() == pytest.approx(1 / 27, abs=0.01)
    assert not np.isnan(means[:, 0]).any()


@pytest.mark.parametrize("n", [60, LARGE + 1])
def test_equal_models_are_equal_to_the_last_bit(n: int) -> None:
    values = rng(2).random((n, 9))
    values[:, [2, 5, 8]] = values[:, [0]]
    means = resampled_means(values, rng(3).random(n) + 1, rng(), 100)
    for model in (2, 5, 8):
        np.testing.assert_array_equal(means[:, model], means[:, 0])
    assert len(np.unique(means[0])) == 6


def test_many_units_are_as_good_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    hard = rng(4).random(LARGE + 1)
    values = np.stack([hard, hard * rng(5).random(LARGE + 1), rng(6).random(LARGE + 1)], 1)
    weights = rng(7).integers(1, 6, LARGE + 1) * (0.5 + hard)
    normal = resampled_means(values, weights, rng(), 1000)
    monkeypatch.setattr("tastebench.metrics.resample.LARGE", 10**9)
    drawn = resampled_means(values, weights, rng(), 1000)
    for one, other in ((0, 1), (1, 2)):
        gap, want = normal[:, one] - normal[:, other], drawn[:, one] - drawn[:, other]
        assert gap.std() == pytest.approx(want.std(), rel=0.1)
        assert gap.mean() == pytest.approx(want.mean(), abs=0.2 * want.std())
        for share in (0.025, 0.975):
            ends = np.quantile(gap, share), np.quantile(want, share)
            assert ends[0] == pytest.approx(ends[1], abs=0.3 * want.std())


def test_nothing_to_draw_from() -> None:
    nan = np.nan
    assert np.isnan(resampled_means(np.empty((0, 2)), None, rng(), 3)).all()
    means = resampled_means(np.array([[0.5, nan], [0.7, nan]]), None, rng(), 3)
    assert np.isnan(means[:, 1]).all() and not np.isnan(means[:, 0]).any()
    assert resampled_means(np.array([[0.5]]), None, rng(), 3).tolist() == [[0.5]] * 3


def test_the_same_seed_gives_the_same_means() -> None:
    values = rng(8).random((30, 2))
    np.testing.assert_array_equal(
        resampled_means(values, None, rng(1), 70), resampled_means(values, None, rng(1), 70)
    )
    assert (
        resampled_means(values, None, rng(1), 70) != resampled_means(values, None, rng(2), 70)
    ).any()
