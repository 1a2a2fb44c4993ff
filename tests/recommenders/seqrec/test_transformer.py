"""The transformer against torch's own encoder, and the properties that batching relies on."""

from __future__ import annotations

from typing import TypeVar

import pytest
import torch
from torch import nn
from torch.nn import functional

from tastebench.recommenders.seqrec.settings import TransformerSettings
from tastebench.recommenders.seqrec.transformer import (
    BidirectionalTransformer,
    Block,
    CausalTransformer,
    _attention,
)
from tastebench.training.dropout import Dropout, keep_mask

AnyTransformer = TypeVar("AnyTransformer", CausalTransformer, BidirectionalTransformer)
WIDTH, LENGTH, LAYERS, HEADS, INNER = 12, 7, 2, 3, 20


def transformer(dropout: float = 0.0) -> CausalTransformer:
    torch.manual_seed(0)
    ours = CausalTransformer(
        WIDTH,
        LENGTH,
        layers=LAYERS,
        heads=HEADS,
        inner=INNER,
        dropout=dropout,
        attention_dropout=dropout,
    )
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)
    return ours


def of_config(
    kind: type[AnyTransformer], norm: str = "post", dropout: float = 0.0
) -> AnyTransformer:
    """One whose attention drops by its own draws, with weights that tell positions apart."""
    torch.manual_seed(0)
    config = TransformerSettings(
        hidden_size=WIDTH,
        layers=LAYERS,
        heads=HEADS,
        inner_size=INNER,
        hidden_dropout=0.0,
        attention_dropout=dropout,
        norm=norm,
    )
    ours = kind.of(config, LENGTH)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.5)
    return ours


def reference(ours: CausalTransformer, x: torch.Tensor) -> torch.Tensor:
    """The same weights in `torch.nn.TransformerEncoderLayer`, post-norm, under a causal mask."""
    h = nn.functional.layer_norm(
        x + ours.positions[: x.shape[1]], (WIDTH,), ours.norm.weight, ours.norm.bias, 1e-12
    )
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
    for block in ours.blocks:
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, INNER, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True
        )
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": block.qkv.weight,
                "self_attn.in_proj_bias": block.qkv.bias,
                "self_attn.out_proj.weight": block.out.weight,
                "self_attn.out_proj.bias": block.out.bias,
                "norm1.weight": block.attention_norm.weight,
                "norm1.bias": block.attention_norm.bias,
                "linear1.weight": block.up.weight,
                "linear1.bias": block.up.bias,
                "linear2.weight": block.down.weight,
                "linear2.bias": block.down.bias,
                "norm2.weight": block.output_norm.weight,
                "norm2.bias": block.output_norm.bias,
            }
        )
        h = layer(h, src_mask=mask, is_causal=True)
    return h


@pytest.mark.parametrize("length", [1, 4, LENGTH])
def test_equals_torch_encoder_layers(length: int) -> None:
    ours = transformer()
    x = torch.randn(5, length, WIDTH)
    torch.testing.assert_close(ours(x), reference(ours, x))


def test_a_state_sees_nothing_after_it() -> None:
    """T12: other items later on change no earlier state."""
    ours, x = transformer(), torch.randn(2, LENGTH, WIDTH)
    changed = x.clone()
    changed[:, 4:] = torch.randn(2, LENGTH - 4, WIDTH)
    before, after = ours(x), ours(changed)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4:], before[:, 4:])


def test_a_state_sees_everything_before_it() -> None:
    ours, x = transformer(), torch.randn(1, LENGTH, WIDTH, requires_grad=True)
    (grad,) = torch.autograd.grad(ours(x)[0, 4, 0], x)
    assert (grad[0].abs().sum(dim=1) > 0).tolist() == [True] * 5 + [False] * 2


LENGTHS = torch.tensor([7, 1, 4])


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("training", [True, False])
def test_some_states_alone_are_those_of_all(norm: str, training: bool) -> None:
    """What the last block leaves out is what nobody asked for."""
    x = torch.randn(3, LENGTH, WIDTH)
    wanted = torch.rand(3, LENGTH) < 0.4
    wanted[1] = False
    last = torch.arange(3), LENGTHS - 1
    causal = of_config(CausalTransformer, norm).train(training)
    both_ways = of_config(BidirectionalTransformer, norm).train(training)
    for ours, whole in ((causal, causal(x)), (both_ways, both_ways(x, LENGTHS))):
        torch.testing.assert_close(ours.at(x, wanted, LENGTHS), whole[wanted])
        torch.testing.assert_close(ours.last(x, LENGTHS), whole[last])


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_both_ways_sees_all_real_positions_and_no_padding(norm: str) -> None:
    ours = of_config(BidirectionalTransformer, norm)
    x = torch.randn(1, LENGTH, WIDTH, requires_grad=True)
    (grad,) = torch.autograd.grad(ours(x, torch.tensor([5]))[0, 1, 0], x)
    assert (grad[0].abs().sum(dim=1) > 0).tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize("masked", [True, False])
def test_attention_that_drops_nothing_is_torchs(masked: bool) -> None:
    q, k, v = torch.randn(3, 3, HEADS, LENGTH, 4)
    mask = (torch.arange(LENGTH) < LENGTHS[:, None])[:, None, None, :] if masked else None
    theirs = nn.functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=not masked
    )
    torch.testing.assert_close(_attention(q, k, v, mask, Dropout(0.0)), theirs)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_without_dropout_is_torchs_to_the_bit(masked: bool) -> None:
    torch.manual_seed(0)
    block = Block(WIDTH, HEADS, INNER, dropout=0.3, attention_dropout=0.0).train()
    q, k, v = torch.randn(3, 5, LENGTH, HEADS, 4, requires_grad=True).unbind(0)
    visible = torch.rand(5, LENGTH) < 0.8 if masked else None
    want = functional.scaled_dot_product_attention(
        *(part.transpose(1, 2) for part in (q, k, v)),
        attn_mask=None if visible is None else visible[:, None, None, :],
        is_causal=not masked,
    ).transpose(1, 2)
    got = block._mixed(q, k, v, visible)
    assert torch.equal(got, want.flatten(2))
    for own, torchs in zip(
        torch.autograd.grad(got.square().sum(), (q, k, v)),
        torch.autograd.grad(want.square().sum(), (q, k, v)),
        strict=True,
    ):
        assert torch.equal(own, torchs)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_attention_leaves_bfloat16_where_its_gradients_are_slow(dropout: float) -> None:
    block = Block(WIDTH, HEADS, INNER, dropout=0.0, attention_dropout=dropout).train()
    q, k, v = torch.randn(3, 5, LENGTH, HEADS, 4).bfloat16().unbind(0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = block._mixed(q, k, v, None)
    # What torch drops by draws of its own keeps to them, and to their precision.
    assert mixed.dtype == (torch.bfloat16 if dropout else torch.float32)
    if not dropout:
        assert torch.equal(mixed, block._mixed(q.float(), k.float(), v.float(), None))


def test_attention_drops_weights_and_keeps_their_mean() -> None:
    """Values of one give the sum of the weights that were kept."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 400, HEADS, LENGTH, 4)
    kept = _attention(q, k, torch.ones_like(q), None, Dropout(0.3))[..., 0]
    first = kept[:, :, 0]  # sees itself alone: kept whole, or dropped
    torch.testing.assert_close(
        first[first > 0], torch.tensor(1 / 0.7).expand_as(first[first > 0]), rtol=1e-3, atol=0
    )
    assert (first == 0).float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert kept.mean().item() == pytest.approx(1.0, abs=0.03)


def test_own_dropout_drops_in_training_only() -> None:
    ours, x = of_config(CausalTransformer, dropout=0.5), torch.randn(2, LENGTH, WIDTH)
    assert not torch.equal(ours(x), ours(x))
    ours.eval()
    torch.testing.assert_close(ours(x), reference(ours, x))


def test_parameters_by_formula() -> None:
    h, f = WIDTH, INNER
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    expected = LENGTH * h + 2 * h + LAYERS * layer
    assert sum(p.numel() for p in transformer().parameters()) == expected


def test_dropout_only_in_training() -> None:
    ours, x = transformer(dropout=0.5), torch.randn(2, LENGTH, WIDTH)
    assert not torch.equal(ours(x), ours(x))
    ours.eval()
    assert torch.equal(ours(x), ours(x))


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean(p: float) -> None:
    torch.manual_seed(0)
    n = 200_001  # no multiple of four
    out = Dropout(p)(torch.ones(n))
    kept = (out > 0).sum().item() / n
    deviation = (p * (1 - p) / n) ** 0.5
    assert abs(kept - (1 - p)) < 4 * deviation
    assert out.max().item() == pytest.approx(1 / (1 - p), rel=1e-4)


def test_all_four_quarters_of_a_draw_are_fair() -> None:
    torch.manual_seed(0)
    keep, scale = keep_mask((100_000, 4), 0.2, torch.device("cpu"))
    assert keep is not None
    shares = keep.float().mean(dim=0)
    torch.testing.assert_close(shares, torch.full((4,), 1 / scale), rtol=0, atol=5e-3)


def test_no_dropout_is_the_identity() -> None:
    x = torch.randn(3)
    assert Dropout(0.0)(x) is x
