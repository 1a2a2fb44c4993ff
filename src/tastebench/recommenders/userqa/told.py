"""The recommender that tells a language model a user's events in words."""

from __future__ import annotations

import time
from dataclasses import replace

from tastebench.contracts import (
    Account,
    Answers,
    FitReport,
    Items,
    QaProblem,
    Questions,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import Pieces
from tastebench.recommenders.userqa.answering import Answering, check_problem, learn
from tastebench.recommenders.userqa.narrow import asked_only, no_answers
from tastebench.recommenders.userqa.reading import QaReader
from tastebench.recommenders.userqa.text_history import TextHistoryConfig
from tastebench.training.seeds import torch_seeded


class TextHistory:
    """A reader and a prompt that holds the user's latest events.

    Args:
        config: Which model, how many events, and whether it is tuned.
    """

    def __init__(self, config: TextHistoryConfig) -> None:
        self.config = config
        self._fitted: tuple[QaReader, Pieces] | None = None
        self._events = config.events
        self._module: Answering | None = None

    def fit(self, problem: QaProblem, items: Items, trainer: Trainer) -> FitReport:
        """Loads the model and, if it is to be tuned, trains it on the training questions.

        Raises:
            UsageError: Settings that do not go with the model, or nothing to train on.
            DataError: No such model, or a prompt for which there is no room.
        """
        began = time.perf_counter()
        config = self.config
        language = problem.test.language if config.tune == "none" else check_problem(problem)
        self._events = min(config.events, problem.history_length)
        with torch_seeded(trainer.rng("weights")):
            reader = QaReader(config, config.tune, language)
            pieces = reader.layout.events(items, self._events, reader.max_length)
            self._fitted = reader, pieces
            if config.tune == "none":
                reader.use()
                seconds = time.perf_counter() - began
                return FitReport(parameters=0, seconds=seconds, notes=reader.notes)
            asked = asked_only(problem.train)
            lessons = reader.lessons(self._prefixes(asked.history), asked)
            self._module = Answering(reader.choose(lessons), None, tuned=True)
        prepared = time.perf_counter() - began
        cut = reader.account().counts
        notes = tuple(
            f"{cut[name]:,} {what} of training"
            for name, what in (
                ("left_out", "events had no room in the prompts"),
                ("shortened", "texts of items were cut in the prompts"),
            )
            if cut[name]
        )
        report = learn(self._module, reader, lessons, config, trainer)
        reader.account()
        notes = (*report.notes, *notes)
        return replace(report, seconds=report.seconds + prepared, notes=notes)

    def answer(self, questions: Questions) -> Answers:
        """Log-probabilities of the options' labels or words.

        Raises:
            UsageError: `fit` was not called.
        """
        reader, pieces = self._known
        if not len(questions):
            return no_answers(questions)
        if self._module is not None and self._module.training:
            self._module.eval()
        with reader.timed():
            asked = asked_only(questions)
            prefixes = self._prefixes(asked.history)
            return reader.answer(prefixes, asked, len(pieces.frame.head), 0)

    def account(self) -> Account:
        """What was read since the last call."""
        return self._known[0].account()

    @property
    def _known(self) -> tuple[QaReader, Pieces]:
        if self._fitted is None:
            raise UsageError("text-history is not fitted", fix="call fit first")
        return self._fitted

    def _prefixes(self, histories: Ragged) -> Ragged:
        """The users' events in words; what has no room is counted."""
        reader, pieces = self._known
        latest = histories.tail(self._events)
        made = pieces.prefixes(latest)
        reader.count("left_out", int((latest.lengths - made.kept).sum()))
        reader.count("shortened", int(made.shortened.sum()))
        return made.tokens
