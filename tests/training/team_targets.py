"""What processes that share fits are told to do, importable by them; no tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.files import write_json
from tastebench.training.batches import shuffled
from tastebench.training.fit import FabricTrainer
from tastebench.training.seat import Seat
from tastebench.training.settings import TrainSettings
from tastebench.training.team import joining

N, BATCH = 44, 8  # five batches and a half
VALID = [1.0, 3.0, 2.0, 2.5, 9.0]


class Everything(nn.Module):
    """Dropout, running means, a branch that few batches take, and one that none takes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(12, 4))
        self.first, self.norm = nn.Linear(4, 6), nn.BatchNorm1d(6)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(6, 1)
        self.rare, self.never = nn.Linear(6, 1), nn.Linear(6, 1)
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(generator=draw)

    def forward(self, items: Tensor, sparse: bool) -> Tensor:
        read = functional.embedding(items, self.table, sparse=sparse)
        hidden = self.drop(self.norm(self.first(read)).tanh())
        out: Tensor = self.last(hidden)
        return out + self.rare(hidden) if 0 in items else out


class Shop:
    """A regression on it."""

    def __init__(self, sparse: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.items = rng.integers(12, size=N)
        self.y = torch.from_numpy(rng.normal(size=(N, 1)).astype(np.float32))
        self.module, self.sparse = Everything(), sparse
        self.asked = 0

    def batches(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        return shuffled(N, rng, BATCH)

    def loss(self, rows: np.ndarray) -> Tensor:
        predicted = self.module(torch.from_numpy(self.items[rows]), self.sparse)
        return ((predicted - self.y[rows]) ** 2).mean()

    def state(self) -> dict[str, list[float]]:
        return {k: v.double().flatten().tolist() for k, v in self.module.state_dict().items()}


CASES: dict[str, dict[str, Any]] = {
    "two": {"accumulate": 2, "epochs": 3},
    "three": {"accumulate": 3, "epochs": 3},
    "one": {"accumulate": 1, "epochs": 2},
    "sparse": {"accumulate": 2, "epochs": 3, "sparse": True},
    "stopping": {"accumulate": 2, "epochs": 5, "patience": 2, "validated": True},
    "diverging": {"accumulate": 2, "epochs": 3, "lr": 1e30},
    "unmeasured": {"accumulate": 2, "epochs": 3, "validated": True, "broken": True},
    "after": {"accumulate": 2, "epochs": 1},
}
"""Fits one after the other; those that fail leave the processes together."""


def fit(name: str, trainer: FabricTrainer, shop: Shop) -> dict[str, Any]:
    """What comes of a case."""
    case = {k: v for k, v in CASES[name].items() if k not in {"sparse", "validated", "broken"}}
    settings = TrainSettings(**{"device": "cpu", "batch_size": BATCH, "lr": 0.01, **case})
    try:
        report = trainer.fit(shop.module, settings, shop.batches, shop.loss)
    except UsageError as error:
        return {"error": error.what}
    curve = [{k: v for k, v in row.items() if k != "seconds"} for row in report.curve]
    return {
        "state": shop.state(),
        "curve": curve,
        "best": report.best_epoch,
        "notes": list(report.notes),
    }


def train_all(argument: tuple[Seat, Path], around: Any) -> None:
    """Fits every case, and writes down what this process has of it."""
    seat, folder = argument
    torch.set_num_threads(1)
    told: dict[str, Any] = {}
    with joining(seat) as team:
        for name, case in CASES.items():
            shop = Shop(case.get("sparse", False))
            validate = _validation(shop, case) if case.get("validated") else None
            rows: list[dict[str, float]] = []
            trainer = FabricTrainer(
                seed=3,
                directory=folder / name,
                validate=validate,
                progress=rows.append if team.leads else None,
                save_every=0.0,
                team=team,
            )
            told[name] = {**fit(name, trainer, shop), "asked": shop.asked, "threads": _threads()}
    write_json(folder / f"rank-{seat.rank}-of-{seat.size}.json", told)


def _validation(shop: Shop, case: dict[str, Any]) -> Any:
    values = iter(VALID)

    def validate() -> float:
        shop.asked += 1
        if case.get("broken"):
            raise UsageError("cannot be measured")
        return next(values)

    return validate


def _threads() -> int:
    return torch.get_num_threads()


def fail_alone(argument: tuple[Seat, Path], around: Any) -> None:
    """One process gets an error within an epoch, and the other waits for its gradients."""
    seat, folder = argument
    with joining(seat) as team:
        shop = Shop()
        before = shop.loss

        def loss(rows: np.ndarray) -> Tensor:
            if seat.rank == int(folder.name):
                raise ValueError("only here")
            return before(rows)

        shop.loss = loss  # type: ignore[method-assign]
        fit("two", FabricTrainer(seed=3, team=team), shop)
