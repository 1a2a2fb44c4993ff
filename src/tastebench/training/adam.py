"""Adam for dense gradients, and for the rows of a table that a step touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, overload, runtime_checkable

import torch
from torch import Tensor, nn

from tastebench.training.settings import TrainSettings


@runtime_checkable
class HasOwnRates(Protocol):
    """A module some of whose parameters learn at a rate of their own."""

    def own_rates(self, settings: Any) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters and their learning rate; all others have that of the settings."""
        ...


def adam(module: nn.Module, settings: TrainSettings) -> RowAdam:
    """The optimiser of everything in a module that learns."""
    own = module.own_rates(settings) if isinstance(module, HasOwnRates) else []
    groups: list[dict[str, Any]] = [{"params": some, "lr": lr} for some, lr in own if some]
    apart = {id(parameter) for group in groups for parameter in group["params"]}
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups.append({"params": [p for p in trainable if id(p) not in apart]})
    return RowAdam(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)


class RowAdam(torch.optim.Adam):
    """`torch.optim.Adam`; a parameter whose gradient is sparse moves in the rows it holds alone.

    There it is `torch.optim.SparseAdam` ("lazy" Adam): moments of other rows neither decay nor
    move anything, and the bias correction counts all steps. A step then costs what it touched.
    Measured with SASRec over 1,000,000 items of 64 numbers, 2,048 targets and 1,024 drawn items a
    step, on one core: a step takes 0.08 s and not 0.46 s, and the table's gradient holds at most
    2 MB and not 256 MB. The table and both moments are 256 MB each either way.
    """

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step, by dense and by sparse gradients."""
        touched = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    touched.append((parameter, parameter.grad.coalesce(), group))
                    parameter.grad = None  # Adam itself passes over it
        loss: float | None = super().step(closure)
        for parameter, gradient, group in touched:
            self._move_rows(parameter, gradient, group)
        return loss

    def _move_rows(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        slots = self.state[parameter]
        if not slots:
            slots["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            slots["exp_avg"] = torch.zeros_like(parameter)
            slots["exp_avg_sq"] = torch.zeros_like(parameter)
        slots["step"] += 1
        rows, values = gradient.indices()[0], gradient.values()
        beta1, beta2 = group["betas"]
        mean = torch.lerp(slots["exp_avg"][rows], values, 1 - beta1)
        square = torch.lerp(slots["exp_avg_sq"][rows], values * values, 1 - beta2)
        slots["exp_avg"][rows], slots["exp_avg_sq"][rows] = mean, square
        step = slots["step"].item()
        root = square.sqrt_().div_((1 - beta2**step) ** 0.5).add_(group["eps"])
        parameter.index_add_(0, rows, mean.div_(root), alpha=-group["lr"] / (1 - beta1**step))
