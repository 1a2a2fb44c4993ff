"""The state of a fit on disk: one safetensors file with its JSON inside, replaced as a whole.

Tensors are the model, Adam's moments and the best model so far; the JSON in the header holds the
settings, the seed and the learning curve. The rest follows from them: which epoch comes next,
whether it is over, and every random stream (`tastebench.training.seeds`). Nothing is pickled, so a
state file from elsewhere cannot run code.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tastebench.errors import DataError, UsageError
from tastebench.files import atomic_file, canonical_json, parse_json

VERSION = 1


@dataclass
class FitState:
    """A model in training.

    Attributes:
        module: The model; its state dict is what is kept.
        optimizer: Its optimiser.
        identity: What the numbers depend on (settings, seed), JSON values; a state with another
            identity is not taken up.
        curve: One row an epoch: epoch, loss, valid (where it was validated), seconds.
        best: The state dict after the best validated epoch; None while there is none.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    identity: Mapping[str, Any]
    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None

    @property
    def best_row(self) -> dict[str, float] | None:
        """The first epoch with the highest validation; None before the first."""
        validated = [row for row in self.curve if "valid" in row]
        # max keeps the first of equals, so only a strictly better epoch replaces the best.
        return max(validated, key=lambda row: row["valid"]) if validated else None

    def keep_if_best(self) -> None:
        """Copies the model if the epoch just finished is the best so far."""
        if self.curve and self.best_row is self.curve[-1]:
            self.best = {name: t.detach().clone() for name, t in self.module.state_dict().items()}

    def restore_best(self) -> None:
        """Puts the best validated model back; without validation the last one stays."""
        if self.best is not None:
            self.module.load_state_dict(self.best)

    def save(self, path: Path) -> None:
        """Writes the state, replacing what was there."""
        tensors = _prefixed("model", self.module.state_dict())
        tensors |= _prefixed("best", self.best or {})
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{index}", slots)
        header = canonical_json(
            {"version": VERSION, "identity": dict(self.identity), "curve": self.curve}
        )
        sums = canonical_json(_sums(header, tensors))
        with atomic_file(path) as temporary:
            save_file(tensors, temporary, metadata={"fit": header, "sums": sums})

    def load(self, path: Path) -> None:
        """Takes up the state in `path`.

        Raises:
            DataError: The file is damaged, or holds a model of another shape.
            UsageError: It was made with other settings or another seed.
        """
        header, tensors = _read(path)
        if header["identity"] != dict(self.identity):
            raise UsageError(
                f"the training state was made with other settings: {header['identity']}",
                where=str(path),
                fix=f"delete {path} to train anew",
            )
        try:
            self.module.load_state_dict(_taken(tensors, "model"))
            self.optimizer.load_state_dict(
                {
                    "state": {
                        index: _taken(tensors, f"optimizer.{index}")
                        for index in _optimizer_indices(tensors)
                    },
                    "param_groups": self.optimizer.state_dict()["param_groups"],
                }
            )
        except RuntimeError as error:
            raise DataError(
                f"the training state does not fit the model: {error}",
                where=str(path),
                fix=f"delete {path} to train anew",
            ) from error
        self.curve = header["curve"]
        self.best = _taken(tensors, "best") or None


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            header = parse_json(about["fit"])
            if header["version"] != VERSION:
                raise KeyError("version")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        # States that an earlier version left have no checksums.
        if "sums" in about and parse_json(about["sums"]) != _sums(about["fit"], tensors):
            raise ValueError("its checksums do not match")
        return header, tensors
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the training state cannot be read: {error}",
            where=str(path),
            fix=f"delete {path} to train anew",
        ) from error


def _sums(header: str, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """CRC-32 of the header and of each tensor: the file format has none, and bits do change."""
    found = {"": zlib.crc32(header.encode())}
    for name, tensor in tensors.items():
        found[name] = zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A copy of each: tied weights share memory, which the file format refuses.
    return {f"{prefix}.{name}": t.detach().cpu().clone() for name, t in tensors.items()}


def _taken(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _optimizer_indices(tensors: Mapping[str, Tensor]) -> list[int]:
    return sorted({int(n.split(".")[1]) for n in tensors if n.startswith("optimizer.")})
