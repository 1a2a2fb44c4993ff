from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.contracts import Queries, Ranking
from tastebench.errors import ProtocolError
from tastebench.ragged import Ragged
from tastebench.tasks.rank import batch_shape, rank_and_list, rank_targets, top_k


class Fixed:
    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def scores(self, queries: Queries, items: slice) -> Any:
        return self.matrix[queries.row][:, items]


def asked(n: int) -> Queries:
    return Queries(n, row=np.arange(n), user=np.arange(n) + 50)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], list[list[int]], int]:
    """Scores with many ties, relevant and excluded items that do not overlap, and a budget."""
    n, width = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64]))
    numbers = st.lists(st.integers(-2, 2), min_size=n * width, max_size=n * width)
    scores = np.array(draw(numbers), dtype).reshape(n, width)
    kind = st.lists(st.sampled_from("rxo"), min_size=n * width, max_size=n * width)
    role = np.array(draw(kind)).reshape(n, width)
    if draw(st.booleans()):  # one relevant item a query takes another path
        role[role == "r"] = "o"
        role[np.arange(n), draw(st.integers(0, width - 1))] = "r"
    relevant = [np.flatnonzero(row == "r").tolist() for row in role]
    exclude = [np.flatnonzero(row == "x").tolist() for row in role]
    return scores, relevant, exclude, draw(st.integers(1, 60))


@settings(max_examples=300, deadline=None)
@given(cases())
def test_ranks_are_those_of_a_brute_force_count(case: Any) -> None:
    scores, relevant, exclude, budget = case
    ranks = rank_targets(
        Fixed(scores),
        asked(len(scores)),
        Ragged.from_lists(relevant),
        scores.shape[1],
        exclude=Ragged.from_lists(exclude),
        budget=budget,
    )
    for row, items in enumerate(relevant):
        allowed = [i for i in range(scores.shape[1]) if i not in exclude[row]]
        above = [sum(scores[row, i] > scores[row, item] for i in allowed) for item in items]
        tied = [sum(scores[row, i] == scores[row, item] for i in allowed) for item in items]
        assert ranks.above[row].tolist() == above
        assert ranks.tied[row].tolist() == tied


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(1, 12))
def test_top_k_is_a_sort_by_score_then_item(case: Any, k: int) -> None:
    scores, _, exclude, budget = case
    ranking = top_k(
        Fixed(scores),
        asked(len(scores)),
        k,
        scores.shape[1],
        exclude=Ragged.from_lists(exclude),
        budget=budget,
    )
    for row in range(len(scores)):
        allowed = [i for i in range(scores.shape[1]) if i not in exclude[row]]
        best = sorted(allowed, key=lambda i: (-scores[row, i], i))[:k]
        empty = k - len(best)
        assert ranking.items[row].tolist() == best + [-1] * empty
        assert ranking.scores[row].tolist() == [scores[row, i] for i in best] + [-np.inf] * empty
    assert ranking.items.dtype == np.int32 and ranking.scores.dtype == np.float32


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 6), st.booleans())
def test_ranks_and_lists_in_one_go_are_those_of_two(case: Any, k: int, few: bool) -> None:
    scores, relevant, exclude, budget = case
    out, answers = Ragged.from_lists(exclude), Ragged.from_lists(relevant)
    n, width = scores.shape
    with pytest.MonkeyPatch.context() as patch:
        if few:  # a row at a time is looked at for the best
            patch.setattr("tastebench.tasks.rank.TOP_BUDGET", 1)
        ranks, lists = rank_and_list(
            Fixed(scores), asked(n), answers, k, width, exclude=out, budget=budget
        )
    alone = rank_targets(Fixed(scores), asked(n), answers, width, exclude=out, budget=budget)
    np.testing.assert_array_equal(ranks.above.values, alone.above.values)
    np.testing.assert_array_equal(ranks.tied.values, alone.tied.values)
    best = top_k(Fixed(scores), asked(n), k, width, exclude=out)
    np.testing.assert_array_equal(lists.items, best.items)
    np.testing.assert_array_equal(lists.scores, best.scores)


def test_an_evaluation_with_lists_asks_for_every_score_once() -> None:
    asked_for: list[int] = []

    class Watched(Fixed):
        def scores(self, queries: Queries, items: slice) -> Any:
            asked_for.append(len(queries) * (items.stop - items.start))
            return super().scores(queries, items)

    matrix = np.random.default_rng(0).normal(size=(40, 30))
    rank_and_list(Watched(matrix), asked(40), Ragged.from_lists([[3]] * 40), 5, 30)
    assert sum(asked_for) == matrix.size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_tensors_are_compared_as_the_numbers_they_are(dtype: torch.dtype) -> None:
    # 1 + 2**-12 is 1 in bfloat16 and float16, so there the first two tie.
    scores = torch.tensor([[1 + 2**-12, 1.0, 0.5]], dtype=dtype, requires_grad=True)
    ranks = rank_targets(Fixed(scores), asked(1), Ragged.from_lists([[1]]), 3)
    exact = dtype in (torch.float32, torch.float64)
    assert ranks.above[0].tolist() == [1 if exact else 0]
    assert ranks.tied[0].tolist() == [1 if exact else 2]


@pytest.mark.parametrize("budget", [2**24, 50 * 64])
def test_matrix_products_are_compared_bit_by_bit(budget: int) -> None:
    rng = np.random.default_rng(0)
    items = rng.integers(-2, 3, size=(400, 3)).astype(np.float32)  # few values: many exact ties
    users = rng.integers(-2, 3, size=(50, 3)).astype(np.float32)

    class Product:
        def scores(self, queries: Queries, part: slice) -> np.ndarray:
            return users[queries.row] @ items[part].T

    scores = users @ items.T  # exact in any order of summation: small whole numbers
    own = scores[np.arange(50), np.arange(50)][:, None]
    target = Ragged.from_lists([[i] for i in range(50)])
    ranks = rank_targets(Product(), asked(50), target, 400, budget=budget)
    np.testing.assert_array_equal(ranks.above.values, (scores > own).sum(axis=1))
    np.testing.assert_array_equal(ranks.tied.values, (scores == own).sum(axis=1))


class Drifting:
    """Its scores differ a little at every call, as sums on parallel hardware can."""

    def __init__(self) -> None:
        self.calls = 0

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        self.calls += 1
        return np.full((len(queries), items.stop - items.start), float(self.calls))


def test_an_item_ties_with_itself_even_if_scores_drift() -> None:
    ranks = rank_targets(Drifting(), asked(2), Ragged.from_lists([[0], [5]]), 6, budget=6)
    assert (ranks.tied.values >= 1).all()
    assert (ranks.above.values <= 5).all()


def test_the_catalogue_is_cut_only_if_a_few_queries_of_it_do_not_fit() -> None:
    assert batch_shape(100_000, 1_000, 2**24) == (1024, 1_000)
    assert batch_shape(100_000, 100_000, 2**24) == (167, 100_000)
    assert batch_shape(100_000, 1_000_000, 2**24) == (16, 1_000_000)
    assert batch_shape(100_000, 10_000_000, 2**24) == (16, 2**20)
    assert batch_shape(3, 10, 2**24) == (3, 10)


def test_never_more_scores_than_the_budget() -> None:
    asked_for: list[int] = []

    class Watched(Fixed):
        def scores(self, queries: Queries, items: slice) -> Any:
            asked_for.append(len(queries) * (items.stop - items.start))
            return super().scores(queries, items)

    matrix = np.random.default_rng(0).normal(size=(40, 30))
    rank_targets(Watched(matrix), asked(40), Ragged.from_lists([[3]] * 40), 30, budget=100)
    assert max(asked_for) <= 100 and sum(asked_for) == 2 * matrix.size


def test_a_view_of_the_recommenders_own_state_is_not_written_to() -> None:
    counts = np.array([3.0, 2.0, 1.0])
    counts.flags.writeable = False

    class View:
        def scores(self, queries: Queries, items: slice) -> np.ndarray:
            return np.broadcast_to(counts[items], (len(queries), len(counts[items])))

    exclude = Ragged.from_lists([[0], []])
    for budget in (2**24, 2):
        ranks = rank_targets(
            View(), asked(2), Ragged.from_lists([[1], [1]]), 3, exclude=exclude, budget=budget
        )
        assert ranks.above.values.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("bad", "budget", "message"),
    [
        (np.nan, 2**24, r"told scored item 2 as nan for query 1 \(user 51\)"),
        (np.inf, 2**24, r"told scored item 2 as inf for query 1 \(user 51\)"),
        (np.nan, 1, r"told scored item 2 as nan for query 1 \(user 51\)"),
    ],
)
def test_a_score_that_is_no_number_is_named(
    told: Callable[[Any], Any], bad: float, budget: int, message: str
) -> None:
    matrix = np.zeros((2, 3))
    matrix[1, 2] = bad
    for ask in (
        lambda: rank_targets(
            told(matrix), asked(2), Ragged.from_lists([[0], [0]]), 3, budget=budget
        ),
        lambda: top_k(told(matrix), asked(2), 1, 3, budget=budget),
    ):
        with pytest.raises(ProtocolError, match=message):
            ask()


def test_finite_scores_whose_sum_overflows_are_fine(told: Callable[[Any], Any]) -> None:
    huge = np.finfo(np.float32).max
    scores = np.full((1, 4), huge, np.float32)
    ranks = rank_targets(told(scores), asked(1), Ragged.from_lists([[0]]), 4)
    assert ranks.tied.values.tolist() == [4]


def test_scores_of_another_shape_are_refused(told: Callable[[Any], Any]) -> None:
    with pytest.raises(ProtocolError, match=r"shape \(2, 3\) for 2 queries and 4 items"):
        rank_targets(told(np.zeros((2, 3))), asked(2), Ragged.from_lists([[0], [0]]), 4)


def test_an_excluded_relevant_item_is_refused(told: Callable[[Any], Any]) -> None:
    exclude = Ragged.from_lists([[1]])
    for budget in (2**24, 1):
        with pytest.raises(ProtocolError, match="item 1 is relevant and excluded"):
            rank_targets(
                told(np.zeros((1, 3))),
                asked(1),
                Ragged.from_lists([[1]]),
                3,
                exclude=exclude,
                budget=budget,
            )


def test_what_cannot_score_is_refused() -> None:
    with pytest.raises(ProtocolError, match="object has no scores"):
        rank_targets(object(), asked(1), Ragged.from_lists([[0]]), 3)


def test_nobody_asks_nothing(told: Callable[[Any], Any]) -> None:
    ranks = rank_targets(told(np.zeros((0, 3))), asked(0), Ragged.from_lists([]), 3)
    assert len(ranks) == 0
    assert top_k(told(np.zeros((0, 3))), asked(0), 2, 3).items.shape == (0, 2)


def test_excluded_items_cost_a_generated_list_no_slot() -> None:
    class Lists:
        def generate(self, queries: Queries, k: int) -> Ranking:
            items = np.tile(np.arange(k, dtype=np.int32), (len(queries), 1))
            return Ranking(items, np.zeros(items.shape, np.float32))

    exclude = Ragged.from_lists([[0, 1], []])
    assert top_k(Lists(), asked(2), 3, 9, exclude=exclude).items.tolist() == [[2, 3, 4], [0, 1, 2]]
    assert top_k(Lists(), asked(2), 3, 4, exclude=exclude).items.tolist() == [[2, 3, -1], [0, 1, 2]]


def test_excluded_items_leave_generated_lists_and_the_rest_moves_up() -> None:
    class Lists:
        def generate(self, queries: Queries, k: int) -> Ranking:
            items = np.array([[4, 2, -1, 3], [0, 1, 2, 3]], np.int32)[:, :k]
            scores = np.tile(np.arange(4, 0, -1, dtype=np.float32), (2, 1))[:, :k]
            return Ranking(items, scores)

    ranking = top_k(Lists(), asked(2), 4, 5, exclude=Ragged.from_lists([[4, 0], [1]]))
    assert ranking.items.tolist() == [[2, -1, 3, -1], [0, 2, 3, -1]]
    assert ranking.scores[0].tolist() == [3, 2, 1, -np.inf]


def test_who_can_leave_items_out_is_told_which() -> None:
    class Others:
        def generate(self, queries: Queries, k: int) -> Ranking:
            items = np.tile(np.arange(k, dtype=np.int32), (len(queries), 1))
            return Ranking(items, np.zeros(items.shape, np.float32))

        def generate_without(self, queries: Queries, k: int, exclude: Ragged) -> Ranking:
            assert (k, exclude.to_lists()) == (3, [[0, 7], [], [1]])
            # An excluded one comes nevertheless, and has cost nobody a slot.
            items = np.array([[1, 7, 2, 3], [0, 1, 2, -1], [5, 0, 2, -1]], np.int32)
            scores = np.where(items < 0, -np.inf, -np.arange(4)).astype(np.float32)
            return Ranking(items, scores)

    exclude = Ragged.from_lists([[0, 7], [], [1]])
    found = top_k(Others(), asked(3), 3, 9, exclude=exclude)
    assert found.items.tolist() == [[1, 2, 3], [0, 1, 2], [5, 0, 2]]
    assert found.scores[0].tolist() == [0, -2, -3]
    nobody = Ragged.from_lists([[], [], []])
    assert top_k(Others(), asked(3), 3, 9, exclude=nobody).items.tolist() == [[0, 1, 2]] * 3
