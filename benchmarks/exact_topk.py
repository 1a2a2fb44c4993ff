"""Exact top-100 by inner product: 1,000 queries over a million vectors of 384 numbers.

    python benchmarks/exact_topk.py [--items 1000000] [--queries 1000] [--width 384] [--k 100]
                                    [--repeats 3] [--threads 2]

Each engine runs in a process of its own, so that its peak memory is its own; the vectors are
float32 and stay in memory, as a memory-mapped cache would; `matrix +` is the peak beyond them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

ENGINES = ["faiss IndexFlatIP", "torch, one product", "ours, faiss", "ours, torch"]


def main() -> None:
    """Prints a Markdown table, or, with `--engine`, the numbers of one engine."""
    options = arguments()
    if options.engine:
        measure(options)
        return
    print(f"{options.queries:,} queries x {options.items:,} x {options.width}, top {options.k}")
    print("\n| engine | seconds | matrix + MB | same items |\n|---|---|---|---|")
    for engine in ENGINES:
        command = [sys.executable, __file__, *sys.argv[1:], "--engine", engine]
        threads = str(options.threads)
        env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        print(done.stdout.strip() or f"| {engine} | failed: {done.stderr.strip()[-200:]} | | |")


def measure(options: argparse.Namespace) -> None:
    """Times one engine in this process."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((options.items, options.width), dtype=np.float32)
    queries = rng.standard_normal((options.queries, options.width), dtype=np.float32)
    work = prepared(options.engine, queries, vectors, options.k)
    work(queries[:2])  # libraries load and threads start before the clock and the baseline
    before = peak()
    times = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        found = work(queries)
        times.append(time.perf_counter() - start)
    # An index that copied the matrix did so before `before`: its copy counts too.
    extra = peak() - before + (vectors.nbytes if options.engine.endswith("IndexFlatIP") else 0)
    few = min(20, options.queries)
    truth = np.argpartition(-(queries[:few] @ vectors.T), options.k - 1, axis=1)[:, : options.k]
    same = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=False)])
    print(
        f"| {options.engine} | {median(times):.2f} | {extra / 2**20:.0f} | {same / options.k:.4f} |"
    )


def prepared(
    engine: str, queries: np.ndarray, vectors: np.ndarray, k: int
) -> Callable[[np.ndarray], np.ndarray]:
    """What is timed: queries to items."""
    if engine == "faiss IndexFlatIP":
        import faiss

        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return lambda asked: index.search(asked, k)[1]
    if engine == "torch, one product":
        import torch

        catalogue = torch.from_numpy(vectors)

        def search(asked: np.ndarray) -> np.ndarray:
            parts = torch.from_numpy(asked).split(50)
            return np.concatenate([(p @ catalogue.T).topk(k, dim=1).indices.numpy() for p in parts])

        return search
    from tastebench.tasks.nearest import nearest

    chosen = engine.removeprefix("ours, ")
    return lambda asked: nearest(asked, vectors, k, engine=chosen).items  # type: ignore[arg-type]


def peak() -> int:
    """The most memory this process has had, in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
