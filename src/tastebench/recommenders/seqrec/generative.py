"""Generative recommendation: items are spelt code by code, and the best are found by beam search.

The network says how likely a code is after a history and the codes before it; this file does what
is the same for all of them: training, decoding over the trie of the catalogue, and lists of items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.contracts import FitReport, Items, Queries, Ranking, SeqProblem, Trainer
from tastebench.errors import UsageError
from tastebench.items.beam import Step, rank_items, search
from tastebench.items.trie import Gone, Trie
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.code_batches import ItemBatch
from tastebench.recommenders.seqrec.generative_settings import GenerativeSettings
from tastebench.recommenders.seqrec.padding import asked_together
from tastebench.training.seeds import torch_seeded

ASKED_TOGETHER = 64  # histories of similar length decoded at once


@dataclass(frozen=True, eq=False)
class Asking:
    """Histories as a network takes them.

    Attributes:
        items: Right-padded, int64 `[b, n]`; `n` may be 0.
        length: Items of each row, int64 `[b]`; 0 for who has none.
        user: Whose they are, int64 `[b]`; None where nobody told.
        even: All rows are as long as the longest: nothing is padded.
    """

    items: Tensor
    length: Tensor
    user: Tensor | None
    even: bool


class CodeNetwork(Protocol):
    """What a network for `Generative` has to do; it is an `nn.Module` beside.

    Attributes:
        notes: What the record should say of it.
    """

    notes: tuple[str, ...]

    def batches(
        self, problem: SeqProblem, batch_size: int
    ) -> Callable[[np.random.Generator], Iterable[ItemBatch]]:
        """What an epoch trains on."""
        ...

    def loss(self, batch: ItemBatch) -> Tensor:
        """Mean cross-entropy of the codes of all targets, each over the codes of its level."""
        ...

    def read(self, asking: Asking) -> Step:
        """Reads histories once; what is returned says what may come next, step by step."""
        ...


class Generative:
    """A recommender that generates items by their codes.

    Args:
        name: For messages.
        settings: How to train and to decode.
        build: Problem and items to an untrained network.
    """

    def __init__(
        self,
        name: str,
        settings: GenerativeSettings,
        build: Callable[[SeqProblem, Items], nn.Module],
    ) -> None:
        self.name = name
        self.settings = settings
        self._build = build
        self._network: nn.Module | None = None
        self._trie: Trie | None = None
        self._history_length = 0

    @property
    def network(self) -> nn.Module:
        """The network, fitted as far as `fit` has come.

        Raises:
            UsageError: `fit` was not called.
        """
        if self._network is None:
            raise UsageError(f"{self.name} is not fitted", fix="call fit first")
        return self._network

    def fit(self, problem: SeqProblem, items: Items, trainer: Trainer) -> FitReport:
        """Trains by teacher forcing: every code of every target from what stands before it.

        Raises:
            UsageError: No sequence has two items, or the items have no codes.
            DataError: The codes are no paths of a tree.
        """
        began = time.perf_counter()
        if items.code is None:
            raise UsageError(
                f"{self.name} reads semantic ids, and the items have none",
                fix="use the representation `code`",
            )
        self._trie = Trie.of(items.code)
        with torch_seeded(trainer.rng("weights")):
            self._network = self._build(problem, items)
        self._history_length = problem.history_length
        network: CodeNetwork = self._network  # type: ignore[assignment]
        batches = network.batches(problem, self.settings.batch_size)
        prepared = time.perf_counter() - began
        report = trainer.fit(self._network, self.settings, batches, network.loss)
        notes = (*network.notes, *report.notes)
        return replace(report, seconds=report.seconds + prepared, notes=notes)

    def generate(self, queries: Queries, k: int) -> Ranking:
        """The items that the best paths lead to, `k` a query and what is tied with the last.

        Args:
            queries: Histories, and users where the network tells them apart.
            k: Slots of a list; those beyond what the beams lead to stay empty.

        Raises:
            UsageError: `fit` was not called, or the queries hold no histories.
        """
        return self._generate(queries, k, None)

    def generate_without(self, queries: Queries, k: int, exclude: Ragged) -> Ranking:
        """The same where items that are left out take no beam: `k` others, if there are.

        All others have the scores that `generate` gives them. In free decoding nothing keeps a path
        from going where it wants, so there may be fewer.

        Args:
            queries: As in `generate`.
            k: Slots of a list beside those of items that are left out and have come nevertheless:
                those that share their path with another.
            exclude: Items that are left out, one list a query.
        """
        if self.settings.decoding == "free":
            return self._generate(queries, k + int(exclude.lengths.max(initial=0)), None)
        return self._generate(queries, k, exclude)

    def _generate(self, queries: Queries, k: int, exclude: Ragged | None) -> Ranking:
        device = next(self.network.parameters()).device
        if queries.history is None:
            raise UsageError(f"{self.name} needs histories to say what comes next")
        assert self._trie is not None
        if self._trie.device != device:
            self._trie = self._trie.to(device)
        trie = self._trie
        history = queries.history.tail(self._history_length)
        # Similar lengths together: where all are equal, nothing is padded and nothing is masked.
        groups = list(asked_together(history.lengths, ASKED_TOGETHER))
        parts = []
        with torch.inference_mode():
            for rows in groups:
                user = None if queries.user is None else queries.user[rows]
                out = None if exclude is None else _gone(trie, exclude[rows])
                parts.append(self._decode(as_asking(history[rows], user, device), trie, k, out))
        return _joined(parts, groups, k)

    def _decode(self, asking: Asking, trie: Trie, k: int, gone: Gone | None) -> Ranking:
        network: CodeNetwork = self.network  # type: ignore[assignment]
        beams = search(
            network.read(asking),
            trie,
            len(asking.length),
            self.settings.beams,
            mode=self.settings.decoding,
            over=self.settings.renormalise,
            gone=gone,
        )
        return rank_items(beams, trie, k + (gone.spare if gone else 0), whole_ties=True)


def _gone(trie: Trie, exclude: Ragged) -> Gone:
    """What is left out, a list a user."""
    user, item = (torch.from_numpy(a.astype(np.int64)) for a in (exclude.rows, exclude.values))
    return trie.without(user.to(trie.device), item.to(trie.device))


def _joined(parts: list[Ranking], groups: list[np.ndarray], k: int) -> Ranking:
    """Lists of some queries each, as long as the longest; `groups` says which queries."""
    width = max([k, *(part.items.shape[1] for part in parts)])
    n = sum(len(rows) for rows in groups)
    items = np.full((n, width), -1, np.int32)
    scores = np.full((n, width), -np.inf, np.float32)
    for part, rows in zip(parts, groups, strict=True):
        own = part.items.shape[1]
        items[rows, :own], scores[rows, :own] = part.items, part.scores
    return Ranking(items, scores, ties=True)


def as_asking(history: Ragged, user: np.ndarray | None, device: torch.device) -> Asking:
    """Histories and whose they are, on a device."""
    lengths = history.lengths
    longest = int(lengths.max(initial=0))
    return Asking(
        items=torch.from_numpy(history.padded(longest, fill=0).astype(np.int64)).to(device),
        length=torch.from_numpy(lengths).to(device),
        user=None if user is None else torch.from_numpy(user.astype(np.int64)).to(device),
        even=bool((lengths == longest).all()),
    )
