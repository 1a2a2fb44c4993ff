"""Layers of click models: by hand, against torch's own and loops, and gradients by differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bert_encoder import BertBlock, BertEncoder
from tastebench.recommenders.ctr.bricks import check_heads
from tastebench.recommenders.ctr.fastformer import FastAttention, PooledFastformer
from tastebench.recommenders.ctr.item_operators import FastformerConfig
from tastebench.recommenders.ctr.layers import (
    AdditiveAttention,
    Dice,
    SelfAttention,
    masked_max,
    masked_mean,
    masked_softmax,
)

NAN, INF = float("nan"), float("inf")
# Of three sequences: five places, two, none.
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)


def spread(module: nn.Module) -> nn.Module:
    """The same with weights large enough that every part of it shows in the result."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


# -------------------------------------------------------------------------------- masked sums


@pytest.mark.parametrize(
    ("scores", "mask", "expected"),
    [
        ([0.0, 0.0, 0.0], [1, 1, 1], [1 / 3, 1 / 3, 1 / 3]),
        ([math.log(3.0), 0.0, 9.0], [1, 1, 0], [0.75, 0.25, 0]),
        ([1e30, 0.0, 0.0], [1, 1, 0], [1, 0, 0]),  # exp of it alone is infinite
        ([-1e30, 5.0, 5.0], [1, 0, 0], [1, 0, 0]),
        ([1.0, NAN, INF], [1, 0, 0], [1, 0, 0]),
        ([7.0, 8.0, 9.0], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_masked_softmax(scores, mask, expected):
    weights = masked_softmax(torch.tensor(scores), torch.tensor(mask, dtype=torch.bool))
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))


def test_masked_softmax_along_another_dimension():
    scores = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)[..., None]
    weights = masked_softmax(scores, mask, dim=1)
    torch.testing.assert_close(weights[0, [0, 1, 3]], scores[0, [0, 1, 3]].softmax(0))
    assert weights[0, 2].tolist() == [0, 0, 0]
    assert not weights[1].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_masked_softmax_in_other_precisions(dtype):
    weights = masked_softmax(
        torch.tensor([[2.0, 2.0, 9.0]], dtype=dtype), torch.tensor([1, 1, 0]) > 0
    )
    assert weights.dtype == dtype
    assert weights.tolist() == [[0.5, 0.5, 0]]


def test_nothing_to_weigh_has_no_gradient():
    scores = torch.randn(3, 5, requires_grad=True)
    (grad,) = torch.autograd.grad(masked_softmax(scores, MASK).square().sum(), scores)
    assert grad.isfinite().all()
    assert not grad[~MASK].any()
    assert grad[0].any()


def test_masked_mean_and_max_by_hand():
    x = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [NAN, INF]], [[9.0, 9.0]] * 3])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]], dtype=torch.bool)
    assert masked_mean(x, mask).tolist() == [[2, -6], [0, 0]]
    assert masked_max(x, mask).tolist() == [[3, -5], [0, 0]]


# ---------------------------------------------------------------------------------- attention


def test_additive_attention_by_hand():
    """W = I, b = 0, v = (2 ln 3, 0): scores of the two places 0 and ln 3, weights 1/4 and 3/4."""
    attention = AdditiveAttention(2, 2)
    with torch.no_grad():
        attention.project.weight.copy_(torch.eye(2))
        attention.project.bias.zero_()
        attention.query.weight.copy_(torch.tensor([[2 * math.log(3), 0]]))
    x = torch.tensor([[[0.0, 4.0], [math.atanh(0.5), 8.0], [5.0, 5.0]]])
    pooled = attention(x, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(pooled, torch.tensor([[0.75 * math.atanh(0.5), 7.0]]))
    assert attention(x, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[0, 0]]


def test_additive_attention_reads_nothing_masked():
    attention, x = spread(AdditiveAttention(4, 6)), torch.randn(3, 5, 4)
    torch.testing.assert_close(attention(x.where(MASK[..., None], NAN), MASK), attention(x, MASK))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_self_attention_is_torchs(heads):
    ours = spread(SelfAttention(8, 8, heads, bias=True))
    torchs = nn.MultiheadAttention(8, heads, batch_first=True)
    torchs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": torch.eye(8),
            "out_proj.bias": torch.zeros(8),
        }
    )
    x = torch.randn(3, 5, 8)
    expected, _ = torchs(x, x, x, key_padding_mask=~MASK, need_weights=False)
    torch.testing.assert_close(ours(x, MASK)[:2], expected[:2])
    assert ours(x, MASK).isfinite().all()  # torch's own is NaN for the third


def test_self_attention_place_by_place():
    """Of another width than what it reads, without biases: softmax(q . k / sqrt(d)) v by head."""
    ours = spread(SelfAttention(3, 4, 2, bias=False))
    x = torch.randn(3, 5, 3)
    q, k, v = (x @ part.T for part in ours.qkv.weight.split(4))
    mixed = ours(x, MASK)
    for head in (slice(0, 2), slice(2, 4)):
        for i in range(2):
            scores = torch.stack([q[1, i, head] @ k[1, j, head] for j in range(2)]) / math.sqrt(2)
            weights = scores.exp() / scores.exp().sum()
            expected = weights[0] * v[1, 0, head] + weights[1] * v[1, 1, head]
            torch.testing.assert_close(mixed[1, i, head], expected)


def test_attention_weights_are_dropped_in_training_only():
    ours, x = spread(SelfAttention(8, 8, 2, bias=True, dropout=0.5)), torch.randn(3, 5, 8)
    assert not torch.equal(ours(x, MASK), ours(x, MASK))
    ours.eval()
    assert torch.equal(ours(x, MASK), ours(x, MASK))


def test_attention_that_drops_is_the_same_attention():
    """The way it is computed in training on a CPU, with nothing dropped."""
    ours, x = spread(SelfAttention(8, 8, 2, bias=True, dropout=0.5)), torch.randn(3, 5, 8)
    ours.dropout.eval()
    mixed = ours(x, MASK)
    torch.testing.assert_close(mixed[MASK], ours.eval()(x, MASK)[MASK])
    assert mixed.isfinite().all()


def test_heads_have_to_divide_the_width():
    check_heads("attention", 64, 16)
    with pytest.raises(
        UsageError, match="attention: heads=16 does not divide the width 300"
    ) as error:
        check_heads("attention", 300, 16)
    assert "heads=15 does" in str(error.value)


# ----------------------------------------------------------------------------------- encoders


def test_bert_blocks_are_torchs_encoder_layers():
    ours = spread(BertEncoder(8, 6, layers=2, heads=2, inner=12, dropout=0.0))
    x = torch.randn(3, 5, 8)
    norm = ours.positions.norm
    h = nn.functional.layer_norm(
        x + ours.positions.table[:5], (8,), norm.weight, norm.bias, norm.eps
    )
    for block in ours.blocks:
        layer = nn.TransformerEncoderLayer(
            8, 2, 12, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True
        )
        feed = block.feed_forward
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": block.attention.qkv.weight,
                "self_attn.in_proj_bias": block.attention.qkv.bias,
                "self_attn.out_proj.weight": block.out.weight,
                "self_attn.out_proj.bias": block.out.bias,
                "norm1.weight": block.norm.weight,
                "norm1.bias": block.norm.bias,
                "linear1.weight": feed.up.weight,
                "linear1.bias": feed.up.bias,
                "linear2.weight": feed.down.weight,
                "linear2.bias": feed.down.bias,
                "norm2.weight": feed.norm.weight,
                "norm2.bias": feed.norm.bias,
            }
        )
        h = layer(h, src_key_padding_mask=~MASK)
    states = ours(x, MASK)
    torch.testing.assert_close(states[MASK], h[MASK])
    assert states.isfinite().all()


def test_positions_may_be_given():
    ours = spread(BertEncoder(8, 6, layers=1, heads=2, inner=12, dropout=0.0))
    x = torch.randn(1, 3, 8)
    there = torch.ones(1, 3, dtype=torch.bool)
    turned = ours(x.flip(1), there, torch.tensor([[2, 1, 0]]))
    torch.testing.assert_close(turned.flip(1), ours(x, there))


def fastformer_by_loops(ours: FastAttention, x: torch.Tensor, heads: int) -> torch.Tensor:
    """The formulas of Fastformer for one sequence without padding, head by head."""
    s, width = x.shape
    size = width // heads
    q, k = ours.query(x), ours.key(x)
    rows = torch.empty_like(x)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        alpha = (q @ ours.query_weight.weight[h] / math.sqrt(size)).softmax(0)
        global_query = sum(alpha[i] * q[i, part] for i in range(s))
        # A head's weight looks at all of p, so p is needed whole: gather its parts first.
        rows[:, part] = k[:, part] * global_query
    p, out = rows.clone(), torch.empty_like(x)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        beta = (p @ ours.key_weight.weight[h] / math.sqrt(size)).softmax(0)
        out[:, part] = sum(beta[i] * p[i, part] for i in range(s)) * q[:, part]
    return out @ ours.transform.weight.T + ours.transform.bias + q


@pytest.mark.parametrize("heads", [1, 3])
def test_fastformer_attention_by_loops(heads):
    ours, x = spread(FastAttention(6, heads)), torch.randn(3, 5, 6)
    mixed = ours(x, MASK)
    torch.testing.assert_close(mixed[0], fastformer_by_loops(ours, x[0], heads))
    torch.testing.assert_close(mixed[1, :2], fastformer_by_loops(ours, x[1, :2], heads))
    assert mixed.isfinite().all()


def test_fastformer_pools_its_states_and_projects():
    """One block, stated again from its parts, on a sequence without padding."""
    settings = FastformerConfig(layers=1, heads=2, dropout=0.0)
    ours = spread(PooledFastformer("fastformer", settings, 6, 3, 5))
    x, block = torch.randn(1, 5, 6), ours.blocks[0]
    h = nn.functional.layer_norm(
        x + ours.positions.table, (6,), ours.positions.norm.weight, ours.positions.norm.bias, 1e-12
    )
    attended = h + block.out(fastformer_by_loops(block.attention, h[0], 2)[None])
    a = nn.functional.layer_norm(attended, (6,), block.norm.weight, block.norm.bias, 1e-12)
    feed = block.feed_forward
    fed = a + feed.down(nn.functional.gelu(feed.up(a)))
    f = nn.functional.layer_norm(fed, (6,), feed.norm.weight, feed.norm.bias, 1e-12)
    weights = ours.pool.query(ours.pool.project(f).tanh()).softmax(1)
    expected = ours.out((weights * f).sum(1))
    torch.testing.assert_close(ours(x, torch.ones(1, 5, dtype=torch.bool)), expected)


# --------------------------------------------------------------------------------------- dice


def test_dice_by_hand():
    """Rows 1 and 3: mean 2, variance 1, so p is sigmoid(-1) and sigmoid(1); alpha 0.5."""
    dice = Dice(1, momentum=0.1, epsilon=0.0)
    with torch.no_grad():
        dice.alpha.fill_(0.5)
    low, high = 1 / (1 + math.e), math.e / (1 + math.e)
    out = dice(torch.tensor([[1.0], [3.0]]))
    expected = [[low + (1 - low) * 0.5], [3 * (high + (1 - high) * 0.5)]]
    torch.testing.assert_close(out, torch.tensor(expected))
    torch.testing.assert_close(dice.mean, torch.tensor([0.2]))
    torch.testing.assert_close(dice.variance, torch.tensor([1.0]))


def test_dice_normalises_as_batch_normalisation_does():
    dice, norm = Dice(4), nn.BatchNorm1d(4, eps=1e-8, affine=False)
    with torch.no_grad():
        dice.alpha.normal_()
    for _ in range(3):
        x = torch.randn(50, 4) * 3 + 1
        p = norm(x).sigmoid()
        torch.testing.assert_close(dice(x), p * x + (1 - p) * dice.alpha * x)
    torch.testing.assert_close(dice.mean, norm.running_mean)
    dice.eval()
    x, p = torch.randn(2, 4), None
    p = ((x - dice.mean) / (dice.variance + 1e-8).sqrt()).sigmoid()
    torch.testing.assert_close(dice(x), p * x + (1 - p) * dice.alpha * x)


@pytest.mark.parametrize("rows", [0, 1])
def test_dice_is_defined_for_no_row_and_for_one(rows):
    dice, x = Dice(3), torch.randn(rows, 3, requires_grad=True)
    out = dice(x)
    out.sum().backward()
    assert out.shape == (rows, 3)
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert dice.mean.isfinite().all()


# ---------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    "layer",
    [
        AdditiveAttention(4, 3),
        SelfAttention(4, 4, 2, bias=True),
        FastAttention(4, 2),
        BertBlock(4, 2, 6, 0.0),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gradients_of_layers_are_those_of_differences(layer):
    layer = spread(layer).double()
    x = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)

    def real(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        out = layer(x, MASK)
        return out if out.dim() == 2 else out[MASK]

    assert torch.autograd.gradcheck(real, (x, *layer.parameters()))


def test_gradients_of_masked_functions_and_dice_are_those_of_differences():
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    for function in (masked_mean, masked_max):
        assert torch.autograd.gradcheck(lambda x, f=function: f(x, MASK), (x,))
    scores = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: masked_softmax(s, MASK), (scores,))
    rows = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    dice = spread(Dice(2)).double()
    assert torch.autograd.gradcheck(lambda r, _: dice(r), (rows, dice.alpha))


@pytest.mark.parametrize("layer", ["additive", "self"])
def test_an_asker_alone_has_what_it_has_beside_longer_ones(layer):
    """Without padding the masks are left out; with it the same places give the same."""
    torch.manual_seed(0)
    one = AdditiveAttention(6, 4) if layer == "additive" else SelfAttention(6, 6, 2, bias=True)
    one.eval()
    x, rest = torch.randn(1, 3, 6), torch.full((1, 2, 6), 7.0)
    mask = torch.tensor([[True, True, True, False, False]])
    alone = one(x, mask[:, :3])
    beside = one(torch.cat([x, rest], dim=1), mask)
    torch.testing.assert_close(alone, beside if layer == "additive" else beside[:, :3])
