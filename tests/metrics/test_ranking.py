from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from tastebench.contracts import Ranking
from tastebench.metrics import ranking
from tastebench.metrics.measure import RANKING, measure, weigh
from tastebench.metrics.ranks import UNRANKED, Ranks
from tastebench.ragged import Ragged


def ranks_of(*queries: tuple[list[float], list[float]]) -> Ranks:
    """Ranks of (scores, labels) of each query."""
    return Ranks.from_candidates(
        Ragged.from_lists([scores for scores, _ in queries], np.float64),
        Ragged.from_lists([labels for _, labels in queries], np.float64),
    )


def at(*ranks: int, candidates: int = 200) -> Ranks:
    """One query with relevant items at these ranks and no ties."""
    labels = np.zeros(candidates)
    labels[np.array(ranks) - 1] = 1
    return ranks_of((list(range(candidates, 0, -1)), labels.tolist()))


# ------------------------------------------------------------------------------- worked by hand


@pytest.mark.parametrize(
    ("rank", "value"), [(1, 1.0), (2, 0.63093), (100, 0.15019), (101, 0.0)], ids=str
)
def test_ndcg_of_one_relevant_item(rank: int, value: float) -> None:
    """T10, and the same pair by pair: one answer is one pair."""
    assert ranking.ndcg(at(rank), 100)[0] == pytest.approx(value, abs=5e-6)
    assert ranking.ndcg_pairwise(at(rank), 100)[0] == pytest.approx(value, abs=5e-6)


LOG3 = 1 / math.log2(3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ndcg@10", 1.5 / (1 + LOG3)),  # 0.91972
        ("ndcg_pairwise@10", 1.5 / 2),  # ranks 1 and 3, each of which could have been 1
        ("ndcg_pairwise@2", 1 / 2),
        ("ndcg@2", 1 / (1 + LOG3)),
        ("ndcg@1", 1.0),
        ("ndcg", 1.5 / (1 + LOG3)),
        ("recall@1", 1 / 2),
        ("recall@2", 1 / 2),
        ("recall@3", 1.0),
        ("recall_capped@1", 1.0),
        ("precision@3", 2 / 3),
        ("precision@10", 2 / 10),
        ("hit@1", 1.0),
        ("mrr", 1.0),
        ("mrr_allpos", (1 + 1 / 3) / 2),
        ("mrr_allpos@2", 1 / 2),
        ("mrr_pairwise", (1 + 1 / 3) / 2),
        ("recall_pairwise@1", 1 / 2),
        ("map", (1 + 2 / 3) / 2),
        ("map@2", 1 / 2),
        ("lrap", (1 + 2 / 3) / 2),
    ],
)
def test_two_relevant_items_at_ranks_1_and_3(name: str, value: float) -> None:
    """T11."""
    assert measure([name], at(1, 3))[name][0] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # Labels 1 0 1 0 0 with scores in falling order.
        ("lrap", 0.8333),
        ("mrr_allpos", 0.6667),
        ("mrr", 1.0),
        ("ndcg@2", 0.6131),
    ],
)
def test_the_worked_check_of_the_published_code(name: str, value: float) -> None:
    ranks = ranks_of(([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 0, 0]))
    assert measure([name], ranks)[name][0] == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # Labels 0 0 1 1, all scores equal: six equally likely places of the two.
        ("lrap", 1 / 2),
        ("ndcg@1", 1 / 2),
        ("hit@1", 1 / 2),
        ("hit@2", 5 / 6),  # all but both in the last two places
        ("hit@3", 1.0),
        ("recall@1", 1 / 4),
        ("precision@1", 1 / 2),
        ("mrr", 3 / 6 * 1 + 2 / 6 / 2 + 1 / 6 / 3),
        ("mrr@1", 3 / 6),
        ("mrr@2", 3 / 6 + 2 / 6 / 2),
        ("mrr_allpos", (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        # pairs of places 12 13 14 23 24 34
        ("map", np.mean([1, 5 / 6, 3 / 4, (1 / 2 + 2 / 3) / 2, 1 / 2, (1 / 3 + 1 / 2) / 2])),
    ],
)
def test_four_tied_candidates_two_of_them_relevant(name: str, value: float) -> None:
    ranks = ranks_of(([0.5] * 4, [0, 0, 1, 1]))
    assert measure([name], ranks)[name][0] == pytest.approx(value, abs=1e-12)


def test_grades_are_linear_gains() -> None:
    # Shown: grade 1, then 0, then 3; best: 3, then 1.
    ranks = ranks_of(([0.9, 0.8, 0.7], [1, 0, 3]))
    assert ranking.ndcg(ranks)[0] == pytest.approx((1 + 3 / 2) / (3 + LOG3))
    assert ranking.ndcg(ranks, 1)[0] == pytest.approx(1 / 3)
    assert ranking.recall(ranks, 1)[0] == 1 / 2  # a grade above 0 is relevant, whatever it is


@pytest.mark.parametrize("name", RANKING)
def test_a_query_without_relevant_items_is_undefined_and_others_are_not_touched(name: str) -> None:
    ranks = ranks_of(([0.3, 0.2], [0, 0]), ([0.3, 0.2], [1, 0]), ([], []))
    values = RANKING[name](ranks, 1) if name != "lrap" else ranking.lrap(ranks)
    np.testing.assert_array_equal(values, [np.nan, 1.0, np.nan])


@pytest.mark.parametrize("name", RANKING)
def test_no_queries_no_values(name: str) -> None:
    ranks = ranks_of()
    values = RANKING[name](ranks, 1) if name != "lrap" else ranking.lrap(ranks)
    assert values.shape == (0,)


def test_a_relevant_item_that_was_not_generated_counts_among_the_relevant_and_never_as_found() -> (
    None
):
    ranks = Ranks.from_ranking(
        Ranking(np.array([[7, 8, 9]], np.int32), np.zeros((1, 3), np.float32)),
        Ragged.from_lists([[8, 1]]),
    )
    assert ranks.above.to_lists() == [[1, UNRANKED]]
    values = measure(
        ["recall@3", "ndcg", "map", "mrr", "mrr_allpos", "lrap", "hit@3", "precision@3"], ranks
    )
    assert {name: round(float(v[0]), 4) for name, v in values.items()} == {
        "recall@3": 0.5,
        "ndcg": round(LOG3 / (1 + LOG3), 4),
        "map": 0.25,
        "mrr": 0.5,
        "mrr_allpos": 0.25,
        "lrap": 0.25,
        "hit@3": 1.0,
        "precision@3": 0.3333,
    }


# -------------------------------------------------------------------------------- against peers

queries = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6).filter(
    lambda rows: any(gain for _, gain in rows)
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 10, None]), st.booleans())
def test_sklearn_agrees(seed: int, k: int | None, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (5, 12)).astype(float) if ties else rng.random((5, 12))
    grades = rng.integers(0, 4, (5, 12)).astype(float)
    grades[:, 0] = 1
    ranks = ranks_of(*zip(scores.tolist(), grades.tolist(), strict=True))
    want = [ndcg_score(g[None], s[None], k=k) for g, s in zip(grades, scores, strict=True)]
    np.testing.assert_allclose(ranking.ndcg(ranks, k), want, atol=1e-9)
    labels = (grades > 0).astype(int)
    lrap = [
        label_ranking_average_precision_score(y[None], s[None])
        for y, s in zip(labels, scores, strict=True)
    ]
    np.testing.assert_allclose(ranking.lrap(ranks), lrap, atol=1e-9)


PEERS = {
    "ndcg@10": "nDCG@10",
    "ndcg": "nDCG",
    "recall@5": "R@5",
    "precision@5": "P@5",
    "hit@3": "Success@3",
    "mrr": "RR",
    "map": "AP",
    "map@7": "AP@7",
}


def test_ir_measures_agrees_where_there_are_no_ties() -> None:
    rng = np.random.default_rng(3)
    n, width = 60, 25
    scores = rng.permuted(np.tile(np.arange(width, dtype=float), (n, 1)), axis=1)
    grades = rng.integers(0, 3, (n, width)) * (rng.random((n, width)) < 0.3)
    grades[:, 0] = 1
    qrels = {
        str(q): {str(i): int(g) for i, g in enumerate(row) if g} for q, row in enumerate(grades)
    }
    run = {str(q): {str(i): s for i, s in enumerate(row)} for q, row in enumerate(scores.tolist())}
    peers = {name: ir_measures.parse_measure(peer) for name, peer in PEERS.items()}
    got = measure(list(PEERS), ranks_of(*zip(scores.tolist(), grades.tolist(), strict=True)))
    want = {name: np.full(n, np.nan) for name in PEERS}
    for row in ir_measures.iter_calc(list(peers.values()), qrels, run):
        for name, peer in peers.items():
            if row.measure == peer:
                want[name][int(row.query_id)] = row.value
    for name in PEERS:
        np.testing.assert_allclose(got[name], want[name], atol=1e-9, err_msg=name)


# ------------------------------------------------------------------------------------ properties


@settings(max_examples=50, deadline=None)
@given(queries, st.integers(1, 8), st.integers(0, 1000))
def test_order_of_candidates_and_monotone_scores_change_nothing(
    row: list[tuple[int, int]], k: int, seed: int
) -> None:
    shuffled = [row[i] for i in np.random.default_rng(seed).permutation(len(row))]
    base = ranks_of(([s for s, _ in row], [g for _, g in row]))
    other = ranks_of(([math.exp(s) - 5 for s, _ in shuffled], [g for _, g in shuffled]))
    names = [f"{n}@{k}" for n in RANKING if n != "lrap"] + ["lrap"]
    for name, values in measure(names, base).items():
        np.testing.assert_allclose(measure([name], other)[name], values, atol=1e-14)
        assert 0 <= values[0] <= 1 + 1e-12


@settings(max_examples=50, deadline=None)
@given(queries)
def test_a_longer_list_never_loses_what_it_found(row: list[tuple[int, int]]) -> None:
    ranks = ranks_of(([s for s, _ in row], [g for _, g in row]))
    for name in ("recall", "hit", "mrr", "map", "mrr_allpos"):
        values = [float(RANKING[name](ranks, k)[0]) for k in range(1, 8)]
        assert (np.diff(values) >= -1e-15).all(), name
        assert values[-1] == pytest.approx(float(RANKING[name](ranks, None)[0]), abs=1e-14)


# ---------------------------------------------------------------------------------- pair by pair

PAIRWISE = {"ndcg_pairwise@3": "ndcg@3", "recall_pairwise@2": "recall@2", "mrr_pairwise": "mrr"}


several = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=6), min_size=1, max_size=5
).filter(lambda rows: any(gain for row in rows for _, gain in row))


@settings(max_examples=80, deadline=None)
@given(several)
def test_pairs_are_queries_of_their_own(rows: list[list[tuple[int, int]]]) -> None:
    """Grades and a query's other answers play no part; with one answer a query both forms agree."""
    grouped = ranks_of(*[([float(s) for s, _ in row], [float(g) for _, g in row]) for row in rows])
    pairs = ranks_of(
        *[
            ([float(s) for s, _ in row], [float(i == answer) for i in range(len(row))])
            for row in rows
            for answer, (_, grade) in enumerate(row)
            if grade > 0
        ]
    )
    weights = weigh(list(PAIRWISE), grouped)
    of_pairs = measure([*PAIRWISE, *PAIRWISE.values()], pairs)
    for name, values in measure(list(PAIRWISE), grouped).items():
        mean = np.nansum(weights[name] * values) / weights[name].sum()
        single = of_pairs[PAIRWISE[name]]
        assert mean == pytest.approx(single.mean(), abs=1e-12), name
        np.testing.assert_allclose(of_pairs[name], single, atol=1e-15, err_msg=name)


def test_only_metrics_over_pairs_weigh() -> None:
    ranks = ranks_of(([3, 2, 1], [1, 1, 0]), ([1, 2], [0, 0]), ([1], [1]))
    found = weigh(["ndcg@10", "ndcg_pairwise@10", "mrr", "lrap"], ranks)
    assert {name: column.tolist() for name, column in found.items()} == {
        "ndcg_pairwise@10": [2, 0, 1]
    }
