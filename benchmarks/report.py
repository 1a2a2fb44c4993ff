"""How large is the page of 1,000 runs, how long does it take to make, and to open?

    python benchmarks/report.py [RUNS]

To reach: below 15 MB, and ready in Chromium within 2 s: its markup read, its table to be sorted and
filtered. Charts are drawn after that, one by one, while the page is used. The peer is the same page
without any of its scripts.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tastebench.board.report import write_report
from tastebench.files import hash_json, write_text
from tastebench.metrics.interval import bootstrap
from tastebench.runs.record import (
    Budget,
    Cost,
    EncodeStep,
    Fit,
    Latency,
    MetricValue,
    Parameters,
    Percentiles,
    Record,
)
from tastebench.runs.spec import RunSpec
from tastebench.runs.store import folder_of

RUNS = 1000
USERS = 500
EPOCHS = 20
OPENED = 7
METRICS = ("ndcg@10", "recall@10", "ndcg@50", "recall@50", "mrr")
PLACES = [(task, data) for task in ("seqrec", "cf") for data in ("games", "books")]
PROTOCOL = {"split": {"kind": "time"}, "history_length": 50, "mask_seen": False}


def spec_of(i: int) -> RunSpec:
    """The i-th run: every encoder in all places, before the next one comes."""
    task, dataset = PLACES[i % len(PLACES)]
    return RunSpec(
        task=task,
        dataset=dataset,
        recommender="unisrec" if task == "seqrec" else "alpharec",
        representation="vector",
        encoder=f"organisation-{i // 40}/encoder-{i // len(PLACES)}",
        params={f"setting_{n}": 0.1 * n for n in range(20)},
        text_recipe="all-text",
    )


def write_run(root: Path, i: int) -> None:
    """One run as an execution leaves it."""
    rng = np.random.default_rng(i)
    spec = spec_of(i)
    strength = 0.2 + 0.6 * (i // len(PLACES)) / (RUNS / len(PLACES))
    values = {name: rng.beta(4 * strength, 4, USERS) for name in METRICS}
    metrics = {}
    for name, column in values.items():
        found = bootstrap(column, np.random.default_rng(0))
        metrics[name] = MetricValue(mean=found.mean, low=found.low, high=found.high, n=found.n)
    milliseconds = float(rng.uniform(0.2, 20))
    times = Percentiles(p50=milliseconds, p95=2 * milliseconds, p99=3 * milliseconds, n=1000)
    record = Record(
        status="ok",
        suite="thousand",
        row_by="encoder",
        spec=spec,
        given=spec.model_dump(mode="json"),
        spec_hash=hash_json(spec.model_dump(mode="json")),
        protocol={"task": spec.task, **PROTOCOL},
        protocol_id=hash_json([spec.task, spec.dataset])[:12],
        budget=Budget(epochs=EPOCHS, patience=3),
        budget_id="b0",
        kind="control" if i < len(PLACES) else "model",
        headline="ndcg@10",
        metrics=metrics,
        cost=Cost(
            wall_seconds=milliseconds * 9,
            fit_seconds=milliseconds * 7,
            encode=EncodeStep(seconds=12.0, texts=5000, texts_encoded=5000),
            parameters=Parameters(encoder=22_000_000 + i, recommender=100_000),
            latency=Latency(cached=times, first_ms=3.0, k=10, budget_seconds=2.0),
        ),
        fit=Fit(epochs=EPOCHS, best_epoch=EPOCHS - 2, converged=True),
        environment={"python": "3.11", "packages": {f"package-{n}": "1.0" for n in range(20)}},
        fingerprints={"dataset": "d" * 64, "encoder": f"sha256-{i:016d}"},
        created="2026-01-01T00:00:00+00:00",
    )
    folder = folder_of(root, record)
    record.write(folder)
    users = {"user_id": [f"u{n}" for n in range(USERS)]}
    history = rng.choice(["1-4", "5-9", "10-19", "20-49"], USERS).tolist()
    pl.DataFrame({**users, **values, "history": history}).write_parquet(folder / "per_user.parquet")
    curve = {"epoch": range(1, EPOCHS + 1), "loss": rng.random(EPOCHS), "valid": rng.random(EPOCHS)}
    pl.DataFrame(curve).write_parquet(folder / "curves.parquet")
    write_text(folder / "config.yaml", "name: thousand\n" + "setting: 1\n" * 60)


def opened(page: Any, path: Path, done: str) -> float:
    """Seconds until the page is ready."""
    start = time.perf_counter()
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector(done, state="attached")
    return time.perf_counter() - start


def main() -> None:
    """Prints the table."""
    from playwright.sync_api import sync_playwright

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as place:
        root, path, bare = (Path(place) / name for name in ("results", "page.html", "bare.html"))
        for i in range(runs):
            write_run(root, i)
        start = time.perf_counter()
        write_report(root, path)
        made = time.perf_counter() - start
        page = path.read_text(encoding="utf-8")
        write_text(bare, re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL) + "<p id=end>")
        ready, drawn, without = [], [], []
        with sync_playwright() as tool:
            chromium = tool.chromium.launch(executable_path=shutil.which("chromium"))
            for _ in range(OPENED):  # in turn, so that a slow moment hits both alike
                tab = chromium.new_page()
                without.append(opened(tab, bare, "#end"))
                ready.append(opened(tab, path, "table.dataTable"))
                drawn.append(opened(tab, path, "html[data-drawn]"))
                tab.close()
    size = len(page.encode()) / 2**20
    print(f"{runs:,} runs, {USERS} users each; medians of {OPENED} openings\n")
    print("| what | |\n|---|---|")
    print(f"| size (to reach: 15 MB) | {size:.1f} MB |")
    print(f"| ready in Chromium (to reach: 2 s) | {statistics.median(ready):.2f} s |")
    print(f"| all charts drawn | {statistics.median(drawn):.2f} s |")
    print(f"| the same page without scripts | {statistics.median(without):.2f} s |")
    print(f"| made from records | {made:.1f} s |")


if __name__ == "__main__":
    main()
