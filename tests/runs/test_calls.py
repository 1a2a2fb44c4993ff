"""A run that asks a model keeps what was asked and said beside its record, and no secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tastebench as tb
from tastebench.data.dataset import Dataset
from tastebench.lm.transcript import read_transcript
from tastebench.testing.server import RemoteServer

KEY = "sk-canary-1234567890"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def run(model: str, name: str, out: Path, **params: Any) -> tuple[Any, Path]:
    chosen = {"name": name, "params": {"model": model, **params}}
    plan: dict[str, Any] = {"name": "s", "datasets": ["tiny"], "tasks": ["ctr"]}
    plan["recommenders"] = [chosen]
    plan["latency_seconds"] = 0
    results = tb.run(plan, out=out, workers=1, progress=False, limit=10)
    (record,) = results.records
    assert record.error is None
    (folder,) = (path.parent for path in out.rglob("record.json"))
    return record, folder


def test_each_question_stands_beside_the_record_once(tiny: Dataset, tmp_path: Path) -> None:
    def chat(body: dict[str, Any]) -> str:
        said = "Yes" if "shirt" in body["messages"][-1]["content"].splitlines()[-2] else "perhaps"
        return f"{said}. Your key is {KEY}."

    with RemoteServer(chat=chat, key=KEY) as server:
        record, folder = run(
            f"openai:small@{server.url}", "llm", tmp_path / "out", asked={"probabilities": "never"}
        )
    lines = list(read_transcript(folder / "calls.jsonl.zst"))
    asked = pl.read_parquet(folder / "predictions.parquet")
    of_test = {(line["user_id"], *line["item_ids"]): line for line in lines}
    for user, item, score in asked.select("user_id", "item_id", "score").iter_rows():
        line = of_test[user, item]
        assert line["status"] == {1.0: "answered", 0.0: "unparsed"}[score]
        assert "Your key is ***." in line["answer"] and line["completion_tokens"] > 0
        assert line["prompt"][-1]["role"] == "user" and line["seconds"] >= 0
    assert {line["status"] for line in lines} == {"answered", "unparsed"}
    unparsed = sum(
        of_test[u, i]["status"] == "unparsed" for u, i in asked["user_id", "item_id"].rows()
    )
    assert record.counts["unparsed"] == unparsed
    # Nothing in the folder repeats the key, whatever is inside its packed files.
    from tastebench.lm.transcript import _zstd

    for path in folder.rglob("*"):
        whole = path.read_bytes()
        assert KEY.encode() not in whole, path
    assert KEY.encode() not in _zstd().decompress((folder / "calls.jsonl.zst").read_bytes())
    assert os.environ["OPENAI_API_KEY"] == KEY


def test_lists_stand_there_as_shown(tiny: Dataset, tmp_path: Path) -> None:
    with RemoteServer(chat=lambda body: "[1] > [2]") as server:
        model = f"openai:small@{server.url}"
        _, folder = run(model, "llm-rank", tmp_path / "out", orders=1)
    lines = list(read_transcript(folder / "calls.jsonl.zst"))
    titles = dict(zip(tiny.item_ids.to_list(), tiny.tables.items["title"].to_list(), strict=True))
    for line in lines:
        shown = line["prompt"][-1]["content"]
        places = [
            shown.index(f"[{n}] {titles[item]}") for n, item in enumerate(line["item_ids"], 1)
        ]
        assert places == sorted(places)
    assert {line["answer"] for line in lines} == {"[1] > [2]"}


def test_written_titles_stand_there_with_the_items_they_were_taken_for(
    tiny: Dataset, tmp_path: Path
) -> None:
    with RemoteServer(chat=lambda body: "Shirt number 4") as server:
        plan = {"name": "s", "datasets": ["tiny"], "tasks": ["seqrec"], "latency_seconds": 0}
        params = {"model": f"openai:small@{server.url}", "titles": 2}
        plan |= {"recommenders": [{"name": "llm-title", "params": params}]}
        results = tb.run(plan, out=tmp_path / "out", workers=1, progress=False, limit=10)
    (record,) = results.records
    assert record.error is None
    (file,) = (tmp_path / "out").rglob("calls.jsonl.zst")
    lines = list(read_transcript(file))
    assert {(*line["item_ids"], line["status"]) for line in lines} == {("i4", "exact")}
    assert record.counts["exact"] == 2 * record.counts["answered"] > 0
    assert record.probes["title_miss_rate"] == 0 and record.probes["title_repeat_rate"] == 0.5
    assert record.probes["prompt_tokens_per_thousand"] > 0


def test_who_asks_nobody_keeps_nothing(tiny: Dataset, tmp_path: Path) -> None:
    plan = {"name": "s", "datasets": ["tiny"], "tasks": ["ctr"], "recommenders": ["popularity"]}
    tb.run({**plan, "latency_seconds": 0}, out=tmp_path / "out", workers=1, progress=False)
    assert not list((tmp_path / "out").rglob("calls.jsonl.zst"))
