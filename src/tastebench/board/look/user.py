"""What a run, and those beside it, showed one user or query, and what was true."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tastebench.board.load import Entry
from tastebench.board.look.asked import Case, Item, Source, source_of
from tastebench.board.look.beside import Model, rivals_of
from tastebench.board.look.calls import Calls, calls_of
from tastebench.board.look.quiz import Question, questions_about
from tastebench.board.look.whom import Unit, unit_of
from tastebench.board.tables import LISTS, UNITS
from tastebench.build.printable import printed
from tastebench.data.questions.spec import KINDS
from tastebench.errors import UsageError, counted, did_you_mean
from tastebench.runs.outputs import LIST_LENGTH, MAX_PREDICTIONS

_TASK_OF_QUESTIONS = "userqa"
_HINTS = 5000
"""Ids that are compared letter by letter for a hint, at most: a second's work."""


@dataclass(frozen=True)
class Wanted:
    """What is looked at.

    Attributes:
        unit: Id of a user, or of a query in search.
        others: Other models at most.
        question: One of the unit's questions by its number from 1; None for the first ones.
        kind: Only questions of a kind (userqa).
        dataset: Name or folder of the dataset; None looks among those that are prepared.
    """

    unit: str
    others: int = 3
    question: int | None = None
    kind: str | None = None
    dataset: str | None = None


@dataclass(frozen=True)
class Slot:
    """An item of a list, with its score and whether it is a right answer."""

    item: Item
    score: float
    right: bool


@dataclass(frozen=True)
class Target:
    """A right answer and where it stands.

    Attributes:
        ranks: Of each model, from 1; None where it is not in the list that was kept. Without a list
            of such length it is what the unit's `mrr` says, where that is of this item alone.
    """

    item: Item
    ranks: tuple[int | None, ...]


@dataclass(frozen=True)
class Asked:
    """One question about a unit with the list of each model, or a group of candidates.

    Attributes:
        number: From 1.
        lists: Of each model, the best first; empty where none was kept.
        targets: None where nobody knows.
    """

    number: int
    case: Case
    lists: tuple[tuple[Slot, ...], ...]
    targets: tuple[Target, ...] | None


@dataclass(frozen=True, eq=False)
class Look:
    """One user or query as several models served it.

    Attributes:
        unit: With the values of the run that is looked at.
        what: `user` or `query`.
        models: The run, then others.
        values: Metric to value for each model; None where it does not have the unit.
        more: Other models that are not shown.
        asked: Questions about the unit, or groups of candidates; empty for userqa.
        questions: Multiple-choice questions about the user.
        history: What all of these are about; None elsewhere.
        calls: What a language model was asked and said; None where it was not kept.
    """

    unit: Unit
    what: str
    models: tuple[Model, ...]
    values: tuple[dict[str, float] | None, ...]
    more: int
    asked: tuple[Asked, ...]
    questions: tuple[Question, ...]
    history: tuple[Item, ...] | None
    calls: Calls | None
    notes: tuple[str, ...]


def look_at(entry: Entry, wanted: Wanted) -> Look:
    """Looks at one unit of a run.

    Raises:
        UsageError: The run failed, or did not ask about the unit, or not so many questions.
        DataError: A file is damaged, or `wanted.dataset` has other values than the run saw.
    """
    _check(entry, wanted)
    unit, what = _unit(entry, wanted.unit)
    source = source_of(entry.record, wanted.dataset)
    rivals = rivals_of(entry)
    models = (rivals.own, *rivals.others[: wanted.others])
    tables = [model.entry.table(LISTS, [wanted.unit]) for model in models]
    values = (unit.values, *(_values(model.entry, wanted.unit) for model in models[1:]))
    of_questions = entry.record.spec.task == _TASK_OF_QUESTIONS
    cases = source.cases(wanted.unit)
    questions = questions_about(tables) if of_questions else ()
    asked = () if of_questions else _asked(source, cases, tables, values)
    asked = asked[_chosen(len(asked), wanted, entry)]
    calls = calls_of(entry, wanted.unit, {slot.item.id for one in asked for slot in one.lists[0]})
    return Look(
        unit=unit,
        what=what,
        models=models,
        values=values,
        more=len(rivals.others) - len(models) + 1,
        asked=asked,
        questions=_of_kind(questions[_chosen(len(questions), wanted, entry)], wanted),
        history=cases[0].history if of_questions and cases else None,
        calls=calls,
        notes=(*source.notes, *rivals.notes, *_unkept(entry, tables[0], calls)),
    )


def _check(entry: Entry, wanted: Wanted) -> None:
    record = entry.record
    if record.status == "failed":
        raise UsageError(
            "this run failed, so it showed nobody anything",
            where=str(entry.folder),
            fix=f"tastebench inspect {entry.folder}",
        )
    if wanted.kind is not None:
        if record.spec.task != _TASK_OF_QUESTIONS:
            raise UsageError(
                f"{record.spec.task} has no kinds of questions", fix="leave --kind out"
            )
        if wanted.kind not in KINDS:
            hint = did_you_mean(wanted.kind, KINDS)
            raise UsageError(f"no kind of question {wanted.kind!r}: {hint}")


def _unit(entry: Entry, unit: str) -> tuple[Unit, str]:
    """The unit in the run's table.

    Raises:
        UsageError: It is not there, or there is no table.
    """
    table = entry.table(UNITS, [unit])
    if table is None:
        raise UsageError(
            "the table of values per unit is gone, so nothing is known of single ones",
            where=f"{entry.folder}/{UNITS}",
            fix="run its config.yaml again",
        )
    what = table.columns[0].removesuffix("_id")
    if len(table):
        return unit_of(table.row(0, named=True)), what
    everyone = entry.table(UNITS)
    assert everyone is not None
    ids = everyone.to_series(0).cast(pl.String)
    near = ids.filter(ids.str.starts_with(unit[:1])) if len(ids) > _HINTS else ids
    raise UsageError(
        f"no {what} {unit!r} was asked about: {did_you_mean(unit, near.head(_HINTS))}",
        where=str(entry.folder),
        fix="--worst 10 lists some",
    )


def _values(entry: Entry, unit: str) -> dict[str, float] | None:
    table = entry.table(UNITS, [unit])
    return unit_of(table.row(0, named=True)).values if table is not None and len(table) else None


# ------------------------------------------------------------------------------- lists of items


def _asked(
    source: Source,
    cases: Sequence[Case],
    tables: Sequence[pl.DataFrame | None],
    values: Sequence[dict[str, float] | None],
) -> tuple[Asked, ...]:
    """Each question about the unit with the lists of all models."""
    known = {case.key: case for case in cases}
    own = tables[0]
    if own is not None and len(own):
        known = {key: known.get(key, Case(key)) for key in own[_key(own)].unique().sort().to_list()}
    alone = len(known) == 1
    return tuple(
        _one(source, number, case, tables, values if alone else [None] * len(tables))
        for number, case in enumerate(known.values(), start=1)
    )


def _one(
    source: Source,
    number: int,
    case: Case,
    tables: Sequence[pl.DataFrame | None],
    values: Sequence[dict[str, float] | None],
) -> Asked:
    right = None if case.right is None else {item.id for item in case.right}
    lists = tuple(_slots(source, table, case.key, right or set()) for table in tables)
    clicked = tables[0] is not None and "label" in tables[0].columns
    targets = [slot.item for slot in lists[0] if slot.right] if clicked else case.right
    if targets is None:
        return Asked(number, case, lists, None)
    alone = len(targets) == 1 and not clicked
    found = tuple(
        Target(
            item,
            tuple(
                _rank(item, slots, value if alone else None)
                for slots, value in zip(lists, values, strict=True)
            ),
        )
        for item in targets
    )
    return Asked(number, case, lists, found)


def _slots(
    source: Source, table: pl.DataFrame | None, key: int, right: set[str]
) -> tuple[Slot, ...]:
    """The list of one model to one question, the best first."""
    if table is None or not len(table):
        return ()
    table = table.filter(pl.col(_key(table)) == key)
    clicked = "label" in table.columns
    table = (
        table.sort("score", descending=True, maintain_order=True) if clicked else table.sort("rank")
    )
    items = source.items(table["item_id"].cast(pl.String))
    marks = table["label"].to_list() if clicked else [item.id in right for item in items]
    return tuple(
        Slot(item, score, bool(mark))
        for item, score, mark in zip(items, table["score"].to_list(), marks, strict=True)
    )


def _rank(item: Item, slots: Sequence[Slot], value: dict[str, float] | None) -> int | None:
    """Where an item stands in a list; else what the reciprocal of its rank says."""
    for place, slot in enumerate(slots, start=1):
        if slot.item.id == item.id:
            return place
    reciprocal = (value or {}).get("mrr", 0.0)
    return round(1 / reciprocal) if reciprocal > 0 else None


def _key(table: pl.DataFrame) -> str:
    """What parts the rows of a table of lists."""
    return "question" if "question" in table.columns else "group"


# ------------------------------------------------------------------------------------ choosing


def _chosen(n: int, wanted: Wanted, entry: Entry) -> slice:
    """Which of `n` questions are meant.

    Raises:
        UsageError: There are not so many.
    """
    if wanted.question is None or not n:
        return slice(None)
    if not 1 <= wanted.question <= n:
        raise UsageError(
            f"{printed(wanted.unit)} has {counted(n, 'question')}, and none of the number "
            f"{wanted.question}",
            where=str(entry.folder),
            fix=f"--question {n}",
        )
    return slice(wanted.question - 1, wanted.question)


def _of_kind(questions: tuple[Question, ...], wanted: Wanted) -> tuple[Question, ...]:
    if wanted.kind is None:
        return questions
    return tuple(one for one in questions if one.kind == wanted.kind)


def _unkept(entry: Entry, table: pl.DataFrame | None, calls: Calls | None) -> list[str]:
    """What this run did not keep, and how to get it."""
    notes, config = [], shlex.quote(f"{entry.folder}/config.yaml")
    if table is None:
        notes.append(
            f"no lists were kept: only up to {MAX_PREDICTIONS:,} rows are, {LIST_LENGTH} a "
            f"question; fewer users have theirs: tastebench run {config} --limit 1000 --out OTHER"
        )
    if calls is None and entry.record.spec.language_model is not None:
        notes.append(
            "what the language model read is not kept, since it wrote nothing: its answers are "
            f"probabilities of words; tastebench run {config} --dry-run shows a prompt"
        )
    return notes
