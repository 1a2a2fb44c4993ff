"""Semantic ids of Beauty's 12,101 items from MiniLM: seconds, error, collisions, use of the codes.

    python benchmarks/semantic_ids.py [--dataset beauty] [--threads 2] [--epochs 20]
    python benchmarks/semantic_ids.py --generated 50000

Needs the dataset (`tastebench data get beauty`) and the encoder; vectors kept from before are
taken. `--generated` makes clustered vectors of 384 numbers instead, and says so. Peers do what
scripts around them do: k-means on what the level before left. `error` is the share of the vectors'
variance that all levels leave; collisions are 1 - paths / items, before and after items that share
a path are moved to near codes that nobody has.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tastebench.data.catalog import load_dataset
from tastebench.data.text import item_texts
from tastebench.encoders import get_encoder
from tastebench.encoders.vectors import encode_items
from tastebench.items.semantic_ids.codebooks import ResidualCodebooks
from tastebench.items.semantic_ids.ids import SemanticIds, make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.semantic_ids.report import quality
from tastebench.items.semantic_ids.rk_means import ResidualKMeans

LEVELS, SIZE = 4, 256

Fit = Callable[[np.ndarray, int], np.ndarray]


def encoded(name: str, encoder: str) -> np.ndarray:
    """The vectors of a dataset's items."""
    dataset = load_dataset(name)
    recipe = dataset.card.text_recipe
    texts = item_texts(dataset.tables.items, recipe, dataset.card.text_columns)
    return np.array(encode_items(get_encoder(encoder), texts, recipe=recipe).vectors)


def generated(n: int, d: int = 384) -> np.ndarray:
    """Clusters within clusters of uneven size, at unit length, with near-equal items."""
    rng = np.random.default_rng(0)
    X = np.zeros((n, d))
    for clusters, spread in ((60, 1.0), (1_500, 0.7), (n // 3, 0.5)):
        share = rng.dirichlet(np.full(clusters, 0.5))
        which = rng.choice(clusters, n, p=share)
        X += spread * rng.normal(size=(clusters, d))[which]
    X += 0.3 * rng.normal(size=X.shape)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def minibatch(left: np.ndarray, level: int) -> np.ndarray:
    """scikit-learn's MiniBatchKMeans."""
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(SIZE, random_state=level, n_init=1).fit(left).cluster_centers_


def lloyd(left: np.ndarray, level: int) -> np.ndarray:
    """scikit-learn's KMeans, k-means++ and Lloyd."""
    from sklearn.cluster import KMeans

    return KMeans(SIZE, random_state=level, n_init=1).fit(left).cluster_centers_


def by_faiss(left: np.ndarray, level: int) -> np.ndarray:
    """faiss, its defaults but for the number of rows it looks at."""
    import faiss

    means = faiss.Kmeans(left.shape[1], SIZE, seed=level + 1, max_points_per_centroid=10**6)
    means.train(left)
    return means.centroids


def loop(X: np.ndarray, fit: Fit) -> SemanticIds:
    """Residual k-means as a loop over levels."""
    left, codes, centres = X.copy(), [], []
    for level in range(LEVELS):
        centres.append(fit(left, level).astype(np.float32))
        product = left @ (-2 * centres[-1].T) + (centres[-1] ** 2).sum(axis=1)
        codes.append(product.argmin(axis=1))
        left -= centres[-1][codes[-1]]
    bias = np.zeros((LEVELS, SIZE), dtype=np.float32)
    books = ResidualKMeans(ResidualCodebooks(np.stack(centres), bias), unit=True)
    return SemanticIds(np.stack(codes, axis=1), (SIZE,) * LEVELS, LEVELS, books)


def ours(X: np.ndarray, method: str, **settings: Any) -> SemanticIds:
    """As `tastebench build codes` makes them."""
    recipe = CodeRecipe.model_validate(
        {"method": method, "levels": LEVELS, "size": SIZE, "settings": settings}
    )
    return make_ids(recipe, X, len(X))


def row(name: str, make: Callable[[], SemanticIds], X: np.ndarray) -> str:
    """A line of the table: one run, timed on the wall and by the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    ids = make()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = quality(ids, X)
    levels = found["levels"]
    cells = [
        name,
        f"{wall:.1f}",
        f"{cpu:.1f}",
        f"{found['error']:.3f}",
        f"{found['nearest_collision_rate']:.2%}",
        f"{found['collision_rate']:.2%}",
        f"{min(level['usage'] for level in levels):.0%}",
        " ".join(f"{level['perplexity']:.0f}" for level in levels),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="beauty")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--generated", type=int, metavar="N", help="N made-up vectors instead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20, help="of RQ-VAE, once it has codes")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    options = parser.parse_args()

    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(options.threads)
    if options.generated:
        X, what = generated(options.generated), "generated clusters, no real items"
    else:
        X, what = encoded(options.dataset, options.encoder), f"{options.dataset}, {options.encoder}"
    print(
        f"{what}: {len(X):,} x {X.shape[1]}, {LEVELS} levels of {SIZE}, {options.threads} threads"
    )
    print("\n| what | s | CPU-s | error | collisions | after moving | least usage | perplexity |")
    print("|---|---|---|---|---|---|---|---|")
    ways: dict[str, Callable[[], SemanticIds]] = {
        "scikit-learn MiniBatchKMeans, a loop": lambda: loop(X, minibatch),
        "scikit-learn KMeans, a loop": lambda: loop(X, lloyd),
        "faiss Kmeans, a loop": lambda: loop(X, by_faiss),
        "**rk-means**": lambda: ours(X, "rk-means"),
        "rk-means, no prices": lambda: ours(X, "rk-means", priced=0),
        "rk-means, balanced": lambda: ours(X, "rk-means", balance=True),
        "product": lambda: ours(X, "product"),
        f"**rq-vae, {options.epochs} epochs**": lambda: ours(
            X, "rq-vae", epochs=options.epochs, device="cpu"
        ),
    }
    with threadpool_limits(options.threads):
        for name, make in ways.items():
            if options.only in name:
                print(row(name, make, X), flush=True)


if __name__ == "__main__":
    main()
