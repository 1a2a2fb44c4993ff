"""Errors say what, where and how to mend it, also from another process."""

from __future__ import annotations

import pickle

import pytest

from tastebench.errors import (
    DataError,
    DependencyError,
    ProtocolError,
    TastebenchError,
    UsageError,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("where", "fix", "text"),
    [
        (None, None, "no column user"),
        ("clicks.csv, row 3", None, "no column user\n  where: clicks.csv, row 3"),
        (None, "--map user=uid", "no column user\n  fix:   --map user=uid"),
        ("x", "y", "no column user\n  where: x\n  fix:   y"),
    ],
)
def test_the_message(where: str | None, fix: str | None, text: str) -> None:
    assert str(DataError("no column user", where=where, fix=fix)) == text


@pytest.mark.parametrize(
    ("kind", "code"),
    [(UsageError, 2), (ProtocolError, 2), (DataError, 4), (DependencyError, 4)],
)
def test_exit_codes_and_what_survives_pickling(kind: type[TastebenchError], code: int) -> None:
    error = kind("what", where="where", fix="fix")
    assert error.exit_code == code
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.what, again.where, again.fix) == ("what", "where", "fix")
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("minillm", ["random", "minilm"], "did you mean minilm?"),
        ("ndgc", ["ndcg", "recall"], "did you mean ndcg?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "there are none"),
        (
            "zzz",
            [f"a{i:02}" for i in range(30)],
            f"known: {', '.join(f'a{i:02}' for i in range(20))}, ... (30 in all)",
        ),
    ],
)
def test_did_you_mean(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint
