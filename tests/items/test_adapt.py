from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.errors import DataError, UsageError
from tastebench.items import adapt as module
from tastebench.items.adapt import adapt, mrl_truncate, pca_whiten


def normal(n, d, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1, 0.01, d)
    return (rng.normal(size=(n, d)) * scales @ rng.normal(size=(d, d)) + 3).astype(np.float32)


@pytest.mark.parametrize(
    ("n", "d", "width"), [(500, 24, 24), (500, 24, 8), (20, 60, 12), (9, 8, 8)]
)
def test_whitened_vectors_have_mean_zero_and_covariance_one(n, d, width):
    """T8: means 0 and sample covariance I to 1e-5."""
    values = pca_whiten(normal(n, d), width).values.astype(np.float64)
    assert values.shape == (n, width)
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(values.T, ddof=1), np.eye(width), atol=1e-5)


def test_whitening_by_hand():
    # Centred: (-2, 0), (2, 0), (0, -1), (0, 1); variances 8/3 and 2/3, ddof = 1.
    X = np.array([[3, 5], [7, 5], [5, 4], [5, 6]], dtype=np.float32)
    whitened = pca_whiten(X, 2)
    np.testing.assert_allclose(whitened.mean, [5, 5])
    np.testing.assert_allclose(whitened.components, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(whitened.variance, [8 / 3, 2 / 3])
    a = 1.5**0.5
    np.testing.assert_allclose(whitened.values, [[-a, 0], [a, 0], [0, -a], [0, a]], atol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(300, 16), (12, 40)])
def test_it_is_scikit_learns_exact_pca_up_to_sign(n, d):
    from sklearn.decomposition import PCA

    X = normal(n, d, seed=4)
    reference = PCA(6, whiten=True, svd_solver="full").fit(X.astype(np.float64))
    ours = pca_whiten(X, 6)
    np.testing.assert_allclose(ours.variance, reference.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(
        np.abs(ours.values), np.abs(reference.transform(X.astype(np.float64))), atol=1e-5
    )


def test_signs_are_fixed_and_runs_agree():
    """T8: the same in every run."""
    X = normal(200, 10)
    first, second = pca_whiten(X, 5), pca_whiten(X.copy(), 5)
    np.testing.assert_array_equal(first.values, second.values)
    largest = np.abs(first.components).argmax(axis=0)
    assert (first.components[largest, np.arange(5)] > 0).all()


def test_both_ways_to_the_components_agree(monkeypatch):
    X = normal(30, 12)
    covariance = module._principal(X, X.mean(axis=0, dtype=np.float64))
    singular = module._principal(np.pad(X, ((0, 0), (0, 40))), np.pad(X.mean(axis=0), (0, 40)))
    np.testing.assert_allclose(covariance[0], singular[0][:12], rtol=1e-5)


def test_chunks_make_no_difference(monkeypatch, tmp_path):
    X = normal(100, 7)
    whole = pca_whiten(X, 4)
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr(module, "_CHUNK", 9)
    parts = pca_whiten(np.load(tmp_path / "X.npy", mmap_mode="r"), 4)
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-5)


def test_other_vectors_go_through_the_same_map():
    X = normal(100, 7)
    whitened = pca_whiten(X, 4)
    np.testing.assert_array_equal(whitened.transform(X[10:20]), whitened.values[10:20])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_whitening_forgets_scale_and_place(seed, scale, shift):
    X = normal(60, 5, seed).astype(np.float64)
    np.testing.assert_allclose(
        pca_whiten(X, 3).values, pca_whiten(X * scale + shift, 3).values, atol=1e-4
    )


@pytest.mark.parametrize(("n", "d", "width"), [(10, 4, 5), (3, 8, 4), (10, 4, 0), (10, 4, -1)])
def test_a_width_there_cannot_be_is_an_error_not_silence(n, d, width):
    """T8: refused beyond min(N, d)."""
    with pytest.raises(UsageError, match=f"width {width} of {n} vectors of width {d}"):
        pca_whiten(normal(n, d), width)


@pytest.mark.parametrize(
    ("X", "width", "rank"),
    [
        # n centred vectors span n - 1 directions.
        (normal(6, 10), 6, 5),
        (normal(10, 10), 10, 9),
        # A column that repeats another, one that is constant, one that is a rounded sum.
        (np.repeat(normal(50, 3), 2, axis=1), 4, 3),
        (np.pad(normal(50, 3), ((0, 0), (0, 2)), constant_values=7), 5, 3),
        (np.column_stack([normal(50, 2), normal(50, 2).sum(axis=1)]), 3, 2),
        # Few distinct texts.
        (np.repeat(normal(4, 20), 10, axis=0), 8, 3),
        (np.ones((9, 5), dtype=np.float32), 1, 0),
    ],
)
def test_too_few_directions_is_an_error_not_noise(X, width, rank):
    with pytest.raises(DataError, match=f"vary in {rank} directions"):
        pca_whiten(X, width)
    if rank:
        assert pca_whiten(X, rank).values.shape == (len(X), rank)


def test_truncation_keeps_the_first_coordinates_at_unit_length():
    """T9: a prefix, at unit length."""
    X = np.array([[3, 4, 12], [0, 0, 1], [1, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(
        mrl_truncate(X, 2, nested=True), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6
    )


def test_truncation_is_refused_for_models_not_trained_for_it():
    """T9: only for nested dimensions."""
    with pytest.raises(UsageError, match="not trained with nested dimensions"):
        mrl_truncate(normal(5, 4), 2, nested=False)
    with pytest.raises(UsageError, match="nested"):
        adapt(normal(5, 4), "mrl", 2)


@pytest.mark.parametrize("width", [0, 5, -2])
def test_truncation_to_a_width_there_is_not_is_refused(width):
    with pytest.raises(UsageError, match=f"cannot keep {width} of 4 coordinates"):
        mrl_truncate(normal(5, 4), width, nested=True)


def test_adapt_chooses():
    X = normal(40, 6)
    np.testing.assert_array_equal(adapt(X, "pca", 3), pca_whiten(X, 3).values)
    np.testing.assert_array_equal(adapt(X, "mrl", 3, True), mrl_truncate(X, 3, nested=True))
    np.testing.assert_array_equal(adapt(X, "none", 3), X)
    with pytest.raises(UsageError, match="unknown adaptor"):
        adapt(X, "tsne", 3)
