"""What gives an item away is found however it is written; what everybody says is not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.build.leaks import identities, leaks
from tastebench.build.words import runs, words

ITEMS = pl.DataFrame(
    {
        "item_id": [f"i{i}" for i in range(300)],
        "title": [
            "Hohner Special 20 Harmonica, Key of C",
            "Sony WH-1000XM4 Wireless Noise Canceling Headphones",
            "Bj\u00f6rk&#39;s Caf&eacute; Blend Coffee, 1,500 Beans, 12 oz",
            "Guitar",
            "Bananagrams",
            "Key of C Harmonica for Beginners",
            "\u96fb\u6c14\u7089 \u5927\u53f7",
            *[f"Guitar strings set number {i}" for i in range(293)],
        ],
        "brand": ["Hohner", "Sony", "Kaffee-Haus", None, "", *[None] * 295],
        "store": [None, "Sony", None, None, None, *[None] * 295],
    }
)
BY_HAND = identities(ITEMS, np.arange(7))
REVIEW = "I have played this for years and the sound of it is warm and clear every time I play it"


def kinds(query: str, item: int, review: str = REVIEW) -> list[str]:
    query_words, review_words = words([query, review])
    return [fault.kind for fault in leaks(tuple(query_words), BY_HAND[item], tuple(review_words))]


@pytest.mark.parametrize(
    ("query", "item", "expected"),
    [
        # the title, whole or in runs of three words that are rare
        ("I want a hohner SPECIAL-20 harmonica key of c!", 0, ["title", "brand"]),
        ("I look for a special 20 harmonica for blues.", 0, ["title"]),
        ("I need a harmonica in the key of D.", 0, []),
        ("Do you have a special harmonica with 20 holes?", 0, []),
        # one word of a title: rare alone names the item, common does not
        ("I want bananagrams for my kids.", 4, ["title"]),
        ("I want a guitar for my kids.", 3, []),
        # brands
        ("Something by sony please.", 1, ["brand"]),
        ("Coffee from the kaffee haus in town.", 2, ["brand"]),
        ("A personal thing.", 1, []),
        # model numbers, however they are joined
        ("I want the wh1000xm4.", 1, ["model number"]),
        ("I want the WH 1000XM4.", 1, ["model number", "model number"]),
        ("I want the wh-1000 xm4.", 1, ["model number", "model number"]),
        # numbers and sizes
        ("I need 1500 beans.", 2, ["number"]),
        ("I need 1,500 beans.", 2, ["number"]),
        ("I need 12 ounces.", 2, ["number"]),
        ("I need 12oz of it.", 2, ["number"]),
        ("I need 12 cups a day.", 2, []),
        # accents, entities and apostrophes
        ("I like Bjork\u2019s caf\u00e9 blend best.", 2, ["title"]),
        ("I like <b>Bjork's</b> CAF&Eacute; blend best.", 2, ["title"]),
        # scripts without spaces
        ("\u6211\u60f3\u4e70\u4e00\u4e2a\u7535\u6c14\u7089\u3002", 6, []),
        ("\u6211\u60f3\u4e70\u96fb\u6c14\u7089\u3002", 6, ["title"]),
    ],
)
def test_by_hand(query: str, item: int, expected: list[str]) -> None:
    assert kinds(query, item) == expected


def test_eight_words_of_the_review_in_a_row_pass_and_nine_do_not() -> None:
    words_of = REVIEW.split()
    assert kinds("So " + " ".join(words_of[3:11]) + " please.", 3) == []
    assert kinds("So " + " ".join(words_of[3:12]).upper() + " please.", 3) == ["verbatim"]


def test_what_is_wrong_is_said_in_words() -> None:
    query, review = words(["A sony thing of 1500", REVIEW])
    [fault] = leaks(tuple(query), BY_HAND[1], tuple(review))
    assert fault.what == 'it names the brand or shop: "sony"'


def test_items_without_title_or_maker_give_nothing_away() -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "title": [None, "..."]})
    for identity in identities(items, np.array([0, 1])):
        assert leaks(("anything", "at", "all"), identity, ()) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=30))
def test_rare_runs_are_those_of_a_count_in_python(titles: list[list[str]]) -> None:
    items = pl.DataFrame({"title": [" ".join(title) for title in titles]})
    count = Counter(run for title in titles for run in set(runs(title, 3)))
    found = identities(items, np.arange(len(titles)))
    for title, identity in zip(titles, found, strict=True):
        rare = {run for run in runs(title, 3) if count[run] < max(2, 0.01 * len(titles))}
        assert identity.rare_runs == rare
