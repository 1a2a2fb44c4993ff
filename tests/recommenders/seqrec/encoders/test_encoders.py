"""What every encoder promises: order, no future, no padding, nothing that never learns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.encoders.caser import Caser
from tastebench.recommenders.seqrec.encoders.gru import GRU4Rec
from tastebench.recommenders.seqrec.encoders.hstu import HSTU
from tastebench.recommenders.seqrec.encoders.mamba import Mamba2
from tastebench.recommenders.seqrec.encoders.mamba4rec import Mamba4Rec
from tastebench.recommenders.seqrec.encoders.transformer import PostNormTransformer
from tastebench.recommenders.seqrec.encoders.trm import Trm

WIDTH, LENGTH = 16, 11


def hstu(dropout: float, bias: str = "position") -> HSTU:
    return HSTU(
        WIDTH,
        LENGTH,
        layers=2,
        heads=2,
        key_width=6,
        value_width=5,
        dropout=dropout,
        bias=bias,  # type: ignore[arg-type]
    )


ENCODERS: dict[str, Callable[[float], nn.Module]] = {
    "gru4rec": lambda p: GRU4Rec(WIDTH, hidden=12, layers=2, dropout=p),
    "sasrec": lambda p: PostNormTransformer(WIDTH, LENGTH, layers=2, heads=4, inner=24, dropout=p),
    "trm++": lambda p: Trm(WIDTH, layers=2, heads=4, dropout=p),
    "trm++ grouped": lambda p: Trm(WIDTH, layers=2, heads=4, kv_heads=2, dropout=p),
    "hstu": hstu,
    "hstu unbiased": lambda p: hstu(p, "none"),
    "hstu reference": lambda p: hstu(p, "reference"),
    "mamba2": lambda p: Mamba2(WIDTH, layers=2, state=6, head_width=8, dropout=p),
    "mamba4rec": lambda p: Mamba4Rec(WIDTH, layers=1, state=4, dropout=p),
    "mamba4rec stacked": lambda p: Mamba4Rec(WIDTH, layers=2, state=4, dropout=p),
    "caser": lambda p: Caser(WIDTH, window=5, horizontal=3, vertical=2, dropout=p),
}
ALL = pytest.mark.parametrize("name", ENCODERS)
UNORDERED = {"hstu unbiased", "hstu reference"}
"""Without biases they see a set."""
BOUNDED = {"sasrec", "hstu", "hstu unbiased", "hstu reference"}
"""They have positions for so many items and no more."""


def encoder(name: str, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    made = ENCODERS[name](dropout)
    with torch.no_grad():
        for parameter in made.parameters():
            # As trained: nothing is so small that a difference would hide in rounding.
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return made


@ALL
@pytest.mark.parametrize("length", [1, 2, LENGTH])
def test_states_have_the_shape_of_embeddings(name: str, length: int) -> None:
    states = encoder(name)(torch.randn(3, length, WIDTH))
    assert states.shape == (3, length, WIDTH)
    assert states.isfinite().all()


@ALL
@pytest.mark.parametrize("at", [1, 6, LENGTH - 1])
def test_a_state_sees_nothing_after_it(name: str, at: int) -> None:
    """T18: other items from `at` on change no state before, and change the state there."""
    made, x = encoder(name), torch.randn(2, LENGTH, WIDTH)
    changed = x.clone()
    changed[:, at:] = torch.randn(2, LENGTH - at, WIDTH)
    before, after = made(x), made(changed)
    torch.testing.assert_close(after[:, :at], before[:, :at])
    assert (after[:, at] - before[:, at]).abs().amax() > 1e-3


@ALL
@pytest.mark.parametrize("padding", [1, 4])
@pytest.mark.parametrize("fill", [0.0, 30.0])
def test_padding_on_the_right_changes_nothing(name: str, padding: int, fill: float) -> None:
    """T18: neither how much of it there is nor what stands in it."""
    made, x = encoder(name), torch.randn(2, LENGTH - padding, WIDTH)
    padded = torch.cat([x, torch.full((2, padding, WIDTH), fill)], dim=1)
    torch.testing.assert_close(made(padded)[:, :-padding], made(x))


@ALL
def test_company_changes_nothing(name: str) -> None:
    made, x = encoder(name), torch.randn(4, LENGTH, WIDTH)
    torch.testing.assert_close(made(x)[2:3], made(x[2:3]))


@ALL
def test_a_state_sees_everything_before_it(name: str) -> None:
    made, x = encoder(name), torch.randn(1, LENGTH, WIDTH, requires_grad=True)
    (grad,) = torch.autograd.grad(made(x)[0, 7].square().sum(), x)
    seen = (grad[0].abs().amax(dim=1) > 1e-9).tolist()
    window = 5 if name == "caser" else LENGTH
    assert seen == [7 - window < i <= 7 for i in range(LENGTH)]


@ALL
def test_order_matters_where_there_is_a_sense_of_it(name: str) -> None:
    made, x = encoder(name), torch.randn(1, 5, WIDTH)
    swapped = x[:, [1, 0, 3, 2, 4]]
    last, other = made(x)[:, -1], made(swapped)[:, -1]
    if name in UNORDERED:
        # Not over two layers: what the second reads has seen different prefixes.
        made.units = made.units[:1]  # type: ignore[union-attr, index]
        torch.testing.assert_close(made(x)[:, -1], made(swapped)[:, -1])
    else:
        assert (last - other).abs().amax() > 1e-3


@ALL
def test_gradients_reach_every_number(name: str) -> None:
    made = encoder(name)
    made(torch.randn(64, LENGTH, WIDTH)).square().sum().backward()
    dead = {
        key
        for key, parameter in made.named_parameters()
        if parameter.grad is None or (parameter.grad == 0).any()
    }
    # The reference's biases wait for times: test_hstu.
    unused = {f"units.{i}.{key}" for i in (0, 1) for key in ("distances", "gaps")}
    assert dead == (unused if name == "hstu reference" else set())


@ALL
def test_dropout_only_in_training(name: str) -> None:
    made, x = encoder(name, dropout=0.5), torch.randn(2, LENGTH, WIDTH)
    assert not torch.equal(made(x), made(x))
    made.eval()
    assert torch.equal(made(x), made(x))


@ALL
def test_every_weight_is_drawn_by_the_seed_and_on_its_own(name: str) -> None:
    torch.manual_seed(3)
    one = ENCODERS[name](0.0).state_dict()
    torch.manual_seed(3)
    other = ENCODERS[name](0.0).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    drawn = [value for key, value in one.items() if value.ndim > 1 and "log_decay" not in key]
    twins = [
        (a, b)
        for a, first in enumerate(drawn)
        for b, second in enumerate(drawn[:a])
        if first.shape == second.shape and torch.equal(first, second)
    ]
    assert not twins


@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_positions_end_at_the_longest_sequence(name: str) -> None:
    with pytest.raises(UsageError, match=r"sequences of 12 items.*for 11(.|\n)*latest items"):
        encoder(name)(torch.randn(1, LENGTH + 1, WIDTH))


@pytest.mark.parametrize("name", ["gru4rec", "trm++", "mamba2", "mamba4rec", "caser"])
def test_without_positions_sequences_may_be_long(name: str) -> None:
    made = encoder(name)
    with torch.no_grad():
        states = made(torch.randn(1, 3000, WIDTH))
    assert states.isfinite().all()


@ALL
def test_bfloat16_products_give_nearly_the_same(name: str) -> None:
    made = encoder(name)
    # Mamba-2 joins chunks of 64.
    x = torch.randn(2, LENGTH if name in BOUNDED else 130, WIDTH)
    exact = made(x)
    with torch.autocast("cpu", torch.bfloat16):
        states = made(x)
    near = functional.cosine_similarity(states.float(), exact, dim=-1)
    assert near.min().item() > 0.98
    states.float().square().sum().backward()
    for parameter in made.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
