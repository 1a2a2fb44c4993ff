"""Which column of a user's file means what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tastebench.data.tables_io import RawTable
from tastebench.errors import DataError, UsageError, did_you_mean

# Meaning on the command line -> canonical column, by table; True where it must be found.
_MEANINGS: dict[str, dict[str, tuple[str, bool]]] = {
    "items": {
        "item": ("item_id", True),
        "title": ("title", False),
        "description": ("description", False),
    },
    "interactions": {
        "user": ("user_id", True),
        "item": ("item_id", True),
        "time": ("time", False),
        "rating": ("rating", False),
        "label": ("label", False),
    },
    "impressions": {
        "user": ("user_id", True),
        "item": ("item_id", True),
        "label": ("label", True),
        "impression": ("impression_id", False),
        "time": ("time", False),
        "position": ("position", False),
        "part": ("part", False),
    },
    "histories": {
        "user": ("user_id", True),
        "history": ("item_ids", True),
    },
    "queries": {
        "query": ("query_id", True),
        "text": ("text", True),
        "group": ("group", False),
    },
    "relevance": {
        "query": ("query_id", True),
        "item": ("item_id", True),
        "grade": ("grade", False),
    },
    "reviews": {
        "user": ("user_id", False),
        "item": ("item_id", True),
        "text": ("text", True),
        "rating": ("rating", False),
        "time": ("time", False),
    },
}

# Names under which a column is recognised without being mapped, in all files or in one. Reviews
# are often the files that Amazon's were published in, 2014 to 2023.
_KNOWN_AS: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "user"),
    "item": ("item_id", "item"),
    "time": ("time", "timestamp"),
    "history": ("item_ids", "history"),
    "query": ("query_id",),
    "text": ("text", "query"),
    "reviews.user": ("user_id", "user", "reviewerID"),
    "reviews.item": ("item_id", "item", "parent_asin", "asin"),
    "reviews.text": ("text", "review_text", "reviewText", "review"),
    "reviews.rating": ("rating", "overall"),
    "reviews.time": ("time", "timestamp", "unixReviewTime"),
}


@dataclass(frozen=True, eq=False)
class Mapped:
    """A file whose columns have canonical names.

    Attributes:
        canonical: The columns of `frame` that have a meaning.
        unused: Columns of the file that were left out.
        sources: Canonical name to the name in the file.
    """

    table: str
    path: Path
    frame: pl.DataFrame
    rows: np.ndarray
    canonical: tuple[str, ...]
    unused: tuple[str, ...]
    sources: dict[str, str]

    def source(self, column: str) -> str:
        """The file's own name of a canonical column."""
        return self.sources.get(column, column)

    def find(self, column: str) -> str:
        """The name in `frame` of a column given by its own or its canonical name.

        Raises:
            UsageError: There is none.
        """
        by_source = {source: name for name, source in self.sources.items()}
        name = column if column in self.frame.columns else by_source.get(column)
        if name is None or name == "item_id":
            own = [self.source(c) for c in self.frame.columns if c != "item_id"]
            raise UsageError(
                f"there is no text column {column!r} in {self.path.name} (found: {', '.join(own)})",
                where=str(self.path),
                fix=did_you_mean(column, own),
            )
        return name


def parse_map(text: str) -> dict[str, str]:
    """`"user=uid,item=sku"` as a mapping.

    Raises:
        UsageError: A part is not `meaning=column`.

    >>> parse_map("user=uid, items.item=sku")
    {'user': 'uid', 'items.item': 'sku'}
    """
    mapping: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        meaning, equals, column = (piece.strip() for piece in part.partition("="))
        if not (meaning and equals and column):
            raise UsageError(
                f"cannot read {part!r} in --map", fix="--map user=COLUMN,item=COLUMN,time=COLUMN"
            )
        if meaning in mapping:
            raise UsageError(f"--map says twice what {meaning} is", fix="leave one of them out")
        mapping[meaning] = column
    return mapping


def check_map(mapping: Mapping[str, str], read: Mapping[str, RawTable]) -> None:
    """Refuses a mapping that says something about no column.

    Raises:
        UsageError: An unknown meaning.
        DataError: A column that no file (or not the file named) has.
    """
    for key, column in mapping.items():
        table, _, meaning = key.rpartition(".")
        meanings = [m for t in _MEANINGS for m in _MEANINGS[t] if table in ("", t)]
        if table and table not in _MEANINGS:
            raise UsageError(
                f"--map {key}: there is no file {table!r}", fix=did_you_mean(table, _MEANINGS)
            )
        if meaning not in meanings:
            raise UsageError(
                f"--map {key}: unknown meaning {meaning!r}",
                fix=did_you_mean(meaning, set(meanings)),
            )
        holders = [raw for t, raw in read.items() if meaning in _MEANINGS[t] and table in ("", t)]
        if not any(column in raw.frame.columns for raw in holders):
            found = list(dict.fromkeys(c for raw in holders for c in raw.frame.columns))
            raise DataError(
                f"--map {key}={column}: no such column (found: {', '.join(found)})",
                where=", ".join(str(raw.path) for raw in holders) or None,
                fix=did_you_mean(column, found) if found else "give the file that holds it",
            )


def map_columns(table: str, raw: RawTable, mapping: Mapping[str, str]) -> Mapped:
    """The file with canonical names; ids are text without white space around them.

    Raises:
        DataError: A column that must be there is neither mapped nor known by its name.
    """
    columns = raw.frame.columns
    sources: dict[str, str] = {}
    for meaning, (canonical, required) in _MEANINGS[table].items():
        wanted = mapping.get(f"{table}.{meaning}", mapping.get(meaning))
        known = _KNOWN_AS.get(f"{table}.{meaning}") or _KNOWN_AS.get(meaning, (canonical,))
        candidates = (wanted, *known)
        source = next((c for c in candidates if c in columns), None)
        if source is not None:
            sources[canonical] = source
        elif required:
            raise DataError(
                f"which column of {table} is the {meaning}? (found: {', '.join(columns)})",
                where=str(raw.path),
                fix=f"--map {meaning}=COLUMN",
            )
    taken = set(sources.values()) | set(sources)
    # Item attributes all stay; of the other files only what has a meaning.
    extra = [c for c in columns if c not in taken] if table == "items" else []
    frame = raw.frame.select(
        *(
            _id(raw.frame[source]).alias(name)
            if name.endswith("_id")
            else pl.col(source).alias(name)
            for name, source in sources.items()
        ),
        *extra,
    )
    unused = tuple(c for c in columns if c not in sources.values() and c not in extra)
    return Mapped(table, raw.path, frame, raw.rows, tuple(sources), unused, sources)


def _id(series: pl.Series) -> pl.Series:
    """Ids as text; empty ones are null. 17.0 is 17, as readers make floats of ids with gaps."""
    if series.dtype.is_float():
        whole = series.fill_nan(None).cast(pl.Int64, strict=False)
        if (whole.cast(pl.Float64) == series.fill_nan(None)).all():
            series = whole
    text = series.cast(pl.String).str.strip_chars()
    return pl.select(pl.when(text.str.len_bytes() > 0).then(text)).to_series()
