"""Job: a run with everything its process needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tastebench.runs import store
from tastebench.runs.energy import Meter
from tastebench.runs.expand import Run
from tastebench.training.seat import Seat


@dataclass(frozen=True, eq=False)
class Job:
    """A run and where things are; plain values, so that it can travel to another process.

    Attributes:
        dataset: What `load_dataset` takes: a name, or the path of a folder.
        winner: Folder of the run whose tuned hyper-parameters this one reuses.
        vectors: File that the encode step left; None where nothing is encoded.
        codes: File that the codes step left; None where no codes are read.
        latency_seconds: Time limit of the latency measurement, half of it for what is cached and
            half for what is cold; 0 measures none.
        preliminary: The plan's budget is a reduced one.
        isolated: The run has a process of its own.
        meter: Whether and how energy is measured.
        keep_models: What is trained stays beside the record.
        seat: Which of the processes that share its training does it.
    """

    run: Run
    suite: str
    row_by: str
    out: Path
    dataset: str
    latency_seconds: float
    winner: Path | None = None
    vectors: Path | None = None
    codes: Path | None = None
    preliminary: bool = False
    isolated: bool = True
    meter: Meter = field(default_factory=Meter)
    keep_models: bool = False
    seat: Seat = field(default_factory=Seat)

    @property
    def folder(self) -> Path:
        """Where its record belongs."""
        return store.record_folder(self.out, self.suite, self.run.spec, self.run.spec_hash)

    @property
    def work(self) -> Path:
        """Where it keeps what it needs to go on."""
        return store.work_folder(self.out, self.run.spec_hash)

    @property
    def energy(self) -> Path:
        """File of the energy used so far, for the case that it is interrupted."""
        return self.work / "energy.json"


@dataclass(frozen=True)
class Surroundings:
    """How a run talks to whoever started it.

    Attributes:
        tell: Told in a few words what is going on.
        alone: Returns when nothing else of the plan is running, so that latency can be measured.
    """

    tell: Callable[[str], None] = field(default=lambda text: None)
    alone: Callable[[], None] = field(default=lambda: None)
