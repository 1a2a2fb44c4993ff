"""Questions about users on the real command line: a plan, records, a board, a comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.build.lm import untrained
from tastebench.build.lm_about import LMRecipe
from tastebench.build.lm_corpus import corpus_of
from tastebench.build.lm_tokens import learn_tokenizer
from tastebench.data.catalog import load_dataset
from tastebench.metrics.grammar import DIMENSIONS
from tastebench.tasks import TASKS
from tastebench.testing.command_line import call
from tastebench.training.seeds import torch_seeded

PLAN = """
name: who
datasets: [storefront]
tasks: [userqa]
text_recipe: title
recommenders:
  - name: user-embedding
    representations: id+side
    params: &short
      model: ./reader
      encoder: gru4rec
      strategy: full
      scoring: words
      epochs: 1
      question_length: 128
      pretrain: {epochs: 1}
  - {name: user-embedding, representations: id+side, params: {<<: *short, adapter: kmeans}}
  - name: text-history
    params: {model: ./reader, events: 5, scoring: words, question_length: 128}
  - majority
  - reads-all
row_by: run
latency_seconds: 0.02
protocol:
  userqa:
    history_length: 32
    questions: {train_questions: 60, valid_questions: 20, questions: 60}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What came out, of a reader with random weights."""
    folder = tmp_path_factory.mktemp("who")
    (folder / "who.yaml").write_text(PLAN, encoding="utf-8")
    shop = load_dataset("storefront")
    corpus = corpus_of(shop, TASKS.get("userqa").protocol(shop), "title")
    learn_tokenizer(corpus, 2000, folder / "reader")
    recipe = LMRecipe(layers=1, hidden_size=16, heads=2, inner_size=24)
    with torch_seeded(np.random.default_rng(0)):
        untrained(recipe, 2000, end=0).save_pretrained(folder / "reader")
    call(folder, "run", "who.yaml", "--out", "results")
    return folder


def records(folder: Path) -> dict[str, dict[str, Any]]:
    read = [json.loads(p.read_text("utf-8")) for p in folder.glob("results/who/**/record.json")]
    return {
        f"{one['spec']['recommender']} {one['spec']['params'].get('adapter', '')}".strip(): one
        for one in read
    }


def test_every_way_to_give_a_user_is_asked_the_same_questions(folder: Path) -> None:
    found = records(folder)
    assert set(found) == {
        *("user-embedding mean", "user-embedding kmeans", "text-history", "majority", "reads-all"),
    }
    assert {one["status"] for one in found.values()} == {"ok"}
    assert len({one["protocol_id"] for one in found.values()}) == 1
    asked = found["majority"]["counts"]["asked"]
    for name, one in found.items():
        assert one["counts"]["asked"] == asked
        told = {"answered": asked} if "majority" not in name and "reads" not in name else {}
        assert told.items() <= one["counts"].items()
        assert ("gflops_per_question" in one["probes"]) == bool(told)
    soft = {name: one["counts"].get("soft_tokens", 0) / asked for name, one in found.items()}
    assert soft == {
        **dict.fromkeys(found, 0),
        "user-embedding mean": 1,
        "user-embedding kmeans": 4,
    }
    text = {name: one["counts"].get("text_tokens", 0) for name, one in found.items()}
    assert text["user-embedding mean"] == text["user-embedding kmeans"] < text["text-history"]
    # What is read of one more event is worth more operations, and one encoder serves both adapters.
    probes = {name: one["probes"] for name, one in found.items()}
    assert (
        probes["user-embedding mean"]["encoder_parameters"]
        == probes["user-embedding kmeans"]["encoder_parameters"]
    )


def test_the_board_is_made_of_the_answers(folder: Path) -> None:
    for path in folder.glob("results/who/**/predictions.parquet"):
        record = json.loads((path.parent / "record.json").read_text("utf-8"))
        answers = pl.read_parquet(path)
        scores, golds = answers["scores"].to_numpy(), answers["gold"].to_list()
        best = scores == scores.max(axis=1, keepdims=True)
        at = [o.index(gold) for o, gold in zip(answers["options"].to_list(), golds, strict=True)]
        right = best[np.arange(len(at)), at] / best.sum(axis=1)  # equals share
        assert record["metrics"]["accuracy"]["mean"] == pytest.approx(right.mean())
        for dimension, kinds in DIMENSIONS.items():
            own = right[answers["kind"].is_in(kinds).to_numpy()]
            assert record["metrics"][f"accuracy_{dimension}"]["mean"] == pytest.approx(own.mean())
    board = json.loads(call(folder, "board", "results", "--json").stdout)
    assert board["failed"] == [] and len(board["rows"]) == 5
    text = call(folder, "board", "results").stdout
    assert "storefront: right answers in percent, of 4 options (chance 25.0)" in text
    assert "GFLOP" in text


def test_two_rows_are_compared_on_the_same_questions(folder: Path) -> None:
    found = records(folder)
    said = json.loads(
        call(folder, "compare", "results", "reads-all(text)", "majority", "--json").stdout
    )
    (test,) = [one for one in said["tests"] if one["column"]["metric"] == "accuracy"]
    for side, name in (("mean_a", "reads-all"), ("mean_b", "majority")):
        assert test[side] == pytest.approx(found[name]["metrics"]["accuracy"]["mean"])
    assert test["paired"]["n"] == found["majority"]["counts"]["users"]
    assert test["paired"]["p"] < 0.01
