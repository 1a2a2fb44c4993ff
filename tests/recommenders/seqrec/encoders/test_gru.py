"""GRU4Rec against its formula, step by step."""

from __future__ import annotations

import torch

from tastebench.recommenders.seqrec.encoders.gru import GRU4Rec


def step(W: torch.Tensor, U: torch.Tensor, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """`r, z = sigmoid(W x + U h);  n = tanh(W x + r * (U h));  h' = (1 - z) n + z h`."""
    (wr, wz, wn), (ur, uz, un) = W.chunk(3), U.chunk(3)
    r = torch.sigmoid(wr @ x + ur @ h)
    z = torch.sigmoid(wz @ x + uz @ h)
    n = torch.tanh(wn @ x + r * (un @ h))
    return (1 - z) * n + z * h


def test_equals_the_recurrence() -> None:
    torch.manual_seed(0)
    made = GRU4Rec(6, hidden=9, layers=2, dropout=0.0)
    x = torch.randn(1, 5, 6)
    expected, first, second = [], torch.zeros(9), torch.zeros(9)
    for item in x[0]:
        first = step(made.gru.weight_ih_l0, made.gru.weight_hh_l0, item, first)
        second = step(made.gru.weight_ih_l1, made.gru.weight_hh_l1, first, second)
        out = made.out.weight @ second + made.out.bias
        expected.append((out - out.mean()) / (out.var(unbiased=False) + 1e-5).sqrt())
    torch.testing.assert_close(made(x)[0], torch.stack(expected))


def test_the_norm_can_be_left_out() -> None:
    torch.manual_seed(0)
    made = GRU4Rec(6, hidden=9, layers=1, dropout=0.0, norm=False)
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(made(x), made.out(made.gru(x)[0]))


def test_all_layers_begin_alike() -> None:
    """Xavier for the second layer too, not torch's default, which would be half as wide."""
    torch.manual_seed(0)
    made = GRU4Rec(64, hidden=64, layers=2, dropout=0.0)
    bound = (6 / (3 * 64 + 64)) ** 0.5
    for weight in made.gru.parameters():
        assert 0.98 * bound < weight.abs().max().item() <= bound
