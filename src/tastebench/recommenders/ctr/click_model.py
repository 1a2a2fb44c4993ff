"""Click models: training and asking any network of bricks.

Training takes labelled rows as they are (ranking, cross-entropy of each) or every click against
negatives (matching, cross-entropy of the click among them). Asking makes the vector of every item
once and reads every user once, however many candidates they have; that this changes no score is a
test, and what it saves is a benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.contracts import Candidates, CtrProblem, FitReport, Items, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.config import ClickConfig, bricks_of
from tastebench.recommenders.ctr.content import make_content
from tastebench.recommenders.ctr.negatives import OwnNegatives
from tastebench.recommenders.ctr.network import ClickNetwork, Rows
from tastebench.training.batches import shuffled
from tastebench.training.seeds import torch_seeded

EMBEDDED_TOGETHER = 1024
"""Items whose vectors are made at once when nothing is differentiated."""

Keep = Literal["nothing", "items", "users"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows and what is right about them.

    Attributes:
        label: 0 or 1 for each row, float32 `[n]`; None in matching, where the first of every
            `1 + negatives` rows is the click.
    """

    rows: Rows
    label: Tensor | None


class ClickModel:
    """A recommender that says how likely a click is.

    Args:
        name: For messages.
        config: Bricks and how to train.

    Attributes:
        log_odds: Ranking learns a probability of every row. Matching learns which of some items was
            clicked: a score more for all of them changes no loss, so its scores only order.
    """

    def __init__(self, name: str, config: ClickConfig) -> None:
        self.name = name
        self.config = config
        self.log_odds = config.scheme == "ranking"
        self._network: ClickNetwork | None = None
        self._history_length = 0
        self._kept: Keep = "items"
        self._table: Tensor | None = None
        self._users: dict[bytes, tuple[Clicks, Tensor | None]] = {}

    @property
    def network(self) -> ClickNetwork:
        """The network, fitted as far as `fit` has come.

        Raises:
            UsageError: `fit` was not called.
        """
        if self._network is None:
            raise UsageError(f"{self.name} is not fitted", fix="call fit first")
        return self._network

    def keep(self, what: Keep) -> None:
        """What is kept from one request to the next: nothing, item vectors, users too."""
        self._kept = what
        self._forget()

    # -------------------------------------------------------------------------------- training

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Trains on the labelled rows of the training part.

        Raises:
            UsageError: Nothing to train on, or bricks that do not fit the items' forms.
        """
        began = time.perf_counter()
        bricks = bricks_of(self.config, "+".join(items.forms))
        taught = np.zeros(problem.n_items, dtype=bool)
        taught[problem.train.item] = True
        taught[problem.history[np.unique(problem.train.context)].values] = True
        content = make_content(items, self.config.text, taught)
        content = replace(content, history_length=problem.history_length)
        with torch_seeded(trainer.rng("weights")):
            self._network = ClickNetwork(bricks, content, self.config.hidden_size)
        self._history_length = problem.history_length
        self._forget()
        loader = Loader.of(problem, self.config)
        prepared = time.perf_counter() - began
        report = trainer.fit(self._network, self.config, loader.epoch, self._loss)
        self._forget()
        what = ", ".join(f"{operator.name} over {operator.reads}" for operator, _ in bricks.items)
        notes = (f"item operator {what}; {self.config.scheme}", *report.notes)
        return replace(report, seconds=report.seconds + prepared, notes=notes)

    def _loss(self, batch: Batch) -> Tensor:
        self._forget()  # what is kept for scoring belongs to the weights before this step
        network, rows = self.network, self._there(batch.rows)
        logits, user = network(rows)
        if batch.label is not None:
            label = batch.label.to(self._device)
            loss = functional.binary_cross_entropy_with_logits(logits, label)
        else:
            logits = logits.view(-1, 1 + self.config.negatives)
            click = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
            loss = functional.cross_entropy(logits, click)
        penalty = getattr(network.predictor, "penalty", None)
        return loss if penalty is None else loss + penalty(user)

    # ---------------------------------------------------------------------------------- asking

    def score(self, candidates: Candidates) -> np.ndarray:
        """Log-odds of a click, float32 `[n]`; after matching their differences within an asker.

        Raises:
            UsageError: `fit` was not called.
        """
        network = self.network
        history = candidates.history.tail(self._history_length)
        with torch.inference_mode():
            if self._kept == "nothing":
                return self._scored_anew(history, candidates)
            if self._table is None:
                self._table = self._embedded()
            table = self._table
            asker = torch.from_numpy(candidates.items.rows).to(table.device)
            clicks, user = self._read(history, table)
            item = torch.from_numpy(candidates.items.values.astype(np.int64)).to(table.device)
            logits = network.predict(clicks, user, asker, table[item])
        scores: np.ndarray = logits.float().cpu().numpy()
        return scores

    def _scored_anew(self, history: Ragged, candidates: Candidates) -> np.ndarray:
        """As `score`, from the content of the items it takes and nothing else."""
        rows = pack(history, candidates.items.rows, candidates.items.values)
        scores: np.ndarray = self.network(self._there(rows))[0].float().cpu().numpy()
        return scores

    def _read(self, history: Ragged, table: Tensor) -> tuple[Clicks, Tensor | None]:
        """Clicks and users of some histories; with `keep("users")` those of one asked before."""
        key = history.values.tobytes() if self._kept == "users" and len(history) == 1 else None
        if key is not None and key in self._users:
            return self._users[key]
        network, device = self.network, table.device
        padded, there = _padded(history)
        items, mask = torch.from_numpy(padded).to(device), torch.from_numpy(there).to(device)
        vectors = None if network.user_reads == "text" else table[items]
        clicks = Clicks(items, mask, vectors)
        read = clicks, None if network.per_candidate else network.user(clicks)
        if key is not None:
            self._users[key] = read
        return read

    def _embedded(self) -> Tensor:
        """The vectors of all items."""
        every = torch.arange(self.network.n_items, device=self._device)
        parts = torch.split(every, EMBEDDED_TOGETHER)
        return torch.cat([self.network.embed(part) for part in parts])

    def _forget(self) -> None:
        self._table = None
        self._users = {}

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _there(self, rows: Rows) -> Rows:
        device = self._device
        return Rows(*(value.to(device) for value in vars(rows).values()))


@dataclass(frozen=True, eq=False)
class Loader:
    """Batches of a training part.

    Attributes:
        history: Histories of all contexts, right-padded, int32 `[n_contexts, length]`.
        length: Of each history, int64 `[n_contexts]`.
        context, item, label: Of each training row.
        own: Where negatives come from; None in ranking.
    """

    history: np.ndarray
    length: np.ndarray
    context: np.ndarray
    item: np.ndarray
    label: np.ndarray
    own: OwnNegatives | None
    negatives: int
    batch_size: int

    @classmethod
    def of(cls, problem: CtrProblem, config: ClickConfig) -> Loader:
        """The training part of a problem.

        Raises:
            UsageError: Nothing was clicked in it.
        """
        train = problem.train
        if not (train.label == 1).any():
            raise UsageError(
                "nothing was clicked in the training part",
                fix="check the labels, or choose another split",
            )
        contexts, context = np.unique(train.context, return_inverse=True)
        history = problem.history[contexts].tail(problem.history_length)
        width = max(int(history.lengths.max(initial=0)), 1)
        return cls(
            history=history.padded(width, fill=0),
            length=history.lengths,
            context=context,
            item=train.item.astype(np.int64),
            label=train.label.astype(np.float32),
            own=OwnNegatives.of(problem) if config.negatives else None,
            negatives=config.negatives,
            batch_size=config.batch_size,
        )

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All rows once (matching: all clicks once), shuffled."""
        of_interest = np.flatnonzero(self.label) if self.own else np.arange(len(self.item))
        for chosen in shuffled(len(of_interest), rng, self.batch_size):
            rows = of_interest[chosen]
            item, context, label = self.item[rows], self.context[rows], None
            if self.own is not None:
                drawn = self.own.draw(rows, self.negatives, rng)
                item = np.concatenate([item[:, None], drawn], axis=1).ravel()
                context = np.repeat(context, 1 + self.negatives)
            else:
                label = torch.from_numpy(self.label[rows])
            askers, asker = np.unique(context, return_inverse=True)
            width = max(int(self.length[askers].max(initial=0)), 1)
            clicks = self.history[askers, :width]
            mask = np.arange(width) < self.length[askers, None]
            yield Batch(_pointed(clicks, mask, asker, item), label)


def pack(history: Ragged, asker: np.ndarray, item: np.ndarray) -> Rows:
    """Histories and candidates as rows.

    Args:
        history: A list for each asker.
        asker: Asker of each row, int64 `[n]`.
        item: Candidate of each row, `[n]`.
    """
    clicks, mask = _padded(history)
    return _pointed(clicks, mask, asker, item.astype(np.int64))


def _padded(history: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """Lists right-padded with 0 to the longest, int64 `[n, s]`, and where there is an item."""
    lengths = history.lengths
    mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    padded = np.zeros(mask.shape, dtype=np.int64)
    padded[mask] = history.values
    return padded, mask


def _pointed(clicks: np.ndarray, mask: np.ndarray, asker: np.ndarray, item: np.ndarray) -> Rows:
    """Every item named once: an operator works on what is met, not on how often."""
    met, place = np.unique(np.append(clicks.ravel(), item), return_inverse=True)
    return Rows(
        items=torch.from_numpy(met.astype(np.int64)),
        clicks=torch.from_numpy(place[: clicks.size].reshape(clicks.shape)),
        mask=torch.from_numpy(mask),
        asker=torch.from_numpy(asker),
        candidate=torch.from_numpy(place[clicks.size :]),
    )
