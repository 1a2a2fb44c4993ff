from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tastebench.build.calls import Call, Calls, read_calls, usage
from tastebench.errors import DataError, UsageError
from tastebench.lm.spending import Price

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
