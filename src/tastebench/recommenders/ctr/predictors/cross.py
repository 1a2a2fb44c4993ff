"""Predictors of cross layers, each of which multiplies its input by the fields once more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tastebench.recommenders.ctr.predictors import dense
from tastebench.recommenders.ctr.predictors.mlp import Logit, Tower

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import (
        DcnConfig,
        Dcnv2Config,
        GdcnConfig,
        TowerConfig,
    )


class Dcn(nn.Module):
    """`w [cross(x); tower(x)] + b`, `x` the fields end to end.

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number.
    """

    def __init__(self, config: DcnConfig, width: int, fields: int) -> None:
        super().__init__()
        self.cross = CrossVectors(fields * width, config.layers)
        self.top = Top(fields * width, config, "parallel")

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        x = fields.flatten(1)
        logits: Tensor = self.top(self.cross(x), x)
        return logits


class Dcnv2(nn.Module):
    """As `Dcn`, with matrices in the cross layers and the tower beside or on top of them.

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number.
    """

    def __init__(self, config: Dcnv2Config, width: int, fields: int) -> None:
        super().__init__()
        inputs = fields * width
        self.cross: nn.Module
        if config.rank is None:
            self.cross = CrossMatrices(inputs, config.layers)
        elif config.experts == 1:
            self.cross = LowRankCross(inputs, config.layers, config.rank)
        else:
            self.cross = CrossMixture(inputs, config.layers, config.rank, config.experts)
        self.top = Top(inputs, config, config.structure)
        self.published = config.variant == "published"

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        x = fields.flatten(1)
        cross = self.cross(x)
        logits: Tensor = self.top(cross, x if self.published else cross)
        return logits


class Gdcn(nn.Module):
    """As `Dcn`, with matrices and gates in the cross layers.

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number.
    """

    def __init__(self, config: GdcnConfig, width: int, fields: int) -> None:
        super().__init__()
        inputs = fields * width
        uniform = config.variant == "reference"
        self.cross = GatedCross(inputs, config.layers, uniform=uniform)
        self.top = Top(inputs, config, config.structure)

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        x = fields.flatten(1)
        logits: Tensor = self.top(self.cross(x), x)
        return logits


class Top(nn.Module):
    """What follows the cross layers.

    `parallel`: a tower over the fields, and a logit over it and the cross layers. `stacked`: a
    tower over the cross layers and its logit. `stacked_parallel`: both towers and a logit over
    them.

    Args:
        inputs: Width of fields and of cross layers.
        config: Of the towers.
        structure: Which of the three.
    """

    def __init__(self, inputs: int, config: TowerConfig, structure: str) -> None:
        super().__init__()
        last = config.tower[-1]
        stacked, parallel = structure != "parallel", structure != "stacked"
        self.stacked = Tower(inputs, config, logit=False) if stacked else None
        self.parallel = Tower(inputs, config, logit=False) if parallel else None
        widths = [last if stacked else inputs, *([last] if parallel else [])]
        self.logit = Logit(*widths)

    def forward(self, cross: Tensor, x: Tensor) -> Tensor:
        """What the cross layers made and what the tower beside them reads, `[n, d]`, to `[n]`."""
        vectors = [cross if self.stacked is None else self.stacked(cross)]
        if self.parallel is not None:
            vectors.append(self.parallel(x))
        logits: Tensor = self.logit(*vectors)
        return logits


class CrossVectors(nn.Module):
    """`x_{l+1} = x_0 (w_l . x_l) + b_l + x_l` (Wang et al., ADKDD 2017, eq. 3).

    A layer adds a multiple of `x_0` and a constant, so `x_l = a_l x_0 + c_l` with a number `a_l` a
    row and `c_l = b_0 + ... + b_{l-1}`, where `a_{l+1} = a_l (1 + w_l . x_0) + w_l . c_l`. That
    takes one product of `x_0` with all `w_l` and one pass to make `x_L`.

    Args:
        inputs: `d`, the width.
        layers: `L`.
    """

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(layers, inputs))
        self.bias = nn.Parameter(torch.zeros(layers, inputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to the same."""
        constants = self.bias.cumsum(dim=0)
        shifts = (self.weight[1:] * constants[:-1]).sum(dim=1)
        multiple, *factors = (functional.linear(x, self.weight) + 1).unbind(dim=1)
        for shift, factor in zip(shifts.unbind(), factors, strict=True):
            multiple = torch.addcmul(shift, multiple, factor)
        return torch.addcmul(constants[-1], multiple[:, None], x)


class CrossMatrices(nn.Module):
    """`x_{l+1} = x_0 * (W_l x_l + b_l) + x_l` (Wang et al., WWW 2021, eq. 1).

    Args:
        inputs: `d`, the width.
        layers: `L`.
    """

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(inputs, inputs) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to the same."""
        layers = list(cast("Iterable[nn.Linear]", self.layers))
        weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
        if torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type):
            crossed: Tensor = _CrossMatrices.apply(  # type: ignore[no-untyped-call]
                dense.by_onednn(x), x, *weights, *biases
            )
            return crossed
        crossed = x
        for weight, bias in zip(weights, biases, strict=True):
            crossed = torch.addcmul(crossed, x, functional.linear(crossed, weight, bias))
        return crossed


class LowRankCross(nn.Module):
    """`x_{l+1} = x_0 * (U_l V_l^T x_l + b_l) + x_l` (Wang et al., WWW 2021, eq. 2).

    Args:
        inputs: `d`, the width.
        layers: `L`.
        rank: Columns of `U` and `V`.
    """

    def __init__(self, inputs: int, layers: int, rank: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(inputs, rank, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(rank, inputs) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to the same."""
        crossed = x
        for down, up in zip(self.down, self.up, strict=True):
            crossed = torch.addcmul(crossed, x, up(down(crossed)))
        return crossed


class CrossMixture(nn.Module):
    """`x_{l+1} = sum_i g_i E_i(x_l) + x_l`, `E_i = x_0 * (U_i tanh(C_i tanh(V_i^T x_l)) + b)`.

    `g = softmax(G x_l)`, whose `G` all layers share. (Wang et al., WWW 2021, eq. 3-4.)

    Args:
        inputs: `d`, the width.
        layers: `L`.
        rank: Columns of `U_i` and `V_i`.
        experts: Their number.
    """

    def __init__(self, inputs: int, layers: int, rank: int, experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, experts, bias=False)
        self.layers = nn.ModuleList(Experts(inputs, rank, experts) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to the same."""
        crossed = x
        for layer in self.layers:
            gates = self.gate(crossed).softmax(dim=1)
            crossed = torch.addcmul(crossed, x, layer(crossed, gates))
        return crossed


class Experts(nn.Module):
    """`sum_i g_i U_i tanh(C_i tanh(V_i^T x)) + b`, which is what `x_0` multiplies in a layer.

    The gates sum to one, so `b` needs none; and they weigh what `U_i` reads, so that all `U_i` are
    one matrix product.
    """

    def __init__(self, inputs: int, rank: int, experts: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(experts, rank, inputs))
        self.middle = nn.Parameter(torch.empty(experts, rank, rank))
        self.up = nn.Parameter(torch.empty(experts, rank, inputs))
        self.bias = nn.Parameter(torch.zeros(inputs))
        for weights in (self.down, self.middle, self.up):
            for expert in weights:
                nn.init.xavier_normal_(expert)

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        """`[n, d]` and `[n, experts]` to `[n, d]`."""
        inner = functional.linear(x, self.down.flatten(0, 1)).tanh()
        inner = inner.view(len(x), *self.middle.shape[:2]).transpose(0, 1)
        inner = (inner @ self.middle.mT).tanh().transpose(0, 1)
        weighed = (inner * gates[:, :, None]).flatten(1)
        return weighed @ self.up.flatten(0, 1) + self.bias


class GatedCross(nn.Module):
    """`x_{l+1} = x_0 * (W_l x_l + b_l) * sigmoid(G_l x_l) + x_l` (Wang et al., CIKM 2023, eq. 2).

    Args:
        inputs: `d`, the width.
        layers: `L`.
        uniform: Whether biases begin between 0 and 1 rather than at 0.
    """

    def __init__(self, inputs: int, layers: int, *, uniform: bool = False) -> None:
        super().__init__()
        linears = [nn.Linear(inputs, inputs) for _ in range(layers)]
        for linear in linears:
            nn.init.uniform_(linear.bias, 0.0, 1.0 if uniform else 0.0)
        self.layers = nn.ModuleList(linears)
        self.gates = nn.ModuleList(nn.Linear(inputs, inputs, bias=False) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to the same."""
        crossed = x
        for layer, gate in zip(self.layers, self.gates, strict=True):
            crossed = torch.addcmul(crossed, x, layer(crossed) * gate(crossed).sigmoid())
        return crossed


class _CrossMatrices(torch.autograd.Function):
    """All layers in one: their gradients add up in place, in half of the passes over memory.

    With `y_l = W_l x_l + b_l` and `g` the gradient by `x_{l+1}`, that by `y_l` is `g * x_0`, that
    by `x_l` is `g + (g * x_0) W_l`, and `x_0` gets `g * y_l` from every layer.
    """

    @staticmethod
    def forward(ctx: Any, by_onednn: bool, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.linear = dense.product if by_onednn else functional.linear
        n = len(parameters) // 2
        weights, biases = parameters[:n], parameters[n:]
        crossed, linears = [x], []
        for weight, bias in zip(weights, biases, strict=True):
            linears.append(ctx.linear(crossed[-1], weight, bias))
            crossed.append(torch.addcmul(crossed[-1], x, linears[-1]))
        ctx.save_for_backward(*weights, *crossed[:-1], *linears)
        return crossed[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        n = len(ctx.saved_tensors) // 3
        layers = zip(*(ctx.saved_tensors[i * n : (i + 1) * n] for i in range(3)), strict=True)
        x = ctx.saved_tensors[n]
        grad, of_x = grads[0].clone(), torch.zeros_like(x)
        of_weights, of_biases = [], []
        for weight, crossed, linear in reversed(list(layers)):
            of_x.addcmul_(grad, linear)
            of_linear = grad * x
            of_weights.append(of_linear.T @ crossed)
            of_biases.append(of_linear.sum(dim=0))
            grad.add_(ctx.linear(of_linear, weight.T))
        return None, of_x.add_(grad), *reversed(of_weights), *reversed(of_biases)
