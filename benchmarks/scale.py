"""How do time and memory grow with the data? Curves with their exponents, a process a point.

    python benchmarks/scale.py models  [--sizes 10000 100000 1000000] [--folder DIR]
    python benchmarks/scale.py vectors [--sizes ...] [--half]
    python benchmarks/scale.py prepare [--sizes 1000000 ... 100000000] [--engine polars]

The logs are made up and have the shape of real ones: users' lengths log-normal with a mean of ten,
items drawn by Zipf's law (1 / rank), ids as long as Amazon's. Peak memory is the largest resident
set of the process and of its children, memory-mapped pages included; time is the clock's, and CPU
seconds beside it. The exponent is the slope of log(what) over log(size), by least squares.

- `models`: SASRec and UniSRec with sampled softmax over that many items, an epoch over a million
  events, ranked for 1,000 users over all items.
- `vectors`: that many titles encoded shard by shard by an encoder that costs nothing (`random`,
  384 numbers), put together, searched exactly for 1,000 queries.
- `prepare`: that many interactions, read from Parquet, deduplicated, cut to their 5-core, written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

SIZES = {
    "models": [10_000, 100_000, 1_000_000],
    "vectors": [10_000, 100_000, 1_000_000],
    "prepare": [1_000_000, 3_000_000, 10_000_000, 30_000_000, 100_000_000],
}
EVENTS = 1_000_000
MEAN_LENGTH = 10
PER_ITEM = 12
WIDTH = 384
CHUNK = 5_000_000

Measured = dict[str, float]


# ------------------------------------------------------------------------------ logs of real shape


def lengths(users: int, rng: np.random.Generator) -> np.ndarray:
    """How many events each user has: log-normal, at least one, int64 `[users]`."""
    sigma = 1.0
    drawn = rng.lognormal(np.log(MEAN_LENGTH) - sigma**2 / 2, sigma, users)
    return np.maximum(1, np.rint(drawn)).astype(np.int64)


def zipf(n: int, items: int, rng: np.random.Generator) -> np.ndarray:
    """Items by Zipf's law with exponent 1: the rank is log-uniform up to rounding, int64 `[n]`."""
    return np.minimum(np.exp(rng.random(n) * np.log(items + 1)).astype(np.int64) - 1, items - 1)


def events(n: int, items: int, seed: int) -> Iterator[pl.DataFrame]:
    """A log of `n` events, oldest first, in frames of at most `CHUNK` rows."""
    rng = np.random.default_rng(seed)
    share = lengths(n // MEAN_LENGTH, rng).astype(np.float64)
    edges = np.cumsum(share) / share.sum()
    for start in range(0, n, CHUNK):
        rows = min(CHUNK, n - start)
        users = np.searchsorted(edges, rng.random(rows))
        yield pl.DataFrame({"user": users, "item": zipf(rows, items, rng)}).select(
            user_id="AE" + pl.col("user").cast(pl.String).str.zfill(26),
            item_id="B0" + pl.col("item").cast(pl.String).str.zfill(8),
            time=pl.int_range(start, start + rows, dtype=pl.Int64) * 1000 + 1_000_000_000_000,
            row=pl.int_range(start, start + rows, dtype=pl.Int64),
        )


def catalogue(items: int) -> pl.DataFrame:
    """Item ids with titles of six words out of ten thousand."""
    rng = np.random.default_rng(1)
    words = [f"word{n}" for n in range(10_000)]
    title = pl.DataFrame(rng.integers(0, len(words), (items, 6), dtype=np.int64)).select(
        pl.concat_str(
            [pl.col(f"column_{n}").replace_strict(range(len(words)), words) for n in range(6)],
            separator=" ",
        )
    )
    ids = "B0" + pl.int_range(items, eager=True).cast(pl.String).str.zfill(8)
    return pl.DataFrame({"item_id": ids, "title": title.to_series()})


# ----------------------------------------------------------------------------------- what is timed


def models(size: int, folder: Path, options: argparse.Namespace) -> dict[str, Measured]:
    """One run of each model; its own process says what it used."""
    import tastebench as tb
    from tastebench.data.card import DatasetCard
    from tastebench.data.dataset import Dataset
    from tastebench.data.schema import Tables

    log = pl.concat(events(EVENTS, size, 0))
    card = DatasetCard(
        name=f"scale-{size}",
        title="made up",
        tasks=("seqrec",),
        text_columns=("title",),
        text_recipe="title",
        seen_on="user",
    )
    Dataset.create(card, Tables(catalogue(size), log)).save(folder / card.name)
    train = {"epochs": 1, "loss": "sampled-softmax", "batch_size": 2048, "hidden_size": 64}
    plan = {
        "name": f"scale-{size}",
        "datasets": [str(folder / card.name)],
        "encoders": ["random"],
        "tasks": ["seqrec"],
        "recommenders": [
            {"name": "sasrec", "params": {**train, "table": "touched"}},
            {"name": "unisrec", "params": train},
        ],
        "latency_seconds": 0,
    }
    found = tb.run(plan, out=folder / "results", workers=1, limit=1000)
    for record in found.failed:
        raise SystemExit(f"{record.spec.label}: {record.error}")
    return {
        record.spec.recommender: {
            "MB": (record.cost.peak_memory_bytes or 0) / 2**20,
            "fit s": record.cost.fit_seconds,
            "ranking s": record.cost.evaluate_seconds,
        }
        for record in found.records
        if record.cost is not None
    }


def vectors(size: int, folder: Path, options: argparse.Namespace) -> dict[str, Measured]:
    """Encoding by shards, and an exact search."""
    from tastebench.encoders import encode_items
    from tastebench.encoders.controls import RandomEncoder
    from tastebench.encoders.half import Half
    from tastebench.tasks.nearest import nearest

    os.environ["TASTEBENCH_HOME"] = str(folder / "home")
    texts = catalogue(size)["title"].to_list()
    start = time.perf_counter()
    encoder: Any = RandomEncoder(width=WIDTH)
    encoder = Half(encoder) if options.half else encoder
    encoded = encode_items(encoder, texts, recipe="title")
    made = time.perf_counter() - start
    queries = np.random.default_rng(2).standard_normal((1000, encoded.vectors.shape[1]))
    start = time.perf_counter()
    nearest(queries.astype(np.float32), encoded.vectors, 100)
    searched = time.perf_counter() - start
    disk = sum(path.stat().st_size for path in (folder / "home").rglob("*") if path.is_file())
    return {
        "encode": {"s": made, "MB on disk": disk / 2**20},
        "search, 1,000 queries": {"s": searched, "MB": peak() / 2**20},
    }


def prepare(size: int, folder: Path, options: argparse.Namespace) -> dict[str, Measured]:
    """The command as a user gives it, in a process whose family is watched."""
    log = folder / "log"
    (log / "interactions").mkdir(parents=True)
    items = size // PER_ITEM
    catalogue(items).write_parquet(log / "items.parquet")
    for n, frame in enumerate(events(size, items, 0)):
        frame.write_parquet(log / "interactions" / f"part-{n:04d}.parquet")
    command = [sys.executable, "-m", "tastebench.cli", "data", "prepare", str(log), "--dedup"]
    command += ["--k-core", "5", "--name", "prepared", "--engine", options.engine, "--json"]
    environment = {**os.environ, "TASTEBENCH_HOME": str(folder / "home")}
    start = time.perf_counter()
    process = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    most, used = 0, 0.0
    while process.poll() is None:
        memory, cpu = family(process)
        most, used = max(most, memory), max(used, cpu)
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(process.returncode)
    seconds = time.perf_counter() - start
    about = json.loads((folder / "home/datasets/prepared/dataset.json").read_text())
    left = about["rows"]["interactions"]
    return {options.engine: {"MB": most / 2**20, "s": seconds, "CPU s": used, "rows left": left}}


def family(process: Any) -> tuple[int, float]:
    """Resident bytes and CPU seconds of a process and all below it."""
    memory, cpu = 0, 0.0
    with contextlib.suppress(psutil.NoSuchProcess):  # some end while they are asked
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            memory, cpu = memory + one.memory_info().rss, cpu + times.user + times.system
    return memory, cpu


WORK: dict[str, Callable[[int, Path, argparse.Namespace], dict[str, Measured]]] = {
    "models": models,
    "vectors": vectors,
    "prepare": prepare,
}


# ---------------------------------------------------------------------------------------- the table


def peak() -> int:
    """The largest resident set of this process or of one of its children, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    sides = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(side).ru_maxrss for side in sides) * unit


def slope(sizes: list[int], values: list[float]) -> float:
    """The exponent of a power law through the points."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def point(size: int, options: argparse.Namespace) -> dict[str, Measured]:
    """One size in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--one", str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Measured] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Prints a Markdown table a kind of work, or the numbers of one point."""
    options = arguments()
    if options.one:
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            print(json.dumps(WORK[options.what](options.one, Path(place), options)))
        return
    sizes = options.sizes or SIZES[options.what]
    points: list[dict[str, Measured]] = []
    for size in sizes:
        points.append(point(size, options))
        print(f"{size:,}: {points[-1]}", file=sys.stderr)
    print("| what | " + " | ".join(f"{size:,}" for size in sizes) + " | exponent |")
    print("|---" * (len(sizes) + 2) + "|")
    for what in points[0]:
        for unit in points[0][what]:
            values: list[Any] = [one[what][unit] for one in points]
            told = " | ".join(
                f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in values
            )
            print(f"| {what}, {unit} | {told} | {slope(sizes, values):.2f} |")


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*SIZES])
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--folder", help="where logs are written; a temporary one if not given")
    parser.add_argument("--engine", default="polars", choices=["polars", "spark"])
    parser.add_argument("--half", action="store_true", help="keep vectors in half precision")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
