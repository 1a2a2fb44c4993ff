"""The fit loop: epochs, validation, early stopping, exact resume.

Lightning Fabric supplies device and precision; the loop is ours because its state must be readable
without pickle and repeatable to the bit. An epoch's random streams are named after the epoch, so a
fit that was interrupted after epoch 3 goes on with epoch 4 as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from torch import Tensor, nn

from tastebench.contracts import FitReport
from tastebench.errors import ProtocolError, UsageError
from tastebench.training.adam import adam
from tastebench.training.seeds import generator, torch_seeded
from tastebench.training.settings import TrainSettings
from tastebench.training.state import FitState

Batches = Callable[[np.random.Generator], Iterable[Any]]
Loss = Callable[[Any], Tensor]


@dataclass
class FabricTrainer:
    """What a run lends a recommender to train with; implements `contracts.Trainer`.

    Attributes:
        seed: The run's seed; all randomness of a fit comes from it.
        directory: Where state is kept for resume; None keeps none. The n-th fit of a trainer keeps
            its own in `fit-<n>.safetensors`.
        validate: The number to stop early on, higher is better; None trains for all epochs.
        progress: Told each row of the learning curve as it is made.
        save_every: Seconds between writes of the state while training; what an interruption costs
            at most, beside the epoch it falls into. It changes no number.
        fitted: The modules it trained, in order.
    """

    seed: int
    directory: Path | None = None
    validate: Callable[[], float] | None = None
    progress: Callable[[dict[str, float]], None] | None = None
    save_every: float = 5.0
    fitted: list[nn.Module] = field(default_factory=list, init=False, repr=False)
    _fits: int = field(default=0, init=False, repr=False)

    def rng(self, name: str) -> np.random.Generator:
        """The generator called `name`: a child of the run's seed, the same at every call."""
        return generator(self.seed, name)

    def fit(
        self, module: nn.Module, settings: TrainSettings, batches: Batches, loss: Loss
    ) -> FitReport:
        """Trains `module` in place and leaves it at its best validated state, in eval mode.

        After every epoch, or every `settings.validate_every`-th and the last, the model is
        validated; a strictly higher number makes the epoch the best, and `settings.patience` epochs
        in a row without one end the fit. Without validation the model trains for all epochs and
        stays as the last one left it.

        Args:
            module: What is trained; its state dict is what is kept.
            settings: Learning rate, epochs, patience, precision, ...
            batches: One epoch of batches, given that epoch's generator.
            loss: Mean loss of one batch, on the module's device.

        Raises:
            UsageError: The loss is no longer finite, or kept state was made with other settings.
            ProtocolError: The validation metric is undefined.
            DataError: Kept state is damaged.
        """
        self._fits += 1
        fabric = open_fabric(settings)
        fabric.to_device(module)
        state = FitState(module, adam(module, settings), self._identity(settings))
        path = self.directory / f"fit-{self._fits}.safetensors" if self.directory else None
        if path is not None and path.exists():
            state.load(path)
        saved = time.monotonic()
        while not _over(state, settings):
            self._epoch(fabric, state, batches, loss, settings)
            over = _over(state, settings)
            if path is not None and (over or time.monotonic() - saved >= self.save_every):
                state.save(path)
                saved = time.monotonic()
        state.restore_best()
        module.eval()
        self.fitted.append(module)
        return _report(state, settings)

    def _identity(self, settings: TrainSettings) -> dict[str, Any]:
        return {"seed": self.seed, "settings": settings.model_dump(mode="json")}

    def _epoch(
        self,
        fabric: Fabric,
        state: FitState,
        batches: Batches,
        loss: Loss,
        settings: TrainSettings,
    ) -> None:
        """One pass over the data and, where it is due, its validation; adds a row to the curve."""
        began = time.perf_counter()
        epoch = len(state.curve) + 1
        name = f"fit {self._fits} epoch {epoch}"
        state.module.train()
        with torch_seeded(self.rng(f"{name} torch")):
            mean = _train(fabric, state, batches(self.rng(f"{name} batches")), loss)
        state.module.eval()
        if not math.isfinite(mean):
            raise UsageError(
                f"training diverged: the loss of epoch {epoch} is {mean}",
                where=f"lr={state.optimizer.param_groups[-1]['lr']:g}",
                fix="try a lower lr",
            )
        row: dict[str, float] = {"epoch": epoch, "loss": mean}
        due = epoch % settings.validate_every == 0 or epoch == settings.epochs
        if self.validate is not None and due:
            row["valid"] = _validated(self.validate, epoch)
        row["seconds"] = time.perf_counter() - began
        state.curve.append(row)
        state.keep_if_best()
        if self.progress is not None:
            self.progress(dict(row))


def open_fabric(settings: TrainSettings) -> Fabric:
    """The device and precision that `settings` ask for, on one device.

    Raises:
        UsageError: There is no such device here.
    """
    kind, _, index = settings.device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"there is no device {settings.device!r} here",
            fix="set device to cpu, or to auto for whatever there is",
        )
    # Handing Fabric the plugin rather than its name keeps it from announcing the precision.
    precision = MixedPrecision("bf16-mixed", kind) if settings.precision == "bf16" else Precision()
    return Fabric(accelerator=kind, devices=[int(index)] if index else 1, plugins=[precision])


def _train(fabric: Fabric, state: FitState, batches: Iterable[Any], loss: Loss) -> float:
    """One pass over the batches; the mean of their losses."""
    total, n = torch.zeros((), dtype=torch.float64, device=fabric.device), 0
    for batch in batches:
        state.optimizer.zero_grad(set_to_none=True)
        with fabric.autocast():
            value = loss(batch)
        fabric.backward(value)
        state.optimizer.step()
        # Summed on the device: reading it here would make every step wait for it.
        total += value.detach()
        n += 1
    if n == 0:
        raise UsageError(
            "there is nothing to train on: the training part holds no targets",
            fix="check the split and the filters (a sequence needs two items to teach anything)",
        )
    return total.item() / n


def _validated(validate: Callable[[], float], epoch: int) -> float:
    with torch.no_grad():
        value = float(validate())
    if math.isnan(value):
        raise ProtocolError(
            f"the validation metric is undefined after epoch {epoch}",
            fix="check that the validation part holds targets that the metric can score",
        )
    return value


def _over(state: FitState, settings: TrainSettings) -> bool:
    return len(state.curve) >= settings.epochs or _stopped(state, settings)


def _stopped(state: FitState, settings: TrainSettings) -> bool:
    """Whether early stopping has ended it: never without having looked at the last epoch."""
    best = state.best_row
    if best is None or "valid" not in state.curve[-1]:
        return False
    return len(state.curve) - best["epoch"] >= settings.patience


def _report(state: FitState, settings: TrainSettings) -> FitReport:
    best = state.best_row
    notes = [] if best else ["no validation part: trained for all epochs, kept the last"]
    if best and not _stopped(state, settings):
        notes.append(f"the budget of {settings.epochs} epochs ended before early stopping did")
    return FitReport(
        parameters=sum(p.numel() for p in state.module.parameters() if p.requires_grad),
        seconds=sum(row["seconds"] for row in state.curve),
        curve=tuple(state.curve),
        best_epoch=int(best["epoch"]) if best else len(state.curve),
        converged=_stopped(state, settings),
        notes=tuple(notes),
    )
