"""The energy a part of a run takes, and the carbon of it.

Carbon is kilowatt-hours times an intensity that the plan states; without one there is no carbon.
No region is assumed, since grids differ by a factor of fifty.

What is measured goes on after a kill: every reading is kept in a file, and the next process of the
same run adds to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tastebench import files
from tastebench.errors import DependencyError
from tastebench.runs import limits, sensors

JOULES = 3_600_000
"""In a kilowatt-hour."""

_SHORT = 1.0
"""Of a shorter block the last reading is asked for: within 0.05 s of another, stopping has none."""

OF_A_RUN = (
    "from the start of fitting to the end of evaluation, over all trials of this run; "
    "without reading the data, the encode step and the latency measurement"
)
OF_ENCODING = "encoding the texts that no cache had, with loading the encoder"


class Energy(BaseModel):
    """What was used, and by what it is known.

    Attributes:
        kwh: Kilowatt-hours, those of its three parts together; `pue` is in all of them.
        cpu_kwh, gpu_kwh, ram_kwh: Of processor, GPUs and memory.
        seconds: Wall time it was used in.
        method: How each of `cpu`, `gpu` and `ram` was found: by which counter, or estimated from
            what. Several are joined with `+`, if the run went on another machine.
        scope: What was measured, in words.
        pue: Power usage effectiveness: what the whole site uses for each unit that the machine
            does.
        carbon_intensity: Of the electricity, in g CO2e per kWh; as the plan says.
        grams: Carbon, in g CO2e: `kwh` times `carbon_intensity`. None where that is not known.
        others: Cores that other processes kept busy meanwhile, on average. What they use is in
            what a counter of the whole machine says.
        lives: Processes it took; more than one if it was interrupted and went on.
        complete: Everything in the scope was measured. False where an earlier process of the same
            run was not, or texts were encoded in an earlier plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kwh: float
    cpu_kwh: float
    gpu_kwh: float
    ram_kwh: float
    seconds: float
    method: dict[str, str]
    scope: str
    pue: float = 1.0
    carbon_intensity: float | None = None
    grams: float | None = None
    others: float | None = None
    lives: int = 1
    complete: bool = True

    @property
    def joules(self) -> float:
        """The same in joules."""
        return self.kwh * JOULES

    @property
    def estimated(self) -> bool:
        """No counter was read for the processor or a GPU; memory is nearly always estimated."""
        return any(sensors.ESTIMATED in self.method[part] for part in ("cpu", "gpu"))


@dataclass(frozen=True)
class Meter:
    """Whether and how energy is measured, as the plan says; changes no other number of a run.

    Attributes:
        on: Measure it.
        carbon_intensity: g CO2e per kWh; None if not known.
        pue: Power usage effectiveness, at least 1.
    """

    on: bool = False
    carbon_intensity: float | None = None
    pue: float = 1.0

    def prepare(self) -> None:
        """Loads what measuring needs and finds the sensors, before any clock runs.

        Raises:
            DependencyError: It is not installed.
        """
        if self.on:
            sensors.sensors()

    def total(self, lives: Sequence[Life], scope: str, complete: bool) -> Energy:
        """What several processes used, one after the other."""
        cpu, gpu, ram = (
            self.pue * sum(getattr(life, part) for life in lives) for part in ("cpu", "gpu", "ram")
        )
        kwh, seconds = cpu + gpu + ram, sum(life.seconds for life in lives)
        busy = sum(life.others * life.seconds for life in lives)
        return Energy(
            kwh=kwh,
            cpu_kwh=cpu,
            gpu_kwh=gpu,
            ram_kwh=ram,
            seconds=seconds,
            method={
                part: " + ".join(dict.fromkeys(life.method[part] for life in lives))
                for part in ("cpu", "gpu", "ram")
            },
            scope=scope,
            pue=self.pue,
            carbon_intensity=self.carbon_intensity,
            grams=None if self.carbon_intensity is None else kwh * self.carbon_intensity,
            others=busy / seconds if seconds else None,
            lives=len(lives),
            complete=complete,
        )


@dataclass(frozen=True)
class Life:
    """What one process used so far.

    Attributes:
        cpu, gpu, ram: kWh, without the site's overhead.
        seconds: Wall time.
        others: Cores that other processes kept busy, on average.
        method: As in `Energy`.
    """

    cpu: float
    gpu: float
    ram: float
    seconds: float
    others: float
    method: dict[str, str]


@dataclass
class Reading:
    """What `measure` found; nothing before its block has ended, or where nothing is measured."""

    energy: Energy | None = None


@contextmanager
def measure(meter: Meter, scope: str, kept: Path, *, begun: bool = False) -> Iterator[Reading]:
    """Measures the energy of the block.

    Args:
        meter: Whether and how.
        scope: What the block does, in words.
        kept: File for what was used so far; what earlier processes left there is added.
        begun: Earlier processes have worked on this, measured or not.

    Raises:
        DependencyError: What measuring needs is not installed, or does not start.
    """
    reading = Reading()
    if not meter.on:
        kept.unlink(missing_ok=True)  # so that a later process knows that this one was not measured
        yield reading
        return
    complete = not begun or kept.exists()
    output = _Output(kept, sensors.sensors())
    tracker = sensors.tracker(output)
    tracker.start()
    if output.life is None:  # it logs what goes wrong, and goes on without measuring
        raise DependencyError(
            "CodeCarbon did not start measuring",
            fix="pip install --upgrade 'tastebench[energy]', or set energy: off",
        )
    output.clock = _Clock()
    try:
        yield reading
        if output.clock.stop()[0] < _SHORT:
            tracker._measure_power_and_energy()
    finally:
        tracker.stop()
    # Without a last reading, the one before is at most ten seconds old: said rather than lost.
    reading.energy = meter.total(output.lives, scope, complete and output.ended)


class _Clock:
    """Wall time since it was made until it is stopped, and the cores that others kept busy."""

    def __init__(self) -> None:
        self.began, self.machine, self.own = self._now()
        self.end: tuple[float, float] | None = None

    def read(self) -> tuple[float, float]:
        if self.end is not None:
            return self.end
        now, machine, own = self._now()
        seconds = now - self.began
        others = max(0.0, machine - self.machine - (own - self.own))
        return seconds, others / seconds if seconds > 0 else 0.0

    def stop(self) -> tuple[float, float]:
        self.end = self.read()
        return self.end

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.perf_counter(), limits.busy_seconds(), time.process_time()


@dataclass
class _Output:
    """Where CodeCarbon puts its readings: a file, with the lives before this one.

    Readings come from a thread of the tracker's and, at the beginning and the end, from the caller.
    """

    kept: Path
    method: dict[str, str]
    life: Life | None = None
    ended: bool = False
    clock: _Clock = field(default_factory=_Clock)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        rows = files.read_json(self.kept)["lives"] if self.kept.exists() else []
        self.earlier = [Life(**row) for row in rows]

    @property
    def lives(self) -> list[Life]:
        return self.earlier + ([self.life] if self.life else [])

    def live_out(self, total: Any, delta: Any) -> None:
        """A reading while it goes on."""
        with self.lock:
            if not self.ended:  # else it began before the end and was late
                self._keep(total)

    def out(self, total: Any, delta: Any) -> None:
        """The last reading."""
        with self.lock:
            self._keep(total)
            self.ended = True

    def task_out(self, data: Any, experiment_name: str) -> None:
        """Nothing: no tasks are measured."""

    def exit(self) -> None:
        """Nothing is open."""

    def _keep(self, total: Any) -> None:
        seconds, others = self.clock.read()
        self.life = Life(
            cpu=total.cpu_energy,
            gpu=total.gpu_energy,
            ram=total.ram_energy,
            seconds=seconds,
            others=others,
            method=self.method,
        )
        files.write_json(self.kept, {"lives": [asdict(life) for life in self.lives]})
