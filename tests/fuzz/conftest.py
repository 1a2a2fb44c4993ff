"""What every reader of foreign bytes is held to, and how valid files are bent.

A reader returns a value or raises a `TastebenchError` that says where or how to mend it. It raises
nothing else, it does not hang, and it does not fill the memory. Few examples and always the same
ones are tried here; `TASTEBENCH_FUZZ=N` tries N of each, fresh ones every time.
"""

from __future__ import annotations

import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tastebench.errors import TastebenchError

EXAMPLES = int(os.environ.get("TASTEBENCH_FUZZ", "0"))
FEW = 20
SECONDS = 20
"""A single input may take; the machine may be busy."""
MEMORY = 1 << 29
"""Bytes that the process may grow by over all inputs of a reader."""

Fuzz = Callable[..., None]
Survives = Callable[..., Any]
Bent = Callable[[bytes], st.SearchStrategy[bytes]]

# What files and texts go wrong by: numbers at the ends of their types, what opens and never closes,
# what other programs run or follow.
PIECES: Sequence[bytes] = (
    b"\x00", b"\xff\xff\xff\xff", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\x80" + b"\x00" * 7,
    b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"'", b",", b"\t", b"{", b"[" * 600,
    b"}", b"]", b":", b"null", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"-1", b"0.1", b"true",
    b"\\ud800", b"\\u0000", b"../" * 9, b"%s%n", b"&a [*a,*a]", b"!!python/object:os.system",
    b"<script>", "\u202e\u0000\U0010ffff".encode(), b"PAR1", b"PK\x03\x04", b"__class__",
)  # fmt: skip


def _bend(content: bytes) -> st.SearchStrategy[bytes]:
    place = st.integers(0, max(len(content) - 1, 0))

    @st.composite
    def bent(draw: st.DrawFn) -> bytes:
        data = bytearray(content)
        for _ in range(draw(st.integers(1, 3))):
            at = min(draw(place), max(len(data) - 1, 0))
            how = draw(st.sampled_from(["flip", "cut", "drop", "put", "swap", "repeat", "move"]))
            other = min(draw(place), len(data))
            low, high = min(at, other), max(at, other)
            if how == "flip" and data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            elif how == "cut":
                del data[at:]
            elif how == "drop":
                del data[low : min(high, low + 64)]
            elif how == "put":
                data[at:at] = draw(st.sampled_from(PIECES))
            elif how == "swap":
                piece = draw(st.sampled_from(PIECES))
                data[at : at + len(piece)] = piece
            elif how == "repeat":
                data[at:at] = data[low:high][:4096] * draw(st.sampled_from([1, 2, 50]))
            else:
                data[low:low] = data[-draw(st.integers(1, 64)) :]
        return bytes(data)

    return bent()


@pytest.fixture
def bent() -> Bent:
    """From a valid content to strategies of almost valid ones."""
    return _bend


def _late(number: int, frame: Any) -> None:
    raise TimeoutError(f"nothing came back within {SECONDS} s")


@pytest.fixture
def fuzz() -> Fuzz:
    """`fuzz(strategy, check)` gives examples to `check`, watching time and memory."""

    def run(strategy: st.SearchStrategy[Any], check: Callable[[Any], Any], few: int = FEW) -> None:
        @settings(
            max_examples=EXAMPLES or max(few // 2, 8),
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def every(value: Any) -> None:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                check(value)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

        before = signal.signal(signal.SIGALRM, _late)
        try:
            at_first = _peak()
            every()
            grown = _peak() - at_first
        finally:
            signal.signal(signal.SIGALRM, before)
        assert grown < MEMORY, f"the process grew by {grown:,} bytes"

    return run


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def survives() -> Survives:
    """`survives(read)` is what was read, or None where it was refused as it should be."""

    def run(read: Callable[[], Any]) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # damaged caches are reported and made again
                return read()
        except TastebenchError as error:
            assert error.what
            assert error.where or error.fix, f"says neither where nor how to mend it: {error}"
            str(error).encode("utf-8", "surrogateescape")
        return None

    return run


@pytest.fixture
def quick() -> Callable[[Callable[[], Any]], Any]:
    """Runs something that must be done soon: for single inputs built to take long."""

    def run(read: Callable[[], Any]) -> Any:
        began, at_first = time.monotonic(), _peak()
        found = read()
        assert time.monotonic() - began < SECONDS
        assert _peak() - at_first < MEMORY
        return found

    return run
