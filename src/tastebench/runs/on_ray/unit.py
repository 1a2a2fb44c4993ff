"""What a Ray worker does: one unit of work, in a process of its own as on one machine.

Ray's own worker only stands by. So memory, threads and environment of a run are those of a process
forked from a server that has loaded the libraries once; the server stays with the worker, and the
next unit there starts warm. When a worker is killed its process notices and ends.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from typing_extensions import override

from tastebench.runs.processes import Host, Listener, Work, run_all
from tastebench.runs.record import Failure

TAKEN = (
    "TASTEBENCH_",
    "OPENAI_",
    "HF_",
    "HUGGING",
    "TRANSFORMERS_",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "KMP_",
    "NUMBA_",
    "ONEDNN_",
    "DNNL_",
    "ATEN_",
    "CUBLAS_",
    "NVIDIA_TF32",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT",
    "REQUESTS_CA_BUNDLE",
)
"""Beginnings of the environment variables that travel: our settings, keys of remote models, and
what numerical libraries read. The caller's stand on every node, and what it has not is unset there;
everything else (folders, devices) is the node's own."""


@dataclass(frozen=True)
class Caller:
    """What every unit needs of whoever started the plan.

    Its variables hold keys, so they travel as an argument, which Ray shows nowhere; not in a
    runtime environment, which it shows to everyone.

    Attributes:
        variables: Its environment, as far as it travels.
        folder: Its working folder.
    """

    variables: Mapping[str, str]
    folder: Path

    def __repr__(self) -> str:
        return f"Caller({len(self.variables)} variables, {self.folder})"


def taken(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that travels."""
    return {name: value for name, value in environment.items() if name.upper().startswith(TAKEN)}


def do_unit(board: Any, unit: str, work: Work, caller: Caller) -> Failure | None:
    """Does a unit's work; returns why it could not, as its process said."""
    node = ray.get_runtime_context().get_node_id()
    _wait(board.enter.remote(unit, node, work.need.alone))
    own = {name: value for name, value in os.environ.items() if name not in taken(os.environ)}
    host = Host(
        turn=lambda: _wait(board.alone.remote(unit, node)),
        environment={**own, **caller.variables},
        folder=caller.folder,
    )
    teller = _Teller(board, unit)
    with _plain_process(caller.variables):
        run_all([work], 1, teller, host)
    _wait(board.leave.remote(unit))
    return teller.failure


class _Teller(Listener):
    def __init__(self, board: Any, unit: str) -> None:
        self.board, self.unit = board, unit
        self.failure: Failure | None = None

    @override
    def said(self, key: str, text: str) -> None:
        self.board.say.remote(self.unit, text)

    @override
    def ended(self, key: str, failure: Failure | None) -> None:
        self.failure = failure


def _wait(reference: Any) -> None:
    """Waits for the board while the unit keeps its cores.

    Ray lends a task's cores to others while its main thread waits, and takes them back whether they
    are free or not: too many would run at once. Other threads it leaves alone.
    """
    trouble: list[BaseException] = []

    def get() -> None:
        try:
            ray.get(reference)
        except Exception as error:  # raised again in the main thread
            trouble.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    thread.join()
    if trouble:
        raise trouble[0]


@contextmanager
def _plain_process(variables: Mapping[str, str]) -> Iterator[None]:
    """Within, processes are started as from a plain interpreter.

    Ray puts packages of its own (psutil) before the installed ones and limits the threads of
    libraries by its own count; the server that runs are forked from would keep both.
    """
    path, before = list(sys.path), os.environ.get("OMP_NUM_THREADS")
    own = Path(ray.__file__).parent
    sys.path[:] = [entry for entry in path if own not in Path(entry).parents]
    os.environ.pop("OMP_NUM_THREADS", None)
    if "OMP_NUM_THREADS" in variables:
        os.environ["OMP_NUM_THREADS"] = variables["OMP_NUM_THREADS"]
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.pop("OMP_NUM_THREADS", None)
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
