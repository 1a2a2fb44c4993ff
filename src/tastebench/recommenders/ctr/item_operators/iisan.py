"""IISAN's text side: a small network beside a frozen language model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import IisanConfig
from tastebench.recommenders.ctr.item_operators.reader import Reader


class Iisan(nn.Module):
    """The states of every (k-th) layer, mean over tokens, merged from below by a side network.

    The language model is read once for the catalogue (`tastebench.lm.states`) and is not part of
    the network, so training costs no pass through it.
    """

    def __init__(self, config: IisanConfig, content: Content, width: int) -> None:
        super().__init__()
        reader = Reader(config, content)
        at = every(config.layer_step, reader.stack.n)
        self._states = reader.states(at, pooled=True, stored="float32")
        self.side = SideNetwork(
            len(at), self._states.shape[2], config.projection, config.projection_size
        )
        self.out = nn.Linear(self.side.width, width)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        states = np.asarray(self._states[items.cpu().numpy()])
        merged: Tensor = self.out(self.side(torch.from_numpy(states).to(items.device)))
        return merged


class SideNetwork(nn.Module):
    """States `h_1 .. h_m` from below to one vector.

        s_1 = h_1
        z_i = g_i s_{i-1} + (1 - g_i) h_i,    g_i = sigmoid(mu_i),  mu_i = 0.5 at first
        s_i = LayerNorm(z_i + W2_i ReLU(W1_i z_i + b1_i) + b2_i)

    Fu et al., IISAN, SIGIR 2024, with the inner width (twice the outer) of Legommenders.

    Args:
        layers: `m`.
        inputs: Width of the states.
        projection: What is done to the states first: nothing, one projection for all of them, or
            one for each; without a bias.
        size: Width of the projected states; unused without a projection.
    """

    def __init__(self, layers: int, inputs: int, projection: str, size: int) -> None:
        super().__init__()
        self.width = inputs if projection == "none" else size
        count = {"none": 0, "shared": 1, "per-layer": layers}[projection]
        self.projections = nn.ModuleList(nn.Linear(inputs, size, bias=False) for _ in range(count))
        self.gates = nn.Parameter(torch.full((layers - 1,), 0.5))
        self.blocks = nn.ModuleList(SideBlock(self.width) for _ in range(layers - 1))

    def forward(self, states: Tensor) -> Tensor:
        """`[n, layers, inputs]` to `[n, width]`."""
        side = self._project(states, 0)
        for i, block in enumerate(self.blocks):
            gate = self.gates[i].sigmoid()
            side = block(gate * side + (1 - gate) * self._project(states, i + 1))
        return side

    def _project(self, states: Tensor, layer: int) -> Tensor:
        state = states[:, layer]
        if len(self.projections) == 0:
            return state
        projected: Tensor = self.projections[layer if len(self.projections) > 1 else 0](state)
        return projected


class SideBlock(nn.Module):
    """`LayerNorm(z + W2 ReLU(W1 z))`, twice as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, z: Tensor) -> Tensor:
        """`[n, width]` to the same."""
        normed: Tensor = self.norm(z + self.down(self.up(z).relu()))
        return normed


def every(step: int, n: int) -> tuple[int, ...]:
    """Every `step`-th of the states 1 .. n, from below, the top one among them.

    >>> every(1, 4), every(2, 5), every(9, 4)
    ((1, 2, 3, 4), (1, 3, 5), (4,))
    """
    return tuple(range(n, 0, -step))[::-1]
