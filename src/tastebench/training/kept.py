"""Trained models that stay after a run: one safetensors file, and a trainer that restores from it.

A recommender hands its module to a trainer and gets it back trained. Whoever lends it a trainer
that holds the trained state, and trains nothing, therefore gets the recommender back as it was at
the end of its run, whatever recommender it is: what it counts or looks up is made again of the
data, what it learnt is restored. Nothing is pickled: a file from elsewhere cannot run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tastebench.contracts import FitReport
from tastebench.errors import DataError, UsageError
from tastebench.files import atomic_file, canonical_json, parse_json
from tastebench.training.fit import open_fabric
from tastebench.training.seeds import generator
from tastebench.training.settings import TrainSettings

MODEL = "model.safetensors"
"""Its name in a record's folder."""

_VERSION = 1
_STATE, _DATA = "state", "data"


@dataclass(frozen=True, eq=False)
class KeptModel:
    """What fits left behind.

    Attributes:
        path: Where it was read from, for messages.
        about: What was said of it when it was kept, JSON values.
        states: The state dict of each fitted module, in the order of the fits.
        data: Each module's buffers that are no part of its state, e.g. adapted item vectors. They
            come with the items, and are kept so that the model meets the very numbers that it was
            trained on: made again on another machine they may differ in the last digits.
    """

    path: Path
    about: Mapping[str, Any]
    states: tuple[dict[str, Tensor], ...]
    data: tuple[dict[str, Tensor], ...]


def keep(modules: Sequence[nn.Module], path: Path, about: Mapping[str, Any]) -> None:
    """Writes trained modules, atomically.

    Args:
        modules: As their fits left them, in order.
        path: The file.
        about: What to say of them, JSON values.
    """
    tensors = {}
    for place, module in enumerate(modules):
        for name, tensor in module.state_dict().items():
            tensors[f"{_STATE}-{place}.{name}"] = _copied(tensor)
        for name, tensor in _data_of(module).items():
            tensors[f"{_DATA}-{place}.{name}"] = _copied(tensor)
    header = canonical_json({"version": _VERSION, "modules": len(modules), "about": dict(about)})
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={"kept": header})


def read_kept(path: Path) -> KeptModel:
    """Reads what `keep` wrote.

    Raises:
        DataError: It is missing, damaged, no kept model, or from a newer Tastebench.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {})["kept"])
            version, n, about = header["version"], int(header["modules"]), dict(header["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the kept model cannot be read: {error}", where=str(path)) from error
    if version != _VERSION:
        raise DataError(
            f"a kept model of format {version}; this Tastebench reads {_VERSION}",
            where=str(path),
            fix="upgrade tastebench",
        )
    states, data = (
        tuple(_beginning(tensors, f"{kind}-{place}.") for place in range(n))
        for kind in (_STATE, _DATA)
    )
    return KeptModel(path, about, states, data)


@dataclass
class RestoringTrainer:
    """Lends a recommender what an earlier fit learnt; implements `contracts.Trainer`.

    Attributes:
        seed: The run's seed.
        kept: What the fits of the run left; None where nothing was kept.
        missing: Makes the error for a recommender that learns and of which nothing was kept.
        validate: As in the run: what else a recommender chooses, it chooses again.
        device: Where the model is to work; None takes what it was trained on, or the CPU where
            that is not here.
        grown: Rows that tables of items had, where items were added since; None for none added.
    """

    seed: int
    kept: KeptModel | None
    missing: Callable[[], DataError]
    validate: Callable[[], float] | None = None
    device: str | None = None
    grown: int | None = None
    directory: None = field(default=None, init=False)
    _fits: int = field(default=0, init=False, repr=False)

    def rng(self, name: str) -> np.random.Generator:
        """The generator called `name`, as in the run."""
        return generator(self.seed, name)

    def fit(self, module: nn.Module, settings: TrainSettings, batches: Any, loss: Any) -> FitReport:
        """Puts the trained state into `module` and leaves it in eval mode; trains nothing.

        Raises:
            DataError: Nothing was kept, or what was kept belongs to another model.
            UsageError: The model learnt something for each item, and there are new ones.
        """
        if self.kept is None:
            raise self.missing()
        place, self._fits = self._fits, self._fits + 1
        if place >= len(self.kept.states):
            raise self._other(f"it holds {len(self.kept.states)} fits, and one more is asked for")
        self._check_shapes(module, self.kept.states[place])
        try:
            module.load_state_dict(self.kept.states[place])
        except RuntimeError as error:
            raise self._other(" ".join(str(error).split())) from error
        self._restore_data(module, self.kept.data[place])
        open_fabric(self._there(settings)).to_device(module)
        module.eval()
        parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
        return FitReport(parameters=parameters, seconds=0.0)

    def _there(self, settings: TrainSettings) -> TrainSettings:
        device = self.device or settings.device
        if self.device is None and device.startswith("cuda") and not torch.cuda.is_available():
            device = "cpu"
        return settings.model_copy(update={"device": device})

    def _check_shapes(self, module: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Says in words what a table with a row an item means for items that came later."""
        if self.grown is None:
            return
        for name, tensor in module.state_dict().items():
            kept = state.get(name)
            if kept is not None and kept.shape != tensor.shape:
                raise UsageError(
                    f"this model cannot take new items: with them its {name} would be "
                    f"{list(tensor.shape)}, and it learnt {list(kept.shape)}",
                    fix="a model whose items are their text or vectors alone can",
                )

    def _restore_data(self, module: nn.Module, data: Mapping[str, Tensor]) -> None:
        """Real numbers are put back; whole ones come exactly from the data, or it is other data."""
        there = _data_of(module)
        if set(there) != set(data):
            raise self._other(f"it holds {sorted(data)}, and the model here has {sorted(there)}")
        for name, buffer in there.items():
            kept = data[name]
            part = buffer
            if self.grown is not None and len(kept) < len(buffer):
                part = buffer[: len(kept)]
            if part.shape != kept.shape or part.dtype != kept.dtype:
                raise self._other(
                    f"its {name} is {list(kept.shape)}, and of this data {list(part.shape)}"
                )
            if kept.is_floating_point():
                part.copy_(kept)
            elif not torch.equal(part.cpu(), kept):
                raise self._other(f"its {name} is not what this data gives")

    def _other(self, why: str) -> DataError:
        assert self.kept is not None
        return DataError(
            f"the kept model is not of this run: {why}",
            where=str(self.kept.path),
            fix="load it with the data and the version of Tastebench that the record names",
        )


def _data_of(module: nn.Module) -> dict[str, Tensor]:
    """Dense buffers that come with the items and are no part of the state."""
    state = module.state_dict()
    named = dict(module.named_buffers())
    return {name: t for name, t in named.items() if name not in state and not t.is_sparse}


def _copied(tensor: Tensor) -> Tensor:
    # A copy of each: tied weights share memory, which the file format refuses.
    return tensor.detach().cpu().contiguous().clone()


def _beginning(tensors: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
