"""The recommender that asks a local language model, one user and one item at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from tastebench.contracts import Account, Candidates, CtrProblem, FitReport, Items, Trainer
from tastebench.errors import UsageError
from tastebench.lm.spending import per_thousand
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.training.batches import arranged
from tastebench.training.seeds import torch_seeded


class Scorer(Protocol):
    """How a model is asked: generative, by matching, or over tokens of items."""

    notes: tuple[str, ...]
    """What a reader of the record should know."""

    @property
    def module(self) -> nn.Module:
        """What is trained; its state dict is what is kept."""
        ...

    def prepare(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Takes up the rows that are trained on; the tokens of each, int64 `[n]`."""
        ...

    def loss(self, rows: np.ndarray, label: np.ndarray) -> Tensor:
        """Mean loss of some of the rows that were taken up, their labels float32."""
        ...

    def score(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """float32 `[n]`; askers ascending."""
        ...

    def counted(self) -> Counter[str]:
        """What was read since the last call."""
        ...


@runtime_checkable
class LearnsTexts(Protocol):
    """A scorer that learns of the items' own texts before the rows of an epoch."""

    def texts(self, rng: np.random.Generator) -> Iterator[Any]:
        """Batches of what an epoch learns of them, if anything."""
        ...

    def loss_of_texts(self, batch: Any) -> Tensor:
        """Mean loss of such a batch."""
        ...


class PairwiseLM:
    """A language model that says how likely a click is.

    Args:
        config: Which model, how it is asked and how it is tuned.

    Attributes:
        log_odds: Yes against no is a probability; how alike two vectors are only orders.
    """

    def __init__(self, config: LLMConfig) -> None:
        self.config = config
        self.log_odds = config.scoring == "generative"
        self._scorer: Scorer | None = None
        self._history_length = 0
        self._asked, self._seconds = 0, 0.0

    @property
    def scorer(self) -> Scorer:
        """How the model is asked.

        Raises:
            UsageError: `fit` was not called.
        """
        if self._scorer is None:
            raise UsageError("llm is not fitted", fix="call fit first")
        return self._scorer

    @property
    def module(self) -> nn.Module:
        """The model; what its state dict holds is what was trained."""
        return self.scorer.module

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Loads the model and, if it is to be tuned, trains it on all labelled rows.

        Raises:
            UsageError: Settings that do not go with the model, or nothing to train on.
            DataError: No such model, or a prompt for which there is no room.
        """
        began = time.perf_counter()
        rows = None
        with torch_seeded(trainer.rng("weights")):
            scorer = _scorer(self.config, items, problem.history_length)
            if self.config.tune != "none":
                rows = _Rows(problem, scorer, self.config.batch_size)
        self._scorer, self._history_length = scorer, problem.history_length
        if rows is None:
            seconds = time.perf_counter() - began
            return FitReport(parameters=0, seconds=seconds, notes=scorer.notes)
        prepared = time.perf_counter() - began
        report = trainer.fit(scorer.module, self.config, rows.epoch, rows.loss)
        scorer.counted()
        self._asked, self._seconds = 0, 0.0
        return replace(
            report, seconds=report.seconds + prepared, notes=(*scorer.notes, *report.notes)
        )

    def score(self, candidates: Candidates) -> np.ndarray:
        """Log-odds of a yes, float32 `[n]`; in matching how alike user and item are.

        Raises:
            UsageError: `fit` was not called.
        """
        scorer = self.scorer
        history = candidates.history.tail(self._history_length)
        item = candidates.items.values
        if not len(item):
            return np.empty(0, dtype=np.float32)
        began = time.perf_counter()
        scores = scorer.score(history, candidates.items.rows, item)
        self._seconds += time.perf_counter() - began
        self._asked += len(item)
        return scores

    def account(self) -> Account:
        """What was read since the last call."""
        counts = self.scorer.counted()
        read = counts.pop("prompt_tokens", 0)
        taken = per_thousand(self._asked, read, written=0, seconds=self._seconds)
        self._asked, self._seconds = 0, 0.0
        return Account(prompt_tokens=read, counts=dict(counts), probes=taken)


def _scorer(config: LLMConfig, items: Items, history_length: int) -> Scorer:
    if {"id", "code"} & set(items.forms):
        from tastebench.recommenders.llm.code_pairwise import CodeScorer

        scorer: Scorer = CodeScorer(config, items, history_length)
        return scorer
    if config.scoring == "matching":
        from tastebench.recommenders.llm.matching import Matching

        return Matching(config, items, history_length)
    from tastebench.recommenders.llm.generative import Generative

    return Generative(config, items, history_length)


class _Rows:
    """The labelled rows of the training part, in batches of like length."""

    def __init__(self, problem: CtrProblem, scorer: Scorer, batch_size: int) -> None:
        train = problem.train
        if not len(train):
            raise UsageError(
                "the training part holds no labelled rows",
                fix="tune: none, or another split",
            )
        contexts, asker = np.unique(train.context, return_inverse=True)
        history = problem.history[contexts].tail(problem.history_length)
        # A prefix is made once for the rows that share it, which then lie together.
        order = np.argsort(asker, kind="stable")
        self._lengths = scorer.prepare(history, asker[order], train.item[order].astype(np.int64))
        self._label = train.label[order].astype(np.float32)
        self._scorer, self._batch_size = scorer, batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Any]:
        """All rows once; before them what is learned of the items' own texts."""
        if isinstance(self._scorer, LearnsTexts):
            yield from self._scorer.texts(rng)
        one_each = np.ones(len(self._lengths), dtype=np.int64)
        yield from arranged(self._lengths, one_each, rng, self._batch_size)

    def loss(self, batch: Any) -> Tensor:
        """Mean over some rows, or over some items' texts and codes."""
        if isinstance(batch, np.ndarray):
            return self._scorer.loss(batch, self._label[batch])
        assert isinstance(self._scorer, LearnsTexts)
        return self._scorer.loss_of_texts(batch)
