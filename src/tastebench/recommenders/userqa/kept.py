"""Trained user encoders, kept for the runs that need the same: five adapters, one training.

An encoder is found again by everything that its numbers depend on: the network and its weights as
they were drawn, what it reads of items, the histories it learns from and is chosen by, settings,
seed, threads, device and the version of PyTorch. So nobody can be given one that has read other
users: it is another one.

    artefacts/user-encoders/<hash>/encoder.safetensors    the weights, at their best epoch
    artefacts/user-encoders/<hash>/about.json             what they depend on, and how training went

One process trains at a time, others wait for it; what was damaged is made again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file

from tastebench import files
from tastebench.alone import alone
from tastebench.contracts import FitReport, Trainer
from tastebench.ragged import Ragged
from tastebench.recommenders.userqa.encoders import EncoderSettings
from tastebench.recommenders.userqa.item_features import Bags
from tastebench.recommenders.userqa.pretrain import pretrain
from tastebench.recommenders.userqa.pretrain_settings import PretrainSettings
from tastebench.recommenders.userqa.user_network import UserNetwork
from tastebench.training.fit import open_fabric

VERSION = 1
"""Raised when the same settings come to give other weights."""

_WEIGHTS, _ABOUT = "encoder.safetensors", "about.json"


class About(BaseModel):
    """What lies beside the weights.

    Attributes:
        identity: What they depend on; arrays by their hashes.
        users, events: Whose histories were learned from, and how many events these are.
        sha256: Of the file of weights.
        parameters, seconds, curve, best_epoch, converged, notes: As `FitReport` has them.
        created: UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: dict[str, Any]
    users: int
    events: int
    sha256: str
    parameters: int
    seconds: float
    curve: tuple[dict[str, float], ...]
    best_epoch: int | None
    converged: bool | None
    notes: tuple[str, ...]
    tastebench: str
    created: str


def pretrained(
    network: UserNetwork,
    encoder: EncoderSettings,
    bags: Bags,
    settings: PretrainSettings,
    train: Ragged,
    valid: Ragged,
    length: int,
    trainer: Trainer,
) -> FitReport:
    """Trains the encoder in place, or takes its weights from an earlier training of the same.

    Args:
        network: As it was drawn; frozen afterwards, in eval mode.
        encoder: Its shape.
        bags: What it reads of items.
        settings: Of the training.
        train: Histories to learn from, oldest item first.
        valid: Histories whose last item is held out to choose by.
        length: Items of a history at most.
        trainer: Of the run.

    Returns:
        How training went, whoever did it: its seconds are those that it took then.
    """
    if settings.by == "none":
        return pretrain(network, settings, train, valid, length, trainer)
    identity = {
        "version": VERSION,
        "encoder": encoder.model_dump(mode="json"),
        "drawn": _hash_weights(network),
        "items": _hash_bags(bags),
        "settings": settings.model_dump(mode="json"),
        "train": files.hash_arrays(train.values, train.offsets),
        "valid": files.hash_arrays(valid.values, valid.offsets),
        "length": length,
        "seed": trainer.seed,
        # Sums in another order are other numbers.
        "threads": torch.get_num_threads(),
        "device": open_fabric(settings).device.type,
        "torch": torch.__version__,
    }
    folder = encoders_folder() / files.hash_json(identity, 32)
    with alone(folder.with_name(f".{folder.name}.lock"), lambda: None):
        report, damaged = _kept(folder, identity, network, settings)
        if report is not None:
            return report
        report = pretrain(network, settings, train, valid, length, trainer)
        _save(folder, identity, network, report, train)
    if damaged:
        said = "user encoder: a kept one was damaged, and was trained again"
        report = replace(report, notes=(*report.notes, said))
    return report


def encoders_folder() -> Path:
    """Where trained user encoders are kept, a folder each."""
    return files.home() / "artefacts" / "user-encoders"


def _kept(
    folder: Path, identity: dict[str, Any], network: UserNetwork, settings: PretrainSettings
) -> tuple[FitReport | None, bool]:
    """The report of what is kept, its weights put into the network; and whether it was damaged."""
    if not folder.is_dir():
        return None, False
    try:
        about = About.model_validate(files.read_json(folder / _ABOUT))
        sound = about.identity == identity and about.sha256 == files.hash_file(folder / _WEIGHTS)
    except (FileNotFoundError, ValueError):  # a broken model is a ValueError
        sound = False
    if not sound:
        return None, True
    network.load_state_dict(load_file(folder / _WEIGHTS))
    open_fabric(settings).to_device(network)
    network.requires_grad_(False).eval()
    report = FitReport(
        parameters=about.parameters,
        seconds=about.seconds,
        curve=about.curve,
        best_epoch=about.best_epoch,
        converged=about.converged,
        notes=(*about.notes, f"user encoder: trained by an earlier run, in {about.seconds:,.1f} s"),
    )
    return report, False


def _save(
    folder: Path, identity: dict[str, Any], network: UserNetwork, report: FitReport, train: Ragged
) -> None:
    from tastebench import __version__

    with files.atomic_folder(folder) as temporary:
        weights = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
        save_file(weights, temporary / _WEIGHTS)
        about = About(
            identity=identity,
            users=len(train),
            events=len(train.values),
            sha256=files.hash_file(temporary / _WEIGHTS),
            parameters=report.parameters,
            seconds=report.seconds,
            curve=report.curve,
            best_epoch=report.best_epoch,
            converged=report.converged,
            notes=report.notes,
            tastebench=__version__,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        files.write_json(temporary / _ABOUT, about.model_dump(mode="json"))


def _hash_weights(network: UserNetwork) -> str:
    state = network.state_dict()
    arrays = [tensor.detach().cpu().numpy() for tensor in state.values()]
    return files.hash_json([list(state), files.hash_arrays(*arrays)])


def _hash_bags(bags: Bags) -> str:
    texts: Sequence[np.ndarray] = [a for text in bags.text for a in (text.values, text.offsets)]
    plain = [bags.n, bags.has_id, list(bags.sizes), bags.vocabulary]
    return files.hash_json([plain, files.hash_arrays(bags.side, *texts)])
