"""What a language model was asked about a unit and what it said, where that was kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tastebench.board.load import Entry
from tastebench.build.printable import printed
from tastebench.lm.transcript import read_transcript

FILE = "calls.jsonl.zst"


@dataclass(frozen=True)
class Call:
    """A question and its answer, as they may be printed.

    Attributes:
        prompt: Role and words of each message; None where there was no more room for them.
        items: Ids of the items that it was about.
        status: What came of the answer.
        refusal: The model's own words for declining.
    """

    prompt: tuple[tuple[str, str], ...] | None
    answer: str
    status: str
    refusal: str | None
    items: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True)
class Calls:
    """All that is kept of a unit.

    Attributes:
        left_out: Questions of the whole run that there was no room for.
    """

    lines: tuple[Call, ...]
    left_out: int


def calls_of(entry: Entry, user: str, items: Iterable[str]) -> Calls | None:
    """What a model was asked about a user; None where nothing of the run is kept in words.

    The file holds the validation part too. A question about items that are not among those of the
    test part is of the other one, and left out.

    Args:
        entry: The run.
        user: Id of the user.
        items: Ids of what the test part has about the user; empty where nobody knows.

    Raises:
        DataError: The file is damaged.
    """
    if entry.folder is None or not (entry.folder / FILE).is_file():
        return None
    known, lines, left_out = set(items), [], 0
    for value in read_transcript(entry.folder / FILE):
        left_out += value.get("left_out", 0)
        if "answer" not in value or str(value.get("user_id")) != user:
            continue
        if not known or known.issuperset(value["item_ids"]):
            lines.append(_call(value))
    return Calls(tuple(lines), left_out)


def _call(value: dict[str, Any]) -> Call:
    prompt = value["prompt"]
    said = None if prompt is None else tuple((m["role"], _lines(m["content"])) for m in prompt)
    return Call(
        prompt=said,
        answer=_lines(value["answer"]),
        status=printed(value["status"]),
        refusal=None if value["refusal"] is None else _lines(value["refusal"]),
        items=tuple(printed(str(item)) for item in value["item_ids"]),
        prompt_tokens=value["prompt_tokens"],
        completion_tokens=value["completion_tokens"],
        seconds=value["seconds"],
    )


def _lines(text: str) -> str:
    """A text of several lines, each safe to print; half a character is a question mark."""
    whole = text.encode(errors="replace").decode()
    return "\n".join(printed(line) for line in whole.splitlines())
