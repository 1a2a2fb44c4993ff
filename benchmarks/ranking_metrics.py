"""ndcg@10, recall@10 and mrr of many users, per-user values included, against its peers.

    python benchmarks/ranking_metrics.py [--users 100000] [--candidates 100] [--repeats 5]

Every user has one relevant candidate and 100 scores in a matrix. Ours starts from the arrays,
handles ties and refuses NaN. The rank-only pass is the least that any of them must do: one
comparison and one sum, no ties, no metrics. ranx and ir_measures start from their own input, ready
made (for ranx the making is timed apart). One thread: NumPy's elementwise operations use one, ranx
is told to.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tastebench.metrics import Ranks, measure

METRICS = ["ndcg@10", "recall@10", "mrr"]


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def rank_only(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Ranks without ties."""
    own = scores[np.arange(len(scores)), target][:, None]
    return (scores > own).sum(axis=1) + 1


def dictionaries(scores: np.ndarray, target: np.ndarray) -> tuple[dict, dict]:
    """Judgements and runs as the peers want them."""
    names = [str(item) for item in range(scores.shape[1])]
    qrels = {str(q): {names[item]: 1} for q, item in enumerate(target)}
    run = {str(q): dict(zip(names, row, strict=True)) for q, row in enumerate(scores.tolist())}
    return qrels, run


def time_ranx(qrels: dict, run: dict, repeats: int) -> list[tuple[str, float]]:
    """Warm: its functions are compiled before the clock starts."""
    from ranx import Qrels, Run, evaluate

    few = dict(list(qrels.items())[:10]), dict(list(run.items())[:10])
    Qrels(few[0]), Run(few[1])
    start = time.perf_counter()
    judged, ranked = Qrels(qrels), Run(run)
    building = time.perf_counter() - start
    evaluate(judged, ranked, METRICS, return_mean=False)
    warm = seconds(lambda: evaluate(judged, ranked, METRICS, return_mean=False), repeats)
    return [("ranx, input ready, warm", warm), ("ranx, building its input", building)]


def time_ir_measures(qrels: dict, run: dict, repeats: int) -> list[tuple[str, float]]:
    """Per-query values of the three measures."""
    import ir_measures
    from ir_measures import RR, R, nDCG

    wanted = [nDCG @ 10, R @ 10, RR]
    return [
        (
            "ir_measures, input ready",
            seconds(lambda: list(ir_measures.iter_calc(wanted, qrels, run)), repeats),
        )
    ]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    scores = rng.random((options.users, options.candidates))
    target = rng.integers(0, options.candidates, options.users)

    rows = [
        (
            "tastebench, from arrays, ties and NaN handled",
            seconds(lambda: measure(METRICS, Ranks.from_scores(scores, target)), options.repeats),
        ),
        ("NumPy rank-only pass", seconds(lambda: rank_only(scores, target), options.repeats)),
    ]
    peers = {"ranx": time_ranx, "ir_measures": time_ir_measures}
    qrels, run = dictionaries(scores, target)
    absent = []
    for name, peer in peers.items():
        if find_spec(name) is None:
            absent.append(name)
            continue
        rows += peer(qrels, run, min(options.repeats, 3))

    print(f"{options.users:,} users x {options.candidates} candidates, medians, one thread\n")
    print("| what | seconds |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value:.3f} |")
    for name in absent:
        print(f"\n{name} is not installed: skipped (pip install {name})")


if __name__ == "__main__":
    main()
