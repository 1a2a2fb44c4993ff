"""What a process may use and what it used: threads and memory."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Inside the block the numerical libraries use at most `n` threads; before as after."""
    import torch
    from threadpoolctl import threadpool_limits

    numba = sys.modules.get("numba")
    before = torch.get_num_threads(), numba.get_num_threads() if numba else None
    with threadpool_limits(n):
        try:
            torch.set_num_threads(n)
            if numba:
                numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
            yield
        finally:
            torch.set_num_threads(before[0])
            if numba:
                numba.set_num_threads(before[1])


def announce_threads(n: int) -> None:
    """Sets what libraries read that are loaded or first used from now on.

    For a process that does one run and ends: the environment stays changed.
    """
    os.environ["OMP_NUM_THREADS"] = str(n)
    os.environ["POLARS_MAX_THREADS"] = str(n)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if n > 1 else "false"
    if "numba" not in sys.modules:  # loaded, it refuses a changed environment
        os.environ["NUMBA_NUM_THREADS"] = str(n)


def peak_memory() -> int:
    """High-water mark of this process's resident memory, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)


def peak_gpu_memory() -> int | None:
    """Most memory that torch had allocated on the GPU, in bytes; None without one."""
    import torch

    # torch ships no type for is_initialized.
    if not torch.cuda.is_available() or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return int(torch.cuda.max_memory_allocated())


def busy_seconds() -> float:
    """Seconds that the machine's cores have worked since it was started, all processes together."""
    import psutil

    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))
