"""Answers of servers, no longer than an answer can be, packed or not.

A server that is asked may be anybody's: it can send without end, or a few bytes that unpack to any
number. What comes is counted while it comes, and unpacked here in small pieces.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

MOST = 1 << 28
"""Bytes of an answer, unpacked: ten times the largest batch of vectors."""
ENCODINGS = "gzip, deflate"
"""What is said to be understood, and is."""

_PIECE = 1 << 16


def bound() -> Callable[[Any], None]:
    """A hook that puts a bound on what a response can hold, for the client's `event_hooks`.

    The HTTP library below the client has had two names; the one in use is asked for its classes.
    """
    import openai

    library = next(
        kind.__module__.partition(".")[0]
        for kind in openai.DefaultHttpxClient.__mro__
        if not kind.__module__.startswith("openai")
    )
    http: Any = sys.modules[library]

    class Bounded(http.SyncByteStream):  # type: ignore[misc]
        """A stream, unpacked, that ends with an error where it does not end by itself."""

        def __init__(self, stream: Any, packed: str) -> None:
            self._stream, self._packed = stream, packed

        def __iter__(self) -> Iterator[bytes]:
            taken = 0
            try:
                for piece in _unpacked(self._stream, self._packed):
                    taken += len(piece)
                    if taken > MOST:
                        raise http.RemoteProtocolError(f"the answer has more than {MOST:,} bytes")
                    yield piece
            except zlib.error as error:
                raise http.DecodingError(str(error)) from error

        def close(self) -> None:
            self._stream.close()

    def hook(response: Any) -> None:
        packed = response.headers.pop("content-encoding", "identity").strip().lower()
        response.stream = Bounded(response.stream, packed)

    return hook


def _unpacked(stream: Any, packed: str) -> Iterator[bytes]:
    """The content of a stream in small pieces; of an encoding not offered, as it is."""
    if packed not in ("gzip", "x-gzip", "deflate"):
        yield from stream
        return
    unpack = zlib.decompressobj(32 + zlib.MAX_WBITS)  # gzip or zlib, as its head says
    for piece in stream:
        left = piece
        while left:
            yield unpack.decompress(left, _PIECE)
            left = unpack.unconsumed_tail
    yield unpack.flush()
