"""Finished calls of a model, kept one by one: what was paid for is never asked for again.

Whoever asks a model keeps its answers in such a file: `tastebench.lm.asking` asks what is missing.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

from typing_extensions import override

from tastebench.errors import DataError, UsageError
from tastebench.files import canonical_json, parse_json
from tastebench.lm.answers import Answer, Token
from tastebench.lm.spending import Price, Usage


@dataclass(frozen=True)
class Call:
    """A question and its answer.

    Attributes:
        key: Hash of the whole conversation, and of what else decides the answer where that is not
            the same for the whole file.
        prompt: Hash of the prompt it was made by.
        text: The answer; empty where there is none.
        finish_reason: Why the server stopped; `refused` where it did not let the model answer.
        refusal: The model's own words for declining.
        prompt_tokens: Read.
        completion_tokens: Written.
        seconds: From sending to the answer.
        tokens: Of the answer, with log-probabilities; None where none were asked for or given.
    """

    key: str
    prompt: str
    text: str
    finish_reason: str
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    tokens: tuple[Token, ...] | None = None

    @classmethod
    def of(cls, key: str, prompt: str, answer: Answer) -> Call:
        """The call that an answer belongs to."""
        return cls(
            key=key,
            prompt=prompt,
            text=answer.text,
            finish_reason=answer.finish_reason,
            refusal=answer.refusal,
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
            seconds=round(answer.usage.seconds, 3),
            tokens=_sound(answer.tokens),
        )


class Calls(Mapping[str, Call]):
    """The calls in a file of JSON lines, by key; open for one process at a time.

    A line is on the disk before `add` returns. A line that a kill cut off is removed.

    Args:
        path: The file; made if it is not there.
        wait: Wait for a process that has it open.

    Raises:
        UsageError: Another process has it open, and this one does not wait.
        DataError: A whole line is damaged.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self._file.close()
            raise UsageError(
                "another process is asking the same",
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
            value = parse_json(line)
            call = Call(**{**value, "tokens": _tokens(value.get("tokens"))})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise DataError(
                f"a kept call is damaged: {error}",
                where=f"{path}, row {number}",
                fix="remove this line: the call is made again",
            ) from error
        calls[call.key] = call
        whole += len(line)
    return calls, whole


def _tokens(value: list[dict[str, Any]] | None) -> tuple[Token, ...] | None:
    """Tokens as they were written."""
    if value is None:
        return None
    return tuple(Token(t["text"], t["logprob"], tuple(map(tuple, t["top"]))) for t in value)


def _sound(tokens: tuple[Token, ...] | None) -> tuple[Token, ...] | None:
    """Tokens without what has no probability at all; None where a server gives no numbers.

    JSON knows no infinity, and the logarithm of 0 is one.
    """
    if tokens is None or any(math.isnan(p) for t in tokens for _, p in (("", t.logprob), *t.top)):
        return None
    if any(math.isinf(token.logprob) for token in tokens):
        return None
    return tuple(
        Token(token.text, token.logprob, tuple(one for one in token.top if math.isfinite(one[1])))
        for token in tokens
    )
