"""Click models at RecBench's shape: what making batches adds to an epoch, and rows per second.

    python benchmarks/click_loading.py [--rows 100000] [--repeats 3] [--quick]

100,000 labelled rows with histories of up to 20 of 20,000 items, ids of width 64, batches of 5,000,
towers of three layers of 1,000, one thread, by the public `fit`. Ten rows a history, as where some
items are shown together.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import torch

from tastebench.contracts import CtrProblem, Items, Pairs
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.ctr.click_model import Loader
from tastebench.training.fit import FabricTrainer

ROWS_OF_A_HISTORY = 10
MODELS: dict[str, dict[str, Any]] = {
    "DNN": {"name": "dnn"},
    "DCNv2, reference": {"name": "dcnv2", "variant": "reference"},
    "GDCN": {"name": "gdcn"},
}


def main() -> None:
    """Prints Markdown tables."""
    options = arguments()
    torch.set_num_threads(1)
    problem = make_problem(options)
    epochs: dict[str, list[float]] = {label: [] for label in MODELS}
    batches = []
    for _ in range(options.repeats):
        batches.append(loading(problem, options))
        for label, spent in epochs.items():
            spent.append(epoch(problem, label, options))

    loaded, trained = median(batches), median(epochs["DNN"])
    print(f"{options.rows:,} rows, batches of {options.batch_size:,}, one thread\n")
    print("| what | seconds | of the epoch |\n|---|---|---|")
    print(f"| an epoch of DNN, making its batches included | {trained:.2f} | |")
    print(f"| **making its batches** (to reach: 5 %) | **{loaded:.3f}** | {loaded / trained:.1%} |")
    print("\n| model | weights but the items' | rows/s |\n|---|---|---|")
    for label, spent in epochs.items():
        weights = parameters(label, options)
        print(f"| {label} | {weights:,} | {options.rows / median(spent):,.0f} |")


def make_problem(options: argparse.Namespace) -> CtrProblem:
    """Rows of a shop: items Zipf, one in five clicked, histories of any length up to the limit."""
    rng = np.random.default_rng(0)
    n, items = options.rows, options.items
    histories = -(-n // ROWS_OF_A_HISTORY)

    def draw(size: int) -> np.ndarray:
        drawn: np.ndarray = (rng.zipf(1.2, size) - 1) % items
        return drawn.astype(np.int32)

    lengths = rng.integers(1, options.history_length + 1, histories)
    context = np.arange(n, dtype=np.int64) // ROWS_OF_A_HISTORY
    label = (rng.random(n) < 0.2).astype(np.int8)
    rows = Pairs(context, context, draw(n), label, context)
    none = rows[np.empty(0, dtype=np.int64)]
    history = Ragged.from_lengths(draw(int(lengths.sum())), lengths)
    return CtrProblem(items, histories, options.history_length, history, rows, none, none)


def configured(label: str, options: argparse.Namespace) -> tuple[Any, Any]:
    """A recommender and its settings."""
    given = dict(MODELS[label])
    card = get_recommender(given.pop("name"))
    predictor = {"operator": card.name, "tower": options.tower, **given}
    config: Any = card.config(predictor=predictor, batch_size=options.batch_size, epochs=1)
    return card.build(config), config


def loading(problem: CtrProblem, options: argparse.Namespace) -> float:
    """Seconds to make the batches of an epoch and throw them away."""
    loader = Loader.of(problem, configured("DNN", options)[1])
    began = time.perf_counter()
    rows = sum(len(batch.rows.candidate) for batch in loader.epoch(np.random.default_rng(0)))
    taken = time.perf_counter() - began
    assert rows == options.rows
    return taken


def epoch(problem: CtrProblem, label: str, options: argparse.Namespace) -> float:
    """Seconds of one epoch of training, as the fit says itself."""
    recommender, _ = configured(label, options)
    items = Items(problem.n_items, forms=("id",))
    report = recommender.fit(problem, items, FabricTrainer(seed=0))
    seconds: float = report.curve[0]["seconds"]
    return seconds


def parameters(label: str, options: argparse.Namespace) -> int:
    """Weights of a predictor."""
    from tastebench.recommenders.ctr.config import bricks_of

    _, config = configured(label, options)
    brick, settings = bricks_of(config, "id").predictor
    network = brick.build(settings, config.hidden_size, 2)
    return sum(parameter.numel() for parameter in network.parameters())


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--history-length", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=5_000)
    parser.add_argument("--tower", type=int, nargs="+", default=[1000, 1000, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a first look: few rows, once")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = min(options.rows, 10_000), 1
    return options


if __name__ == "__main__":
    main()
