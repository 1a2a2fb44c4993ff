"""Energy on the command line: what sets it, and what the doctor says of sensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench import cli
from tastebench.cli import doctor
from tastebench.runs import sensors
from tastebench.runs.execute import Options
from tastebench.runs.plan import Plan


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    """The plan that `run quickstart` with these options would carry out."""

    def of(*options: str) -> Plan:
        seen: list[Plan] = []

        def note(plan: Plan, options: Options, as_json: bool) -> None:
            seen.append(plan)

        monkeypatch.setattr("tastebench.cli.dry_run.print_outlook", note)
        assert cli.main(["run", "quickstart", "--dry-run", *options]) == 0
        return seen[0]

    return of


@pytest.mark.parametrize(
    ("options", "energy", "intensity"),
    [
        ([], "off", None),
        (["--energy"], "measure", None),
        (["--carbon-intensity", "230"], "measure", 230.0),
        (["--carbon-intensity", "0", "--energy"], "measure", 0.0),
        (["--carbon-intensity", "0.00001"], "measure", 1e-5),
    ],
)
def test_options_set_what_the_plan_says(
    options: list[str], energy: str, intensity: float | None, planned: Callable[..., Plan]
) -> None:
    plan = planned(*options)
    assert (plan.energy, plan.carbon_intensity) == (energy, intensity)


def test_other_settings_go_with_them(planned: Callable[..., Plan]) -> None:
    plan = planned("--set", "pue=1.4", "--carbon-intensity", "230", "-e", "random")
    assert (plan.pue, plan.carbon_intensity, plan.encoders) == (1.4, 230.0, ("random",))


@pytest.mark.parametrize("value", ["-1", "nan", "much"])
def test_an_intensity_that_is_none_is_refused(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "quickstart", "--dry-run", "--carbon-intensity", value]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "carbon" in captured.err
    assert "Traceback" not in captured.err


def test_the_doctor_names_the_extra_and_the_sensors(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extras"]["energy"] == "installed; the energy and carbon of runs"
    assert found["energy"] == sensors.sensors()


def test_without_the_extra_the_doctor_asks_no_sensor_and_does_not_press(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert "pip install 'tastebench[energy]'" in doctor._extra("energy")
    assert "unknown" in doctor._energy()["sensors"]
    assert not any("energy" in line for line in doctor.advice())


def test_a_counter_that_only_root_may_read_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    counter = tmp_path / "energy_uj"
    monkeypatch.setattr(doctor, "RAPL", counter)
    assert not any("powercap" in line for line in doctor.advice())
    counter.write_text("1")
    assert not any("powercap" in line for line in doctor.advice())
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != counter)
    assert any("chmod -R a+r /sys/class/powercap" in line for line in doctor.advice())
