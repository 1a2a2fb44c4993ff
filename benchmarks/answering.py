"""What reading once what options share saves, where the words of options are scored.

    python benchmarks/answering.py [--questions 256] [--repeats 5]

Questions about users of the embedded shop, one soft token a user, four options, a Qwen2 of 4 layers
of width 256 with random weights, one thread, CPU seconds a question, the ways in turn; medians.
The peer reads every prompt whole: user, question and option, four times a question. That the scores
are equal to 1e-4 is checked before a time is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from aligning import prepared
from tastebench.recommenders.userqa.embedded import UserEmbedding
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig
from tastebench.training.fit import FabricTrainer


def main() -> None:
    """Prints a Markdown table."""
    options = arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        asked = {"train_questions": 32, "valid_questions": 0, "questions": options.questions}
        problem, items, model = prepared(Path(temporary), asked)
        config = UserEmbeddingConfig(
            model=str(model), device="cpu", scoring="words", epochs=1, question_length=200,
            pretrain={"by": "none"},
        )  # fmt: skip
        recommender = UserEmbedding(config)
        recommender.fit(problem, items, FabricTrainer(seed=0))
        reader = recommender.fitted.reader.reader
        spent: dict[bool, list[float]] = {False: [], True: []}
        scores = {}
        for turn in range(options.repeats + 1):
            for share, times in spent.items():
                reader.share = share
                began = time.process_time()
                scores[share] = recommender.answer(problem.test).scores
                if turn:  # the first warms up, and finds out that the model can share
                    times.append((time.process_time() - began) / len(problem.test))
    np.testing.assert_allclose(scores[True], scores[False], rtol=1e-4, atol=1e-4)
    peer = median(spent[False])
    print("| a question of four options | CPU milliseconds | times the peer |\n|---|---|---|")
    for name, share in (("every prompt whole", False), ("**ours**", True)):
        ours = median(spent[share])
        print(f"| {name} | {1000 * ours:.1f} | {ours / peer:.2f} |")


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
