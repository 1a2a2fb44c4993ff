"""Where the work of a plan is done: in processes of this machine, or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import override

from tastebench.contracts import RecommenderCard
from tastebench.encoders.names import SHUFFLED, bare
from tastebench.encoders.shards import CAPACITY
from tastebench.errors import DataError
from tastebench.runs import environment, processes, store
from tastebench.runs.encode import EncodeJob, EncodeShare, do_encode, do_encode_share
from tastebench.runs.processes import ANY, Listener, Need, Work
from tastebench.runs.record import Failure, Record

if TYPE_CHECKING:
    from tastebench.runs.on_ray.cluster import Cluster

MEMORY_PER_WORKER = 2 * 2**30
MAX_WORKERS = 8

SHOWN_SECONDS = 90.0
"""A file of another machine is seen by then; NFS keeps for 60 s that one was not there."""

_REMOTE = "openai:"


@dataclass(frozen=True, eq=False)
class Asked:
    """What a plan asks of the place where it is done.

    Attributes:
        folders: What everything reads and writes.
        named: Datasets and models as the user named them, some of them by path.
        encode: Encode steps.
        needs: Of the other work.
    """

    folders: Sequence[Path]
    named: Sequence[str]
    encode: Sequence[EncodeJob]
    needs: Sequence[Need]


class Place(Protocol):
    """Something that does work in processes of its own."""

    @property
    def encode_threads(self) -> int:
        """What an encode step computes with."""
        ...

    def check(self, asked: Asked) -> str | None:
        """Makes sure before anything starts that a plan can be done; returns what to tell."""
        ...

    def shares(self, jobs: Sequence[EncodeJob], sizes: Sequence[int]) -> list[EncodeShare]:
        """What several can do of encode steps before these are done; `sizes` are their items."""
        ...

    def encode(
        self, jobs: Sequence[EncodeJob], shares: Sequence[EncodeShare], listener: Listener
    ) -> None:
        """Does encode steps, each without others of the plan beside it: it measures latency."""
        ...

    def run_all(self, works: Sequence[Work], listener: Listener) -> None:
        """Does all the work, in order as far as `after` allows."""
        ...


@dataclass(frozen=True)
class Here:
    """This machine.

    Attributes:
        workers: Processes at a time.
    """

    workers: int
    encode_threads: int

    def check(self, asked: Asked) -> str | None:
        """See `Place`; a machine does what it is asked to, however long it takes."""
        return None

    def shares(self, jobs: Sequence[EncodeJob], sizes: Sequence[int]) -> list[EncodeShare]:
        """See `Place`; a step has the whole machine, so there is nothing to share."""
        return []

    def encode(
        self, jobs: Sequence[EncodeJob], shares: Sequence[EncodeShare], listener: Listener
    ) -> None:
        """See `Place`."""
        processes.run_all([_encode_work(job) for job in jobs], 1, listener)

    def run_all(self, works: Sequence[Work], listener: Listener) -> None:
        """See `Place`."""
        processes.run_all(works, self.workers, listener)


class OnRay:
    """A Ray cluster.

    Args:
        cluster: It.
        workers: Units at a time; None leaves it to the cluster.
    """

    def __init__(self, cluster: Cluster, workers: int | None) -> None:
        self.cluster, self.workers = cluster, workers
        # As many as encoding takes here, so that the numbers are those of this machine alone.
        largest = max(node.cores for node in cluster.nodes)
        self.encode_threads = min(environment.cores(), largest)

    def check(self, asked: Asked) -> str | None:
        """See `Place`: folders are shared, versions equal, and every need is met by some node."""
        needs = [_need_of(job) for job in asked.encode if not _is_remote(job)]
        needs += asked.needs
        return self.cluster.check(asked.folders, _paths(asked.named), needs) if needs else None

    def shares(self, jobs: Sequence[EncodeJob], sizes: Sequence[int]) -> list[EncodeShare]:
        """See `Place`.

        An encoder and its shuffled control have the same shards, made once. Where energy is
        measured a step stays in one piece: what others use would not be known.
        """
        found: dict[tuple[str, str, str], list[EncodeShare]] = {}
        for job, size in zip(jobs, sizes, strict=True):
            base = job.reference.removeprefix(SHUFFLED)
            key = (job.fingerprint, base, job.text_recipe)
            if key in found or job.meter.on or not _can_be_shared(job):
                continue
            parts = min(self.cluster.nodes.units(_need_of(job)), -(-size // CAPACITY))
            parts = min(parts, self.workers or parts)
            found[key] = [EncodeShare(job, part, parts) for part in range(parts) if parts > 1]
        return [share for shares in found.values() for share in shares]

    def encode(
        self, jobs: Sequence[EncodeJob], shares: Sequence[EncodeShare], listener: Listener
    ) -> None:
        """See `Place`. Models behind an address are asked from here, where they are counted."""
        asked = [job for job in jobs if _is_remote(job)]
        processes.run_all([_encode_work(job) for job in asked], 1, listener)
        works = [
            Work(share.key, do_encode_share, share, share.log, need=_need_of(share.job))
            for share in shares
        ]
        heard = _Failures(listener)
        self.cluster.run_all(works, self.workers, heard)
        broken = {s.job.result: heard.failures[s.key] for s in shares if s.key in heard.failures}
        able = []
        for job in jobs:
            if job.result in broken:
                listener.started(str(job.result))
                listener.ended(str(job.result), broken[job.result])
            elif not _is_remote(job):
                able.append(_encode_work(job, replace(_need_of(job), alone=True)))
        self.cluster.run_all(able, self.workers, listener)

    def run_all(self, works: Sequence[Work], listener: Listener) -> None:
        """See `Place`."""
        self.cluster.run_all(works, self.workers, listener)


class _Failures(Listener):
    """Keeps what failed, and passes everything on."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.failures: dict[str, Failure] = {}

    @override
    def started(self, key: str) -> None:
        self.listener.started(key)

    @override
    def said(self, key: str, text: str) -> None:
        self.listener.said(key, text)

    @override
    def ended(self, key: str, failure: Failure | None) -> None:
        if failure is not None:
            self.failures[key] = failure
        self.listener.ended(key, failure)


def default_workers(threads: int) -> int:
    """Runs at a time: as many as cores and memory allow, at most 8; one on an accelerator."""
    import psutil

    if environment.has_accelerator():
        return 1
    by_memory = psutil.virtual_memory().available // MEMORY_PER_WORKER
    return int(max(1, min(environment.cores() // threads, by_memory, MAX_WORKERS)))


@contextmanager
def place_of(on: str | None, workers: int | None, threads: int) -> Iterator[Place]:
    """The place that `on` names, while the block lasts.

    Args:
        on: What `tastebench.runs.on_ray.connect` takes; None is this machine.
        workers: At a time; None takes what the place offers.
        threads: Of a run.
    """
    if on is None:
        yield Here(workers or default_workers(threads), environment.cores())
        return
    from tastebench.runs.on_ray import connect

    with connect(on) as cluster:
        yield OnRay(cluster, workers)


def record_of(folder: Path, *, wait: bool) -> Record:
    """The record of a run that has ended.

    Args:
        folder: Where it belongs.
        wait: Another machine wrote it: network file systems show that a while later.

    Raises:
        DataError: It does not appear.
    """
    end = time.monotonic() + (SHOWN_SECONDS if wait else 0.0)
    while (record := store.find_record(folder)) is None:
        if time.monotonic() >= end:
            raise DataError(
                "a run has ended and its record is not here",
                where=str(folder),
                fix="put --out on storage that shows files of other machines at once (NFS: mount "
                "with lookupcache=positive), and give the same command again",
            )
        time.sleep(0.1)
        if folder.parent.is_dir():
            list(folder.parent.iterdir())  # looking a folder through asks the server anew
    return record


def wants_gpu(card: RecommenderCard, params: Mapping[str, Any]) -> bool:
    """Whether a recommender with these hyper-parameters computes on a GPU where there is one."""
    field = card.config.model_fields.get("device")
    return field is not None and params.get("device", field.default) != "cpu"


def _paths(names: Sequence[str]) -> list[Path]:
    """Those of the names that are files or folders here."""
    paths = [Path(bare(name)).expanduser() for name in names if "/" in name]
    return [path.resolve() for path in paths if path.exists()]


def _encode_work(job: EncodeJob, need: Need = ANY) -> Work:
    return Work(str(job.result), do_encode, job, job.folder / "log.txt", need=need)


def _need_of(job: EncodeJob) -> Need:
    """What an encode step takes, or a share of it."""
    from tastebench.encoders import get_encoder

    # Encoders that compute on a device say on which; the others have none.
    encoder = get_encoder(bare(job.reference))
    return Need(cores=job.threads, gpu=hasattr(encoder, "device"), memory=MEMORY_PER_WORKER)


def _is_remote(job: EncodeJob) -> bool:
    return bare(job.reference).startswith(_REMOTE)


def _can_be_shared(job: EncodeJob) -> bool:
    from tastebench.encoders import get_encoder
    from tastebench.encoders.vectors import can_be_shared

    return not _is_remote(job) and can_be_shared(get_encoder(job.reference))
