"""What a run was asked, made once more from its dataset: histories, queries and right answers.

Records keep what was recommended and not what was true: that is in the dataset, and the recorded
protocol says how to get it. It is made only where the dataset here has the values that the run saw
and the protocol still has the fingerprint that the record carries; else nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from tastebench.build.printable import item_titles, printable, printed
from tastebench.data.catalog import dataset_folder, load_dataset
from tastebench.data.dataset import Dataset, is_dataset, positions
from tastebench.errors import DataError, TastebenchError
from tastebench.runs.record import Record
from tastebench.tasks import NO_FORMS, TASKS
from tastebench.tasks.evaluate import Asked
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.quiz import Quiz, asker_of
from tastebench.tasks.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Item:
    """An item as it may be printed.

    Attributes:
        title: Empty where it has none, or nobody knows it here.
    """

    id: str
    title: str = ""


@dataclass(frozen=True)
class Case:
    """One question about a unit, or one group of candidates that were shown to it.

    Attributes:
        key: Its number in the table of what was predicted.
        history: What the user had before, the oldest first; None where the task has no history or
            the dataset is not here.
        query: The words of a query.
        right: The right answers; None where nobody knows. Those of candidates are labels instead.
    """

    key: int
    history: tuple[Item, ...] | None = None
    query: str | None = None
    right: tuple[Item, ...] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """Where titles and right answers come from.

    Attributes:
        dataset: With the values that the run saw; None where it is not here.
        notes: What cannot be said, and why.
    """

    record: Record
    dataset: Dataset | None
    notes: list[str] = field(default_factory=list)

    def items(self, ids: Sequence[str] | pl.Series) -> list[Item]:
        """Items by their ids."""
        series = pl.Series("item_id", ids, dtype=pl.String)
        names = printable(series).to_list()
        if self.dataset is None:
            return [Item(name) for name in names]
        rows = positions(series, self.dataset.item_ids)
        titles = pl.concat([self._titles, pl.Series("title", [""])])  # -1 is the last: none
        return [Item(n, t) for n, t in zip(names, titles.gather(rows % len(titles)), strict=True)]

    def cases(self, unit: str) -> list[Case]:
        """The questions about a unit, in the order in which they were asked; none where unknown.

        Args:
            unit: A user's or query's id.
        """
        asked = self._asked
        if asked is None or self.dataset is None:
            return []
        if isinstance(asked, Shown):
            return self._shown(asked, self._row(unit, self.dataset.everyone))
        if isinstance(asked, Quiz):
            return self._quizzed(asked, self._row(unit, self.dataset.everyone))
        queries = self.dataset.tables.queries
        if asked.unit == "query":
            assert queries is not None
            return self._searched(asked, self._row(unit, queries["query_id"]))
        return self._ranked(asked, self._row(unit, self.dataset.everyone))

    def _ranked(self, asked: Asked, row: int) -> list[Case]:
        assert asked.queries.history is not None
        return [
            Case(
                key=at,
                history=tuple(self._of(asked.queries.history[at])),
                right=tuple(self._of(asked.relevant[at])),
            )
            for at in np.flatnonzero(asked.ids == row).tolist()
        ]

    def _searched(self, asked: Asked, row: int) -> list[Case]:
        assert self.dataset is not None and self.dataset.tables.queries is not None
        words = printed(str(self.dataset.tables.queries["text"][row]))
        found = []
        for at in np.flatnonzero(asked.ids == row).tolist():
            right = asked.relevant[at]
            if asked.gain is not None:  # the best graded first
                right = right[np.argsort(-asked.gain[at], kind="stable")]
            found.append(Case(key=at, query=words, right=tuple(self._of(right))))
        return found

    def _shown(self, shown: Shown, row: int) -> list[Case]:
        candidates = shown.candidates
        asker = candidates.items.rows
        mine = np.flatnonzero(shown.user == row)
        found = []
        for group in dict.fromkeys(shown.group[mine].tolist()):
            last = mine[shown.group[mine] == group][-1]
            history = candidates.history[int(asker[last])]
            found.append(Case(key=group, history=tuple(self._of(history))))
        return found

    def _quizzed(self, quiz: Quiz, row: int) -> list[Case]:
        """One case for all questions of a user: they are about one history."""
        mine = np.flatnonzero(asker_of(quiz.questions) == row)
        if not len(mine):
            return []
        history = quiz.questions.history[int(quiz.questions.user[mine[0]])]
        return [Case(key=0, history=tuple(self._of(history)))]

    def _of(self, rows: np.ndarray) -> list[Item]:
        assert self.dataset is not None
        return self.items(self.dataset.item_ids.gather(rows))

    def _row(self, unit: str, ids: pl.Series) -> int:
        return int(positions(pl.Series([unit], dtype=pl.String), ids)[0])

    @cached_property
    def _titles(self) -> pl.Series:
        assert self.dataset is not None
        return item_titles(self.dataset).alias("title")

    @cached_property
    def _asked(self) -> Any:
        """The test part's questions; None, and a note, where they would not be the same."""
        if self.dataset is None:
            return None
        try:
            protocol = TaskProtocol.model_validate(self.record.protocol)
            same = protocol.fingerprint(self.dataset) == self.record.protocol_id
        except (ValidationError, TastebenchError):
            same = False
        if not same:
            self.notes.append(
                "no histories and right answers: this Tastebench would ask other questions than "
                "the record's protocol did"
            )
            return None
        task = TASKS.get(protocol.task)
        return task.ask(task.problem(self.dataset, protocol), protocol, "test", NO_FORMS)


def source_of(record: Record, given: str | None = None) -> Source:
    """The source of a record's titles and right answers.

    Args:
        record: The run.
        given: Name or folder of its dataset; None looks among those that are prepared.

    Raises:
        DataError: The dataset that was given has other values than the run saw.
        UsageError: No dataset of that name.
    """
    wanted, name = record.fingerprints.get("dataset"), record.spec.dataset
    if given is not None:
        dataset = load_dataset(given)
        if dataset.fingerprint != wanted:
            raise DataError(
                f"the run did not see {dataset.name} as it is here, but {printed(name)} with the "
                f"fingerprint {(wanted or 'unknown')[:12]}",
                fix="leave --dataset out: then ids are shown",
            )
        return Source(record, dataset)
    missing = "no titles, histories and right answers:"
    folder = dataset_folder(name)
    if not is_dataset(folder):
        how = f"tastebench data get {printed(name)}, or --dataset FOLDER"
        return Source(record, None, [f"{missing} the dataset {printed(name)} is not here ({how})"])
    try:
        dataset = Dataset.load(folder)
    except DataError as error:
        return Source(record, None, [f"{missing} {error.what}"])
    if dataset.fingerprint != wanted:
        why = f"the dataset {printed(name)} here has other values (--dataset FOLDER)"
        return Source(record, None, [f"{missing} {why}"])
    return Source(record, dataset)
