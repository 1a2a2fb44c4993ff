"""The nodes of a cluster: what they offer, what they see, and whether they are like the caller."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tastebench.errors import DataError, UsageError, counted
from tastebench.runs.processes import Need

PROBE_SECONDS = 180.0
"""A node that has not answered by then is not going to."""

SAME = ("tastebench", "torch")
"""Packages that have to be the same everywhere: another version, other numbers."""

_PROBE = ".tastebench-probe-"


@dataclass(frozen=True)
class Node:
    """A node that can work.

    Attributes:
        id: Ray's.
        name: Its address.
        cores, gpus, memory: What Ray may give away there; memory in bytes, 0 if Ray has no count.
    """

    id: str
    name: str
    cores: int
    gpus: int
    memory: int

    def units(self, need: Need, *, gpu: bool) -> int:
        """How many units with this need it holds at once, as far as cores and devices go."""
        by_cores = self.cores // need.cores
        return min(by_cores, self.gpus) if gpu else by_cores


class Nodes(tuple[Node, ...]):
    """The alive nodes that have a core at least."""

    __slots__ = ()

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> Nodes:
        """From what `ray.nodes()` says."""
        found = []
        for row in rows:
            has = row.get("Resources") or {}
            if row["Alive"] and has.get("CPU", 0) >= 1:
                gpus, memory = int(has.get("GPU", 0)), int(has.get("memory", 0))
                address = row["NodeManagerAddress"]
                found.append(Node(row["NodeID"], address, int(has["CPU"]), gpus, memory))
        return cls(found)

    def wants_gpu(self, need: Need) -> bool:
        """Whether a unit gets a GPU: it can use one, and the cluster has any."""
        return need.gpu and any(node.gpus for node in self)

    def fit(self, need: Need) -> Nodes:
        """Those that could do it if nothing else were there."""
        gpu = self.wants_gpu(need)
        return Nodes(node for node in self if node.units(need, gpu=gpu))

    def units(self, need: Need) -> int:
        """How many units with this need all nodes hold at once."""
        return sum(node.units(need, gpu=self.wants_gpu(need)) for node in self)

    def options(self, need: Need) -> dict[str, float]:
        """The need in Ray's words.

        Memory is our guess and not the run's word, so it is no more than the largest node has: as
        on one machine, a guess does not keep a plan from running.
        """
        options: dict[str, float] = {"num_cpus": need.cores}
        if self.wants_gpu(need):
            options["num_gpus"] = 1
        memory = min(need.memory, max((node.memory for node in self.fit(need)), default=0))
        return {**options, "memory": memory} if memory else options

    def check(self, need: Need) -> None:
        """Refuses what no node can ever do.

        Raises:
            UsageError: No node has so many cores, or none of those has a GPU.
        """
        if self.fit(need):
            return
        gpu = self.wants_gpu(need)
        most = max((node.cores for node in self if node.gpus or not gpu), default=0)
        kind = "node with a GPU" if gpu else "node"
        raise UsageError(
            f"work of this plan needs {counted(need.cores, 'core')} at once, and no {kind} of the "
            f"cluster has more than {most}",
            where=", ".join(f"{node.name}: {counted(node.cores, 'core')}" for node in self),
            fix=f"--set threads={max(1, most)} (another number of threads: other runs), or a "
            "larger node",
        )


class Seen(NamedTuple):
    """What a node answers.

    Attributes:
        versions: Of the packages asked for; None where one is not installed.
        unreadable: Probes that it cannot read or answer, and why.
        absent: Paths that it does not see.
        processor: Its model name; None if unknown.
    """

    versions: dict[str, str | None]
    unreadable: dict[str, str]
    absent: list[str]
    processor: str | None


Ask = Callable[[Callable[..., Any], Sequence[Any]], list[Any]]
"""Calls a function on every node with these arguments; its answers, in the order of the nodes."""


def check_nodes(
    nodes: Nodes, ask: Ask, shared: Sequence[Path], needed: Sequence[Path]
) -> str | None:
    """Asks every node what it is and sees.

    Args:
        nodes: Who is asked.
        ask: How.
        shared: Folders that all nodes read and write.
        needed: Files or folders that all nodes read.

    Returns:
        What is worth knowing and no error: processors of several kinds.

    Raises:
        UsageError: A folder is not shared, or a node has another version of what numbers depend on.
    """
    with _probes(shared) as probes:
        answers = ask(_prober(), ([str(probe) for probe in probes], [str(p) for p in needed], SAME))
        seen = [Seen(*answer) for answer in answers]
        written = {probe: _answers(probe) for probe in probes}
    for node, found in zip(nodes, seen, strict=True):
        _check_versions(node, found)
    for node, found in zip(nodes, seen, strict=True):
        for probe, folder in zip(probes, shared, strict=True):
            reason = found.unreadable.get(str(probe))
            if reason is not None:
                raise _not_shared(folder, node, reason)
        for path in found.absent:
            raise DataError(
                f"the node {node.name} does not see what the plan names",
                where=path,
                fix="put it on storage that every node sees at the same path",
            )
    for probe, folder in zip(probes, shared, strict=True):
        if written[probe] < len({node.id for node in nodes}):
            raise _not_shared(folder, None, "what nodes write does not arrive here")
    kinds = sorted({found.processor or "unknown" for found in seen})
    if len(kinds) > 1:
        return (
            f"the nodes have processors of {len(kinds)} kinds ({'; '.join(kinds)}): "
            "last digits can depend on which of them does a run"
        )
    return None


def _check_versions(node: Node, found: Seen) -> None:
    for package in SAME:
        own, theirs = version(package), found.versions[package]
        if own != theirs:
            has = f"has {package} {theirs}" if theirs else f"has no {package}"
            raise UsageError(
                f"the node {node.name} {has}, and this process has {own}",
                where=f"node {node.id[:12]}",
                fix=f"pip install {package}=={own} in the environment of Ray on every node: "
                "another version, other numbers",
            )


def _not_shared(folder: Path, node: Node | None, reason: str) -> UsageError:
    who = f"the node {node.name} cannot use it" if node else "not every node reaches it"
    return UsageError(
        f"the folder is not on storage that every node sees: {who} ({reason})",
        where=str(folder),
        fix="put results (--out) and TASTEBENCH_HOME on a shared file system, at one path on all "
        "nodes",
    )


@contextmanager
def _probes(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """A file with a token of its own in each folder, gone afterwards with the answers beside it."""
    probes = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f"{_PROBE}{secrets.token_hex(8)}"
            probes.append(probe)
            probe.write_text(probe.name, encoding="utf-8")
        yield probes
    finally:
        for probe in probes:
            for path in (probe, *probe.parent.glob(f"{probe.name}-*")):
                path.unlink(missing_ok=True)


def _answers(probe: Path) -> int:
    return sum(1 for _ in probe.parent.glob(f"{probe.name}-*"))


def _prober() -> Callable[..., Any]:
    """The function that nodes are asked with.

    Made inside another, so that it travels as code: a node without this package can answer too.
    """

    def probe(probes: list[str], needed: list[str], packages: Sequence[str]) -> tuple[Any, ...]:
        import importlib.metadata
        import pathlib
        import uuid

        versions: dict[str, str | None] = {}
        for package in packages:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = None
        unreadable = {}
        for given in probes:
            path = pathlib.Path(given)
            try:
                if path.read_text(encoding="utf-8") != path.name:
                    unreadable[given] = "it reads something else than was written"
                path.with_name(f"{path.name}-{uuid.uuid4().hex}").touch()
            except OSError as error:
                unreadable[given] = error.strerror or str(error)
        absent = [given for given in needed if not pathlib.Path(given).exists()]
        processor = None
        if versions.get("tastebench"):
            from tastebench.runs import environment

            processor = environment.processor()["model"]
        return versions, unreadable, absent, processor

    return probe
