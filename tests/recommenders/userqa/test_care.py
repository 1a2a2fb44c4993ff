"""Warm-up, clipping, and losses that are no numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.recommenders.userqa.care import careful_steps
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig
from tastebench.training.adam import RowAdam
from tastebench.training.fit import FabricTrainer
from tastebench.training.settings import TrainSettings


def step(module: nn.Linear, optimizer: torch.optim.Optimizer, slope: float = 1.0) -> list[float]:
    """One step with the same gradient everywhere; how far each weight moved."""
    before = module.weight.detach().clone()
    module.weight.grad = torch.full_like(module.weight, slope)
    optimizer.step()
    moved: list[float] = (before - module.weight.detach()).flatten().tolist()
    return moved


def linear() -> nn.Linear:
    return nn.Linear(4, 1, bias=False)


def test_rates_rise_in_equal_steps() -> None:
    """Of a constant gradient Adam moves by its rate in every step."""
    module = linear()
    optimizer = RowAdam(module.parameters(), lr=0.1, fused=True)
    with careful_steps(module, warmup=4, clip=None):
        moved = [step(module, optimizer)[0] for _ in range(6)]
    assert moved == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rel=1e-4)


def test_groups_keep_their_own_rates() -> None:
    module, other = linear(), linear()
    both = nn.ModuleList([module, other])
    groups: list[dict[str, Any]] = [
        {"params": module.parameters(), "lr": 0.4},
        {"params": other.parameters()},
    ]
    optimizer = RowAdam(groups, lr=0.2, fused=True)
    other.weight.grad = torch.ones_like(other.weight)
    before = other.weight.detach().clone()
    with careful_steps(both, warmup=2, clip=None):
        assert step(module, optimizer)[0] == pytest.approx(0.2, rel=1e-4)
    assert (before - other.weight)[0, 0].item() == pytest.approx(0.1, rel=1e-4)


def test_gradients_are_cut_to_a_length_over_all() -> None:
    module = linear()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    with careful_steps(module, warmup=0, clip=1.0):
        assert step(module, optimizer, slope=3.0) == pytest.approx([0.5] * 4, rel=1e-4)
        assert step(module, optimizer, slope=0.25) == pytest.approx([0.25] * 4, rel=1e-4)


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_no_number_is_an_error_with_advice(clip: float | None) -> None:
    module = linear()
    optimizer = RowAdam(module.parameters(), lr=0.1, fused=True)
    with (
        careful_steps(module, warmup=0, clip=clip),
        pytest.raises(UsageError, match=r"gradient's length is nan(.|\n)*a longer warmup"),
    ):
        step(module, optimizer, slope=float("nan"))
    # What is advised is what the settings are called.
    UserEmbeddingConfig(model="m", adapter="mean", lr=1e-5, warmup=500, clip=0.5)


def test_other_optimisers_and_later_steps_are_left_alone() -> None:
    module, other = linear(), linear()
    mine, foreign = (torch.optim.SGD(m.parameters(), lr=1.0) for m in (module, other))
    with careful_steps(module, warmup=0, clip=1e-3):
        assert step(other, foreign, slope=3.0) == pytest.approx([3.0] * 4, rel=1e-4)
    assert step(module, mine, slope=3.0) == pytest.approx([3.0] * 4, rel=1e-4)


class _StopError(Exception):
    pass


def test_a_fit_that_is_taken_up_again_warms_up_where_it_was(tmp_path: Path) -> None:
    """Interrupted in its second epoch, within the warm-up, and whole: the same weights."""

    def fit(directory: Path | None, stop_at: int | None) -> Tensor:
        torch.manual_seed(0)
        module, steps = linear(), 0

        def batches(rng: np.random.Generator) -> Iterable[Tensor]:
            return (torch.from_numpy(rng.normal(size=4).astype(np.float32)) for _ in range(3))

        def loss(batch: Tensor) -> Tensor:
            nonlocal steps
            steps += 1
            if steps == stop_at:
                raise _StopError
            value: Tensor = module(batch).square().sum()
            return value

        settings = TrainSettings(epochs=3, lr=0.1, device="cpu")
        trainer = FabricTrainer(seed=0, directory=directory, save_every=0.0)
        with careful_steps(module, warmup=8, clip=1.0):
            trainer.fit(module, settings, batches, loss)
        return module.weight.detach()

    with pytest.raises(_StopError):
        fit(tmp_path, 5)
    torch.testing.assert_close(fit(tmp_path, None), fit(None, None), atol=0, rtol=0)
