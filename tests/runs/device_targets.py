"""What processes that share a run are told to do where one of them dies; no tests here."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tastebench.runs.job import Job, Surroundings
from tastebench.runs.worker import do_run
from tastebench.training.fit import FabricTrainer

EPOCH = 3


def die(argument: tuple[Job, int, Path], around: Surroundings) -> None:
    """Does the run; the process of a rank kills itself when its third epoch begins."""
    job, rank, folder = argument
    (folder / f"pid-{job.seat.rank}").write_text(str(os.getpid()))
    epoch = FabricTrainer._epoch

    def deadly(self: FabricTrainer, fabric: Any, state: Any, *others: Any) -> None:
        self.save_every = 0.0
        if job.seat.rank == rank and len(state.curve) == EPOCH - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        epoch(self, fabric, state, *others)

    FabricTrainer._epoch = deadly  # type: ignore[method-assign]
    do_run(job, around)
