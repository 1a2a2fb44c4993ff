"""Questions about users: can whoever has read a user's history say who that is?

UQABench's task on any dataset: seven kinds of multiple-choice questions whose answers follow from
what a user did (`tastebench.data.questions`), asked of users of whom no other question was learned
from. A question counts once, whatever its kind: the averages are micro averages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import Part, QaProblem
from tastebench.data.questions import KINDS, QuestionSpec, generate
from tastebench.data.questions.spec import language_of
from tastebench.metrics.grammar import DIMENSIONS
from tastebench.tasks.evaluate import history_segment
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.quiz import Quiz, asker_of, limited
from tastebench.tasks.task import QueryForms, Task

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

METRICS = (
    "accuracy",
    *(f"accuracy_{name}" for name in DIMENSIONS),
    *(f"accuracy_{kind}" for kind in KINDS),
)

HISTORY_LENGTH = 512
"""Latest events that a model sees, as published."""


def default_protocol(dataset: Dataset, **overrides: Any) -> TaskProtocol:
    """All kinds of questions in the published proportions, users cut 80/10/10.

    They are in the language of the dataset where there are templates of it, else in English.
    """
    given = overrides.pop("questions", None) or {}
    if isinstance(given, Mapping):
        given = {"language": language_of(dataset.card.language), **given}
    questions = QuestionSpec.model_validate(given)
    defaults = {
        "task": "userqa",
        "questions": questions,
        "candidates": "options",
        "history_length": HISTORY_LENGTH,
        "min_history": 0,
        "average": "row",
        "metrics": METRICS,
    }
    return TaskProtocol(**{**defaults, **overrides})


def problem(dataset: Dataset, protocol: TaskProtocol) -> QaProblem:
    """The dataset's users as histories and questions, those of three groups of users."""
    assert protocol.questions is not None and protocol.history_length is not None
    made = generate(dataset, protocol.questions)
    train, valid, test = (
        replace(made.parts[part], asker=made.users[part]) for part in ("train", "valid", "test")
    )
    return QaProblem(dataset.n_items, protocol.history_length, train, valid, test)


def ask(problem: QaProblem, protocol: TaskProtocol, part: Part, forms: QueryForms) -> Quiz:
    """The questions of one part."""
    questions = problem.valid if part == "valid" else problem.test
    segments = {}
    if len(questions):
        users, first = np.unique(asker_of(questions), return_index=True)
        lengths = questions.history.lengths[questions.user[first]]
        segments = {"history": history_segment(users, lengths)}
    counts = {"train_questions": len(problem.train)}
    return limited(Quiz(questions, segments, counts), protocol.limit)


def _has_users(dataset: Dataset) -> bool:
    return dataset.tables.interactions is not None


TASK = Task(
    name="userqa",
    summary="multiple-choice questions about users, answered from what they did",
    unit="user",
    metrics=METRICS,
    default_recommender="attribute-count",
    controls=("majority", "attribute-count", "reads-all"),
    protocol=default_protocol,
    problem=problem,
    ask=ask,
    able=_has_users,
)
