"""Paths tell all items apart, none begins another, and later items change no path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.errors import DataError, UsageError
from tastebench.items.semantic_ids.codebooks import ResidualCodebooks
from tastebench.items.semantic_ids.ids import SemanticIds, add_items, make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.semantic_ids.rk_means import ResidualKMeans

TIES = ("where-needed", "always")


def recipe(ties="where-needed", levels=2, size=4, method="rk-means", **settings):
    if method != "random":
        settings = {"repair": 0, **settings}
    return CodeRecipe(method=method, levels=levels, size=size, ties=ties, settings=settings)


def vectors(n, seed=0, d=6):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def on_a_line(x, ties, size=4, repair=0):
    """Items on a line, one level of codes 0 .. size - 1, each for the place of that number."""
    centres = np.arange(size, dtype=np.float32)[None, :, None]
    line = ResidualKMeans(ResidualCodebooks(centres, np.zeros((1, size), np.float32)), False)
    none = SemanticIds(
        np.empty((0, 1), np.int64),
        (size,),
        1,
        line,
        {"recipe": recipe(ties, 1, size, repair=repair).model_dump(mode="json"), "items": 0},
    )
    return add_items(none, np.array(x, dtype=np.float32)[:, None])


def more(ids, x):
    return add_items(ids, np.array(x, dtype=np.float32)[:, None])


def check(ids, n):
    """What holds of all semantic ids."""
    values = ids.values
    assert values.shape == (n, len(ids.sizes)) and values.dtype == np.int64
    assert len(np.unique(values, axis=0)) == n
    assert (values < np.array(ids.sizes)).all()
    assert (values[:, : ids.levels] >= 0).all()
    paths = {tuple(code for code in row if code >= 0) for row in values.tolist()}
    assert len(paths) == n
    assert not any(path[:length] in paths for path in paths for length in range(1, len(path)))
    assert ids.about["items"] == n


def same_beginning(new, old):
    """The paths of the old items, whatever the width."""
    n, width = old.values.shape
    assert (new.values[:n, :width] == old.values).all()
    assert (new.values[:n, width:] == (0 if new.recipe.ties == "always" else -1)).all()


# ----------------------------------------------------------------------------------- by hand


def test_ties_where_needed_by_hand():
    ids = on_a_line([0, 2, 0.1, 3, 2.2, 2.1], "where-needed")
    assert ids.values.tolist() == [[0, 0], [2, 0], [0, 1], [3, -1], [2, 1], [2, 2]]
    assert ids.sizes == (4, 3)


def test_ties_always_by_hand():
    ids = on_a_line([0, 2, 0.1, 3, 2.2, 2.1], "always")
    assert ids.values.tolist() == [[0, 0], [2, 0], [0, 1], [3, 0], [2, 1], [2, 2]]
    assert ids.sizes == (4, 3)


def test_without_ties_there_is_no_level_more_unless_always():
    assert on_a_line([0, 1, 2], "where-needed").values.tolist() == [[0], [1], [2]]
    assert on_a_line([0, 1, 2], "always").values.tolist() == [[0, 0], [1, 0], [2, 0]]


def test_later_items_by_hand_where_ties_are_always_told_apart():
    ids = on_a_line([0, 2], "always")
    ids = more(ids, [2.1, 3, 0.2, 2.2])
    assert ids.values.tolist() == [[0, 0], [2, 0], [2, 1], [3, 0], [0, 1], [2, 2]]


def test_later_items_by_hand_where_ties_are_told_apart_if_needed():
    ids = on_a_line([0, 2, 0.1], "where-needed")
    assert ids.values.tolist() == [[0, 0], [2, -1], [0, 1]]
    # 0.2 joins the group at 0; 2.4 is next to an item that ends at 2, and goes to 3; 3 goes there
    # too, so that both get a number.
    ids = more(ids, [0.2, 2.4, 3])
    assert ids.values.tolist() == [[0, 0], [2, -1], [0, 1], [0, 2], [3, 0], [3, 1]]
    # From now on 3 can be joined; 1 is free: its item ends there.
    ids = more(ids, [2.9, 1.2])
    assert ids.values[-2:].tolist() == [[3, 2], [1, -1]]
    assert ids.sizes == (4, 3)


def test_where_every_last_code_ends_a_path_a_later_item_has_none():
    ids = on_a_line([0, 1, 2, 3], "where-needed")
    with pytest.raises(DataError, match=r"ends wherever a new item could(.|\n)*ties: always"):
        more(ids, [1.1])
    assert more(on_a_line([0, 1, 2, 3], "always"), [1.1]).values[-1].tolist() == [1, 1]


def test_identical_vectors_are_told_apart_by_the_tie_break_code_alone():
    for ties in TIES:
        ids = make_ids(recipe(ties), np.ones((5, 6), np.float32), 5)
        assert len(np.unique(ids.values[:, :2], axis=0)) == 1
        assert ids.values[:, 2].tolist() == [0, 1, 2, 3, 4]
        assert ids.sizes == (4, 4, 5)


def test_moved_items_need_no_tie_break_code():
    X = vectors(40)
    tied, moved = (make_ids(recipe(size=8, repair=rounds), X, 40) for rounds in (0, 30))
    check(moved, 40)
    assert tied.values.shape == (40, 3)
    assert moved.about["repair"]["left"] == 0
    assert moved.values.shape == (40, 2)
    # What was alone stays, and so does all but the last code of what moved.
    np.testing.assert_array_equal(moved.values[:, 0], tied.values[:, 0])
    alone = tied.values[:, 2] < 0
    np.testing.assert_array_equal(moved.values[alone], tied.values[alone, :2])


def test_items_move_to_no_code_that_no_item_ever_had():
    # Five equal vectors make one centre a level: there is nowhere to move to.
    ids = make_ids(recipe(repair=30), np.ones((5, 6), np.float32), 5)
    check(ids, 5)
    assert ids.about["repair"] == {"rounds": 1, "shared": 5, "moved": 0, "left": 4}


@pytest.mark.parametrize("ties", TIES)
def test_later_items_move_too_where_items_do(ties):
    # Of one level 0 .. 5 with items at 0 and 2: 2.1 and 2.3 would go to 2 and share it with each
    # other and the old item; they go to 1 and 3, which is cheaper than 3 and 1.
    ids = on_a_line([0, 2], ties, size=6, repair=30)
    after = more(ids, [2.1, 2.3, 5])
    assert after.values[2:, 0].tolist() == [1, 3, 5]
    check(after, 5)
    same_beginning(after, ids)
    # There is room for one more; then they are told apart, or cannot be.
    after = more(after, [4.4])
    assert after.values[5, 0] == 4
    if ties == "always":
        assert more(after, [4.4]).values[6].tolist() == [4, 1]
    else:
        with pytest.raises(DataError, match="ends wherever"):
            more(after, [4.4])


# -------------------------------------------------------------------------- whatever is given


@pytest.mark.parametrize("method", ["rk-means", "product", "rq-vae", "random"])
@pytest.mark.parametrize("ties", TIES)
def test_all_methods_make_ids(method, ties):
    few = {"epochs": 2, "warmup": 1, "hidden": [8], "latent": 4} if method == "rq-vae" else {}
    X = vectors(60)
    ids = make_ids(recipe(ties, method=method, **few), None if method == "random" else X, 60)
    check(ids, 60)
    assert (ids.quantiser is None) == (method == "random")
    assert ids.recipe == recipe(ties, method=method, **few)
    after = add_items(ids, vectors(9, 1)) if ties == "always" else ids
    check(after, 69 if ties == "always" else 60)
    same_beginning(after, ids)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 3),
    st.integers(2, 6),
    st.sampled_from(TIES),
    st.sampled_from(["rk-means", "random"]),
    st.integers(0, 1),
    st.integers(0, 1000),
)
def test_paths_are_unique_and_none_begins_another(n, levels, size, ties, method, repair, seed):
    X = np.round(vectors(n, seed, d=4))  # some equal, some zero
    given_ = {"repair": 20 * repair, "iterations": 3, "priced": 2} if method != "random" else {}
    made_by = recipe(ties, levels, size, method, **given_)
    ids = make_ids(made_by, None if method == "random" else X, n)
    check(ids, n)
    again = make_ids(made_by, None if method == "random" else X, n)
    np.testing.assert_array_equal(ids.values, again.values)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 25), min_size=2, max_size=4),
    st.integers(1, 3),
    st.integers(2, 6),
    st.sampled_from(TIES),
    st.sampled_from(["rk-means", "random"]),
    st.integers(0, 1000),
)
def test_later_items_change_no_path(parts, levels, size, ties, method, seed):
    X = np.round(vectors(sum(parts), seed, d=4), 1)
    given_ = {"iterations": 3, "priced": 2} if method != "random" else {}
    first = X[: parts[0]]
    ids = make_ids(
        recipe(ties, levels, size, method, **given_),
        None if method == "random" else first,
        len(first),
    )
    done = len(first)
    for part in parts[1:]:
        try:
            after = add_items(ids, X[done : done + part])
        except DataError as error:
            assert ties == "where-needed" and "ends wherever" in error.what
            return
        done += part
        check(after, done)
        same_beginning(after, ids)
        ids = after
    assert ids.about["added"] == done - len(first)


def test_no_later_items_change_nothing():
    ids = make_ids(recipe(), vectors(20), 20)
    assert add_items(ids, np.empty((0, 6), np.float32)) is ids


def test_later_items_have_the_codes_of_their_equals():
    X = vectors(200)
    ids = make_ids(recipe("always", levels=3, size=16), X, 200)
    after = add_items(ids, X[:50])
    np.testing.assert_array_equal(after.values[200:, :3], ids.values[:50, :3])


def test_one_item():
    for ties, path in (("where-needed", 2), ("always", 3)):
        ids = make_ids(recipe(ties), vectors(1), 1)
        check(ids, 1)
        assert ids.values.shape == (1, path)


def test_more_items_than_paths_are_told_apart():
    for method in ("rk-means", "random"):
        ids = make_ids(
            recipe(levels=1, size=2, method=method), None if method == "random" else vectors(9), 9
        )
        check(ids, 9)
        assert ids.sizes[-1] >= 5


def test_codebooks_may_be_learned_from_some_of_the_items():
    X = vectors(100)
    X[50:] = np.roll(X[50:], 1, axis=1) * 3
    some, all_ = (make_ids(recipe(), X, 100, learn_rows=rows) for rows in (np.arange(50), None))
    assert some.about["learned_from"] == 50
    check(some, 100)
    alone = make_ids(recipe(), X[:50], 50)
    np.testing.assert_array_equal(some.values[:50, :2], alone.values[:, :2])
    assert (some.values[:, :2] != all_.values[:, :2]).any()


def test_seeds_change_codes():
    for method in ("rk-means", "random"):
        given_ = None if method == "random" else vectors(80)
        one, other = (
            make_ids(recipe(method=method, size=16).model_copy(update={"seed": seed}), given_, 80)
            for seed in (0, 1)
        )
        assert (one.values[:, :2] != other.values[:, :2]).any()


# --------------------------------------------------------------------------------- bad input


def test_vectors_that_are_not_there_or_too_few():
    with pytest.raises(UsageError, match="rk-means are made of item vectors, and there are none"):
        make_ids(recipe(), None, 5)
    with pytest.raises(DataError, match="there are 4 vectors and 5 items"):
        make_ids(recipe(), vectors(4), 5)


def test_vectors_that_are_no_numbers_are_named_by_their_row():
    X = vectors(30)
    X[3, 1], X[20, 0] = np.inf, np.nan
    with pytest.raises(DataError, match=r"infinite values(.|\n)*row 3 of 30"):
        make_ids(recipe(), X, 30)
    # Also where nothing is learned from that item.
    with pytest.raises(DataError, match=r"row 3 of 30"):
        make_ids(recipe(), X, 30, learn_rows=np.array([0, 1]))
    ids = make_ids(recipe(), vectors(30), 30)
    with pytest.raises(DataError, match=r"NaN(.|\n)*row 16 of 26"):
        add_items(ids, X[4:])


@pytest.mark.parametrize("method", ["rk-means", "product", "rq-vae"])
def test_vectors_whose_distances_overflow_are_refused_where_they_keep_their_length(method):
    small = {"hidden": [8], "latent": 4, "epochs": 1, "warmup": 0} if method == "rq-vae" else {}
    X = vectors(20).astype(np.float64) * 1e30
    with pytest.raises(DataError, match=r"vectors hold .*e\+30: squared distances(.|\n)*unit"):
        make_ids(recipe(method=method, unit=False, **small), X, 20)
    alike = make_ids(recipe(method=method, **small), X, 20)
    assert (
        alike.values.tolist()
        == make_ids(recipe(method=method, **small), X / 1e30, 20).values.tolist()
    )
    longest = np.sqrt(np.finfo(np.float32).max / (4 * 6))
    check(make_ids(recipe(method="rk-means", unit=False), X / np.abs(X).max() * longest, 20), 20)


def test_later_vectors_of_another_width_are_refused():
    ids = make_ids(recipe(), vectors(30), 30)
    with pytest.raises(DataError, match="width 5, the codebooks 6"):
        add_items(ids, vectors(3, d=5))
