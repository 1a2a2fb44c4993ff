"""A question set as an exam: a question, its options, the right one, and what the user did."""

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
from tastebench.data.questions.artefact import Artefact, load
from tastebench.data.questions.attributes import Attribute, read_attribute, rules_of
from tastebench.data.questions.people import People, people_of
from tastebench.data.questions.spec import KINDS, PARTS, Kind
from tastebench.errors import DataError, UsageError, did_you_mean

KIND_NAMES: dict[Kind, str] = {
    "df": "direct feature",
    "mf": "match feature",
    "ip": "item prediction",
    "ap": "attribute prediction",
    "li": "long-term interest",
    "si": "short-term interest",
    "it": "interest trace",
}


@dataclass(frozen=True)
class Event:
    """Something that the user did.

    Attributes:
        place: Counted from 1; n + 1 for what comes next.
        title: Of the item.
        value: What the item is by the attribute that is asked about; None where none is.
        evidence: Whether the answer rests on it.
    """

    place: int
    item_id: str
    title: str
    value: str | None
    evidence: bool


@dataclass(frozen=True)
class Exam:
    """One question as it is read.

    Attributes:
        row: The question's row of the table, texts safe to print.
        events: What the user did, what comes next last; None where the dataset is not here.
    """

    row: dict[str, Any]
    events: tuple[Event, ...] | None


@dataclass(frozen=True, eq=False)
class QuestionsView:
    """An artefact with what users did.

    Attributes:
        artefact: The questions.
        dataset: Whose users they are about; None where it is not here.
    """

    artefact: Artefact
    dataset: Dataset | None

    def select(self, question: str | None, user: str | None, kind: str | None, n: int) -> list[int]:
        """Rows of the questions that are meant.

        Args:
            question: Its id; alone.
            user: About whom.
            kind: Of a kind; None for one of each kind.
            n: At most so many of each kind.

        Raises:
            UsageError: There is none.
        """
        table = self.artefact.table.with_row_index("at")
        if question is not None:
            found = table.filter(pl.col("qid") == question)
            if found.is_empty():
                raise UsageError(
                    f"no question {question!r}: {did_you_mean(question, table['qid'].head(5000))}",
                    where=str(self.artefact.folder),
                )
            return found["at"].to_list()
        if kind is not None and kind not in KINDS:
            raise UsageError(f"no kind of question {kind!r}: {did_you_mean(kind, KINDS)}")
        if user is not None:
            table = table.filter(pl.col("user_id") == user)
            if table.is_empty():
                raise UsageError(
                    f"no question is about the user {user!r}", where=str(self.artefact.folder)
                )
        if kind is not None:
            table = table.filter(pl.col("subtask") == kind)
        order = [*reversed(PARTS)]  # what is measured first
        table = table.sort(
            pl.col("part").replace_strict(order, [0, 1, 2]),
            pl.col("subtask").replace_strict(list(KINDS), list(range(len(KINDS)))),
            maintain_order=True,
        )
        of_kind = pl.int_range(pl.len()).over("subtask")
        chosen = table.filter(of_kind < n)
        if chosen.is_empty():
            raise UsageError("there are no such questions", where=str(self.artefact.folder))
        return chosen["at"].to_list()

    def exam(self, row: int) -> Exam:
        """One question with what its user did."""
        values = self.artefact.table.row(row, named=True)
        for name in ("qid", "user_id", "template", "question", "gold_text"):
            values[name] = printed(values[name])
        values["options"] = printable(pl.Series(values["options"], dtype=pl.String)).to_list()
        if values["attribute"] is not None:
            values["attribute"] = printed(values["attribute"])
        if self.dataset is None:
            return Exam(values, None)
        return Exam(values, self._events(row, self.dataset))

    def _events(self, row: int, dataset: Dataset) -> tuple[Event, ...]:
        asked = self.artefact.table.row(row, named=True)
        who = self._who.get(asked["user_id"])
        if who is None:
            raise DataError(
                f"the dataset {dataset.name} here has no user {printed(asked['user_id'])}",
                where=str(self.artefact.folder),
            )
        items = [*self._people.history[who].tolist(), int(self._people.next[who])]
        attribute = self._attribute(asked["attribute"])
        texts = (
            None if attribute is None else np.append(attribute.texts, "")[attribute.whole[items]]
        )
        evidence = set(asked["evidence"])
        titles, ids = self._titles, dataset.item_ids
        return tuple(
            Event(
                place,
                printed(str(ids[item])),
                str(titles[item]),
                None if texts is None else printed(str(texts[place - 1])),
                place in evidence,
            )
            for place, item in enumerate(items, start=1)
        )

    def _attribute(self, name: str | None) -> Attribute | None:
        """An attribute that is asked about, but for the title, which is shown as it is."""
        assert self.dataset is not None
        spec = self.artefact.about.spec
        rules = rules_of(self.dataset, spec.attributes)[1:]
        rule = next((rule for rule in rules if rule.name == name), None)
        return None if rule is None else read_attribute(self.dataset, rule, spec.title_characters)

    @cached_property
    def _titles(self) -> pl.Series:
        assert self.dataset is not None
        return item_titles(self.dataset)

    @cached_property
    def _people(self) -> People:
        assert self.dataset is not None
        return people_of(self.dataset, self.artefact.about.spec)

    @cached_property
    def _who(self) -> dict[str, int]:
        assert self.dataset is not None
        ids = self.dataset.user_ids.gather(self._people.user)
        return dict(zip(ids.to_list(), range(len(ids)), strict=True))


def view_of(folder: Path, dataset: str | None, say: Callable[[str], None]) -> QuestionsView:
    """The view of a folder of questions, with what users did if the dataset is here.

    Args:
        folder: Of the artefact, or its `questions.json`.
        dataset: Name or folder of its dataset; None looks among those that are prepared.
        say: Told why nothing is known of what users did.

    Raises:
        DataError: There are no questions, they are damaged, or of another dataset than `dataset`.
        UsageError: No dataset of that name.
    """
    artefact = load(folder)
    wanted = artefact.about.dataset
    if dataset is not None:
        given = load_dataset(dataset, progress=say)
        if given.fingerprint != wanted.fingerprint:
            raise DataError(
                f"these questions are not about {given.name} as it is here, but about "
                f"{printed(wanted.name)} with the fingerprint {wanted.fingerprint[:12]}",
                where=str(folder),
                fix=f"tastebench build questions --dataset {given.name}",
            )
        return QuestionsView(artefact, given)
    kept = dataset_folder(wanted.name)
    if not is_dataset(kept):
        say(f"no histories: the dataset {printed(wanted.name)} is not here (--dataset NAME)")
        return QuestionsView(artefact, None)
    found = Dataset.load(kept)
    if found.fingerprint != wanted.fingerprint:
        say(f"no histories: the dataset {found.name} here has other values (--dataset FOLDER)")
        return QuestionsView(artefact, None)
    return QuestionsView(artefact, found)
