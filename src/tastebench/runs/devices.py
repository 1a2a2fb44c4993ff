"""Several devices of one machine for the training of a run: who shares it, in which processes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace

from tastebench.contracts import RecommenderCard
from tastebench.errors import UsageError, counted
from tastebench.runs.expand import Run
from tastebench.runs.hyperparameters import combinations
from tastebench.runs.job import Job
from tastebench.training.seat import seats
from tastebench.training.settings import TrainSettings


def check(devices: int, on: str | None) -> None:
    """Makes sure that devices and a cluster are not both asked for.

    Raises:
        UsageError: They are.
    """
    if devices < 1:
        raise UsageError(f"{devices} devices cannot train anything", fix="--devices 1, or more")
    if devices > 1 and on is not None:
        raise UsageError(
            f"--devices {devices} shares a run among the devices of this machine, and --on {on} "
            "does runs on others",
            fix="leave one of them out; a cluster does as many runs at a time as it has devices",
        )


def share(run: Run, card: RecommenderCard, devices: int) -> int:
    """How many devices share the training of a run: as many as its steps have batches, at most.

    Raises:
        UsageError: Its hyper-parameters name one device of several.
    """
    if devices == 1 or not issubclass(card.config, TrainSettings):
        return 1
    # Once searched, a winner may be any setting of the grid.
    settings = [{**run.spec.params, **setting} for setting in combinations(run.spec.grid)]
    defaults = card.config.model_fields
    batches = max(one.get("accumulate", defaults["accumulate"].default) for one in settings)
    if batches == 1:
        return 1
    for setting in settings:
        device = setting.get("device", defaults["device"].default)
        if ":" in device:
            raise UsageError(
                f"{card.name} is to train on {device} alone, and to share {devices} devices",
                where=f"device of {card.name}",
                fix="set device to cuda, or leave --devices out",
            )
    return int(min(devices, batches))


def seated(job: Job, size: int) -> tuple[Job, ...]:
    """The job for each of the processes that share its training, the one that does it first."""
    if size == 1:
        return (job,)
    meeting = job.work / f"meeting-{uuid.uuid4().hex}"
    return tuple(replace(job, seat=seat) for seat in seats(size, meeting))


def unshared(shares: Iterable[int], devices: int) -> str | None:
    """What to tell of the runs that do not share their training though devices are there."""
    if devices == 1:
        return None
    alone = sum(size == 1 for size in shares)
    if not alone:
        return None
    are = "is" if alone == 1 else "are"
    return (
        f"{counted(alone, 'run')} {are} not shared by devices: only what trains with accumulate of "
        "2 or more is"
    )
