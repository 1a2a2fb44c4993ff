from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Items, Queries
from tastebench.errors import UsageError
from tastebench.recommenders import get_recommender
from tastebench.recommenders.baselines.bm25 import words_of
from tastebench.testing.tiny import tiny

CARD = get_recommender("bm25")
PROBLEM = tiny("search").problem
WORDS = "red blue green wool silk linen scarf shawl belt tea cup kettle sea novel atlas map".split()


def corpus(n: int = 50) -> list[str]:
    """Texts of 0 to 11 words, common and rare ones, with repeats."""
    rng = np.random.default_rng(8)
    chance = 1 / np.arange(1, len(WORDS) + 1)
    lengths = rng.integers(0, 12, n)
    return [" ".join(rng.choice(WORDS, m, p=chance / chance.sum())) for m in lengths]


def formula(query: str, texts: list[str], k1: float, b: float) -> list[float]:
    """BM25 as its definition says, one word and text at a time."""
    split = [text.split() for text in texts]
    average = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        count, score = Counter(words), 0.0
        for word in query.split():
            holding = sum(word in other for other in split)
            if count[word]:
                idf = math.log(1 + (len(split) - holding + 0.5) / (holding + 0.5))
                norm = k1 * (1 - b + b * len(words) / average)
                score += idf * count[word] / (count[word] + norm)
        scores.append(score)
    return scores


def okapi(
    query: list[str], texts: list[list[str]], *, length: int | None = None, k1: float = 1.5
) -> list[float]:
    """The floored form word by word; `length` stands for every text's length if given."""
    average = sum(map(len, texts)) / len(texts)
    holding = Counter(word for text in texts for word in set(text))
    idf = {t: math.log(len(texts) - n + 0.5) - math.log(n + 0.5) for t, n in holding.items()}
    floor = 0.25 * sum(idf.values()) / len(idf)
    idf = {word: weight if weight >= 0 else floor for word, weight in idf.items()}
    scores = []
    for text in texts:
        d = len(text) if length is None else length
        counts = [(idf.get(word, 0), text.count(word)) for word in query]
        norm = k1 * (1 - 0.75 + 0.75 * d / average)
        scores.append(sum(w * f * (k1 + 1) / (f + norm) for w, f in counts))
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (1.2, 0.0), (0.9, 1.0)])
def test_scores_are_those_of_the_formula(k1: float, b: float, fitted: Callable[..., Any]) -> None:
    """T14: an independent implementation on 50 texts, Lucene's form."""
    texts = corpus()
    recommender = fitted(CARD, PROBLEM, Items(n=50, text=texts), k1=k1, b=b)
    queries = ["red scarf", "tea tea cup", "atlas", "nothing known here", "", "blue unknown sea"]
    scores = recommender.scores(Queries(len(queries), text=queries), slice(0, 50))
    expected = [formula(query, texts, k1, b) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)
    assert (scores[3:5] == 0).all()


def test_the_floored_form_is_that_of_the_formula(fitted: Callable[..., Any]) -> None:
    """T14: an independent implementation on 50 texts, Okapi's form with a floor."""
    texts = [text + " Red" * (i % 3 > 0) for i, text in enumerate(corpus())]  # most have it
    recommender = fitted(CARD, PROBLEM, Items(n=50, text=texts), variant="okapi-floored")
    queries = ["red scarf", "RED red", "tea tea cup", "atlas", "nothing known here"]
    scores = recommender.scores(Queries(len(queries), text=queries), slice(0, 50))
    split = [text.lower().split() for text in texts]
    assert sum("red" in text for text in split) > 25
    expected = [okapi(query.lower().split(), split) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert (np.array(expected)[1] > 0).sum() > 25  # the frequent word is worth a little, not less


def test_the_published_form_is_that_of_the_formula(fitted: Callable[..., Any]) -> None:
    """T14: the published code takes the number of texts for a length and keeps words' case."""
    texts = [
        f"{'The' if i % 7 else 'the'} {text} {text.title()}" for i, text in enumerate(corpus())
    ]
    recommender = fitted(CARD, PROBLEM, Items(n=50, text=texts), variant="blair-published")
    queries = ["red Scarf", "The tea", "the tea", "atlas ATLAS"]
    scores = recommender.scores(Queries(len(queries), text=queries), slice(0, 50))
    split = [[word for word in text.split() if word != "the"] for text in texts]
    expected = [okapi(query.split(), split, length=50) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert (scores[1] != scores[2]).any()  # a capital saves a stop word


def test_negative_weights_are_summed_too(fitted: Callable[..., Any]) -> None:
    # Every word is in two of three texts, so the mean weight is below zero, and so is the floor.
    texts = ["red scarf", "red tea", "scarf tea"]
    recommender = fitted(CARD, PROBLEM, Items(n=3, text=texts), variant="okapi-floored")
    scores = recommender.scores(Queries(1, text=["red scarf"]), slice(0, 3))
    np.testing.assert_allclose(
        scores, [okapi(["red", "scarf"], [t.split() for t in texts])], rtol=1e-6
    )
    assert (scores < 0).all() and scores.argmin() == 0


def test_slices_are_columns_of_the_whole(fitted: Callable[..., Any]) -> None:
    recommender = fitted(CARD, PROBLEM, Items(n=50, text=corpus()))
    queries = Queries(2, text=["red scarf", "blue tea"])
    whole = recommender.scores(queries, slice(0, 50))
    np.testing.assert_array_equal(recommender.scores(queries, slice(13, 40)), whole[:, 13:40])


@pytest.mark.parametrize("variant", ["lucene", "okapi-floored"])
def test_of_two_texts_the_longer_scores_lower(variant: str, fitted: Callable[..., Any]) -> None:
    """T14: equal counts, other length."""
    texts = ["red scarf", "red scarf with a long fringe", "tea", "cup", "kettle"]
    recommender = fitted(CARD, PROBLEM, Items(n=5, text=texts), variant=variant)
    [[short, long, none, *_]] = recommender.scores(Queries(1, text=["Red SCARF"]), slice(0, 5))
    assert short > long > none == 0


def test_the_published_form_does_not_see_length(fitted: Callable[..., Any]) -> None:
    """T14: why the published form is not the default."""
    texts = ["red scarf", "red scarf with a long fringe", "tea", "cup", "kettle"]
    recommender = fitted(CARD, PROBLEM, Items(n=5, text=texts), variant="blair-published")
    [[short, long, *_]] = recommender.scores(Queries(1, text=["red scarf"]), slice(0, 5))
    assert short == long > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Café-Crème, 5 W!", ["café", "crème", "5", "w"]),
        ("USB_C 3.0", ["usb_c", "3", "0"]),
        ("", []),
        ("...", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_words_can_keep_their_case() -> None:
    assert words_of("The USB_C, the", lower=False) == ["The", "USB_C", "the"]


def test_stop_words_can_be_kept(fitted: Callable[..., Any]) -> None:
    items = Items(n=3, text=["the red scarf", "red scarf", "tea"])
    query = Queries(1, text=["the"])
    assert (fitted(CARD, PROBLEM, items).scores(query, slice(0, 3)) == 0).all()
    kept = fitted(CARD, PROBLEM, items, stop_words="none").scores(query, slice(0, 3))
    assert kept[0, 0] > 0


def test_what_is_missing_is_named(fitted: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="needs item texts"):
        fitted(CARD, PROBLEM, Items(n=3))
    with pytest.raises(UsageError, match="no item text holds a word"):
        fitted(CARD, PROBLEM, Items(n=3, text=["", "...", "the"]))
    recommender = fitted(CARD, PROBLEM, Items(n=1, text=["tea"]))
    with pytest.raises(UsageError, match="needs the queries in words"):
        recommender.scores(Queries(1), slice(0, 1))
