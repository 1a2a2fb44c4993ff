"""A plan of 200 runs that is killed 20 times at random moments, against the same plan undisturbed.

    python benchmarks/kills.py [--runs 200] [--kills 20] [--workers 1] [--seed 0]

A cut of the embedded shop, TF-IDF vectors and AlphaRec, ten learning rates and 20 seeds, three
epochs each, one thread a run. The killed plan is `tastebench run`, its moments are drawn: after how
many records, and how long after the last of them. Every other kill takes the whole process group,
the rest only the process that started it, whose runs end by themselves. Then the same command
again. To reach: equal records but for cost, no finished run touched again, and at most `workers`
runs a kill begun twice.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from tastebench.data.catalog import load_dataset
from tastebench.data.prepare import Filters, prepare

OF_THE_MOMENT = ("cost", "created", "environment", "tables", "sha256")
RATES, EPOCHS = 10, 3


def main() -> None:
    """Prints a Markdown table."""
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ |= {"TASTEBENCH_HOME": str(root / "home"), "OMP_NUM_THREADS": "1"}
        plan = make_plan(root, options.runs)
        began = time.perf_counter()
        start(plan, root / "whole", options.workers).wait()
        alone = time.perf_counter() - began
        killed = kill(plan, root / "killed", options, 2 * alone / options.runs)
        whole, again = records(root / "whole"), records(root / "killed")
        different = [key for key in whole if whole[key] != again.get(key)]
        print(f"| {len(whole)} runs, {options.workers} at a time | undisturbed | killed |")
        print("|---|---|---|")
        print(f"| kills | 0 | {killed.kills} |")
        print(f"| records | {len(whole)} | {len(again)} |")
        print(f"| records that differ, cost aside | | {len(different)} |")
        print(
            f"| runs begun twice (at most {killed.kills * options.workers}) | 0 | {killed.twice} |"
        )
        print(f"| finished runs touched again | 0 | {killed.touched} |")
        print(
            f"| temporary files left | {len(left(root / 'whole'))} | {len(left(root / 'killed'))} |"
        )
        print(f"| seconds | {alone:.0f} | {killed.seconds:.0f} |")
    if different or killed.touched or killed.twice > killed.kills * options.workers:
        sys.exit(1)


def make_plan(root: Path, runs: int) -> Path:
    """A plan over a part of the shop."""
    from tastebench.data.catalog import datasets_folder

    made = prepare(load_dataset("storefront"), Filters(sample_users=150, k_core=2), "cut")
    made.save(datasets_folder() / "cut")
    rates = [round(1e-4 * 2**place, 6) for place in range(RATES)]
    plan = {
        "name": "kills",
        "datasets": ["cut"],
        "tasks": ["cf"],
        "encoders": ["tfidf-svd"],
        "encoder_controls": [],
        "recommenders": [
            {"name": "alpharec", "params": {"epochs": EPOCHS, "lr": rate}} for rate in rates
        ],
        "seeds": list(range(runs // RATES)),
        "threads": 1,
        "latency_seconds": 0,
    }
    path = root / "plan.yaml"
    path.write_text(yaml.safe_dump(plan), encoding="utf-8")
    return path


def start(plan: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own."""
    command = [sys.executable, "-m", "tastebench.cli", "run", str(plan)]
    return subprocess.Popen(
        [*command, "--out", str(out), "--workers", str(workers)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@dataclass
class Killed:
    """What came of it: how often it was killed, what was begun twice or touched again."""

    kills: int = 0
    twice: int = 0
    touched: int = 0
    seconds: float = 0.0
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)


def kill(plan: Path, out: Path, options: argparse.Namespace, latest: float) -> Killed:
    """Starts the plan again and again until it ends by itself.

    Args:
        plan: The plan.
        out: Where its records go.
        options: How often, and the seed of the moments.
        latest: Seconds between a record and the kill, at most.
    """
    rng = np.random.default_rng(options.seed)
    after = np.sort(rng.choice(options.runs - 1, options.kills, replace=False)) + 1
    late = rng.uniform(0, latest, size=options.kills)
    killed, began = Killed(), time.perf_counter()
    for number, (records_first, seconds) in enumerate(zip(after, late, strict=True)):
        process = start(plan, out, options.workers)
        while len(finished(out)) < records_first and process.poll() is None:
            time.sleep(0.02)
        time.sleep(seconds)
        if process.poll() is not None:
            continue
        if number % 2:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.5)  # its runs find that nobody is left to work for
            end_group(process.pid)
        else:
            end_group(process.pid)
            process.wait()
        killed.kills += 1
        look(out, killed)
    start(plan, out, options.workers).wait()
    killed.seconds = time.perf_counter() - began
    killed.touched = sum(finished(out)[key] != stamp for key, stamp in killed.stamps.items())
    return killed


def end_group(group: int) -> None:
    """What is left of a process group; nothing may be."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def look(out: Path, killed: Killed) -> None:
    """Counts the runs that had begun and have no record: they begin again."""
    done = finished(out)
    killed.stamps |= done
    begun = {path.stem for path in (out / ".work").glob("*.log")}
    killed.twice += len(begun - set(done))


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """Runs with a record, each with what tells whether its file was written anew."""
    found = {}
    for path in out.glob("kills/*/*/*/*/record.json"):
        about = path.stat()
        found[path.parent.name] = (about.st_ino, about.st_mtime_ns)
    return found


def records(out: Path) -> dict[str, Any]:
    """What has to be the same of each run: its record but for cost, and its tables."""
    found = {}
    for path in out.glob("kills/*/*/*/*/record.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        told = {key: value for key, value in told.items() if key not in OF_THE_MOMENT}
        told["trials"] = [{**trial, "seconds": 0} for trial in told["trials"]]
        tables = {
            table.name: pl.read_parquet(table).drop("seconds", strict=False).rows()
            for table in sorted(path.parent.glob("*.parquet"))
        }
        found[path.parent.name] = (told, tables)
    return found


def left(out: Path) -> list[Path]:
    """Temporary files that kills left behind."""
    return [path for path in out.rglob("*") if path.name.startswith(".tmp-")]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
