"""Yelp's open dataset: reviews of businesses as JSON lines, and what describes the businesses.

A business's attributes are texts of which some are Python literals, e.g. `{'garage': False}`; here
they become the sentences that the BLaIR benchmark makes of them. Literals are parsed, never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from tastebench.data.card import DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, catalogue, lines, need, read_json_lines
from tastebench.files import parse_json

_REVIEW = {
    "user_id": pl.String(),
    "business_id": pl.String(),
    "stars": pl.Float64(),
    "date": pl.String(),
}
_BUSINESS = {
    "item_id": pl.String(),
    "title": pl.String(),
    "categories": pl.List(pl.String()),
    "stars": pl.Float64(),
    "review_count": pl.Int64(),
    "city": pl.String(),
    "state": pl.String(),
    "attributes": pl.List(pl.String()),
    "hours": pl.List(pl.String()),
}
_CLOSED = "0:0-0:0"


def read(raw: Path) -> Tables:
    """Reviews with their times, taken as UTC, and the businesses."""
    path = need(raw, _REVIEWS)
    frame = read_json_lines(path, _REVIEW, needed=list(_REVIEW))
    date = pl.coalesce(
        pl.col("date").str.to_datetime(form, time_unit="ms", strict=False)
        for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
    )
    interactions = frame.select(
        pl.col("user_id"),
        pl.col("business_id").alias("item_id"),
        date.dt.timestamp("ms").alias("time"),
        pl.col("stars").alias("rating"),
    ).with_row_index("row")
    undated = interactions["time"].is_null().arg_true()
    if len(undated):
        numbers = [number for number, _ in lines(path)]
        raise bad_rows(path, [numbers[row] for row in undated], "date is not YYYY-MM-DD HH:MM:SS")
    items = read_businesses(need(raw, _BUSINESSES))
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def read_businesses(path: Path) -> pl.DataFrame:
    """The businesses, a JSON object a line; the name is the title.

    Raises:
        DataError: A line is no object with the id of a business; names the rows.
    """
    records, bad = [], []
    for number, line in lines(path):
        try:
            records.append(_business(parse_json(line)))
        except (KeyError, TypeError, ValueError, AttributeError):
            bad.append(number)
    if bad:
        raise bad_rows(path, bad, "no JSON object of a business")
    return pl.DataFrame(records, schema=_BUSINESS, orient="row")


def _business(record: dict[str, Any]) -> tuple[Any, ...]:
    categories = record.get("categories") or []
    if isinstance(categories, str):
        categories = categories.split(", ")
    stars, count = record.get("stars"), record.get("review_count")
    attributes, hours = record.get("attributes") or {}, record.get("hours") or {}
    return (
        str(record["business_id"]),
        record.get("name") or None,
        [str(category) for category in categories],
        None if stars is None else float(stars),
        None if count is None else int(count),
        record.get("city") or None,
        record.get("state") or None,
        [text for name, value in attributes.items() for text in sentences(name, value)],
        [f"{day}: {_clock(span)}" for day, span in hours.items() if span != _CLOSED],
    )


def sentences(name: str, value: object) -> Iterator[str]:
    """What an attribute says, in sentences; nothing where it is False or None.

    As the benchmark has them: the marks around texts (`u'free'`) stay, prices become dollar signs,
    what is true of several things is told in one sentence, after what else is known of them.
    """
    text, plain = str(value), name.replace("_", " ")
    price = re.search("price|range", name, re.IGNORECASE) and re.fullmatch(r"[1-4](\.\d+)?", text)
    if text.strip("'") == "False" or text in ("None", ""):
        return
    if price:
        yield f"{name}: {'$' * int(float(text))}."
        return
    parts = _mapping(text)
    if text.strip("'") == "True":
        yield f"Has {plain}."
    elif parts is None:
        yield f"{plain} is {text}."
    else:
        said = {str(key).replace("_", " "): str(told) for key, told in parts.items()}
        for key, told in said.items():
            if told not in ("True", "False", "None", ""):
                yield f"{name} {key} is {told}."
        true = [key for key, told in said.items() if told == "True"]
        if true:
            last = f"{', '.join(true[:-1])}, and {true[-1]}" if len(true) > 1 else true[0]
            yield f"{name} has {last}."


def _mapping(text: str) -> dict[object, object] | None:
    """A mapping that was printed by Python; None if it is something else."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _clock(span: str) -> str:
    """`8:0-17:30` as 8:00am-5:30pm; anything else as it is.

    >>> _clock("8:0-17:30")
    '8:00am-5:30pm'
    """
    found = re.fullmatch(r"(\d+):(\d+)-(\d+):(\d+)", str(span))
    if found is None:
        return str(span)
    hour, minute, until, until_minute = map(int, found.groups())
    return "-".join(
        f"{h % 12 or 12}:{m:02d}{'am' if h < 12 else 'pm'}"
        for h, m in ((hour, minute), (until, until_minute))
    )


def _released(name: str) -> RawFile:
    file = f"yelp_academic_dataset_{name}.json"
    return RawFile(
        path=file,
        also=(f"yelp_dataset/{file}", f"{file}.gz", f"{name}.json", f"dataset/{name}.json"),
    )


_REVIEWS = _released("review")
_BUSINESSES = _released("business")

YELP = Source(
    DatasetCard(
        name="yelp",
        title="Yelp open dataset",
        summary="Every review of the release that you bring, and the businesses that they are of.",
        source="https://www.yelp.com/dataset",
        licence="Yelp Dataset User Agreement: academic use, do not redistribute",
        citation="Yelp Inc. Yelp Open Dataset. https://www.yelp.com/dataset",
        text_columns=("title", "categories", "city", "state", "attributes", "hours"),
        text_recipe="yelp-plain",
        splits={"seqrec": SplitSpec(kind="last_out")},
        files=(_REVIEWS, _BUSINESSES),
        seen_on="format",
        notes=(
            "Yelp replaces the release from time to time: say which one you bring.",
            "People who reviewed a business again have it again.",
            "`stars` and `review_count` of a business count the reviews to be predicted: the "
            "recipe yelp-sentence reads them, the default yelp-plain does not.",
        ),
    ),
    read,
)
