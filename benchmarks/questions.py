"""How fast are questions about users made, and their answers worked out a second time?

    python benchmarks/questions.py [--dataset beauty] [--users 50000] [--repeats 3]

Asks of a dataset that is here whatever can be asked (at most 100,000 questions), and as many of a
generated shop of so many users. To reach: 100,000 questions a minute, one core. The check goes
question by question, as a script would that makes them so. Nothing is written.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl

from tastebench.data.card import DatasetCard
from tastebench.data.catalog import load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSpec, generate
from tastebench.data.questions.check import check
from tastebench.data.schema import Tables

WANTED = 100_000


def generated(n_users: int, n_items: int = 20_000) -> Dataset:
    """Users of 15 to 90 events, items as popular as Zipf has it, three attributes."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(15, 91, size=n_users)
    rank = np.minimum(rng.zipf(1.3, size=int(lengths.sum())), n_items) - 1
    item = rng.permutation(n_items)[rank]
    users = np.repeat(np.arange(n_users), lengths)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(n_items)],
            "title": [f"A thing of the number {i}" for i in range(n_items)],
            "category": [f"category {i % 300}" for i in range(n_items)],
            "brand": [f"brand {i % 1700}" for i in range(n_items)],
            "genres": [[f"genre {i % 17}", f"genre {i % 19}"] for i in range(n_items)],
        }
    )
    taken = pl.DataFrame(
        {"user_id": users, "item_id": item, "row": np.arange(len(item), dtype=np.int64)}
    ).with_columns(
        pl.format("u{}", "user_id").alias("user_id"), pl.format("i{}", "item_id").alias("item_id")
    )
    return Dataset.create(
        DatasetCard(name="generated", title="Generated"), Tables(items=items, interactions=taken)
    )


def measure(dataset: Dataset, repeats: int) -> None:
    """One line: questions, seconds and questions a minute of each way."""
    spec = QuestionSpec(
        questions=WANTED // 2,
        train_questions=WANTED // 2,
        valid_questions=0,
        ratios=(0.5, 0.0, 0.5),
    )
    dataset.events()  # sorted once for all that is done with a dataset
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        made = generate(dataset, spec)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    start = time.process_time()
    faults = check(dataset, made.table, made.spec, made.attributes)
    checked = time.process_time() - start
    n = len(made.table)
    print(
        f"{dataset.name}: {n:,} questions; made in {median(cpus):.2f} CPU s "
        f"({median(walls):.2f} s), {60 * n / median(cpus):,.0f} a minute; worked out again in "
        f"{checked:.2f} CPU s, {60 * n / checked:,.0f} a minute; {len(faults)} differ"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="beauty")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    measure(load_dataset(given.dataset), given.repeats)
    measure(generated(given.users), given.repeats)


if __name__ == "__main__":
    main()
