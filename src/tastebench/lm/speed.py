"""About how long a model of this machine takes, said without loading it.

A token costs two operations for each weight that multiplies it (Kaplan et al., 2020,
arXiv:2001.08361, 2.1). How many a second there are is measured: a product of two matrices, now, on
the threads that there are. What attention takes besides is left out, and models reach a part of it.
"""

from __future__ import annotations

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

from tastebench.errors import DataError
from tastebench.lm.load import ModelFolder, choose_device

REACHED = 0.5
"""Of the speed of a plain matrix product: what small and large models do, about."""
LEARNING = 3
"""Reading a token and learning from it takes so many times what reading it does."""
_SIDE, _TIMES = 1024, 3
_LONGEST_HEAD = 100_000_000
"""Bytes that the head of a safetensors file may have, as its own library has it."""


def seconds_for(folder: ModelFolder, tokens: float, device: str = "auto") -> float | None:
    """About how long it takes to read so many tokens; None where a model's size is not known.

    Args:
        folder: The model.
        tokens: Read one after the other, or side by side.
        device: `auto`, or one of PyTorch's.
    """
    weights = multiplying_weights(folder)
    if weights is None:
        return None
    return 2 * weights * tokens / (REACHED * operations_a_second(choose_device(device)))


def multiplying_weights(folder: ModelFolder) -> int | None:
    """Numbers in a model's matrices but those of words, which are looked up; None if not known.

    Raises:
        DataError: A file of weights is damaged.
    """
    words = (folder.read_json("config.json") or {}).get("vocab_size")
    files = sorted(folder.path.glob("*.safetensors"))
    if not files:
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:  # some folders hold a model whole and in parts
        shapes |= _shapes(file)
    matrices = (shape for shape in shapes.values() if len(shape) == 2)
    return sum(rows * columns for rows, columns in matrices if rows != words)


@cache
def operations_a_second(device: str) -> float:
    """Of a product of two matrices of float32, measured once a process."""
    import torch

    a = torch.rand(_SIDE, _SIDE, device=device)
    found = a @ a  # the first one also starts threads
    seconds = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        found = a @ a
        found[0, 0].item()  # a device computes until somebody looks
        seconds.append(time.perf_counter() - began)
    return 2.0 * _SIDE**3 / min(seconds)


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Of the tensors in a safetensors file by name, from its head alone."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            if length > _LONGEST_HEAD:
                raise ValueError(f"its head has {length:,} bytes")
            head: dict[str, Any] = json.loads(opened.read(length))
            head.pop("__metadata__", None)
            return {name: tuple(one["shape"]) for name, one in head.items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise DataError(
                f"the file of weights is damaged: {error}",
                where=str(file),
                fix="download or save the model again",
            ) from error
