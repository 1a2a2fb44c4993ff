"""ESCI: the original tables in small, and OpenSearch's real sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.schema import validate
from tastebench.data.sources.esci import BLAIR, ESCI
from tastebench.errors import DataError

EXAMPLES = pl.DataFrame(
    [
        (0, "usb c", 1, "P1", "us", "E", 1, 1, "test"),
        (1, "usb c", 1, "P2", "us", "S", 1, 1, "test"),
        (2, "usb c", 1, "P3", "us", "I", 1, 1, "test"),
        (3, "tent", 2, "P2", "us", "C", 1, 1, "test"),
        (4, "tent", 2, "P4", "us", "E", 0, 1, "test"),  # not in the reduced version
        (5, "lamp", 3, "P1", "us", "E", 1, 1, "train"),
        (6, "carpa", 4, "P1", "es", "E", 1, 1, "test"),
    ],
    schema=["example_id", "query", "query_id", "product_id", "product_locale", "esci_label",
            "small_version", "large_version", "split"],
    orient="row",
)  # fmt: skip
PRODUCTS = pl.DataFrame(
    [
        ("P2", "Cable", "A cable.", "Long", "Acme", "red", "us"),
        ("P1", "Cable (es)", None, None, None, None, "es"),
        ("P1", "Charger", None, None, "Acme", None, "us"),
        ("P9", "Never judged", None, None, None, None, "us"),
    ],
    schema=["product_id", "product_title", "product_description", "product_bullet_point",
            "product_brand", "product_color", "product_locale"],
    orient="row",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_test_part_of_the_reduced_us_version_is_kept(kind: str, tmp_path: Path) -> None:
    for frame, name in ((EXAMPLES, "examples"), (PRODUCTS, "products")):
        path = tmp_path / f"shopping_queries_dataset_{name}.{kind}"
        if kind == "parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path)
    tables = ESCI.read(tmp_path)
    assert tables.queries is not None
    assert tables.relevance is not None
    assert tables.queries.rows() == [("1", "usb c", "short"), ("2", "tent", "short")]
    assert tables.relevance.rows() == [
        ("1", "P1", 1.0),
        ("1", "P2", 0.1),
        ("1", "P3", 0.0),
        ("2", "P2", 0.01),
    ]
    assert tables.items.rows() == [
        ("P1", "Charger", None, None, "Acme", None),
        ("P2", "Cable", "A cable.", "Long", "Acme", "red"),
        ("P3", None, None, None, None, None),
    ]
    validate(tables, "esci")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"esci_label": pl.lit("X")}, "unknown label 'X' in column esci_label"),
        ({"split": pl.lit("train")}, "no row has product_locale us, small_version 1, split test"),
    ],
)
def test_bad_examples(change: dict[str, pl.Expr], what: str, tmp_path: Path) -> None:
    frame = EXAMPLES.with_columns(**change)
    frame.write_parquet(tmp_path / "shopping_queries_dataset_examples.parquet")
    PRODUCTS.write_parquet(tmp_path / "shopping_queries_dataset_products.parquet")
    with pytest.raises(DataError, match=what):
        ESCI.read(tmp_path)


def test_a_missing_column_shows_those_there(tmp_path: Path) -> None:
    EXAMPLES.drop("query").write_csv(tmp_path / "shopping_queries_dataset_examples.csv")
    with pytest.raises(DataError, match="there is no column query "):
        ESCI.read(tmp_path)


def test_a_truncated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "shopping_queries_dataset_examples.parquet"
    EXAMPLES.write_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="cut off or damaged"):
        ESCI.read(tmp_path)


def test_examples_without_products(tmp_path: Path) -> None:
    EXAMPLES.write_parquet(tmp_path / "shopping_queries_dataset_examples.parquet")
    with pytest.raises(DataError, match=r"no shopping_queries_dataset_products\.parquet"):
        ESCI.read(tmp_path)


def test_real_merged_table(asset: Callable[[str], Path], tmp_path: Path) -> None:
    merged = asset("data/esci-samples") / "esci_200.csv"
    (tmp_path / "shopping_queries_dataset_examples.csv").symlink_to(merged)
    tables = validate(ESCI.read(tmp_path), "esci")
    kept = pl.read_csv(merged).filter(
        (pl.col("product_locale") == "us") & (pl.col("small_version") == 1)
    )
    assert tables.relevance is not None
    assert 0 < len(tables.relevance) == len(kept) < 200
    assert tables.items["title"].null_count() == 0


def test_real_original_examples(asset: Callable[[str], Path], tmp_path: Path) -> None:
    real = asset("data/esci-samples") / "vespa_test-sample.parquet"
    (tmp_path / "shopping_queries_dataset_examples.parquet").symlink_to(real)
    PRODUCTS.write_parquet(tmp_path / "shopping_queries_dataset_products.parquet")
    tables = ESCI.read(tmp_path)
    assert tables.relevance is not None
    assert len(tables.relevance) == len(tables.items) == 16


def test_real_sample_of_150_queries(asset: Callable[[str], Path]) -> None:
    tables = validate(ESCI.read(asset("data/esci-150q")), "esci")
    assert tables.queries is not None
    assert tables.relevance is not None
    assert (len(tables.queries), len(tables.items), len(tables.relevance)) == (150, 6_764, 6_678)
    counts = tables.relevance["grade"].value_counts().sort("grade", descending=True)
    assert counts.rows() == [(1.0, 3_389), (0.1, 1_898), (0.01, 305), (0.0, 1_086)]
    assert tables.queries["text"][0] == "t towels kitchen"
    texts = {"title": 6_764, "description": 3_376, "bullet_points": 6_416, "brand": 6_640}
    for column, n in texts.items():
        assert (tables.items[column].fill_null("").str.len_bytes() > 0).sum() == n


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({}, "no judgmentRatings"),
        ({"judgmentRatings": [{"query": "a", "ratings": [{"docId": "B"}]}]}, "without query"),
        (
            {"judgmentRatings": [{"query": "a", "ratings": [{"docId": "B", "rating": "7"}]}]},
            r"unknown rating 7\.0",
        ),
    ],
)
def test_bad_samples(content: object, what: str, tmp_path: Path) -> None:
    (tmp_path / "esci_us_judgments.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=what):
        ESCI.read(tmp_path)


# --------------------------------------------------------------------------------- BLaIR's ESCI

MORE = pl.DataFrame(
    [
        (7, " tent", 9, "P5", "us", "E", 1, 1, "test"),  # the query of 2, but for a space
        (8, "tent", 2, "P6", "us", "E", 1, 1, "test"),
        (9, "tent", 2, "P7", "us", "E", 1, 1, "test"),  # of category Unknown
        (10, "pole", 8, "P8", "us", "E", 1, 1, "test"),  # of no category
        (11, "sofa", 7, "P9", "us", "E", 1, 1, "test"),  # without a record
        (12, "sofa", 7, "P1", "us", "S", 1, 1, "test"),
    ],
    schema=EXAMPLES.schema,
    orient="row",
)
CATEGORIES = {
    "P1": "Electronics",
    "P2": "Electronics",
    "P4": "Sports and Outdoors",
    "P5": "Sports and Outdoors",
    "P6": "Sports and Outdoors",
    "P7": "Unknown",
    "P9": "Home and Kitchen",
    **{f"E{i}": "Electronics" for i in range(90)},
    **{f"S{i}": "Sports and Outdoors" for i in range(300)},
    **{f"H{i}": "Home and Kitchen" for i in range(40)},
    **{f"B{i}": "Books" for i in range(99)},
}


def put_blair(folder: Path, examples: pl.DataFrame | None = None) -> Path:
    """Judgements, categories, and the metadata files of three of the four categories."""
    frame = pl.concat([EXAMPLES, MORE]) if examples is None else examples
    frame.write_parquet(folder / "shopping_queries_dataset_examples.parquet")
    (folder / "asin2category.json").write_text(json.dumps(CATEGORIES))
    for category in ("Electronics", "Sports and Outdoors", "Home and Kitchen"):
        lines = [
            json.dumps({"parent_asin": item, "title": f"Title of {item}"})
            for item, of in CATEGORIES.items()
            if of == category and item not in ("P9", "E7")
        ]
        name = category.replace(" ", "_")
        (folder / f"meta_{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_blair_keeps_exact_products_of_a_known_category_one_query_a_text(tmp_path: Path) -> None:
    """T16: no row of another label, locale or version; a text is one query."""
    tables = validate(BLAIR.read(put_blair(tmp_path)), "blair/esci")
    assert tables.queries is not None
    assert tables.relevance is not None
    assert tables.queries.rows() == [("1", "usb c", "short"), ("9", "tent", "short")]
    assert tables.relevance.rows() == [("1", "P1", 1.0), ("9", "P5", 1.0), ("9", "P6", 1.0)]


def test_blair_draws_negatives_of_the_same_category(tmp_path: Path) -> None:
    """T15: targets inside, at most 51 a pair, other items of a category asked for."""
    tables = BLAIR.read(put_blair(tmp_path))
    items = tables.items
    of = items.group_by("category").len().sort("category").rows()
    # One pair: its 50, without the one that has no record if it was drawn. Home: all but the
    # target, which has none. Two pairs draw apart and may draw the same.
    assert [name for name, _ in of] == ["Electronics", "Home and Kitchen", "Sports and Outdoors"]
    electronics, home, sports = (n for _, n in of)
    assert electronics in (50, 51)
    assert home == 40
    assert 52 < sports <= 102
    assert {"P1", "P5", "P6"} <= set(items["item_id"])
    assert not {"P7", "P8", "P9", "E7"} & set(items["item_id"])
    assert dict(zip(items["item_id"], items["category"], strict=True)).items() <= CATEGORIES.items()
    assert items["title"].to_list() == [f"Title of {item}" for item in items["item_id"]]


def test_blair_draws_the_same_again(tmp_path: Path) -> None:
    put_blair(tmp_path)
    assert BLAIR.read(tmp_path).items.equals(BLAIR.read(tmp_path).items)


def test_a_published_pool_is_the_pool(tmp_path: Path) -> None:
    put_blair(tmp_path)
    for path in tmp_path.glob("meta_*"):
        path.unlink()
    (tmp_path / "asin2category.json").unlink()
    lines = [
        {"item_id": item, "category": "Electronics", "metadata": f"Text of {item}."}
        for item in ("P6", "E1", "P1")
    ]
    (tmp_path / "sampled_item_metadata_esci.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    tables = validate(BLAIR.read(tmp_path), "blair/esci")
    assert tables.items.rows() == [tuple(line.values()) for line in lines]
    assert tables.relevance is not None
    assert tables.relevance.rows() == [("1", "P1", 1.0), ("9", "P6", 1.0)]


def test_blair_names_the_metadata_files_it_lacks(tmp_path: Path) -> None:
    put_blair(tmp_path)
    for name in ("Electronics", "Home_and_Kitchen"):
        (tmp_path / f"meta_{name}.jsonl").unlink()
    with pytest.raises(DataError, match=r"meta_Electronics\.jsonl, meta_Home_and_Kitchen\.jsonl"):
        BLAIR.read(tmp_path)


def test_blair_needs_a_pool_or_categories(tmp_path: Path) -> None:
    (put_blair(tmp_path) / "asin2category.json").unlink()
    with pytest.raises(DataError, match=r"no esci_titles_only.* or asin2category\.json "):
        BLAIR.read(tmp_path)


def test_blair_without_an_exact_product_of_the_pool(tmp_path: Path) -> None:
    put_blair(tmp_path, MORE.filter(pl.col("product_id") == "P9"))
    with pytest.raises(DataError, match="no product that is exact"):
        BLAIR.read(tmp_path)
