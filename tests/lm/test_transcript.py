"""What was asked and said is kept as it was, as far as there is room, and no key with it."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastebench.errors import DataError
from tastebench.files import hash_json
from tastebench.lm.calls import Call
from tastebench.lm.transcript import Transcript, read_transcript, transcript_of, write_transcript

CALL = Call("k", "p", "[1] \u8336\nline two \x00 \ud83d", "stop", None, 100, 20, 1.5)
KEY = "sk-canary-1234567890"


def conversation(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "You rank."}, {"role": "user", "content": text}]


def written(transcript: Transcript, path: Path) -> list[dict[str, Any]]:
    write_transcript(
        path,
        transcript,
        lambda rows: [f"u{row}" for row in rows],
        lambda rows: [f"i{row}" for row in rows],
    )
    return list(read_transcript(path))


def test_what_was_asked_and_said_is_read_again_as_it_was(tmp_path: Path) -> None:
    asked, none = conversation("red\twool \u8336"), conversation("nobody's")
    transcript = Transcript()
    transcript.add(3, [7, 2], asked, CALL, "answered")
    transcript.add(None, [], none, replace(CALL, text="", refusal="No."), "refused")
    first, second = written(transcript, tmp_path / "deep" / "calls.jsonl.zst")
    assert first == {
        "user_id": "u3",
        "item_ids": ["i7", "i2"],
        "prompt_hash": hash_json(asked),
        "prompt": asked,
        "answer": CALL.text,
        "status": "answered",
        "refusal": None,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "seconds": 1.5,
    }
    assert (second["user_id"], second["item_ids"], second["refusal"]) == (None, [], "No.")


def test_other_programs_read_it(tmp_path: Path) -> None:
    """A line of JSON an object, in Zstandard's own format: its magic number, and its own tool."""
    transcript = Transcript()
    transcript.add(0, [1], conversation("a"), CALL, "answered")
    path = tmp_path / "calls.jsonl.zst"
    written(transcript, path)
    assert path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    polars = pytest.importorskip("polars")
    assert polars.read_ndjson(path.read_bytes())["status"].to_list() == ["answered"]
    if (tool := shutil.which("zstd")) is not None:
        plain = subprocess.run([tool, "-dc", path], check=True, capture_output=True).stdout
        assert json.loads(plain)["user_id"] == "u0"


def test_a_question_asked_twice_stands_there_once() -> None:
    transcript = Transcript()
    for _ in range(2):
        transcript.add(3, [7], conversation("a"), CALL, "answered")
    transcript.add(3, [8], conversation("a"), CALL, "answered")
    transcript.add(4, [7], conversation("a"), CALL, "answered")
    assert [(line.user, line.items) for line in transcript.lines] == [
        (3, (7,)),
        (3, (8,)),
        (4, (7,)),
    ]


def test_prompts_take_half_of_the_room_and_what_has_none_is_counted(tmp_path: Path) -> None:
    transcript = Transcript(room=20_000)
    call = replace(CALL, text="x" * 700)
    for user in range(40):
        transcript.add(user, [0], conversation("y" * 2000), call, "answered")
    whole = [line.prompt is not None for line in transcript.lines]
    # A line takes about 256 + 8 + 700 bytes, 2,009 more with its prompt: three fit into 10,000,
    # and behind these 8,919 the other 11,081 hold eleven.
    assert whole == [True] * 3 + [False] * 11
    assert transcript.left_out == 40 - 14
    lines = written(transcript, tmp_path / "calls.jsonl.zst")
    assert lines[-1] == {"left_out": 26}
    assert lines[10]["prompt"] is None and lines[10]["answer"] == "x" * 700
    assert lines[10]["prompt_hash"] == lines[0]["prompt_hash"]


def test_a_key_that_somebody_repeats_is_hidden(tmp_path: Path) -> None:
    transcript = Transcript(KEY)
    call = replace(CALL, text=f"Yes, {KEY}!", refusal=f"bad key {KEY}")
    transcript.add(0, [1], conversation(f"my key: {KEY}"), call, "refused")
    (line,) = written(transcript, tmp_path / "calls.jsonl.zst")
    assert KEY not in json.dumps(line)
    assert line["answer"] == "Yes, ***!" and line["prompt"][1]["content"] == "my key: ***"


def test_what_servers_without_a_key_are_given_stays_a_word() -> None:
    transcript = Transcript("none")
    transcript.add(0, [1], conversation("none of it"), CALL, "answered")
    assert transcript.lines[0].prompt == conversation("none of it")


@pytest.mark.parametrize("damage", [lambda b: b[:-8], lambda b: b"junk", lambda b: b""])
def test_a_damaged_file_says_so(tmp_path: Path, damage: Any) -> None:
    transcript = Transcript()
    transcript.add(0, [1], conversation("a" * 500), CALL, "answered")
    path = tmp_path / "calls.jsonl.zst"
    written(transcript, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="kept answers are damaged"):
        list(read_transcript(path))


def test_who_asks_nobody_has_none() -> None:
    assert transcript_of(object()) is None
