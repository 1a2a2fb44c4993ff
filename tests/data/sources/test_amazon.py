"""The three Amazon releases from small files of their format, and the real ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.sources import SOURCES, amazon_2014, amazon_2018, amazon_2023
from tastebench.data.tidy import tidy
from tastebench.errors import DataError


def put(folder: Path, name: str, lines: list[object]) -> None:
    """Lines that are strings as they are, others as JSON; gzipped if the name says so."""
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def review(user: str, item: str, time: int = 1_400_000_000, **more: object) -> dict[str, object]:
    return {
        "reviewerID": user,
        "asin": item,
        "overall": 5.0,
        "unixReviewTime": time,
        "reviewText": "Fine.",
        **more,
    }


# 2014


def test_2014_metadata_are_python_literals(tmp_path: Path) -> None:
    put(tmp_path, "reviews_Baby_5.json.gz", [review("u", "B1"), review("u", "B2", 0)])
    put(
        tmp_path,
        "meta_Baby.json.gz",
        [
            "{'asin': 'B9', 'title': 'Not reviewed', this line is broken, and not needed}",
            "{'asin': 'B1', 'title': \"Baby's cup\", 'price': 9.49, 'related': {'also': ['B9']}, "
            "'categories': [['Baby', 'Feeding'], ['Gifts']], 'brand': 'Acme'}",
        ],
    )
    tables = amazon_2014.read(tmp_path, "Baby")
    assert tables.items.rows() == [
        ("B1", "Baby's cup", None, ["Baby", "Feeding"], "Acme", 9.49),
        ("B2", None, None, None, None, None),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "u", "B1", 1_400_000_000_000, 5.0),
        (1, "u", "B2", 0, 5.0),
    ]


@pytest.mark.parametrize(
    "line",
    ["{'asin': 'B1', 'title': 'x'", "{'asin': 'B1', 'title': __import__('os').getcwd()}", "[]"],
    ids=["cut off", "an expression", "no mapping"],
)
def test_2014_lines_that_are_no_literal_are_named_and_never_run(line: str, tmp_path: Path) -> None:
    put(tmp_path, "reviews_Baby_5.json", [review("u", "B1")])
    put(tmp_path, "meta_Baby.json", ["{'asin': 'B0'}", line])
    with pytest.raises(DataError, match="no Python literal of a product in 1 row") as caught:
        amazon_2014.read(tmp_path, "Baby")
    assert caught.value.where == f"{tmp_path / 'meta_Baby.json'}, row 2"


def test_2014_the_5_core_comes_before_the_full_file(tmp_path: Path) -> None:
    put(tmp_path, "reviews_Baby.json", [review("u", "B1"), review("u", "B2")])
    full = amazon_2014.read(tmp_path, "Baby").interactions
    put(tmp_path, "reviews_Baby_5.json", [review("u", "B1")])
    core = amazon_2014.read(tmp_path, "Baby").interactions
    assert full is not None
    assert core is not None
    assert (len(full), len(core)) == (2, 1)


def test_2014_real_prefix(asset: Callable[[str], Path], tmp_path: Path) -> None:
    folder = asset("data/amazon-2014-raw")
    for name in ("reviews_Digital_Music_5", "meta_Digital_Music"):
        (tmp_path / f"{name}.json.gz").symlink_to(folder / f"{name}.prefix.json.gz")
    tables = SOURCES.get("amazon-2014-digital-music").read(tmp_path)
    assert tables.interactions is not None
    assert (len(tables.items), len(tables.interactions)) == (382, 6_908)
    assert tables.interactions["user_id"].n_unique() == 2_490
    assert tables.items["title"].null_count() == 0


def test_2014_without_metadata_the_columns_are_there(asset: Callable[[str], Path]) -> None:
    tables = amazon_2014.read(asset("data/amazon-2014-raw"), "Musical_Instruments")
    assert tables.items["title"].null_count() == len(tables.items) == 900


# 2018


def test_2018_markup_in_place_of_text_is_no_text(tmp_path: Path) -> None:
    meta = {"feature": [], "description": ["A.", "", " "], "category": ["Gifts"], "brand": ""}
    items = [
        {"asin": "A", "title": '<span class="a-size-medium', "price": "$1,250.00", **meta},
        {"asin": "B", "title": "1 < 2 <b>x</b>", "price": "$7.14 - $9.00", **meta},
        {"asin": "C", "title": "\n\n<script", "price": ".a-box{color:#fff}", **meta},
        {"asin": "A", "title": "again", "price": "", **meta},
    ]
    put(tmp_path, "Software_5.json.gz", [review("u", name) for name in "ABC"])
    put(tmp_path, "meta_Software.json.gz", list(items))
    tables = amazon_2018.read(tmp_path, "Software")
    assert tables.items.rows() == [
        ("A", None, [], ["A."], ["Gifts"], None, 1250.0),
        ("B", "1 < 2 <b>x</b>", [], ["A."], ["Gifts"], None, None),
        ("C", None, [], ["A."], ["Gifts"], None, None),
        ("A", "again", [], ["A."], ["Gifts"], None, None),
    ]
    tidied, repairs = tidy(tables, "software")
    assert tidied.items["item_id"].to_list() == ["A", "B", "C"]
    assert repairs == {"repeated items dropped": 1}


def test_2018_real_dirt(asset: Callable[[str], Path]) -> None:
    tables = amazon_2018.read(asset("data/amazon-2018-raw"), "Magazine_Subscriptions")
    assert not tables.items["title"].drop_nulls().str.starts_with("<span").any()
    tidied, repairs = tidy(tables, "magazines")
    assert len(tidied.items) == 157
    assert repairs == {"repeated items dropped": len(tables.items) - 157}


def test_2018_real_duplicates_stay(asset: Callable[[str], Path]) -> None:
    interactions = amazon_2018.read(asset("data/amazon-2018-raw"), "All_Beauty").interactions
    assert interactions is not None
    pairs = interactions.select("user_id", "item_id").n_unique()
    assert len(interactions) - pairs == 1_177


def test_2018_real_prices_and_titles(asset: Callable[[str], Path]) -> None:
    items = amazon_2018.read(asset("data/amazon-2018-raw"), "Gift_Cards").items
    assert items["title"].null_count() == 0
    prices = items["price"].drop_nulls()
    assert len(prices) > 100
    assert prices.is_between(0.01, 2_000).all()


def test_2018_a_review_without_a_time_is_named(tmp_path: Path) -> None:
    good = review("u", "A")
    put(tmp_path, "Software_5.json", [good, {k: v for k, v in good.items() if "Time" not in k}])
    with pytest.raises(DataError, match="unixReviewTime is missing in 1 row") as caught:
        amazon_2018.read(tmp_path, "Software")
    assert caught.value.where == f"{tmp_path / 'Software_5.json'}, row 2"


# 2023

RATED = "user_id,parent_asin,rating,timestamp\nu,P1,5.0,1452647382000\nv,P2,3.0,915148800000\n"
META = [
    {
        "parent_asin": "P1",
        "main_category": "All Beauty",
        "title": "Rosé <b>cream</b>",
        "features": ["Soft"],
        "description": [],
        "price": 7.98,
        "store": "Acme",
        "categories": [],
        "details": {"Size": 1},
        "bought_together": None,
    },
    {"parent_asin": "P2", "title": None, "price": "from 28.00", "features": [], "store": None},
]


@pytest.mark.parametrize(
    ("rated", "meta"),
    [
        (
            "benchmark/0core/rating_only/All_Beauty.csv.gz",
            "raw/meta_categories/meta_All_Beauty.jsonl.gz",
        ),
        ("All_Beauty.csv", "meta_All_Beauty.jsonl"),
    ],
)
def test_2023_benchmark_layout(rated: str, meta: str, tmp_path: Path) -> None:
    put(tmp_path, rated, RATED.splitlines())  # type: ignore[arg-type]
    put(tmp_path, meta, list(META))
    tables = amazon_2023.read(tmp_path, "All_Beauty")
    assert tables.interactions is not None
    # A time of before September 2001 has twelve digits and is a time all the same.
    assert tables.interactions.rows() == [
        (0, "u", "P1", 5.0, 1_452_647_382_000),
        (1, "v", "P2", 3.0, 915_148_800_000),
    ]
    first, second = tables.items.select("item_id", "title", "features", "brand", "price").rows()
    assert first == ("P1", "Rosé <b>cream</b>", ["Soft"], "Acme", 7.98)
    assert second == ("P2", None, [], None, None)


def test_2023_raw_layout_and_negative_times(tmp_path: Path) -> None:
    record = {"user_id": "u", "asin": "V1", "parent_asin": "P1", "rating": 4.0, "text": "<br />"}
    put(tmp_path, "All_Beauty.jsonl", [{**record, "timestamp": -1000}])
    tables = amazon_2023.read(tmp_path, "All_Beauty")
    assert tables.interactions is not None
    assert tables.interactions.select("item_id", "time").rows() == [("P1", -1000)]
    assert tables.items["title"].to_list() == [None]


def test_2023_real_reviews_in_the_raw_layout(asset: Callable[[str], Path], tmp_path: Path) -> None:
    # The sample nests real reviews by user; unnested they are lines of the release.
    reviews: list[object] = []
    products: list[object] = []
    for part in ("training", "validation", "test"):
        for line in (asset("data/amazon-2023-samples") / f"{part}.jsonl").read_text().splitlines():
            record = json.loads(line)
            for seen in record["history"]:
                about = {"parent_asin": seen["parent_asin"], "user_id": record["user_id"]}
                stamp = {"timestamp": seen["timestamp_ms"], "rating": seen["rating"]}
                reviews.append({**about, **stamp, "text": seen["review_full"]})
                product = seen["product"]
                products.append({**about, **product, "store": product["brand"]})
    put(tmp_path, "Unknown.jsonl.gz", reviews)
    put(tmp_path, "meta_Unknown.jsonl.gz", products)
    tables, _ = tidy(amazon_2023.read(tmp_path, "Unknown"), "sample")
    assert tables.interactions is not None
    assert (len(tables.items), len(tables.interactions)) == (2_610, 2_764)
    assert tables.interactions["user_id"].n_unique() == 354


def test_the_2023_splits_are_the_benchmark_s() -> None:
    splits = SOURCES.get("amazon-2023-all-beauty").card.splits
    assert (splits["seqrec"].valid_from, splits["seqrec"].test_from) == (
        1_628_643_414_042,
        1_658_002_729_837,
    )
    assert (splits["cf"].ratios, splits["cf"].by, splits["cf"].seed) == (
        (0.4, 0.3, 0.3),
        "all",
        101,
    )


@pytest.mark.parametrize("module", [amazon_2014, amazon_2018, amazon_2023])
def test_a_category_that_is_not_there(module: object) -> None:
    with pytest.raises(AttributeError, match="Spaceships"):
        module.Spaceships  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "lines",
    [
        ['{"P1": "All Beauty", "P2": "Health \\u0026 Care", "P1": "Books"}'],
        [
            "{",
            '  "P1" : "All Beauty",',
            '  "P2": "Health & Care",',
            '  "P1": "Books"',
            "}",
        ],
        ['{"P1": "All Beauty"}', '{"P2": "Health & Care"}', "", '{"P1": "Books"}'],
    ],
    ids=["one object", "indented", "lines"],
)
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_2023_categories_of_products(
    block: int, lines: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amazon_2023, "_BLOCK", block)
    put(tmp_path, "asin2category.json", lines)
    found = amazon_2023.read_categories(tmp_path / "asin2category.json")
    assert found.schema == {"item_id": pl.String, "category": pl.String}
    assert set(found.rows()) == {("P1", "Books"), ("P2", "Health & Care")}


@pytest.mark.parametrize(
    ("lines", "row"),
    [
        (['{"P1": "A"}', '{"P2": 3}'], 2),
        (['{"P1": "A",', '"P2": "B', ""], 2),
        (['{"P1": "A",', '"P2": "B"', ""], 2),
        (['{"P1": "A",', '"P2", "B"}'], 2),
        (["P1,A"], 1),
        (['{"P1": "A", "P2": null}'], 1),
    ],
    ids=["number", "cut off in a text", "cut off after one", "list", "csv", "null"],
)
def test_2023_categories_that_are_no_texts_are_named(
    lines: list[object], row: int, tmp_path: Path
) -> None:
    put(tmp_path, "asin2category.json", lines)
    with pytest.raises(DataError, match="no pairs of a product and its category") as caught:
        amazon_2023.read_categories(tmp_path / "asin2category.json")
    assert caught.value.where == f"{tmp_path / 'asin2category.json'}, row {row}"


def row_of(user: str, item: str, time: int, history: str | None = None) -> str:
    return f"{user},{item},5.0,{time}" + ("" if history is None else f",{history}")


PARTED = {
    "train": [row_of("u", "A", -5, ""), row_of("v", "C", 946_684_800_000, "")],
    "valid": [row_of("u", "B", 1_628_643_414_042, "A")],
    "test": [row_of("u", "C", 1_658_002_729_837, "A B")],
}


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(
    "layout",
    [
        "benchmark/0core/timestamp_w_his/",
        "benchmark/0core/timestamp/",
        "benchmark/5core/last_out_w_his/",
        "benchmark/0core/last_out/",
        "",
    ],
)
def test_2023_parts_are_joined_back(layout: str, header: bool, end: str, tmp_path: Path) -> None:
    histories = layout.endswith("_w_his/")
    names = "user_id,parent_asin,rating,timestamp" + (",history" if histories else "")
    for part, rows in PARTED.items():
        rows = rows if histories else [row.rsplit(",", 1)[0] for row in rows]  # noqa: PLW2901
        put(tmp_path, f"{layout}All_Beauty.{part}.csv{end}", [names, *rows] if header else [*rows])
    taken = SOURCES.get("amazon-2023-all-beauty").read(tmp_path).interactions
    assert taken is not None
    assert taken.rows() == [
        (0, "u", "A", 5.0, -5),
        (1, "v", "C", 5.0, 946_684_800_000),
        (2, "u", "B", 5.0, 1_628_643_414_042),
        (3, "u", "C", 5.0, 1_658_002_729_837),
    ]


def test_2023_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    put(tmp_path, "All_Beauty.train.csv", [row_of("u", "A", 1)])
    put(tmp_path, "All_Beauty.valid.csv.gz", [row_of("u", "B", 2)])
    with pytest.raises(DataError, match=r"there is no All_Beauty\.test\.csv or"):
        amazon_2023.read(tmp_path, "All_Beauty")


def test_2023_bad_values_of_files_without_a_header_are_named(tmp_path: Path) -> None:
    put(tmp_path, "All_Beauty.csv", [row_of("u", "A", 1), "u,B,5.0,yesterday"])
    with pytest.raises(DataError, match="timestamp is not a whole number") as caught:
        amazon_2023.read(tmp_path, "All_Beauty")
    assert caught.value.where == f"{tmp_path / 'All_Beauty.csv'}, row 2"
