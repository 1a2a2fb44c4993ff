"""Texts to vectors, kept on disk by content.

`encode_items` and `encode_queries` are the only way a run gets vectors. Equal texts are encoded
once, in shards (see `tastebench.encoders.shards`), and the result is one memory-mapped matrix in
the caller's order. The key of both is everything the numbers depend on: encoder, revision, recipe,
role, precision and every text. An encoder without a revision is never cached, since nobody could
tell whether its weights have changed.

The last digits of a vector depend on which texts shared its batch: floating-point sums are taken in
another order, and bfloat16 keeps fewer digits of them. The cosine between two encodings of one text
is above 0.9999. Because shards have fixed membership, the same catalogue gives the same batches,
whatever was cached before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tastebench import files
from tastebench.contracts import Encoder, EncoderCard, Role
from tastebench.encoders.check import check_texts, check_vectors
from tastebench.encoders.controls import Shuffled
from tastebench.encoders.cost import EncodeCost, ShardCost
from tastebench.encoders.half import Half, RoundedShards
from tastebench.encoders.hooks import Absent, FitsCatalogue, Prepares, Usage
from tastebench.encoders.matrix import read_matrix, write_matrix
from tastebench.encoders.shards import (
    CAPACITY,
    DiskShards,
    Distinct,
    MemoryShards,
    Shards,
    keeping,
    leaves,
)
from tastebench.errors import DataError

Progress = Callable[[int, int], None]
"""Called with the distinct texts that are done and their number, after every shard."""

_FORMAT = 1
_SAMPLE = 64


@dataclass(frozen=True, eq=False)
class Encoded:
    """Vectors and what is to be known of them.

    Attributes:
        vectors: float32 `[n, d]`, a row a text; float16 of a `fp16:` encoder; memory-mapped and
            read-only if cached.
        card: The encoder's, with `dimensions` filled in.
        key: What the vectors were made from, 32 hex digits; for an encoder without a revision the
            hash of the vectors themselves.
    """

    vectors: np.ndarray
    card: EncoderCard
    key: str
    cost: EncodeCost

    @property
    def float32(self) -> np.ndarray:
        """The vectors as float32: as they are, or in memory where they are kept rounded."""
        return self.vectors.astype(np.float32, copy=False)


def encode_items(
    encoder: Encoder, texts: Sequence[str], *, recipe: str, progress: Progress | None = None
) -> Encoded:
    """The vectors of a catalogue.

    Args:
        encoder: Any encoder; one that learns from the catalogue is fitted on `texts` first.
        texts: One text an item. Empty texts are allowed and encoded as such.
        recipe: Name of the text recipe that made them; part of the key.
        progress: Told after every shard.

    Raises:
        DataError: A text is not a string, or the encoder returned something else than one finite
            vector a text; names the text. Nothing of a failed shard is kept.
    """
    check_texts(texts)
    if isinstance(encoder, Absent):
        encoder = encoder.fetch()
    if isinstance(encoder, Shuffled):
        # The base's vectors in another order: its shards are found in the cache.
        moved = [texts[row] for row in encoder.permutation(len(texts))]
        base = encode_items(encoder.base, moved, recipe=recipe, progress=progress)
        return replace(base, card=replace(encoder.card, dimensions=base.card.dimensions))
    return _encode(taught(encoder, texts), texts, "item", recipe, progress)


def encode_queries(
    encoder: Encoder,
    queries: Sequence[str],
    items: Sequence[str],
    *,
    recipe: str,
    progress: Progress | None = None,
) -> Encoded:
    """The vectors of search queries, comparable with those of `items`.

    Args:
        encoder: Any encoder; one that learns from the catalogue is fitted on `items` first.
        queries: One text a query.
        items: The catalogue's texts.
        recipe: Name of the text recipe that made `items`; part of the key.
        progress: Told after every shard.

    Raises:
        DataError: As `encode_items`.
    """
    check_texts(queries)
    check_texts(items)
    if isinstance(encoder, Absent):
        encoder = encoder.fetch()
    if isinstance(encoder, Shuffled):
        # Only the items' vectors are shuffled: a query keeps its meaning, the answers lose theirs.
        base = encode_queries(encoder.base, queries, items, recipe=recipe, progress=progress)
        return replace(base, card=replace(encoder.card, dimensions=base.card.dimensions))
    return _encode(taught(encoder, items), queries, "query", recipe, progress)


def taught(encoder: Encoder, items: Sequence[str]) -> Encoder:
    """The encoder, after it has learnt from the catalogue what it learns from one."""
    if isinstance(encoder, Half):
        return Half(taught(encoder.base, items))
    return encoder.fitted(items) if isinstance(encoder, FitsCatalogue) else encoder


def can_be_shared(encoder: Encoder) -> bool:
    """Whether several processes can encode parts of one catalogue: what each makes is kept."""
    base = encoder
    while isinstance(base, (Shuffled, Half)):
        base = base.base
    return base.card.revision is not None and not isinstance(base, (Absent, FitsCatalogue))


def encode_share(
    encoder: Encoder,
    texts: Sequence[str],
    role: Role,
    *,
    recipe: str,
    share: slice,
    progress: Progress | None = None,
) -> None:
    """Makes some of the shards of `texts`, so that whoever wants all of them finds these kept.

    Membership of shards does not depend on who makes them, so neither do the vectors.

    Args:
        encoder: One that `can_be_shared`.
        texts: All of them, in the roles of `encode_items` or `encode_queries`.
        role: Items or queries.
        recipe: Name of the items' text recipe.
        share: Which shards, in the order of their texts' hashes: `slice(0, None, 3)` is every
            third.
        progress: Told after every shard, of this share.

    Raises:
        DataError: As `encode_items`.
    """
    check_texts(texts)
    base = encoder
    if isinstance(encoder, Shuffled):
        base = encoder.base
        if role == "item":
            texts = [texts[row] for row in encoder.permutation(len(texts))]
    distinct = Distinct.of(texts)
    identity = _identity(base, role, recipe)
    key = files.hash_json(identity, 32)
    folder = _folder(base.card.name, key)
    if _is_whole(folder, key, distinct):
        return
    if not (folder / "identity.json").exists():
        with keeping(folder):
            files.write_json(folder / "identity.json", identity)
    shards = _shards(base, role, recipe, distinct)
    _make(base, texts, role, distinct, shards, key, progress, share)


def _encode(
    encoder: Encoder, texts: Sequence[str], role: Role, recipe: str, progress: Progress | None
) -> Encoded:
    distinct = Distinct.of(texts)
    dtype = np.dtype(np.float16 if isinstance(encoder, Half) else np.float32)
    if encoder.card.revision is None:
        result = _make(encoder, texts, role, distinct, MemoryShards(), "", progress)
        vectors = np.empty((len(texts), result.width), dtype)
        result.fill(vectors)
        return _encoded(encoder, vectors, files.hash_arrays(vectors)[:32], result.cost)
    identity = _identity(encoder, role, recipe)
    base = files.hash_json(identity, 32)
    folder = _folder(encoder.card.name, base)
    key = files.hash_json([base, distinct.order()], 32)
    kept = read_matrix(folder, key, len(texts), dtype)
    if kept is not None:
        return _encoded(encoder, kept.vectors, key, replace(kept.cost, cached=True))
    if not (folder / "identity.json").exists():
        with keeping(folder):
            files.write_json(folder / "identity.json", identity)
    shards = _shards(encoder, role, recipe, distinct)
    result = _make(encoder, texts, role, distinct, shards, base, progress)
    shape = (len(texts), result.width)
    vectors = write_matrix(folder, key, shape, dtype, result.fill, result.cost)
    return _encoded(encoder, vectors, key, result.cost)


def _shards(encoder: Encoder, role: Role, recipe: str, distinct: Distinct) -> DiskShards:
    """Where an encoder's shards are kept; rounded ones are made of whole ones that are there."""
    base = files.hash_json(_identity(encoder, role, recipe), 32)
    folder = _folder(encoder.card.name, base)
    if not isinstance(encoder, Half):
        return DiskShards(folder)
    whole = files.hash_json(_identity(encoder.base, role, recipe), 32)
    contents = [distinct.content(part) for part in leaves(distinct.hashes[:, 0], CAPACITY)]
    keys = {
        files.hash_json([base, content], 32): files.hash_json([whole, content], 32)
        for content in contents
    }
    return RoundedShards(folder, encoder, _shards(encoder.base, role, recipe, distinct), keys)


def not_kept(encoder: Encoder, texts: Sequence[str], role: Role, recipe: str) -> list[str]:
    """The distinct texts that would have to be encoded now; for saying so before it is paid for.

    Args:
        encoder: One that learns nothing from the catalogue.
        texts: What is to be encoded.
        role: Items or queries.
        recipe: Name of the items' text recipe.
    """
    distinct = Distinct.of(texts)
    parts = list(leaves(distinct.hashes[:, 0], CAPACITY))
    if encoder.card.revision is not None:
        base = files.hash_json(_identity(encoder, role, recipe), 32)
        folder = _folder(encoder.card.name, base)
        if _is_whole(folder, base, distinct):
            return []
        shards = _shards(encoder, role, recipe, distinct)
        keys = (files.hash_json([base, distinct.content(part)], 32) for part in parts)
        parts = [
            part for part, key in zip(parts, keys, strict=True) if not shards.path(key).is_file()
        ]
    return [texts[row] for part in parts for row in distinct.first[part]]


def _is_whole(folder: Path, base: str, distinct: Distinct) -> bool:
    """Whether the matrix of these texts is kept, in this order."""
    return (folder / f"{files.hash_json([base, distinct.order()], 32)}.json").is_file()


class _Result(NamedTuple):
    width: int
    cost: EncodeCost
    fill: Callable[[np.ndarray], None]


def _make(
    encoder: Encoder,
    texts: Sequence[str],
    role: Role,
    distinct: Distinct,
    store: Shards,
    base: str,
    progress: Progress | None,
    share: slice = slice(None),
) -> _Result:
    """Makes the shards that are missing; the result is filled in from the store, shard by shard.

    With a share, of those in it; there may be none.
    """
    parts = list(leaves(distinct.hashes[:, 0], CAPACITY))[share]
    done, total = 0, sum(part.stop - part.start for part in parts)
    keys = [files.hash_json([base, distinct.content(part)], 32) for part in parts]
    costs: list[ShardCost] = []
    widths: set[int] = set()
    ready = False
    for part, key in zip(parts, keys, strict=True):
        kept = store.read(key, part.stop - part.start)
        if kept is None:
            if not ready:
                _prepare(encoder, texts, distinct)
                ready = True
            kept = _encode_shard(encoder, texts, role, distinct.first[part])
            store.write(key, *kept)
        widths.add(kept[0].shape[1])
        costs.append(kept[1])
        if len(widths) > 1:
            raise DataError(
                f"encoder {encoder.card.name!r} returned vectors of different widths: "
                f"{sorted(widths)}",
                where=f"revision {encoder.card.revision}",
                fix="a revision stands for one set of weights: give the changed model its own",
            )
        done += part.stop - part.start
        if progress is not None:
            progress(done, total)

    def fill(out: np.ndarray) -> None:
        # Rows grouped by the distinct text they hold, so that each shard is read once.
        rows = np.argsort(distinct.of_row, kind="stable")
        held = distinct.of_row[rows]
        for part, key in zip(parts, keys, strict=True):
            kept = store.read(key, part.stop - part.start)
            if kept is None:
                raise DataError(
                    "a shard of vectors disappeared while they were put together",
                    where=key,
                    fix="run again; do not clear the vectors of a run that is going on",
                )
            here = slice(*np.searchsorted(held, (part.start, part.stop)))
            out[rows[here]] = kept[0][held[here] - part.start]

    width = widths.pop() if widths else 0
    return _Result(width, EncodeCost.total(costs, len(texts), cached=not ready), fill)


def _prepare(encoder: Encoder, texts: Sequence[str], distinct: Distinct) -> None:
    encoder = encoder.base if isinstance(encoder, Half) else encoder
    if isinstance(encoder, Prepares):
        # Hash order is as good as random, and the same for the same catalogue.
        encoder.prepare([texts[row] for row in distinct.first[:_SAMPLE]])


def _encode_shard(
    encoder: Encoder, texts: Sequence[str], role: Role, rows: np.ndarray
) -> tuple[np.ndarray, ShardCost]:
    if isinstance(encoder, Half):
        vectors, cost = _encode_shard(encoder.base, texts, role, rows)
        return encoder.rounded(vectors), cost
    shard = [texts[row] for row in rows]
    before = encoder.usage() if isinstance(encoder, Prepares) else Usage()
    start = time.perf_counter()
    raw = encoder.encode(shard, role)
    seconds = time.perf_counter() - start
    vectors = check_vectors(raw, shard, encoder.card.name, rows)
    after = encoder.usage() if isinstance(encoder, Prepares) else Usage()
    tokens = None if after.tokens is None else after.tokens - (before.tokens or 0)
    usd = None if after.usd is None else after.usd - (before.usd or 0.0)
    return vectors, ShardCost(
        seconds=seconds,
        texts=len(shard),
        tokens=tokens,
        parameters=encoder.card.parameters,
        device=after.device,
        dtype=after.dtype,
        usd=usd,
    )


def _encoded(encoder: Encoder, vectors: np.ndarray, key: str, cost: EncodeCost) -> Encoded:
    card = replace(encoder.card, dimensions=vectors.shape[1])
    return Encoded(vectors, card, key, cost)


def _identity(encoder: Encoder, role: Role, recipe: str) -> dict[str, object]:
    """What the numbers depend on besides the texts."""
    if isinstance(encoder, Half):
        return {**_identity(encoder.base, role, recipe), "encoder": encoder.card.name}
    return {
        "format": _FORMAT,
        "encoder": encoder.card.name,
        "revision": encoder.card.revision,
        "recipe": recipe,
        "role": role,
        "precision": encoder.precision if isinstance(encoder, Prepares) else "float32",
    }


def _folder(encoder: str, base: str) -> Path:
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder).strip("-.")[-60:]
    return files.home() / "vectors" / f"{readable}-{base[:16]}"
