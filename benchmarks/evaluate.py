"""Whole-catalogue evaluation of next-item prediction: 22,000 users x 12,000 items x 300 numbers.

    python benchmarks/evaluate.py [--users 22000] [--items 12000] [--width 300] [--repeats 3]
                                  [--threads 2]

Ours ranks exactly, with ties, and keeps every user's value of six metrics; the peers keep the best
50 of every user, as most evaluation loops do, and let ties fall as they may. `states ready` scores
by one matrix product a batch; `UniSRec` starts from histories and an untrained network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

METRICS = ("ndcg@10", "recall@10", "ndcg@50", "recall@50", "mrr", "hit@10")


class Ready:
    """Scores by a matrix product of states that are there."""

    def __init__(self, states: Any, table: Any) -> None:
        self.states, self.table = states, table

    def scores(self, queries: Any, items: slice) -> Any:
        """Scores of a batch of users."""
        return self.states[queries.user] @ self.table[items].T


def main() -> None:
    """Prints a Markdown table."""
    options = arguments()
    import torch
    from torch.nn import functional

    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    states, table = (
        functional.normalize(torch.randn(n, options.width, generator=generator), dim=1)
        for n in (options.users, options.items)
    )
    asked = questions(options)
    target = torch.from_numpy(asked.relevant.values.astype(np.int64))
    ready = Ready(states, table)
    ways: dict[str, Callable[[], float]] = {
        "the matrix product alone": lambda: product(states, table),
        "torch.topk loop, states ready": lambda: best_50(states, table, target),
        "full sort loop, states ready": lambda: full_sort(states, table, target),
        "**ours, states ready** (to reach: 3)": lambda: ours(ready, asked, 0),
        "ours, states ready, and the best 20 kept": lambda: ours(ready, asked, 20),
        "**ours, UniSRec from histories**": lambda: ours(untrained, asked, 0),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(options.repeats):
        for name, way in ways.items():
            untrained = unisrec(options, asked)  # afresh: it keeps what it encoded
            start = time.perf_counter()
            found[name] = way()
            times[name].append(time.perf_counter() - start)
    print(f"{options.users:,} users x {options.items:,} items x {options.width}\n")
    print("| what | seconds | ndcg@10 |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {median(seconds):.2f} | {found[name]:.6f} |")


def questions(options: argparse.Namespace) -> Any:
    """A question a user: a history as short as most are, and one answer."""
    from tastebench.contracts import Queries
    from tastebench.ragged import Ragged
    from tastebench.tasks.evaluate import Asked

    rng = np.random.default_rng(1)
    lengths = np.minimum(rng.geometric(1 / 8, options.users), 50)
    history = Ragged.from_lengths(
        rng.integers(0, options.items, lengths.sum()).astype(np.int32), lengths
    )
    everyone = np.arange(options.users)
    answers = rng.integers(0, options.items, options.users).astype(np.int32)
    return Asked(
        unit="user",
        ids=everyone,
        n_items=options.items,
        queries=Queries(options.users, history=history, user=everyone),
        relevant=Ragged(answers, np.arange(options.users + 1)),
    )


def ours(recommender: Any, asked: Any, top_k: int) -> float:
    """The way of every run of seqrec."""
    from tastebench.data.card import SplitSpec
    from tastebench.tasks import TaskProtocol
    from tastebench.tasks.evaluate import measure_answers

    protocol = TaskProtocol(
        task="seqrec", split=SplitSpec(kind="last_out"), history_length=50, metrics=METRICS
    )
    return measure_answers(recommender, asked, protocol, top_k=top_k).means()["ndcg@10"]


def unisrec(options: argparse.Namespace, asked: Any) -> Any:
    """UniSRec with random weights over random vectors."""
    from tastebench.contracts import Items, SeqProblem, Targets
    from tastebench.recommenders.seqrec.unisrec import UniSRecConfig, build

    vectors = np.random.default_rng(2).standard_normal((options.items, 128), dtype=np.float32)
    items = Items(options.items, vector=vectors, forms=("vector",))
    history = asked.queries.history
    nothing = np.empty(0, np.int32)
    none = Targets(nothing, history[:0], nothing, nothing)
    problem = SeqProblem(options.items, options.users, 50, history, none, none)
    recommender = build(UniSRecConfig(adaptor="none", hidden_size=options.width))
    recommender.fit(problem, items, Untrained())
    return recommender


class Untrained:
    """A trainer that leaves a network as it was made."""

    seed = 0
    directory: Path | None = None
    validate: Callable[[], float] | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Any generator will do."""
        return np.random.default_rng(0)

    def fit(self, module: Any, *rest: Any) -> Any:
        """Only says that training is over."""
        from tastebench.contracts import FitReport

        module.eval()
        return FitReport(parameters=0, seconds=0.0)


def product(states: Any, table: Any) -> float:
    """What no way can do without."""
    for part in states.split(1024):
        part @ table.T
    return float("nan")


def best_50(states: Any, table: Any, target: Any) -> float:
    """The best 50 of every user, and where among them the answer is."""
    import torch

    gains = []
    for part, wanted in zip(states.split(1024), target.split(1024), strict=True):
        found = (part @ table.T).topk(50, dim=1).indices == wanted[:, None]
        rank = found.int().argmax(dim=1)
        gains.append(torch.where(found.any(dim=1) & (rank < 10), 1 / torch.log2(rank + 2.0), 0))
    return float(torch.cat(gains).double().mean())


def full_sort(states: Any, table: Any, target: Any) -> float:
    """Every user's whole order."""
    import torch

    gains = []
    for part, wanted in zip(states.split(1024), target.split(1024), strict=True):
        order = (part @ table.T).argsort(dim=1, descending=True)
        rank = (order == wanted[:, None]).int().argmax(dim=1)
        gains.append(torch.where(rank < 10, 1 / torch.log2(rank + 2.0), 0))
    return float(torch.cat(gains).double().mean())


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=22_000)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
