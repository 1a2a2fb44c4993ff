"""RecommenderTests: what every recommender must do, whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
from pydantic import ValidationError

from tastebench.contracts import (
    FORMS,
    AnswersQuestions,
    FitReport,
    GeneratesItems,
    Items,
    Recommender,
    RecommenderCard,
    ScoresCandidates,
    ScoresItems,
)
from tastebench.errors import DataError
from tastebench.ragged import Ragged
from tastebench.tasks import TASKS
from tastebench.tasks.evaluate import Asked
from tastebench.tasks.protocol import TaskName
from tastebench.tasks.quiz import Quiz, answers
from tastebench.tasks.shown import Shown, score_all
from tastebench.testing.tiny import N_ITEMS, Tiny, tiny
from tastebench.training.fit import FabricTrainer
from tastebench.training.kept import MODEL, RestoringTrainer, keep, read_kept

ALL_ITEMS = slice(0, N_ITEMS)
N_OPTIONS = 4

Lent = TypeVar("Lent", FabricTrainer, RestoringTrainer)


class RecommenderTests:
    """Inherit it, set `card`, and every task and representation of the card is checked.

    Attributes:
        card: What is tested.
        config: Hyper-parameters that make it quick on a shop of twelve items, e.g. one epoch.
        tolerance: How far the scores of a pair may lie apart when it is asked in other company,
            relative to the largest score: matrix products sum in an order that depends on shape.
    """

    card: ClassVar[RecommenderCard]
    config: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-5

    @classmethod
    def pytest_generate_tests(cls, metafunc: pytest.Metafunc) -> None:
        """Every test that asks for a task or representation runs for each of the card's."""
        for name, values in (
            ("task", cls.card.tasks),
            ("user_task", [task for task in cls.card.tasks if task != "search"]),
            ("representation", cls.card.representations),
        ):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values)

    # ------------------------------------------------------------------------ the declaration

    def test_card_names_what_exists(self) -> None:
        """Tasks and forms of the card are ones that exist."""
        assert self.card.name and self.card.summary
        assert set(self.card.tasks) <= set(TASKS)
        forms = {form for one in self.card.representations for form in one.split("+")}
        assert forms and forms <= set(FORMS)

    def test_config_has_defaults_and_survives_a_round_trip(self) -> None:
        """A config can be left out, written and read back."""
        config = self.card.config(**self.config)
        again = self.card.config.model_validate_json(config.model_dump_json())
        assert again == config
        assert self.card.config() is not None

    def test_config_refuses_unknown_keys(self) -> None:
        """A misspelt hyper-parameter is an error, not a default."""
        with pytest.raises(ValidationError):
            self.card.config(**{"no_such_parameter": 1})

    def test_build_makes_a_new_recommender(self) -> None:
        """Nothing learned is shared between two builds."""
        one, other = self._unfitted(), self._unfitted()
        assert one is not other
        assert isinstance(one, Recommender)
        assert isinstance(one, (ScoresItems, GeneratesItems, ScoresCandidates, AnswersQuestions))

    # ------------------------------------------------------------------------------- fitting

    def test_fit_reports(self, task: TaskName, representation: str) -> None:
        """`fit` says how many parameters it has and how long it took."""
        _, report = self._fitted(tiny(task), representation)
        assert isinstance(report, FitReport)
        assert report.parameters >= 0
        assert np.isfinite(report.seconds) and report.seconds >= 0

    def test_same_seed_same_answers(self, task: TaskName, representation: str) -> None:
        """All randomness comes from the run's seed."""
        case = tiny(task)
        first = self._answers(self._fitted(case, representation, seed=3)[0], self._asked(case))
        second = self._answers(self._fitted(case, representation, seed=3)[0], self._asked(case))
        np.testing.assert_array_equal(first, second)

    def test_does_not_look_at_the_test_part(self, task: TaskName, representation: str) -> None:
        """Other answers in the test part change nothing that is learned."""
        case, other = tiny(task), tiny(task, other_test=True)
        asked = self._asked(case)
        expected = self._answers(self._fitted(case, representation)[0], asked)
        actual = self._answers(self._fitted(other, representation)[0], asked)
        np.testing.assert_array_equal(actual, expected)

    def test_what_it_learnt_can_be_put_back(
        self, task: TaskName, representation: str, tmp_path: Path
    ) -> None:
        """A trainer that restores instead of training gives the same recommender, to the bit."""
        case = tiny(task)
        recommender, trainer, _ = self._fitted_by(case, representation, FabricTrainer(seed=0))
        kept = None
        if trainer.fitted:
            keep(trainer.fitted, tmp_path / MODEL, {})
            kept = read_kept(tmp_path / MODEL)
        lent = RestoringTrainer(
            0, kept, lambda: DataError("it asks for a fit that it did not make")
        )
        restored, _, _ = self._fitted_by(case, representation, lent)
        asked = self._asked(case)
        np.testing.assert_array_equal(
            self._answers(restored, asked), self._answers(recommender, asked)
        )

    def test_leaves_problem_and_items_as_they_are(
        self, task: TaskName, representation: str
    ) -> None:
        """What is handed over is shared with other runs."""
        case = tiny(task)
        given = [*_arrays(case), *_arrays(asked := self._asked(case))]
        before = [array.copy() for array in given]
        recommender, _ = self._fitted(case, representation)
        self._answers(recommender, asked)
        for was, now in zip(before, given, strict=True):
            np.testing.assert_array_equal(now, was)

    # ------------------------------------------------------------------------------- answering

    def test_answers_have_the_right_shape(self, task: TaskName, representation: str) -> None:
        """One finite score a query and item, a candidate, or an option, or items that exist."""
        case = tiny(task)
        asked = self._asked(case)
        recommender, _ = self._fitted(case, representation)
        found = self._answers(recommender, asked)
        shape = {"ctr": (len(asked),), "userqa": (len(asked), N_OPTIONS)}
        assert found.shape == shape.get(task, (len(asked), N_ITEMS))
        if isinstance(recommender, GeneratesItems) and not isinstance(recommender, ScoresItems):
            assert ((found >= -1) & (found < N_ITEMS)).all()
        else:
            assert np.isfinite(found).all()

    def test_asking_twice_changes_nothing(self, task: TaskName, representation: str) -> None:
        """Answering keeps no state."""
        case = tiny(task)
        recommender, _ = self._fitted(case, representation)
        asked = self._asked(case)
        first = self._answers(recommender, asked).copy()
        np.testing.assert_array_equal(self._answers(recommender, asked), first)

    def test_a_score_does_not_depend_on_the_chunk(
        self, task: TaskName, representation: str
    ) -> None:
        """A pair scores the same whatever is asked beside it."""
        case = tiny(task)
        recommender, _ = self._fitted(case, representation)
        asked = self._asked(case)
        whole = self._answers(recommender, asked)
        if isinstance(asked, Shown):
            parts = np.concatenate([asked.request(recommender, row) for row in range(len(asked))])
        elif isinstance(asked, Quiz):
            each = [asked.request(recommender, row).scores for row in range(len(asked))]
            parts = np.concatenate(each)
        elif isinstance(recommender, ScoresItems):
            rows = [
                [
                    _numpy(recommender.scores(asked.queries[rows], items))
                    for items in _cut(N_ITEMS, 5)
                ]
                for rows in _cut(len(asked), 3)
            ]
            parts = np.block(rows)
        else:
            pytest.skip("generates items: there are no chunks")
        scale = max(1.0, float(np.abs(whole).max()))
        np.testing.assert_allclose(parts, whole, rtol=0, atol=self.tolerance * scale)

    def test_an_empty_history_is_answered(self, user_task: TaskName, representation: str) -> None:
        """A new user gets an answer, not an error or NaN."""
        case = tiny(user_task)
        asked = self._asked(case)
        if isinstance(asked, Shown):
            empty = Ragged.from_lists([[]] * len(asked.candidates))
            new: Asked | Shown | Quiz = replace(
                asked, candidates=replace(asked.candidates, history=empty)
            )
        elif isinstance(asked, Quiz):
            empty = Ragged.from_lists([[]] * len(asked.questions.history))
            new = replace(asked, questions=replace(asked.questions, history=empty))
        else:
            empty = Ragged.from_lists([[]] * len(asked))
            new = replace(asked, queries=replace(asked.queries, history=empty))
        recommender, _ = self._fitted(case, representation)
        assert np.isfinite(self._answers(recommender, new)).all()

    def test_is_evaluated(self, task: TaskName, representation: str) -> None:
        """The task can rank and measure the answers."""
        case = tiny(task)
        recommender, _ = self._fitted(case, representation)
        for part in TASKS.get(task).parts:
            evaluation = TASKS.get(task).evaluate(
                recommender, case.problem, case.protocol, part, case.forms, top_k=2
            )
            means = evaluation.means()
            loss = means.pop("logloss", 0.0)
            assert loss >= 0 or not recommender.log_odds
            assert all(0 <= mean <= 1 for mean in means.values())
            if task not in ("ctr", "userqa"):
                assert evaluation.top is not None and evaluation.top.items.shape[1] == 2

    # --------------------------------------------------------------------------------- helpers

    def _unfitted(self) -> Any:
        return self.card.build(self.card.config(**self.config))

    def _fitted(self, case: Tiny, representation: str, seed: int = 0) -> tuple[Any, FitReport]:
        recommender, _, report = self._fitted_by(case, representation, FabricTrainer(seed=seed))
        return recommender, report

    def _fitted_by(
        self, case: Tiny, representation: str, trainer: Lent
    ) -> tuple[Any, Lent, FitReport]:
        recommender, task = self._unfitted(), TASKS.get(case.protocol.task)

        def validate() -> float:
            found = task.evaluate(recommender, case.problem, case.protocol, "valid", case.forms)
            return found.means()[case.protocol.headline]

        trainer.validate = validate if "valid" in task.parts else None
        report = recommender.fit(case.problem, _only(case.items, representation), trainer)
        return recommender, trainer, report

    def _asked(self, case: Tiny) -> Asked | Shown | Quiz:
        task = TASKS.get(case.protocol.task)
        return task.ask(case.problem, case.protocol, "test", case.forms)

    def _answers(self, recommender: Any, asked: Asked | Shown | Quiz) -> np.ndarray:
        """Scores of all items, of candidates or options, or the items a generator lists."""
        if isinstance(asked, Quiz):
            return answers(recommender, asked.questions).scores
        if isinstance(asked, Shown):
            return score_all(recommender, asked.candidates)
        if isinstance(recommender, ScoresItems):
            return _numpy(recommender.scores(asked.queries, ALL_ITEMS))
        items: np.ndarray = recommender.generate(asked.queries, N_ITEMS).items
        return items


def _only(items: Items, representation: str) -> Items:
    """The items in the forms a run would give."""
    asked = tuple(form for form in FORMS if form in representation.split("+"))
    kept: dict[str, Any] = {
        field.name: getattr(items, field.name) for field in fields(items) if field.name in asked
    }
    if "text" in asked:
        kept |= {"columns": items.columns, "values": items.values}
    return Items(n=items.n, nested=items.nested, forms=asked, **kept)


def _numpy(scores: Any) -> np.ndarray:
    return np.asarray(scores.detach().float().cpu() if hasattr(scores, "detach") else scores)


def _cut(n: int, width: int) -> list[slice]:
    return [slice(start, min(start + width, n)) for start in range(0, n, width)]


def _arrays(value: Any) -> Iterator[np.ndarray]:
    """Every array inside a dataclass."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _arrays(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name))
