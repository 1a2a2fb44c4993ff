"""Prompts that begin alike: what they share is read once.

The prompts of one asker differ in their last lines, those of two askers in all but their first. So
the beginning that all share is read once for everybody, what follows once for each asker, and the
rest once for each candidate:

    [beginning] - [asker's prefix] - [suffix 1]
                                   - [suffix 2]
                                   - ...

The suffixes of an asker lie end to end in one row behind the asker's keys and values. A mask lets
each see the prefix and itself, and positions go on from the prefix in each, so that nothing is
copied for a candidate. That the model reads such a row as it reads whole prompts is checked on some
prompts before it is relied on; a model that does not reads whole prompts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.lm.batches import token_batches, token_budget
from tastebench.lm.headed import Headed
from tastebench.lm.layers import TOLERANCE, distance
from tastebench.lm.load import model_dtype
from tastebench.lm.padded import Padded
from tastebench.ragged import Ragged, spans

Reduce = Callable[[Tensor], Tensor]
"""Logits `[n, places, vocabulary]` of some prompts to what is wanted of them, `[n, ...]`."""

_Reduce = Callable[[Tensor, np.ndarray], Tensor]
"""Logits of all places of some prompts, one place behind the other, and which prompts these are."""

Windows = Literal["as configured", "none"]

ROW = 256
"""Tokens of suffixes that lie in one row, at most by one suffix more: they are multiplied by each
other although they do not see each other."""

_CHECKED = 4
_CANNOT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError)
_CANNOT += (TypeError, ValueError)  # type: ignore[assignment]


@dataclass(frozen=True)
class Asked:
    """Where in a prompt a model is asked what stands there.

    Attributes:
        places: How many tokens, one behind the other.
        behind: Tokens that follow them in the prompt.
        said: What an encoder-decoder has answered already; `places` is then one more than that.
    """

    places: int = 1
    behind: int = 0
    said: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts of some askers.

    Attributes:
        head: Tokens that every prefix begins with; how many.
        prefixes: int32, `q` lists.
        asker: Whose each prompt is, ascending, int64 `[n]`.
        suffixes: int32, `n` lists.
    """

    head: int
    prefixes: Ragged
    asker: np.ndarray
    suffixes: Ragged

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each whole prompt, int64 `[n]`."""
        lengths: np.ndarray = self.prefixes.lengths[self.asker] + self.suffixes.lengths
        return lengths

    def whole(self, rows: np.ndarray) -> Ragged:
        """Some prompts whole."""
        return _joined(self.prefixes[self.asker[rows]], self.suffixes[rows])

    def __getitem__(self, rows: np.ndarray) -> Prompts:
        """Some prompts, in order, and their askers."""
        askers, asker = np.unique(self.asker[rows], return_inverse=True)
        return Prompts(self.head, self.prefixes[askers], asker, self.suffixes[rows])


@dataclass(eq=False)
class Reader:
    """Reads prompts with a model, those that begin alike together where it can.

    Attributes:
        headed: The model, in eval mode.
        share: Whether beginnings may be read once; it is still checked.
    """

    headed: Headed
    share: bool = True
    _windows: Windows | None = field(default=None, init=False)
    _checked: bool = field(default=False, init=False)
    _head: tuple[bytes, Any] | None = field(default=None, init=False)

    @property
    def shares(self) -> bool | None:
        """Whether the model can share beginnings; None while nobody knows."""
        return self._windows is not None if self._checked else None

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return device_of(self.headed.model)

    def forget(self) -> None:
        """The model has changed: what is kept of it is no longer true."""
        self._head = None

    def read(self, prompts: Prompts, asked: Asked, reduce: Reduce) -> Tensor:
        """What is wanted of each prompt, in order, on the CPU, `[n, ...]`.

        Args:
            prompts: At least one.
            asked: Where logits are needed; sharing needs them at the end.
            reduce: What is made of them.
        """
        places = np.full(len(prompts.asker), asked.places)

        def reduced(logits: Tensor, rows: np.ndarray) -> Tensor:
            return reduce(by_prompt(logits, asked.places))

        return self._read(prompts, asked, places, reduced)

    def log_probabilities(self, prompts: Prompts, said: np.ndarray) -> Tensor:
        """How likely the model finds the ends of prompts, given what stands before, `[n]` float32.

        Args:
            prompts: At least one; what is said ends their suffixes.
            said: Tokens of each that are said, at least 1 and fewer than its suffix has,
                int64 `[n]`.
        """
        whole = prompts.suffixes
        ends = whole.offsets[1:]
        words = Ragged.windows(whole.values, ends, said)
        before = Ragged.windows(whole.values, ends - 1, whole.lengths - 1)
        prompts = Prompts(prompts.head, prompts.prefixes, prompts.asker, before)

        def summed(logits: Tensor, rows: np.ndarray) -> Tensor:
            mine = words[rows]
            token, prompt = _there(logits.device, mine.values.astype(np.int64), mine.rows)
            each = -functional.cross_entropy(logits.float(), token, reduction="none")
            return each.new_zeros(len(rows)).index_add_(0, prompt, each)

        return self._read(prompts, Asked(), said, summed)

    def _read(self, prompts: Prompts, asked: Asked, places: np.ndarray, reduce: _Reduce) -> Tensor:
        with torch.inference_mode():
            can = self.share and self.headed.kind == "decoder" and not asked.behind
            if can and not self._checked:
                self._check(prompts, asked, places)
            if self._windows is None or not can:
                return self._read_whole(prompts, asked, places, reduce)
            return self._read_shared(prompts, places, reduce, self._windows)

    # --------------------------------------------------------------------------- whole prompts

    def _read_whole(
        self, prompts: Prompts, asked: Asked, places: np.ndarray, reduce: _Reduce
    ) -> Tensor:
        found: list[Tensor] = []
        order: list[np.ndarray] = []
        for rows in token_batches(prompts.lengths, token_budget(self.device.type)):
            whole = prompts.whole(rows)
            ids, mask = Padded(whole.values, whole.offsets).take(np.arange(len(rows)), self.device)
            inputs = {"input_ids": ids.long(), "attention_mask": mask.long()}
            logits = _logits(self.headed, inputs, whole.lengths, asked, places[rows], self.device)
            found.append(reduce(logits, rows).cpu())
            order.append(rows)
        return torch.cat(found)[np.argsort(np.concatenate(order))]

    # ------------------------------------------------------------------------ shared beginnings

    def _read_shared(
        self, prompts: Prompts, places: np.ndarray, reduce: _Reduce, windows: Windows
    ) -> Tensor:
        shortest = int(prompts.prefixes.lengths.min())
        if not shortest:
            return self._read_whole(prompts, Asked(), places, reduce)
        # Something has to be left of a prefix behind what all share.
        head = min(prompts.head, shortest - 1)
        prompts = Prompts(head, prompts.prefixes, prompts.asker, prompts.suffixes)
        alone = np.bincount(prompts.asker, minlength=len(prompts.prefixes))[prompts.asker] == 1
        found: list[Tensor] = []
        order: list[np.ndarray] = []
        for some, read in ((alone, self._alone), (~alone, self._together)):
            rows = np.flatnonzero(some)
            if len(rows):
                for at, logits in read(prompts[rows], places[rows], windows):
                    found.append(reduce(logits, rows[at]).cpu())
                    order.append(rows[at])
        return torch.cat(found)[np.argsort(np.concatenate(order))]

    def _alone(self, prompts: Prompts, places: np.ndarray, windows: Windows) -> Any:
        """Prompts of askers who have one each: they share the beginning of all."""
        lengths = prompts.lengths - prompts.head
        for rows in token_batches(lengths, token_budget(self.device.type)):
            whole = prompts.whole(rows)
            rest = _without(whole, prompts.head)
            row, place = last_places(rest.lengths, places[rows])
            _, logits = self._begin(prompts.prefixes[0], prompts.head, rest, windows, row, place)
            yield rows, logits

    def _together(self, prompts: Prompts, places: np.ndarray, windows: Windows) -> Any:
        """Prompts of askers who have several each."""
        rows_of = Ragged.from_rows(
            prompts.asker, np.arange(len(prompts.asker)), len(prompts.prefixes)
        )
        rest = _without(prompts.prefixes, prompts.head)
        ends = np.cumsum(prompts.suffixes.lengths)
        begins = ends - prompts.suffixes.lengths
        in_row = begins - begins[rows_of.offsets[:-1]][prompts.asker]
        turn = in_row // ROW
        size = np.bincount(prompts.asker, prompts.suffixes.lengths).astype(np.int64)
        work = rest.lengths + np.minimum(size, ROW)
        none = np.empty(0, np.int64)
        for askers in token_batches(work, token_budget(self.device.type)):
            cache, _ = self._begin(
                prompts.prefixes[0], prompts.head, rest[askers], windows, none, none
            )
            length = cache.get_seq_length()
            mine = rows_of[askers]
            for t in range(int(turn[mine.values].max()) + 1):
                now = turn[mine.values] == t
                rows, who = mine.values[now], mine.rows[now]
                packed = _Packed.of(prompts.suffixes[rows], who, rest.lengths[askers])
                logits = self._go_on(prompts.head, cache, packed, places[rows], windows)
                cache.crop(length - cache.get_seq_length())
                yield rows, logits

    def _begin(
        self,
        first: np.ndarray,
        head: int,
        rest: Ragged,
        windows: Windows,
        row: np.ndarray,
        place: np.ndarray,
    ) -> tuple[Any, Tensor]:
        """Reads texts behind the beginning that all share.

        Returns:
            Their keys and values, and logits at the chosen places.
        """
        n = len(rest)
        cache = copy.deepcopy(self._beginning(first[:head]))
        if head:
            cache.batch_repeat_interleave(n)
        ids, mask = Padded(rest.values, rest.offsets).take(np.arange(n), self.device)
        width = mask.shape[1]
        position = torch.arange(head, head + width, device=self.device).expand(n, -1)
        before = torch.arange(head, device=self.device).expand(n, -1)
        sees = torch.ones(width, width, dtype=torch.bool, device=self.device).tril() & mask[:, None]
        # A padded place sees itself, so that it is no division by zero; nobody sees it.
        sees = sees | torch.eye(width, dtype=torch.bool, device=self.device)
        allowed = torch.cat([sees.new_ones(n, width, head), sees], dim=2)
        logits = self._call(
            cache, ids, position, torch.cat([before, position], dim=1), allowed, windows, row, place
        )
        return cache, logits

    def _beginning(self, first: np.ndarray) -> Any:
        """Keys and values of the beginning that all share."""
        from transformers import DynamicCache

        key = first.tobytes()
        if self._head is None or self._head[0] != key:
            cache: Any = DynamicCache()
            if len(first):
                ids = torch.from_numpy(first.astype(np.int64))[None].to(self.device)
                nothing = torch.empty(0, dtype=torch.int64, device=self.device)
                self.headed.logits_at(
                    nothing, nothing, input_ids=ids, past_key_values=cache, use_cache=True
                )
            self._head = key, cache
        return self._head[1]

    def _go_on(
        self, head: int, cache: Any, packed: _Packed, places: np.ndarray, windows: Windows
    ) -> Tensor:
        """Logits of suffixes behind their askers' prefixes, `[places of all, vocabulary]`."""
        device = self.device
        ids, suffix, within, lengths = _there(
            device, packed.ids, packed.suffix, packed.within, packed.prefix
        )
        past = torch.arange(cache.get_seq_length() - head, device=device) < lengths[:, None]
        n, width = ids.shape
        past = torch.cat([past.new_ones(n, head), past], dim=1)
        own = (suffix[:, :, None] == suffix[:, None, :]).tril()
        position = head + lengths[:, None] + within
        before = torch.arange(past.shape[1], device=device).expand(n, -1)
        allowed = torch.cat([past[:, None, :].expand(-1, width, -1), own], dim=2)
        row, place = last_places(packed.lengths, places, packed.row, packed.begin)
        seen = torch.cat([before, position], dim=1)
        return self._call(cache, ids, position, seen, allowed, windows, row, place)

    def _call(
        self,
        cache: Any,
        ids: Tensor,
        position: Tensor,
        seen: Tensor,
        allowed: Tensor,
        windows: Windows,
        row: np.ndarray,
        place: np.ndarray,
    ) -> Tensor:
        model: Any = self.headed.model
        gap = position[:, :, None] - seen[:, None, :]
        return self.headed.logits_at(
            *_there(self.device, row, place),
            input_ids=ids.long(),
            position_ids=position,
            attention_mask=_masks(model.config, allowed, gap, windows, dtype_of(model)),
            past_key_values=cache,
            use_cache=True,
        )

    # ------------------------------------------------------------------------------------ check

    def _check(self, prompts: Prompts, asked: Asked, places: np.ndarray) -> None:
        """Finds out whether the model reads packed suffixes as it reads whole prompts."""
        several = np.flatnonzero(np.bincount(prompts.asker) > 1)
        if not len(several):
            return  # nothing to share yet but the beginning
        self._checked = True
        longest = several[np.argsort(-prompts.prefixes.lengths[several], kind="stable")]
        some = np.isin(prompts.asker, [longest[0], longest[-1]])
        rows = np.flatnonzero(some)
        first = rows[: 2 * _CHECKED]
        chosen = np.unique(np.append(first, rows[-_CHECKED:]))
        few, at = prompts[chosen], places[chosen]

        def last(logits: Tensor, rows: np.ndarray) -> Tensor:
            return logits[torch.from_numpy(np.cumsum(at[rows]) - 1).to(logits.device)]

        wanted = self._read_whole(few, asked, at, last)
        tolerance = TOLERANCE[model_dtype(self.headed.model)]
        tried: tuple[Windows, ...] = ("as configured", "none")
        for windows in tried:
            self._head = None
            try:
                found = self._read_shared(few, at, last, windows)
            except _CANNOT:
                continue  # a model that takes no such mask or cache reads whole prompts
            if found.shape == wanted.shape and distance(found, wanted) <= tolerance:
                self._windows = windows
                break
        self._head = None


@dataclass(frozen=True, eq=False)
class _Packed:
    """Suffixes of some askers, those of one end to end in a row.

    Attributes:
        ids: int64 `[q, width]`, 0 in the padding.
        suffix: Which of its row's suffixes a token is of, -1 in the padding, int64 `[q, width]`.
        within: Place of a token in its suffix, int64 `[q, width]`.
        prefix: Tokens of each row's prefix, int64 `[q]`.
        row, begin, lengths: Where each suffix lies, int64 `[n]`.
    """

    ids: np.ndarray
    suffix: np.ndarray
    within: np.ndarray
    prefix: np.ndarray
    row: np.ndarray
    begin: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, suffixes: Ragged, who: np.ndarray, prefix: np.ndarray) -> _Packed:
        """From suffixes and the row of each, ascending."""
        q, lengths = len(prefix), suffixes.lengths
        ends = np.cumsum(lengths)
        size = np.bincount(who, lengths, minlength=q).astype(np.int64)
        begin = ends - lengths - (np.cumsum(size) - size)[who]
        shape = (q, int(size.max(initial=0)))
        ids, within = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        suffix = np.full(shape, -1, np.int64)
        at = np.repeat(who, lengths), spans(begin, lengths)
        ids[at] = suffixes.values
        suffix[at] = np.repeat(np.arange(len(who)), lengths)
        within[at] = spans(np.zeros_like(begin), lengths)
        return cls(ids, suffix, within, prefix, who, begin, lengths)


def logits_of(
    headed: Headed,
    inputs: dict[str, Tensor],
    lengths: np.ndarray,
    asked: Asked,
    device: torch.device,
) -> Tensor:
    """Logits where they are asked, `[n, places, vocabulary]`, of padded prompts or their states.

    Args:
        headed: The model.
        inputs: What it takes of them.
        lengths: Of the prompts, int64 `[n]`.
        asked: Where.
        device: Where the model lies.
    """
    places = np.full(len(lengths), asked.places)
    return by_prompt(_logits(headed, inputs, lengths, asked, places, device), asked.places)


def _logits(
    headed: Headed,
    inputs: dict[str, Tensor],
    lengths: np.ndarray,
    asked: Asked,
    places: np.ndarray,
    device: torch.device,
) -> Tensor:
    """As `logits_of`, with as many places of each prompt as it has, `[sum of places, vocabulary]`.

    Of an encoder-decoder all prompts have those that `asked` says.
    """
    n = len(lengths)
    row, place = last_places(lengths - asked.behind, places)
    if headed.kind == "encoder-decoder":
        row, place = last_places(np.full(n, asked.places), places)
        answer = torch.tensor([_answer_start(headed), *asked.said], device=device)
        inputs = {**inputs, "decoder_input_ids": answer.expand(n, -1)}
    return headed.logits_at(*_there(device, row, place), **inputs)


def by_prompt(logits: Tensor, places: int) -> Tensor:
    """`[n * places, vocabulary]` to `[n, places, vocabulary]`."""
    return logits.view(-1, places, logits.shape[-1])


def _answer_start(headed: Headed) -> int:
    """What an encoder-decoder's answer begins with."""
    model: Any = headed.model
    said_by = (model.config, getattr(model, "generation_config", None))
    for name in ("decoder_start_token_id", "bos_token_id", "pad_token_id"):
        for config in said_by:
            token = getattr(config, name, None)
            if token is not None:
                return int(token)
    return 0


def last_places(
    lengths: np.ndarray,
    places: np.ndarray,
    row: np.ndarray | None = None,
    begin: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the last places of texts, int64 `[sum of places]` each.

    Args:
        lengths: Of the texts, `[n]`.
        places: How many of each, int64 `[n]`.
        row: In which row each text lies; None for one each.
        begin: Where in its row; None for at its beginning.
    """
    row = np.arange(len(lengths)) if row is None else row
    begin = np.zeros_like(lengths) if begin is None else begin
    return np.repeat(row, places), spans(begin + lengths - places, places)


def _masks(config: Any, allowed: Tensor, gap: Tensor, windows: Windows, dtype: torch.dtype) -> Any:
    """What is added to attention, `[b, 1, queries, keys]`: one for all layers or one for each kind.

    Args:
        config: Of the model.
        allowed: Which keys a query may see, `[b, queries, keys]`.
        gap: How far back they lie, `[b, queries, keys]`.
        windows: Whether layers see only so far as the configuration says.
        dtype: Of the model.
    """

    def added(seen: Tensor) -> Tensor:
        zeros = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return zeros.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]

    config = config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if windows == "none" or not window or kinds == {"full_attention"}:
        return added(allowed)
    near = added(allowed & (gap < window))
    if len(kinds) > 1:
        return {"full_attention": added(allowed), "sliding_attention": near}
    return near


def device_of(model: Any) -> torch.device:
    """Where a model lies, whatever of it is trained."""
    device: torch.device = model.get_input_embeddings().weight.device
    return device


def dtype_of(model: Any) -> torch.dtype:
    """What a model computes in."""
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype


def _there(device: torch.device, *arrays: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array).to(device) for array in arrays)


def _without(lists: Ragged, head: int) -> Ragged:
    """Lists without their first `head` values."""
    return lists.windows(lists.values, lists.offsets[1:], lists.lengths - head)


def _joined(a: Ragged, b: Ragged) -> Ragged:
    lengths = a.lengths + b.lengths
    made = Ragged.from_lengths(np.empty(int(lengths.sum()), a.values.dtype), lengths)
    made.values[spans(made.offsets[:-1], a.lengths)] = a.values
    made.values[spans(made.offsets[:-1] + a.lengths, b.lengths)] = b.values
    return made
