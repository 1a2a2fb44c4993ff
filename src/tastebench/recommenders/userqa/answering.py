"""Training on questions: what is the same whether the user is given as vectors or in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from tastebench.contracts import FitReport, QaProblem, Trainer
from tastebench.errors import UsageError
from tastebench.lm.partly import PartlyTrained
from tastebench.recommenders.userqa.care import careful_steps
from tastebench.recommenders.userqa.reading import Lessons, QaReader
from tastebench.recommenders.userqa.settings import ReaderSettings
from tastebench.training.batches import arranged

Soft = Callable[[np.ndarray], Tensor]
"""Users, int64 `[b]`, to their soft tokens `[b, m, d]`."""


class Answering(nn.Module):
    """All that is trained; its state dict is that alone.

    Args:
        partly: The reader, with what is trained of it marked.
        adapter: What makes soft tokens; None for none.
        tuned: Some of the reader is trained; else it stays in eval mode.
        reader_lr: Learning rate of the reader's own weights; None for that of all.
    """

    def __init__(
        self,
        partly: PartlyTrained,
        adapter: nn.Module | None,
        *,
        tuned: bool,
        reader_lr: float | None = None,
    ) -> None:
        super().__init__()
        self.partly, self.adapter = partly, adapter
        self._tuned, self._reader_lr = tuned, reader_lr

    def train(self, mode: bool = True) -> Answering:
        """As of any module, but a reader that is not trained draws no dropout."""
        super().train(mode)
        if not self._tuned:
            self.partly.eval()
        return self

    def own_rates(self, settings: Any) -> list[tuple[list[nn.Parameter], float]]:
        """The reader's weights, where they have a rate of their own."""
        if self._reader_lr is None:
            return []
        return [([p for p in self.partly.parameters() if p.requires_grad], self._reader_lr)]


def learn(
    module: Answering,
    reader: QaReader,
    lessons: Lessons,
    config: ReaderSettings,
    trainer: Trainer,
    soft: Soft | None = None,
) -> FitReport:
    """Trains on all training questions.

    Args:
        module: What is trained.
        reader: Whose loss it is.
        lessons: The questions with their answers.
        config: How.
        trainer: Of the run.
        soft: What comes before a question; None for nothing.
    """
    every = np.arange(len(lessons.texts))
    lengths, one_each = lessons.texts.lengths(every), np.ones_like(every)

    def epoch(rng: np.random.Generator) -> Iterator[np.ndarray]:
        return arranged(lengths, one_each, rng, config.batch_size)

    def loss(rows: np.ndarray) -> Tensor:
        if soft is None:
            return reader.loss(lessons, rows, None)
        users, place = np.unique(lessons.user[rows], return_inverse=True)
        return reader.loss(lessons, rows, soft(users)[place])

    with careful_steps(module, config.warmup, config.clip):
        report = trainer.fit(module, config, epoch, loss)
    notes = list(report.notes)
    if lessons.cut:
        notes.append(f"{lessons.cut:,} of {len(lessons.texts):,} training questions were cut")
    if lessons.alike:
        notes.append(f"of {lessons.alike:,} of these two options read the same then")
    return replace(report, notes=(*reader.notes, *notes))


def check_problem(problem: QaProblem) -> str:
    """The language of the questions.

    Raises:
        UsageError: There are no training questions.
    """
    if not len(problem.train):
        raise UsageError(
            "there are no training questions to learn from",
            fix="make some, or ask a model as it is: text-history with tune: none",
        )
    return problem.train.language
