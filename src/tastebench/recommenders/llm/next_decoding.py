"""The next item of some users code by code: what a beam search asks a language model.

The prompt goes through the model once; a step computes one place a beam, which attends to the
prompt, shared by the beams of a user, and to what led to the beam. Keys and values lie in the
model's own cache, in the order in which they were computed: nothing is copied when beams branch.
What a step reads are the codes that it is given; nothing else of what comes next is ever here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tastebench.items.beam import Step
from tastebench.recommenders.seqrec.beam_cache import BeamCache

if TYPE_CHECKING:
    from tastebench.recommenders.llm.next_network import NextNetwork


def cached(network: NextNetwork, prompts: Tensor, length: Tensor) -> Step:
    """Decoding that goes on from the keys and values of what was read.

    Args:
        network: In eval mode.
        prompts: Embeddings, right-padded, `[b, t, h]`.
        length: Tokens of each, int64 `[b]`.
    """
    return _Cached(network, prompts, length)


def uncached(network: NextNetwork, prompts: Tensor, length: Tensor) -> Step:
    """The same from whole sequences at every step, for models that keep nothing."""
    return _Uncached(network, prompts, length)


class _Cached:
    def __init__(self, network: NextNetwork, prompts: Tensor, length: Tensor) -> None:
        self._network, self._length = network, length
        self._prompts: Tensor | None = prompts
        b, t = prompts.shape[:2]
        self._seen = (torch.arange(t, device=length.device) < length[:, None])[:, None]
        # Keys and values are the model's; this knows which of them are whose past.
        self._tree = BeamCache(b, 0, layers=0, heads=1, width=1, device=length.device)

    def __call__(self, level: int, tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        """Logits of the codes of a level; see `tastebench.items.beam.Step`."""
        net = self._network
        if tokens is None:
            assert self._prompts is not None
            states, self._cache = net.body.begin(self._prompts)
            self._prompts = None
            last = states.take_along_dim((self._length - 1)[:, None, None], dim=1)
            return net.heads.forward(last[:, 0], 0)
        self._tree.advance(parents if level > 1 else None, tokens.shape[1], 1)
        own = self._tree.visible
        seen = torch.cat([self._seen.expand(-1, own.shape[1], -1), own], dim=2)
        places = (self._length + level - 1)[:, None].expand_as(tokens)
        states = net.body.go_on(net.tokens.chosen(level - 1, tokens), seen, places, self._cache)
        return net.heads.forward(states, level)


class _Uncached:
    def __init__(self, network: NextNetwork, prompts: Tensor, length: Tensor) -> None:
        self._network, self._prompts, self._length = network, prompts, length
        self._path: Tensor | None = None  # embeddings of the codes so far, [b, k, level, h]

    def __call__(self, level: int, tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        """Logits of the codes of a level; see `tastebench.items.beam.Step`."""
        net = self._network
        if tokens is None:
            states = net.body(self._prompts)
            last = states.take_along_dim((self._length - 1)[:, None, None], dim=1)
            return net.heads.forward(last[:, 0], 0)
        path = net.tokens.chosen(level - 1, tokens)[:, :, None]
        if self._path is not None:
            assert parents is not None
            path = torch.cat([self._path.take_along_dim(parents[..., None, None], dim=1), path], 2)
        self._path = path
        (b, k), h = tokens.shape, path.shape[-1]
        t = self._prompts.shape[1]
        rows = self._prompts.new_zeros(b, k, t + level, h)
        rows[:, :, :t] = self._prompts[:, None]
        places = self._length[:, None, None] + torch.arange(level, device=tokens.device)
        places = places.expand(b, k, level)[..., None].expand(b, k, level, h)
        rows.scatter_(2, places, path.to(rows.dtype))
        states = net.body(rows.view(b * k, t + level, h)).view(b, k, t + level, h)
        return net.heads.forward(states.take_along_dim(places[:, :, -1:], dim=2)[:, :, 0], level)
