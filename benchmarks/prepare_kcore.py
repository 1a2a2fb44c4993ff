"""How long does a 5-core of two million events take, and does it equal a plain one?

The peer is the textbook way, a pandas-style loop over value counts written on NumPy integer codes
with the strings already factorised, which is a lower bound for what such a loop costs. Ours starts
from strings, as the data do. Events are drawn with popularity as in a shop: users even, items Zipf.

    python benchmarks/prepare_kcore.py [--events 2000000] [--k 5] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from tastebench.data.prepare import dedup, k_core


def make_events(n: int, seed: int = 0) -> pl.DataFrame:
    """`n` events of about n / 7 users on about n / 20 items, with ids as long as Amazon's."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, n // 7, n)
    items = rng.zipf(1.2, n) % (n // 20)
    return pl.DataFrame({"user": users, "item": items}).select(
        user_id="AE" + pl.col("user").cast(pl.String).str.zfill(26),
        item_id="B0" + pl.col("item").cast(pl.String).str.zfill(8),
        time=pl.Series(rng.integers(0, 10**12, n)),
        row=pl.int_range(pl.len()),
    )


def on_codes(users: np.ndarray, items: np.ndarray, k: int) -> int:
    """The size of the k-core by counting integer codes until nothing changes."""
    while True:
        keep = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if keep.all():
            return len(users)
        users, items = users[keep], items[keep]


def median_seconds(call: Callable[[], object], repeats: int) -> float:
    """The median wall time of `call`."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    events = make_events(asked.events)
    core = k_core(events, asked.k)
    codes = [events[c].rank("dense").cast(pl.Int64).to_numpy() for c in ("user_id", "item_id")]
    plain = on_codes(codes[0], codes[1], asked.k)
    if len(core.frame) != plain:
        raise SystemExit(f"the cores differ: {len(core.frame):,} and {plain:,} events")
    rows = [
        ("k-core, from strings (ours)", lambda: k_core(events, asked.k)),
        ("k-core, integer codes given", lambda: on_codes(codes[0], codes[1], asked.k)),
        ("dedup (ours)", lambda: dedup(events)),
    ]
    print(f"{asked.events:,} events, {asked.k}-core: {plain:,} events, {core.passes} passes")
    print(f"Polars {pl.__version__}, {pl.thread_pool_size()} threads, median of {asked.repeats}")
    for name, call in rows:
        print(f"{name:<32}{median_seconds(call, asked.repeats):8.3f} s")


if __name__ == "__main__":
    main()
