"""What an in-domain language model reads: items in words, and what users took, of the train part.

Nothing of the valid or the test part is read: neither what was taken there, nor the text of an item
that nobody took before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import CtrProblem, QaProblem, SeqProblem
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import TaskProtocol


@dataclass(frozen=True, eq=False)
class Corpus:
    """The train part.

    Attributes:
        texts: One line an item, of the whole catalogue; only those of `items` may be read.
        items: Items that occur in it and have a text, int64, ascending.
        histories: What users took, oldest first, two items or more.
        silent: Items that occur in it and have no text.
        single: Users who took one item: nothing follows from it, so it is no history.
        rows: The interactions that it consists of, rows of their table, int64, ascending; None
            where it was not cut from interactions one by one.
        cutoff: All of them lie before this time, milliseconds; None without times.
        asked: Words in which a model of the task is asked, of no user; the vocabulary has them.
    """

    texts: list[str]
    items: np.ndarray
    histories: Ragged
    silent: int
    single: int
    rows: np.ndarray | None
    cutoff: int | None
    asked: tuple[str, ...] = ()


def corpus_of(dataset: Dataset, protocol: TaskProtocol, text_recipe: str | None) -> Corpus:
    """The train part of a dataset in words.

    Args:
        dataset: Whose items and interactions.
        protocol: What cuts it; of next items, of clicks, or of questions about users.
        text_recipe: How an item is put into words; None for the dataset's own.

    Raises:
        UsageError: The protocol is of another task, or text was made by a model that may have seen
            what the protocol tests.
        DataError: No item of the train part has a text.
    """
    from tastebench.data.text import item_texts
    from tastebench.tasks import TASKS

    if protocol.task not in ("seqrec", "ctr", "userqa"):
        raise UsageError(
            f"histories of {protocol.task} have no order, and a language model reads in order",
            fix="--task seqrec, --task ctr or --task userqa",
        )
    card = dataset.card
    recipe = text_recipe or card.text_recipe
    texts = [
        " ".join(text.split())
        for text in item_texts(dataset.tables.items, recipe, card.text_columns)
    ]
    problem = TASKS.get(protocol.task).problem(dataset, protocol)
    sequences = _taken(problem)
    seen = np.unique(sequences.values).astype(np.int64)
    worded = np.array([bool(texts[item]) for item in seen], dtype=bool)
    if not worded.any():
        raise DataError(
            "no item of the train part has a text to learn from",
            where=f"{dataset.name}, by the text recipe {recipe}",
            fix="--text-recipe, or a dataset whose items have text",
        )
    rows, cutoff = _rows(dataset, protocol)
    return Corpus(
        texts=texts,
        items=seen[worded],
        histories=sequences[sequences.lengths > 1],
        silent=int((~worded).sum()),
        single=int((sequences.lengths == 1).sum()),
        rows=rows,
        cutoff=cutoff,
        asked=asked_in(dataset, protocol),
    )


def asked_in(dataset: Dataset, protocol: TaskProtocol) -> tuple[str, ...]:
    """The words in which a model of the task is asked: of the prompts, and of questions as such.

    A vocabulary of titles alone spells them in letters, three times as long as they need be.

    Raises:
        UsageError: The questions are about something that items do not have.
        DataError: Items have no titles.
    """
    from tastebench.data.questions.attributes import rules_of
    from tastebench.data.questions.templates import get_templates
    from tastebench.data.questions.wording import all_wordings
    from tastebench.recommenders.userqa.prompt import get_qa_prompt

    spec = protocol.questions
    if spec is None:
        return ()
    prompts = [get_qa_prompt("auto", spec.language, by_words=by) for by in (False, True)]
    names = [rule.name for rule in rules_of(dataset, spec.attributes)]
    asked = all_wordings(get_templates(spec.language), names)
    return (*(words for one in prompts for words in one.words), *(f" {text}" for text in asked))


def _taken(problem: SeqProblem | CtrProblem | QaProblem) -> Ragged:
    """What users of the train part took, oldest first."""
    if isinstance(problem, SeqProblem):
        return problem.train
    return problem.train.history if isinstance(problem, QaProblem) else _clicked(problem)


def _clicked(problem: CtrProblem) -> Ragged:
    """What each user of the train part took: the longest history, and what was clicked beside it.

    Some histories grow with the clicks of earlier lists and some do not, so a click that is in the
    history already is not told again.
    """
    train, n = problem.train, problem.n_items
    length = problem.history.lengths[train.context]
    order = np.lexsort((-length, train.user))
    users, first = np.unique(train.user[order], return_index=True)
    before = problem.history[train.context[order][first]]
    clicked = np.flatnonzero(train.label == 1)  # as they were shown
    owner = np.searchsorted(users, train.user[clicked])
    item = train.item[clicked].astype(np.int64)
    new = ~np.isin(owner * n + item, before.rows * n + before.values)
    owners = np.concatenate([before.rows, owner[new]])
    items = np.concatenate([before.values, item[new]])
    together = np.argsort(owners, kind="stable")
    return Ragged.from_lengths(items[together], np.bincount(owners, minlength=len(users)))


def _rows(dataset: Dataset, protocol: TaskProtocol) -> tuple[np.ndarray | None, int | None]:
    """The interactions of the train part, and the time they lie before."""
    from tastebench.data.split import TRAIN, split

    frame = dataset.tables.interactions
    of_events = protocol.rows is None or protocol.rows.source == "sampled"
    if frame is None or not of_events or protocol.split is None:
        return None, None
    events = dataset.events()
    train = split(dataset, protocol.split) == TRAIN
    cutoff = None if events.time is None else int(events.time[train].max()) + 1
    return np.unique(events.row[train]).astype(np.int64), cutoff
