"""A full disk, places that cannot be written, a clock that goes backwards, locks of the dead."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tastebench as tb
from tastebench.alone import alone
from tastebench.cli import main
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.encoders.vectors import encode_items
from tastebench.errors import TastebenchError
from tastebench.runs import processes
from tastebench.runs.job import Surroundings

N_ITEMS = 40

PLAN: dict[str, Any] = {
    "name": "study",
    "datasets": ["shop"],
    "tasks": ["cf"],
    "encoders": ["tfidf-svd"],
    "encoder_controls": [],
    "recommenders": [{"name": "alpharec", "params": {"epochs": 1}}, "popularity"],
    "latency_seconds": 0,
}


def shop(n_items: int = N_ITEMS) -> Dataset:
    rng = np.random.default_rng(0)
    titles = [f"thing number {i} of kind {i % 4}" for i in range(n_items)]
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(n_items)], "title": titles})
    user = np.repeat(np.arange(30), 6)
    events = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"i{i}" for i in rng.integers(n_items, size=len(user))],
            "time": 1_600_000_000_000 + rng.integers(10**9, size=len(user)),
        }
    )
    card = DatasetCard(name="shop", title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=events))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be done in other processes is done in this one, which is faster to start."""

    def run_all(works: Any, workers: int, listener: Any) -> None:
        for work in works:
            listener.started(work.key)
            work.target(work.argument, Surroundings())
            listener.ended(work.key, None)

    monkeypatch.setattr(processes, "run_all", run_all)


def run(out: Path, **more: Any) -> list[Any]:
    """Each run's metrics, and when its record was written."""
    results = tb.run({**PLAN, **more}, out=out, workers=1, progress=False)
    assert not results.failed, results.failed[0].error
    return [(record.spec_hash, record.metrics, record.created) for record in results.records]


Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """`mount("size=1m")` is a small file system of its own; again with `remount,ro` changes it."""
    place = tmp_path / "mounted"
    place.mkdir()
    mounted = False

    def do(options: str) -> Path:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode:
            pytest.skip(f"no file system can be mounted here: {said.stderr.strip()}")
        mounted = True
        return place

    yield do
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


# -------------------------------------------------------------------------------------- full disk


class Wide:
    """Vectors of 4 kB a text."""

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 `[n, 1024]`."""
        return np.array([[len(text)] * 1024 for text in texts], dtype=np.float32)


def saving(folder: Path) -> Any:
    dataset = shop(20_000)
    dataset.save(folder / "home" / "datasets" / "shop")
    return dataset.fingerprint


def encoding(folder: Path) -> Any:
    texts = [f"{'x' * (i % 7)}{i}" for i in range(300)]
    made = encode_items(tb.as_encoder(Wide(), "wide", revision="1"), texts, recipe="title")
    return np.array(made.vectors).tolist()


@pytest.mark.parametrize("work", [saving, encoding], ids=["a dataset", "vectors"])
def test_a_full_disk_is_said_and_with_room_it_goes_on(
    work: Callable[[Path], Any], mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mount("size=32k")
    monkeypatch.setenv("TASTEBENCH_HOME", str(folder / "home"))
    with pytest.raises(TastebenchError) as caught:
        work(folder)
    assert caught.value.what.endswith("No space left on device")
    assert "TASTEBENCH_HOME" in (caught.value.fix or "")
    assert not [path for path in folder.rglob(".tmp-*") if path.is_file()]
    mount("remount,size=16m")
    first = work(folder)
    assert work(folder) == first


def test_a_full_disk_stops_a_plan_and_with_room_it_goes_on(mount: Mount, tmp_path: Path) -> None:
    shop().save(datasets_folder() / "shop")
    whole = [(key, metrics) for key, metrics, _ in run(tmp_path / "whole")]
    out = mount("size=20k")
    (tmp_path / "plan.yaml").write_text(str(PLAN), encoding="utf-8")
    assert main(["run", str(tmp_path / "plan.yaml"), "--out", str(out), "--workers", "1"]) == 4
    mount("remount,size=16m")
    assert [(key, metrics) for key, metrics, _ in run(out)] == whole


# -------------------------------------------------------------------------------------- read-only


def test_results_that_cannot_be_written_are_said_before_anything_is_done(
    mount: Mount, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shop().save(datasets_folder() / "shop")
    out = mount("ro")
    (tmp_path / "plan.yaml").write_text(str(PLAN), encoding="utf-8")
    assert main(["run", str(tmp_path / "plan.yaml"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "cannot write records: Read-only file system" in said
    assert str(out) in said and "--out DIR" in said and "Traceback" not in said


def test_a_home_that_cannot_be_written_serves_what_it_holds(
    mount: Mount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = mount("size=16m") / "home"
    monkeypatch.setenv("TASTEBENCH_HOME", str(home))
    shop().save(datasets_folder() / "shop")
    whole = [(key, metrics) for key, metrics, _ in run(tmp_path / "before")]
    mount("remount,ro")
    assert [(key, metrics) for key, metrics, _ in run(tmp_path / "after")] == whole
    with pytest.raises(TastebenchError, match="Read-only file system") as caught:
        tb.load_dataset("storefront")
    assert str(home) in (caught.value.where or "")
    assert "TASTEBENCH_HOME" in (caught.value.fix or "")


# ------------------------------------------------------------------------------- clocks and locks


@pytest.mark.parametrize("stamp", [0, 4_000_000_000], ids=["1970", "2096"])
def test_no_clock_decides_what_is_done(
    stamp: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files from another century, and a clock that loses an hour whenever it is looked at."""
    shop().save(datasets_folder() / "shop")
    first = run(tmp_path / "out")
    for folder in (tmp_path / "out", datasets_folder().parent):
        for path in folder.rglob("*"):
            os.utime(path, (stamp, stamp))
    now = [time.time()]

    def backwards() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    assert run(tmp_path / "out") == first
    more = run(tmp_path / "out", seeds=[0, 1])
    fresh = run(tmp_path / "fresh", seeds=[0, 1])
    assert [one[:2] for one in more] == [one[:2] for one in fresh]


def test_a_lock_that_somebody_dead_left_is_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    lock.write_text("12345")
    child = os.fork()
    if child == 0:  # dies holding it
        with alone(lock, lambda: None):
            os._exit(0)
    os.waitpid(child, 0)
    assert lock.exists()
    waited: list[bool] = []
    with alone(lock, lambda: waited.append(True)) as late:
        assert not late and not waited
    assert not lock.exists()
