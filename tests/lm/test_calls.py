from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tastebench.errors import DataError, UsageError
from tastebench.lm.answers import Answer, Token
from tastebench.lm.calls import Call, Calls, read_calls, usage
from tastebench.lm.spending import Price, Usage

CALL = Call("k1", "p", "I need \u8336", "stop", None, 100, 20, 1.5)


def test_what_is_added_is_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "calls.jsonl"
    assert read_calls(path) == {}
    with Calls(path) as calls:
        calls.add(CALL)
        calls.add(replace(CALL, key="k2", refusal="no"))
        assert read_calls(path) == dict(calls)  # before it is closed
    with Calls(path) as again:
        assert list(again) == ["k1", "k2"]
        assert again["k1"] == CALL


def test_a_line_that_was_cut_off_is_no_call_and_spoils_none_after_it(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Calls(path) as calls:
        calls.add(CALL)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    assert list(read_calls(path)) == ["k1"]
    with Calls(path) as calls:
        calls.add(replace(CALL, key="k2"))
    assert path.read_bytes().startswith(whole)
    assert list(read_calls(path)) == ["k1", "k2"]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Calls(path) as calls:
        calls.add(CALL)
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(DataError) as error:
        Calls(path)
    assert error.value.where == f"{path}, row 2"


def test_only_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Calls(path), pytest.raises(UsageError, match="another process"):
        Calls(path)
    with Calls(path):
        pass


def test_what_calls_took() -> None:
    used = usage({"a": CALL, "b": CALL}, Price(1.0, 10.0))
    assert (used.requests, used.tokens, used.seconds) == (2, 240, 3.0)
    assert used.usd == pytest.approx((200 * 1.0 + 40 * 10.0) / 1e6)
    assert usage({}, None).usd is None


def test_log_probabilities_are_kept_as_they_were_and_what_is_no_number_is_not(
    tmp_path: Path,
) -> None:
    tokens = (Token("Yes", -0.25, (("Yes", -0.25), ("No", -math.inf))), Token(".", -0.125))
    answer = Answer("Yes.", "stop", Usage(1, 0, 7, 2, 0.0625), tokens=tokens)
    call = Call.of("k", "p", answer)
    assert call.tokens == (Token("Yes", -0.25, (("Yes", -0.25),)), Token(".", -0.125))
    with Calls(tmp_path / "calls.jsonl") as calls:
        calls.add(call)
    assert read_calls(tmp_path / "calls.jsonl") == {"k": call}
    broken = replace(answer, tokens=(Token("Yes", -0.25, (("No", math.nan),)),))
    assert Call.of("k", "p", broken).tokens is None
    assert Call.of("k", "p", replace(answer, tokens=(Token("Yes", -math.inf),))).tokens is None


def test_who_may_wait_waits_for_the_other_process(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    first = Calls(path)
    found: list[int] = []

    def second() -> None:
        with Calls(path, wait=True) as calls:
            found.append(len(calls))

    waiting = threading.Thread(target=second)
    waiting.start()
    with first:
        first.add(CALL)
        assert not found
    waiting.join(timeout=30)
    assert found == [1]
