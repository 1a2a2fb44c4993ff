"""HSTU against its formula, pair by pair, and against what its public code does."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.encoders.hstu import HSTU, Bias, buckets

WIDTH, LENGTH, HEADS, KEY, VALUE = 6, 8, 2, 3, 5


def filled(bias: Bias = "position", layers: int = 2) -> HSTU:
    torch.manual_seed(0)
    made = HSTU(
        WIDTH,
        LENGTH,
        layers=layers,
        heads=HEADS,
        key_width=KEY,
        value_width=VALUE,
        dropout=0.0,
        bias=bias,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def pair_by_pair(made: HSTU, x: torch.Tensor, times: torch.Tensor | None = None) -> torch.Tensor:
    """One sequence `[l, width]` through every unit, one pair of positions after the other."""
    for unit in made.units:
        normed = functional.layer_norm(x, (WIDTH,), eps=1e-6)
        inner = functional.silu(normed @ unit.into)
        v, h = HEADS * VALUE, HEADS * KEY
        u, values, q, k = inner[:, :v], inner[:, v : 2 * v], inner[:, 2 * v : -h], inner[:, -h:]
        out = torch.zeros(len(x), v)
        for head in range(HEADS):
            of_keys = slice(head * KEY, (head + 1) * KEY)
            of_values = slice(head * VALUE, (head + 1) * VALUE)
            for i in range(len(x)):
                for j in range(i + 1):
                    score = q[i, of_keys] @ k[j, of_keys] + added(made, unit, i, j, times)
                    n = made.length if made.bias == "reference" else i + 1
                    out[i, of_values] += functional.silu(score) / n * values[j, of_values]
        gated = u * functional.layer_norm(out, (v,), eps=1e-6)
        x = x + gated @ unit.out.weight.T + unit.out.bias
    return x


def added(
    made: HSTU, unit: torch.nn.Module, i: int, j: int, times: torch.Tensor | None
) -> torch.Tensor | float:
    if made.bias == "none" or (made.bias == "reference" and times is None):
        return 0.0
    first = LENGTH - 1 if made.bias == "reference" else 0
    bias = unit.distances[first + i - j]
    if made.bias == "position":
        return bias
    assert times is not None
    gap = max(abs(times[i].item() - times[j].item()), 1)
    return bias + unit.gaps[min(int(math.log(gap) / 0.301), 128)]


@pytest.mark.parametrize("bias", ["none", "position", "position+time", "reference"])
@pytest.mark.parametrize("length", [1, 5, LENGTH])
def test_equals_the_formula(bias: Bias, length: int) -> None:
    made, x = filled(bias), torch.randn(3, length, WIDTH)
    times = torch.randint(0, 10**9, (3, length)) if bias == "position+time" else None
    expected = [pair_by_pair(made, x[b], None if times is None else times[b]) for b in range(3)]
    torch.testing.assert_close(made(x, times), torch.stack(expected))


def test_the_reference_reads_both_biases_where_times_are_given() -> None:
    made, x = filled("reference"), torch.randn(2, LENGTH, WIDTH)
    times = torch.randint(0, 10**9, (2, LENGTH))
    expected = torch.stack([pair_by_pair(made, x[b], times[b]) for b in range(2)])
    torch.testing.assert_close(made(x, times), expected)
    made(x, times).square().sum().backward()
    for unit in made.units:
        # Distances to what comes later are masked: their half never learns.
        learns = (unit.distances.grad != 0).tolist()
        assert learns == [False] * (LENGTH - 1) + [True] * LENGTH
        assert (unit.gaps.grad != 0).any()


def test_times_are_not_read_where_they_have_no_bias() -> None:
    made, x = filled("position"), torch.randn(2, LENGTH, WIDTH)
    assert torch.equal(made(x, torch.randint(0, 999, (2, LENGTH))), made(x))


def test_times_that_are_needed_must_be_given() -> None:
    with pytest.raises(UsageError, match="bias for times was given sequences without times"):
        filled("position+time")(torch.randn(1, 2, WIDTH))


def test_later_times_change_no_earlier_state() -> None:
    made, x = filled("position+time"), torch.randn(1, LENGTH, WIDTH)
    times = torch.arange(LENGTH)[None] * 1000
    later = times.clone()
    later[:, 5:] += 10**7
    before, after = made(x, times), made(x, later)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not torch.allclose(after[:, 5:], before[:, 5:])


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0, 0),
        (1, 0),
        (2, 2),  # 0.693 / 0.301 = 2.30
        (60, 13),  # 4.094 / 0.301 = 13.60
        (86_400, 37),  # 11.367 / 0.301 = 37.76
        (-86_400, 37),
        (2**62, 128),  # 42.98 / 0.301 = 142.8, beyond the last
    ],
)
def test_buckets_of_time(seconds: int, bucket: int) -> None:
    made = buckets(torch.tensor([[0, seconds]]))
    assert made.tolist() == [[[0, bucket], [bucket, 0]]]


def test_unix_times_a_second_apart_are_told_apart() -> None:
    """In float32 they are the same number."""
    times = torch.tensor([[1_700_000_000, 1_700_000_003]])
    assert buckets(times)[0, 0, 1].item() == int(math.log(3) / 0.301)


def test_short_histories_do_not_drown() -> None:
    """What is learned by a layer at its beginning is as large for two items as for all."""
    torch.manual_seed(0)
    made = HSTU(64, 50, layers=1, heads=2, key_width=32, value_width=32, dropout=0.0)
    x = torch.randn(20, 50, 64)
    change = (made(x) - x).square().mean(dim=(0, 2)).sqrt()
    assert change[1].item() > 0.5 * change[-1].item()
