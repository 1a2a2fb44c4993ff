"""Runs whose training several devices share: the same numbers, whoever is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

import tastebench as tb
from tastebench.cli import main
from tastebench.data.dataset import Dataset
from tastebench.errors import UsageError
from tastebench.recommenders import get_recommender
from tastebench.runs import devices, store
from tastebench.runs.expand import Run, expand
from tastebench.runs.job import Job
from tastebench.runs.plan import make_plan
from tastebench.runs.processes import Listener, Work, run_all
from tastebench.runs.record import Failure, Record, Trial
from tastebench.runs.resources import Resources
from tastebench.runs.worker import do_run

SMALL: dict[str, Any] = {"hidden_size": 8, "layers": 1, "heads": 1, "batch_size": 128}
SHARED: dict[str, Any] = {"epochs": 2, "device": "cpu"}


def trained(batches: int) -> list[dict[str, Any]]:
    """A next-item model, a generative one and a click model with running means."""
    shared = {**SHARED, "accumulate": batches}
    click = {**shared, "epochs": 1, "batch_size": 512, "hidden_size": 8}
    return [
        {"name": "sasrec", "params": {**SMALL, **shared}},
        {"name": "sid-sasrec", "params": {**SMALL, **shared, "epochs": 1, "beams": 10}},
        {"name": "din", "params": click, "representations": ["id"]},
    ]


PLAN: dict[str, Any] = {
    "name": "shared",
    "datasets": ["tiny"],
    "tasks": ["seqrec", "ctr"],
    "codes": ["random-2x8"],
    "recommenders": [
        {**trained(2)[0], "grid": {"lr": [1e-3, 1e30, 1e-2]}},
        *trained(2)[1:],
        trained(3)[0],
    ],
    "row_by": "run",
    "latency_seconds": 0,
    "keep_models": True,
}


def weights(out: Path, record: Record) -> dict[str, list[float]]:
    path = store.folder_of(out, record) / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name).double().flatten().tolist() for name in file.keys()}


def test_what_devices_share_comes_to_what_one_trains(tiny: Dataset, tmp_path: Path) -> None:
    """Two add up in either order the same, three do not: they come near it.

    A setting of the grid that fails fails for all, and the next one is fitted by all.
    """
    outs = {n: tmp_path / str(n) for n in (1, 3)}
    found = {
        n: {r.spec_hash: r for r in tb.run(PLAN, out=out, devices=n, progress=False).records}
        for n, out in outs.items()
    }
    assert len(found[1]) == 4 and found[1].keys() == found[3].keys()
    for key, record in found[3].items():
        one, n = found[1][key], record.spec.params["accumulate"]
        assert (record.status, one.status) == ("ok", "ok"), (record.error, one.error)
        assert record.fit is not None
        assert f"steps of {n} batches, shared by {n} devices" in record.fit.notes
        ours, theirs = weights(outs[3], record), weights(outs[1], one)
        assert timeless(record.trials) == timeless(one.trials)
        if record.trials:
            assert [trial.error is None for trial in record.trials] == [True, False, True]
        if n == 2:
            assert (ours, record.metrics, record.valid) == (theirs, one.metrics, one.valid)
            continue
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-6), (record.spec.label, name)
        for metric, value in record.metrics.items():
            assert value.mean == pytest.approx(one.metrics[metric].mean, abs=1e-6), metric


def timeless(trials: tuple[Trial, ...]) -> list[Trial]:
    return [trial.model_copy(update={"seconds": 0.0}) for trial in trials]


# ------------------------------------------------------------------------------------------- kills

ONE: dict[str, Any] = {
    "name": "one",
    "datasets": ["tiny"],
    "tasks": ["seqrec"],
    "recommenders": [
        {"name": "sasrec", "params": {**SMALL, **SHARED, "epochs": 4, "accumulate": 2}}
    ],
    "latency_seconds": 0,
    "keep_models": True,
}


class Ends(Listener):
    def __init__(self) -> None:
        self.failures: dict[str, Failure | None] = {}

    def ended(self, key: str, failure: Failure | None) -> None:
        self.failures[key] = failure


def job_in(out: Path, tiny: Dataset) -> Job:
    (run,) = expand(make_plan(ONE), Resources({"tiny": tiny}, {})).runs
    return Job(run, "one", "run", out, "tiny", latency_seconds=0, keep_models=True)


def done(target: Any, arguments: list[Any], log: Path) -> Failure | None:
    ends = Ends()
    first, *others = arguments
    run_all([Work("run", target, first, log, beside=tuple(others))], 1, ends)
    return ends.failures["run"]


def kept(job: Job) -> dict[str, list[float]]:
    record = store.find_record(job.folder)
    assert record is not None and record.status == "ok", record
    return weights(job.out, record)


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import device_targets

    yield device_targets.die


def test_a_killed_process_ends_the_run_and_it_goes_on_to_the_same_numbers(
    tiny: Dataset, tmp_path: Path, deadly: Any
) -> None:
    """With two batches a step two devices come to what one does to the last bit."""
    reference = job_in(tmp_path / "alone", tiny)
    assert done(do_run, [reference], tmp_path / "log") is None
    for rank in (0, 1):
        job = job_in(tmp_path / f"killed-{rank}", tiny)
        folder = tmp_path / f"pids-{rank}"
        folder.mkdir()
        failure = done(
            deadly, [(one, rank, folder) for one in devices.seated(job, 2)], tmp_path / "log"
        )
        assert failure is not None and failure.kind == "Killed" and "SIGKILL" in failure.what
        for path in folder.iterdir():  # two of them, and neither is left
            with pytest.raises(ProcessLookupError):
                os.kill(int(path.read_text()), 0)
        assert len(list(folder.iterdir())) == 2
        state = job.work / "fit" / "trial-0" / "fit-1.safetensors"
        assert state.exists()
        # As many devices as before, or one: what is kept says nothing of them.
        assert done(do_run, list(devices.seated(job, 2 - rank)), tmp_path / "log") is None
        assert kept(job) == kept(reference)
        assert not job.work.exists()


# ---------------------------------------------------------------------------------------- messages


def a_run(tiny: Dataset, name: str, params: dict[str, Any], **more: Any) -> Run:
    choice = {"name": name, "params": params, **more}
    plan = make_plan({"name": "s", "datasets": "tiny", "tasks": "cf", "recommenders": [choice]})
    if name == "sasrec":
        plan = plan.model_copy(update={"tasks": ("seqrec",)})
    return expand(plan, Resources({"tiny": tiny}, {})).runs[0]


@pytest.mark.parametrize(
    ("name", "params", "more", "asked", "shared"),
    [
        ("popularity", {}, {}, 4, 1),
        ("sasrec", {}, {}, 4, 1),
        ("sasrec", {"accumulate": 8}, {}, 1, 1),
        ("sasrec", {"accumulate": 8}, {}, 3, 3),
        ("sasrec", {"accumulate": 2}, {}, 3, 2),
        ("sasrec", {}, {"grid": {"accumulate": [1, 4]}}, 8, 4),
    ],
)
def test_as_many_devices_share_a_run_as_its_steps_have_batches(
    tiny: Dataset, name: str, params: dict[str, Any], more: Any, asked: int, shared: int
) -> None:
    run = a_run(tiny, name, params, **more)
    assert devices.share(run, get_recommender(name), asked) == shared


def test_a_run_on_one_device_of_several_is_refused(tiny: Dataset) -> None:
    run = a_run(tiny, "sasrec", {"accumulate": 2, "device": "cuda:1"})
    with pytest.raises(UsageError, match="sasrec is to train on cuda:1 alone"):
        devices.share(run, get_recommender("sasrec"), 2)
    assert devices.share(run, get_recommender("sasrec"), 1) == 1


def test_what_is_not_shared_is_told_once() -> None:
    assert devices.unshared([2, 2], 2) is None
    assert devices.unshared([1, 1], 1) is None
    told = devices.unshared([1, 2, 1], 2)
    assert told is not None and told.startswith("2 runs are not shared by devices")


def test_a_cluster_and_devices_exclude_each_other(
    tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="--devices 2 shares a run among the devices"):
        devices.check(2, "ray")
    with pytest.raises(UsageError, match="0 devices cannot train"):
        devices.check(0, None)
    plan = tmp_path / "plan.yaml"
    plan.write_text("{name: s, datasets: tiny, tasks: cf, recommenders: [popularity]}")
    arguments = ["run", str(plan), "--devices", "2", "--on", "ray", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "--devices 2 shares a run among the devices of this machine" in capsys.readouterr().err
