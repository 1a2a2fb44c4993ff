"""Which texts are encoded together, and where their vectors are kept.

Membership. Every distinct text has a hash. The hashes form a binary tree by their leading bits, and
a shard is a leaf: a branch with at most `CAPACITY` texts is not divided further. So membership
follows from the set of texts alone, not from their order or history, and one text more or less
touches one leaf (it may split, or merge with its neighbour), never the rest. Shards by position
would shift everything behind an insertion; shards by a fixed number of hash bits would regroup the
whole catalogue whenever it outgrows them.

Files. A shard is one safetensors file named by what it was made from: encoder, revision, recipe,
role, precision and every text in it. It is renamed into place when complete, so a killed or failed
process leaves whole shards or none, and processes side by side at worst encode a shard twice. Its
checksum is verified when it is read; a damaged one is reported and made again.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tastebench.encoders.cost import ShardCost
from tastebench.errors import DataError
from tastebench.files import atomic_file, hash_arrays, parse_json

CAPACITY = 1024
_HASH_BITS = 64


class DamagedCacheWarning(UserWarning):
    """Kept vectors could not be used and are made again."""


@dataclass(frozen=True, eq=False)
class Distinct:
    """The distinct texts of a list, in the order of their hashes.

    Attributes:
        first: Row of each distinct text's first occurrence, int64 `[m]`.
        of_row: Which distinct text each row holds, int64 `[n]`.
        hashes: 16 bytes each, as two big-endian 64-bit numbers, `[m, 2]`.
    """

    first: np.ndarray
    of_row: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Distinct:
        """Finds them: equal texts are encoded once."""
        digests = b"".join(
            hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts
        )
        hashes = np.frombuffer(digests, dtype=">u8").reshape(-1, 2)
        order = np.lexsort((hashes[:, 1], hashes[:, 0]))
        ordered = hashes[order]
        is_new = np.ones(len(order), dtype=bool)
        is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        of_row = np.empty(len(order), dtype=np.int64)
        of_row[order] = np.cumsum(is_new) - 1
        # lexsort is stable, so the first of equal hashes is the first row that holds the text.
        return cls(order[is_new], of_row, ordered[is_new])

    def content(self, part: slice = slice(None)) -> str:
        """The hash of the set of texts, or of a shard of it; order and copies do not matter."""
        return hashlib.sha256(self.hashes[part].tobytes()).hexdigest()[:32]

    def order(self) -> str:
        """The hash of the list of texts, row by row."""
        rows = self.hashes[self.of_row]
        return hashlib.sha256(rows.tobytes()).hexdigest()[:32]


def leaves(hashes: np.ndarray, capacity: int) -> Iterator[slice]:
    """The shards as slices of the distinct texts (see the module's text).

    Args:
        hashes: Ascending 64-bit hashes, `[m]`.
        capacity: Texts a shard may hold.
    """
    stack = [(0, len(hashes), 0, 0)]
    while stack:
        start, stop, prefix, depth = stack.pop()
        if start == stop:
            continue
        if stop - start <= capacity or depth == _HASH_BITS:
            yield slice(start, stop)
            continue
        upper = (prefix << 1 | 1) << (_HASH_BITS - depth - 1)
        middle = start + int(np.searchsorted(hashes[start:stop], np.uint64(upper)))
        stack.append((middle, stop, prefix << 1 | 1, depth + 1))
        stack.append((start, middle, prefix << 1, depth + 1))


class Shards(Protocol):
    """Where the vectors of shards are put while they are made."""

    def read(self, key: str, texts: int) -> tuple[np.ndarray, ShardCost] | None:
        """A shard's vectors and what they cost; None if they have to be made."""
        ...

    def write(self, key: str, vectors: np.ndarray, cost: ShardCost) -> None:
        """Keeps a complete shard."""
        ...


class MemoryShards:
    """Keeps shards as long as it lives: for encoders whose revision is unknown."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[np.ndarray, ShardCost]] = {}

    def read(self, key: str, texts: int) -> tuple[np.ndarray, ShardCost] | None:
        """See `Shards`."""
        return self._kept.get(key)

    def write(self, key: str, vectors: np.ndarray, cost: ShardCost) -> None:
        """See `Shards`."""
        self._kept[key] = (vectors, cost)


class DiskShards:
    """Keeps shards in a folder, one file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """The file of a shard."""
        return self.folder / "shards" / f"{key}.safetensors"

    def read(self, key: str, texts: int) -> tuple[np.ndarray, ShardCost] | None:
        """See `Shards`. A damaged file is reported and counts as missing."""
        from safetensors import SafetensorError, safe_open

        path = self.path(key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="np") as file:
                vectors: np.ndarray = file.get_tensor("vectors")
                about = file.metadata() or {}
            if vectors.shape[0] != texts or hash_arrays(vectors) != about["sha256"]:
                raise ValueError("its checksum does not match")
            return vectors, ShardCost(**parse_json(about["cost"]))
        except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
            warn_damaged(path, error)
            return None

    def write(self, key: str, vectors: np.ndarray, cost: ShardCost) -> None:
        """See `Shards`."""
        from safetensors.numpy import save_file

        about = {"sha256": hash_arrays(vectors), "cost": json.dumps(asdict(cost))}
        with keeping(self.folder), atomic_file(self.path(key)) as temporary:
            save_file({"vectors": vectors}, temporary, metadata=about)


def warn_damaged(path: Path, reason: Exception | str) -> None:
    """Says that a file of the cache cannot be used and is made again."""
    warnings.warn(
        f"cached vectors are damaged and will be made again: {path} ({reason})",
        DamagedCacheWarning,
        stacklevel=2,
    )


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Turns a failed write into an error that says what to do.

    Raises:
        DataError: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        in_the_way = isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError))
        raise DataError(
            f"cannot keep vectors: {error.strerror or error}",
            where=str(error.filename2 or error.filename or folder),
            fix="remove what is in the way"
            if in_the_way
            else "free some space, or set TASTEBENCH_HOME to a folder that has it",
        ) from error
