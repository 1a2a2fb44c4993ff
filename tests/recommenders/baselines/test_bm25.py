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


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (1.2, 0.0), (0.9, 1.0)])
def test_scores_are_those_of_the_formula(k1: float, b: float, fitted: Callable[..., Any]) -> None:
    texts = corpus()
    recommender = fitted(CARD, PROBLEM, Items(n=50, text=texts), k1=k1, b=b)
    queries = ["red scarf", "tea tea cup", "atlas", "nothing known here", "", "blue unknown sea"]
    scores = recommender.scores(Queries(len(queries), text=queries), slice(0, 50))
    expected = [formula(query, texts, k1, b) for query in queries]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-7)
    assert (scores[3:5] == 0).all()


def test_slices_are_columns_of_the_whole(fitted: Callable[..., Any]) -> None:
    recommender = fitted(CARD, PROBLEM, Items(n=50, text=corpus()))
    queries = Queries(2, text=["red scarf", "blue tea"])
    whole = recommender.scores(queries, slice(0, 50))
    np.testing.assert_array_equal(recommender.scores(queries, slice(13, 40)), whole[:, 13:40])


def test_of_two_texts_the_longer_scores_lower(fitted: Callable[..., Any]) -> None:
    texts = ["red scarf", "red scarf with a long fringe", "tea"]
    recommender = fitted(CARD, PROBLEM, Items(n=3, text=texts))
    [[short, long, none]] = recommender.scores(Queries(1, text=["Red SCARF"]), slice(0, 3))
    assert short > long > none == 0


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
