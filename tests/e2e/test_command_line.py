"""The real command line in processes of its own, on a shop written as CSV."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Shop = Callable[..., "subprocess.CompletedProcess[str]"]

PLAN = """
name: study
datasets: [my-shop]
tasks: [seqrec, cf]
encoders: [tfidf-svd, random]
recommenders:
  - popularity
  - {name: alpharec, params: {epochs: 12, batch_size: 64}, grid: {lr: [1e-3, 1e-2]}}
seeds: [0, 1]
latency_seconds: 0.02
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tastebench.cli", *arguments]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty items and eighty users' clicks as CSV files, and a plan."""
    folder = tmp_path_factory.mktemp("shop")
    draw = random.Random(3)
    nouns = ["shirt", "lamp", "book", "cup"]
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sku", "title", "description"])
        rows.writerows(
            [f"s{i}", f"{nouns[i % 4]} {i}", f"a {nouns[i % 4]} for every day"] for i in range(60)
        )
    with (folder / "clicks.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["uid", "sku", "ts"])
        for user in range(80):
            for step in range(12):
                own = draw.randrange(15) * 4 + user % 4
                item = own if draw.random() < 0.7 else draw.randrange(60)
                rows.writerow([f"u{user}", f"s{item}", 1_600_000_000 + 1000 * step + user])
    (folder / "study.yaml").write_text(PLAN, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TASTEBENCH_HOME": str(folder / "home"), "COLUMNS": "200"}


@pytest.fixture(scope="module")
def shop(folder: Path, environment: dict[str, str]) -> Shop:
    """Runs the command line where the files are; the shop is imported."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    done = call(
        *("data", "import", "--name", "my-shop", "--items", "items.csv"),
        *("--interactions", "clicks.csv", "--map", "user=uid,item=sku,time=ts"),
        *("--text", "title,description"),
    )
    assert done.returncode == 0, done.stderr
    return call


@pytest.fixture(scope="module")
def results(shop: Shop, folder: Path) -> Path:
    """The plan carried out without interruption, two runs at a time."""
    done = shop("run", "study.yaml", "--out", "whole", "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "board.json").write_text(done.stdout, encoding="utf-8")
    return folder / "whole"


def numbers(root: Path) -> dict[str, Any]:
    """What a run measured, by its identity."""
    found = {}
    for path in root.glob("study/**/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        kept = ("status", "spec", "metrics", "valid", "counts")
        trials = [(trial["params"], trial["valid"]) for trial in record["trials"]]
        found[record["spec_hash"]] = [*(record[key] for key in kept), trials]
    return found


def test_from_csv_to_a_board(results: Path, folder: Path) -> None:
    board = json.loads((folder / "board.json").read_text(encoding="utf-8"))
    assert board["suite"] == "study"
    assert board["failed"] == []
    rows = {row["name"]: row for row in board["rows"]}
    assert set(rows) == {"tfidf-svd", "random", "popularity"}
    score = rows["tfidf-svd"]["scores"]["cf/my-shop/ndcg@10"]
    assert score["seeds"] == 2
    assert 0 <= score["low"] <= score["mean"] <= score["high"] <= 1
    assert rows["tfidf-svd"]["recommender"] == {"cf": "alpharec"}
    assert rows["popularity"]["encoder"] is None


def test_the_board_verb_shows_the_same(shop: Shop, results: Path, folder: Path) -> None:
    done = shop("board", "whole", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((folder / "board.json").read_text())
    assert "popularity" in shop("board", "whole").stdout


def test_a_second_time_does_nothing(shop: Shop, results: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.glob("study/**/record.json")}
    done = shop("run", "study.yaml", "--out", "whole")
    assert done.returncode == 0
    assert "8 runs finished before and kept" in done.stderr
    assert before == {p: p.stat().st_mtime_ns for p in results.glob("study/**/record.json")}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_in_the_middle_and_started_again_gives_the_same_numbers(
    how: signal.Signals, shop: Shop, results: Path, folder: Path, environment: dict[str, str]
) -> None:
    out = f"cut-{how.name}"
    run = ("run", "study.yaml", "--out", out, "--workers", "1")
    process = subprocess.Popen(
        command(*run),
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "popularity, seed 1" in line:  # trained runs come next
            break
    process.send_signal(how)
    rest = process.stderr.read()
    process.wait(timeout=60)
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert f"tastebench {' '.join(run)}" in rest
    done_before = numbers(folder / out)
    assert 0 < len(done_before) < len(numbers(results))
    again = shop(*run)
    assert again.returncode == 0, again.stderr
    assert f"{len(done_before)} run" in again.stderr
    assert numbers(folder / out) == numbers(results)
    assert not list((folder / out / ".work").glob("*/fit"))


def test_a_dry_run_says_what_is_open_and_does_nothing(
    shop: Shop, results: Path, folder: Path
) -> None:
    done = shop("run", "study.yaml", "--out", "dry", "--dry-run", "--json")
    assert done.returncode == 0
    plan = json.loads(done.stdout)
    assert [run["status"] for run in plan["runs"]] == ["open"] * 8
    assert sum(run["trials"] for run in plan["runs"]) == 10
    assert [(step["encoder"], step["encoded"]) for step in plan["vectors"]] == [
        ("tfidf-svd", False),
        ("random", False),
    ]
    assert not (folder / "dry").exists()
    finished = json.loads(shop("run", "study.yaml", "--out", "whole", "--dry-run", "--json").stdout)
    assert {run["status"] for run in finished["runs"]} == {"finished"}
    assert {run["spec_hash"] for run in finished["runs"]} == set(numbers(results))
    missing = shop("run", "study.yaml", "--dry-run", "-d", "movielens-100k")
    assert "missing: dataset movielens-100k" in missing.stdout


def test_a_limited_run_is_on_no_board(shop: Shop) -> None:
    done = shop("run", "study.yaml", "--limit", "5", "-m", "popularity", "--out", "some")
    assert done.returncode == 0
    assert "partial" in done.stderr
    told = done.stdout.splitlines()
    # A line names what it is of: no two runs have the same.
    assert any(" my-shop popularity seed 1: ndcg@10 0." in line for line in told)
    assert len({line.rpartition(" (n=")[0].rpartition(" ")[0] for line in told}) == len(told)


def test_failed_runs_leave_a_board_of_the_rest_and_exit_code_1(shop: Shop) -> None:
    done = shop(
        *("run", "study.yaml", "-m", "unisrec,popularity", "-e", "random", "--out", "failing"),
        *("--set", "tasks=[seqrec]", "--set", "seeds=[0]"),
        *("--set", "recommenders=[popularity,{name: unisrec,params: {lr: 1e30,epochs: 2}}]"),
        "--json",
    )
    assert done.returncode == 1
    board = json.loads(done.stdout)
    assert [row["name"] for row in board["rows"]] == ["popularity"]
    assert [failure["recommender"] for failure in board["failed"]] == ["unisrec"]
    assert "--redo failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run", "study.yaml", "-d", "my-shp"), 2, "my-shop"),
        (("run", "study.yaml", "--set", "protocol.cf.histroy_length=3"), 2, "history_length"),
        (("run", "study.yaml", "-e", "./absent"), 4, "absent"),
        (("board", "empty"), 4, "no records here"),
    ],
)
def test_what_is_wrong_has_its_exit_code_and_one_screen(
    shop: Shop, folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (folder / "empty").mkdir(exist_ok=True)
    done = shop(*arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_said_and_nothing_is_half_written(
    folder: Path, shop: Shop, environment: dict[str, str]
) -> None:
    # A limit on the size of files stands in for a disk without room for the tables.
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "from tastebench.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "study.yaml", "-m", "popularity", "--out", "full"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "there is no room left to write" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((folder / "full").glob("study/**/per_user.parquet")) == []
