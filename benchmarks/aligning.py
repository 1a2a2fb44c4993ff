"""An aligning step, user vectors through a language model, against a plain step of that model.

    python benchmarks/aligning.py [--questions 256] [--repeats 5] [--quick]

Questions about the embedded shop, SASRec's states as one soft token, a Qwen2 of 4 layers of width
256 with random weights, everything trained (`strategy: full`), one thread, CPU seconds a step of 32
questions. The plain step is transformers' own forward pass with labels over the very batches of the
same length, its backward pass, clipping and Adam: what anybody pays to tune this model. Ways take
turns; medians. To reach: within 10 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from prefix_sharing import random_qwen2
from tastebench.contracts import Items, QaProblem
from tastebench.data.catalog import load_dataset
from tastebench.recommenders.userqa.embedded import UserEmbedding
from tastebench.recommenders.userqa.reading import Lessons
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig
from tastebench.runs.material import items_for
from tastebench.runs.spec import RunSpec
from tastebench.tasks import TASKS
from tastebench.training.fit import FabricTrainer

BATCH = 32


def main() -> None:
    """Prints a Markdown table."""
    options = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        ours, plain, steps = ways(Path(temporary), options.questions)
        spent: dict[str, list[float]] = {"a plain step of the model": [], "**ours**": []}
        for turn in range(options.repeats + 1):
            for times, way in zip(spent.values(), (plain, ours), strict=True):
                began = time.process_time()
                way()
                if turn:  # the first warms up
                    times.append((time.process_time() - began) / steps)
    peer = median(spent["a plain step of the model"])
    print("| a step of 32 questions | CPU seconds | times the peer |\n|---|---|---|")
    for name, times in spent.items():
        print(f"| {name} | {median(times):.3f} | {median(times) / peer:.2f} |")


def ways(root: Path, questions: int) -> tuple[Callable[[], None], Callable[[], None], int]:
    """Our epoch, a plain one, and how many steps each is."""
    asked = {"train_questions": questions, "valid_questions": 0, "questions": 1}
    problem, items, model = prepared(root, asked)
    config = UserEmbeddingConfig(
        model=str(model), device="cpu", strategy="full", epochs=1, batch_size=BATCH, warmup=1,
        question_length=200, pretrain={"epochs": 1},
    )  # fmt: skip
    recommender = UserEmbedding(config)
    seen: dict[str, Any] = {}
    original = watched(seen)
    try:
        recommender.fit(problem, items, FabricTrainer(seed=0))
    finally:
        restore(original)
    lessons: Lessons = seen["lessons"]
    return seen["again"], plain_epoch(model, lessons), -(-len(lessons.texts) // BATCH)


def prepared(root: Path, asked: dict[str, int]) -> tuple[QaProblem, Items, Path]:
    """Questions about the embedded shop, its items, and a model with random weights."""
    shop, task = load_dataset("storefront"), TASKS.get("userqa")
    protocol = task.protocol(shop, questions=asked)
    spec = RunSpec(
        task="userqa", dataset="storefront", recommender="user-embedding",
        representation="id+side+text",
    )  # fmt: skip
    items = items_for(spec, shop, None, None, protocol.questions)
    model = random_qwen2(root, shop.tables.items["title"].to_list())
    return task.problem(shop, protocol), items, model


def watched(seen: dict[str, Any]) -> Any:
    """Has the training on questions kept for doing it again."""
    from tastebench.recommenders.userqa import embedded

    learn = embedded.learn

    def kept(module: Any, reader: Any, lessons: Lessons, config: Any, *rest: Any) -> Any:
        seen["lessons"] = lessons
        seen["again"] = lambda: learn(
            module, reader, lessons, config, FabricTrainer(seed=0), rest[1]
        )
        return learn(module, reader, lessons, config, *rest)

    embedded.learn = kept
    return learn


def restore(learn: Any) -> None:
    """Puts the training on questions back."""
    from tastebench.recommenders.userqa import embedded

    embedded.learn = learn


def plain_epoch(folder: Path, lessons: Lessons) -> Callable[[], None]:
    """Forward with labels, backward, clipping and Adam over the same questions in like batches."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    every = np.arange(len(lessons.texts))
    lengths = lessons.texts.lengths(every)
    order = np.argsort(lengths, kind="stable")  # rows of like length, as ours has them

    def epoch() -> None:
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            ids, mask = lessons.texts.take(rows, torch.device("cpu"))
            # A soft token makes a row one longer; its answer and its end are all that is learned.
            ids = torch.cat([ids[:, :1], ids], dim=1).long()
            mask = torch.cat([mask[:, :1], mask], dim=1).long()
            labels = torch.full_like(ids, -100)
            last = mask.sum(dim=1) - 1
            at = torch.arange(len(rows))
            labels[at, last], labels[at, last - 1] = ids[at, last], ids[at, last - 1]
            optimizer.zero_grad(set_to_none=True)
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return epoch


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a first look: few questions, once")
    options = parser.parse_args()
    if options.quick:
        options.questions, options.repeats = 64, 1
    return options


if __name__ == "__main__":
    main()
