"""The original AlphaRec: mapped text vectors, averaged over neighbours in the train graph."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tastebench.contracts import CfProblem, FitReport, Items, Queries, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.cf.draws import DrawnPairs, PairDraws
from tastebench.recommenders.cf.linear_map import user_means
from tastebench.recommenders.vectors import adapted
from tastebench.training.losses import sampled_cross_entropy
from tastebench.training.seeds import torch_seeded

if TYPE_CHECKING:
    from tastebench.recommenders.cf.alpharec_original import AlphaRecOriginalConfig

MAPPED_TOGETHER = 8192  # hidden layers of so many vectors exist at once: up to 400 MB


class GraphMap:
    """Text vectors and their means, mapped, smoothed over who took what, compared by cosine.

    An item is its frozen vector, a user the mean of the vectors of their training items; one
    network maps both. A user without training items is zero, is in no edge, and ties on every item:
    nothing is known of them. An item that nobody took in training keeps its mapped vector.

    Every step maps every user and item: with the two-layer map that is about 30 million operations
    a vector, a teraflop for 35,000 of them, which wants an accelerator; `homo` is a hundredth.
    """

    name = "alpharec-original"

    def __init__(self, config: AlphaRecOriginalConfig) -> None:
        self.config = config
        self._network: GraphNetwork | None = None
        self._points: tuple[Tensor, Tensor] | None = None

    def fit(self, problem: CfProblem, items: Items, trainer: Trainer) -> FitReport:
        """Learns the map from pairs drawn from the training part.

        Raises:
            UsageError: Items have no vectors, or there is nothing to learn from.
        """
        began = time.perf_counter()
        vectors, note = adapted(items, self.config.adaptor, self.config.dimensions)
        with torch_seeded(trainer.rng("weights")):
            self._network = GraphNetwork(problem.train, vectors, self.config)
        self._points = None
        draws = PairDraws(problem.train, problem.n_items, self.config.negatives)
        prepared = time.perf_counter() - began
        report = trainer.fit(
            self._network,
            self.config,
            partial(draws.epoch, batch_size=self.config.batch_size),
            self._loss,
        )
        self._points = None
        return replace(report, seconds=report.seconds + prepared, notes=(note, *report.notes))

    def scores(self, queries: Queries, items: slice) -> Tensor:
        """Cosines float32 `[len(queries), len(items)]`.

        Raises:
            UsageError: `fit` was not called, or the queries do not say whose they are.
        """
        if self._network is None:
            raise UsageError(f"{self.name} is not fitted", fix="call fit first")
        if queries.user is None:
            raise UsageError(f"{self.name} knows users by their row, and the queries name none")
        with torch.no_grad():
            if self._points is None:
                self._points = self._network()
            users, points = self._points
            return users[torch.from_numpy(queries.user).to(users.device)] @ points[items].T

    def _loss(self, pairs: DrawnPairs) -> Tensor:
        assert self._network is not None
        self._points = None  # belongs to the weights before this step
        users, items = self._network()
        who, own, others = (
            torch.from_numpy(array).to(users.device)
            for array in (pairs.users, pairs.items, pairs.negatives)
        )
        return sampled_cross_entropy(users[who], items, own, others, 1 / self.config.temperature)


class GraphNetwork(nn.Module):
    """The mean of `X`, `A X`, ..., `A^L X`, with `X` the mapped vectors of users and items.

    `A = D^-1/2 B D^-1/2`, where `B` joins each user with their training items and `D` counts
    neighbours (LightGCN, eq. 3 to 7).

    Args:
        train: Training items per user.
        vectors: Frozen item vectors, float32 `[n_items, d]`.
        config: Hyper-parameters.
    """

    vectors: Tensor
    known: Tensor
    graph: Tensor

    def __init__(self, train: Ragged, vectors: np.ndarray, config: AlphaRecOriginalConfig) -> None:
        super().__init__()
        d, width = vectors.shape[1], config.hidden_size
        self.layers = config.layers
        self.n_users = len(train)
        if config.mapping == "homo":
            self.map: nn.Module = nn.Linear(d, width, bias=False)
        else:
            hidden = config.hidden_units(d)
            self.map = nn.Sequential(nn.Linear(d, hidden), nn.LeakyReLU(), nn.Linear(hidden, width))
        nodes = np.concatenate([user_means(train, vectors), vectors])
        known = np.concatenate([train.lengths > 0, np.ones(len(vectors))]).astype(np.float32)
        # Data, not state: every epoch would write it to disk again.
        self.register_buffer("vectors", torch.from_numpy(nodes), persistent=False)
        self.register_buffer("known", torch.from_numpy(known)[:, None], persistent=False)
        self.register_buffer("graph", normalised_graph(train, len(vectors)), persistent=False)

    def forward(self) -> tuple[Tensor, Tensor]:
        """All users `[n_users, h]` and items `[n_items, h]` at unit length; unknown users are 0."""
        parts = torch.split(self.vectors, MAPPED_TOGETHER)
        if torch.is_grad_enabled() and len(parts) > 1:
            mapped = [checkpoint(self.map, x, use_reentrant=False) for x in parts]
        else:
            mapped = [self.map(x) for x in parts]
        # A bias would give those of whom nothing is known a taste.
        nodes = torch.cat(mapped).float() * self.known
        smooth: Tensor = _Smoothing.apply(nodes, self.graph, self.layers)  # type: ignore[no-untyped-call]
        points = functional.normalize(smooth, dim=-1)
        return points[: self.n_users], points[self.n_users :]


class _Smoothing(torch.autograd.Function):
    """The mean over the powers of a symmetric matrix, which is symmetric too: its own gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, graph: Tensor, layers: int) -> Tensor:
        ctx.graph, ctx.layers = graph, layers
        return _smooth(x, graph, layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _smooth(grads[0], ctx.graph, ctx.layers), None, None


def _smooth(x: Tensor, graph: Tensor, layers: int) -> Tensor:
    total, power = x.clone(), x
    with torch.autocast(x.device.type, enabled=False):
        for _ in range(layers):
            power = graph @ power
            total += power
    return total.div_(layers + 1)


def normalised_graph(train: Ragged, n_items: int) -> Tensor:
    """`D^-1/2 B D^-1/2` of users, then items, sparse `[n_users + n_items, n_users + n_items]`.

    Args:
        train: Items per user, sorted ascending, unique.
        n_items: Size of the catalogue.
    """
    n_users = len(train)
    degree = np.concatenate([train.lengths, np.bincount(train.values, minlength=n_items)])
    items = train.values.astype(np.int64) + n_users
    weights = (1 / np.sqrt(degree[train.rows] * degree[items])).astype(np.float32)
    there = np.stack([train.rows, items])
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.concatenate([there, there[::-1]], axis=1)),
        torch.from_numpy(np.tile(weights, 2)),
        (n_users + n_items, n_users + n_items),
        check_invariants=True,
    ).coalesce()
