"""A language model that continues a list of items: trained, asked, and what of it was cut."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from tastebench.contracts import (
    Account,
    FitReport,
    Items,
    Queries,
    Ranking,
    SeqProblem,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.lm.spending import per_thousand
from tastebench.recommenders.llm.next_network import next_network
from tastebench.recommenders.seqrec.generative import ASKED_TOGETHER, Generative, as_asking

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_next import NextConfig


class NextRecommender(Generative):
    """Items as semantic ids are generated; items as ids, a code each, are scored one and all.

    Args:
        name: For messages.
        config: Hyper-parameters.

    Attributes:
        scores: There where items are ids: the exact logit of every item, so that they are ranked
            without any beam.
    """

    scores: Callable[[Queries, slice], Tensor]

    def __init__(self, name: str, config: NextConfig) -> None:
        super().__init__(name, config, lambda problem, items: next_network(config, problem, items))
        self._seconds = 0.0
        self._read: tuple[Queries, int, Tensor] | None = None  # who asked, at what age

    def fit(self, problem: SeqProblem, items: Items, trainer: Trainer) -> FitReport:
        """Trains by teacher forcing, each code from what stands before it.

        Raises:
            UsageError: No sequence has two items, or the model cannot be run causally.
            DataError: There is no such model, or the codes are no paths of a tree.
        """
        if "code" not in items.forms:
            items = replace(items, code=np.arange(items.n, dtype=np.int64)[:, None])
            self.scores = self._scores
        report = super().fit(problem, items, trainer)
        self._next.forget()
        self._seconds = 0.0
        return report

    @override
    def generate(self, queries: Queries, k: int) -> Ranking:
        """The likeliest items, found by beams; see `Generative`."""
        began = time.perf_counter()
        found = super().generate(queries, k)
        self._seconds += time.perf_counter() - began
        return found

    def account(self) -> Account:
        """Who was asked since the last call, and of whom items did not fit."""
        network = self._next
        read = network.read_tokens
        found = Account(
            counts={"answered": network.asked, "cut": network.cut},
            prompt_tokens=read,
            probes=per_thousand(network.asked, read, written=0, seconds=self._seconds),
        )
        network.forget()
        self._seconds = 0.0
        return found

    @property
    def _next(self) -> Any:
        return self.network

    def _scores(self, queries: Queries, items: slice) -> Tensor:
        """Logits `[n, len(items)]` of what comes next."""
        began, network = time.perf_counter(), self._next
        with torch.inference_mode():
            # A catalogue in slices asks about the same users many times.
            if self._read is None or self._read[0] is not queries or self._read[1] != network.age:
                self._read = queries, network.age, self._states(queries)
            found: Tensor = network.heads.forward(self._read[2], 0, items).float().cpu()
        self._seconds += time.perf_counter() - began
        return found

    def _states(self, queries: Queries) -> Tensor:
        """What predicts the next item of each history, `[n, h]`."""
        network = self._next
        device = network.tokens.table.device
        if queries.history is None:
            raise UsageError(f"{self.name} needs histories to say what comes next")
        history = queries.history.tail(self._history_length)
        order = np.argsort(history.lengths, kind="stable")
        parts = []
        for begin in range(0, len(order), ASKED_TOGETHER):
            rows = order[begin : begin + ASKED_TOGETHER]
            user = None if queries.user is None else queries.user[rows]
            parts.append(network.states_after(as_asking(history[rows], user, device)))
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(device)]
