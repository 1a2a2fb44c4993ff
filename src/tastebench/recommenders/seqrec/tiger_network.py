"""TIGER's network: T5 over codes, and its decoding with a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.contracts import Items, SeqProblem
from tastebench.errors import counted
from tastebench.recommenders.seqrec.attention import Mask, written_down
from tastebench.recommenders.seqrec.beam_cache import BeamCache
from tastebench.recommenders.seqrec.code_batches import ItemBatch, Pairs, Windows
from tastebench.recommenders.seqrec.code_tokens import CodeHeads, CodeTokens
from tastebench.recommenders.seqrec.generative import Asking
from tastebench.recommenders.seqrec.t5 import (
    EPSILON,
    DecoderLayer,
    EncoderLayer,
    RelativePositions,
    heads_first,
)
from tastebench.recommenders.seqrec.user_tokens import UserTokens
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.tiger import TIGERConfig


class TIGERNetwork(nn.Module):
    """The encoder reads a start and the codes of a history; the decoder writes one item's codes.

    Both embed codes by the same table, and begin with the same token.

    Args:
        codes: int64 `[n_items, width]`, -1 after the end of a shorter path.
        config: Hyper-parameters.
    """

    def __init__(self, codes: np.ndarray, config: TIGERConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.config = config
        self.notes = _notes(config)
        self.tokens = CodeTokens(codes, hidden, 1.0)
        # T5 divides tied states by the root of their width: embeddings begin with deviation 1.
        tied = config.output == "tied"
        self.heads = CodeHeads(
            self.tokens, tied=tied, std=hidden**-0.5, scale=hidden**-0.5 if tied else 1.0
        )
        self.users = UserTokens(config.user_tokens, hidden, 1.0)
        shape = (hidden, config.heads, config.head_size, config.inner_size, config.dropout)
        layers = range(config.layers)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in layers)
        self.encoder_places = RelativePositions(config.heads, both_ways=True, std=hidden**-0.5)
        self.encoder_norm = nn.RMSNorm(hidden, EPSILON)
        self.decoder = nn.ModuleList(DecoderLayer(*shape) for _ in layers)
        self.decoder_places = RelativePositions(config.heads, both_ways=False, std=hidden**-0.5)
        self.decoder_norm = nn.RMSNorm(hidden, EPSILON)
        self.dropout = Dropout(config.dropout)

    def batches(
        self, problem: SeqProblem, batch_size: int
    ) -> Callable[[np.random.Generator], Iterable[ItemBatch]]:
        """Histories and what came next, or whole windows where the encoder is causal."""
        train, length = problem.train, problem.history_length
        if self.config.encoder == "causal":
            return partial(Windows(train, length).epoch, batch_size=batch_size)
        pairs = Pairs(train, length, self.config.targets_per_sequence)
        return partial(pairs.epoch, batch_size=batch_size)

    def loss(self, batch: ItemBatch) -> Tensor:
        """Mean cross-entropy of the targets' codes."""
        device = self.decoder_norm.weight.device
        items, length, user, targets = (
            torch.from_numpy(array).to(device)
            for array in (batch.items, batch.length, batch.user, batch.targets)
        )
        if batch.is_target is None:
            states = self.decode(targets[:, None], self.encode(items, length, user), length)
            return self.heads.loss(states[:, 0], self.tokens.codes[targets])
        # The last item of a window is only written: it is part of nobody's history.
        encoded = self.encode(items[:, :-1], length - 1, user)
        states = self.decode(items, encoded, None)
        picked = states[torch.from_numpy(batch.is_target).to(device)]
        return self.heads.loss(picked, self.tokens.codes[targets])

    def encode(self, items: Tensor, length: Tensor, user: Tensor | None) -> Tensor:
        """Right-padded histories int64 `[b, n]` to states `[b, 1 + n * width, hidden]`."""
        embedded = self.users.add_to_first(self.tokens(self.tokens.spell(items)), user)
        mask = self._encoder_mask(embedded.shape[1], length)
        x = self.dropout(embedded)
        for layer in self.encoder:
            x = layer(x, mask)
        encoded: Tensor = self.dropout(self.encoder_norm(x))
        return encoded

    def decode(self, items: Tensor, encoded: Tensor, length: Tensor | None) -> Tensor:
        """States that each code of `items`, int64 `[b, m]`, is predicted from.

        Args:
            items: What is written.
            encoded: What was read, `[b, t, hidden]`.
            length: Items of each history, where all of it may be seen; None where item `i` may see
                the items before `i`.

        Returns:
            `[b, m, width, hidden]`.
        """
        (b, m), width = items.shape, self.tokens.width
        before = self.tokens.spell(items.view(-1, 1))[:, :-1]
        x = self.dropout(self.tokens(before)).view(b, m, width, -1)
        places = torch.arange(width, device=items.device)
        later = places > places[:, None]
        mask = self.decoder_places(places, places).masked_fill(later, -torch.inf)
        at = torch.arange(encoded.shape[1], device=items.device)
        seen = self._before(at, b, m) if length is None else self._within(at, length)
        for layer in self.decoder:
            x = layer(x, mask, encoded, seen)
        states: Tensor = self.dropout(self.decoder_norm(x))
        return states

    def read(self, asking: Asking) -> Decoding:
        """Reads histories; what is returned decodes the next item."""
        return Decoding(self, asking)

    def _encoder_mask(self, t: int, length: Tensor) -> Mask:
        """What is added to the scores of the encoder's `t` places."""
        places = torch.arange(t, device=length.device)

        def of(queries: slice) -> Tensor:
            near = self.encoder_places.between(queries, t)
            unseen = self._unseen(places, queries, length)
            return near if unseen is None else near.masked_fill(unseen, -torch.inf)

        # Made once for all layers, where all of it may exist.
        pairs = len(length) * self.config.heads * t * t
        return of(slice(0, t)) if written_down(pairs) else of

    def _before(self, places: Tensor, b: int, m: int) -> Mask:
        """Which places the codes of `m` items may see: those of the items before their own."""
        width = self.tokens.width

        def of(queries: slice) -> Tensor:
            code = torch.arange(queries.start, queries.stop, device=places.device)
            own = code.div(width, rounding_mode="floor")
            return places <= own[:, None] * width

        pairs = b * self.config.heads * m * width * len(places)
        return of(slice(0, m * width)) if written_down(pairs) else of

    def _within(self, places: Tensor, length: Tensor) -> Tensor | None:
        """Places that belong to a history, bool `[b, 1, 1, places]`; None where all do."""
        last = length * self.tokens.width
        if bool((last == len(places) - 1).all()):
            return None
        return (places <= last[:, None])[:, None, None]

    def _unseen(self, places: Tensor, queries: slice, length: Tensor) -> Tensor | None:
        """What these of the places may not see, fits `[b, heads, queries, places]`; None if all."""
        if self.config.encoder == "causal":
            # The start is an item of its own; padding comes after everything that sees it.
            item = (places - 1).div(self.tokens.width, rounding_mode="floor")
            return item > item[queries, None]
        within = self._within(places, length)
        return None if within is None else ~within


class Decoding:
    """The next item of some users, code by code; a `tastebench.items.beam.Step`.

    The history is encoded once and its keys and values are shared by the beams of a user; a step
    computes one place a beam.

    Args:
        network: The network, in eval mode.
        asking: The histories.
    """

    def __init__(self, network: TIGERNetwork, asking: Asking) -> None:
        self._network, config = network, network.config
        self._users = len(asking.length)
        encoded = network.encode(asking.items, asking.length, asking.user)
        self._layers: list[DecoderLayer] = list(network.decoder)  # type: ignore[arg-type]
        self._history = [heads_first(layer.cross.keys_values(encoded)) for layer in self._layers]
        self._level = torch.arange(network.tokens.width, device=encoded.device)[:, None]
        places = torch.arange(encoded.shape[1], device=encoded.device)
        self._seen = network._within(places, asking.length)
        self._cache = BeamCache(
            self._users,
            0,
            layers=config.layers,
            heads=config.heads,
            width=config.head_size,
            device=encoded.device,
        )

    def __call__(self, level: int, tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        """Logits of the codes of a level; see `tastebench.items.beam.Step`."""
        net = self._network
        if tokens is None:
            start = self._level.new_full((self._users, 1), net.tokens.start)
            x = net.tokens.forward(start)
        else:
            x = net.tokens.chosen(level - 1, tokens)
        self._cache.advance(parents, x.shape[1], net.tokens.width - level)
        bias = net.decoder_places(self._level[level], self._cache.step)
        mask = bias.masked_fill(~self._cache.visible[:, None], -torch.inf)
        for layer, block in enumerate(self._layers):
            x = self._step(layer, block, x, mask)
        logits = net.heads.forward(net.decoder_norm(x), level)
        return logits[:, 0] if tokens is None else logits

    def _step(self, layer: int, block: DecoderLayer, x: Tensor, mask: Tensor) -> Tensor:
        """One place a beam through one layer, `[b, k, hidden]`."""
        normed = block.attention_norm(x)
        q, kv = block.attention.queries(normed), block.attention.keys_values(normed)
        x = x + block.attention.mix(q, *self._cache.put(layer, kv), mask)
        q = block.cross.queries(block.cross_norm(x))
        x = x + block.cross.mix(q, *self._history[layer], self._seen)
        finished: Tensor = x + block.inner(block.inner_norm(x))
        return finished


def _notes(config: TIGERConfig) -> tuple[str, ...]:
    if config.encoder == "causal":
        return ("the encoder is causal: an item of a history does not see later ones as in TIGER",)
    if config.targets_per_sequence is not None:
        few = counted(config.targets_per_sequence, "item")
        return (f"an epoch predicts at most {few} of each sequence",)
    return ()


def tiger_network(config: TIGERConfig, problem: SeqProblem, items: Items) -> TIGERNetwork:
    """The untrained network for a problem."""
    assert items.code is not None
    return TIGERNetwork(items.code, config)
