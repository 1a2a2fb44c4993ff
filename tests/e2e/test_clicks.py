"""Somebody's own impressions on the real command line: from CSV to a board, and what is refused."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy.special import expit

from tastebench.cli import main
from tastebench.metrics.click import auc, ece, f1, logloss
from tastebench.recommenders.ctr.bricks import PREDICTORS, Predictor
from tastebench.recommenders.ctr.predictors.settings import DotConfig
from tastebench.testing.command_line import call

PLAN = """
name: clicks
datasets: [my-news]
tasks: [ctr]
recommenders:
  - popularity
  - item: {operator: cnn}
    user: {operator: additive-attention}
    predictor: dot
    negatives: 4
    hidden_size: 16
    epochs: 1
    representations: [text]
row_by: recommender
latency_seconds: 0.02
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty users who mostly click what is of their colour; the dataset is imported."""
    folder = tmp_path_factory.mktemp("news")
    draw = random.Random(5)
    colours = ["red", "blue", "green"]
    news = [f"n{i},{colours[i % 3]} thing number {i}" for i in range(30)]
    shown = [
        f"{user}-{step},u{user},n{item},{1_600_000_000 + 1000 * step + user},"
        f"{int((item % 3 == user % 3) == (draw.random() < 0.9))}"
        for user in range(30)
        for step in range(6)
        for item in draw.sample(range(30), 5)
    ]
    (folder / "news.csv").write_text("\n".join(["nid,headline", *news]), encoding="utf-8")
    shown = ["list,uid,nid,at,clicked", *shown]
    (folder / "shown.csv").write_text("\n".join(shown), encoding="utf-8")
    (folder / "clicks.yaml").write_text(PLAN, encoding="utf-8")
    made = call(
        folder,
        *("data", "import", "--name", "my-news", "--items", "news.csv", "--text", "headline"),
        *("--impressions", "shown.csv"),
        *("--map", "item=nid,user=uid,time=at,impression=list,label=clicked"),
    )
    assert "tasks: seqrec, cf, ctr" in made.stderr
    return folder


def test_from_impressions_to_a_board(folder: Path) -> None:
    call(folder, "run", "clicks.yaml", "--out", "results")
    board = json.loads(call(folder, "board", "results", "--json").stdout)
    assert board["failed"] == []
    rows = {row["name"]: row for row in board["rows"]}
    assert set(rows) == {"popularity", "bricks"}
    for row in rows.values():
        score = row["scores"]["ctr/my-news/gauc"]
        assert 0 <= score["low"] <= score["mean"] <= score["high"] <= 1
    [protocol] = board["protocols"]
    # 900 rows at 180 times: the last tenth is asked.
    assert protocol["counts"]["asked"] == 90
    assert protocol["protocol"]["rows"]["source"] == "impressions"
    [record] = folder.glob("results/clicks/**/bricks-*/**/record.json")
    fitted = json.loads(record.read_text(encoding="utf-8"))
    assert fitted["spec"]["params"]["item"]["operator"] == "cnn"
    assert "item operator cnn over text; matching" in fitted["fit"]["notes"]
    for row in rows:
        [record] = folder.glob(f"results/clicks/**/{row}-*/**/record.json")
        check_what_lies_beside(record)


def check_what_lies_beside(record: Path) -> None:
    """Every score, how far scores mean it, and the latency with all that can be kept or not."""
    told = json.loads(record.read_text(encoding="utf-8"))
    scores = pl.read_parquet(record.parent / "predictions.parquet")
    assert scores.columns == ["user_id", "group", "item_id", "label", "score"]
    assert len(scores) == 90
    label, probability = scores["label"].to_numpy(), expit(scores["score"].to_numpy())
    means = {name: metric["mean"] for name, metric in told["metrics"].items()}
    assert means["auc"] == pytest.approx(auc(label, scores["score"].to_numpy()))
    reliable = record.parent / "calibration.parquet"
    if told["spec"]["params"].get("negatives"):  # matching: scores only order
        assert (means["logloss"], means["ece"], means["f1"]) == (None, None, None)
        assert not reliable.exists()
    else:
        for name, metric in (("logloss", logloss), ("ece", ece), ("f1", f1)):
            assert means[name] == pytest.approx(metric(label, probability))
        bins = pl.read_parquet(reliable)
        assert bins["rows"].sum() == 90
        clicked = (bins["rows"] * bins["rate"].fill_nan(0)).sum()
        assert clicked == pytest.approx(scores["label"].sum())
    latency = told["cost"]["latency"]
    assert latency["cached"]["n"] >= 1
    kept = latency["users_cached"] is not None and latency["cold"] is not None
    assert kept == (told["spec"]["recommender"] == "bricks")


README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_can_be_typed_as_it_stands(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its import and its plan of own bricks, on files with the usual names of columns."""
    about = README.read_text(encoding="utf-8").partition("**6. Click models")[2]
    command, plan = (
        re.search(rf"^```{kind}\n(.*?)^```", about, re.M | re.S) for kind in ("", "yaml")
    )
    assert command is not None and plan is not None
    usual = {"nid,": "item_id,", "headline": "title"}
    other = {"uid,nid,at": "user_id,item_id,timestamp"}
    for name, columns in (("items.csv", usual), ("shown.csv", other)):
        text = (folder / name.replace("items", "news")).read_text(encoding="utf-8")
        for theirs, ours in columns.items():
            text = text.replace(theirs, ours, 1)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "plan.yaml").write_text(plan[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path / "home"))
    assert main(shlex.split(command[1].replace("\\\n", " "))[1:]) == 0
    assert main(["run", "plan.yaml", "--dry-run"]) == 0
    told = capsys.readouterr().out
    for model in ("nrms(text)", "dcnv2", "bricks(text)"):
        assert f"my-shop {model} seed 0" in told


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a predictor that reads another user": (
        {"predictor": "din", "user": "pooling"},
        "the predictor din reads a user as sequence, and the user operator pooling makes vector; "
        "use none",
    ),
    "an operator of another form": (
        {"item": "cnn", "representations": ["id"]},
        "the item operator cnn reads text, and items are represented by id",
    ),
    "no such operator": (
        {"item": {"operator": "cn"}, "representations": ["text"]},
        "unknown item operator 'cn': did you mean cnn",
    ),
    "no such user operator": ({"user": "gruu"}, "unknown user operator 'gruu': did you mean gru"),
    "no such predictor": ({"predictor": "dcn2"}, "unknown predictor 'dcn2': did you mean dcn"),
    "no such setting": (
        {"item": {"operator": "cnn", "windw": 5}, "representations": ["text"]},
        "cnn has no setting 'windw': did you mean window",
    ),
    "no such value": (
        {"item": {"operator": "cnn", "window": 4}, "representations": ["text"]},
        "cnn: window: has to be odd, got 4",
    ),
    "another scheme": (
        {"predictor": "ranks-only", "negatives": 4},
        "the predictor ranks-only is not defined for matching; use negatives: 0",
    ),
    "a misspelt brick": (
        {"item": "cnn", "usr": "pooling", "representations": ["text"]},
        "unknown key 'usr': did you mean user",
    ),
    "no operator named": (
        {"item": {"window": 3}},
        "item: a name, or operator: NAME with settings, got {'window': 3}",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused_before_anything_runs(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recommender, reason = REFUSED[case]
    ranks_only = Predictor("ranks-only", "", DotConfig, "none:None", schemes=("ranking",))
    monkeypatch.setitem(PREDICTORS._builtin, "ranks-only", ranks_only)
    monkeypatch.setenv("TASTEBENCH_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    setting = f"recommenders=[popularity, {json.dumps(recommender)}]"
    assert main(["run", "clicks.yaml", "--out", "refused", "--set", setting]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert reason in told
    assert "bricks" in told
    assert not (folder / "refused").exists()
