"""Losses against torch's own, value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from tastebench.training import losses
from tastebench.training.losses import (
    gbce_beta,
    in_batch_cross_entropy,
    linear_cross_entropy,
    sampled_binary_cross_entropy,
    sampled_cross_entropy,
    shared_cross_entropy,
)
from tastebench.training.negatives import ItemDraws


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


@pytest.mark.parametrize("rows", [1, 10, 37, 500])
def test_rows_that_are_taken_at_once_change_nothing(rows: int) -> None:
    states, table, targets = problem()
    ours = linear_cross_entropy(states, table, targets, 2.0, rows=rows)
    whole = functional.cross_entropy(2.0 * states @ table.T, targets)
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (states, table)), torch.autograd.grad(whole, (states, table))
    )


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
    assert (others == own[:, None]).any()  # drawn although it is right: no negative
    logits[:, 1:] = logits[:, 1:].masked_fill(others == own[:, None], float("-inf"))
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


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("numbers", [1, 100, 1 << 21])
def test_sampled_bce_equals_its_definition(
    numbers: int, beta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_LOGITS", numbers)
    states, table, own = problem()
    others = torch.randint(50, (37, 9), generator=torch.Generator().manual_seed(2))
    hit = others == own[:, None]
    assert hit.any()
    ours = sampled_binary_cross_entropy(states, table, own, others, 0.7, beta) * 2
    right = torch.sigmoid(0.7 * (states * table[own]).sum(dim=-1))
    wrong = torch.sigmoid(0.7 * (states[:, None] * table[others]).sum(dim=-1))
    per_row = -(beta * right.log() + ((1 - wrong).log() * ~hit).sum(dim=1)) / 10
    whole = per_row.mean() * 2
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (states, table)), torch.autograd.grad(whole, (states, table))
    )


def test_bce_by_hand() -> None:
    """Kang and McAuley's two terms, of which this is the mean."""
    states, table = torch.tensor([[1.0]]), torch.tensor([[2.0], [-1.0]])
    found = sampled_binary_cross_entropy(states, table, torch.tensor([0]), torch.tensor([[1]]))
    terms = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))
    assert found.item() == pytest.approx(terms / 2)


def test_bce_of_scores_far_out_stays_finite() -> None:
    states = torch.tensor([[1e4]], requires_grad=True)
    table = torch.tensor([[-1.0], [1.0]], requires_grad=True)
    loss = sampled_binary_cross_entropy(states, table, torch.tensor([0]), torch.tensor([[1]]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert torch.isfinite(table.grad).all()


@pytest.mark.parametrize(
    ("negatives", "n_items", "t", "beta"),
    [
        (1, 101, 0.0, 1.0),  # alpha = 0.01; not calibrated is BCE
        (1, 101, 1.0, 0.01),  # all of it: beta is alpha
        (25, 101, 0.75, 0.4375),  # 0.25 (0.75 (1 - 4) + 4) = 0.25 * 1.75
        (100, 101, 0.75, 1.0),  # nothing left out, nothing overconfident
        (256, 11, 0.75, 1.0),  # more draws than there are negatives
    ],
)
def test_beta_of_gbce_by_hand(negatives: int, n_items: int, t: float, beta: float) -> None:
    assert gbce_beta(negatives, n_items, t) == pytest.approx(beta)
    alpha = negatives / (n_items - 1)
    if alpha <= 1:
        assert gbce_beta(negatives, n_items, t) == pytest.approx(
            alpha * (t * (1 - 1 / alpha) + 1 / alpha)
        )


@pytest.mark.parametrize("rows", [1, 5, 128])
@pytest.mark.parametrize("corrected", [True, False])
def test_shared_softmax_equals_its_definition(
    rows: int, corrected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "CHUNK_ROWS", rows)
    monkeypatch.setattr(losses, "CHUNK_LOGITS", 1)
    states, table, own = problem()
    drawn = torch.tensor([3, 3, 7, 11, 49, 0])
    same = own[:, None] == drawn
    assert same.any()
    log_expected = torch.linspace(-1, 1, 6) if corrected else None
    picked = table[drawn].detach().requires_grad_(), table[own].detach().requires_grad_()
    ours = shared_cross_entropy(states, *picked, same, log_expected, 3.0) * 2
    others = (3.0 * states @ picked[0].T - (log_expected if corrected else 0)).exp() * ~same
    right = (3.0 * (states * picked[1]).sum(dim=1)).exp()
    whole = -(right / (right + others.sum(dim=1))).log().mean() * 2
    torch.testing.assert_close(ours, whole)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (states, *picked)), torch.autograd.grad(whole, (states, *picked))
    )


def test_every_class_drawn_once_is_the_whole_softmax() -> None:
    states, table, own = problem()
    every = torch.arange(50)
    ours = shared_cross_entropy(
        states, table, table[own], own[:, None] == every, torch.zeros(50), 2.0
    )
    torch.testing.assert_close(ours, linear_cross_entropy(states, table, own, 2.0))


def corrected_gradient(
    draws: ItemDraws, k: int, seed: int, *, corrected: bool = True
) -> tuple[float, torch.Tensor]:
    """One sampled softmax and its gradient by the states."""
    states, table, own = problem()
    states, table = (states * 0.5).detach().requires_grad_(), table.detach()
    drawn = torch.from_numpy(draws.draw(np.random.default_rng(seed), k))
    correction = torch.from_numpy(draws.log_expected(k))[drawn] if corrected else None
    loss = shared_cross_entropy(states, table[drawn], table[own], own[:, None] == drawn, correction)
    return loss.item(), torch.autograd.grad(loss, states)[0]


def skewed() -> ItemDraws:
    """Class j is drawn as often as 1 + j % 9 says."""
    return ItemDraws(50, np.repeat(np.arange(50), 1 + np.arange(50) % 9))


@pytest.mark.parametrize("draws", [ItemDraws(50), skewed()], ids=["uniform", "skewed"])
def test_corrected_sampling_nears_the_whole_softmax(draws: ItemDraws) -> None:
    """The sum over what is drawn is right on average, so only its logarithm is off, by O(1/k)."""
    states, table, own = problem()
    states = (states * 0.5).detach().requires_grad_()
    exact = linear_cross_entropy(states, table.detach(), own)
    gradient = torch.autograd.grad(exact, states)[0]
    off = []
    for k in (20, 200, 2000):
        found = [corrected_gradient(draws, k, seed) for seed in range(60)]
        mean = torch.stack([g for _, g in found]).mean(dim=0)
        off.append(
            (
                abs(np.mean([loss for loss, _ in found]) - exact.item()),
                ((mean - gradient).norm() / gradient.norm()).item(),
            )
        )
    assert off[2][0] < 0.01 * exact.item()
    assert off[2][1] < 0.02
    assert off[0][0] > 2 * off[1][0] > 4 * off[2][0]
    assert off[0][1] > 2 * off[1][1] > 4 * off[2][1]


def test_the_sum_under_the_fraction_is_unbiased() -> None:
    """Mean of the drawn and corrected sum against the sum over all other classes."""
    states, table, own = (t.detach() for t in problem())
    draws, k = skewed(), 8
    logits = states @ table.T * 0.5
    expected = logits.exp().sum(dim=1) - logits.exp().gather(1, own[:, None])[:, 0]
    drawn = torch.from_numpy(draws.draw(np.random.default_rng(0), 40_000, k))
    weight = (logits[:, drawn] - torch.from_numpy(draws.log_expected(k))[drawn]).exp()
    weight = weight * (drawn != own[:, None, None])
    sums = weight.sum(dim=2)  # [row, repetition]
    error = sums.std(dim=1) / 200  # of a mean of 40,000
    assert ((sums.mean(dim=1) - expected).abs() < 4 * error).all()


def test_without_the_correction_what_is_drawn_often_is_pushed_down() -> None:
    """The same long run, uncorrected, ends elsewhere: the correction does something."""
    states, table, own = problem()
    states = (states * 0.5).detach().requires_grad_()
    exact = torch.autograd.grad(linear_cross_entropy(states, table.detach(), own), states)[0]
    wrong = corrected_gradient(skewed(), 100_000, 0, corrected=False)[1]
    right = corrected_gradient(skewed(), 100_000, 0)[1]
    assert (wrong - exact).norm() > 10 * (right - exact).norm()
