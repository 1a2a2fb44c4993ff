"""Reviews of every kind of file, and what each filter takes away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tastebench.build.reviews import (
    ReviewFilters,
    Reviews,
    begin_of_test,
    draw,
    find_reviews,
    read_reviews,
    select,
    since_when,
)
from tastebench.data.card import SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.errors import DataError, UsageError

BEGIN = 1_600_000_000_000
LONG = "It keeps the evening warm and my daughter reads next to it for hours on end. "
RELEASES = {
    "2014 and 2018": {
        "reviewerID": "u1",
        "asin": "i1",
        "reviewText": LONG,
        "overall": 5.0,
        "unixReviewTime": BEGIN // 1000,
        "reviewTime": "09 13, 2020",
        "style": {"Size:": " L"},
    },
    "2023": {
        "user_id": "u1",
        "parent_asin": "i1",
        "asin": "a variant",
        "title": "Five stars",
        "text": LONG,
        "rating": 5.0,
        "timestamp": BEGIN,
    },
}


@pytest.mark.parametrize("release", RELEASES)
def test_the_files_of_amazon_need_no_mapping(release: str, tmp_path: Path) -> None:
    file = tmp_path / "reviews.jsonl"
    file.write_text((json.dumps(RELEASES[release]) + "\n") * 2)
    [first, second] = read_reviews(file).frame.to_dicts()
    assert first == second
    assert first == {
        "user_id": "u1",
        "item_id": "i1",
        "text": LONG,
        "rating": 5.0,
        "time": BEGIN,
    }


def test_a_file_of_ones_own_is_mapped(tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_text("sku,body,when\ni1,nice,2020-09-13\n,none,2020-09-13\n")
    with pytest.raises(DataError, match="which column of reviews is the item"):
        read_reviews(file)
    found = read_reviews(file, {"item": "sku", "text": "body", "time": "when"})
    assert found.frame.columns == ["item_id", "text", "time"]
    assert len(found) == 1
    assert found.dropped == {"reviews without sku": 1}
    assert found.read == 2


def test_the_filters_take_what_amazon_c4_leaves_out_and_say_how_many(shop: Dataset) -> None:
    """T15: rating 5, a hundred characters, the test period; exactly a hundred pass."""
    rows = [
        ("i1", "x" * 100, 5.0, BEGIN),
        ("i1", "x" * 99, 5.0, BEGIN),
        ("i1", "y" * 100, 4.9, BEGIN),
        ("i1", "z" * 100, 5.0, BEGIN - 1),
        ("i9999", "x" * 100, 5.0, BEGIN),
        ("i2", " " + "x" * 100, 5.0, BEGIN),
        ("i2", "x" * 100 + "&amp;", 5.0, BEGIN),
        ("i1", "  ", 5.0, BEGIN),
        ("i1", None, 5.0, BEGIN),
        ("i1", "w" * 100, None, BEGIN),
    ]
    frame = pl.DataFrame(rows, schema=["item_id", "text", "rating", "time"], orient="row")
    passed = select(Reviews(frame), shop, ReviewFilters(since=BEGIN))
    assert passed.frame["text"].to_list() == ["x" * 100, "x" * 100 + "&amp;"]
    assert passed.dropped == {
        "without text": 2,
        "of items that the dataset lacks": 1,
        "rated below 5": 2,
        "shorter than 100 characters": 1,
        "before 2020-09-13T12:26:40": 1,
        "with a text that was there before": 1,
    }
    assert passed.read == len(rows)


def test_items_without_a_title_cannot_be_checked_and_are_left_out(shop: Dataset) -> None:
    items = shop.tables.items.with_columns(
        title=pl.when(pl.col("item_id") == "i1").then(pl.lit(" ?! ")).otherwise("title")
    )
    dataset = Dataset.create(shop.card, replace(shop.tables, items=items))
    frame = pl.DataFrame({"item_id": ["i1", "i2"], "text": ["x" * 100, "y" * 100]})
    passed = select(Reviews(frame), dataset, ReviewFilters())
    assert passed.dropped == {"of items without a title": 1}
    assert len(passed.notes) == 2  # neither ratings nor times: said


def test_where_nothing_passes_it_is_said_what_fell_to_what(shop: Dataset) -> None:
    frame = pl.DataFrame({"item_id": ["i1", "i9999"], "text": ["short", "x" * 100]})
    with pytest.raises(DataError) as error:
        select(Reviews(frame, {"unreadable rows": 3}), shop, ReviewFilters())
    for part in (
        "none of 5 reviews",
        "3 unreadable rows",
        "1 of items that the dataset lacks",
        "1 shorter than 100",
    ):
        assert part in error.value.what


def test_a_dataset_may_keep_reviews_itself(shop: Dataset) -> None:
    found = find_reviews(shop, None)
    assert found.frame.columns == ["user_id", "item_id", "text", "rating", "time"]
    assert shop.tables.interactions is not None
    bare = shop.tables.interactions.drop("review_text")
    with pytest.raises(UsageError, match="keeps no reviews"):
        find_reviews(Dataset.create(shop.card, replace(shop.tables, interactions=bare)), None)


def test_a_larger_draw_adds_to_a_smaller_one() -> None:
    reviews = Reviews(pl.DataFrame({"item_id": [f"i{i}" for i in range(50)], "text": ["x"] * 50}))
    few, more = draw(reviews, 10, 7), draw(reviews, 30, 7)
    assert few.equals(more.head(10))
    assert more["item_id"].n_unique() == 30
    assert not draw(reviews, 10, 8).equals(few)
    assert draw(reviews, 99, 7)["item_id"].n_unique() == 50


def test_the_test_part_begins_where_the_split_says(shop: Dataset) -> None:
    # 40 events, one a second: the last tenth begins with the 37th.
    assert begin_of_test(shop) == BEGIN + 36_000
    fixed = SplitSpec(kind="time", valid_from=BEGIN, test_from=BEGIN + 5_000)
    for splits, expected in (
        ({"cf": fixed}, BEGIN + 5_000),
        ({"cf": SplitSpec(kind="time", ratios=(0.5, 0.25, 0.25))}, BEGIN + 30_000),
        ({"cf": SplitSpec(kind="last_out")}, BEGIN + 36_000),
    ):
        card = shop.card.model_copy(update={"splits": splits})
        assert begin_of_test(replace(shop, card=card)) == expected


def test_since_when(shop: Dataset) -> None:
    assert since_when("any", shop) is None
    assert since_when("test", shop) == BEGIN + 36_000
    assert since_when("2020-09-13", shop) == 1_599_955_200_000
    with pytest.raises(UsageError, match="no time"):
        since_when("soon", shop)
