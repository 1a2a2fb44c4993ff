"""The fit loop: epochs, validation, early stopping, exact resume.

Lightning Fabric supplies device and precision; the loop is ours because its state must be readable
without pickle and repeatable to the bit. An epoch's random streams are named after the epoch, so a
fit that was interrupted after epoch 3 goes on with epoch 4 as if nothing had happened.

Several processes can share a fit (`tastebench.training.team`): each goes through this loop and
computes some of the batches of every step, and the first one alone validates and writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
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
from tastebench.training.step import Step
from tastebench.training.team import ALONE, Team

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
        team: Who shares the fits. All of it fits the same things in the same order.
        fitted: The modules it trained, in order.
    """

    seed: int
    directory: Path | None = None
    validate: Callable[[], float] | None = None
    progress: Callable[[dict[str, float]], None] | None = None
    save_every: float = 5.0
    team: Team = ALONE
    fitted: list[nn.Module] = field(default_factory=list, init=False, repr=False)
    _fits: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.validate is not None:
            self.validate = self.team.once(self.validate)

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
            UsageError: The loss is no longer finite, kept state was made with other settings, or
                there are not as many devices as processes.
            ProtocolError: The validation metric is undefined.
            DataError: Kept state is damaged.
        """
        self._fits += 1
        fabric = open_fabric(settings, self.team)
        fabric.to_device(module)
        state = FitState(module, adam(module, settings), self._identity(settings))
        path = self.directory / f"fit-{self._fits}.safetensors" if self.directory else None
        self._go_on(state, path)
        saved = time.monotonic()
        while not _over(state, settings):
            self._epoch(fabric, state, batches, loss, settings)
            over = _over(state, settings)
            due = over or time.monotonic() - saved >= self.save_every
            if path is not None and due and self.team.leads:
                with self.team.in_step():
                    state.save(path)
                saved = time.monotonic()
        state.restore_best()
        module.eval()
        self.fitted.append(module)
        return _report(state, settings, self.team)

    def _go_on(self, state: FitState, path: Path | None) -> None:
        """Takes up what an earlier life left, if it did: all processes or none."""
        if path is None or not self.team.agree(path.exists()):
            return
        state.load(path)
        # The first might be over, and what it read gone, before another has read it.
        self.team.agree(0.0)

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
        step = Step(state.module, state.optimizer, self.team, settings.accumulate)
        stream = partial(self._stream, name, settings.accumulate)
        with self.team.in_step(), torch_seeded(self.rng(f"{name} torch")):
            every = batches(self.rng(f"{name} batches"))
            total, n = _train(fabric, step, every, loss, settings.accumulate, stream)
        mean = _mean(total, n, self.team)
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

    def _stream(self, name: str, accumulate: int, batch: int) -> AbstractContextManager[None]:
        """Where a batch draws from: the same whoever computes it.

        Where a step has one batch, one stream goes through the epoch.
        """
        if accumulate == 1:
            return nullcontext()
        return torch_seeded(self.rng(f"{name} batch {batch} torch"))


def open_fabric(settings: TrainSettings, team: Team = ALONE) -> Fabric:
    """The device and precision that `settings` ask for; in a team each process has a device.

    Raises:
        UsageError: There is no such device here, or not one for each process.
    """
    kind, _, index = settings.device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if index and team.size > 1:
        raise UsageError(
            f"{settings.device} is one device, and {team.size} are to share the run",
            fix="set device to cuda, or leave --devices out",
        )
    there = torch.cuda.device_count()
    if kind == "cuda" and team.size > max(there, 1):
        raise UsageError(
            f"{team.size} devices are to share the run, and this machine has {there}",
            fix=f"--devices {there}, or set device to cpu",
        )
    if kind == "cuda" and int(index or 0) >= there:
        raise UsageError(
            f"there is no device {settings.device!r} here",
            fix="set device to cpu, or to auto for whatever there is",
        )
    # Handing Fabric the plugin rather than its name keeps it from announcing the precision.
    precision = MixedPrecision("bf16-mixed", kind) if settings.precision == "bf16" else Precision()
    if team.size > 1:
        return team.fabric(kind, precision)
    return Fabric(accelerator=kind, devices=[int(index)] if index else 1, plugins=[precision])


def _train(
    fabric: Fabric,
    step: Step,
    batches: Iterable[Any],
    loss: Loss,
    accumulate: int,
    stream: Callable[[int], AbstractContextManager[None]],
) -> tuple[Tensor, int]:
    """One pass over the batches; the sum of the losses computed here, and how many there are.

    All batches are made in every process, because they are drawn from one stream: that costs little
    beside computing them.
    """
    total, n = torch.zeros((), dtype=torch.float64, device=fabric.device), 0
    for batch in batches:
        place = n % accumulate
        if place == 0:
            step.begin()
        n += 1
        if step.team.computes(place):
            with stream(n):
                with fabric.autocast():
                    value = loss(batch)
                fabric.backward(value)
            step.computed()
            # Summed on the device: reading it here would make every step wait for it.
            total += value.detach()
        if place == accumulate - 1:
            step.take(accumulate)
    if n % accumulate:
        step.take(n % accumulate)
    return total, n


def _mean(total: Tensor, n: int, team: Team) -> float:
    """The mean loss of an epoch's batches, of which this process computed some."""
    if n == 0:
        raise UsageError(
            "there is nothing to train on: the training part holds no targets",
            fix="check the split and the filters (a sequence needs two items to teach anything)",
        )
    team.sum([total])
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


def _report(state: FitState, settings: TrainSettings, team: Team) -> FitReport:
    best = state.best_row
    notes = [] if best else ["no validation part: trained for all epochs, kept the last"]
    if best and not _stopped(state, settings):
        notes.append(f"the budget of {settings.epochs} epochs ended before early stopping did")
    if team.size > 1:
        notes.append(f"steps of {settings.accumulate} batches, shared by {team.size} devices")
    return FitReport(
        parameters=sum(p.numel() for p in state.module.parameters() if p.requires_grad),
        seconds=sum(row["seconds"] for row in state.curve),
        curve=tuple(state.curve),
        best_epoch=int(best["epoch"]) if best else len(state.curve),
        converged=_stopped(state, settings),
        notes=tuple(notes),
    )
