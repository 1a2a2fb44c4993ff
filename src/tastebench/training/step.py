"""A step of the optimiser by the mean gradient of some batches, whoever computes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.training.team import Team

_NONE, _DENSE, _SPARSE = 0, 1, 2


class Step:
    """Steps of a fit, one after the other; each is `begin`, `computed` for each batch, `take`.

    Gradients are averaged here, after the backward passes, and not by `DistributedDataParallel`:
    what is trained is a loss of the recommender's, which need not call the module's forward, and
    that wrapper averages only what went through it.

    What batches leave behind in the module's state (running means and counts of batch
    normalisation) is averaged in the same way: each batch meets that of the step before.

    Args:
        module: What is trained.
        optimizer: Of its parameters.
        team: Who shares the batches of a step.
        accumulate: Batches of a step.
    """

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, team: Team, accumulate: int
    ) -> None:
        self.optimizer, self.team = optimizer, team
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.left: list[Tensor] = []
        if accumulate > 1 or team.size > 1:
            kept = module.state_dict()
            self.left = [b for name, b in module.named_buffers() if name in kept]
        self._before: list[Tensor] = []
        self._sums: list[Tensor] = []

    def begin(self) -> None:
        """Before the first batch."""
        self.optimizer.zero_grad(set_to_none=True)
        self._before = [buffer.clone() for buffer in self.left]
        self._sums = [torch.zeros_like(buffer) for buffer in self.left]

    def computed(self) -> None:
        """After the backward pass of a batch of this process's."""
        for buffer, total, before in zip(self.left, self._sums, self._before, strict=True):
            # Counts add up; of means there is one a batch.
            total.add_(buffer if buffer.is_floating_point() else buffer - before)
            buffer.copy_(before)

    def take(self, batches: int) -> None:
        """The step, after `batches` of all processes."""
        self._add_up()
        if batches > 1:
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad = _divided(parameter.grad, batches)
        for buffer, total in zip(self.left, self._sums, strict=True):
            if buffer.is_floating_point():
                buffer.copy_(total / batches)
            else:
                buffer.add_(total)
        self.optimizer.step()

    def _add_up(self) -> None:
        """Adds up the gradients of all processes, and what their batches left behind."""
        if self.team.size == 1:
            return
        # A parameter that no batch came by has no gradient, and Adam then leaves it as it is.
        kinds = self.team.greatest([_kind(p.grad) for p in self.parameters])
        dense = []
        for parameter, kind in zip(self.parameters, kinds, strict=True):
            if kind == _SPARSE:
                parameter.grad = self._joined(parameter)
            elif kind == _DENSE:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dense.append(parameter.grad)
        self.team.sum([*dense, *self._sums])

    def _joined(self, parameter: Tensor) -> Tensor:
        """The rows that batches touched, of all processes one after the other."""
        grad = parameter.grad
        if grad is None:
            rows = torch.empty(0, dtype=torch.int64, device=parameter.device)
            values = parameter.new_empty((0, *parameter.shape[1:]))
        else:
            rows, values = grad._indices()[0], grad._values()
        rows, values = self.team.joined(rows), self.team.joined(values)
        return _sparse(rows, values, parameter)


def _kind(grad: Tensor | None) -> int:
    if grad is None:
        return _NONE
    return _SPARSE if grad.is_sparse else _DENSE


def _divided(grad: Tensor, batches: int) -> Tensor:
    if grad.is_sparse:
        return _sparse(grad._indices()[0], grad._values() / batches, grad)
    return grad.div_(batches)


def _sparse(rows: Tensor, values: Tensor, like: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(rows[None], values, like.shape, check_invariants=False)
