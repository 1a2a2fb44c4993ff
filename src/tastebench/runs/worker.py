"""What a process is told to do, by importable name."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from tastebench.recommenders import get_recommender
from tastebench.runs import limits, store
from tastebench.runs.job import Job, Surroundings
from tastebench.runs.perform import perform


def do_run(job: Job, around: Surroundings) -> None:
    """Carries out a run in a process of its own."""
    limits.announce_threads(job.run.spec.threads)
    with _only_one(job, around) as waited:
        record = store.find_record(job.folder) if waited else None
        if record is None or record.status != "ok":
            perform(job, get_recommender(job.run.spec.recommender), around)


@contextmanager
def _only_one(job: Job, around: Surroundings) -> Iterator[bool]:
    """Keeps two processes from working in one folder; says whether it had to wait for the other.

    The lock goes with the process that holds it, however that ends.
    """
    path = job.work.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        waited = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            around.tell("waiting for another process that does this run")
            waited = True
            fcntl.flock(file, fcntl.LOCK_EX)
        yield waited
