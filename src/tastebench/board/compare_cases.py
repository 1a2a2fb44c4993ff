"""Cases behind a difference: whom it is largest for, and which questions one alone got right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tastebench.board.compare_model import Person, Questions
from tastebench.board.load import Entry
from tastebench.board.model import Column
from tastebench.board.significance import mcnemar
from tastebench.board.tables import LISTS
from tastebench.build.printable import item_titles, printable, printed
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset, is_dataset
from tastebench.errors import DataError
from tastebench.metrics.answers import measure_right, right
from tastebench.metrics.grammar import parse

if TYPE_CHECKING:
    import polars as pl

SHOWN = 3
"""Items of a list that are shown."""

_QUESTION = ("user_id", "kind", "question", "options", "gold")


class Titles:
    """Titles of items, from datasets that are prepared here.

    Attributes:
        notes: Of which datasets there are none, and why.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._known: dict[tuple[str, str | None], pl.DataFrame | None] = {}

    def of(self, entry: Entry, ids: pl.Series) -> list[str]:
        """What to call items: their titles, or their ids where there is no title."""
        import polars as pl

        key = entry.record.spec.dataset, entry.record.fingerprints.get("dataset")
        if key not in self._known:
            self._known[key] = self._read(*key)
        known = self._known[key]
        asked = pl.DataFrame({"item_id": ids})
        if known is None:
            return printable(ids).to_list()
        found = asked.join(known, on="item_id", how="left", maintain_order="left")["title"]
        called = found.fill_null("").to_list()
        return [title or item for title, item in zip(called, printable(ids), strict=True)]

    def _read(self, name: str, fingerprint: str | None) -> pl.DataFrame | None:
        import polars as pl

        folder = dataset_folder(name)
        if not is_dataset(folder):
            self.notes.append(f"no titles: the dataset {printed(name)} is not here")
            return None
        try:
            dataset = Dataset.load(folder)
        except DataError as error:
            self.notes.append(f"no titles: {error.what}")
            return None
        if dataset.fingerprint != fingerprint:
            self.notes.append(f"no titles: the dataset {printed(name)} here has other values")
            return None
        return pl.DataFrame({"item_id": dataset.item_ids, "title": item_titles(dataset)})


def most_different(
    ids: pl.Series,
    values: np.ndarray,
    sign: int,
    n: int,
    entries: tuple[Entry, Entry],
    titles: Titles,
) -> tuple[tuple[Person, ...], tuple[Person, ...]]:
    """The units that A serves better by most, then those that B does; of equals the first.

    Args:
        ids: Of the units.
        values: What A and B got of each, `[n, 2]`.
        sign: 1 where higher is better, else -1.
        n: How many at most, either way.
        entries: Whose lists are shown.
        titles: What items are called.

    Raises:
        DataError: A table of lists is broken.
    """
    gain = np.round(sign * (values[:, 0] - values[:, 1]), 12)
    picked = []
    for one in (gain, -gain):
        order = np.argsort(-one, kind="stable")[:n]
        picked.append(order[one[order] > 0])
    names = ids.gather(np.concatenate(picked)).to_list()
    shown = [_lists(entry, names, titles) for entry in entries]
    people = [
        tuple(
            Person(
                id=printed(ids[row]),
                a=float(values[row, 0]),
                b=float(values[row, 1]),
                shown_a=shown[0].get(ids[row], ()),
                shown_b=shown[1].get(ids[row], ()),
            )
            for row in rows.tolist()
        )
        for rows in picked
    ]
    return people[0], people[1]


def _lists(entry: Entry, ids: Sequence[str], titles: Titles) -> dict[str, tuple[str, ...]]:
    """The first items that each unit was shown, of the first question about it."""
    import polars as pl

    table = entry.table(LISTS, ids)
    if table is None or "item_id" not in table.columns:
        return {}
    unit, within = table.columns[0], next(c for c in ("question", "group") if c in table.columns)
    clicked = "label" in table.columns
    best = pl.col("score") if clicked else -pl.col("rank")
    table = (
        table.filter(pl.col(within) == pl.col(within).min().over(unit))
        .sort(unit, best, descending=[False, True], maintain_order=True)
        .group_by(unit, maintain_order=True)
        .head(SHOWN)
    )
    called = titles.of(entry, table["item_id"])
    if clicked:
        marks = table["label"].to_list()
        called = [f"+{one}" if mark else one for one, mark in zip(called, marks, strict=True)]
    found: dict[str, tuple[str, ...]] = {}
    for one, item in zip(table[unit].cast(pl.String).to_list(), called, strict=True):
        found[one] = (*found.get(one, ()), item)
    return found


def questions_of(column: Column, a: Entry, b: Entry) -> Questions | None:
    """The questions that both answered; None for metrics that are not of questions.

    None too where a table is gone, or the two were not asked the same.

    Raises:
        DataError: A table is broken.
    """
    if parse(column.metric).info.needs != "answers":
        return None
    tables = [entry.table(LISTS) for entry in (a, b)]
    mine, theirs = tables
    if mine is None or theirs is None or not {*_QUESTION, "scores", "status"} <= {*mine.columns}:
        return None
    if not mine.select(_QUESTION).equals(theirs.select(_QUESTION)):
        return None
    share_a, share_b = (_right(table, column.metric) for table in (mine, theirs))
    counted = ~np.isnan(share_a)
    whole = np.isin(share_a, (0.0, 1.0)) & np.isin(share_b, (0.0, 1.0))
    yes_a, yes_b = share_a[whole] == 1, share_b[whole] == 1
    only_a, only_b = int((yes_a & ~yes_b).sum()), int((yes_b & ~yes_a).sum())
    return Questions(
        both=int((yes_a & yes_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~yes_a & ~yes_b).sum()),
        tied=int((counted & ~whole).sum()),
        p=mcnemar(only_a, only_b),
    )


def _right(table: pl.DataFrame, metric: str) -> np.ndarray:
    """How far each answer is right, as the metric counts it; NaN for other questions."""
    scores = table["scores"].to_numpy()
    options = table["options"].explode().to_numpy().reshape(scores.shape)
    gold = (options == table["gold"].to_numpy()[:, None]).argmax(axis=1)
    share = right(scores, gold, table["status"].to_list())
    return measure_right([metric], share, table["kind"].to_numpy())[metric]
