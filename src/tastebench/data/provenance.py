"""Text that a model wrote, what it was made from, and the guard that keeps it out of its own test.

A description, a profile or a query that a model wrote from interactions knows what was in them. If
some of those are what a run is tested on, the text holds part of the answer. So such a text carries
the interactions it was made from, or the time before which they lie, and a run whose test part
reaches into them is refused, as is one that cannot tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.errors import ProtocolError, counted
from tastebench.files import load_array

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

QUERIES = "queries"
"""The field that the texts of a dataset's queries are."""


@dataclass(frozen=True, eq=False)
class Provenance:
    """Where a text that a model wrote comes from.

    Attributes:
        kind: What it is, e.g. `complex queries`.
        fields: Which texts of the dataset it is: `items.<column>`, `users.<column>` or `queries`.
        made_by: The model, as far as known.
        source: Fingerprint of the dataset whose interactions it was made from; `rows` are theirs.
        prompt: Hash of the prompt; None where it is not known.
        created: When, UTC, ISO 8601; None where it is not known.
        cutoff: Every interaction used lies before this time, milliseconds; None where nobody knows.
        rows: The interactions used, as rows of their table, int64, ascending; None where nobody
            knows.
    """

    kind: str
    fields: tuple[str, ...]
    made_by: str
    source: str
    prompt: str | None = None
    created: str | None = None
    cutoff: int | None = None
    rows: np.ndarray | None = None

    def describe(self) -> dict[str, Any]:
        """As JSON has it; of the rows, their number."""
        value = asdict(replace(self, rows=None))
        return {**value, "rows": None if self.rows is None else len(self.rows)}


def write(made: Sequence[Provenance], folder: Path) -> list[dict[str, Any]]:
    """Keeps the rows in `folder`; returns the rest as JSON."""
    for i, one in enumerate(made):
        if one.rows is not None:
            np.save(folder / _file(i), one.rows, allow_pickle=False)
    return [one.describe() for one in made]


def read(values: Sequence[Mapping[str, Any]], folder: Path) -> tuple[Provenance, ...]:
    """What `write` kept and returned.

    Raises:
        OSError, ValueError: A file of rows is missing or damaged.
    """
    return tuple(
        Provenance(
            **{
                **value,
                "fields": tuple(value["fields"]),
                "rows": None if value["rows"] is None else np.array(load_array(folder / _file(i))),
            }
        )
        for i, value in enumerate(values)
    )


def _file(i: int) -> str:
    return f"provenance-{i}.npy"


def rows_used(made: Provenance, dataset: Dataset) -> np.ndarray | None:
    """The interactions of `dataset` that a text was made from, int64, ascending.

    Where only a cut-off is known, all interactions before it. None where it cannot be told: nothing
    is known, the rows are those of another dataset, or there is a cut-off and there are no times.
    """
    if made.rows is not None and made.source == dataset.fingerprint:
        return made.rows
    frame = dataset.tables.interactions
    if made.cutoff is None or frame is None or frame["time"].null_count():
        return None
    before: np.ndarray = np.flatnonzero((frame["time"] < made.cutoff).to_numpy())
    return before


def follow(
    made: Sequence[Provenance], before: Dataset, after: Dataset, kept: np.ndarray
) -> tuple[Provenance, ...]:
    """What is known of the texts of a dataset, for one with fewer of its interactions.

    Where an interaction that a text was made from is gone and others of its user with its item are
    left, these count as used: who took what is known from any of them.

    Args:
        made: Of the dataset `before`.
        before: The dataset that was filtered.
        after: What is left.
        kept: Row in `before` of every interaction of `after`, int64.
    """
    return tuple(
        replace(one, rows=_left_of(one.rows, before, kept), source=after.fingerprint)
        if one.rows is not None and one.source == before.fingerprint
        else one
        for one in made
    )


def _left_of(rows: np.ndarray, before: Dataset, kept: np.ndarray) -> np.ndarray:
    """Which of the interactions kept count as used, as their places among these."""
    frame = before.tables.interactions
    assert frame is not None
    pair = frame.select("user_id", "item_id").to_struct().rank("dense").to_numpy()
    gone = np.setdiff1d(rows, kept)
    return np.flatnonzero(np.isin(kept, rows) | np.isin(pair[kept], pair[gone]))


def check_text_artefacts(dataset: Dataset, fields: Collection[str], test_rows: np.ndarray) -> None:
    """Refuses texts that a model wrote from what they are to be tested on.

    Args:
        dataset: What is run on.
        fields: The texts that the run reads, named as in `Provenance.fields`.
        test_rows: Interactions of the test part, rows of their table, int64.

    Raises:
        ProtocolError: A text that is read was made from some of them, or it is not known from what.
    """
    for made in dataset.provenance:
        name = ", ".join(field for field in made.fields if field in fields)
        if not name:
            continue
        used = rows_used(made, dataset)
        if used is None:
            raise ProtocolError(
                f"{name} was written by {made.made_by}, and it is not known from which "
                f"interactions: some of the {counted(len(test_rows), 'test row')} may be among "
                "them",
                where=f"dataset {dataset.name}",
                fix=f"import again with --made-from CUT-OFF or FILE, or run without {name}: "
                "choose another text recipe",
            )
        inside = int(np.isin(test_rows, used).sum())
        if inside:
            raise ProtocolError(
                f"{name} was written by {made.made_by} from {_of(inside, len(test_rows))}",
                where=f"dataset {dataset.name}",
                fix="write it again from interactions before the test part, cut the test part "
                f"later, or run without {name}: choose another text recipe",
            )


def check_query_artefacts(dataset: Dataset, fields: Collection[str]) -> None:
    """Refuses item texts that a model wrote from what the queries of a search were written from.

    A search has no test part to keep apart: its queries may be written from any interaction. But
    where an item's text was made from the same ones, it tells which item is meant.

    Args:
        dataset: What is searched.
        fields: The texts that the run reads, named as in `Provenance.fields`.

    Raises:
        ProtocolError: Both were made from some of the same interactions, or it cannot be told.
    """
    asked = [made for made in dataset.provenance if QUERIES in made.fields]
    items = [
        made
        for made in dataset.provenance
        if QUERIES not in made.fields and set(made.fields) & set(fields)
    ]
    for made in items:
        name = ", ".join(field for field in made.fields if field in fields)
        for queries in asked:
            if made.rows is None or queries.rows is None or made.source != queries.source:
                raise ProtocolError(
                    f"{name} and the queries were both written by models, and it is not known "
                    "whether from the same interactions",
                    where=f"dataset {dataset.name}",
                    fix=f"import the items again with --made-from CUT-OFF or FILE and build the "
                    f"queries again, or run without {name}: choose another text recipe",
                )
            shared = len(np.intersect1d(made.rows, queries.rows))
            if shared:
                raise ProtocolError(
                    f"{name} was written by {made.made_by} from {shared:,} of the "
                    f"{counted(len(queries.rows), 'interaction')} that the queries were written "
                    "from",
                    where=f"dataset {dataset.name}",
                    fix=f"write it from other interactions, or run without {name}: choose another "
                    "text recipe",
                )


def _of(inside: int, rows: int) -> str:
    return f"interactions that include {inside:,} of the {counted(rows, 'test row')}"
