"""EASE and item-kNN on MovieLens-100K: fit, then the best ten items for every user.

    python benchmarks/ease_knn.py u.data [--k 10] [--repeats 5]

`u.data` is the file of the original release; all its pairs are training pairs. implicit's
CosineRecommender and LensKit's ItemKNNScorer are timed for the same work where they are installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from tastebench.contracts import CfProblem, Items, Queries
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.tasks.rank import top_k


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """User and item of every row, 0-based, sorted by user and item."""
    table = pl.read_csv(path, separator="\t", has_header=False)
    pairs = table.select(pl.nth(0, 1) - 1).unique().sort(pl.nth(0, 1)).to_numpy()
    return pairs[:, 0], pairs[:, 1].astype(np.int32)


def ours(name: str, problem: CfProblem, k: int) -> object:
    """Fit and recommend, as a run does, without the evaluation."""
    card = get_recommender(name)
    recommender = card.build(card.config())
    recommender.fit(problem, Items(n=problem.n_items), None)  # type: ignore[arg-type]
    queries = Queries(problem.n_users, history=problem.train, user=np.arange(problem.n_users))
    return top_k(recommender, queries, k, problem.n_items, exclude=problem.train)


def implicit_cosine(problem: CfProblem, k: int) -> object:
    """Implicit's item-item cosine with as many neighbours as ours."""
    from implicit.nearest_neighbours import CosineRecommender

    from tastebench.recommenders.baselines.history import incidence

    users = incidence(problem.train, problem.n_items)
    model = CosineRecommender(K=100)
    model.fit(users, show_progress=False)
    return model.recommend(np.arange(problem.n_users), users, N=k)


def lenskit_knn(user: np.ndarray, item: np.ndarray, k: int) -> object:
    """LensKit's item-item kNN on implicit feedback."""
    import pandas as pd
    from lenskit import batch
    from lenskit.data import from_interactions_df
    from lenskit.knn import ItemKNNScorer
    from lenskit.pipeline import topn_pipeline

    data = from_interactions_df(pd.DataFrame({"user_id": user, "item_id": item}))
    pipeline = topn_pipeline(ItemKNNScorer(max_nbrs=100, feedback="implicit"))
    pipeline.train(data)
    return batch.recommend(pipeline, np.unique(user), k)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time after one call that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ratings", type=Path, help="u.data of MovieLens-100K")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    user, item = read(options.ratings)
    n_users, n_items = int(user.max()) + 1, int(item.max()) + 1
    none = Ragged.from_lists([[] for _ in range(n_users)])
    train = Ragged.from_lengths(item, np.bincount(user, minlength=n_users))
    problem = CfProblem(n_items, n_users, train, none, none)

    print(
        f"{n_users:,} users, {n_items:,} items, {len(item):,} pairs; fit + top {options.k} for all"
    )
    print("\n| what | seconds |\n|---|---|")
    for name in ("item-knn", "ease"):
        taken = seconds(lambda name=name: ours(name, problem, options.k), options.repeats)
        print(f"| ours, {name} | {taken:.3f} |")
    for package, label, work in (
        ("implicit", "implicit cosine", lambda: implicit_cosine(problem, options.k)),
        ("lenskit", "LensKit ItemKNN", lambda: lenskit_knn(user, item, options.k)),
    ):
        if find_spec(package):
            print(f"| {label} | {seconds(work, options.repeats):.3f} |")
        else:
            print(f"| {label} | not installed |")


if __name__ == "__main__":
    main()
