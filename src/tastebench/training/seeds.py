"""Randomness by name: every stream is a child of the run's seed and of nothing else.

A stream that is asked for by name is the same whatever was drawn before it, so an epoch can be
repeated without having kept the state of any generator, and a new stream changes no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator called `name` below `seed`.

    >>> generator(7, "epoch").integers(100) == generator(7, "epoch").integers(100)
    np.True_
    """
    digest = hashlib.sha256(name.encode()).digest()
    key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@contextmanager
def torch_seeded(rng: np.random.Generator) -> Iterator[None]:
    """Inside the block torch draws from a stream seeded by `rng`; outside nothing has changed.

    Layers and dropout know only torch's global generators, which belong to the caller: they are put
    back as they were, also after an error.
    """
    import torch

    seed = int(rng.integers(2**63))
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.current_device()] if cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield
