"""What is known of the items: titles, and attributes such as category, brand or genre.

An attribute gives every item no value, one, or several. Which it is follows from the column:

- `whole`: the text of the column is the value.
- `last`: the column is a list that goes from the general to the special (a category path): the last
  entry is the value.
- `each`: the column is a list without order (genres): every entry is a value of the item. Where
  an item is asked for what it is, the answer names all of them.
- `head`: the first word of a text, where at least `HEAD_ITEMS` items begin with it, in capitals or
  not: in shops that have no column of brands titles often begin with them.

Whether a list is a path is measured: it is if an entry follows the same entry nearly always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl

from tastebench.data.dataset import Dataset
from tastebench.data.text import clean
from tastebench.errors import DataError, UsageError, did_you_mean
from tastebench.ragged import Ragged

How = Literal["whole", "last", "each", "head"]

COLUMNS: dict[str, tuple[str, ...]] = {
    "category": ("category", "categories", "subcategory", "product_type_name", "product_type"),
    "genre": ("genres", "genre"),
    "department": ("department", "department_name", "main_category"),
    "brand": ("brand",),
    "shop": ("shop", "store", "seller"),
    "author": ("author", "authors"),
    "artist": ("artist",),
    "publisher": ("publisher",),
    "colour": ("colour", "color", "colour_group_name"),
    "city": ("city",),
}
"""What an attribute is called, and the columns that are taken for it, the first that is there."""

HEAD, HEAD_ITEMS, HEAD_SHARE = "first word", 5, 0.5
"""The attribute that stands in for brands, and the share of items that must have one."""

NO_BRANDS = ("a", "an", "the", "my", "new", "set", "and", "of", "in", "for")
"""First words that say nothing of who made a thing."""

PATH_SHARE = 0.8
"""Entries of a path that follow what they usually follow, at least; of genres less than half do."""

TITLE = "title"
JOINED = ", "
"""Between the values of an item that has several."""


@dataclass(frozen=True)
class AttributeRule:
    """Which column an attribute is, and how it is read."""

    name: str
    column: str
    how: How

    def __str__(self) -> str:
        return f"{self.name}={self.column}:{self.how}"


@dataclass(frozen=True, eq=False)
class Attribute:
    """An attribute of all items.

    Attributes:
        whole: What the item is by all its values, a row of `texts`, int64 `[n_items]`; -1 for none.
        texts: Distinct texts of `whole`.
        each: Values by item, rows of `values`, distinct within an item; `n_items` lists.
        values: Distinct single values.
    """

    rule: AttributeRule
    whole: np.ndarray
    texts: np.ndarray
    each: Ragged
    values: np.ndarray

    @property
    def name(self) -> str:
        """What it is called."""
        return self.rule.name


def rules_of(dataset: Dataset, wanted: tuple[str, ...] | None) -> tuple[AttributeRule, ...]:
    """The title's rule, then those of the attributes that are asked about.

    Args:
        dataset: Whose.
        wanted: As `QuestionSpec.attributes` has them.

    Raises:
        DataError: Items have no title.
        UsageError: There is no such column, or a name stands twice.
    """
    items, title = dataset.tables.items, title_of(dataset)
    if title is None or items.schema.get(title) != pl.String:
        raise DataError(
            "items have no titles, so no question can name one",
            where=dataset.name,
            fix="import the items with a title column",
        )
    found = _known(items, title) if wanted is None else [_given(w, dataset) for w in wanted]
    names = [rule.name for rule in found]
    if len(set(names)) < len(names) or TITLE in names:
        raise UsageError(f"attributes {', '.join(names)}: each once, and {TITLE} is always there")
    return (AttributeRule(TITLE, title, "whole"), *found)


def title_of(dataset: Dataset) -> str | None:
    """The column that names an item: the title, else what the card has as its first text."""
    if TITLE in dataset.tables.items.columns:
        return TITLE
    return next(iter(dataset.card.text_columns), None)


def _known(items: pl.DataFrame, title: str) -> list[AttributeRule]:
    rules = [
        AttributeRule(name, column, _how(items[column]))
        for name, columns in COLUMNS.items()
        if (column := next((c for c in columns if _filled(items, c)), None)) is not None
    ]
    if not {"brand", "shop", "author", "artist"} & {rule.name for rule in rules}:
        rule = AttributeRule(HEAD, title, "head")
        known = int((_texts(items, rule).list.len() > 0).sum())
        if known and known >= HEAD_SHARE * len(items):
            rules.append(rule)
    return rules


def _filled(items: pl.DataFrame, column: str) -> bool:
    usable = column in items.columns and items.schema[column] in (pl.String, pl.List(pl.String))
    return usable and items[column].null_count() < len(items)


def _given(text: str, dataset: Dataset) -> AttributeRule:
    """`NAME`, `NAME=COLUMN` or `NAME=COLUMN:how`."""
    items = dataset.tables.items
    name, _, rest = text.partition("=")
    column, _, how = rest.partition(":")
    if not rest and name == HEAD:
        column, how = TITLE, "head"
    if not column:
        column = next((c for c in COLUMNS.get(name, (name,)) if c in items.columns), name)
    if column not in items.columns[1:]:
        raise UsageError(
            f"attribute {text!r}: the items of {dataset.name} have no column {column!r}",
            fix=did_you_mean(column, items.columns[1:]),
        )
    if how and how not in get_args(How):
        raise UsageError(f"attribute {text!r}: {how!r} is none of {', '.join(get_args(How))}")
    series = items[column]
    if isinstance(series.dtype, pl.List) != ((how or _how(series)) in ("last", "each")):
        kind = "a list" if isinstance(series.dtype, pl.List) else "no list"
        raise UsageError(f"attribute {text!r}: {column} is {kind}, which {how} does not read")
    chosen: How = how or _how(series)  # type: ignore[assignment]
    return AttributeRule(name, column, chosen)


def _how(column: pl.Series) -> How:
    """How a column is read where nobody says: lists are measured."""
    if not isinstance(column.dtype, pl.List):
        return "whole"
    entries = column.alias("entry").to_frame().with_row_index("item").explode("entry").drop_nulls()
    entries = entries.with_columns(pl.col("entry").shift(1).over("item").alias("before"))
    pairs = entries.drop_nulls().group_by("entry", "before").len()
    usual = int(pairs.group_by("entry").agg(pl.col("len").max())["len"].sum())
    return "last" if usual >= PATH_SHARE * int(pairs["len"].sum()) else "each"


# ------------------------------------------------------------------------------------- the values


def read_attribute(dataset: Dataset, rule: AttributeRule, longest: int) -> Attribute:
    """The values of all items.

    Args:
        dataset: Whose items.
        rule: Which column, and how.
        longest: Characters of a text, at most.
    """
    lists = _texts(dataset.tables.items, rule)
    whole, texts = _coded(shorten(lists.list.join(JOINED), longest))
    flat = lists.explode(empty_as_null=True, keep_nulls=True)
    code, values = _coded(shorten(flat.fill_null(""), longest))
    item = np.repeat(np.arange(len(lists)), np.maximum(lists.list.len().to_numpy(), 1))
    item, code = item[code >= 0], code[code >= 0]
    # An entry that stands twice, or twice once cut, is one value of the item.
    first = np.sort(np.unique(item * max(len(values), 1) + code, return_index=True)[1])
    return Attribute(
        rule, whole, texts, Ragged.from_rows(item[first], code[first], len(lists)), values
    )


def _texts(items: pl.DataFrame, rule: AttributeRule) -> pl.Series:
    """The values of each item in words, a list an item, empty where there are none."""
    column = items[rule.column]
    if isinstance(column.dtype, pl.List):
        flat = column.to_frame("text").with_row_index("item").explode("text")
    else:
        flat = column.cast(pl.String).to_frame("text").with_row_index("item")
    flat = flat.with_columns(clean(flat["text"].fill_null("")).alias("text"))
    flat = flat.filter(pl.col("text") != "")
    if rule.how == "last":
        flat = flat.group_by("item", maintain_order=True).last()
    if rule.how == "head":
        flat = _heads(flat)
    flat = flat.unique(maintain_order=True)
    lists = flat.group_by("item").agg(pl.col("text"))
    every = pl.DataFrame({"item": np.arange(len(items))}).with_columns(
        pl.col("item").cast(pl.UInt32)
    )
    joined = every.join(lists, on="item", how="left", maintain_order="left")
    return joined["text"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def _heads(titles: pl.DataFrame) -> pl.DataFrame:
    """First words that several titles share and that could be somebody's name.

    Words that differ in capitals alone are one, as the most titles spell it, of equals the first.
    """
    words = titles.select("item", pl.col("text").str.extract(r"^(\S+?)[,:;]*\s")).drop_nulls()
    words = words.with_columns(pl.col("text").str.to_lowercase().alias("lower"))
    named = ~pl.col("lower").is_in(NO_BRANDS) & pl.col("text").str.contains(r"\pL")
    words = words.filter(named & (pl.len().over("lower") >= HEAD_ITEMS))
    spelled = words.group_by("lower", "text", maintain_order=True).len()
    usual = spelled.sort("len", descending=True, maintain_order=True).unique(
        "lower", keep="first", maintain_order=True
    )
    return words.select("item", "lower").join(
        usual.select("lower", "text"), on="lower", how="left", maintain_order="left"
    )


def shorten(texts: pl.Series, longest: int) -> pl.Series:
    """Texts of at most `longest` characters and three dots, cut between words if there are some."""
    cut = texts.str.slice(0, longest)
    at_word = cut.str.replace(r"\s+\S*$", "")
    short = pl.select(pl.when(at_word != "").then(at_word).otherwise(cut)).to_series() + "..."
    return pl.select(
        pl.when(texts.str.len_chars() > longest).then(short).otherwise(texts)
    ).to_series()


def _coded(texts: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """The row of each text among the distinct ones in order of appearance, -1 for an empty one."""
    known = texts.filter(texts != "").unique(maintain_order=True)
    table = pl.DataFrame({"text": known, "code": np.arange(len(known), dtype=np.int64)})
    found = texts.alias("text").to_frame().join(table, on="text", how="left", maintain_order="left")
    return found["code"].fill_null(-1).to_numpy().copy(), np.array(known.to_list(), dtype=object)
