"""What a dataset gives away stands in every record of next-item prediction, and under its board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.board import make_board
from tastebench.board.export import to_json
from tastebench.board.load import Entry, Loaded
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.data.shortcut_facts import Branching, Hits, Reach, Shortcuts
from tastebench.runs.compose import shortcuts
from tastebench.runs.record import Budget, Cost, MetricValue, Record
from tastebench.runs.spec import RunSpec
from tastebench.tasks import TASKS, TaskProtocol

KNOWN = Shortcuts(
    asked=100,
    branching=Branching(successors=2.5, observed=4, without=0),
    hops={
        "1": Reach(share=0.2, candidates=5, chance=0.02),
        "2": Reach(share=0.4, candidates=50, chance=0.1),
    },
    windows={"1": 0.2, "2": 0.3, "5": 0.3, "all": 0.3},
    hits=Hits(windows={"1": 0.1, "2": 0.19, "5": 0.2, "all": 0.2}, popularity=0.01, n=100),
)
SENTENCE = (
    "strong shortcuts, so that a model has to beat graph-walk: few successors (20.0% of answers "
    "next to the last item, 10.0 times what popularity puts there), short memory (95% of the "
    "walk's hits from the last two items)"
)


def a_record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "status": "ok",
        "suite": "study",
        "row_by": "recommender",
        "spec": RunSpec(task="seqrec", dataset="shop", recommender="ease", representation="id"),
        "given": {"params": {}},
        "spec_hash": "0123456789abcdef",
        "protocol": {"task": "seqrec"},
        "protocol_id": "aaaaaaaaaaaa",
        "budget": Budget(),
        "budget_id": "bbbbbbbbbbbb",
        "kind": "model",
        "headline": "ndcg@10",
        "metrics": {"ndcg@10": MetricValue(mean=0.5, low=0.4, high=0.6, n=10)},
        "cost": Cost(wall_seconds=1.0),
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Record(**{**fields, **changes})


def test_a_record_keeps_them_and_older_ones_load_without(tmp_path: Path) -> None:
    a_record(shortcuts=KNOWN).write(tmp_path)
    path = tmp_path / "record.json"
    assert Record.read(path).shortcuts == KNOWN
    value = json.loads(path.read_text())
    del value["shortcuts"], value["sha256"]
    path.write_text(json.dumps(value))
    assert Record.read(path) == a_record()


def test_the_verdict_is_under_the_board_and_in_its_json() -> None:
    board = make_board(Loaded((Entry(a_record(shortcuts=KNOWN)),), (), ()))
    assert f"seqrec/shop: {SENTENCE}" in " ".join(str(board).split())
    told = json.loads(to_json(board))["protocols"][0]["shortcuts"]
    assert (told["verdict"], told["sentence"]) == ("strong", SENTENCE)
    assert told["branching"]["successors"] == 2.5


def test_a_board_of_older_records_says_nothing_of_them() -> None:
    board = make_board(Loaded((Entry(a_record()),), (), ()))
    assert "shortcuts" not in str(board)
    assert json.loads(to_json(board))["protocols"][0]["shortcuts"] is None


def test_only_next_items_have_shortcuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path))
    rows = [(f"u{u}", f"i{(u + k) % 9}", u * 10 + k) for u in range(9) for k in range(5)]
    interactions = pl.DataFrame(rows, schema=["user_id", "item_id", "row"], orient="row")
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(9)]})
    card = DatasetCard(name="tiny", title="Tiny", text_columns=())
    dataset = Dataset.create(card, Tables(items=items, interactions=interactions))
    found = shortcuts(dataset, TASKS.get("seqrec").protocol(dataset))
    assert found is not None and found.asked == 9
    assert shortcuts(dataset, TASKS.get("cf").protocol(dataset)) is None
    assert shortcuts(dataset, TaskProtocol(task="search", metrics=("mrr",))) is None
