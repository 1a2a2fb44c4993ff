"""Learning rates that rise from zero, and gradients that are cut to a length.

Soft tokens are new to a model that is not: a large first step may end in what it does not come back
from, and a q-former's does (UQABench reports losses that are NaN).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tastebench.errors import UsageError


@contextmanager
def careful_steps(module: nn.Module, warmup: int, clip: float | None) -> Iterator[None]:
    """Within, optimisers of `module` warm up and are given gradients that are not too long.

    In step `t`, counted from 1, a learning rate is `min(1, t / warmup)` of what it is set to. Steps
    are counted where the optimiser counts them, so that a fit that is taken up again goes on where
    it was.

    Args:
        module: What is trained; other optimisers are left alone.
        warmup: Steps; 0 for none.
        clip: Longest gradient over all parameters together; None lets it be.

    Raises:
        UsageError: Within, when a gradient is no longer finite.
    """
    mine = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}

    def prepare(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        groups = optimizer.param_groups
        trained = [p for group in groups for p in group["params"] if id(p) in mine]
        if not trained:
            return
        _refuse_what_is_not_finite(trained, clip)
        if warmup:
            share = min(1.0, (_steps(optimizer) + 1) / warmup)
            for group in groups:
                group.setdefault("own_lr", group["lr"])
                group["lr"] = share * group["own_lr"]

    handle = register_optimizer_step_pre_hook(prepare)
    try:
        yield
    finally:
        handle.remove()


def _refuse_what_is_not_finite(trained: list[Any], clip: float | None) -> None:
    """Cuts gradients to the length allowed, if they have one."""
    length = nn.utils.clip_grad_norm_(trained, float("inf") if clip is None else clip)
    if not torch.isfinite(length):
        raise UsageError(
            f"training diverged: the gradient's length is {length.item()}",
            fix="a lower lr, a longer warmup, a smaller clip, or of soft tokens adapter: mean",
        )


def _steps(optimizer: torch.optim.Optimizer) -> int:
    """Steps that were taken."""
    slots: Any = next(iter(optimizer.state.values()), {})
    return int(slots.get("step", 0))
