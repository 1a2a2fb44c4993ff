"""The post-norm transformer against torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tastebench.recommenders.seqrec.encoders.transformer import PostNormTransformer, attend

WIDTH, LENGTH, HEADS, INNER = 12, 7, 3, 20


def filled() -> PostNormTransformer:
    torch.manual_seed(0)
    made = PostNormTransformer(WIDTH, LENGTH, layers=2, heads=HEADS, inner=INNER, dropout=0.0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def reference(made: PostNormTransformer, x: torch.Tensor) -> torch.Tensor:
    """The same weights in `torch.nn.TransformerEncoderLayer` under a causal mask."""
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
    states = x + made.positions[: x.shape[1]]
    for layer in made.layers:
        theirs = nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, 0.0, "relu", batch_first=True)
        theirs.load_state_dict(
            {
                "self_attn.in_proj_weight": layer.qkv.weight,
                "self_attn.in_proj_bias": layer.qkv.bias,
                "self_attn.out_proj.weight": layer.out.weight,
                "self_attn.out_proj.bias": layer.out.bias,
                "norm1.weight": layer.attention_norm.weight,
                "norm1.bias": layer.attention_norm.bias,
                "linear1.weight": layer.up.weight,
                "linear1.bias": layer.up.bias,
                "linear2.weight": layer.down.weight,
                "linear2.bias": layer.down.bias,
                "norm2.weight": layer.output_norm.weight,
                "norm2.bias": layer.output_norm.bias,
            }
        )
        states = theirs(states, src_mask=mask, is_causal=True)
    return nn.functional.layer_norm(states, (WIDTH,), made.norm.weight, made.norm.bias)


@pytest.mark.parametrize("length", [1, 4, LENGTH])
def test_equals_torch_encoder_layers(length: int) -> None:
    made, x = filled(), torch.randn(5, length, WIDTH)
    torch.testing.assert_close(made(x), reference(made, x))


def test_weights_begin_small_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    made = PostNormTransformer(64, 50, layers=2, heads=2, inner=256, dropout=0.1)
    for key, value in made.state_dict().items():
        if "norm" in key:
            assert value.eq(1 if key.endswith("weight") else 0).all()
        elif key.endswith("bias"):
            assert value.eq(0).all()
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.1)


def test_attention_by_hand() -> None:
    """Two positions, one head of width 1: the second weighs both by the exponentials of q k."""
    q, k = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -0.5])
    v = torch.tensor([3.0, 7.0])
    made = attend(*(t.view(1, 2, 1, 1) for t in (q, k, v)), dropout=0.0)
    weight = torch.sigmoid(torch.tensor(2.0 * 0.5 - 2.0 * -0.5))
    torch.testing.assert_close(
        made.flatten(), torch.stack([v[0], weight * v[0] + (1 - weight) * v[1]])
    )


def test_shared_keys_and_values_serve_their_group() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 5, 6, 4), torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    whole = attend(q, k.repeat_interleave(2, dim=2), v.repeat_interleave(2, dim=2), 0.0)
    torch.testing.assert_close(attend(q, k, v, 0.0), whole)
    # Heads 2 and 3 read the second of the three.
    alone = attend(q[:, :, 2:4], k[:, :, [1, 1]], v[:, :, [1, 1]], 0.0)
    torch.testing.assert_close(attend(q, k, v, 0.0)[..., 8:16], alone)


def test_attention_without_dropout_leaves_bfloat16_and_is_torchs_in_fp32() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 7, 4, 6).unbind(0)
    few, few_values = k[:, :, :2], v[:, :, :2]
    want = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
    )
    assert torch.equal(attend(q, k, v, 0.0), want.transpose(1, 2).flatten(2))
    half = [part.bfloat16() for part in (q, few, few_values)]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = attend(*half, 0.0)
    assert torch.equal(mixed, attend(*(part.float() for part in half), 0.0))
