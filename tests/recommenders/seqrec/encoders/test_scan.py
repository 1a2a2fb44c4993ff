"""Scans against plain loops, their gradients against finite differences."""

from __future__ import annotations

import pytest
import torch

from tastebench.recommenders.seqrec.encoders import scan
from tastebench.recommenders.seqrec.encoders.scan import linear_scan, selective_scan

LENGTHS = [1, 2, 3, 4, 7, 8, 33, 100]


def loop(decay: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    state, states = torch.zeros_like(inputs[:, 0]), []
    for t in range(inputs.shape[1]):
        state = decay[:, t] * state + inputs[:, t]
        states.append(state)
    return torch.stack(states, dim=1)


def selective_loop(
    x: torch.Tensor, step: torch.Tensor, decay: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> torch.Tensor:
    state, outputs = x.new_zeros(len(x), *decay.shape), []
    for t in range(x.shape[1]):
        state = torch.exp(step[:, t, :, None] * decay) * state
        state = state + (step[:, t] * x[:, t])[:, :, None] * B[:, t, None, :]
        outputs.append((state * C[:, t, None, :]).sum(dim=-1))
    return torch.stack(outputs, dim=1)


def drawn(b: int, length: int, d: int, n: int, double: bool = False) -> list[torch.Tensor]:
    torch.manual_seed(length)
    given = [
        torch.randn(b, length, d),
        torch.rand(b, length, d) + 0.01,
        -torch.rand(d, n) * 3,
        torch.randn(b, length, n),
        torch.randn(b, length, n),
    ]
    return [(t.double() if double else t).requires_grad_() for t in given]


@pytest.mark.parametrize("length", LENGTHS)
def test_equals_the_loop(length: int) -> None:
    torch.manual_seed(length)
    decay, inputs = torch.rand(2, length, 3, 4), torch.randn(2, length, 3, 4)
    torch.testing.assert_close(linear_scan(decay, inputs), loop(decay, inputs))


@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_equal_those_of_the_loop(length: int) -> None:
    torch.manual_seed(length)
    decay = torch.rand(2, length, 3, 1, requires_grad=True)
    inputs = torch.randn(2, length, 3, 4, requires_grad=True)
    weights = torch.randn(2, length, 3, 4)
    ours = torch.autograd.grad((linear_scan(decay, inputs) * weights).sum(), (decay, inputs))
    theirs = torch.autograd.grad((loop(decay, inputs) * weights).sum(), (decay, inputs))
    torch.testing.assert_close(ours, theirs)


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(0)
    decay = torch.rand(2, 6, 3, dtype=torch.double, requires_grad=True)
    inputs = torch.randn(2, 6, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(linear_scan, (decay, inputs))
    assert torch.autograd.gradcheck(selective_scan, drawn(2, 6, 3, 4, double=True))


def test_what_is_forgotten_at_once_stays_finite() -> None:
    """Products of decays are zero in float32 here: whatever divides by them is lost."""
    decay = torch.full((1, 300, 1), 1e-30, requires_grad=True)
    inputs = torch.ones(1, 300, 1, requires_grad=True)
    states = linear_scan(decay, inputs)
    torch.testing.assert_close(states, torch.ones_like(states))
    states.sum().backward()
    assert decay.grad is not None and decay.grad.isfinite().all()


def test_what_is_never_forgotten_is_a_sum() -> None:
    states = linear_scan(torch.ones(1, 9, 1), torch.arange(1.0, 10).view(1, 9, 1))
    assert states.flatten().tolist() == [1, 3, 6, 10, 15, 21, 28, 36, 45]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_selective_recurrence_equals_its_loop(length: int) -> None:
    given = drawn(2, length, 3, 5)
    weights = torch.randn(2, length, 3)
    ours, theirs = selective_scan(*given), selective_loop(*given)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weights).sum(), given),
        torch.autograd.grad((theirs * weights).sum(), given),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("block", [1, 40, 10**9])
def test_how_many_entries_are_scanned_together_changes_nothing(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, two (the last alone) or all five at a time."""
    given = drawn(2, 3, 3, 5)
    whole = selective_scan(*given)
    grads = torch.autograd.grad(whole.square().sum(), given)
    monkeypatch.setitem(scan.BLOCK, "cpu", block)
    parts = selective_scan(*given)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(torch.autograd.grad(parts.square().sum(), given), grads)


def test_states_of_a_long_sequence_are_never_all_there() -> None:
    """All of them would be 16 times the inputs; what is kept for the gradient is the inputs."""
    given = drawn(1, 4096, 16, 16)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (kept.append(t.numel()), t)[1], lambda t: t
    ):
        selective_scan(*given)
    assert sum(kept) <= sum(t.numel() for t in given)
