"""ESCI: the original tables in small, and OpenSearch's real sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.schema import validate
from tastebench.data.sources.esci import ESCI
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
    with pytest.raises(DataError, match="cannot be read"):
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
