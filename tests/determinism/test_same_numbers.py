"""The same numbers to the bit: for any number of workers, in fresh processes, in any order.

A plan with everything that computes: vectors, codes learned of them, a trained next-item model that
reads codes, a trained linear model over vectors, a click model, and a control that draws.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import tastebench as tb
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.runs.record import Record
from tastebench.runs.store import find_records

PLAN: dict[str, Any] = {
    "name": "same",
    "datasets": ["shop"],
    "tasks": ["cf", "seqrec", "ctr"],
    "encoders": ["tfidf-svd"],
    "encoder_controls": ["random"],
    "codes": ["rk-means-2x8"],
    "recommenders": [
        {"name": "alpharec", "params": {"epochs": 2}},
        {"name": "sid-sasrec", "params": {"epochs": 1, "hidden_size": 16, "layers": 1}},
        {"name": "dnn", "params": {"epochs": 1}, "representations": ["id"]},
        "random",
    ],
    "latency_seconds": 0,
}

OF_THE_MOMENT = ("cost", "created", "environment", "tables")


def numbers(out: Path) -> dict[str, str]:
    """All of the records but what depends on the moment, and every table beside them, as text.

    The shortest text that reads back as the same number: what is not a number equals itself there.
    """
    found = {}
    for path in find_records(out):
        record = Record.read(path)
        assert record.status == "ok", record.error
        told = record.model_dump(mode="json")
        told = {key: value for key, value in told.items() if key not in OF_THE_MOMENT}
        told["trials"] = [{**trial, "seconds": 0} for trial in told["trials"]]
        tables = {
            table.name: pl.read_parquet(table).drop("seconds", strict=False).rows()
            for table in sorted(path.parent.glob("*.parquet"))
        }
        found[record.spec_hash] = json.dumps([told, tables], sort_keys=True)
    return found


def in_a_process(plan: Path, out: Path, home: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tastebench.cli", "run", str(plan), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--workers", "2"],
        env={**os.environ, "TASTEBENCH_HOME": str(home), **environment},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def whole(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The numbers of one worker, computed in a home of their own."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASTEBENCH_HOME", str(folder / "home"))
        shop.save(datasets_folder() / "shop")
        tb.run(PLAN, out=folder / "one", workers=1, progress=False)
    found = numbers(folder / "one")
    read = [json.loads(text) for text in found.values()]
    assert {told["spec"]["task"] for told, _ in read} == {"cf", "seqrec", "ctr"}
    assert any(told["spec"].get("codes") for told, _ in read) and len(read) >= 6
    assert sum("curves.parquet" in tables for _, tables in read) >= 4
    return found


def test_workers_and_fresh_processes_and_order_change_no_number(
    whole: dict[str, str], shop: Dataset, tmp_path: Path
) -> None:
    """Two runs at once; then four at once of a plan the other way round."""
    shop.save(datasets_folder() / "shop")
    tb.run(PLAN, out=tmp_path / "two", workers=2, progress=False)
    assert numbers(tmp_path / "two") == whole
    turned = {**PLAN, **{name: PLAN[name][::-1] for name in ("tasks", "recommenders")}}
    tb.run(turned, out=tmp_path / "four", workers=4, progress=False)
    assert numbers(tmp_path / "four") == whole


@pytest.mark.parametrize("seed", ["0", "4711"])
def test_nothing_that_is_kept_and_no_order_of_sets_has_a_part(
    seed: str, whole: dict[str, str], shop: Dataset, tmp_path: Path
) -> None:
    """A process of its own, a home of its own, and hashes of texts that are others.

    One of them is killed after its first record, and begun again.
    """
    plan, home, out = tmp_path / "plan.yaml", tmp_path / "other", tmp_path / "out"
    plan.write_text(yaml.safe_dump(PLAN), encoding="utf-8")
    shop.save(home / "datasets" / "shop")
    if seed != "0":
        begun = in_a_process(plan, out, home, PYTHONHASHSEED=seed)
        while not list(out.glob("same/**/record.json")) and begun.poll() is None:
            time.sleep(0.02)
        os.killpg(begun.pid, signal.SIGKILL)
        assert begun.wait() == -signal.SIGKILL
        assert 0 < len(numbers(out)) < len(whole)
    assert in_a_process(plan, out, home, PYTHONHASHSEED=seed).wait() == 0
    assert numbers(out) == whole
