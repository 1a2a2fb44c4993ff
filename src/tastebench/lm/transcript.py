"""What a model was asked for a run and what it said, to be read beside the run's record.

One object a question, in the order of asking, bounded in size: the whole texts of prompts until
they have taken half of the room, then their hashes alone; when all of it is taken, what comes is
counted and no more kept. The key that a server is asked with is replaced wherever one repeats it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tastebench.errors import DataError
from tastebench.files import atomic_file, hash_json, parse_json
from tastebench.lm.asking import Conversation
from tastebench.lm.calls import Call
from tastebench.lm.endpoint import HIDDEN, SHORTEST_KEY

ROOM = 64 * 2**20
"""Bytes of a transcript at most, about, before it is compressed."""

_AROUND = 256
"""Bytes of an object beside its texts, about."""


@dataclass(frozen=True, eq=False)
class Line:
    """A question and its answer.

    Attributes:
        user: Row in the users index; None where nobody in particular asks.
        items: Rows of the items that were asked about, in the order in which they were shown.
        hash: Of the whole prompt.
        prompt: Its messages; None where there was no more room for them.
        answer: As it was written.
        status: What came of it, by the name under which it is counted.
        refusal: The model's own words for declining.
        prompt_tokens, completion_tokens: Read and written.
        seconds: From asking to the answer.
    """

    user: int | None
    items: tuple[int, ...]
    hash: str
    prompt: Conversation | None
    answer: str
    status: str
    refusal: str | None
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Transcript:
    """Questions and answers of a run, each once.

    Args:
        key: What a server is asked with; it stands in no line.
        room: Bytes that all lines may take, about.

    Attributes:
        lines: In the order of asking.
        left_out: Questions that there was no room for.
    """

    def __init__(self, key: str | None = None, room: int = ROOM) -> None:
        self.lines: list[Line] = []
        self.left_out = 0
        self._key = key if key is not None and len(key) >= SHORTEST_KEY else None
        self._room, self._taken, self._full = room, 0, False
        self._seen: set[str] = set()

    def add(
        self,
        user: int | None,
        items: Sequence[int],
        conversation: Conversation,
        call: Call,
        status: str,
    ) -> None:
        """Takes up a question and its answer, unless it was asked and answered so before."""
        shown = tuple(int(item) for item in items)
        prompt = hash_json(conversation)
        question = hash_json([user, shown, prompt, call.text])
        if question in self._seen:
            return
        self._seen.add(question)
        asked = [{name: self._plain(said) for name, said in one.items()} for one in conversation]
        answer, refusal = self._plain(call.text), call.refusal and self._plain(call.refusal)
        own = _AROUND + 8 * len(shown) + _bytes(answer) + _bytes(refusal or "")
        of_prompt = sum(_bytes(one["content"]) for one in asked)
        # Once one prompt has no room no later one has, so that a reader knows where they end.
        self._full |= self._taken + own + of_prompt > self._room // 2
        if self.left_out or self._taken + own > self._room:
            self.left_out += 1
            return
        self._taken += own + (0 if self._full else of_prompt)
        self.lines.append(
            Line(
                user,
                shown,
                prompt,
                None if self._full else asked,
                answer,
                status,
                refusal,
                call.prompt_tokens,
                call.completion_tokens,
                round(call.seconds, 6),
            )
        )

    def _plain(self, text: str) -> str:
        return text if self._key is None else text.replace(self._key, HIDDEN)


def transcript_of(recommender: Any) -> Transcript | None:
    """What a recommender's model was asked; None for recommenders that have nothing written."""
    found = getattr(recommender, "transcript", None)
    return found if isinstance(found, Transcript) else None


def write_transcript(
    path: Path,
    transcript: Transcript,
    users_of: Callable[[list[int]], list[Any]],
    items_of: Callable[[list[int]], list[Any]],
) -> None:
    """Writes JSON lines, compressed, atomically; the last says what was left out, if anything was.

    Args:
        path: The file, `calls.jsonl.zst`.
        transcript: What is written.
        users_of: Rows of users to their ids.
        items_of: Rows of items to theirs.
    """
    with atomic_file(path) as temporary, _zstd().open(temporary, "wb") as file:
        for value in _values(transcript, users_of, items_of):
            file.write(json.dumps(value, ensure_ascii=True).encode() + b"\n")


def read_transcript(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one after the other.

    Raises:
        DataError: It is damaged.
    """
    zstd = _zstd()
    try:
        with zstd.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield parse_json(line)
    except (EOFError, ValueError, zstd.ZstdError) as error:
        raise DataError(
            f"kept answers are damaged: {error}",
            where=str(path),
            fix="remove the folder of the record and run the plan again: answers of servers are "
            "kept elsewhere, and nothing is paid twice",
        ) from error


def _values(
    transcript: Transcript,
    users_of: Callable[[list[int]], list[Any]],
    items_of: Callable[[list[int]], list[Any]],
) -> Iterable[dict[str, Any]]:
    lines = transcript.lines
    users = iter(users_of([line.user for line in lines if line.user is not None]))
    items = iter(items_of([item for line in lines for item in line.items]))
    for line in lines:
        yield {
            "user_id": None if line.user is None else next(users),
            "item_ids": [next(items) for _ in line.items],
            "prompt_hash": line.hash,
            "prompt": line.prompt,
            "answer": line.answer,
            "status": line.status,
            "refusal": line.refusal,
            "prompt_tokens": line.prompt_tokens,
            "completion_tokens": line.completion_tokens,
            "seconds": line.seconds,
        }
    if transcript.left_out:
        yield {"left_out": transcript.left_out}


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _zstd() -> Any:
    """The standard library's module from Python 3.14 on, and the same one for older ones."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
