"""The result of encoding a list of texts: one matrix in their order, memory-mapped.

Two files: the matrix, named by its content, and a small JSON that points at it, with its checksum
and cost, and is renamed into place last. A reader sees a complete result or none, also while other
processes write the same one: the last pointer wins and every pointer's matrix is whole. A process
that is killed between the two leaves a matrix that the next one writes again, over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tastebench import files
from tastebench.encoders.cost import EncodeCost
from tastebench.encoders.shards import keeping, warn_damaged


class Matrix(NamedTuple):
    """A kept result."""

    vectors: np.ndarray
    cost: EncodeCost


def read_matrix(folder: Path, key: str, rows: int, dtype: np.dtype) -> Matrix | None:
    """The kept result, its checksum verified; None if there is none or it is damaged (reported)."""
    about_path = folder / f"{key}.json"
    if not about_path.is_file():
        return None
    try:
        about = files.read_json(about_path)
        cost = EncodeCost(**about["cost"])
        path = folder / about["file"]
        if path.parent != folder or files.hash_file(path) != about["sha256"]:
            raise ValueError("its checksum does not match")
        vectors = files.load_array(path)
        if vectors.dtype != dtype or vectors.ndim != 2 or len(vectors) != rows:
            raise ValueError(f"it holds {vectors.dtype} {vectors.shape}")
    except (ValueError, KeyError, TypeError, OSError) as error:
        warn_damaged(about_path, error)
        return None
    return Matrix(vectors, cost)


def write_matrix(
    folder: Path,
    key: str,
    shape: tuple[int, int],
    dtype: np.dtype,
    fill: Callable[[np.ndarray], None],
    cost: EncodeCost,
) -> np.ndarray:
    """Writes a result and returns it memory-mapped.

    Args:
        folder: Where it is kept.
        key: Its name there.
        shape: Of the matrix.
        dtype: Of its numbers.
        fill: Puts the values into the (memory-mapped) matrix it is given.
        cost: What it cost.
    """
    digest = ""

    def name(written: Path) -> str:
        nonlocal digest
        digest = files.hash_file(written)
        return f"{key}-{digest[:8]}.npy"

    with keeping(folder):
        with files.atomic_file(folder / f"{key}.npy", name) as temporary:
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
            fill(out)
            out.flush()
            del out
        path = folder / f"{key}-{digest[:8]}.npy"
        about = {"file": path.name, "sha256": digest, "cost": asdict(cost)}
        files.write_json(folder / f"{key}.json", about)
        vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors
