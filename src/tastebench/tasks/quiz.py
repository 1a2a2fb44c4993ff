"""From questions with options to an `Evaluation`: ask, count what went wrong, measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tastebench.contracts import Answers, AnswersQuestions, Evaluation, Questions, Role
from tastebench.errors import ProtocolError
from tastebench.metrics.answers import ANSWERED, measure_right, right
from tastebench.tasks.protocol import TaskProtocol


@dataclass(frozen=True, eq=False)
class Quiz:
    """What one part of a problem asks: which of the options is right?

    Attributes:
        segments: Labels of each user who is asked about, in the order of the users index.
        counts: What was left out before asking, and why.
    """

    questions: Questions
    segments: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    unit = "user"

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def length(self) -> int:
        """Answers to a request."""
        return 1

    def brings(self, row: int, items: Sequence[str]) -> tuple[list[str], Role]:
        """Nothing is encoded for a question: whoever answers reads it."""
        return [], "item"

    def request(self, recommender: AnswersQuestions, row: int) -> Answers:
        """Asks one question alone."""
        return answers(recommender, self.questions[np.array([row])])


def measure_quiz(recommender: Any, quiz: Quiz, protocol: TaskProtocol) -> Evaluation:
    """Asks every question and measures the answers, a row a user.

    A user counts by their questions, so that the means are micro averages over questions.

    Raises:
        ProtocolError: Nothing to ask, or answers that cannot be used.
    """
    if not len(quiz):
        raise ProtocolError(
            "there is nothing to ask in this part",
            fix="choose another share of users, or a dataset with longer histories",
        )
    questions = quiz.questions
    found = answers(recommender, questions)
    share = right(found.scores, questions.gold, found.status)
    kind = np.array(questions.kinds)[questions.kind]
    failed = Counter(word for word in found.status if word != ANSWERED)
    best = (found.scores == found.scores.max(axis=1, keepdims=True)).sum(axis=1)
    counts = {
        "asked": len(quiz),
        "users": len(np.unique(questions.user)),
        **quiz.counts,
        **failed,
        "tied": int(((best > 1) & [word == ANSWERED for word in found.status]).sum()),
        "soft_tokens": int(found.soft.sum()),
        "text_tokens": int(found.tokens.sum()),
    }
    users, row = np.unique(asker_of(questions), return_inverse=True)
    values, weights = {}, {}
    for name, column in measure_right(protocol.metrics, share, kind).items():
        counted = ~np.isnan(column)
        weights[name] = np.bincount(row[counted], minlength=len(users)).astype(np.float64)
        total = np.bincount(row[counted], column[counted], minlength=len(users))
        with np.errstate(invalid="ignore"):  # nothing of nothing is undefined
            values[name] = total / weights[name]
    return Evaluation("user", users, values, weights, quiz.segments, counts, answers=found)


def asker_of(questions: Questions) -> np.ndarray:
    """Row in the users index of whom each question is about, int64 `[n]`."""
    assert questions.asker is not None
    asker: np.ndarray = questions.asker[questions.user]
    return asker


def answers(recommender: Any, questions: Questions) -> Answers:
    """What a recommender answers, checked.

    Raises:
        ProtocolError: It cannot answer, or its answers cannot be used.
    """
    name = type(recommender).__name__
    if not isinstance(recommender, AnswersQuestions):
        raise ProtocolError(
            f"{name} does not answer questions",
            fix="give it answer(questions) -> Answers, or choose another task",
        )
    found = recommender.answer(questions)
    n, options = len(questions), len(questions.options[0])
    scores = np.asarray(found.scores, dtype=np.float64)
    if scores.shape != (n, options):
        raise ProtocolError(
            f"{name} scored options in the shape {scores.shape} for {n} questions of {options}"
        )
    if not len(found.status) == len(found.soft) == len(found.tokens) == n:
        raise ProtocolError(f"{name} did not say of each of {n} questions how it went")
    answered = np.array([word == ANSWERED for word in found.status])
    unusable = np.isnan(scores).any(axis=1) | (scores == np.inf).any(axis=1)
    bad = np.flatnonzero(answered & (unusable | (scores == -np.inf).all(axis=1)))
    if len(bad):
        raise ProtocolError(
            f"{name} scored the options of question {bad[0]} {scores[bad[0]].tolist()}: a score is "
            "a number"
        )
    return replace(found, scores=scores)


def limited(quiz: Quiz, limit: int | None) -> Quiz:
    """The questions about at most `limit` users, spread evenly over all of them."""
    askers = asker_of(quiz.questions)
    users = np.unique(askers)
    if limit is None or limit >= len(users):
        return quiz
    chosen = np.arange(limit) * len(users) // limit
    rows = np.flatnonzero(np.isin(askers, users[chosen]))
    return replace(
        quiz,
        questions=quiz.questions[rows],
        segments={name: labels[chosen] for name, labels in quiz.segments.items()},
        counts={**quiz.counts, "excluded_by_limit": len(users) - limit},
    )
