"""What a thousand recommendations cost, on boards with language models."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tastebench.board import make_board
from tastebench.board.export import to_json, to_markdown
from tastebench.board.figures import thousands
from tastebench.board.load import Entry, sort_out
from tastebench.board.model import Board
from tastebench.runs.record import Cost, Latency, Percentiles, Record

Make = Callable[..., Record]


def board_of(*records: Record) -> Board:
    return make_board(sort_out([Entry(record) for record in records]), row_by="recommender")


def timed(mean: float | None) -> Cost:
    cached = Percentiles(p50=1.0, p95=2.0, p99=3.0, n=10, mean=mean)
    return Cost(wall_seconds=1.0, latency=Latency(cached=cached, first_ms=1, k=1, budget_seconds=1))


def probes(**taken: float) -> dict[str, float]:
    return {f"{name}_per_thousand": value for name, value in taken.items()}


LOCAL = probes(prompt_tokens=430_000, completion_tokens=1_250, seconds=12.5)
PAID = probes(prompt_tokens=430_000, completion_tokens=2_000, seconds=900.0, usd=0.25)


def cells(board: Board) -> dict[str, str]:
    (column,) = thousands(board).values()
    return dict(zip([row.name for row in board.rows], column, strict=True))


def test_money_where_there_is_a_price_else_seconds_and_tokens(record: Make) -> None:
    board = board_of(
        record("ctr", "llm", probes=PAID),
        record("ctr", "llm-rank", probes=LOCAL),
        record("ctr", "dnn", cost=timed(0.03)),
        record("ctr", "popularity", kind="control", cost=timed(None)),
    )
    assert cells(board) == {
        "llm": "$0.2500",
        "llm-rank": "12.5s 431k tok",
        # Milliseconds a request are seconds a thousand.
        "dnn": "0.03s",
        "popularity": "-",
    }
    (note,) = (note for note in board.notes if note.startswith("per 1,000"))
    assert "one at a time" in note
    assert "per 1,000 |" in to_markdown(board) and "| 12.5s 431k tok |" in to_markdown(board)
    assert "12.5s 431k tok" in str(board)
    rows = {row["name"]: row["cost"]["per_thousand"] for row in json.loads(to_json(board))["rows"]}
    assert rows["llm"]["ctr/shop"] == {
        "usd": 0.25,
        "seconds": 900.0,
        "prompt_tokens": 430_000.0,
        "completion_tokens": 2000.0,
        "asked": True,
    }
    assert rows["dnn"]["ctr/shop"]["seconds"] == 0.03 and not rows["dnn"]["ctr/shop"]["asked"]


def test_seeds_are_averaged_and_what_one_lacks_is_unknown(record: Make) -> None:
    def llm(seed: int, **taken: float) -> Record:
        return record("ctr", "llm", spec={"seed": seed}, probes=probes(**taken))

    (row,) = board_of(llm(0, seconds=1.0, usd=0.5), llm(1, seconds=2.0)).rows
    found = row.cost["per_thousand"]["ctr/shop"]
    assert (found["seconds"], found["usd"]) == (1.5, None)


def test_of_several_places_the_dearest_is_shown(record: Make) -> None:
    board = board_of(
        record("ctr", "llm", probes=LOCAL),
        record("ctr", "llm", probes=probes(seconds=80.0, prompt_tokens=9e5), spec={"dataset": "b"}),
    )
    assert cells(board) == {"llm": "1m20s 900k tok"}


def test_boards_without_language_models_have_no_such_column(record: Make) -> None:
    board = board_of(record("ctr", "dnn", cost=timed(0.03)))
    assert thousands(board) == {}
    assert not [note for note in board.notes if note.startswith("per 1,000")]
    assert "per 1,000" not in to_markdown(board)


@pytest.mark.parametrize("kept", [{}, {"order_spread": 0.5}])
def test_other_probes_are_no_costs(record: Make, kept: dict[str, Any]) -> None:
    (row,) = board_of(record("ctr", "llm", probes=kept, cost=timed(4.0))).rows
    assert row.cost["per_thousand"]["ctr/shop"]["seconds"] == 4.0
    assert row.cost["per_thousand"]["ctr/shop"]["asked"] is False
