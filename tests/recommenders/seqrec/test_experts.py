"""The mixture of experts against its definition, expert by expert."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tastebench.recommenders.seqrec import experts
from tastebench.recommenders.seqrec.experts import WhiteningExperts
from tastebench.training.dropout import keep_mask

N, D, H, G = 23, 5, 6, 4


def adaptor(dropout: float = 0.0) -> WhiteningExperts:
    torch.manual_seed(0)
    made = WhiteningExperts(D, H, experts=G, dropout=dropout)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.7)
    return made


def definition(a: WhiteningExperts, x: Tensor, gates: Tensor, dropped: Tensor) -> Tensor:
    """`sum_k g_k W_k (Dropout_k(x) - b_k)`, one expert after the other."""
    return sum(
        gates[:, k : k + 1] * ((dropped[:, k] - a.shift[k]) @ a.weight[:, k].T) for k in range(G)
    )


def grads(out: Tensor, a: WhiteningExperts, weights: Tensor) -> tuple[Tensor, ...]:
    inputs = (a.weight, a.shift, a.gate)
    return torch.autograd.grad((out * weights).sum(), inputs, retain_graph=True)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_equals_the_definition_with_its_gradients(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experts, "CHUNK", rows * D * G)
    a = adaptor().eval()
    x, weights = torch.randn(N, D), torch.randn(N, H)
    ours = a(x)
    plain = definition(a, x, (x @ a.gate).softmax(dim=-1), x[:, None, :].expand(N, G, D))
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(grads(ours, a, weights), grads(plain, a, weights))


def test_each_expert_draws_its_own_dropout_and_the_gate_its_noise() -> None:
    a = adaptor(dropout=0.4).train()
    x, weights = torch.randn(N, D), torch.randn(N, H)
    torch.manual_seed(1)
    ours = a(x)
    torch.manual_seed(1)
    deviation = torch.nn.functional.softplus(x @ a.noise) + 0.01
    gates = (x @ a.gate + torch.randn(N, G) * deviation).softmax(dim=-1)
    keep, scale = keep_mask((N, G, D), 0.4, x.device)
    assert keep is not None and not torch.equal(keep[:, 0], keep[:, 1])
    plain = definition(a, x, gates, x[:, None, :] * keep * scale)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(grads(ours, a, weights), grads(plain, a, weights))
    (ours_noise,) = torch.autograd.grad((ours * weights).sum(), a.noise)
    (plain_noise,) = torch.autograd.grad((plain * weights).sum(), a.noise)
    torch.testing.assert_close(ours_noise, plain_noise)


def test_zero_gates_give_the_mean_of_the_experts() -> None:
    """T12."""
    a = adaptor().eval()
    with torch.no_grad():
        a.gate.zero_()
    x = torch.randn(N, D)
    each = [(x - a.shift[k]) @ a.weight[:, k].T for k in range(G)]
    torch.testing.assert_close(a(x), torch.stack(each).mean(dim=0))


def test_gates_and_shifts_begin_at_zero() -> None:
    a = WhiteningExperts(D, H, experts=G, dropout=0.2)
    assert not a.gate.any() and not a.noise.any() and not a.shift.any()
    assert a.weight.std().item() == pytest.approx(0.02, rel=0.4)


def test_gradients_reach_every_parameter() -> None:
    """T12: the matrices, shifts and gates, and the noise of the gates."""
    a = WhiteningExperts(D, H, experts=G, dropout=0.2).train()
    (a(torch.randn(N, D)) ** 2).sum().backward()
    for name, parameter in a.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_nothing_is_drawn_when_asked() -> None:
    a, x = adaptor(dropout=0.5).eval(), torch.randn(N, D)
    assert torch.equal(a(x), a(x))


def test_bf16_is_close() -> None:
    a, x = adaptor().eval(), torch.randn(N, D)
    exact = a(x)
    with torch.autocast("cpu", torch.bfloat16):
        fast = a(x)
        fast.sum().backward()
    assert not torch.equal(fast, exact)
    torch.testing.assert_close(fast, exact, rtol=0.05, atol=0.2)
    assert a.weight.grad is not None and a.weight.grad.dtype == torch.float32


def test_parameters_by_formula() -> None:
    made = WhiteningExperts(128, 300, experts=8, dropout=0.2)
    assert sum(p.numel() for p in made.parameters()) == 8 * (128 * 300 + 128) + 16 * 128
