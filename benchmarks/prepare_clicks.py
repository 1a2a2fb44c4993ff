"""How long do labelled rows take to make of a million impressions, and of a log as long?

RecBench's published processor goes through the users one by one and reads the whole table for each,
which is quadratic. The peer here is a plain loop over grouped users, the cheapest such loop: it
samples the same numbers of rows of the same users, so that the sizes must agree. Popularity is as
in a shop: users even, items Zipf; one impression in ten is clicked.

    python benchmarks/prepare_clicks.py [--rows 1000000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import polars as pl

from tastebench.data.click_rows import ClickRows, click_rows
from tastebench.data.schema import Tables, coerce


def make_tables(n: int, seed: int = 0) -> Tables:
    """`n` impressions and `n` interactions of n / 20 users on n / 20 items, with rated taste."""
    rng = np.random.default_rng(seed)
    users, items = n // 20, n // 20

    def ids(kind: str, numbers: np.ndarray) -> pl.Series:
        return pl.Series(numbers).cast(pl.String).str.zfill(8).str.replace("^", kind)

    everyone, catalogue = ids("U", np.arange(users)), ids("N", np.arange(items))

    def events() -> dict[str, pl.Series]:
        user, item = rng.integers(0, users, n), rng.zipf(1.2, n) % items
        return {"user_id": everyone.gather(user), "item_id": catalogue.gather(item)}

    lists = pl.Series(np.arange(n) // 10).cast(pl.String)
    past = np.array_split(rng.zipf(1.2, 20 * users) % items, users)
    histories = pl.Series([catalogue.gather(one).to_list() for one in past])
    tables = Tables(
        items=pl.DataFrame({"item_id": catalogue, "title": catalogue}),
        interactions=pl.DataFrame({**events(), "time": rng.integers(0, 10**12, n)}).with_columns(
            rating=pl.Series(rng.choice([1.0, 3.0, 5.0], n))
        ),
        impressions=pl.DataFrame({"impression_id": lists, **events()}).with_columns(
            label=pl.Series((rng.random(n) < 0.1).astype(np.int8))
        ),
        histories=pl.DataFrame({"user_id": everyone, "item_ids": histories}),
    )
    return coerce(tables, "benchmark")


def by_user(tables: Tables, spec: ClickRows, seed: int = 0) -> tuple[int, int]:
    """Rows of test and finetune of the given lists, one user at a time."""
    frame = tables.impressions
    assert frame is not None
    rng = random.Random(seed)
    best: dict[tuple[str, str], int] = {}
    for user, item, label in frame.select("user_id", "item_id", "label").iter_rows():
        best[user, item] = max(label, best.get((user, item), 0))
    groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for (user, item), label in best.items():
        groups[user][label].append(item)
    order = sorted(groups)
    rng.shuffle(order)
    sizes, users = [], iter(order)
    for target in (spec.test_rows, spec.finetune_rows):
        rows: list[tuple[str, str, int]] = []
        for user in users:
            for label in (0, 1):
                some = groups[user][label]
                drawn = rng.sample(some, min(spec.cap // 2, len(some)))
                rows += [(user, item, label) for item in drawn]
            if len(rows) >= target:
                break
        sizes.append(len(rows))
    return sizes[0], sizes[1]


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
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    tables = make_tables(asked.rows)
    given = ClickRows(family="given")
    _, account = click_rows(tables, given)
    ours = [account["parts"][part]["rows"] for part in ("test", "finetune")]
    plain = by_user(tables, given)
    if any(abs(a - b) > given.cap for a, b in zip(ours, plain, strict=True)):
        raise SystemExit(f"the sizes differ: {ours} and {plain}")
    print(f"{asked.rows:,} impressions, {asked.rows:,} interactions, {len(tables.items):,} items")
    print(f"Polars {pl.__version__}, {pl.thread_pool_size()} threads, median of {asked.repeats}")
    print()
    print("| rows | test | finetune | seconds |")
    print("| :-- | --: | --: | --: |")
    for family in ("given", "explicit", "sampled"):
        spec = ClickRows.model_validate({"family": family})
        _, account = click_rows(tables, spec)
        sizes = " | ".join(f"{account['parts'][part]['rows']:,}" for part in ("test", "finetune"))
        seconds = median_seconds(lambda spec=spec: click_rows(tables, spec), asked.repeats)
        print(f"| {family}, with sequences and account (ours) | {sizes} | {seconds:.2f} |")
    seconds = median_seconds(lambda: by_user(tables, given), asked.repeats)
    print(f"| given, rows alone, a loop over users | {plain[0]:,} | {plain[1]:,} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
