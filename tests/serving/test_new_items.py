"""Items that came later: recommendable by their text at once, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tastebench as tb
from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.items.adapt import pca_whiten
from tastebench.recommenders.vectors import adapted

RecordOf = Callable[[str, str], Path]
NEW = [{"item_id": "new-1", "title": "lamp number 13"}, {"item_id": "new-2", "title": "a lamp"}]
TWIN = "113"
"""The item that has the text of the first new one."""


def test_pca_is_learnt_of_the_known_items_alone() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 5)).astype(np.float32)
    X[20:] += 100
    for width in (3, None):
        known, note = adapted(Items(n=20, vector=X[:20]), "pca", width)
        whole, same = adapted(Items(n=30, vector=X, known=20), "pca", width)
        np.testing.assert_array_equal(whole[:20], known)
        by_hand = pca_whiten(X[:20], known.shape[1])
        expected = (X[20:] - by_hand.mean) @ by_hand.components / np.sqrt(by_hand.variance)
        np.testing.assert_allclose(whole[20:], expected, rtol=1e-5)
        assert note == same


@pytest.mark.parametrize(
    ("task", "name"),
    [("seqrec", "unisrec"), ("seqrec", "sasrec-text"), ("cf", "alpharec-vector")],
)
def test_a_new_item_with_the_text_of_an_old_one_has_its_score(
    record_of: RecordOf, task: str, name: str
) -> None:
    """And the others keep theirs: nothing was trained, and nothing learnt anew."""
    loaded = tb.load(record_of(task, name))
    history = [["101", "105", "109"], ["102"]]
    before = loaded.recommend(history, 60, exclude_seen=False)
    grown = loaded.with_items(NEW)
    assert (grown.n_items, loaded.n_items) == (62, 60)
    after = grown.recommend(history, 62, exclude_seen=False)
    scores = after.select("query", "item_id", "score")
    both = before.join(scores, on=["query", "item_id"])
    assert len(both) == 120
    np.testing.assert_allclose(both["score"], both["score_right"], atol=1e-6)
    twins = (after.filter(item_id=item)["score"].to_numpy() for item in ("new-1", TWIN))
    np.testing.assert_allclose(*twins, atol=1e-6)
    assert after.filter(item_id="new-2")["title"].to_list() == ["a lamp"] * 2
    assert loaded.recommend(history, 3, new_items=NEW).equals(grown.recommend(history, 3))


def test_new_items_can_be_in_histories(record_of: RecordOf) -> None:
    grown = tb.load(record_of("seqrec", "unisrec")).with_items(pl.DataFrame(NEW))
    by_new, by_old = (
        grown.recommend([["102", item]], 62, exclude_seen=False).sort("item_id")["score"]
        for item in ("new-1", TWIN)
    )
    np.testing.assert_allclose(by_new, by_old, atol=1e-6)


def test_the_walk_over_vectors_reaches_new_items_by_likeness(record_of: RecordOf) -> None:
    loaded = tb.load(record_of("seqrec", "graph-walk-vector"))
    best = loaded.recommend([[TWIN]], 62, new_items=NEW)
    cold = best.filter(pl.col("item_id").str.starts_with("new"))
    assert cold["item_id"].to_list() == ["new-1", "new-2"]  # its twin before one that is like it
    assert (cold["score"] > 0).all()


def test_codebooks_that_are_kept_give_codes_to_new_items(record_of: RecordOf) -> None:
    loaded = tb.load(record_of("seqrec", "sid-sasrec"))
    codes, old = loaded.ground.codes, loaded.ground.items.code
    assert codes is not None and codes.quantiser is not None and old is not None
    taken = 0
    for noun in ("shirt", "lamp", "book", "cup"):
        for number in ("", " number 3", " number 8"):
            try:
                grown = loaded.with_items([{"item_id": "new", "title": noun + number}])
            except UsageError as error:
                assert "shares its path with too many" in str(error)
                continue
            taken += 1
            code = grown.ground.items.code
            assert code is not None
            assert (code[:-1] == old).all() and (code[-1] <= old.max(axis=0)).all()
            assert not (old == code[-1]).all(axis=1).any()
            best = grown.recommend([["101", "105"]], 61)
            assert best["item_id"].is_unique().all() and len(best) >= 10
    assert taken


def test_a_graph_of_users_takes_items_that_nobody_took(record_of: RecordOf) -> None:
    loaded = tb.load(record_of("cf", "alpharec-original"))
    user = loaded.dataset.everyone[0]
    before = loaded.recommend([["101"]], 60, users=[user]).sort("item_id")
    after = loaded.recommend([["101"]], 62, users=[user], new_items=NEW).sort("item_id")
    assert after["item_id"].to_list()[-2:] == ["new-1", "new-2"]
    np.testing.assert_allclose(after["score"][:-2], before["score"], atol=1e-6)


@pytest.mark.parametrize("name", ["dnn-text", "dnn-vector", "vector-knn"])
def test_new_candidates_are_scored_by_text_and_vectors(record_of: RecordOf, name: str) -> None:
    loaded = tb.load(record_of("ctr", name))
    got = loaded.score([["101", "105"]], [[TWIN, "new-1", "102"]], new_items=NEW)
    old = loaded.score([["101", "105"]], [[TWIN, "102"]])["score"].to_list()
    np.testing.assert_allclose(got["score"], [old[0], old[0], old[1]], atol=1e-6)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("seqrec", "sasrec-id"),
        ("seqrec", "walk-blend"),
        ("seqrec", "item-knn"),
        ("cf", "ease"),
        ("ctr", "dnn-id"),
    ],
)
def test_who_knows_items_by_who_took_them_says_so(
    record_of: RecordOf, task: str, name: str
) -> None:
    with pytest.raises(UsageError, match="knows items by who took them"):
        tb.load(record_of(task, name)).with_items(NEW)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"title": "a"}], "new items need an item_id each"),
        ([], "new items need an item_id each"),
        ([{"item_id": "n", "titel": "a"}], "no column 'titel': did you mean title?"),
        ([{"item_id": "101", "title": "a"}], "ids of new items stand in tiny already: '101'"),
        (
            [{"item_id": 7, "title": "a"}] * 2,
            "ids of new items stand twice among the new items: '7'",
        ),
        ([{"item_id": "n", "title": None}], "1 new item without text: 'n'"),
    ],
)
def test_what_is_no_new_item_is_said(
    record_of: RecordOf, items: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(tb.TastebenchError, match=message):
        tb.load(record_of("cf", "alpharec-vector")).with_items(items)


def test_a_grown_catalogue_is_another_question(record_of: RecordOf) -> None:
    grown = tb.load(record_of("cf", "alpharec-vector")).with_items(NEW)
    assert "62 items, 2 of them new" in repr(grown)
    with pytest.raises(UsageError, match="another question"):
        grown.evaluate()
    with pytest.raises(UsageError, match="items were added already"):
        grown.with_items([{"item_id": "new-3", "title": "cup"}])
    with pytest.raises(UsageError, match="takes no new items"):
        tb.load(record_of("search", "dot")).with_items(NEW)
