"""Descriptions worked out by hand on a small shop, and of real data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.describe import Shown, describe
from tastebench.data.schema import Tables
from tastebench.data.sources import SOURCES

DAY = 86_400_000


def shop(**card: object) -> Dataset:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["Red &amp; blue tent", "", None, " Tent "],
            "tags": [["x", "y z"], [], None, ["x"]],
        }
    )
    interactions = pl.DataFrame(
        [
            ("u", "a", 0 * DAY, 4.0),
            ("u", "b", 1 * DAY, None),
            ("u", "a", 1 * DAY, 2.0),  # tied with the one before, and a pair again
            ("u", "a", 1 * DAY, 2.0),  # the same row again
            ("v", "c", 9 * DAY, 5.0),
        ],
        schema=["user_id", "item_id", "time", "rating"],
        orient="row",
    )
    known = {"text_columns": ("title", "tags", "blurb"), **card}
    made = DatasetCard(name="shop", title="Shop", **known)  # type: ignore[arg-type]
    return Dataset.create(
        made,
        Tables(items=items, interactions=interactions),
        {
            "raw": {"how": "read from here"},
            "repairs": {"repeated items dropped": 2},
            "differs": ["4 items, published are 5"],
        },
    )


def test_sizes_and_repeats() -> None:
    it = describe(shop())
    assert it.counts == {"users": 2, "items": 4, "interactions": 5}
    assert it.density == pytest.approx(3 / 8)
    assert it.repeats is not None
    assert (it.repeats.pairs, it.repeats.rows) == pytest.approx((2 / 5, 1 / 5))
    assert (it.made, it.repairs) == ("read from here", {"repeated items dropped": 2})
    assert it.differences == ("4 items, published are 5",)


def test_times() -> None:
    times = describe(shop()).times
    assert times is not None
    assert (times.first, times.last) == ("1970-01-01T00:00:00Z", "1970-01-10T00:00:00Z")
    assert (times.days, times.granularity) == (9.0, "day")
    assert times.tied == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("step", "unit"),
    [(3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (7, "millisecond"), (-DAY, "day")],
)
def test_granularity_is_the_coarsest_unit_that_fits_all(step: int, unit: str) -> None:
    dataset = shop()
    assert dataset.tables.interactions is not None
    moved = dataset.tables.interactions.with_columns(time=pl.Series([step, 5 * step, 0, 0, 0]))
    times = describe(
        Dataset.create(dataset.card, Tables(items=dataset.tables.items, interactions=moved))
    ).times
    assert times is not None
    assert times.granularity == unit


def test_text_columns() -> None:
    title, tags, blurb = describe(shop()).text
    assert (title.name, title.coverage, title.markup, title.distinct) == ("title", 0.5, 0.5, 1.0)
    # 19 and 4 characters, 4 and 1 words: the median and the 95th percentile between them.
    assert title.chars == pytest.approx((11.5, 4 + 0.95 * 15))
    assert title.words == pytest.approx((2.5, 1 + 0.95 * 3))
    assert (tags.coverage, tags.words) == (0.5, pytest.approx((2.0, 1 + 0.95 * 2)))
    assert (blurb.coverage, blurb.chars) == (0.0, None)


def test_ratings_and_lengths() -> None:
    it = describe(shop())
    assert it.ratings is not None
    assert (it.ratings.low, it.ratings.high, it.ratings.levels) == (2.0, 5.0, 3)
    assert (it.ratings.mean, it.ratings.missing) == pytest.approx((3.25, 0.2))
    assert it.per_user is not None
    assert it.per_user.buckets == {"1": 1, "2-4": 1}
    assert it.per_item is not None
    assert it.per_item.buckets == {"0": 1, "1": 2, "2-4": 1}
    assert (it.per_item.longest, it.per_item.mean) == (3, 1.25)


def test_buckets_reach_from_nothing_to_any_length() -> None:
    users = [f"u{n}" for n in (1, 4, 5, 19, 99, 100, 499, 500, 600)]
    lengths = [1, 4, 5, 19, 99, 100, 499, 500, 600]
    rows = [(user, "i") for user, n in zip(users, lengths, strict=True) for _ in range(n)]
    dataset = Dataset.create(
        DatasetCard(name="x", title="x"),
        Tables(
            items=pl.DataFrame({"item_id": ["i"], "title": ["t"]}),
            interactions=pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row"),
        ),
    )
    per_user = describe(dataset).per_user
    assert per_user is not None
    assert per_user.buckets == {
        "1": 1,
        "2-4": 1,
        "5-9": 1,
        "10-19": 1,
        "50-99": 1,
        "100-499": 2,
        "500+": 2,
    }


def test_splits_say_what_they_leak_or_why_they_cannot_be() -> None:
    last_out = SplitSpec(kind="last_out")
    late = SplitSpec(kind="time", valid_from=100 * DAY, test_from=200 * DAY)
    seqrec, cf = describe(shop(splits={"seqrec": last_out, "cf": late})).splits
    assert seqrec.leakage is not None
    assert seqrec.leakage.counts == {"train": 2, "valid": 1, "test": 2, "dropped": 0}
    assert seqrec.leakage.sentence.startswith("Leave-last-out")
    assert cf.leakage is None
    assert "empty" in (cf.problem or "")


def test_without_times_order_is_said_apart() -> None:
    dataset = shop()
    assert dataset.tables.interactions is not None
    rows = dataset.tables.interactions.drop("time")
    for frame, ordered in ((rows, True), (rows.with_columns(row=pl.lit(0)), False)):
        made = Dataset.create(dataset.card, Tables(items=dataset.tables.items, interactions=frame))
        it = describe(made)
        assert (it.times, it.ordered) == (None, ordered)


@pytest.mark.parametrize(("min_grade", "relevant"), [(None, 1.5), (0.1, 1.5), (0.5, 1.0)])
def test_search_data_have_queries_and_no_interactions(
    min_grade: float | None, relevant: float
) -> None:
    tables = Tables(
        items=pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}),
        queries=pl.DataFrame(
            {
                "query_id": ["1", "2", "3"],
                "text": ["one", "one two", "a b c d e"],
                "group": ["short", "short", "complex"],
            }
        ),
        relevance=pl.DataFrame(
            {"query_id": ["1", "1", "2"], "item_id": ["a", "b", "b"], "grade": [1.0, 0.1, 1.0]}
        ),
    )
    card = DatasetCard(name="s", title="s", tasks=("search",), min_grade=min_grade)
    it = describe(Dataset.create(card, tables))
    short, complex_ = it.queries
    assert (short.group, short.n, short.words, short.judged, short.relevant) == (
        "short",
        2,
        1.5,
        1.5,
        relevant,
    )
    assert (complex_.n, complex_.judged) == (1, 0.0)
    assert (it.density, it.times, it.per_user, it.splits) == (None, None, None, ())
    assert it.counts == {"items": 2, "queries": 3, "relevance": 3}


def test_clicks_of_impressions() -> None:
    dataset = shop(tasks=("ctr",))
    impressions = pl.DataFrame(
        {
            "impression_id": ["1", "1", "2", "2", "2", "3"],
            "user_id": ["u", "u", "u", "v", "v", "w"],
            "item_id": ["a", "b", "a", "a", "b", "c"],
            "label": [1, 0, 0, 0, 0, 1],
        }
    )
    it = describe(
        Dataset.create(dataset.card, Tables(items=dataset.tables.items, impressions=impressions))
    )
    # Of the lists 1 has both classes, of the users u.
    assert it.shown == Shown(
        clicked=pytest.approx(2 / 6),
        lists=3,
        median_list=2.0,
        one_class_lists=2,
        users=3,
        one_class_users=2,
    )
    assert it.counts["lists"] == 3
    # Without times whole users are held out; which rows that are, `data check` says.
    assert [(view.task, view.kind, view.leakage, view.problem) for view in it.splits] == [
        ("ctr", "user", None, None)
    ]


def test_parts_that_impressions_bring_are_counted() -> None:
    dataset = shop(tasks=("ctr",))
    impressions = pl.DataFrame(
        {
            "impression_id": ["1", "2", "3"],
            "user_id": ["u", "v", "u"],
            "item_id": ["a", "b", "c"],
            "label": [1, 0, 1],
            "part": ["train", "test", "test"],
        }
    )
    tables = Tables(items=dataset.tables.items, impressions=impressions)
    [view] = describe(Dataset.create(dataset.card, tables)).splits
    assert view.leakage is not None
    assert view.leakage.counts == {"train": 1, "valid": 0, "test": 2, "dropped": 0}
    assert (view.leakage.cold_users, view.leakage.cold_items) == (0.5, 1.0)


def test_the_dict_is_json_and_complete() -> None:
    it = describe(shop(splits={"seqrec": SplitSpec(kind="last_out")}))
    read = json.loads(json.dumps(it.to_dict(), allow_nan=False))
    assert read["card"]["name"] == "shop"
    assert read["fingerprint"] == it.fingerprint
    assert read["splits"][0]["leakage"]["counts"]["test"] == 2


def test_real_movielens(asset: Callable[[str], Path]) -> None:
    source = SOURCES.get("movielens-100k")
    it = describe(Dataset.create(source.card, source.read(asset("data/ml-100k"))))
    assert it.differences == ()
    assert it.density == pytest.approx(100_000 / (943 * 1_682))
    assert it.times is not None
    assert it.times.granularity == "second"
    assert it.text[0].coverage == 1.0
    assert it.per_user is not None
    assert it.per_user.longest == 737
