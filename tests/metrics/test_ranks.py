from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.contracts import Ranking
from tastebench.metrics.order import score_codes, sort_keys
from tastebench.metrics.ranks import UNRANKED, Ranks
from tastebench.ragged import Ragged


def floats(*lists: list[float], dtype: type = np.float64) -> Ragged:
    return Ragged.from_lists(lists, dtype)


def test_dense_scores() -> None:
    scores = np.array([[0.1, 0.5, 0.5, 0.9], [3, 2, 1, 0], [-np.inf] * 4])
    ranks = Ranks.from_scores(scores, np.array([1, 0, 2]))
    assert ranks.above.to_lists() == [[1], [0], [0]]
    assert ranks.tied.to_lists() == [[2], [1], [4]]
    assert ranks.n_relevant.tolist() == [1, 1, 1]
    assert len(ranks) == 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_dense_scores_of_many_queries_equal_a_comparison_of_everything(dtype: type) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(-20, 20, (3000, 90)).astype(dtype)  # several chunks
    target = rng.integers(0, 90, 3000)
    ranks = Ranks.from_scores(scores, target)
    own = scores[np.arange(3000), target][:, None]
    np.testing.assert_array_equal(ranks.above.values, (scores > own).sum(axis=1))
    np.testing.assert_array_equal(ranks.tied.values, (scores == own).sum(axis=1))


def test_candidates_keep_the_order_in_which_relevant_items_were_given() -> None:
    ranks = Ranks.from_candidates(
        floats([0.2, 0.9, 0.2, 0.4], [], [5.0, 7.0]), floats([3, 0, 1, 2], [], [0, 0])
    )
    assert ranks.above.to_lists() == [[2, 2, 1], [], []]
    assert ranks.tied.to_lists() == [[2, 2, 1], [], []]
    assert ranks.gain is not None
    assert ranks.gain.to_lists() == [[3, 1, 2], [], []]
    assert ranks.n_relevant.tolist() == [3, 0, 0]


def test_binary_labels_need_no_gain() -> None:
    labels = Ragged.from_lists([[0, 1]], np.int8)
    assert Ranks.from_candidates(floats([0.2, 0.9]), labels).gain is None


def test_lists_are_the_order_and_invalid_or_repeated_slots_take_a_place() -> None:
    ranking = Ranking(
        np.array([[4, -1, 6, 4], [-1, -1, -1, -1]], np.int32), np.zeros((2, 4), np.float32)
    )
    gain = Ragged.from_lists([[1, 2, 5], [1]], np.float64)
    ranks = Ranks.from_ranking(ranking, Ragged.from_lists([[6, 9, 4], [4]]), gain)
    assert ranks.above.to_lists() == [[2, UNRANKED, 0], [UNRANKED]]
    assert (ranks.tied.values == 1).all()
    assert ranks.gain is gain
    assert ranks.ranked.tolist() == [True, False, True, False]


def test_equal_scores_of_a_list_share_their_ranks_where_it_says_so() -> None:
    scores = np.array([[3, 2, 2, 2, 1], [5, 5, 1, -np.inf, -np.inf]], np.float32)
    items = np.array([[4, 7, -1, 6, 2], [1, 0, 3, -1, -1]], np.int32)
    wanted = Ragged.from_lists([[6, 4, 9], [0, 3]])
    ranks = Ranks.from_ranking(Ranking(items, scores, ties=True), wanted)
    assert ranks.above.to_lists() == [[1, 0, UNRANKED], [0, 2]]
    assert ranks.tied.to_lists() == [[3, 1, 1], [2, 1]]
    plain = Ranks.from_ranking(Ranking(items, scores), wanted)
    assert plain.above.to_lists() == [[3, 0, UNRANKED], [1, 2]]
    assert (plain.tied.values == 1).all()


def test_empty_lists_rank_nothing() -> None:
    nothing = Ranking(np.empty((2, 0), np.int32), np.empty((2, 0), np.float32))
    ranks = Ranks.from_ranking(nothing, Ragged.from_lists([[1], []]))
    assert ranks.above.to_lists() == [[UNRANKED], []]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([0.0, -0.0, 0.1, 1e-30, np.inf]), st.booleans())),
        max_size=6,
    ),
    st.sampled_from([np.float32, np.float64]),
)
def test_candidates_equal_a_comparison_of_everything(
    rows: list[list[tuple[float, bool]]], dtype: type
) -> None:
    scores = Ragged.from_lists([[s for s, _ in row] for row in rows], dtype)
    labels = Ragged.from_lists([[label for _, label in row] for row in rows], np.int8)
    ranks = Ranks.from_candidates(scores, labels)
    for i, row in enumerate(rows):
        values = np.array([s for s, _ in row], dtype)
        own = [values[j] for j, (_, label) in enumerate(row) if label]
        assert ranks.above[i].tolist() == [int((values > s).sum()) for s in own]
        assert ranks.tied[i].tolist() == [int((values == s).sum()) for s in own]


def test_blocks_hold_the_relevant_items_by_runs_of_ties() -> None:
    blocks = Ranks.from_candidates(
        floats([9, 5, 5, 5, 1], [2, 1], [3, 3]), floats([1, 1, 0, 1, 1], [0, 0], [1, 1])
    ).blocks
    assert blocks.query.tolist() == [0, 0, 0, 2]
    assert blocks.start.tolist() == [0, 1, 4, 0]
    assert blocks.size.tolist() == [1, 3, 1, 2]
    assert blocks.relevant.tolist() == [1, 2, 1, 2]
    assert blocks.before.tolist() == [0, 1, 3, 0]
    assert blocks.first.tolist() == [True, False, False, True]


# -------------------------------------------------------------------------------- bad input

ONE = floats([1.0, 2.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Ranks.from_scores(np.full((3000, 90), np.nan), np.zeros(3000, int)),
            "scores[0, 0] is NaN",
        ),
        (
            lambda: Ranks.from_scores(
                np.where(np.arange(300_000).reshape(3000, 100) == 250_007, np.nan, 1.0),
                np.zeros(3000, int),
            ),
            "scores[2500, 7] is NaN: a score must be a number",
        ),
        (
            lambda: Ranks.from_scores(np.zeros((2, 3)), np.array([0, 3])),
            "target[1] is 3, but there are 3 candidates",
        ),
        (
            lambda: Ranks.from_scores(np.zeros((2, 3)), np.array([-1, 0])),
            "target[0] is -1",
        ),
        (lambda: Ranks.from_scores(np.zeros(3), np.array([0])), "do not fit"),
        (
            lambda: Ranks.from_candidates(floats([1], [], [2, np.nan]), floats([1], [], [1, 0])),
            "scores[2][1] is NaN",
        ),
        (lambda: Ranks.from_candidates(ONE, floats([1], [0])), "lists of the same lengths"),
        (lambda: Ranks.from_candidates(ONE, floats([1, -1])), "labels must be 0 or more"),
        (lambda: Ranks.from_candidates(ONE, floats([1, np.nan])), "labels must be 0 or more"),
        (
            lambda: Ranks.from_ranking(
                Ranking(np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)),
                Ragged.from_lists([[1]]),
            ),
            "(2, 3) slots do not fit 1 queries",
        ),
        (
            lambda: Ranks.from_ranking(
                Ranking(np.zeros((1, 3), np.int32), np.zeros((1, 3), np.float32)),
                Ragged.from_lists([[1, 2, 1]]),
            ),
            "an item is relevant twice to one query",
        ),
        (lambda: Ranks(ONE, floats([1], [1]), np.array([2])), "tied and above"),
        (lambda: Ranks(ONE, ONE, np.array([3])), "n_relevant must be the lengths of above"),
        (lambda: Ranks(ONE, floats([1, 0]), np.array([2])), "tied 1 or more"),
        (
            lambda: Ranks(ONE, ONE, np.array([2]), floats([1, 0])),
            "gain 0.0 of query 0: a relevant item has a grade above 0",
        ),
    ],
)
def test_what_cannot_be_ranked_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()  # type: ignore[operator]


# -------------------------------------------------------------------------------- sort keys


@given(st.lists(st.floats(allow_nan=False, width=32)), st.sampled_from([np.float32, np.float64]))
def test_codes_order_as_scores_do(values: list[float], dtype: type) -> None:
    scores = np.array(values, dtype)
    codes = score_codes(scores).astype(np.int64)
    np.testing.assert_array_equal(
        np.sign(codes[:, None] - codes[None]),
        (scores[:, None] > scores[None]).astype(int) - (scores[:, None] < scores[None]),
    )


def test_keys_sort_by_group_then_score_then_bit() -> None:
    group = np.array([1, 0, 1, 1])
    scores = np.array([-2.0, 9.0, -2.0, -3.0], np.float32)
    keys = sort_keys(group, scores, np.array([True, False, False, True]))
    assert np.argsort(keys).tolist() == [1, 3, 2, 0]
