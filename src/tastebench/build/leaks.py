"""Does a query give its item away? Title, maker, model numbers, sizes, or the review's own words.

Whoever reads a query should have to understand what is needed; a name in it would turn the search
into a look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from tastebench.build.form import Fault
from tastebench.build.words import as_text, codes, runs, words

TITLE_RUN = 3
"""So many words of a title in a row can name the item."""
RARE = 0.01
"""Runs of words in a larger share of all titles name a kind of thing, not one."""
REVIEW_RUN = 8
"""More words of the review in a row are a copy."""
LONG_NUMBER = 3
"""Digits of a number that is too telling to be repeated."""
MAKERS = ("brand", "store", "manufacturer")
"""Item columns that say who made or sells an item."""

Run = tuple[str, ...]

# Unit as written -> one form of it.
_UNITS = {
    alias: unit
    for unit, aliases in {
        "inch": "inch inches in",
        "foot": "foot feet ft",
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "m": "m meter meters metre metres",
        "g": "g gram grams gramm",
        "kg": "kg kilo kilos kilogram kilograms",
        "ounce": "oz ounce ounces",
        "pound": "lb lbs pound pounds",
        "ml": "ml milliliter milliliters millilitre millilitres",
        "l": "l liter liters litre litres",
        "gb": "gb gigabyte gigabytes",
        "tb": "tb terabyte terabytes",
        "mb": "mb megabyte megabytes",
        "mah": "mah",
        "watt": "w watt watts",
        "volt": "v volt volts",
        "hz": "hz hertz",
        "ghz": "ghz",
        "percent": "percent",
        "pack": "pack packs pk",
        "piece": "piece pieces pc pcs count ct",
    }.items()
    for alias in aliases.split()
}


@dataclass(frozen=True)
class Identity:
    """What gives one item away.

    Attributes:
        title: Its words, empty if they are too few and too common to name it.
        rare_runs: Runs of `TITLE_RUN` words of the title that are rare in the catalogue.
        makers: The words of each brand, store or manufacturer.
        codes: Model numbers.
        numbers: Numbers of `LONG_NUMBER` digits or more in title or maker.
        quantities: Numbers with their unit in title or maker.
    """

    title: Run
    rare_runs: frozenset[Run]
    makers: tuple[Run, ...]
    codes: frozenset[str]
    numbers: frozenset[str]
    quantities: frozenset[Run]


def identities(items: pl.DataFrame, rows: np.ndarray, title: str = "title") -> list[Identity]:
    """What gives each of some items away, among all items.

    A run of words is rare if it is in fewer than `RARE` of the titles, or in one title alone: in a
    catalogue of fifty that is more than a hundredth.

    Args:
        items: The whole items table.
        rows: The items wanted.
        title: The column that holds the titles.
    """
    titles = words(as_text(items[title]))
    makers = [words(as_text(items[column])[rows]) for column in MAKERS if column in items.columns]
    wanted = [tuple(found) for found in titles[rows]]
    counts = _titles_with({run for of in wanted for run in _title_runs(of)}, titles)
    most = max(2, RARE * len(items))
    rare = {run for run, count in counts.items() if count < most}
    named = codes(as_text(items[title])[rows])
    found = []
    for at, own in enumerate(wanted):
        made_by = tuple(dict.fromkeys(tuple(column[at]) for column in makers if len(column[at])))
        said = [own, *made_by]
        found.append(
            Identity(
                title=own if len(own) >= TITLE_RUN or own in rare else (),
                rare_runs=frozenset(run for run in runs(own, TITLE_RUN) if run in rare),
                makers=made_by,
                codes=frozenset(named[at]),
                numbers=frozenset(word for of in said for word in of if _is_long_number(word)),
                quantities=frozenset(pair for of in said for pair in quantities(of)),
            )
        )
    return found


def leaks(query: Run, item: Identity, review: Run) -> list[Fault]:
    """How a query gives its item away; empty if it does not.

    Args:
        query: Its words (`tastebench.build.words.words`).
        item: Of the item that the review is about.
        review: Its words.
    """
    by_length = {length: set(runs(query, length)) for length in range(1, TITLE_RUN + 1)}
    joined = {"".join(run) for of in by_length.values() for run in of}
    faults = []
    if _has(query, item.title):
        faults.append(Fault("title", f'it names the product: "{" ".join(item.title)}"'))
    else:
        named = sorted(item.rare_runs & by_length[TITLE_RUN])
        faults += [Fault("title", f'it repeats the title: "{" ".join(run)}"') for run in named]
    faults += [
        Fault("brand", f'it names the brand or shop: "{" ".join(maker)}"')
        for maker in item.makers
        if _has(query, maker)
    ]
    faults += [
        Fault("model number", f'it holds the model number "{code}"')
        for code in sorted(item.codes & joined)
    ]
    faults += [
        Fault("number", f'it holds the number "{number}" of the title')
        for number in sorted(item.numbers & set(query))
    ]
    faults += [
        Fault("number", f'it holds the size "{" ".join(pair)}" of the title')
        for pair in sorted(item.quantities & quantities(query))
        if "".join(pair) not in item.codes
    ]
    copied = set(runs(review, REVIEW_RUN + 1))
    copy = next((run for run in runs(query, REVIEW_RUN + 1) if run in copied), None)
    if copy:
        faults.append(Fault("verbatim", f'it copies the review: "{" ".join(copy)}"'))
    return faults


def quantities(of: Sequence[str]) -> set[Run]:
    """The numbers with a unit among words: `16gb`, or `16` before `gigabytes`.

    >>> sorted(quantities(["two", "16gb", "cards", "12", "ounces"]))
    [('12', 'ounce'), ('16', 'gb')]
    """
    found: set[Run] = {
        (word, _UNITS[unit]) for word, unit in pairwise(of) if word.isdecimal() and unit in _UNITS
    }
    for word in of:
        unit = word.lstrip("0123456789")
        if unit != word and unit in _UNITS:
            found.add((word[: len(word) - len(unit)], _UNITS[unit]))
    return found


def _title_runs(title: Run) -> set[Run]:
    """The runs that may name an item; a short title as a whole."""
    if len(title) < TITLE_RUN:
        return {title} if title else set()
    return set(runs(title, TITLE_RUN))


def _titles_with(wanted: set[Run], titles: pl.Series) -> dict[Run, int]:
    """In how many titles each wanted run of words is."""
    each = pl.DataFrame({"item": np.arange(len(titles)), "w0": titles}).explode("w0")
    counts: dict[Run, int] = {}
    for length in range(1, TITLE_RUN + 1):
        names = [f"w{i}" for i in range(length)]
        sought = pl.DataFrame(
            [run for run in wanted if len(run) == length],
            schema=dict.fromkeys(names, pl.String),
            orient="row",
        )
        shifted = each.with_columns(
            pl.col("w0").shift(-i).over("item").alias(f"w{i}") for i in range(1, length)
        )
        found = shifted.join(sought, on=names, how="semi").unique().group_by(names).len()
        counts |= {tuple(row[:-1]): row[-1] for row in found.iter_rows()}
    return counts


def _has(query: Run, run: Run) -> bool:
    """Whether the words of `run` stand in the query in a row."""
    return bool(run) and run in runs(query, len(run))


def _is_long_number(word: str) -> bool:
    return word.isdecimal() and len(word) >= LONG_NUMBER
