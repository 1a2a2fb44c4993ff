"""CodeCarbon as it is installed: offline, told everything, and what it says of itself."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from tastebench.errors import DependencyError, UsageError
from tastebench.runs import sensors
from tastebench.runs.energy import JOULES, Meter, measure

RATED = re.compile(r"at ([0-9.]+) W with all (\d+) cores busy")


def work(seconds: float) -> float:
    """Keeps a core busy for so much processor time; what it took of it."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        sum(range(10_000))
    return time.process_time() - began


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was opened: {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
def test_the_energy_of_a_busy_second_is_that_of_its_processor_time_and_memory(
    tmp_path: Path,
) -> None:
    meter = Meter(on=True, carbon_intensity=500.0)
    meter.prepare()
    with measure(meter, "working", tmp_path / "energy.json") as reading:
        took = work(1.2)
    energy = reading.energy
    assert energy is not None
    assert energy.method == sensors.sensors()
    assert energy.kwh == pytest.approx(energy.cpu_kwh + energy.gpu_kwh + energy.ram_kwh)
    assert energy.grams == pytest.approx(500.0 * energy.kwh)
    # The two clocks are read one after the other.
    assert energy.seconds >= 0.9 * took
    assert energy.complete and energy.lives == 1
    if (rated := RATED.search(energy.method["cpu"])) is None:
        pytest.skip("this machine has a counter: nothing to compute its reading from")
    watts, cores = float(rated[1]), int(rated[2])
    assert energy.cpu_kwh * JOULES == pytest.approx(watts * took / cores, rel=0.35)
    # A process of less than 4 GB: two modules of 5 W, or 3 W on ARM.
    watts = 3 if platform.machine().lower() in ("arm64", "aarch64") else 10
    assert energy.ram_kwh * JOULES / energy.seconds == pytest.approx(watts, rel=0.2)


@pytest.mark.usefixtures("offline")
def test_work_shorter_than_its_readings_is_measured_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from codecarbon import OfflineEmissionsTracker

    # What stopping does within 0.05 s of the reading at the start.
    monkeypatch.setattr(
        OfflineEmissionsTracker, "_measure_power_and_energy_if_stale", lambda self: None
    )
    monkeypatch.setattr("tastebench.runs.energy._SHORT", 60.0)  # also on a machine that is busy
    with measure(Meter(on=True), "waiting", tmp_path / "energy.json") as reading:
        work(0.2)
    assert reading.energy is not None
    # 10 W, or 3 W on ARM; next to nothing if the last reading is left out.
    assert reading.energy.ram_kwh * JOULES / reading.energy.seconds > 2.0


def test_nothing_outside_of_the_plan_changes_a_reading(tmp_path: Path) -> None:
    config = "pue = 5\nforce_cpu_power = 500\nforce_ram_power = 99\ntracking_mode = machine\n"
    config += "output_dir = /nowhere\nemissions_endpoint = http://127.0.0.1:9\nlog_level = debug\n"
    (tmp_path / ".codecarbon.config").write_text(f"[codecarbon]\n{config}")
    # The settings that a reading depends on, and what is printed or left behind.
    script = (
        "import json, sys\n"
        "from tastebench.runs import sensors\n"
        "tracker = sensors.tracker(None)\n"
        "tracker.start(); tracker.stop()\n"
        "data = tracker.final_emissions_data\n"
        "sys.stdout.write(json.dumps([sensors.sensors(), data.pue, data.tracking_mode,\n"
        "                             data.ram_power, data.emissions]))\n"
    )
    outside = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "CODECARBON_PUE": "7",
        "CODECARBON_CO2_SIGNAL_API_TOKEN": "token",
        "CODECARBON_GPU_IDS": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=outside,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found, pue, mode, ram_power, emissions = json.loads(done.stdout)
    assert found == sensors.sensors()
    assert (pue, mode, emissions) == (1.0, "process", 0.0)
    assert ram_power < 20
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_a_counter_of_the_processor_is_read_in_joules(tmp_path: Path) -> None:
    from codecarbon.external.hardware import CPU

    domain = tmp_path / "intel-rapl" / "intel-rapl:0"
    domain.mkdir(parents=True)
    (domain / "name").write_text("package-0\n")
    (domain / "max_energy_range_uj").write_text("262143328850\n")
    counter = domain / "energy_uj"
    counter.write_text("1000\n")
    tracker = sensors.tracker(None)
    tracker.get_detected_hardware()
    part = CPU(".", "intel_rapl", "a processor", 85, rapl_dir=str(tmp_path / "intel-rapl"))
    tracker._hardware = [part]
    assert sensors._processor(part) == "rapl, of the whole machine"
    tracker.start()
    counter.write_text("7200001000\n")  # 7,200 J more
    tracker._measure_power_and_energy()
    tracker.stop()
    assert tracker.final_emissions_data.cpu_energy == pytest.approx(7200 / 3_600_000)


def part(**fields: Any) -> Any:
    return types.SimpleNamespace(**fields)


@pytest.mark.parametrize(
    ("processor", "said"),
    [
        (
            part(_mode="cpu_load", _tdp=65.0, _cpu_count=8),
            "estimated from the processor time of this process, at 65 W with all 8 cores busy",
        ),
        (part(_mode="constant", _tdp=85, _cpu_count=8), "estimated at half of 85 W throughout"),
        (part(_mode="intel_power_gadget"), "Intel Power Gadget, of the whole machine"),
    ],
)
def test_what_is_no_counter_is_said_to_be_estimated(processor: Any, said: str) -> None:
    assert sensors._processor(processor) == said


def test_a_gpu_is_named_with_its_counter() -> None:
    class NvidiaGPUDevice:
        pass

    def gpu(devices: list[Any], ids: list[int]) -> Any:
        return part(devices=part(devices=devices), gpu_ids=ids)

    nvidia = [NvidiaGPUDevice()]
    assert sensors._gpu(gpu(nvidia, [0]), "1 x H100") == "nvml, of whole devices (1 x H100)"
    assert sensors._gpu(gpu([object()], [0]), "1 x MI") == "amdsmi, of whole devices (1 x MI)"
    assert sensors._gpu(gpu(nvidia, []), "") == "none"
    assert sensors._gpu(gpu([], []), "").startswith("not measured")


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, None),
        ("", []),
        ("1, 0", [1, 0]),
        ("2,-1,3", [2]),
        ("GPU-bb", [1]),
        ("0,GPU-aa-11", [0, 0]),
    ],
)
def test_gpus_are_those_the_process_may_use(
    visible: str | None, indices: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _two_gpus(visible, monkeypatch)
    assert sensors.visible_gpus() == indices


def test_a_part_of_a_gpu_has_no_energy_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    _two_gpus("MIG-cc", monkeypatch)
    with pytest.raises(UsageError, match="'MIG-cc' cannot be read apart") as caught:
        sensors.visible_gpus()
    assert "energy: off" in (caught.value.fix or "")


def _two_gpus(visible: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    uuids = ["GPU-aa-11", "GPU-bb-22"]
    fake = part(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(uuids),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: uuids[handle],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


def test_a_gpu_that_no_tool_reads_is_not_left_out_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sensors.platform, "system", lambda: "Linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(sensors.environment, "has_accelerator", lambda: True)
    assert sensors._no_gpu().startswith("not measured")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert sensors._no_gpu() == "none"


def test_without_the_package_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(DependencyError, match="energy is measured through CodeCarbon") as caught:
        sensors.require()
    assert caught.value.fix == "pip install 'tastebench[energy]'"
