"""Task: one kind of question, declared as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from tastebench.contracts import Evaluation, Part
from tastebench.errors import ProtocolError
from tastebench.tasks.evaluate import Asked, measure_answers
from tastebench.tasks.quiz import Quiz, measure_quiz
from tastebench.tasks.shown import Shown, measure_shown

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.tasks.protocol import TaskName, TaskProtocol


@dataclass(frozen=True, eq=False)
class QueryForms:
    """The queries of a search task in the forms a representation asks for.

    Attributes:
        text: One string a query, in the order of the queries table.
        vector: Encoded queries, float32 `[n_queries, d]`, same order.
    """

    text: Sequence[str] | None = None
    vector: np.ndarray | None = None


NO_FORMS = QueryForms()


class MakeProtocol(Protocol):
    """Dataset to protocol."""

    def __call__(self, dataset: Dataset, **overrides: Any) -> TaskProtocol:
        """The task's protocol on a dataset; `overrides` are fields of `TaskProtocol`."""
        ...


class Ask(Protocol):
    """Problem to questions."""

    def __call__(
        self, problem: Any, protocol: TaskProtocol, part: Part, forms: QueryForms
    ) -> Asked | Shown | Quiz:
        """What a protocol asks about one part of a problem."""
        ...


def measure(
    recommender: Any, asked: Asked | Shown | Quiz, protocol: TaskProtocol, *, top_k: int = 0
) -> Evaluation:
    """Asks a fitted recommender and measures its answers.

    Raises:
        ProtocolError: Nothing to ask, or answers that cannot be used.
    """
    if isinstance(asked, Shown):
        return measure_shown(recommender, asked, protocol)
    if isinstance(asked, Quiz):
        return measure_quiz(recommender, asked, protocol)
    return measure_answers(recommender, asked, protocol, top_k=top_k)


@dataclass(frozen=True)
class Task:
    """Declares a task: data for planning, and what its questions are.

    Attributes:
        name: Public name.
        summary: One line for lists.
        unit: What a row of an evaluation is.
        metrics: Default metrics, the headline first.
        default_recommender: What turns item vectors into recommendations where nobody says.
        controls: Recommenders a board shows beside the models.
        protocol: Dataset to default protocol; keyword arguments override its fields.
        problem: Dataset and protocol to index arrays.
        ask: Problem, protocol, part and query forms to questions with their answers.
        parts: Parts that can be asked about; a zero-shot task has nothing to select on.
        able: Whether it can be made of a dataset whose card does not offer it, if a plan names it.
    """

    name: TaskName
    summary: str
    unit: Literal["user", "query"]
    metrics: tuple[str, ...]
    default_recommender: str
    controls: tuple[str, ...]
    protocol: MakeProtocol
    problem: Callable[[Dataset, TaskProtocol], Any]
    ask: Ask
    parts: tuple[Part, ...] = ("valid", "test")
    able: Callable[[Dataset], bool] = lambda dataset: False

    def evaluate(
        self,
        recommender: Any,
        problem: Any,
        protocol: TaskProtocol,
        part: Part = "test",
        forms: QueryForms = NO_FORMS,
        top_k: int = 0,
    ) -> Evaluation:
        """Asks a fitted recommender about one part and measures its answers.

        Args:
            recommender: Something that `ScoresItems`, `GeneratesItems` or, for candidates that were
                shown, `ScoresCandidates`.
            problem: From `self.problem`.
            protocol: The protocol the problem was made by.
            part: Part to ask about.
            forms: The queries of a search task in the recommender's representation.
            top_k: Keep this many best items per asked row.

        Raises:
            ProtocolError: The task has no such part, nothing in it can be asked, or the recommender
                answers with something that is no score.
        """
        if part not in self.parts:
            raise ProtocolError(
                f"{self.name} has no {part} part: it asks without training",
                fix=f"evaluate on {' or '.join(self.parts)}",
            )
        return measure(recommender, self.ask(problem, protocol, part, forms), protocol, top_k=top_k)
