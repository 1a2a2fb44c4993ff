"""AUC within each user and its mean, against its peers.

    python benchmarks/gauc.py [--rows 1000000] [--users 50000] [--repeats 5] [--sklearn]

Rows are in random order; some users have one class only. The scikit-learn loop takes minutes at
full size, so it runs on a tenth of the users and is scaled up, unless `--sklearn` asks for all.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from tastebench.metrics.click import gauc


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def sklearn_loop(labels: np.ndarray, scores: np.ndarray, group: np.ndarray) -> float:
    """One call a user, on rows sorted by user."""
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order])) + 1
    found = []
    for rows in np.split(order, bounds):
        truth = labels[rows]
        if 0 < truth.sum() < len(truth):
            found.append(roc_auc_score(truth, scores[rows]))
    return float(np.mean(found))


def polars_ranks(labels: np.ndarray, scores: np.ndarray, group: np.ndarray) -> float:
    """The rank formula as an expression over groups, all threads it wants."""
    positive, n = pl.col("label").sum(), pl.len()
    ranks = (pl.col("score").rank("average") * pl.col("label")).sum()
    area = (ranks - positive * (positive + 1) / 2) / (positive * (n - positive))
    frame = pl.DataFrame({"label": labels, "score": scores, "group": group})
    values = frame.group_by("group").agg(area.alias("auc"), positive.alias("p"), n.alias("n"))
    both = values.filter((pl.col("p") > 0) & (pl.col("p") < pl.col("n")))
    return float(both["auc"].mean())  # type: ignore[arg-type]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sklearn", action="store_true", help="the scikit-learn loop in full")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    group = rng.integers(0, options.users, options.rows)
    labels = (rng.random(options.rows) < 0.2).astype(np.int64)
    wide = rng.random(options.rows)
    narrow = wide.astype(np.float32)

    rows = [
        ("tastebench, float64 scores", seconds(lambda: gauc(labels, wide, group), options.repeats)),
        (
            "tastebench, float32 scores",
            seconds(lambda: gauc(labels, narrow, group), options.repeats),
        ),
        ("Polars group_by", seconds(lambda: polars_ranks(labels, wide, group), options.repeats)),
    ]
    part = np.ones(len(group), bool) if options.sklearn else group < options.users // 10
    share = part.mean()
    taken = seconds(lambda: sklearn_loop(labels[part], wide[part], group[part]), 1)
    note = "" if options.sklearn else f" (scaled from {share:.0%} of the rows)"
    rows.append((f"scikit-learn loop{note}", taken / share))

    ours, theirs = gauc(labels, wide, group).mean, polars_ranks(labels, wide, group)
    print(f"{options.rows:,} rows, {options.users:,} users, medians\n")
    print("| what | seconds |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value:.3f} |")
    print(f"\ngauc {ours:.12f}; Polars gives {theirs:.12f}")


if __name__ == "__main__":
    main()
