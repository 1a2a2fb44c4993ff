"""What a process is told to do, by importable name."""

from __future__ import annotations

from tastebench.alone import alone
from tastebench.recommenders import get_recommender
from tastebench.runs import limits, store
from tastebench.runs.job import Job, Surroundings
from tastebench.runs.perform import perform, share


def do_run(job: Job, around: Surroundings) -> None:
    """Carries out a run in a process of its own; two that are told to do one run do it once.

    Where processes share its training, the first of them does it and the others take part.
    """
    limits.announce_threads(job.run.spec.threads)
    if job.seat.rank > 0:
        share(job, get_recommender(job.run.spec.recommender))
        return
    lock = job.work.with_suffix(".lock")
    with alone(lock, lambda: around.tell("waiting for another process that does this run")) as late:
        record = store.find_record(job.folder) if late else None
        if record is None or record.status != "ok":
            perform(job, get_recommender(job.run.spec.recommender), around)
