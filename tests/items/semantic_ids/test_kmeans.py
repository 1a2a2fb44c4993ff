"""K-means against scikit-learn, and where there is little to cluster."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from tastebench.items.semantic_ids import kmeans as module
from tastebench.items.semantic_ids.kmeans import Clusters, kmeans


def blobs(n=2000, d=16, k=64, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    return (centres[rng.integers(k, size=n)] + spread * rng.normal(size=(n, d))).astype(np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def inertia(X, clusters):
    return float(((X - clusters.centres[clusters.nearest(X)]) ** 2).sum())


def perplexity(codes):
    share = np.bincount(codes) / len(codes)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


@pytest.mark.parametrize(("size", "spread"), [(64, 0.3), (64, 1.0), (128, 0.1)])
def test_the_error_is_that_of_scikit_learn(size, spread):
    X = blobs(spread=spread)
    theirs = np.mean([KMeans(size, n_init=1, random_state=i).fit(X).inertia_ for i in range(3)])
    assert inertia(X, kmeans(X, size, rng())) < 1.03 * theirs


def test_residual_levels_are_used_alike_at_no_higher_error_than_scikit_learn_has():
    random = rng(0)
    scale = np.geomspace(1, 0.1, 24)
    centres = random.normal(size=(150, 24)) * scale
    which = random.choice(150, 3000, p=random.dirichlet(np.full(150, 0.3)))
    X = centres[which] + 0.5 * scale * random.normal(size=(3000, 24))
    ours = theirs = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    for level in range(3):
        own = kmeans(ours, 64, rng(level))
        codes = own.nearest(ours)
        ours = ours - own.centres[codes]
        other = KMeans(64, n_init=1, random_state=level).fit(theirs)
        theirs = theirs - other.cluster_centers_[other.labels_]
        assert perplexity(codes) > 55
    assert (ours**2).sum() < 1.01 * (theirs**2).sum()


def test_of_two_starts_the_better_is_taken():
    X = blobs(k=20, spread=0.01)  # clear blobs: prices only get in the way
    for size in (16, 20, 40):
        chosen, plain = kmeans(X, size, rng()), kmeans(X, size, rng(), priced=0)
        assert inertia(X, chosen) <= inertia(X, plain) * 1.001


def test_one_iteration_by_hand():
    # Owners 0, 0, 1: means (1, 0) and (8, 0); a third centre that nobody owns takes the worst off.
    X = np.array([[0, 0], [2, 0], [8, 0]], dtype=np.float32)
    before = Clusters(np.array([[0, 0], [9, 0], [99, 0]], np.float32), np.zeros(3))
    owner, distance = module._assign(X, module._squares(X), before)
    assert owner.tolist() == [0, 0, 1]
    assert distance.tolist() == [0, 4, 1]
    after = module._recentred(X, owner, distance, before)
    assert after.centres.tolist() == [[1, 0], [8, 0], [2, 0]]


def test_prices_by_hand():
    # Rows at 0, 0, 0 and 1 ask for the centres 0 and 1 by e^-d at entropy 1: each row at 0 asks for
    # 1 / (1 + 1/e) of the first, the row at 1 for the rest; the fair share is 2.
    X = np.array([[0], [0], [0], [1]], dtype=np.float32)
    clusters = Clusters(np.array([[0], [1]], np.float32), np.zeros(2))
    own = 1 / (1 + np.exp(-1))
    asked = np.array([3 * own + 1 - own, 3 * (1 - own) + own])
    expected = np.log(asked / 2)
    np.testing.assert_allclose(
        module._repriced(X, clusters, 1.0).bias, expected - expected.min(), rtol=1e-6
    )


@pytest.mark.parametrize("n", [1, 2, 5, 17])
def test_fewer_rows_than_centres_have_one_each(n):
    X = blobs(n=n)
    clusters = kmeans(X, 17, rng())
    codes = clusters.nearest(X)
    assert len(set(codes.tolist())) == n
    np.testing.assert_allclose(clusters.centres[codes], X, atol=1e-5)
    assert np.isfinite(clusters.centres).all()
    assert np.isinf(clusters.bias).sum() == 17 - n
    # What is near nothing has one of those in use.
    assert np.isin(clusters.nearest(100 * blobs(n=50, seed=9)), codes).all()


def test_equal_rows_share_a_centre_and_leave_the_others_empty():
    X = np.repeat(blobs(n=3), 40, axis=0)
    clusters = kmeans(X, 8, rng())
    assert len(set(clusters.nearest(X).tolist())) == 3
    assert inertia(X, clusters) < 1e-8
    zeros = kmeans(np.zeros((5, 4), np.float32), 3, rng())
    assert set(zeros.nearest(np.zeros((5, 4), np.float32)).tolist()) == {0}


def test_no_cluster_is_empty_where_rows_differ():
    X = blobs(n=500, k=3, spread=0.01)
    assert len(np.unique(kmeans(X, 64, rng()).nearest(X))) == 64


def test_balance_uses_centres_alike_for_some_error():
    random = rng(1)
    X = (random.normal(size=(4000, 8)) * random.lognormal(0, 0.5, size=(4000, 1))).astype("f")
    plain, even = kmeans(X, 64, rng()), kmeans(X, 64, rng(), balance=True)
    assert perplexity(even.nearest(X)) > 60 > perplexity(plain.nearest(X))
    assert inertia(X, plain) < inertia(X, even) < 1.5 * inertia(X, plain)


def test_the_error_falls_once_there_are_no_prices():
    errors = kmeans(blobs(), 32, rng(), tolerance=0, iterations=20).errors
    assert len(errors) >= 2
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(errors))


def test_a_seed_gives_the_same_centres_on_one_thread_and_two():
    X = blobs(n=5000, d=48)
    runs = []
    for threads in (1, 2, 1):
        with threadpool_limits(threads):
            runs.append(kmeans(X, 64, rng(5)))
    for run in runs[1:]:
        np.testing.assert_array_equal(run.centres, runs[0].centres)
    assert not np.array_equal(kmeans(X, 64, rng(6)).centres, runs[0].centres)


def test_chunks_make_no_difference(monkeypatch):
    X = blobs(n=400)
    whole = kmeans(X, 16, rng())
    monkeypatch.setattr(module, "_CELLS", 16 * 7)
    np.testing.assert_allclose(kmeans(X, 16, rng()).centres, whole.centres, atol=1e-5)
