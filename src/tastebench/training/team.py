"""Processes that train one model together, each on a device of its own.

A fit is shared by its steps: a step has `TrainSettings.accumulate` batches, the processes compute
every `size`-th of them, and all take the same step by the sum of their gradients. So all hold the
same weights at all times, and what comes of a run depends on how many batches a step has and not on
how many processes share it, but for the order in which gradients are added.

The processes do the same things in the same order. Only numbers travel, through tensors, so nothing
of another process is ever unpickled. On CUDA they go by NCCL and on the CPU by gloo.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.precision import Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed
from typing_extensions import override

from tastebench.errors import UsageError
from tastebench.training.seat import LostTeamError, Seat

PATIENCE = timedelta(days=7)
"""How long one waits for another. Long: the first validates while the others wait, and one that is
gone is noticed by whoever started them, and by its closed connections."""

_POLL_SECONDS = 0.02


@dataclass(eq=False)
class Team:
    """The processes that share a fit, seen from one of them.

    Attributes:
        rank: Which one this is; 0 validates, writes and decides.
        size: How many there are.
        out_of_step: Something failed here while the others went on: they cannot be told any more.
    """

    rank: int = 0
    size: int = 1
    out_of_step: bool = field(default=False, init=False)

    @property
    def leads(self) -> bool:
        """Whether this process decides."""
        return self.rank == 0

    def computes(self, place: int) -> bool:
        """Whether the batch at this place of a step is this process's."""
        return place % self.size == self.rank

    def agree(self, number: float) -> float:
        """What the first process says, in all of them."""
        if self.size == 1:
            return number
        said = torch.tensor([number], dtype=torch.float64)
        with self._together():
            distributed.broadcast(said, src=0)
        return said.item()

    def once(self, ask: Callable[[], float]) -> Callable[[], float]:
        """`ask`, called in the first process alone; all get its answer.

        Raises:
            UsageError: In the others, where the first one got an error, which it raises itself.
        """
        if self.size == 1:
            return ask

        def shared() -> float:
            if not self.leads:
                if self.agree(0.0):
                    raise UsageError("the process that validates got an error")
                return self.agree(0.0)
            try:
                number = ask()
            except BaseException:
                self.agree(1.0)
                raise
            self.agree(0.0)
            return self.agree(number)

        return shared

    def greatest(self, numbers: Sequence[int]) -> list[int]:
        """The greatest that any process has, at every place."""
        held = torch.tensor(numbers, dtype=torch.int64)
        if self.size > 1:
            with self._together():
                distributed.all_reduce(held, distributed.ReduceOp.MAX)
        return held.tolist()

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Adds up over all processes, in place; by one message for each kind of number.

        Fabric's own `all_reduce` lets all processes meet before every message, on CUDA after
        emptying the queue of the device; here only the messages have to come in order.
        """
        if self.size == 1:
            return
        kinds = dict.fromkeys(tensor.dtype for tensor in tensors)
        for kind in kinds:
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = torch.cat([tensor.flatten() for tensor in alike])
            with self._together():
                distributed.all_reduce(flat)
            parts = torch.split(flat, [tensor.numel() for tensor in alike])
            for tensor, part in zip(alike, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def joined(self, rows: Tensor) -> Tensor:
        """The rows of all processes, `[n_of_this_one, ...]` each, in the order of the ranks."""
        if self.size == 1:
            return rows
        counts = self.greatest([len(rows) if self.computes(r) else 0 for r in range(self.size)])
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in counts]
        with self._together():
            distributed.all_gather(found, padded)
        return torch.cat([part[:n] for part, n in zip(found, counts, strict=True)])

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """What is done inside has to succeed in every process or in none.

        An error that leaves it is this process's own: the others wait for it, so nothing can be
        done together any more.
        """
        try:
            yield
        except BaseException:
            self.out_of_step = self.size > 1
            raise

    @contextmanager
    def _together(self) -> Iterator[None]:
        if self.out_of_step:
            raise LostTeamError("a process of this run failed while others went on")
        try:
            yield
        except RuntimeError as error:  # what torch raises of a closed connection
            self.out_of_step = True
            raise LostTeamError(f"another process of this run is gone: {error}") from error

    def fabric(self, kind: str, precision: Precision) -> Fabric:
        """Fabric over the devices of all processes; this one's is that of its rank."""
        strategy = DDPStrategy(cluster_environment=_Seated(self.rank))
        fabric = Fabric(accelerator=kind, devices=self.size, strategy=strategy, plugins=[precision])
        threads = torch.get_num_threads()
        fabric.launch()
        torch.set_num_threads(threads)  # it may set them, and they are the run's to say
        return fabric


class _Seated(LightningEnvironment):
    """Processes that are there already, on one machine, and have a process group."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    @property
    @override
    def creates_processes_externally(self) -> bool:
        return True

    @override
    def local_rank(self) -> int:
        return self._rank


ALONE = Team()
"""One process and nobody else."""


@contextmanager
def joining(seat: Seat) -> Iterator[Team]:
    """The team of a seat, from when all of it is there until the block ends.

    The others wait for the first process, which may have to wait itself before it begins.
    """
    if seat.size == 1:
        yield Team()
        return
    assert seat.meeting is not None
    if seat.rank == 0:
        seat.meeting.parent.mkdir(parents=True, exist_ok=True)
        seat.meeting.touch()
    while not seat.meeting.exists():
        time.sleep(_POLL_SECONDS)
    if sys.platform != "win32":  # what they say stays on the machine
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    backend = "gloo"
    if torch.cuda.is_available() and torch.cuda.device_count() >= seat.size:
        # Language models are put on "cuda" by their readers, which is the current device.
        torch.cuda.set_device(seat.rank)
        backend = "cpu:gloo,cuda:nccl"
    store = distributed.FileStore(str(seat.meeting), seat.size)  # type: ignore[attr-defined]
    distributed.init_process_group(
        backend, store=store, rank=seat.rank, world_size=seat.size, timeout=PATIENCE
    )
    try:
        yield Team(seat.rank, seat.size)
    finally:
        distributed.destroy_process_group()
