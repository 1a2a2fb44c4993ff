"""Encoding 5,000 titles with MiniLM: texts a second against sentence-transformers.

    python benchmarks/encode_minilm.py [--texts 5000] [--threads 2] [--repeats 3]
                                       [--device cuda] [--folder FOLDER]

Titles are those of the storefront, made distinct by their brand and department where they repeat.
The ways take turns, so that a busy moment of the machine hits them alike; the table shows medians.
Models are loaded and precision is settled before the clock runs; tokenising is inside it. `min
cosine` is the lowest over all texts to sentence-transformers in float32. Another model of the same
shape, random weights too, takes the same time: `--folder` names it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np

from tastebench.data import storefront
from tastebench.encoders.catalog import MINILM, minilm_folder
from tastebench.encoders.sentence import SentenceEncoder
from tastebench.lm.linear import agreement
from tastebench.lm.load import ModelFolder


def titles(n: int) -> list[str]:
    """Distinct titles; after the last one they begin again with a number."""
    found = list(dict.fromkeys(storefront.generate().items["title"].to_list()))
    rounds = (
        title if row < len(found) else f"{title}, set of {row // len(found) + 1}"
        for row, title in enumerate(cycle(found))
    )
    return list(islice(rounds, n))


def ways(texts: list[str], where: Path, device: str) -> dict[str, Callable[[], np.ndarray]]:
    """The peer first."""
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(where), device=device)
    folder = ModelFolder("minilm", where, MINILM.card.revision or "")
    auto = SentenceEncoder(folder, device=device, card=MINILM.card)
    single = SentenceEncoder(folder, device=device, precision="float32", card=MINILM.card)
    for encoder in (auto, single):
        encoder.prepare(texts[:64])
    return {
        "sentence-transformers": lambda: np.asarray(peer.encode(texts, show_progress_bar=False)),
        f"ours, auto ({auto.usage().dtype})": lambda: auto.encode(texts),
        "ours, float32": lambda: single.encode(texts),
    }


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=5_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--folder", type=Path, help="another model than the package's")
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    texts = titles(options.texts)
    vectors: dict[str, np.ndarray] = {}
    times: dict[str, list[float]] = {}
    work = ways(texts, options.folder or minilm_folder(), options.device)
    for _ in range(options.repeats):
        for name, encode in work.items():
            start = time.perf_counter()
            vectors[name] = encode()
            times.setdefault(name, []).append(time.perf_counter() - start)

    peer = next(iter(work))
    print(f"{options.texts:,} titles, {options.threads} threads, {options.repeats} repeats")
    print("\n| what | texts/s | times the peer | min cosine |\n|---|---|---|---|")
    for name in work:
        rate = options.texts / median(times[name])
        factor = median(times[peer]) / median(times[name])
        cosine = agreement(vectors[name], vectors[peer])
        print(f"| {name} | {rate:,.0f} | {factor:.2f} | {cosine:.6f} |")


if __name__ == "__main__":
    main()
