"""Finished calls of a model, kept one by one: what was paid for is never asked for again."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from typing_extensions import override

from tastebench.errors import DataError, UsageError
from tastebench.files import canonical_json
from tastebench.lm.spending import Price, Usage


@dataclass(frozen=True)
class Call:
    """A question and its answer.

    Attributes:
        key: Hash of the whole conversation.
        prompt: Hash of the prompt it was made by.
        text: The answer; empty where there is none.
        finish_reason: Why the server stopped.
        refusal: The model's own words for declining.
        prompt_tokens: Read.
        completion_tokens: Written.
        seconds: From sending to the answer.
    """

    key: str
    prompt: str
    text: str
    finish_reason: str
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Calls(Mapping[str, Call]):
    """The calls in a file of JSON lines, by key; open for one process at a time.

    A line is on the disk before `add` returns. A line that a kill cut off is removed.

    Args:
        path: The file; made if it is not there.

    Raises:
        UsageError: Another process has it open.
        DataError: A whole line is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UsageError(
                "another process is making the same queries",
                where=str(path),
                fix="wait for it, or end it: what it has finished is kept",
            ) from None
        self._calls, whole = _read(self._file, path)
        self._file.truncate(whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @override
    def __getitem__(self, key: str) -> Call:
        return self._calls[key]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    @override
    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        """Keeps a call."""
        self._file.write(canonical_json(asdict(call)).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._calls[call.key] = call


def read_calls(path: Path) -> dict[str, Call]:
    """The calls in a file, without opening it for more; none where there is no file.

    Raises:
        DataError: A whole line is damaged.
    """
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return _read(file, path)[0]


def usage(calls: Mapping[str, Call], price: Price | None) -> Usage:
    """What calls took."""
    read = sum(call.prompt_tokens for call in calls.values())
    written = sum(call.completion_tokens for call in calls.values())
    seconds = sum(call.seconds for call in calls.values())
    usd = price.of(read, written) if price else None
    return Usage(len(calls), 0, read, written, seconds, usd)


def _read(file: IO[bytes], path: Path) -> tuple[dict[str, Call], int]:
    """The calls by key, and how many bytes of the file are whole lines."""
    file.seek(0)
    calls: dict[str, Call] = {}
    whole = 0
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            call = Call(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"a kept call is damaged: {error}",
                where=f"{path}, row {number}",
                fix="remove this line: the call is made again",
            ) from error
        calls[call.key] = call
        whole += len(line)
    return calls, whole
