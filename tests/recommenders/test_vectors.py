"""Vectors as models take them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tastebench.contracts import Items
from tastebench.errors import DataError, UsageError
from tastebench.recommenders.vectors import adapted


def items(n: int, d: int, rank: int | None = None) -> Items:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, rank or d)) @ rng.normal(size=(rank or d, d))
    return Items(n=n, vector=vectors.astype(np.float32))


@pytest.mark.parametrize(
    ("n", "d", "rank", "width"),
    [
        (300, 200, None, 128),
        (300, 40, None, 40),
        (30, 200, None, 29),  # 30 centred vectors span 29 dimensions
        (300, 200, 17, 17),
        (300, 200, 1, 1),
    ],
)
def test_the_default_width_is_what_the_vectors_allow(
    n: int, d: int, rank: int | None, width: int
) -> None:
    vectors, note = adapted(items(n, d, rank), "pca", None)
    assert vectors.shape == (n, width)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.cov(vectors.T).reshape(width, width), np.eye(width), atol=2e-3)
    assert note == f"item vectors whitened by PCA from {d} to {width} dimensions"


def test_a_width_that_was_asked_for_is_given_or_refused() -> None:
    assert adapted(items(50, 20), "pca", 7)[0].shape == (50, 7)
    with pytest.raises(UsageError, match="21"):
        adapted(items(50, 20), "pca", 21)
    with pytest.raises(DataError, match="vary in 5 directions"):
        adapted(items(50, 20, rank=5), "pca", 7)


def test_equal_vectors_are_refused() -> None:
    with pytest.raises(DataError, match=r"all vectors are equal"):
        adapted(Items(n=9, vector=np.ones((9, 4), np.float32)), "pca", None)


def test_vectors_left_alone_are_a_copy() -> None:
    given = items(9, 4)
    assert given.vector is not None
    given.vector.setflags(write=False)
    vectors, note = adapted(given, "none", None)
    assert np.array_equal(vectors, given.vector)
    assert vectors.flags.writeable
    assert note == "item vectors as encoded, 4 dimensions"
    assert adapted(given, "none", 4)[0].shape == (9, 4)
    with pytest.raises(UsageError, match=r"dimensions=3(.|\n)*use adaptor=pca"):
        adapted(given, "none", 3)


@pytest.mark.parametrize(("asked", "d", "width"), [(3, 20, 3), (None, 20, 20), (None, 200, 128)])
def test_nested_vectors_can_be_cut(asked: int | None, d: int, width: int) -> None:
    """T9: the first coordinates, at unit length again."""
    given = replace(items(9, d), nested=True)
    assert given.vector is not None
    vectors, note = adapted(given, "mrl", asked)
    cut = given.vector[:, :width]
    np.testing.assert_allclose(
        vectors, cut / np.linalg.norm(cut, axis=1, keepdims=True), rtol=1e-6, atol=1e-7
    )
    assert vectors.dtype == np.float32
    assert note == f"item vectors cut from {d} to {width} dimensions, at unit length"


def test_other_vectors_cannot_be_cut() -> None:
    """T9: refused for a model that is not nested."""
    with pytest.raises(UsageError, match=r"not trained with nested(.|\n)*pca"):
        adapted(items(9, 20), "mrl", 3)


def test_no_vectors_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"needs item vectors(.|\n)*encoder"):
        adapted(Items(n=3), "pca", None)
