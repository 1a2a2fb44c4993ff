from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Items, Queries
from tastebench.errors import DataError, UsageError
from tastebench.recommenders import get_recommender
from tastebench.testing.tiny import tiny

CARD = get_recommender("dot")
PROBLEM = tiny("search").problem
VECTORS = np.array([[3, 4], [0, 2], [-1, 0], [0, 0]], np.float32)


def queries(*vectors: list[float]) -> Queries:
    return Queries(len(vectors), vector=np.array(vectors, np.float32))


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        ("cosine", [[0.6, 0, -1, 0], [0.8, 1, 0, 0], [0, 0, 0, 0]]),
        ("dot", [[6, 0, -2, 0], [4, 2, 0, 0], [0, 0, 0, 0]]),
    ],
)
def test_similarity_by_hand(
    similarity: str, expected: list[list[float]], fitted: Callable[..., Any]
) -> None:
    recommender = fitted(CARD, PROBLEM, Items(n=4, vector=VECTORS), similarity=similarity)
    scores = recommender.scores(queries([2, 0], [0, 1], [0, 0]), slice(0, 4))
    np.testing.assert_allclose(scores, expected, atol=1e-7)
    part = recommender.scores(queries([2, 0]), slice(1, 3))
    np.testing.assert_allclose(part, [expected[0][1:3]], atol=1e-7)


def test_vectors_are_used_where_they_lie(fitted: Callable[..., Any], tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    recommender = fitted(CARD, PROBLEM, Items(n=4, vector=mapped))
    assert recommender.vectors is mapped
    assert recommender.scores(queries([0, 3]), slice(1, 2)).tolist() == [[1.0]]


def test_what_is_missing_or_broken_is_named(fitted: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="needs item vectors"):
        fitted(CARD, PROBLEM, Items(n=4))
    broken = VECTORS.copy()
    broken[2, 1] = np.nan
    with pytest.raises(DataError, match="vector of item 2 is not finite"):
        fitted(CARD, PROBLEM, Items(n=4, vector=broken))
    recommender = fitted(CARD, PROBLEM, Items(n=4, vector=VECTORS))
    with pytest.raises(UsageError, match="needs encoded queries"):
        recommender.scores(Queries(1, text=["tea"]), slice(0, 4))
