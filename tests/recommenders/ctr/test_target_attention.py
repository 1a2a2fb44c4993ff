"""DIN's attention against its definition, click by click."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tastebench.recommenders.ctr.target_attention import TargetAttention

N, CLICKS, WIDTH = 5, 6, 3
MASK = torch.arange(CLICKS) < torch.tensor([6, 2, 0, 1, 4])[:, None]


def unit(**given: Any) -> TargetAttention:
    torch.manual_seed(0)
    made = TargetAttention(WIDTH, 4, **given)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.7)
    return made


def data() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(N, CLICKS, WIDTH, generator=rng), torch.randn(N, WIDTH, generator=rng)


def hidden(ours: TargetAttention, history: Tensor, candidate: Tensor) -> dict[Any, Tensor]:
    """`W [t; c; t - c; t * c] + b` of each click."""
    made = {}
    for n in range(N):
        for s in range(CLICKS):
            if MASK[n, s]:
                t, c = candidate[n], history[n, s]
                made[n, s] = ours.hidden(torch.cat([t, c, t - c, t * c]))
    return made


def interests(weights: dict[Any, Tensor], history: Tensor, *, softmax: bool) -> Tensor:
    out = torch.zeros(N, WIDTH)
    for n in range(N):
        own = {s: weight for (row, s), weight in weights.items() if row == n}
        total = sum(weight.exp() for weight in own.values())
        for s, weight in own.items():
            out[n] += (weight.exp() / total if softmax else weight) * history[n, s]
    return out


@pytest.mark.parametrize("softmax", [False, True])
def test_prelu_click_by_click(softmax: bool) -> None:
    ours, (history, candidate) = unit(activation="prelu", softmax=softmax), data()
    slope = ours.activation.weight
    weights = {
        place: ours.weight(torch.where(x > 0, x, slope * x))
        for place, x in hidden(ours, history, candidate).items()
    }
    expected = interests(weights, history, softmax=softmax)
    torch.testing.assert_close(ours(history, MASK, candidate), expected)


@pytest.mark.parametrize("training", [True, False])
def test_dice_normalises_over_what_was_clicked(training: bool) -> None:
    """Over the thirteen clicks, not over the thirty places of the batch."""
    ours, (history, candidate) = unit().train(training), data()
    made = hidden(ours, history, candidate)
    rows = torch.stack(list(made.values()))
    assert len(rows) == 13
    mean, variance = rows.mean(0), rows.var(0, unbiased=False)
    if not training:
        mean, variance = ours.activation.mean, ours.activation.variance
    alpha, weights = ours.activation.alpha, {}
    for place, x in made.items():
        p = torch.sigmoid((x - mean) / (variance + 1e-8).sqrt())
        weights[place] = ours.weight(p * x + (1 - p) * alpha * x)
    result = ours(history, MASK, candidate)
    torch.testing.assert_close(result, interests(weights, history, softmax=False))


def test_a_softmax_sums_to_one() -> None:
    """So that a history of one item is that item; without, it is a multiple of it."""
    history, candidate = data()
    torch.testing.assert_close(unit(softmax=True)(history, MASK, candidate)[3], history[3, 0])
    multiple = unit()(history, MASK, candidate)[3] / history[3, 0]
    torch.testing.assert_close(multiple, multiple[:1].expand(WIDTH))
    assert not torch.allclose(multiple, torch.ones(WIDTH))


def test_what_a_softmax_takes_no_notice_of_is_not_there() -> None:
    assert unit(softmax=True).weight.bias is None
    assert unit().weight.bias is not None


def test_dropout_is_of_training() -> None:
    ours, (history, candidate) = unit(dropout=0.5), data()
    assert not torch.equal(ours(history, MASK, candidate), ours(history, MASK, candidate))
    ours.eval()
    assert torch.equal(ours(history, MASK, candidate), ours(history, MASK, candidate))


@pytest.mark.parametrize("softmax", [False, True])
def test_gradients_by_differences(softmax: bool) -> None:
    ours = unit(activation="prelu", softmax=softmax).double()
    history, candidate = (part.double().requires_grad_() for part in data())
    assert torch.autograd.gradcheck(lambda h, c: ours(h, MASK, c), (history, candidate))
