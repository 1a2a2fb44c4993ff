"""Texts of a catalogue as they may be shown: titles come from anywhere."""

from __future__ import annotations

import polars as pl

from tastebench.data.dataset import Dataset
from tastebench.data.text import clean

_CONTROL = r"[\p{Cc}\x{2028}\x{2029}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]+"
"""What moves a cursor, ends a line or turns its direction."""


def item_titles(dataset: Dataset) -> pl.Series:
    """One title an item, a single line that is safe to print; empty where there is none."""
    items, columns = dataset.tables.items, dataset.card.text_columns
    name = "title" if "title" in items.columns else next(iter(columns), None)
    if name is None or items.schema.get(name) != pl.String:
        return pl.Series("title", [""] * len(items), dtype=pl.String)
    return printable(clean(items[name].fill_null(""))).alias("title")


def printed(text: str) -> str:
    """The same of one text."""
    return str(printable(pl.Series([text], dtype=pl.String))[0])


def printable(text: pl.Series) -> pl.Series:
    """The same without what would move a terminal's cursor or end the line."""
    return text.str.replace_all(_CONTROL, " ").str.strip_chars(" ")
