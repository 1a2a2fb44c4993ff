"""The tower and what it is made of: one step for relu and dropout, logits over several vectors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from tastebench.recommenders.ctr.predictors.mlp import Logit, Norm, Tower, relu_dropout
from tastebench.recommenders.ctr.predictors.settings import TowerConfig
from tastebench.training.dropout import keep_mask


def tower(**given: Any) -> Tower:
    torch.manual_seed(0)
    return Tower(5, TowerConfig(tower=(7, 6), **given))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_relu_and_dropout_in_one_step_are_the_two_one_after_the_other(p: float) -> None:
    x = torch.randn(50, 41, requires_grad=True)
    weights = torch.randn(50, 41)
    torch.manual_seed(1)
    ours = relu_dropout(x * 2, p)
    (grad,) = torch.autograd.grad((ours * weights).sum(), x)
    torch.manual_seed(1)
    keep, scale = keep_mask(x.shape, p, x.device)
    theirs = functional.relu(x * 2) * keep * scale
    (expected,) = torch.autograd.grad((theirs * weights).sum(), x)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(grad, expected)
    assert 0.3 < (ours == 0).float().mean() < 0.9


def test_writing_over_what_a_gradient_needs_is_refused() -> None:
    """It is done in place, and torch is told so: no gradient is quietly wrong."""
    x = torch.randn(9, 4, requires_grad=True)
    needed = x.exp()
    relu_dropout(needed, 0.5).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        needed.sum().backward()


def test_no_dropout_is_relu() -> None:
    x = torch.randn(9, 4, requires_grad=True)
    assert torch.equal(relu_dropout(x * 1, 0.0), functional.relu(x))
    tiny = 1e-6  # rounds to no dropout at all
    assert torch.equal(relu_dropout(x * 1, tiny), functional.relu(x))


def test_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    assert relu_dropout(torch.ones(400, 500), 0.3).mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_tower_layer_by_layer(activation: str, batch_norm: bool) -> None:
    ours = tower(activation=activation, batch_norm=batch_norm, dropout=0.0)
    x = torch.randn(8, 5)
    hidden = x
    for layer in ours.layers:
        hidden = layer(hidden)
        if batch_norm:
            hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
        hidden = getattr(functional, activation)(hidden)
    torch.testing.assert_close(ours(x), ours.logit(hidden)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["prelu", "dice"])
def test_an_activation_learns(activation: str) -> None:
    ours = tower(activation=activation)
    assert sum(p.numel() for p in ours.parameters()) == 5 * 7 + 7 + 7 * 6 + 6 + 6 + 1 + 7 + 6
    ours(torch.randn(8, 5)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in ours.parameters())


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_dropout_follows_every_layer_in_training_alone(activation: str, batch_norm: bool) -> None:
    ours = tower(activation=activation, batch_norm=batch_norm, dropout=0.5)
    x = torch.randn(8, 5)
    assert not torch.equal(ours(x), ours(x))
    ours.eval()
    assert torch.equal(ours(x), ours(x))


def test_widths_and_no_logit() -> None:
    config = TowerConfig(tower=(7, 6))
    assert Tower(5, config, logit=False)(torch.randn(3, 5)).shape == (3, 6)
    assert Tower(5, config, widths=(4,), logit=False)(torch.randn(3, 5)).shape == (3, 4)


def test_a_batch_of_one_is_normalised_by_running_statistics() -> None:
    ours, x = Norm(3), torch.randn(20, 3) * 3 + 1
    for _ in range(200):
        ours(x)
    mean = ours.running_mean.clone()
    one = ours(x[:1])
    torch.testing.assert_close(one, ours.eval()(x[:1]))
    torch.testing.assert_close(one, ((x[:1] - x.mean(0)) / x.std(0)), rtol=1e-3, atol=1e-3)
    assert torch.equal(ours.running_mean, mean)


def test_a_logit_over_vectors_is_one_over_them_joined() -> None:
    ours, vectors = Logit(3, 2, 4), [torch.randn(6, width) for width in (3, 2, 4)]
    torch.testing.assert_close(ours(*vectors), ours.linear(torch.cat(vectors, dim=1))[:, 0])
    alone = Logit(3)
    torch.testing.assert_close(alone(vectors[0]), alone.linear(vectors[0])[:, 0])


def test_a_logit_wants_all_its_vectors() -> None:
    with pytest.raises(ValueError, match="zip"):
        Logit(3, 2)(torch.randn(6, 3))
