"""States of a frozen language model, computed once for a catalogue and kept on disk.

A frozen layer gives the same states in every epoch, so they are computed once and training starts
from them. They lie in one memory-mapped file, token after token without padding or text after text,
in a folder named by what they were made from: the model's files, every token of every text, which
states and in what precision. The folder is renamed into place when it is complete. Whoever finds
one computes the states of some texts again, others at every start, and compares.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tastebench import files
from tastebench.errors import DataError
from tastebench.lm.batches import token_batches, token_budget
from tastebench.lm.layers import TOLERANCE, LayerStack, distance
from tastebench.lm.load import model_dtype
from tastebench.lm.padded import Padded
from tastebench.ragged import Ragged

Stored = Literal["float32", "float16"]
"""What states are kept in. float16 takes half the room, costs up to 2^-11 of every number, and
cannot hold what lies beyond 65,504: a decoder with such states is an error, nothing is cut off."""

_FORMAT = 1
_SAMPLE = 16
_FILE = "states.npy"
_ABOUT = "about.json"


@dataclass(frozen=True, eq=False)
class StateCache:
    """States of a catalogue's texts.

    Attributes:
        stack: The model, in eval mode.
        revision: What identifies its files.
        tokens: The texts.
        at: Which states; one of them where they are kept token by token.
        pooled: A text's states are the means over its tokens.
        stored: What they are kept in.
        name_of: What a message calls a text, by its row.
    """

    stack: LayerStack
    revision: str
    tokens: Ragged
    at: tuple[int, ...]
    pooled: bool
    stored: Stored
    name_of: Callable[[int], str]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the numbers depend on; the tokens stand for texts, tokenizer and input limit."""
        return {
            "format": _FORMAT,
            "model": self.revision,
            "tokens": files.hash_arrays(self.tokens.values, self.tokens.offsets),
            "states": list(self.at),
            "pooled": self.pooled,
            "computed": model_dtype(self.stack.model),
            "stored": self.stored,
        }

    @cached_property
    def folder(self) -> Path:
        """Where they are kept."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", self.stack.name).strip("-.")[-60:]
        return files.home() / "states" / f"{readable}-{files.hash_json(self.identity, 32)}"

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """`[texts, states, d]` where pooled, else `[all tokens, d]`."""
        _, states = self._compute(np.zeros(1, dtype=np.int64))
        n = len(self.tokens) if self.pooled else len(self.tokens.values)
        return (n, *states.shape[1:])

    def get(self) -> np.ndarray:
        """The states, memory-mapped and read-only; made if they are not there.

        Raises:
            DataError: A state is not a finite number, what is kept is damaged, or there is no room.
        """
        if not self.folder.is_dir():
            self._write()
        values = self._open()
        self._verify(values)
        return values

    def _write(self) -> None:
        size = int(np.prod(self.shape)) * np.dtype(self.stored).itemsize
        budget = token_budget(self.stack.device.type)
        began = time.perf_counter()
        with _room(size, self.folder), files.atomic_folder(self.folder) as temporary:
            out = np.lib.format.open_memmap(
                temporary / _FILE, mode="w+", dtype=np.dtype(self.stored), shape=self.shape
            )
            for rows in token_batches(self.tokens.lengths, budget):
                self._put(out, rows)
            out.flush()
            del out
            seconds = round(time.perf_counter() - began, 3)
            files.write_json(temporary / _ABOUT, {**self.identity, "seconds": seconds})

    def _put(self, out: np.ndarray, rows: np.ndarray) -> None:
        places, states = self._compute(rows)
        with np.errstate(over="ignore"):
            kept = states.numpy().astype(out.dtype)
        bad = ~np.isfinite(kept).all(axis=tuple(range(1, kept.ndim)))
        if bad.any():
            self._refuse(int(places[bad][0]), too_large=bool(torch.isfinite(states).all()))
        out[places] = kept

    def _refuse(self, place: int, *, too_large: bool) -> None:
        row = place
        if not self.pooled:
            row = int(np.searchsorted(self.tokens.offsets, place, side="right")) - 1
        what = f"is too large for {self.stored}" if too_large else "is not a finite number"
        raise DataError(
            f"a state of {self.name_of(row)} {what}",
            where=f"model {self.stack.name!r}, state {', '.join(map(str, self.at))}",
            fix="store: float32"
            if too_large
            else "precision: float32; where that is so already, the model's weights are broken",
        )

    def _compute(self, rows: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Where states of some texts belong, int64 `[m]`, and the states, float32 `[m, ...]`."""
        texts = Padded(self.tokens.values, self.tokens.offsets)
        ids, mask = texts.take(rows, self.stack.device)
        with torch.inference_mode():
            found = self.stack.states(ids.long(), mask, self.at)
            if not self.pooled:
                (states,) = found.values()
                return texts.places(rows)[0], states[mask].float().cpu()
            hidden = ~mask[:, :, None]
            sums = [found[k].float().masked_fill(hidden, 0.0).sum(dim=1) for k in self.at]
            return rows, (torch.stack(sums, dim=1) / mask.sum(dim=1)[:, None, None]).cpu()

    def _open(self) -> np.ndarray:
        try:
            values: np.ndarray = np.load(self.folder / _FILE, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(str(error)) from error
        if values.shape != self.shape or values.dtype != np.dtype(self.stored):
            raise self._damaged(f"it holds {values.dtype} {values.shape}, not {self.shape}")
        return values

    def _verify(self, values: np.ndarray) -> None:
        # Other texts at every start. They decide no number, only whether there will be any.
        some = np.random.default_rng().permutation(len(self.tokens))[:_SAMPLE]
        places, wanted = self._compute(np.sort(some))
        kept = torch.from_numpy(np.asarray(values[places], dtype=np.float32))
        apart = distance(kept, wanted)
        if apart > TOLERANCE[model_dtype(self.stack.model)] + _ROUNDING[self.stored]:
            raise self._damaged(f"states made again differ by {apart:.2g} of their length")

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"the kept states of {self.stack.name!r} are damaged: {reason}",
            where=str(self.folder),
            fix=f"delete {self.folder}; they are made again at the next start",
        )


_ROUNDING: dict[str, float] = {"float32": 0.0, "float16": 1e-3}


def sample_of(tokens: Ragged, size: int = 4) -> np.ndarray:
    """A few texts of different lengths, the shortest and the longest among them; rows, `[<= size]`.

    >>> sample_of(Ragged.from_lists([[1], [1, 2, 3], [1, 2]]), size=2).tolist()
    [0, 1]
    """
    order = np.argsort(tokens.lengths, kind="stable")
    chosen: np.ndarray = order[np.unique(np.linspace(0, len(order) - 1, size).astype(np.int64))]
    return chosen


@contextmanager
def _room(size: int, folder: Path) -> Iterator[None]:
    """Refuses to write what there is no room for, and says so where a write fails.

    A full disk ends a process that writes through a memory map, so it is asked beforehand.
    """
    fix = "free some space, or set TASTEBENCH_HOME to a folder that has it"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < size:
            raise DataError(
                f"states take {size / 1e9:,.2f} GB and {free / 1e9:,.2f} GB are free",
                where=str(folder.parent),
                fix=fix,
            )
        yield
    except OSError as error:
        raise DataError(
            f"cannot keep states: {error.strerror or error}", where=str(folder), fix=fix
        ) from error
