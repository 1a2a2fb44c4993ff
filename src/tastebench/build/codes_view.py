"""What semantic ids put together: items in words, by path, by prefix, and next to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tastebench.build.printable import item_titles, printable, printed
from tastebench.data.catalog import dataset_folder, load_dataset
from tastebench.data.dataset import Dataset, is_dataset
from tastebench.data.text import clean
from tastebench.errors import UsageError, counted, did_you_mean
from tastebench.items.semantic_ids.about import ABOUT
from tastebench.items.semantic_ids.artefact import Artefact, load, order_hash
from tastebench.items.semantic_ids.paths import same_path

_HINTS = 5000
"""Ids that are compared letter by letter for a hint, at most: a second's work."""

_SHOWN = 60
"""Characters of a title in a message."""


@dataclass(frozen=True, eq=False)
class Group:
    """Items that begin with the same codes.

    Attributes:
        prefix: The codes they share.
        n: How many there are.
        rows: The first of them, in the order of the catalogue.
    """

    prefix: tuple[int, ...]
    n: int
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CodesView:
    """An artefact with the words of its catalogue.

    Attributes:
        artefact: The codes.
        titles: One an item, a single line that is safe to print, empty where there is none; None
            where the dataset is not here.
    """

    artefact: Artefact
    titles: pl.Series | None

    @classmethod
    def of(cls, artefact: Artefact, dataset: Dataset | None) -> CodesView:
        """The view; without a dataset, items have ids alone."""
        return cls(artefact, None if dataset is None else item_titles(dataset))

    @property
    def values(self) -> np.ndarray:
        """The codes, int64 `[n, width]`."""
        return self.artefact.ids.values

    @property
    def levels(self) -> int:
        """Levels without the one that tells equal paths apart."""
        return self.artefact.ids.levels

    @cached_property
    def names(self) -> pl.Series:
        """The ids as they may be printed."""
        return printable(self.artefact.item_ids)

    def title(self, row: int) -> str:
        """An item's title; nothing where it has none or nobody knows."""
        return "" if self.titles is None else str(self.titles[row])

    def path(self, row: int) -> list[int]:
        """An item's codes, the one that tells it apart included."""
        codes = self.values[row]
        return [int(code) for code in codes[codes >= 0]]

    def item(self, row: int) -> dict[str, Any]:
        """An item as JSON values."""
        told = {"item_id": str(self.artefact.item_ids[row]), "path": self.path(row)}
        return told if self.titles is None else {**told, "title": self.title(row)}

    # ------------------------------------------------------------------------------ by prefix

    def under(self, prefix: tuple[int, ...]) -> np.ndarray:
        """The items that begin with these codes, int64, ascending."""
        begin = self.values[:, : len(prefix)]
        return np.flatnonzero((begin == np.array(prefix, dtype=np.int64)).all(axis=1))

    def group(self, prefix: tuple[int, ...], shown: int) -> Group:
        """The items under a prefix."""
        rows = self.under(prefix)
        return Group(prefix, len(rows), tuple(rows[:shown].tolist()))

    def children(self, prefix: tuple[int, ...], shown: int, most: int) -> list[Group]:
        """The largest groups one code further on; of equal ones that of the smallest code.

        Args:
            prefix: What they begin with; empty for the groups of the first level.
            shown: Rows of each.
            most: Groups at most.
        """
        if len(prefix) >= self.values.shape[1]:
            return []
        rows = self.under(prefix)
        codes = self.values[rows, len(prefix)]
        found, counts = np.unique(codes[codes >= 0], return_counts=True)
        order = np.argsort(-counts, kind="stable")[:most]
        return [
            Group(
                (*prefix, int(found[i])),
                int(counts[i]),
                tuple(rows[codes == found[i]][:shown].tolist()),
            )
            for i in order
        ]

    def collisions(self, shown: int, most: int) -> list[Group]:
        """The largest groups of items whose paths are equal but for the code that tells them apart.

        Args:
            shown: Rows of each.
            most: Groups at most.
        """
        group = same_path(self.values[:, : self.levels])
        counts = np.bincount(group)
        largest = np.argsort(-counts, kind="stable")[:most]
        found = []
        for number in largest[counts[largest] > 1]:
            rows = np.flatnonzero(group == number)
            prefix = tuple(self.values[rows[0], : self.levels].tolist())
            found.append(Group(prefix, len(rows), tuple(rows[:shown].tolist())))
        return found

    def examples(self, most: int = 3, shown: int = 3) -> list[Group]:
        """Some first codes, from the most used to a rare one, each followed down its largest child.

        Args:
            most: First codes.
            shown: Rows of each group.
        """
        first = self.children((), shown, self.values.shape[0])
        several = [group for group in first if group.n > 1]
        at = np.unique(np.linspace(0, max(len(several) - 1, 0), most).astype(int))
        found = []
        for i in at[: len(several)]:
            group: Group | None = several[i]
            while group is not None:
                found.append(group)
                inner = (
                    self.children(group.prefix, shown, 1) if len(group.prefix) < self.levels else []
                )
                group = inner[0] if inner and 1 < inner[0].n < group.n else None
        return found

    def neighbours(self, row: int, shown: int) -> list[Group]:
        """Per length of prefix, the longest first, the other items that share so much and no more.

        Args:
            row: The item.
            shown: Rows of each group.

        Returns:
            A group a level; `n` counts only those that share no further code.
        """
        path = self.values[row, : self.levels]
        same = np.cumprod(self.values[:, : self.levels] == path, axis=1).sum(axis=1)
        same[row] = 0
        found = []
        for length in range(self.levels, 0, -1):
            rows = np.flatnonzero(same == length)
            prefix = tuple(path[:length].tolist())
            found.append(Group(prefix, len(rows), tuple(rows[:shown].tolist())))
        return found

    # -------------------------------------------------------------------------------- by name

    def find(self, name: str) -> int:
        """The item that is meant: by its id, its title, or a part that no other title has.

        Raises:
            UsageError: None is, or several are; names some.
        """
        rows = np.flatnonzero((self.artefact.item_ids == name).to_numpy())
        if len(rows):
            return int(rows[0])
        wanted = printed(str(clean(pl.Series([name]))[0])).lower()
        if self.titles is not None and wanted:
            lower = self.titles.str.to_lowercase()
            for match in (lower == wanted, lower.str.contains(wanted, literal=True)):
                rows = np.flatnonzero(match.to_numpy())
                if len(rows) == 1:
                    return int(rows[0])
                if len(rows):
                    raise self._several(name, rows)
        raise UsageError(f"no item {name!r}: {self._hint(name)}", where=str(self.artefact.folder))

    def _several(self, name: str, rows: np.ndarray) -> UsageError:
        some = "; ".join(f"{self.names[row]} {_cut(self.title(row))}" for row in rows[:5].tolist())
        more = "; ..." if len(rows) > 5 else ""
        return UsageError(
            f"the titles of {counted(len(rows), 'item')} hold {name!r}: {some}{more}",
            where=str(self.artefact.folder),
            fix=f"name one by its id: --item {self.names[int(rows[0])]}",
        )

    def _hint(self, name: str) -> str:
        """The nearest ids and titles, of those that begin alike where there are many."""
        known = self.names
        if self.titles is not None:
            known = pl.concat([known.alias("name"), self.titles.alias("name")])
        known, lower = known.filter(known != "").unique().sort(), name.lower()
        for length in range(1, len(name) + 1):
            alike = known.filter(known.str.to_lowercase().str.starts_with(lower[:length]))
            if len(known) <= _HINTS or alike.is_empty():
                break
            known = alike
        near = did_you_mean(name, known.head(_HINTS).to_list())
        if near.startswith("did you mean"):
            return _cut(near, 3 * _SHOWN)
        few = ", ".join(self.names.head(3).to_list())
        return f"items are called {few}, ..." if len(self.names) > 3 else f"known: {few}"


def _cut(text: str, length: int = _SHOWN) -> str:
    return text if len(text) <= length else f"{text[: length - 3].rstrip()}..."


def view_of(folder: Path, dataset: str | None, say: Callable[[str], None]) -> CodesView:
    """The view of a folder of codes, with titles if the dataset is here.

    Args:
        folder: Of the artefact, or the file in it that says what it is.
        dataset: Name or folder of its dataset; None looks among those that are prepared.
        say: Told why there are no titles.

    Raises:
        DataError: There are no codes, they are damaged, or of another catalogue than `dataset`.
        UsageError: No dataset of that name.
    """
    folder = folder.parent if folder.name == ABOUT and folder.is_file() else folder
    if dataset is not None:
        given = load_dataset(dataset, progress=say)
        return CodesView.of(load(folder, given), given)
    artefact = load(folder)
    about = artefact.about["dataset"]
    kept = dataset_folder(about["name"])
    if not is_dataset(kept):
        say(f"no titles: the dataset {printed(about['name'])} is not here (--dataset NAME)")
        return CodesView.of(artefact, None)
    found = Dataset.load(kept)
    if order_hash(found.item_ids) != about["order"]:
        say(f"no titles: the dataset {found.name} here has other items (--dataset FOLDER)")
        return CodesView.of(artefact, None)
    return CodesView.of(artefact, found)


def parse_prefix(text: str, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The codes of a prefix written as `12,7` or `12-7`.

    Args:
        text: As it was typed.
        sizes: Codes of each level.

    Raises:
        UsageError: It is none, or has a code that its level has not.

    >>> parse_prefix("12, 7", (16, 16, 16))
    (12, 7)
    """
    parts = text.replace("-", ",").split(",")
    if not all(part.strip().isdecimal() and part.isascii() for part in parts):
        raise UsageError(f"{text!r} is no prefix of a path", fix="--prefix 12,7")
    codes = tuple(int(part) for part in parts)
    if len(codes) > len(sizes):
        raise UsageError(f"a prefix of {len(codes)} codes is longer than a path: {len(sizes)}")
    for level, (code, size) in enumerate(zip(codes, sizes, strict=False), start=1):
        if code >= size:
            raise UsageError(
                f"level {level} has no code {code:,}",
                where=f"prefix {text}",
                fix=f"0 to {size - 1:,}",
            )
    return codes
