"""ESCI, the shopping queries dataset (Amazon): queries, products, graded judgements.

Read are the original tables (examples and products, Parquet or CSV, or both merged in one CSV) and
OpenSearch's sample of 150 queries in JSON. Of the original, the part that the dataset's ranking
task tests on is kept: locale `us`, reduced version, split `test`; a table that lacks one of these
columns is not filtered by it. The pool is every product judged for one of the queries kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from tastebench.data.card import DatasetCard, RawFile
from tastebench.data.dataset import positions
from tastebench.data.pool import sample_pool
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.amazon_2023 import read_categories
from tastebench.data.sources.product_pool import (
    CATEGORIES,
    METADATA,
    TEXT_NOTE,
    read_pool,
    read_titles,
)
from tastebench.data.sources.reading import (
    bad_rows,
    collect,
    find,
    need,
    read_json,
    read_json_lines,
    scan_table,
)
from tastebench.errors import DataError

GRADES = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}
"""Exact, Substitute, Complement, Irrelevant: the gains of the dataset's own nDCG."""
_LABELS = GRADES | {"Exact": 1.0, "Substitute": 0.1, "Complement": 0.01, "Irrelevant": 0.0}
_RATINGS = {100.0: 1.0, 10.0: 0.1, 1.0: 0.01, 0.0: 0.0}
_KEPT = {"product_locale": "us", "small_version": "1", "split": "test"}
_PRODUCT = {
    "product_id": "item_id",
    "product_title": "title",
    "product_description": "description",
    "product_bullet_point": "bullet_points",
    "product_brand": "brand",
    "product_color": "color",
}
_GROUP = "short"
_UNKNOWN = "Unknown"
_NEGATIVES = 50
_SEED = 42


def read(raw: Path) -> Tables:
    """Either form, told by the name of the file with the judgements."""
    path = need(raw, _EXAMPLES)
    return _read_sample(raw, path) if path.suffix == ".json" else _read_tables(raw, path)


def _read_tables(raw: Path, path: Path) -> Tables:
    judged = _judged(path)
    described = find(raw, _PRODUCTS)
    if described is None and "product_title" not in judged.columns:
        need(raw, _PRODUCTS)
    return Tables(
        items=_products(judged, described),
        queries=judged.select(
            "query_id", pl.col("query").alias("text"), pl.lit(_GROUP).alias("group")
        ).unique("query_id", keep="first", maintain_order=True),
        relevance=judged.select("query_id", pl.col("product_id").alias("item_id"), "grade"),
    )


def _judged(path: Path) -> pl.DataFrame:
    """The judgements kept, with their `grade` and whatever else is in the file."""
    examples = scan_table(path, ("query_id", "query", "product_id", "esci_label"))
    columns = examples.collect_schema().names()
    for column, value in _KEPT.items():
        if column in columns:
            examples = examples.filter(pl.col(column).cast(pl.String) == value)
    judged = collect(examples.with_columns(pl.col("query_id", "product_id").cast(pl.String)), path)
    if judged.is_empty():
        rules = ", ".join(f"{c} {v}" for c, v in _KEPT.items() if c in columns)
        raise DataError(f"no row has {rules}", where=str(path), fix="give the original file")
    grade = pl.col("esci_label").replace_strict(_LABELS, default=None, return_dtype=pl.Float64)
    judged = judged.with_columns(grade.alias("grade"))
    odd = judged.filter(pl.col("grade").is_null())["esci_label"].unique().to_list()
    if odd:
        raise DataError(
            f"unknown label {odd[0]!r} in column esci_label",
            where=str(path),
            fix=f"labels are {', '.join(_LABELS)}",
        )
    return judged


def _products(judged: pl.DataFrame, described: Path | None) -> pl.DataFrame:
    """The judged products in order of first judgement; described there, or in their own file."""
    lines = judged.lazy() if described is None else scan_table(described, tuple(_PRODUCT)[:2])
    columns = lines.collect_schema().names()
    if "product_locale" in columns:
        lines = lines.filter(pl.col("product_locale") == _KEPT["product_locale"])
    kept = {old: new for old, new in _PRODUCT.items() if old in columns}
    pool = judged.select(pl.col("product_id").unique(maintain_order=True))
    texts = lines.select(pl.col(list(kept)).cast(pl.String)).join(
        pool.lazy(), on="product_id", how="semi"
    )
    found = texts.collect() if described is None else collect(texts, described)
    first = found.unique("product_id", keep="first", maintain_order=True)
    return pool.join(first, on="product_id", how="left", maintain_order="left").rename(kept)


def read_blair(raw: Path) -> Tables:
    """Exact products and the queries that ask for them, in BLaIR's pool or one drawn as it was.

    Raises:
        DataError: A file is missing or not of its form, or no exact product is in the pool.
    """
    path = need(raw, _TABLES)
    exact = _judged(path).filter(pl.col("grade") == GRADES["E"])
    pairs = exact.select(
        pl.col("query_id").first().over(pl.col("query").str.strip_chars()),
        pl.col("query").str.strip_chars().alias("text"),
        pl.col("product_id").alias("item_id"),
    )
    given = need(raw, _POOL)
    drawn = given.name in _CATEGORIES
    pool = _draw_pool(raw, given, pairs["item_id"]) if drawn else read_pool(raw, _POOL)
    pairs = pairs.join(pool, on="item_id", how="semi", maintain_order="left")
    if pairs.is_empty():
        raise DataError(
            "no product that is exact for a query is in the pool",
            where=str(raw),
            fix="check that judgements, categories and pool belong together",
        )
    return Tables(
        items=pool,
        queries=pairs.select("query_id", "text", pl.lit(_GROUP).alias("group")).unique(
            "query_id", keep="first", maintain_order=True
        ),
        relevance=pairs.select("query_id", "item_id"),
    )


def _draw_pool(raw: Path, path: Path, targets: pl.Series) -> pl.DataFrame:
    """The targets of a known category and negatives of it; only what has a record is left."""
    items = read_categories(path).filter(
        pl.col("category").is_not_null() & ~pl.col("category").str.contains(_UNKNOWN, literal=True)
    )
    kinds = items["category"]
    drawn = sample_pool(
        positions(targets.filter(targets.is_in(items["item_id"].implode())), items["item_id"]),
        positions(kinds, kinds.unique(maintain_order=True)),
        _NEGATIVES,
        np.random.default_rng(_SEED),
    )
    pool = items[drawn]
    files = pool["category"].unique(maintain_order=True).str.replace_all(" ", "_")
    titles = read_titles(raw, files.to_list(), pool["item_id"])
    return pool.join(titles, on="item_id", how="inner", maintain_order="left")


def _read_sample(raw: Path, path: Path) -> Tables:
    content = read_json(path)
    lists = content.get("judgmentRatings") if isinstance(content, dict) else None
    if not isinstance(lists, list) or not lists:
        raise bad_rows(path, [1], "no judgmentRatings")
    try:
        judged = pl.DataFrame(
            [
                (str(number), entry["query"], rating["docId"], float(rating["rating"]))
                for number, entry in enumerate(lists)
                for rating in entry["ratings"]
            ],
            schema={
                "query_id": pl.String,
                "text": pl.String,
                "item_id": pl.String,
                "rating": pl.Float64,
            },
            orient="row",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise bad_rows(path, [1], f"a judgement without query, docId or rating ({error})") from None
    grade = pl.col("rating").replace_strict(_RATINGS, default=None, return_dtype=pl.Float64)
    judged = judged.with_columns(grade.alias("grade"))
    odd = judged.filter(pl.col("grade").is_null())["rating"].to_list()
    if odd:
        raise DataError(
            f"unknown rating {odd[0]}", where=str(path), fix="ratings are 100, 10, 1 and 0"
        )
    queries = judged.select("query_id", "text", pl.lit(_GROUP).alias("group"))
    return Tables(
        items=_sample_products(need(raw, _PRODUCTS)),
        queries=queries.unique("query_id", keep="first", maintain_order=True),
        relevance=judged.select("query_id", "item_id", "grade"),
    )


def _sample_products(path: Path) -> pl.DataFrame:
    """All products of the sample, also the few that no query judged."""
    columns: dict[str, pl.DataType] = {
        "asin": pl.String(),
        "title": pl.String(),
        "description": pl.String(),
        "bullet_points": pl.String(),
        "brand": pl.String(),
        "color": pl.String(),
        "category": pl.List(pl.String()),
        "price": pl.Float64(),
    }
    return read_json_lines(path, columns, needed=("asin",)).rename(
        {"asin": "item_id", "category": "categories"}
    )


_SITE = (
    "https://github.com/amazon-science/esci-data/raw/7e0e3073f5ca36c0b5ff79e847cf99a74597645d/"
    "shopping_queries_dataset"
)
_EXAMPLES = RawFile(
    path="shopping_queries_dataset_examples.parquet",
    also=("shopping_queries_dataset_examples.csv", "esci_us_judgments.json"),
    url=f"{_SITE}/shopping_queries_dataset_examples.parquet",
    sha256="4a735b693b4a424a6fc67f5be6e4c811495c488bbf66d02a602d308b2744263a",
    bytes=51_286_808,
)
_PRODUCTS = RawFile(
    path="shopping_queries_dataset_products.parquet",
    also=("shopping_queries_dataset_products.csv", "ubi_ecommerce_products.json.gz"),
    url=f"{_SITE}/shopping_queries_dataset_products.parquet",
    sha256="25124442d064d64b26f74082d6fa09438d679efc0c183cf28d19064a2b65a265",
    bytes=1_108_857_465,
    required=False,
)

ESCI = Source(
    DatasetCard(
        name="esci",
        title="ESCI shopping queries, US",
        summary=(
            "Real shopping queries and judgements of products as exact, substitute, complement or "
            "irrelevant: the reduced version's test part, 8,956 queries and 181,701 judgements."
        ),
        source="https://github.com/amazon-science/esci-data",
        licence="Apache-2.0",
        redistributable=True,
        citation=(
            "Chandan K. Reddy et al. 2022. Shopping Queries Dataset: A Large-Scale ESCI Benchmark "
            "for Improving Product Search. arXiv:2206.06588."
        ),
        tasks=("search",),
        text_columns=("title", "description", "bullet_points", "brand", "color"),
        text_recipe="title-raw",
        min_grade=1.0,
        files=(_EXAMPLES, _PRODUCTS),
        seen_on="real",
        notes=(
            "Grades are the dataset's gains: exact 1.0, substitute 0.1, complement 0.01, "
            "irrelevant 0. Only exact products count as relevant.",
            "In OpenSearch's sample of 150 queries the ratings 100, 10, 1 and 0 are taken for "
            "exact, substitute, complement and irrelevant.",
            "The sample was read in the original, the full tables in small pieces.",
        ),
    ),
    read,
)

_TABLES = _EXAMPLES.model_copy(update={"also": _EXAMPLES.also[:1]})
_CATEGORIES = (CATEGORIES.path, *CATEGORIES.also)
_POOL = RawFile(
    path="esci_titles_only_na2period.jsonl",
    also=(
        "sampled_item_metadata_esci.jsonl",
        "sampled_item_metadata_esci.jsonl.gz",
        *_CATEGORIES,  # to draw one from
    ),
)

BLAIR = Source(
    ESCI.card.model_copy(
        update={
            "name": "blair/esci",
            "title": "ESCI short product search (BLaIR)",
            "summary": (
                "ESCI's exact products in a pool of products of their categories in Amazon Reviews "
                "2023, as the BLaIR benchmark has it."
            ),
            "licence": (
                "ESCI: Apache-2.0; Amazon Reviews 2023: no licence stated, offered by UCSD for "
                "research, do not redistribute"
            ),
            "redistributable": False,
            "text_columns": ("metadata",),
            "min_grade": None,
            "files": (_TABLES, _POOL, *METADATA.values()),
            "seen_on": "format",
            "notes": (
                TEXT_NOTE,
                "Kept are judgements exact of the reduced version's test part, locale us, of "
                "products that are in the pool.",
                "BLaIR takes every pair of query and product for a query of its own; here the "
                "pairs of one query text are one query with several right answers, and "
                "ndcg_pairwise@100 is the mean over pairs.",
                f"Where there is no published pool, it is drawn: {_NEGATIVES} other products of "
                f"the category a pair (seed {_SEED}), of those with a category in "
                "asin2category.json that is not Unknown; without a metadata record a product is "
                "not in it.",
            ),
        }
    ),
    read_blair,
    downloads="esci",
)
