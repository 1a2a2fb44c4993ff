"""Losses against torch's own, value and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tastebench.training import losses
from tastebench.training.losses import (
    in_batch_cross_entropy,
    linear_cross_entropy,
    sampled_cross_entropy,
)


def problem(n: int = 37, classes: int = 50, width: int = 6) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(n, width, generator=draw, requires_grad=True)
    table = torch.randn(classes, width, generator=draw, requires_grad=True)
    return states, table, torch.randint(classes, (n,), generator=draw)


@pytest.mark.parametrize("rows", [1, 5, 128])
@pytest.mark.parametrize("scale", [1.0, 14.3])
def test_chunked_softmax_equals_the_whole_one(
    rows: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_ROWS", rows)
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 1)
    states, table, targets = problem()
    ours = linear_cross_entropy(states, table, targets, scale) * 3  # a gradient that is not one
    grads = torch.autograd.grad(ours, (states, table))
    whole = functional.cross_entropy(scale * states @ table.T, targets) * 3
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(grads, torch.autograd.grad(whole, (states, table)))


def test_ignored_classes_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK_ROWS", 5)
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 1)
    states, table, targets = problem()
    ignore = torch.rand(len(states), len(table), generator=torch.Generator().manual_seed(1)) < 0.5
    ignore[torch.arange(len(targets)), targets] = False
    ours = linear_cross_entropy(states, table, targets, 2.0, ignore)
    logits = (2.0 * states @ table.T).masked_fill(ignore, float("-inf"))
    whole = functional.cross_entropy(logits, targets)
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (states, table)), torch.autograd.grad(whole, (states, table))
    )


def test_states_that_are_the_table_get_both_gradients() -> None:
    _, table, targets = problem(n=50)
    (ours,) = torch.autograd.grad(linear_cross_entropy(table, table, targets), table)
    (whole,) = torch.autograd.grad(functional.cross_entropy(table @ table.T, targets), table)
    torch.testing.assert_close(ours, whole)


def test_huge_logits_stay_finite() -> None:
    states = torch.full((1, 1), 1e4, requires_grad=True)
    table = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = linear_cross_entropy(states, table, torch.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(table.grad).all()


def test_bf16_is_close() -> None:
    states, table, targets = problem()
    exact = linear_cross_entropy(states, table, targets)
    with torch.autocast("cpu", torch.bfloat16):
        fast = linear_cross_entropy(states, table, targets)
    assert fast.dtype == torch.float32
    assert fast.item() != exact.item()
    assert fast.item() == pytest.approx(exact.item(), rel=1e-2)
    for mine, other in zip(
        torch.autograd.grad(fast, (states, table)),
        torch.autograd.grad(exact, (states, table)),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=0.1, atol=2e-3)


def test_a_mean_over_nothing_is_refused() -> None:
    states, table, targets = problem()
    with pytest.raises(ValueError, match="no targets"):
        linear_cross_entropy(states[:0], table, targets[:0])


def test_in_batch_loss_of_one_pair_is_zero() -> None:
    one = torch.tensor([[0.6, 0.8]])
    assert in_batch_cross_entropy(one, one, 0.15).item() == 0


def test_in_batch_loss_by_hand() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    # cosines [[1, .6], [0, .8]] over 0.5; each row's own is on the diagonal
    rows = [math.log(1 + math.exp((0.6 - 1) / 0.5)), math.log(1 + math.exp((0 - 0.8) / 0.5))]
    assert in_batch_cross_entropy(queries, items, 0.5).item() == pytest.approx(sum(rows) / 2)


def test_known_positives_leave_the_denominator() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    ignore = torch.tensor([[False, True], [False, False]])
    expected = math.log(1 + math.exp((0 - 0.8) / 0.5)) / 2  # the first row has no negative left
    assert in_batch_cross_entropy(queries, items, 0.5, ignore).item() == pytest.approx(expected)


@pytest.mark.parametrize("numbers", [1, 100, 1 << 21])
def test_sampled_softmax_equals_its_definition(
    numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_LOGITS", numbers)
    states, table, own = problem()
    others = torch.randint(50, (37, 9), generator=torch.Generator().manual_seed(2))
    assert any(len(set(row)) < 9 for row in others.tolist())  # what is drawn twice counts twice
    ours = sampled_cross_entropy(states, table, own, others, 3.0) * 2
    picked = table[torch.cat([own[:, None], others], dim=1)]
    logits = 3.0 * (picked * states[:, None]).sum(dim=-1)
    whole = (logits.exp().sum(dim=1).log() - logits[:, 0]).mean() * 2
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (states, table)), torch.autograd.grad(whole, (states, table))
    )


def test_sampled_softmax_against_every_class_is_the_whole_softmax() -> None:
    states, table, own = problem()
    every = torch.arange(50).expand(37, 50)
    others = every[every != own[:, None]].view(37, 49)
    torch.testing.assert_close(
        sampled_cross_entropy(states, table, own, others, 2.0),
        linear_cross_entropy(states, table, own, 2.0),
    )
