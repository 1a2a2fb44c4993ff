"""SID-SASRec's network: a pre-norm causal transformer over codes, and its decoding with a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.attention import attend
from tastebench.recommenders.seqrec.beam_cache import BeamCache
from tastebench.recommenders.seqrec.code_batches import ItemBatch, Windows
from tastebench.recommenders.seqrec.code_tokens import CodeHeads, CodeTokens
from tastebench.recommenders.seqrec.generative import Asking
from tastebench.recommenders.seqrec.transformer import INIT_STD, linear
from tastebench.recommenders.seqrec.user_tokens import UserTokens
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.sid_sasrec import SIDSASRecConfig

EPSILON = 1e-5  # of the layer norms, as in GPT-2


class SIDSASRecNetwork(nn.Module):
    """A start, then the codes of one item after the other; every code is predicted from all before.

    The input at place `i * width + l` is the token before code `l` of item `i`, the output there
    is compared with the codes of level `l`, and the learned positions are those of item and level.

    Args:
        codes: int64 `[n_items, width]`, -1 after the end of a shorter path.
        length: Longest history.
        config: Hyper-parameters.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, codes: np.ndarray, length: int, config: SIDSASRecConfig) -> None:
        super().__init__()
        hidden, inner = config.hidden_size, config.inner_size or 4 * config.hidden_size
        self.tokens = CodeTokens(codes, hidden, INIT_STD)
        self.heads = CodeHeads(self.tokens, tied=config.output == "tied", std=INIT_STD)
        self.users = UserTokens(config.user_tokens, hidden, INIT_STD)
        self.items = nn.Parameter(torch.empty(length + 1, hidden))
        self.levels = nn.Parameter(torch.empty(self.tokens.width, hidden))
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            GPTBlock(hidden, config.heads, inner, config.dropout, config.attention_dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(hidden, EPSILON)
        for block in self.blocks:
            # As GPT-2 begins: what all layers add up does not grow with their number.
            for layer in (block.out, block.down):
                nn.init.normal_(layer.weight, std=INIT_STD / (2 * config.layers) ** 0.5)  # type: ignore[union-attr, arg-type]
        nn.init.normal_(self.items, std=INIT_STD)
        nn.init.normal_(self.levels, std=INIT_STD)

    def batches(
        self, problem: SeqProblem, batch_size: int
    ) -> Callable[[np.random.Generator], Iterable[ItemBatch]]:
        """Whole windows: all their items are predicted in one pass."""
        windows = Windows(problem.train, problem.history_length)
        return partial(windows.epoch, batch_size=batch_size)

    def loss(self, batch: ItemBatch) -> Tensor:
        """Mean cross-entropy of the targets' codes."""
        device = self.items.device
        items = torch.from_numpy(batch.items).to(device)
        states = self(items, torch.from_numpy(batch.user).to(device))
        targets = torch.from_numpy(batch.targets).to(device)
        picked = self.norm(states[torch.from_numpy(batch.is_target).to(device)])
        return self.heads.loss(picked, self.tokens.codes[targets])

    def forward(self, items: Tensor, user: Tensor | None) -> Tensor:
        """Right-padded items int64 `[b, n]` to what each of their codes is predicted from.

        Returns:
            `[b, n, width, hidden]`, before the last norm.
        """
        b, n = items.shape
        x = self.dropout(self.embed(self.tokens.spell(items)[:, :-1], user))
        for block in self.blocks:
            x = block(x)
        states: Tensor = x.view(b, n, self.tokens.width, -1)
        return states

    def embed(self, tokens: Tensor, user: Tensor | None) -> Tensor:
        """Tokens from the start on, int64 `[b, t]`, to embeddings with positions."""
        width, t = self.tokens.width, tokens.shape[1]
        at = torch.arange(t, device=tokens.device)
        x = self.tokens(tokens) + (self.items[at // width] + self.levels[at % width])
        return self.users.add_to_first(x, user)

    def read(self, asking: Asking) -> Decoding:
        """Reads histories; what is returned decodes the next item."""
        return Decoding(self, asking)


class GPTBlock(nn.Module):
    """Causal self-attention and feed-forward, each of its normalised input and added to it.

    GELU is the exact one; GPT-2 approximates it by tanh, which takes a CPU twice as long.
    """

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.attention_norm = nn.LayerNorm(width, EPSILON)
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)
        self.inner_norm = nn.LayerNorm(width, EPSILON)
        self.up = linear(width, inner)
        self.down = linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, t, width]` to the same."""
        return self.finish(x, self.look_back(self.project(x)))

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values, `[b, t, 3, heads, width / heads]`."""
        b, t, width = x.shape
        qkv: Tensor = self.qkv(self.attention_norm(x))
        return qkv.view(b, t, 3, self.heads, width // self.heads)

    def look_back(self, qkv: Tensor) -> Tensor:
        """Causal attention within what `project` made, `[b, t, width]`."""
        q, k, v = qkv.unbind(2)
        dropout = self.attention_dropout if self.training else 0.0
        return attend(q, k.transpose(1, 2), v.transpose(1, 2), causal=True, dropout=dropout)

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What attention mixed is added, then the feed-forward part."""
        x = x + self.dropout(self.out(mixed))
        inner = functional.gelu(self.up(self.inner_norm(x)))
        finished: Tensor = x + self.dropout(self.down(inner))
        return finished


class Decoding:
    """The next item of some users, code by code; a `tastebench.items.beam.Step`.

    The history goes through the network once; a step computes one place a beam and attends to the
    history, which the beams of a user share, and to what led to the beam.

    Args:
        network: The network, in eval mode.
        asking: The histories.
    """

    def __init__(self, network: SIDSASRecNetwork, asking: Asking) -> None:
        self._network, self._asking = network, asking
        self._blocks: list[GPTBlock] = list(network.blocks)  # type: ignore[arg-type]
        heads = self._blocks[0].heads
        self._cache = BeamCache(
            len(asking.length),
            asking.items.shape[1] * network.tokens.width + 1,
            layers=len(self._blocks),
            heads=heads,
            width=network.items.shape[1] // heads,
            device=network.items.device,
        )
        self._seen = self._within()

    def __call__(self, level: int, tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        """Logits of the codes of a level; see `tastebench.items.beam.Step`."""
        if tokens is None:
            return self._begin()
        net, length = self._network, self._asking.length
        self._cache.advance(parents, tokens.shape[1], net.tokens.width - level)
        own = self._cache.visible
        seen = torch.cat([self._seen.expand(-1, own.shape[1], -1), own], dim=2)[:, None]
        mask = torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)
        place = (net.items[length] + net.levels[level])[:, None]
        x = net.tokens.chosen(level - 1, tokens) + place
        for layer, block in enumerate(self._blocks):
            qkv = block.project(x)
            mixed = attend(qkv[:, :, 0], *self._cache.put(layer, qkv[:, :, 1:]), mask)
            x = block.finish(x, mixed)
        return net.heads.forward(net.norm(x), level)

    def _begin(self) -> Tensor:
        """Reads the histories: keeps keys and values, and says what the first code may be."""
        net, asking = self._network, self._asking
        x = net.embed(net.tokens.spell(asking.items), asking.user)
        last = asking.length * net.tokens.width
        rows = torch.arange(len(last), device=last.device)
        for layer, block in enumerate(self._blocks):
            qkv = block.project(x)
            keys, values = self._cache.put_history(layer, qkv[:, :, 1:])
            if layer < len(self._blocks) - 1:
                x = block.finish(x, block.look_back(qkv))
                continue
            # Of the last layer only the last place is asked.
            mask = None if asking.even else self._seen[:, None]
            mixed = attend(qkv[rows, last, 0][:, None], keys, values, mask)
            x = block.finish(x[rows, last][:, None], mixed)
        return net.heads.forward(net.norm(x[:, 0]), 0)

    def _within(self) -> Tensor:
        """Which places belong to a history and are no padding, bool `[b, 1, places]`."""
        asking, width = self._asking, self._network.tokens.width
        at = torch.arange(asking.items.shape[1] * width + 1, device=asking.length.device)
        return (at <= asking.length[:, None] * width)[:, None]


def sid_sasrec_network(
    config: SIDSASRecConfig, problem: SeqProblem, items: Items
) -> SIDSASRecNetwork:
    """The untrained network for a problem."""
    assert items.code is not None
    return SIDSASRecNetwork(items.code, problem.history_length, config)
