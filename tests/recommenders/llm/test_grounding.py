"""Which item a written title stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.contracts import EncoderCard, Role
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm import grounding
from tastebench.recommenders.llm.grounding import Catalogue, plain
from tastebench.recommenders.llm.title_recommender import first_of_each, listed

TITLES = ["Red Wool Scarf", "Kettle of Steel", "", "red wool scarf!", "Grey Oak Lamp"]


def items_of(catalogue: Catalogue, written: list[str]) -> list[list[int]]:
    found = catalogue.ground(written)
    return [catalogue.items[t].tolist() if t >= 0 else [] for t in found.title.tolist()]


def test_word_for_word_whatever_the_case_and_signs() -> None:
    catalogue = Catalogue(TITLES, "letters", 0.0)
    found = catalogue.ground(["RED  wool-scarf", "“Kettle of Steel”.", "\uff2bettle of steel"])
    assert found.exact.all() and (found.likeness == 1).all()
    # Two items bear the first title: both are meant.
    assert items_of(catalogue, ["RED wool-scarf", "kettle of steel"]) == [[0, 3], [1]]


def test_what_is_no_title_stands_for_the_most_alike() -> None:
    catalogue = Catalogue(TITLES, "letters", 0.0)
    written = ["a grey oaken lamp", "kettel of steel", "Red Wool Scarves"]
    found = catalogue.ground(written)
    assert not found.exact.any()
    assert items_of(catalogue, written) == [[4], [1], [0, 3]]
    assert ((found.likeness > 0.4) & (found.likeness < 1)).all()


@pytest.mark.parametrize("written", ["", "...", "\U0001f600", "zzzz"])
def test_what_is_like_nothing_stands_for_nothing(written: str) -> None:
    found = Catalogue(TITLES, "letters", 0.0).ground([written])
    assert (found.title[0], found.exact[0], found.likeness[0]) == (-1, False, 0)


def test_how_alike_is_enough_can_be_said() -> None:
    written = ["kettel of steel", "old kettle"]
    likeness = Catalogue(TITLES, "letters", 0.0).ground(written).likeness
    between = float(likeness.mean())
    assert likeness[1] < between < likeness[0]
    strict = Catalogue(TITLES, "letters", between)
    assert items_of(strict, written) == [[1], []]
    assert items_of(strict, ["Kettle of Steel"]) == [[1]]


def test_likeness_is_the_cosine_of_weighted_letters() -> None:
    """Against a product with every title, by scikit-learn's own whole matrix."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    rng = np.random.default_rng(0)
    words = ["red", "wool", "scarf", "steel", "kettle", "oak", "lamp", "grey"]
    titles = [" ".join(rng.choice(words, 3)) + f" {i}" for i in range(40)]
    written = [" ".join(rng.choice(words, 4)) + "s" for _ in range(30)]
    found = Catalogue(titles, "letters", 0.0)
    places = found.ground(written)
    model = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit(sorted(titles))
    alike = cosine_similarity(model.transform(map(plain, written)), model.transform(sorted(titles)))
    np.testing.assert_allclose(places.likeness, alike.max(axis=1), atol=1e-6)
    chosen = [titles.index(sorted(titles)[t]) for t in alike.argmax(axis=1)]
    assert items_of(found, written) == [[item] for item in chosen]


def test_rows_at_a_time_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    written = [f"kettle {i}" for i in range(9)]
    whole = Catalogue(TITLES, "letters", 0.0).ground(written)
    monkeypatch.setattr(grounding, "_BUDGET", 8)
    np.testing.assert_array_equal(
        Catalogue(TITLES, "letters", 0.0).ground(written).title, whole.title
    )


class Colours:
    """An encoder that sees colours alone."""

    card = EncoderCard("colours")

    def encode(self, texts: list[str], role: Role = "item") -> np.ndarray:
        seen = [[word in text.lower() for word in ("red", "steel", "grey")] for text in texts]
        return np.array(seen, dtype=np.float32) * 3


def test_an_encoder_can_say_what_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastebench.encoders.get_encoder", lambda name: Colours())
    catalogue = Catalogue(TITLES, "colours", 0.0)
    written = ["something red", "of steel", "unseen"]
    assert items_of(catalogue, written) == [[0, 3], [1], []]
    np.testing.assert_allclose(catalogue.ground(written).likeness, [1, 1, 0])


def test_a_catalogue_without_titles_is_refused() -> None:
    with pytest.raises(UsageError, match="no item has a title"):
        Catalogue(["", "..."], "letters", 0.0)


# ------------------------------------------------------------------------------------------ lists


def test_items_of_one_title_are_tied_and_lists_go_on_to_the_end_of_them() -> None:
    items = Ragged.from_lists([[7], [1, 2, 3], [5]])
    found = listed(np.array([[1, 0, 2], [0, -1, 1], [-1, -1, -1]]), items, 2)
    assert found.ties
    assert found.items.tolist() == [[1, 2, 3, -1], [7, 1, 2, 3], [-1] * 4]
    assert found.scores[1].tolist() == [0, -2, -2, -2]
    assert (found.items[2] == -1).all() and (found.scores[2] == -np.inf).all()


@given(st.lists(st.lists(st.integers(-1, 4), min_size=3, max_size=3), min_size=1, max_size=6))
def test_lists_hold_each_item_once_best_first(rows: list[list[int]]) -> None:
    titles = np.array(rows)
    items = Ragged.from_lists([[0], [1, 2], [3], [4, 5, 6], [7]])
    new = first_of_each(titles)
    found = listed(np.where(new, titles, -1), items, 3)
    for row, shown, scores in zip(rows, found.items.tolist(), found.scores, strict=True):
        expected: list[int] = []
        for title in dict.fromkeys(t for t in row if t >= 0):
            if len(expected) < 3:
                expected += items[title].tolist()
        assert [item for item in shown if item >= 0] == expected
        assert (np.diff(scores[np.isfinite(scores)]) <= 0).all()
