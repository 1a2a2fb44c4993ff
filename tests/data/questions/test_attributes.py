"""Which columns are attributes, how they are read, and what is no value."""

from __future__ import annotations

import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.questions.attributes import (
    Attribute,
    AttributeRule,
    read_attribute,
    rules_of,
    shorten,
)
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError


def shop(**columns: list[object]) -> Dataset:
    n = len(next(iter(columns.values())))
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(n)], **columns})
    return Dataset.create(DatasetCard(name="shop", title="A shop"), Tables(items=items))


def names(dataset: Dataset, *wanted: str) -> list[str]:
    return [str(rule) for rule in rules_of(dataset, wanted or None)]


PATHS = [["Beauty", "Hair", "Shampoo"], ["Beauty", "Hair", "Dye"], ["Beauty", "Skin"]] * 4
GENRES = [["Action", "Drama"], ["Comedy", "Drama"], ["Drama", "War"], ["Action", "War"]] * 3
TITLES = [f"Thing {i}" for i in range(12)]


def test_columns_are_known_by_their_names_and_lists_by_what_they_hold() -> None:
    dataset = shop(title=TITLES, categories=PATHS, genres=GENRES, store=["A", "B"] * 6)
    assert names(dataset) == [
        "title=title:whole",
        "category=categories:last",
        "genre=genres:each",
        "shop=store:whole",
    ]
    assert names(dataset, "kind=categories:each", "shop") == [
        "title=title:whole",
        "kind=categories:each",
        "shop=store:whole",
    ]


def test_titles_that_begin_with_brands_give_first_words() -> None:
    branded = [f"{'OPI' if i % 2 else 'Olay'} thing {i}" for i in range(12)]
    assert names(shop(title=branded)) == ["title=title:whole", "first word=title:head"]
    assert names(shop(title=TITLES)) == ["title=title:whole", "first word=title:head"]
    the = [f"The thing {i}" for i in range(12)]
    assert names(shop(title=the)) == ["title=title:whole"]
    assert names(shop(title=branded, brand=["x"] * 12)) == [
        "title=title:whole",
        "brand=brand:whole",
    ]


def values(attribute: Attribute) -> list[list[str]]:
    return [[str(attribute.values[code]) for code in own] for own in attribute.each]


def wholes(attribute: Attribute) -> list[str]:
    return [str(attribute.texts[code]) if code >= 0 else "" for code in attribute.whole]


@pytest.mark.parametrize(
    ("how", "column", "expected", "whole"),
    [
        ("whole", ["red", " ", None, "a &amp; b"], [["red"], [], [], ["a & b"]], None),
        (
            "last",
            [["x", "y"], ["x", ""], [], None],
            [["y"], ["x"], [], []],
            None,
        ),
        (
            "each",
            [["x", "y", "x"], ["<b>z</b>"], [None, "y"], []],
            [["x", "y"], ["z"], ["y"], []],
            ["x, y", "z", "y", ""],
        ),
    ],
)
def test_values(
    how: str, column: list[object], expected: list[list[str]], whole: list[str] | None
) -> None:
    rule = AttributeRule("a", "column", how)  # type: ignore[arg-type]
    found = read_attribute(shop(title=TITLES[:4], column=column), rule, 100)
    assert values(found) == expected
    assert wholes(found) == (whole or ["".join(own) for own in expected])


def test_first_words_are_shared_and_spelled_one_way() -> None:
    titles = [
        *("OPI Red", "opi Blue", "OPI, Green", "OPI: Grey", "Opi Pink"),
        *(f"The thing {i}" for i in range(9)),
        *(f"12 things {i}" for i in range(9)),
        *("Rare thing", "OPI"),
    ]
    found = read_attribute(shop(title=titles), AttributeRule("w", "title", "head"), 100)
    # A title of one word has no word before another.
    assert values(found) == [["OPI"]] * 5 + [[]] * 20


def test_long_texts_are_cut_between_words_and_may_become_the_same() -> None:
    texts = pl.Series(["short", "one two three", "onetwothree", "one two threes"])
    assert shorten(texts, 9).to_list() == ["short", "one two...", "onetwothr...", "one two..."]
    rule = AttributeRule("title", "title", "whole")
    found = read_attribute(shop(title=texts.to_list()), rule, 9)
    assert found.whole.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("colour", "the items of shop have no column 'colour'"),
        ("a=titel", "the items of shop have no column 'titel'"),
        ("a=title:leaf", "'leaf' is none of whole, last, each, head"),
        ("a=title:last", "title is no list, which last does not read"),
        ("a=categories:whole", "categories is a list, which whole does not read"),
        ("title", "title is always there"),
    ],
)
def test_attributes_that_cannot_be_meant(wanted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rules_of(shop(title=TITLES, categories=PATHS), (wanted,))


def test_without_titles_nothing_can_be_asked() -> None:
    with pytest.raises(DataError, match="items have no titles"):
        rules_of(shop(name=TITLES), None)
