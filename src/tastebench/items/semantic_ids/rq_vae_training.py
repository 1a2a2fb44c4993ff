"""How an RQ-VAE is trained: warm-up, codebooks by k-means, epochs with checks, and going on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.files import hash_arrays
from tastebench.items.semantic_ids.kmeans import kmeans
from tastebench.items.semantic_ids.paths import prefix_groups
from tastebench.items.semantic_ids.settings import RqVaeSettings
from tastebench.training.batches import shuffled
from tastebench.training.seeds import generator, torch_seeded
from tastebench.training.state import FitState

Progress = Callable[[dict[str, float]], None]

_SAMPLE = 64
"""Items an entry that codebooks begin from."""

_ROWS = 16384
"""Items encoded at once."""

_SAVE_EVERY = 5.0
"""Seconds between writes of the state."""


class Network(nn.Module):
    """Encoder, codebooks `[levels, size, latent]` and decoder.

    Attributes:
        bias: Infinite at entries that are never chosen, `[levels, size]`.
    """

    def __init__(self, d: int, settings: RqVaeSettings, levels: int, size: int) -> None:
        super().__init__()
        widths = (d, *settings.hidden, settings.latent)
        self.encoder = _layers(widths)
        self.centres = nn.Parameter(torch.zeros(levels, size, settings.latent))
        self.decoder = _layers(widths[::-1])
        self.register_buffer("bias", torch.zeros(levels, size))
        self.bias: Tensor

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Codes `[n, levels]`, the sum of their entries, and the two terms that draw both together.

        The terms are means over levels, items and coordinates: of the entries towards what they
        stand for, and of that towards the entries.
        """
        left, total = z, torch.zeros_like(z)
        codes = []
        towards_item, towards_code = z.new_zeros(()), z.new_zeros(())
        for centres, bias in zip(self.centres, self.bias, strict=True):
            code = nearest(left.detach(), centres.detach(), bias)
            entry = functional.embedding(code, centres)
            towards_item = towards_item + functional.mse_loss(entry, left.detach())
            towards_code = towards_code + functional.mse_loss(left, entry.detach())
            codes.append(code)
            total = total + entry
            # The residual passes gradients to the encoder alone: entries learn at their own level.
            left = left - entry.detach()
        levels = len(self.centres)
        return torch.stack(codes, 1), total, towards_item / levels, towards_code / levels

    @torch.no_grad()
    def codes(self, X: Tensor) -> tuple[Tensor, float]:
        """Codes of all items, int64 `[n, levels]`, and the mean squared error they leave."""
        codes, error = [], 0.0
        for part in torch.split(X, _ROWS):
            code, total, _, _ = self.quantise(self.encoder(part))
            codes.append(code)
            error += float(functional.mse_loss(self.decoder(total), part)) * len(part) / len(X)
        return torch.cat(codes), error


def nearest(left: Tensor, centres: Tensor, bias: Tensor) -> Tensor:
    """The entry of each row with the smallest squared distance plus bias, int64 `[n]`."""
    return torch.addmm(centres.square().sum(1) + bias, left, centres.T, alpha=-2).argmin(1)


def _layers(widths: tuple[int, ...]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for given, made in pairwise(widths):
        parts += [nn.Linear(given, made), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@dataclass
class _Training:
    """One training: its data, its state and its streams, which are named and so need no keeping."""

    settings: RqVaeSettings
    X: Tensor
    seed: int
    network: Network
    state: FitState
    lowest: float = math.inf
    checks: int = 0  # in a row that were not the lowest

    def rng(self, name: str) -> np.random.Generator:
        return generator(self.seed, f"rq-vae {name}")

    @property
    def done(self) -> int:
        """Epochs so far, those before there are codes included."""
        return len(self.state.curve)

    @property
    def over(self) -> bool:
        settings = self.settings
        return self.checks >= settings.patience or self.done >= settings.warmup + settings.epochs


def train(
    settings: RqVaeSettings,
    levels: int,
    size: int,
    X: np.ndarray,
    rng: np.random.Generator,
    progress: Progress | None = None,
    path: Path | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Trains on float32 `[m, d]`; returns weights by name, and the learning curve with notes."""
    training = _opened(settings, levels, size, X, int(rng.integers(2**63)))
    if path is not None and path.exists():
        training.state.load(path)
        for row in training.state.curve:
            _count(training, row)
    saved = time.monotonic()
    while not training.over:
        row = _epoch(training)
        training.state.curve.append(row)
        training.state.keep_if_best()
        _count(training, row)
        if progress is not None:
            progress({key: value for key, value in row.items() if key != "valid"})
        if path is not None and (training.over or time.monotonic() - saved >= _SAVE_EVERY):
            training.state.save(path)
            saved = time.monotonic()
    training.state.restore_best()
    return _tensors(training.network), _notes(training)


def _opened(settings: RqVaeSettings, levels: int, size: int, X: np.ndarray, seed: int) -> _Training:
    with torch_seeded(generator(seed, "rq-vae weights")):
        network = Network(X.shape[1], settings, levels, size)
    device = _device(settings.device)
    network.to(device)
    layers = [*network.encoder.parameters(), *network.decoder.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": layers, "weight_decay": settings.weight_decay},
            {"params": [network.centres], "weight_decay": 0.0},
        ],
        lr=settings.lr,
        fused=True,
    )
    identity = {
        "settings": settings.model_copy(update={"device": "auto"}).model_dump(mode="json"),
        "levels": levels,
        "size": size,
        "seed": seed,
        "vectors": hash_arrays(X),
    }
    state = FitState(network, optimizer, identity)
    return _Training(settings, torch.from_numpy(X).to(device), seed, network, state)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"there is no device {name!r} here",
            fix="set device to cpu, or to auto for whatever there is",
        )
    return device


def _epoch(training: _Training) -> dict[str, float]:
    """One pass over the items; the row of the learning curve that it makes."""
    began = time.perf_counter()
    settings, number = training.settings, training.done + 1
    coded = number > settings.warmup
    if number == settings.warmup + 1:
        _begin_codebooks(training)
    used = torch.zeros_like(training.network.bias, dtype=torch.int64)
    terms = _pass(training, number, used if coded else None)
    row = {"epoch": float(number), "loss": sum(terms), "reconstruction": terms[0]}
    if not math.isfinite(row["loss"]):
        raise UsageError(
            f"training of the RQ-VAE diverged: the loss of epoch {number} is {row['loss']}",
            where=f"lr={settings.lr:g}",
            fix="try a lower lr",
        )
    if coded:
        row["quantisation"] = terms[1]
        row["usage"] = float((used > 0).float().mean())
        row["again"] = float(_begin_again(training, used, number))
        since = number - settings.warmup
        if since % settings.check_every == 0 or since == settings.epochs:
            row |= _check(training)
    row["seconds"] = time.perf_counter() - began
    return row


def _pass(training: _Training, number: int, used: Tensor | None) -> tuple[float, float]:
    """Steps over all batches; the mean reconstruction and quantisation terms of the loss.

    Args:
        training: What is trained.
        number: Of the epoch.
        used: Counts of entries, added to; None while there are no codes.
    """
    network, optimizer, X = training.network, training.state.optimizer, training.X
    sums = torch.zeros(2, dtype=torch.float64, device=X.device)
    rng = training.rng(f"epoch {number}")
    for rows in shuffled(len(X), rng, training.settings.batch_size):
        x = X[torch.from_numpy(rows).to(X.device)]
        z = network.encoder(x)
        drawn = z.new_zeros(())
        if used is not None:
            codes, total, towards_item, towards_code = network.quantise(z)
            used.scatter_add_(1, codes.T, torch.ones_like(codes.T))
            drawn = towards_item + training.settings.beta * towards_code
            z = z + (total - z).detach()
        reconstruction = functional.mse_loss(network.decoder(z), x)
        optimizer.zero_grad(set_to_none=True)
        (reconstruction + drawn).backward()
        optimizer.step()
        # Summed on the device: reading it here would make every step wait for it.
        sums += torch.stack([reconstruction.detach(), drawn.detach()]).double() * len(rows)
    reconstruction_mean, drawn_mean = (sums / len(X)).tolist()
    return reconstruction_mean, drawn_mean


@torch.no_grad()
def _begin_codebooks(training: _Training) -> None:
    """Residual k-means on what the encoder makes of many items: a batch is too few for it.

    With 1,024 items in a batch and 256 entries a level, k-means on the first batch would rest on
    four items an entry.
    """
    network, rng = training.network, training.rng("codebooks")
    levels, size, _ = network.centres.shape
    n, most = len(training.X), _SAMPLE * size
    rows = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
    left = _encoded(training, rows).cpu().numpy()
    for level in range(levels):
        clusters = kmeans(left, size, rng, tolerance=1e-3)
        left = left - clusters.centres[clusters.nearest(left)]
        network.centres[level] = torch.from_numpy(clusters.centres)
        network.bias[level] = torch.from_numpy(clusters.bias)


@torch.no_grad()
def _begin_again(training: _Training, used: Tensor, number: int) -> int:
    """Puts entries that no item took where items are; how many there were.

    A level's entry moves to what is left, at that level, of an item drawn at random.
    """
    network = training.network
    dead = (used == 0) & torch.isfinite(network.bias)
    most = int(dead.sum(1).max())
    if most == 0:
        return 0
    rows = training.rng(f"again {number}").choice(len(training.X), most, replace=True)
    left = _encoded(training, rows)
    moments = training.state.optimizer.state[network.centres]
    for level in range(len(dead)):
        of_level = (
            left
            - network.centres[level][nearest(left, network.centres[level], network.bias[level])]
        )
        entries = dead[level].nonzero()[:, 0]
        network.centres[level, entries] = left[: len(entries)]
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name][level, entries] = 0
        left = of_level
    return int(dead.sum())


@torch.no_grad()
def _encoded(training: _Training, rows: np.ndarray) -> Tensor:
    chosen = torch.split(torch.from_numpy(rows).to(training.X.device), _ROWS)
    return torch.cat([training.network.encoder(training.X[part]) for part in chosen])


def _check(training: _Training) -> dict[str, float]:
    """Collisions and error over all items.

    The best epoch is that of the lowest sum of both: an item that cannot be told from another is
    worth as much as one of whose vector nothing is left.
    """
    codes, error = training.network.codes(training.X)
    paths = int(prefix_groups(codes.cpu().numpy())[:, -1].max()) + 1
    collisions = 1 - paths / len(codes)
    return {"collisions": collisions, "error": error, "valid": -collisions - error}


def _count(training: _Training, row: dict[str, float]) -> None:
    """Early stopping looks at collisions alone: the error could fall for ever."""
    if "collisions" not in row:
        return
    if row["collisions"] < training.lowest:
        training.lowest, training.checks = row["collisions"], 0
    else:
        training.checks += 1


def _tensors(network: Network) -> dict[str, np.ndarray]:
    out = {"centres": network.centres, "bias": network.bias}
    for name, layers in (("encoder", network.encoder), ("decoder", network.decoder)):
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        out |= {f"{name}.weight.{i}": layer.weight for i, layer in enumerate(linear)}
        out |= {f"{name}.bias.{i}": layer.bias for i, layer in enumerate(linear)}
    return {key: value.detach().cpu().numpy().copy() for key, value in out.items()}


def _notes(training: _Training) -> dict[str, Any]:
    best = training.state.best_row
    curve = [{k: v for k, v in row.items() if k != "valid"} for row in training.state.curve]
    return {
        "curve": curve,
        "device": str(training.X.device),
        "best_epoch": None if best is None else int(best["epoch"]),
        "stopped_early": training.checks >= training.settings.patience,
    }
