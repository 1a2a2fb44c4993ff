from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.cli import main
from tastebench.runs.record import Budget, MetricValue, Record
from tastebench.runs.spec import RunSpec


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two recommenders on forty users."""
    rng = np.random.default_rng(0)
    base = rng.random(40)
    for name, gain in (("sasrec", 0.1), ("item-knn", 0.0)):
        values = {"ndcg@10": base + gain + rng.normal(0, 0.02, 40), "recall@10": base.round()}
        spec = RunSpec(task="seqrec", dataset="shop", recommender=name, representation="id")
        metrics = {k: MetricValue(mean=float(v.mean()), n=40) for k, v in values.items()}
        folder = tmp_path / "demo" / name
        folder.mkdir(parents=True)
        Record(
            status="ok",
            suite="demo",
            row_by="recommender",
            spec=spec,
            given={},
            spec_hash=name,
            protocol={"task": "seqrec"},
            protocol_id="p",
            budget=Budget(),
            budget_id="b",
            kind="model",
            headline="ndcg@10",
            metrics=metrics,
            created="2026-01-01T00:00:00+00:00",
        ).write(folder)
        ids = {"user_id": [f"u{i}" for i in range(40)]}
        pl.DataFrame(ids | values).write_parquet(folder / "per_user.parquet")
    return tmp_path


def test_the_tests_go_to_stdout(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(results), "sasrec", "item-knn"]) == 0
    out, err = capsys.readouterr()
    assert "seqrec on shop: sasrec is better than item-knn: ndcg@10" in out
    assert out.isascii()
    assert err == ""


def test_options_reach_the_tests(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--metric", "recall@10", "--task", "seqrec", "--correction", "bh", "--seed", "7"]
    more = ["--matters", "0.1", "--users", "1", "--row-by", "run"]
    assert main(["compare", str(results), "sasrec", "item-knn", *options, *more, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["correction"], found["seed"], found["matters"]) == ("bh", 7, 0.1)
    (test,) = found["tests"]
    assert test["column"]["metric"] == "recall@10"
    assert test["paired"]["p"] == 1.0
    assert "got the same from 40 units" in test["verdict"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["sasrek", "item-knn"], "did you mean sasrec?"),
        (["sasrec", "sasrec"], "compared with itself"),
        (["sasrec", "item-knn", "--correction", "hol"], "did you mean holm?"),
        (["sasrec", "item-knn", "--matters", "2"], "between 0 and 1"),
        (["sasrec", "item-knn", "--row-by", "runn"], "did you mean run?"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    results: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
) -> None:
    assert main(["compare", str(results), *given]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_a_folder_without_records_is_missing_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tmp_path), "a", "b"]) == 4
    assert "tastebench run PLAN --out DIR" in capsys.readouterr().err
