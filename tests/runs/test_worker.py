"""Two processes that are told to do one run do it once."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.dataset import Dataset
from tastebench.runs import store
from tastebench.runs.expand import expand
from tastebench.runs.job import Job, Surroundings
from tastebench.runs.plan import make_plan
from tastebench.runs.resources import Resources
from tastebench.runs.worker import do_run


@pytest.fixture
def job(tiny: Dataset, tmp_path: Path) -> Job:
    plan = make_plan({"name": "s", "datasets": "tiny", "tasks": "cf", "recommenders": "popularity"})
    (run,) = expand(plan, Resources({"tiny": tiny}, {})).runs
    return Job(run, "s", "run", tmp_path, "tiny", latency_seconds=0)


def told_to_wait(job: Job, meanwhile: Callable[[], None]) -> list[str]:
    """Does the run while another process has it, which lets go when this one says it waits."""
    path = job.work.with_suffix(".lock")
    path.parent.mkdir(parents=True)
    said: list[str] = []
    with path.open("w", encoding="utf-8") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def tell(text: str) -> None:
            said.append(text)
            if text.startswith("waiting for another process"):
                meanwhile()
                fcntl.flock(other, fcntl.LOCK_UN)

        do_run(job, Surroundings(tell=tell))
    return said


def test_what_the_other_has_finished_is_not_done_again(job: Job, tmp_path: Path) -> None:
    elsewhere = Job(job.run, "s", "run", tmp_path / "elsewhere", "tiny", latency_seconds=0)
    do_run(elsewhere, Surroundings())

    def finish() -> None:
        job.folder.parent.mkdir(parents=True)
        elsewhere.folder.rename(job.folder)

    assert told_to_wait(job, finish) == ["waiting for another process that does this run"]
    record = store.find_record(job.folder)
    assert record is not None and record.status == "ok"


def test_what_the_other_left_unfinished_is_done(job: Job) -> None:
    said = told_to_wait(job, lambda: None)
    assert said[0] == "waiting for another process that does this run" and "fitting" in said
    record = store.find_record(job.folder)
    assert record is not None and record.status == "ok"


def test_who_does_not_wait_does_the_run_whatever_is_there(job: Job) -> None:
    """`--redo all` means it."""
    do_run(job, Surroundings())
    said: list[str] = []
    do_run(job, Surroundings(tell=said.append))
    assert "fitting" in said
