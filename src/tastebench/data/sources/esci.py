"""ESCI, the shopping queries dataset (Amazon): queries, products, graded judgements.

Read are the original tables (examples and products, Parquet or CSV, or both merged in one CSV) and
OpenSearch's sample of 150 queries in JSON. Of the original, the part that the dataset's ranking
task tests on is kept: locale `us`, reduced version, split `test`; a table that lacks one of these
columns is not filtered by it. The pool is every product judged for one of the queries kept.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, find, need, read_json, read_json_lines
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


def read(raw: Path) -> Tables:
    """Either form, told by the name of the file with the judgements."""
    path = need(raw, _EXAMPLES)
    return _read_sample(raw, path) if path.suffix == ".json" else _read_tables(raw, path)


def _read_tables(raw: Path, path: Path) -> Tables:
    examples = _scan(path)
    columns = examples.collect_schema().names()
    lacking = [c for c in ("query_id", "query", "product_id", "esci_label") if c not in columns]
    if lacking:
        raise _no_column(path, lacking, columns)
    for column, value in _KEPT.items():
        if column in columns:
            examples = examples.filter(pl.col(column).cast(pl.String) == value)
    grade = pl.col("esci_label").replace_strict(_LABELS, default=None, return_dtype=pl.Float64)
    judged = examples.with_columns(
        pl.col("query_id", "product_id").cast(pl.String),
        grade.alias("grade"),
    ).collect()
    if judged.is_empty():
        rules = ", ".join(f"{c} {v}" for c, v in _KEPT.items() if c in columns)
        raise DataError(f"no row has {rules}", where=str(path), fix="give the original file")
    odd = judged.filter(pl.col("grade").is_null())["esci_label"].unique().to_list()
    if odd:
        raise DataError(
            f"unknown label {odd[0]!r} in column esci_label",
            where=str(path),
            fix=f"labels are {', '.join(_LABELS)}",
        )
    described = find(raw, _PRODUCTS)
    if described is None and "product_title" not in columns:
        need(raw, _PRODUCTS)
    products = judged.lazy() if described is None else _scan(described)
    return Tables(
        items=_products(products, judged, described or path),
        queries=judged.select(
            "query_id", pl.col("query").alias("text"), pl.lit(_GROUP).alias("group")
        ).unique("query_id", keep="first", maintain_order=True),
        relevance=judged.select("query_id", pl.col("product_id").alias("item_id"), "grade"),
    )


def _products(products: pl.LazyFrame, judged: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The judged products in order of first judgement."""
    columns = products.collect_schema().names()
    lacking = [c for c in ("product_id", "product_title") if c not in columns]
    if lacking:
        raise _no_column(path, lacking, columns)
    if "product_locale" in columns:
        products = products.filter(pl.col("product_locale") == _KEPT["product_locale"])
    kept = {old: new for old, new in _PRODUCT.items() if old in columns}
    pool = judged.select(pl.col("product_id").unique(maintain_order=True))
    texts = products.select(pl.col(list(kept)).cast(pl.String)).join(
        pool.lazy(), on="product_id", how="semi"
    )
    described = texts.unique("product_id", keep="first", maintain_order=True).collect()
    return pool.join(described, on="product_id", how="left", maintain_order="left").rename(kept)


def _scan(path: Path) -> pl.LazyFrame:
    try:
        if path.suffix == ".parquet":
            frame = pl.scan_parquet(path)
            frame.collect_schema()
            return frame
        return pl.read_csv(path, infer_schema=False).lazy()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the file cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            fix="it is damaged or cut off: get it again",
        ) from error


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


def _no_column(path: Path, lacking: list[str], found: list[str]) -> DataError:
    return DataError(
        f"there is no column {', '.join(lacking)} (found: {', '.join(found)})",
        where=str(path),
        fix="give the file of the original release",
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
