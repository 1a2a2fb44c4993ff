"""One epoch of SASRec (2 x 64) and the full ranking of its test users, on MovieLens-100K.

    python benchmarks/sasrec_epoch.py [--epochs 5] [--seeds 3] [--recbole FOLDER]
                                      [--recbole-steps 20]

Needs the dataset (`tastebench data get movielens-100k`). Last item out, histories of 50, batches of
2,048 targets, Adam at 1e-3, dropout 0.5, one thread. Sides take turns, a fit a seed; time is CPU
seconds of the process, which other processes stretch less than they stretch the clock.

- Ours: `sasrec` through the trainer of every run, and `measure` as every run evaluates.
- Plainly: the same network of `torch.nn` layers, rows of at most 50 inputs without overlap, padded
  to 50, in random order, `cross_entropy` over the whole catalogue; ranked by `topk`.
- RecBole: its SASRec at its own values, which are these; one row a prefix; an epoch is the mean of
  some steps times its steps. Asked to evaluate by its own trainer. Installed apart:
  `pip install --no-deps --target FOLDER recbole colorlog colorama tabulate texttable thop
  tensorboard protobuf plotly`
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, SeqProblem, Targets
from tastebench.data.catalog import load_dataset
from tastebench.recommenders import get_recommender
from tastebench.tasks import TASKS
from tastebench.tasks.task import NO_FORMS, measure
from tastebench.training.fit import FabricTrainer

LENGTH = 50
BATCH = 2048


def main() -> None:
    """Prints Markdown tables."""
    options = arguments()
    torch.set_num_threads(1)
    task = TASKS.get("seqrec")
    dataset = load_dataset("movielens-100k")
    protocol = task.protocol(
        dataset, split={"kind": "last_out"}, history_length=LENGTH, metrics=["ndcg@10"]
    )
    problem = task.problem(dataset, protocol)
    asked = task.ask(problem, protocol, "test", NO_FORMS)

    def ours(seed: int) -> Fit:
        return fit_ours(
            problem, options.epochs, seed, "fp32", lambda r: measure(r, asked, protocol)
        )

    def halves(seed: int) -> Fit:
        return fit_ours(
            problem, options.epochs, seed, "bf16", lambda r: measure(r, asked, protocol)
        )

    def plain(seed: int) -> Fit:
        return fit_plain(problem, options.epochs, seed)

    sides: dict[str, Callable[[int], Fit]] = {
        "**ours** (to reach: 4)": ours,
        "**ours**, precision: bf16": halves,
        "plainly": plain,
    }
    if options.recbole:
        sys.path.insert(0, options.recbole)
        peer = recbole(problem)
        sides["RecBole"] = lambda seed: time_recbole(peer, options.recbole_steps)
    found: dict[str, list[Fit]] = {name: [] for name in sides}
    for seed in range(options.seeds):
        for name, fit in sides.items():
            found[name].append(fit(seed))
    print(
        f"| side | CPU seconds an epoch | nDCG@10 after {options.epochs} epochs | CPU seconds to "
        f"rank {problem.n_items:,} items for {len(problem.test.item)} users (to reach: 0.15) |"
    )
    print("|---|---|---|---|")
    for name, fits in found.items():
        epoch, ndcg, ranking = zip(*fits, strict=True)
        reached = "" if np.isnan(ndcg).any() else f"{mean(ndcg):.4f}"
        print(f"| {name} | {median(epoch):.2f} | {reached} | {median(ranking):.3f} |")


Fit = tuple[float, float, float]
"""CPU seconds of an epoch, nDCG@10 in the end (nan where it was not trained so far), and CPU
seconds of ranking all items for all users."""


def timed(what: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The median of the CPU seconds that something takes, and what it gives."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        given = what()
        seconds.append(time.process_time() - began)
    return median(seconds), given


# -------------------------------------------------------------------------------------------- ours


def fit_ours(
    problem: SeqProblem, epochs: int, seed: int, precision: str, evaluate: Callable[[Any], Any]
) -> Fit:
    """The recommender of every run."""
    card = get_recommender("sasrec")
    recommender: Any = card.build(
        card.config(device="cpu", epochs=epochs, batch_size=BATCH, precision=precision)
    )
    clock = [time.process_time()]
    trainer = FabricTrainer(seed, progress=lambda row: clock.append(time.process_time()))
    recommender.fit(problem, Items(problem.n_items, forms=("id",)), trainer)

    def ask() -> Any:
        recommender._forget()  # afresh: it keeps what it encoded
        return evaluate(recommender)

    seconds, evaluation = timed(ask)
    return float(np.diff(clock).mean()), evaluation.means()["ndcg@10"], seconds


# ----------------------------------------------------------------------------------------- plainly


class PlainSASRec(nn.Module):
    """The same network of torch's layers. Item 0 is padding."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, 64, padding_idx=0)
        self.positions = nn.Embedding(LENGTH, 64)
        self.norm, self.dropout = nn.LayerNorm(64), nn.Dropout(0.5)
        layer = nn.TransformerEncoderLayer(64, 2, 256, 0.5, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        for weights in self.parameters():
            if weights.dim() > 1:
                nn.init.normal_(weights, std=0.02)

    def forward(self, items: Tensor) -> Tensor:
        """Right-padded items `[b, l]` to states `[b, l, 64]`."""
        length = items.shape[1]
        x = self.items(items) + self.positions(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        states: Tensor = self.encoder(self.dropout(self.norm(x)), mask=mask, is_causal=True)
        return states


def fit_plain(problem: SeqProblem, epochs: int, seed: int) -> Fit:
    """A loop as anybody would write it."""
    torch.manual_seed(seed)
    network = PlainSASRec(problem.n_items)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    rows = [
        sequence[begin : begin + LENGTH + 1] + 1
        for sequence in (problem.train[i : i + 1].values for i in range(len(problem.train)))
        for begin in range(0, len(sequence) - 1, LENGTH)
    ]
    padded = torch.zeros(len(rows), LENGTH + 1, dtype=torch.int64)
    for row, sequence in zip(padded, rows, strict=True):
        row[: len(sequence)] = torch.from_numpy(sequence.astype(np.int64))
    together = round(BATCH / (np.mean([len(row) for row in rows]) - 1))
    began = time.process_time()
    for _ in range(epochs):
        network.train()
        for some in torch.randperm(len(padded)).split(together):
            inputs, targets = padded[some, :-1], padded[some, 1:]
            real = targets > 0
            logits = network(inputs)[real] @ network.items.weight[1:].T
            loss = functional.cross_entropy(logits, targets[real] - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = (time.process_time() - began) / epochs
    ranking, ndcg = timed(lambda: rank_plain(network, problem.test))
    return seconds, ndcg, ranking


@torch.no_grad()
def rank_plain(network: PlainSASRec, test: Targets) -> float:
    """nDCG@10 by the best ten; ties fall as they may."""
    network.eval()
    history = torch.from_numpy(test.history.padded(LENGTH, fill=-1).astype(np.int64) + 1)
    last = torch.from_numpy(test.history.lengths) - 1
    gains = []
    target = torch.from_numpy(test.item.astype(np.int64))
    for part in torch.arange(len(target)).split(256):
        states = network(history[part])[torch.arange(len(part)), last[part]]
        best = (states @ network.items.weight[1:].T).topk(10).indices
        found = best == target[part, None]
        rank = found.int().argmax(dim=1)
        gains.append(torch.where(found.any(dim=1), 1 / torch.log2(rank + 2.0), 0))
    return float(torch.cat(gains).mean())


# ----------------------------------------------------------------------------------------- RecBole


def recbole(problem: SeqProblem) -> Any:
    """RecBole's trainer and its parts of the same interactions in the same order."""
    gone = {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}
    for name, stands_for in gone.items():
        setattr(np, name, stands_for)  # it was written before NumPy 2
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer
    from recbole.utils import get_model

    folder = Path(tempfile.mkdtemp())
    (folder / "log").mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user, item, valid in zip(
        problem.test.user, problem.test.item, problem.valid.item, strict=True
    ):
        sequence = [*problem.train[user : user + 1].values, valid, item]
        lines += [f"{user}\t{one}\t{place}" for place, one in enumerate(sequence)]
    (folder / "log" / "log.inter").write_text("\n".join(lines))
    settings = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": LENGTH,
        "train_batch_size": BATCH,
        "train_neg_sample_args": None,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        "metrics": ["NDCG"],
        "topk": [10],
        "valid_metric": "NDCG@10",
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
    }
    sys.argv = sys.argv[:1]  # it reads the command line for settings of its own
    config = Config(model="SASRec", dataset="log", config_dict=settings)
    logging.disable(logging.CRITICAL)
    dataset = create_dataset(config)
    train, _, test = data_preparation(config, dataset)
    model = get_model("SASRec")(config, train.dataset)
    return Trainer(config, model), train, test


def time_recbole(peer: Any, steps: int) -> Fit:
    """Steps of an epoch as its trainer takes them, and its evaluation."""
    trainer, train, test = peer
    trainer.model.train()
    batches, spent = iter(train), 0.0
    for _ in range(steps):
        began = time.process_time()
        trainer.optimizer.zero_grad()
        trainer.model.calculate_loss(next(batches)).backward()
        trainer.optimizer.step()
        spent += time.process_time() - began
    ranking, _ = timed(lambda: trainer.evaluate(test, load_best_model=False, show_progress=False))
    return spent / steps * len(train), float("nan"), ranking


def arguments() -> argparse.Namespace:
    """Command-line options."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recbole", help="folder that RecBole is installed in")
    parser.add_argument("--recbole-steps", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    main()
