"""Linear recurrences over time, all times at once in a logarithmic number of steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Numbers held at once by `selective_scan`: on a CPU what its cache holds, elsewhere what fills it.
BLOCK = {"cpu": 1 << 17}
BLOCK_ELSEWHERE = 1 << 24


def linear_scan(decay: Tensor, inputs: Tensor) -> Tensor:
    """`h_t = decay_t * h_(t-1) + inputs_t` from `h_(-1) = 0`, for all `t` at once.

    Args:
        decay: `[b, l, ...]`; sizes of 1 after the second are broadcast.
        inputs: `[b, l, ...]`, `l` at least 1.

    Returns:
        States of the shape of `inputs`.
    """
    states: Tensor = _LinearScan.apply(decay, inputs)  # type: ignore[no-untyped-call]
    return states


def selective_scan(x: Tensor, step: Tensor, decay: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """`y_t = <C_t, h_t>` with `h_t = exp(step_t decay) h_(t-1) + step_t B_t x_t`, for all `t`.

    The recurrence of the first Mamba: each of `d` coordinates has a state of `n` entries, each with
    a decay of its own. `n` times as many numbers as there are inputs are never held together:
    entries of the state do not meet before `y`, so they are scanned a few at a time, and once more
    for the gradient. Memory is that of the inputs, however long the sequence.

    Args:
        x: `[b, l, d]`.
        step: Positive, `[b, l, d]`.
        decay: Negative, `[d, n]`.
        B: `[b, l, n]`.
        C: `[b, l, n]`.

    Returns:
        `[b, l, d]`, in the precision of `step`.
    """
    inputs = (tensor.to(step.dtype) for tensor in (x, step, decay.T, B, C))
    y: Tensor = _SelectiveScan.apply(*inputs)  # type: ignore[no-untyped-call]
    return y


class _LinearScan(torch.autograd.Function):
    """The gradient is the same recurrence, backwards in time."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, inputs: Tensor) -> Tensor:
        states = _scan(decay, inputs)
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, Tensor]:
        decay, states = ctx.saved_tensors
        by_inputs = _scan_back(decay, grad[0])
        return (by_inputs * _delayed(states)).sum_to_size(decay.shape), by_inputs


class _SelectiveScan(torch.autograd.Function):
    """All `[b, l, entries, d]` exist for a few entries at a time, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, decay: Tensor, B: Tensor, C: Tensor) -> Tensor:
        ctx.save_for_backward(x, step, decay, B, C)
        y, driven = torch.zeros_like(step), step * x
        for some in _blocks(step, len(decay)):
            states = _scan((step[:, :, None] * decay[some]).exp_(), _outer(B[..., some], driven))
            y += _inner(C[..., some], states)
        return y

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, ...]:
        x, step, decay, B, C = ctx.saved_tensors
        driven, by_driven, by_step = step * x, torch.zeros_like(x), torch.zeros_like(step)
        by_decay, by_B, by_C = (torch.empty_like(tensor) for tensor in (decay, B, C))
        for some in _blocks(step, len(decay)):
            decays = (step[:, :, None] * decay[some]).exp_()
            states = _scan(decays, _outer(B[..., some], driven))
            by_C[..., some] = (states * grad[0][:, :, None]).sum(dim=-1)
            by_states = _scan_back(decays, _outer(C[..., some], grad[0]))
            by_B[..., some] = (by_states * driven[:, :, None]).sum(dim=-1)
            by_driven += _inner(B[..., some], by_states)
            by_exponent = decays.mul_(by_states).mul_(_delayed(states))
            by_step += (by_exponent * decay[some]).sum(dim=2)
            by_decay[some] = (by_exponent * step[:, :, None]).sum(dim=(0, 1))
        return by_driven * step, by_step.addcmul_(by_driven, x), by_decay, by_B, by_C


def _scan(decay: Tensor, inputs: Tensor) -> Tensor:
    """`h_t = decay_t * h_(t-1) + inputs_t` over dimension 1."""
    states = torch.empty_like(inputs)
    _scan_into(states, decay, inputs)
    return states


def _scan_into(states: Tensor, decay: Tensor, inputs: Tensor) -> None:
    """Fills `states`.

    Two steps in a row are one step of the same form. So neighbours are joined, the half as many
    joined steps are solved likewise, and the states between follow from these: twice the work of a
    loop, in `2 log2(l)` operations (Blelloch, Prefix sums and their applications, 1990). Nothing
    is divided by a product of decays, however small it becomes.
    """
    length = inputs.shape[1]
    states[:, 0] = inputs[:, 0]
    if length == 1:
        return
    first, second = slice(0, length - 1, 2), slice(1, None, 2)
    joined = torch.addcmul(inputs[:, second], decay[:, second], inputs[:, first])
    _scan_into(states[:, second], decay[:, first] * decay[:, second], joined)
    between, before = slice(2, None, 2), states[:, 1 : length - 1 : 2]
    torch.addcmul(inputs[:, between], decay[:, between], before, out=states[:, between])


def _scan_back(decay: Tensor, grad: Tensor) -> Tensor:
    """`g_t = grad_t + decay_(t+1) * g_(t+1)`: the gradient by every state."""
    # The first decay meets no state, and the last time has none after it: any may stand there.
    later = decay.roll(-1, dims=1)
    return _scan(later.flip(1), grad.flip(1)).flip(1)


def _delayed(states: Tensor) -> Tensor:
    """States one time earlier, zero at first."""
    delayed = torch.zeros_like(states)
    delayed[:, 1:] = states[:, :-1]
    return delayed


def _outer(entries: Tensor, coordinates: Tensor) -> Tensor:
    """`[b, l, k]` and `[b, l, d]` to `[b, l, k, d]`."""
    return entries[..., None] * coordinates[:, :, None]


def _inner(entries: Tensor, states: Tensor) -> Tensor:
    """`[b, l, k]` and `[b, l, k, d]` to `[b, l, d]`."""
    return (entries[..., None] * states).sum(dim=2)


def _blocks(step: Tensor, entries: int) -> list[slice]:
    size = max(1, BLOCK.get(step.device.type, BLOCK_ELSEWHERE) // max(1, step.numel()))
    return [slice(begin, begin + size) for begin in range(0, entries, size)]
