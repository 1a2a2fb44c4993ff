"""Closed forms under ties against the definitions, over every order that the ties allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.metrics import ranking
from tastebench.metrics.first import expected_reciprocal
from tastebench.metrics.harmonic import harmonic_between
from tastebench.metrics.measure import RANKING
from tastebench.metrics.ranks import Ranks
from tastebench.ragged import Ragged

Definition = Callable[[Sequence[float], float, int | None], float]


def expected(
    definition: Definition, scores: Sequence[float], gains: Sequence[float], k: int | None
) -> float:
    """The mean of `definition` over all orders of the candidates that are sorted by score.

    Sorting every permutation stably visits each order of the ties equally often.
    """
    total = sum(gains)
    found = [
        definition([gains[i] for i in sorted(order, key=lambda i: -scores[i])], total, k)
        for order in permutations(range(len(scores)))
    ]
    return math.fsum(found) / len(found)


def _relevant(gains: Sequence[float]) -> int:
    return sum(gain > 0 for gain in gains)


def _dcg(gains: Sequence[float], k: int | None) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:k]))


def ndcg(gains: Sequence[float], total: float, k: int | None) -> float:
    return _dcg(gains, k) / _dcg(sorted(gains, reverse=True), k)


def recall(gains: Sequence[float], total: float, k: int | None) -> float:
    return _relevant(gains[:k]) / _relevant(gains)


def recall_capped(gains: Sequence[float], total: float, k: int | None) -> float:
    assert k is not None
    return _relevant(gains[:k]) / min(k, _relevant(gains))


def precision(gains: Sequence[float], total: float, k: int | None) -> float:
    assert k is not None
    return _relevant(gains[:k]) / k


def hit(gains: Sequence[float], total: float, k: int | None) -> float:
    return float(_relevant(gains[:k]) > 0)


def mrr(gains: Sequence[float], total: float, k: int | None) -> float:
    return next((1 / (place + 1) for place, gain in enumerate(gains[:k]) if gain > 0), 0.0)


def mrr_allpos(gains: Sequence[float], total: float, k: int | None) -> float:
    summed = sum(1 / (place + 1) for place, gain in enumerate(gains[:k]) if gain > 0)
    return summed / _relevant(gains)


def ndcg_pairwise(gains: Sequence[float], total: float, k: int | None) -> float:
    found = [place for place, gain in enumerate(gains) if gain > 0]
    shown = (place for place in found if k is None or place < k)
    return sum(1 / math.log2(place + 2) for place in shown) / len(found)


def average_precision(gains: Sequence[float], total: float, k: int | None) -> float:
    summed = sum(
        _relevant(gains[: place + 1]) / (place + 1)
        for place, gain in enumerate(gains[:k])
        if gain > 0
    )
    return summed / _relevant(gains)


DEFINITIONS: dict[str, Definition] = {
    "ndcg": ndcg,
    "ndcg_pairwise": ndcg_pairwise,
    "recall": recall,
    "recall_capped": recall_capped,
    "precision": precision,
    "hit": hit,
    "mrr": mrr,
    "mrr_allpos": mrr_allpos,
    "map": average_precision,
}


def ranks_of(*rows: tuple[Sequence[float], Sequence[float]]) -> Ranks:
    """Ranks of (scores, grades) of each query."""
    return Ranks.from_candidates(
        Ragged.from_lists([scores for scores, _ in rows], np.float64),
        Ragged.from_lists([grades for _, grades in rows], np.float64),
    )


queries = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6).filter(
    lambda rows: any(gain for _, gain in rows)
)


@settings(max_examples=40, deadline=None)
@given(st.lists(queries, min_size=1, max_size=3), st.one_of(st.none(), st.integers(1, 7)))
def test_every_metric_is_the_mean_over_all_orders_of_the_ties(
    rows: list[list[tuple[int, int]]], k: int | None
) -> None:
    ranks = ranks_of(*[([s for s, _ in row], [g for _, g in row]) for row in rows])
    for name, definition in DEFINITIONS.items():
        if k is None and name in {"recall_capped", "precision"}:
            continue
        want = [expected(definition, *zip(*row, strict=True), k) for row in rows]
        np.testing.assert_allclose(RANKING[name](ranks, k), want, atol=1e-12, err_msg=name)


# ----------------------------------------------------------------- closed forms at hard sizes


def first_reciprocal(s: int, t: int, m: int, k: int | None) -> float:
    total = sum(
        Fraction(math.comb(t - j, m - 1), s + j)
        for j in range(1, t - m + 2)
        if k is None or s + j <= k
    )
    return float(total / math.comb(t, m))


@pytest.mark.parametrize("m", [1, 2, 3, 7, 20, 90, 150, 199, 200])
@pytest.mark.parametrize("s", [0, 1, 7, 100, 5000, 10**6])
def test_first_of_many_tied_items_to_the_last_digits(s: int, m: int) -> None:
    t = 200
    for k in (None, s + 1, s + 40, s + t):
        got = expected_reciprocal(np.array([s]), np.array([t]), np.array([m]), k)[0]
        assert got == pytest.approx(first_reciprocal(s, t, m, k), rel=1e-10), k


def test_first_of_tied_items_in_a_catalogue() -> None:
    # Two of a million tied items: E[1 / J] = 2 ((n + 1) (H_n - 1) ... ) by summation by parts.
    n = 10**6
    j = np.arange(1, n, dtype=np.float64)
    direct = math.fsum((n - j) / j) / math.comb(n, 2)
    got = expected_reciprocal(np.array([0]), np.array([n]), np.array([2]), None)[0]
    assert got == pytest.approx(direct, rel=1e-10)


def test_hits_of_tied_items_by_counting_subsets() -> None:
    t, m, s = 9, 4, 3
    for k in range(1, 14):
        places = list(combinations(range(1, t + 1), m))
        want = sum(s + places_[0] <= k for places_ in places) / len(places)
        row = ([2.0] * s + [1.0] * t, [0] * s + [1] * m + [0] * (t - m))
        assert ranking.hit(ranks_of(row), k)[0] == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (0, 1), (0, 64), (63, 65), (10, 3000), (10**6, 10**6 + 2), (0, 10**5)]
)
def test_harmonic_sums(low: int, high: int) -> None:
    want = float(sum(Fraction(1, r) for r in range(low + 1, min(high, low + 3000) + 1)))
    if high - low > 3000:
        want = math.fsum(1 / r for r in range(low + 1, high + 1))
    got = harmonic_between(np.array([low]), np.array([high]))[0]
    assert got == pytest.approx(want, rel=1e-14, abs=0)
