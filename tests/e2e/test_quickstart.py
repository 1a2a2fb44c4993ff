"""The suite on the embedded shop, without what takes long: trained models, MiniLM, latency."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tastebench import suites


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("quickstart")
    arguments = [
        *("run", "quickstart", "--out", str(folder / "out"), "--json", "--workers", "2"),
        *("-e", "tfidf-svd,random", "-m", "dot,bm25,item-knn,popularity,random,oracle"),
        *("--set", "latency_seconds=0"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tastebench.cli", *arguments],
        env={"TASTEBENCH_HOME": str(folder / "home"), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def means(board: dict[str, Any], name: str) -> dict[str, float]:
    """The headline means of a row."""
    row = next(row for row in board["rows"] if row["name"] == name)
    return {key: score["mean"] for key, score in row["scores"].items() if key.endswith("ndcg@10")}


def test_the_ceiling_is_above_everything_and_perfect_where_truth_is_the_answer(
    board: dict[str, Any],
) -> None:
    ceiling = means(board, "oracle")
    assert ceiling["search:short/storefront/ndcg@10"] == pytest.approx(1.0)
    for row in board["rows"]:
        for key, mean in means(board, row["name"]).items():
            assert mean <= ceiling[key] + 1e-9


def test_what_learnt_something_beats_what_did_not(board: dict[str, Any]) -> None:
    knn, chance = means(board, "item-knn"), means(board, "random (recommender)")
    assert knn["cf/storefront/ndcg@10"] > chance["cf/storefront/ndcg@10"]
    words, noise = means(board, "tfidf-svd"), means(board, "random")
    assert words["search:short/storefront/ndcg@10"] > noise["search:short/storefront/ndcg@10"]


def test_every_task_has_its_protocol(board: dict[str, Any]) -> None:
    assert {protocol["task"] for protocol in board["protocols"]} == {"search", "seqrec", "cf"}
    assert board["failed"] == []


def test_the_shipped_suites_are_plans_that_can_be_read() -> None:
    folder = Path(suites.__file__).parent
    assert suites.names() == sorted(path.stem for path in folder.glob("*.yaml"))
    for name in suites.names():
        plan = suites.get_suite(name)
        assert plan.name == name
        assert plan.description
        assert yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
