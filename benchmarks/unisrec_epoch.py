"""One epoch of UniSRec over all targets of Beauty: 12,101 items, the full softmax.

    python benchmarks/unisrec_epoch.py [--dataset beauty] [--steps 6] [--threads 2]

Needs the dataset (`tastebench data get beauty`). An epoch is the median step times the steps of an
epoch, validation aside (`evaluate.py`). The peer is the same model written plainly in PyTorch,
one linear layer an expert and `cross_entropy` over the whole catalogue.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, SeqProblem
from tastebench.data.catalog import load_dataset
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.unisrec_network import unisrec_network
from tastebench.tasks import TASKS
from tastebench.training.batches import SequenceBatch, ShiftedSequences
from tastebench.training.losses import linear_cross_entropy

SIZES: dict[str, dict[str, Any]] = {
    "published size (to reach: 90)": {"dimensions": 128},
    "width 64 (to reach: 15)": {
        "dimensions": 64,
        "hidden_size": 64,
        "inner_size": 128,
        "layers": 1,
    },
}


class PlainExperts(nn.Module):
    """The mixture of whitening experts, expert by expert."""

    def __init__(self, inputs: int, width: int, experts: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(experts, inputs))
        self.experts = nn.ModuleList(nn.Linear(inputs, width, bias=False) for _ in range(experts))
        self.gate = nn.Parameter(torch.zeros(inputs, experts))
        self.noise = nn.Parameter(torch.zeros(inputs, experts))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to `[n, h]`."""
        noise = functional.softplus(x @ self.noise) + 0.01
        gates = (x @ self.gate + noise * torch.randn_like(noise)).softmax(dim=-1)
        outputs = [
            expert(functional.dropout(x, 0.2) - shift)
            for expert, shift in zip(self.experts, self.shift, strict=True)
        ]
        return (torch.stack(outputs, dim=1) * gates[:, :, None]).sum(dim=1)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="beauty")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = load_dataset(options.dataset)
    task = TASKS.get("seqrec")
    problem = task.problem(dataset, task.protocol(dataset))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((dataset.n_items, 384)).astype(np.float32)
    items = Items(dataset.n_items, vector=vectors, forms=("vector",))
    print("| size | seconds an epoch | plainly | times |")
    print("|---|---|---|---|")
    for size, settings in SIZES.items():
        ours, plain = measure(problem, items, settings, options.steps)
        print(f"| {size} | **{ours:.1f}** | {plain:.1f} | {plain / ours:.2f} |")


def measure(
    problem: SeqProblem, items: Items, settings: dict[str, Any], steps: int
) -> tuple[float, float]:
    """Seconds an epoch, ours and plainly."""
    card = get_recommender("unisrec")
    config: Any = card.config(**settings)
    torch.manual_seed(0)
    network = unisrec_network(config, problem, items)
    peer = unisrec_network(config, problem, items)
    peer.adaptor = PlainExperts(config.dimensions, config.hidden_size, config.experts)  # type: ignore[assignment]
    sequences = ShiftedSequences.cut(problem.train, problem.history_length)
    in_epoch = sequences.n_targets / config.batch_size

    def loss_of(model: Any, batch: SequenceBatch, plain: bool) -> Tensor:
        chosen = torch.from_numpy(batch.is_target)
        states = model.states(torch.from_numpy(batch.inputs))[chosen]
        targets = torch.from_numpy(batch.targets)
        if plain:
            return functional.cross_entropy(states @ model.catalogue().T * model.scale, targets)
        return linear_cross_entropy(states, model.catalogue(), targets, model.scale)

    def epoch(model: Any, plain: bool) -> float:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=not plain)
        model.train()
        times = []
        batches: Iterator[SequenceBatch] = sequences.epoch(
            np.random.default_rng(0), config.batch_size
        )
        for _ in range(steps):
            batch = next(batches)
            began = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            loss_of(model, batch, plain).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            times.append(time.perf_counter() - began)
        return float(median(times[1:]) * in_epoch)

    ours, plain = epoch(network, plain=False), epoch(peer, plain=True)
    return ours, plain


if __name__ == "__main__":
    main()
