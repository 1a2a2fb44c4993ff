"""Energy of runs and encode steps: sums, lives, and what is said where something is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import tastebench as tb
from tastebench.contracts import EncoderCard, Role
from tastebench.data.dataset import Dataset
from tastebench.errors import DependencyError, UsageError
from tastebench.runs import sensors, store
from tastebench.runs.encode import EncodeJob, encode
from tastebench.runs.energy import OF_A_RUN, Energy, Life, Meter, measure
from tastebench.runs.execute import Options, look
from tastebench.runs.job import Surroundings
from tastebench.runs.material import Vectors
from tastebench.runs.plan import load_plan, make_plan
from tastebench.runs.record import Cost, EncodeStep, Record

METHOD = {"cpu": "rapl", "gpu": "nvml", "ram": "estimated"}
PLAN: dict[str, Any] = {
    "name": "study",
    "datasets": ["tiny"],
    "tasks": ["cf"],
    "recommenders": ["popularity"],
    "latency_seconds": 0,
}
MEASURED = {**PLAN, "energy": "measure", "carbon_intensity": 100}


def life(cpu: float, gpu: float, ram: float, seconds: float, others: float = 0.0) -> Life:
    return Life(cpu, gpu, ram, seconds, others, METHOD)


class FakeTracker:
    """Hands out the readings it was given: one at the start, one at the end."""

    def __init__(self, output: Any, readings: Sequence[float], end: bool = True) -> None:
        self.output, self.readings, self.end, self.stopped = output, readings, end, False

    def start(self) -> None:
        if self.readings:
            self.output.live_out(self._total(self.readings[0]), None)

    def _measure_power_and_energy(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped = True
        if self.end:
            self.output.out(self._total(self.readings[-1]), None)

    @staticmethod
    def _total(kwh: float) -> Any:
        return types.SimpleNamespace(cpu_energy=kwh, gpu_energy=2 * kwh, ram_energy=kwh / 2)


Fake = Callable[..., list[FakeTracker]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts trackers with these readings in the place of CodeCarbon's."""

    def put(*readings: float, end: bool = True) -> list[FakeTracker]:
        made: list[FakeTracker] = []

        def tracker(output: Any) -> FakeTracker:
            made.append(FakeTracker(output, readings, end))
            return made[-1]

        monkeypatch.setattr(sensors, "tracker", tracker)
        monkeypatch.setattr(sensors, "sensors", lambda: METHOD)
        return made

    return put


# ------------------------------------------------------------------------------------------- sums


def test_the_sum_is_that_of_parts_and_site_and_carbon_is_its_product() -> None:
    meter = Meter(on=True, carbon_intensity=200.0, pue=1.5)
    energy = meter.total([life(0.001, 0.002, 0.0005, 60.0)], "fitting", True)
    assert energy.cpu_kwh == pytest.approx(0.0015)
    assert energy.gpu_kwh == pytest.approx(0.003)
    assert energy.ram_kwh == pytest.approx(0.00075)
    assert energy.kwh == pytest.approx(0.00525)
    assert energy.grams == pytest.approx(1.05)
    assert energy.joules == pytest.approx(18_900)
    assert (energy.pue, energy.carbon_intensity, energy.scope) == (1.5, 200.0, "fitting")


@pytest.mark.parametrize(("intensity", "grams"), [(None, None), (0.0, 0.0), (1000.0, 1000.0)])
def test_carbon_is_known_where_an_intensity_is(
    intensity: float | None, grams: float | None
) -> None:
    energy = Meter(True, intensity).total([life(1.0, 0.0, 0.0, 1.0)], "fitting", True)
    assert energy.grams == grams


def test_lives_add_up_and_others_weigh_by_their_time() -> None:
    first = life(0.1, 0.0, 0.2, 30.0, others=1.0)
    second = Life(0.3, 0.1, 0.1, 10.0, 0.2, {**METHOD, "cpu": "estimated"})
    energy = Meter(on=True).total([first, second], "fitting", True)
    assert (energy.cpu_kwh, energy.gpu_kwh, energy.ram_kwh) == pytest.approx((0.4, 0.1, 0.3))
    assert (energy.seconds, energy.lives) == (40.0, 2)
    assert energy.others == pytest.approx((30 * 1.0 + 10 * 0.2) / 40)
    assert energy.method == {"cpu": "rapl + estimated", "gpu": "nvml", "ram": "estimated"}


@pytest.mark.parametrize(
    ("cpu", "gpu", "estimated"),
    [
        ("rapl", "nvml", False),
        ("estimated at half of 85 W throughout", "none", True),
        ("rapl + estimated at 8 W", "nvml", True),
    ],
)
def test_it_counts_as_estimated_where_a_processor_is(cpu: str, gpu: str, estimated: bool) -> None:
    one = Life(1.0, 0.0, 0.0, 1.0, 0.0, {"cpu": cpu, "gpu": gpu, "ram": "estimated"})
    assert Meter(on=True).total([one], "fitting", True).estimated is estimated


# --------------------------------------------------------------------------------- one measurement


def test_a_block_has_the_last_reading(fake: Fake, tmp_path: Path) -> None:
    made = fake(0.0, 0.004)
    with measure(Meter(True, 50.0), "fitting", tmp_path / "energy.json") as reading:
        assert reading.energy is None
    energy = reading.energy
    assert made[0].stopped
    assert energy is not None and energy.complete
    assert energy.kwh == pytest.approx(0.004 + 0.008 + 0.002)
    assert energy.grams == pytest.approx(0.7)
    assert energy.method == METHOD


def test_off_touches_no_sensor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sensors, "require", lambda: pytest.fail("CodeCarbon was loaded"))
    Meter().prepare()
    with measure(Meter(), "fitting", tmp_path / "energy.json") as reading:
        pass
    assert reading.energy is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("begun", "before", "complete", "lives"),
    [
        (False, None, True, 1),
        (True, None, False, 1),  # an earlier process trained and was not measured
        (True, 0.01, True, 2),
    ],
)
def test_what_earlier_processes_used_is_added_or_missed(
    begun: bool, before: float | None, complete: bool, lives: int, fake: Fake, tmp_path: Path
) -> None:
    kept = tmp_path / "energy.json"
    if before is not None:  # interrupted after one reading
        fake(before, end=False)
        with pytest.raises(KeyboardInterrupt), measure(Meter(on=True), "fitting", kept):
            raise KeyboardInterrupt
    fake(0.0, 0.002)
    with measure(Meter(on=True), "fitting", kept, begun=begun) as reading:
        pass
    assert reading.energy is not None
    assert (reading.energy.complete, reading.energy.lives) == (complete, lives)
    assert reading.energy.cpu_kwh == pytest.approx(0.002 + (before or 0.0))


def test_a_process_that_was_not_measured_is_missed_by_the_next(fake: Fake, tmp_path: Path) -> None:
    kept = tmp_path / "energy.json"
    fake(0.0, 0.002)
    with measure(Meter(on=True), "fitting", kept):
        pass
    assert kept.exists()
    with measure(Meter(), "fitting", kept, begun=True):
        pass
    with measure(Meter(on=True), "fitting", kept, begun=True) as reading:
        pass
    assert reading.energy is not None
    assert (reading.energy.lives, reading.energy.complete) == (1, False)


def test_a_meter_that_does_not_start_stops_the_run_before_its_work(
    fake: Fake, tmp_path: Path
) -> None:
    fake()
    with (
        pytest.raises(DependencyError, match="did not start measuring") as caught,
        measure(Meter(on=True), "fitting", tmp_path / "energy.json"),
    ):
        pytest.fail("the block was entered")
    assert "energy: off" in (caught.value.fix or "")


def test_without_a_last_reading_the_one_before_is_kept_and_said_to_be_a_part(
    fake: Fake, tmp_path: Path
) -> None:
    fake(0.003, end=False)
    with measure(Meter(on=True), "fitting", tmp_path / "energy.json") as reading:
        pass
    assert reading.energy is not None
    assert reading.energy.cpu_kwh == 0.003
    assert not reading.energy.complete


def test_a_failing_block_stops_the_meter_and_its_error_goes_on(fake: Fake, tmp_path: Path) -> None:
    made = fake(0.0, 0.004)
    with (
        pytest.raises(ZeroDivisionError),
        measure(Meter(on=True), "fitting", tmp_path / "energy.json") as reading,
    ):
        _ = 1 / 0
    assert made[0].stopped
    assert reading.energy is None


def test_a_reading_that_comes_too_late_changes_nothing(fake: Fake, tmp_path: Path) -> None:
    made = fake(0.0, 0.004)
    kept = tmp_path / "energy.json"
    with measure(Meter(on=True), "fitting", kept):
        pass
    kept.unlink()
    made[0].output.live_out(FakeTracker._total(9.9), None)
    assert not kept.exists()
    assert made[0].output.life.cpu == 0.004


def test_a_killed_process_leaves_what_it_used(tmp_path: Path) -> None:
    kept = tmp_path / "energy.json"
    script = f"""
import json, os, signal, time
from pathlib import Path
from tastebench.runs import sensors
from tastebench.runs.energy import Meter, measure
sensors.INTERVAL = 0.1
kept = Path({str(kept)!r})
meter = Meter(on=True)
meter.prepare()
def told():
    return json.loads(kept.read_text())["lives"][0]["seconds"] if kept.exists() else 0.0
with measure(meter, "fitting", kept):
    began = time.monotonic()
    while told() <= 0.3 and time.monotonic() - began < 60:
        sum(range(100_000))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    (before,) = json.loads(kept.read_text())["lives"]
    assert before["ram"] > 0 and before["seconds"] > 0.3
    with measure(Meter(on=True), "fitting", kept, begun=True) as reading:
        pass
    energy = reading.energy
    assert energy is not None
    assert (energy.lives, energy.complete) == (2, True)
    assert energy.seconds > before["seconds"]
    assert energy.ram_kwh > before["ram"]


# ---------------------------------------------------------------------------------------- in plans


@pytest.mark.parametrize(
    ("text", "energy", "carbon_intensity", "pue"),
    [
        ("", "off", None, 1.0),
        ("energy: off", "off", None, 1.0),  # YAML takes it for false
        ("energy: measure", "measure", None, 1.0),
        ("energy: on", "measure", None, 1.0),
        ("energy: measure\ncarbon_intensity: 0", "measure", 0.0, 1.0),
        ("energy: measure\ncarbon_intensity: 230.5\npue: 1.4", "measure", 230.5, 1.4),
    ],
)
def test_a_plan_says_whether_and_how(
    text: str, energy: str, carbon_intensity: float | None, pue: float, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"name: s\ndatasets: [storefront]\n{text}\n")
    plan = load_plan(path)
    assert (plan.energy, plan.carbon_intensity, plan.pue) == (energy, carbon_intensity, pue)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"carbon_intensity": -1}, "carbon_intensity: Input should be greater than or equal to 0"),
        ({"carbon_intensity": float("nan")}, "carbon_intensity: Input should be a finite number"),
        ({"carbon_intensity": float("inf")}, "carbon_intensity: Input should be a finite number"),
        ({"pue": 0.9}, "pue: Input should be greater than or equal to 1"),
        ({"energy": "yes please"}, "energy: Input should be 'off' or 'measure'"),
        ({"energy": "off"}, "say nothing without energy: measure"),
    ],
)
def test_what_cannot_be_meant_of_energy_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan({**MEASURED, **changes})


# ------------------------------------------------------------------------------------ whole plans


def run(plan: dict[str, Any], out: Path, **options: Any) -> Record:
    (record,) = tb.run(plan, out=out, workers=1, progress=False, **options).records
    return record


def test_a_plan_measures_its_runs_and_changes_nothing_else(tiny: Dataset, tmp_path: Path) -> None:
    plain = run(PLAN, tmp_path / "plain")
    record = run(MEASURED, tmp_path / "measured")
    assert record.spec_hash == plain.spec_hash
    assert record.metrics == plain.metrics
    assert plain.cost is not None and plain.cost.energy is None
    assert plain.cost.energy_joules is None
    cost = record.cost
    assert cost is not None and cost.energy is not None
    energy = cost.energy
    assert energy.kwh > 0 and energy.complete and energy.lives == 1
    assert energy.grams == pytest.approx(100 * energy.kwh)
    assert cost.energy_joules == pytest.approx(3_600_000 * energy.kwh)
    assert energy.scope == OF_A_RUN
    assert energy.method == sensors.sensors()
    assert energy.seconds <= cost.wall_seconds
    folder = store.folder_of(tmp_path / "measured", record)
    assert Record.read(folder / "record.json") == record
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["energy"], config["carbon_intensity"]) == ("measure", 100.0)
    assert make_plan(config).carbon_intensity == 100.0


def test_what_is_finished_is_not_run_again_for_its_energy(tiny: Dataset, tmp_path: Path) -> None:
    before = run(PLAN, tmp_path)
    assert run(MEASURED, tmp_path) == before
    anew = run(MEASURED, tmp_path, redo="all")
    assert anew.cost is not None and anew.cost.energy is not None


def test_an_interrupted_run_adds_what_it_used_before(tiny: Dataset, tmp_path: Path) -> None:
    """Written down before and trained before: both lives are counted, or it is said."""
    todo = look(make_plan(MEASURED), Options(out=tmp_path))
    work = store.work_folder(tmp_path, todo.runs[0].spec_hash)
    (work / "fit").mkdir(parents=True)
    before = {"cpu": 1.0, "gpu": 0.0, "ram": 2.0, "seconds": 50.0, "others": 0.0, "method": METHOD}
    (work / "energy.json").write_text(json.dumps({"lives": [before]}))
    record = run(MEASURED, tmp_path)
    assert record.cost is not None and record.cost.energy is not None
    energy = record.cost.energy
    assert (energy.lives, energy.complete) == (2, True)
    assert 3.0 < energy.kwh < 3.1
    assert 50 < energy.seconds < 100
    assert energy.method["cpu"].startswith("rapl + ")
    assert not work.exists()
    (work / "fit").mkdir(parents=True)
    folder = store.folder_of(tmp_path, record)
    folder.rename(tmp_path / "moved")
    again = run(MEASURED, tmp_path)
    assert again.cost is not None and again.cost.energy is not None
    assert (again.cost.energy.lives, again.cost.energy.complete) == (1, False)


def test_without_the_package_a_plan_stops_before_its_first_run(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(DependencyError) as caught:
        run(MEASURED, tmp_path)
    assert caught.value.fix == "pip install 'tastebench[energy]'"
    assert list(tmp_path.glob("study/**/record.json")) == []
    assert run(PLAN, tmp_path).status == "ok"


def test_a_record_from_before_is_read(tmp_path: Path) -> None:
    old = {"wall_seconds": 2.0, "energy_joules": None, "encode": {"texts": 1, "texts_encoded": 1}}
    cost = Cost.model_validate(old)
    assert cost.energy is None and cost.encode is not None and cost.encode.energy is None


# -------------------------------------------------------------------------------------- encode step


class Letters:
    """A vector of each text's length."""

    def __init__(self, revision: str | None) -> None:
        self.card = EncoderCard("letters", revision=revision, dimensions=2)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def step_of(out: Path, revision: str | None, meter: Meter) -> EncodeStep:
    job = EncodeJob(
        *(out, "tiny", "f", "letters", "letters", revision, "title", (), 0.0, 1), meter=meter
    )
    encode(job, Letters(revision), Surroundings())
    assert not job.energy.exists()
    return Vectors.read(job.result).step


def test_an_encode_step_has_the_energy_of_what_it_encoded(
    tiny: Dataset, tmp_path: Path, fake: Fake
) -> None:
    fake(0.0, 0.004)
    step = step_of(tmp_path / "first", "1", Meter(True, 10.0))
    assert step.energy is not None and step.energy.complete
    assert step.energy.grams == pytest.approx(0.14)
    assert step.energy.scope.startswith("encoding")
    again = step_of(tmp_path / "second", "1", Meter(True, 10.0))
    assert again.cached and again.energy is None
    assert step_of(tmp_path / "third", "2", Meter()).energy is None


def test_a_step_that_took_longer_than_was_measured_was_measured_in_part() -> None:
    from tastebench.runs.encode import _with_energy

    energy = Meter(on=True).total([life(1.0, 0.0, 0.0, 5.0)], "encoding", True)

    def measured(**fields: Any) -> Energy | None:
        step = EncodeStep(**{"texts": 9, "texts_encoded": 9, "seconds": 4.0, **fields})
        return _with_energy(step, energy).energy

    whole, part = measured(), measured(seconds=6.0)
    assert whole is not None and whole.complete
    assert part is not None and not part.complete
    assert measured(device="remote") is None
    assert measured(cached=True) is None
