from __future__ import annotations

import numpy as np
import pytest

from tastebench.encoders import encode_items, encode_queries, get_encoder
from tastebench.encoders.lexical import TfidfSvd
from tastebench.errors import UsageError
from tastebench.testing.encoders import TEXTS, EncoderTests


class TestTfidfSvd(EncoderTests):
    @pytest.fixture
    def encoder(self):
        return TfidfSvd().fitted(TEXTS)


def test_full_width_keeps_the_cosines_of_tfidf():
    # By hand: three texts, words a b c; idf = ln(4 / (1 + df)) + 1.
    texts = ["a b", "b c", "c c c"]
    idf = np.log(4 / (1 + np.array([1, 2, 2]))) + 1
    counts = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1 + np.log(3)]])
    rows = counts * idf
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = TfidfSvd().fitted(texts).encode(texts)
    assert vectors.shape == (3, 3)
    np.testing.assert_allclose(vectors @ vectors.T, rows @ rows.T, atol=1e-6)


def test_width_is_the_least_of_asked_texts_and_words(titles):
    assert TfidfSvd(width=16).fitted(titles).encode(titles).shape == (100, 16)
    assert TfidfSvd().fitted(["a b c", "d"]).encode(["a"]).shape == (1, 2)
    assert TfidfSvd().fitted(["a b", "a", "b"]).encode(["a"]).shape == (1, 2)


def test_words_that_occur_together_bring_texts_together():
    texts = ["tent camping", "camping stove", "lipstick makeup", "makeup brush"] * 2
    tent, stove, lipstick = TfidfSvd(width=2).fitted(texts).encode(["tent", "stove", "lipstick"])
    assert tent @ stove > 0.99
    assert abs(tent @ lipstick) < 0.01


def test_the_catalogues_order_and_copies_make_no_difference(titles):
    first = TfidfSvd().fitted(titles)
    second = TfidfSvd().fitted([*titles[::-1], titles[3]])
    assert first.card == second.card
    np.testing.assert_array_equal(first.encode(titles), second.encode(titles))


def test_signs_are_fixed(titles):
    encoder = TfidfSvd(width=8).fitted(titles)
    encoder.encode(titles)
    _, axes = encoder._model
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(8)] > 0).all()


def test_texts_without_a_known_word_are_zero(titles):
    vectors = TfidfSvd().fitted(titles).encode(["", "qwertz", "lipstick"])
    assert not vectors[:2].any()
    assert np.linalg.norm(vectors[2]) == pytest.approx(1)


@pytest.mark.parametrize("texts", [[""], ["", "..."], ["!", "?"]])
def test_a_catalogue_without_words_is_zero(texts):
    vectors = encode_items(TfidfSvd(), texts, recipe="title").vectors
    assert vectors.shape == (len(texts), 1)
    assert not vectors.any()


def test_it_is_fitted_on_the_catalogue_for_items_and_queries(titles):
    encoder = get_encoder("tfidf-svd")
    items = encode_items(encoder, titles, recipe="title")
    queries = encode_queries(encoder, ["espresso"], titles, recipe="title")
    best = titles[int((items.vectors @ queries.vectors[0]).argmax())]
    assert "espresso" in best
    assert items.card.revision == queries.card.revision
    assert items.card.revision != encode_items(encoder, titles[:50], recipe="title").card.revision


def test_it_refuses_to_guess_a_catalogue():
    with pytest.raises(UsageError, match="learns from a catalogue"):
        get_encoder("tfidf-svd").encode(["a"])
