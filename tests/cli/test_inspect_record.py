"""`tastebench inspect` of a record as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.cli import main
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.files import read_sealed
from tastebench.runs.record import (
    Budget,
    Cost,
    Failure,
    Fit,
    Latency,
    MetricValue,
    Percentiles,
    Prompting,
    Record,
    Trial,
)
from tastebench.runs.spec import RunSpec
from tastebench.tasks import TASKS


@pytest.fixture
def shop() -> Dataset:
    """Two users who took four items each; the last is asked for."""
    taken = pl.DataFrame(
        {
            "user_id": ["anna"] * 4 + ["ben"] * 4,
            "item_id": "i0 i1 i2 i3 i3 i2 i1 i0".split(),
            "time": range(8),
            "row": range(8),
        }
    )
    titles = ["Red \x1b[31mscarf", "Blue scarf", "Tea", "Kettle"]
    items = pl.DataFrame({"item_id": ["i0", "i1", "i2", "i3"], "title": titles})
    dataset = Dataset.create(
        DatasetCard(name="shop", title="Shop", text_columns=("title",)), Tables(items, taken)
    )
    dataset.save(dataset_folder("shop"))
    return dataset


def run_of(root: Path, shop: Dataset, name: str, lists: dict[str, str], **changes: object) -> Path:
    """Writes a record of a model with these lists; items as digits."""
    protocol = TASKS.get("seqrec").protocol(shop, split={"kind": "last_out"})
    spec = RunSpec(task="seqrec", dataset="shop", recommender=name, representation="id")
    hash_ = {"first": "aaaa", "second": "bbbb"}[name] * 4
    folder = root / "demo" / "shop" / "seqrec" / f"{name}-id-none" / hash_
    fields = {
        "status": "ok",
        "metrics": {"ndcg@10": MetricValue(mean=0.5, low=0.4, high=0.6, n=2)},
        "valid": {"ndcg@10": 0.45},
        **changes,
    }
    Record(
        suite="demo",
        row_by="recommender",
        spec=spec,
        given={"params": {"lr": 0.1}, "grid": {}},
        spec_hash=hash_,
        protocol=protocol.model_dump(mode="json"),
        protocol_id=protocol.fingerprint(shop),
        budget=Budget(),
        budget_id="b",
        kind="model",
        headline="ndcg@10",
        fingerprints={"dataset": shop.fingerprint},
        created="2026-01-01T00:00:00+00:00",
        **fields,
    ).write(folder)
    rows = [
        (user, question, rank, f"i{item}", 1.0 / rank)
        for question, (user, items) in enumerate(lists.items())
        for rank, item in enumerate(items, start=1)
    ]
    pl.DataFrame(
        rows, schema=["user_id", "question", "rank", "item_id", "score"], orient="row"
    ).write_parquet(folder / "predictions.parquet")
    pl.DataFrame(
        {"user_id": [*lists], "ndcg@10": np.array([0.25, 0.75]), "history": ["1-4", "1-4"]}
    ).write_parquet(folder / "per_user.parquet")
    (folder / "config.yaml").write_text("name: again\n")
    return folder


@pytest.fixture
def first(tmp_path: Path, shop: Dataset) -> Path:
    """The record that is looked at, with another one beside it."""
    root = tmp_path / "results"
    run_of(root, shop, "second", {"anna": "3210", "ben": "0123"})
    return run_of(root, shop, "first", {"anna": "0132", "ben": "0123"})


def test_a_user_side_by_side(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(first), "--user", "anna"]) == 0
    out, err = capsys.readouterr()
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0] == "user anna  seqrec on shop  history 1-4"
    assert "history, the newest last: 3 items" in lines
    assert "    1  Red  [31mscarf  i0" in lines
    # Kettle is the third of the first list and leads the second.
    assert "    3     1  Kettle  i3" in lines
    assert any(line.split() == ["1", "Red", "[31mscarf", "*", "Kettle"] for line in lines)
    assert any(line.split() == ["3", "*", "Kettle", "Blue", "scarf"] for line in lines)
    assert "\x1b" not in out and err == ""


def test_a_user_in_one_list_with_ids(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--others", "0", "--number", "2"]
    assert main(["inspect", str(first / "record.json"), "--user", "ben", *options]) == 0
    out = capsys.readouterr().out
    assert "* Red  [31mscarf  i0" in out
    assert "2 more: --number 4" in out and "... and 1 earlier" in out
    assert "1 more model: --others 1" in out
    assert "Kettle  i3" not in out


def test_equal_scores_are_marked(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = first / "predictions.parquet"
    table = pl.read_parquet(path)
    table.with_columns(score=pl.Series([1.0, 0.5, 0.5, 0.1] * 2)).write_parquet(path)
    assert main(["inspect", str(first), "--user", "anna", "--others", "0"]) == 0
    out = capsys.readouterr().out
    assert " =Blue scarf  i1" in out and "*=Kettle  i3" in out
    assert "  Tea  i2" in out and "= of one score with its neighbour" in out


def test_a_user_as_json(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(first), "--user", "anna", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in told["models"]] == ["first", "second"]
    (asked,) = told["asked"]
    assert asked["targets"] == [{"item": {"id": "i3", "title": "Kettle"}, "ranks": [3, 1]}]
    assert len(asked["lists"][0]) == 4 and len(asked["case"]["history"]) == 3


def test_questions_about_a_user(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two models that answered the same questions, one of them not always."""
    for folder, answers in ((first, ["Tea", "Cup"]), (_beside(first), ["Cup\x1b[2J", None])):
        path = folder / "record.json"
        told = read_sealed(path)
        told["spec"]["task"] = "userqa"
        moved = folder.parents[2] / "userqa" / folder.parent.name / folder.name
        moved.mkdir(parents=True)
        (moved / "record.json").write_text(json.dumps(told), encoding="utf-8")
        (moved / "per_user.parquet").write_bytes((folder / "per_user.parquet").read_bytes())
        pl.DataFrame(
            {
                "user_id": ["anna", "anna"],
                "kind": ["df", "li"],
                "question": ["Which was first?", "What does anna like?"],
                "options": [["Tea", "Cup\x1b[2J"], ["Tea", "Cup"]],
                "gold": ["Cup\x1b[2J", "Tea"],
                "answer": answers,
                "status": ["answered", "answered" if answers[1] else "refused"],
            }
        ).write_parquet(moved / "predictions.parquet")
    userqa = str(first.parents[2] / "userqa" / first.parent.name / first.name)
    assert main(["inspect", userqa, "--user", "anna"]) == 0
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines()]
    at = lines.index("1  df  Which was first?")
    assert lines[at + 1 : at + 3] == ["    Tea  <- A", "  * Cup [2J  <- B"]
    at = lines.index("2  li  What does anna like?")
    assert lines[at + 1 : at + 4] == ["  * Tea", "    Cup  <- A", "    no answer: B refused"]
    assert "\x1b" not in out
    assert main(["inspect", userqa, "--user", "anna", "--kind", "li", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["questions"]
    assert (one["number"], one["gold"], one["answers"]) == (2, 0, [1, None])
    assert main(["inspect", userqa, "--user", "anna", "--kind", "il"]) == 2
    assert "no kind of question 'il'" in capsys.readouterr().err


def _beside(first: Path) -> Path:
    return first.parents[1] / "second-id-none" / ("bbbb" * 4)


def test_the_card_of_a_record(
    tmp_path: Path, shop: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    times = Percentiles(p50=1.234, p95=2, p99=3, n=50)
    cost = Cost(
        wall_seconds=62.0,
        fit_seconds=50.0,
        peak_memory_bytes=300 * 2**20,
        latency=Latency(cached=times, first_ms=9.0, k=10, budget_seconds=2.0),
        prompting=Prompting(prompt_tokens=1200, completion_tokens=34, requests=5, usd=0.0123),
    )
    trials = tuple(
        Trial(params={"lr": lr}, valid=valid, seconds=1.0, chosen=valid == 0.4)
        for lr, valid in ((0.1, 0.4), (0.01, 0.3))
    )
    folder = run_of(
        tmp_path / "results",
        shop,
        "first",
        {"anna": "0132", "ben": "0123"},
        cost=cost,
        trials=trials,
        fit=Fit(epochs=12, best_epoch=9, converged=True, notes=("a note\x1b[1m",)),
        counts={"asked": 2, "tied": 0},
        environment={"python": "3.11.7", "packages": {"tastebench": "0.1.0"}, "cores": 2},
    )
    pl.DataFrame(
        {
            "epoch": range(1, 13),
            "loss": [*(1.0 / n for n in range(1, 12)), np.nan],
            "seconds": [0.1] * 12,
        }
    ).write_parquet(folder / "curves.parquet")
    assert main(["inspect", str(folder)]) == 0
    out = capsys.readouterr().out
    flat = " ".join(out.split())
    for said in (
        "first seqrec on shop, seed 0",
        "/config.yaml",
        "settings lr=0.1",
        "seqrec; last item out; latest",
        "budget 1 trial, 1 seed",
        "ndcg@10 0.5000 0.4000 to 0.6000 2 0.4500",
        "12 epochs, the best was 9, stopped early",
        "a note [1m",
        "9 * 0.1111",
        "lr=0.1 0.4000 *",
        "1m02s (fitting 50.0s)",
        "1.23 ms at the median",
        "300 MiB at most",
        "1,200 tokens read, 34 written, 5 requests, $0.0123",
        "tastebench 0.1.0, Python 3.11.7, 2 cores",
        "users served worst by ndcg@10, from 0.2500",
        "users served best by ndcg@10, from 0.7500",
        "--user anna",
    ):
        assert said in flat, said
    assert "\x1b" not in out
    assert main(["inspect", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["spec_hash"] == folder.name and len(told["curve"]) == 12
    assert told["curve"][11] == {"epoch": 12, "loss": None, "seconds": 0.1}
    assert told["units"]["worst"][0]["id"] == "anna"
    assert told["files"] == sorted(path.name for path in folder.iterdir())


def test_a_run_that_failed_says_why(
    tmp_path: Path, shop: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    error = Failure(kind="DataError", what="the file is gone", where="x.csv", fix="bring it back")
    folder = run_of(
        tmp_path, shop, "first", {"a": "0", "b": "1"}, status="failed", error=error, metrics={}
    )
    assert main(["inspect", str(folder)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "FAILED" in out and "DataError: the file is gone" in out
    assert "where x.csv" in out and "fix bring it back" in out


def test_the_users_at_both_ends(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(first), "--worst", "1"]) == 0
    out = capsys.readouterr().out
    assert "served worst" in out and "anna" in out and "served best" not in out
    assert main(["inspect", str(first), "--best", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in told["best"]] == ["ben"] and told["worst"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--item", "i1"], "--item looks into codes, and these are none"),
        (["--kind", "df"], "--kind of a record needs --user ID"),
        (["--others", "2", "--number", "3"], "--others, --number of a record needs --user ID"),
        (["--user", "anna", "--worst", "2"], "--user names one"),
        (["--user", "anna", "--question", "x"], "--question x of a record is a number"),
        (["--user", "anna", "--question", "2"], "anna has 1 question, and none of the number 2"),
        (["--user", "an"], "no user 'an' was asked about: did you mean anna"),
    ],
)
def test_what_cannot_be_meant(
    options: list[str], message: str, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(first), *options]) == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""
