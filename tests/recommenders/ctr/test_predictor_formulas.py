"""Predictors by hand on two dimensions, and against their definitions written as loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.bricks import PREDICTORS
from tastebench.recommenders.ctr.predictors.cross import (
    CrossMatrices,
    CrossMixture,
    CrossVectors,
    GatedCross,
    LowRankCross,
)
from tastebench.recommenders.ctr.predictors.products import factorisation

N, FIELDS, WIDTH = 5, 4, 3
HAND = torch.tensor([[1.0, 2.0]])


def predictor(name: str, width: int = WIDTH, fields: int = FIELDS, **given: Any) -> nn.Module:
    """One that does not drop, with weights large enough that every part shows in the result."""
    torch.manual_seed(0)
    card = PREDICTORS.get(name)
    given = {"tower": (7, 6), **given} if "tower" in card.config.model_fields else given
    ours = card.build(card.settings(given, where="test"), width, fields)
    return spread(ours).eval()


def spread(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def plain(tower: nn.Module, x: Tensor) -> Tensor:
    """A tower of relu layers as torch's own modules say it."""
    for layer in tower.layers:
        x = functional.relu(x @ layer.weight.T + layer.bias)
    return x if tower.logit is None else (x @ tower.logit.weight.T + tower.logit.bias)[:, 0]


def joined(logit: nn.Module, *vectors: Tensor) -> Tensor:
    return logit.linear(torch.cat(vectors, dim=1))[:, 0]


def set_(parameter: Tensor, values: Any) -> None:
    with torch.no_grad():
        parameter.copy_(torch.tensor(values))


# --------------------------------------------------------------------------- products of fields


def test_dot_by_hand() -> None:
    ours = predictor("dot")
    user, item = torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[3.0, -1.0], [0.5, 7.0]])
    assert ours(user, item).tolist() == [1.0, 1.5]


def test_dnn_is_its_tower() -> None:
    ours, fields = predictor("dnn"), draw(N, FIELDS, WIDTH)
    torch.testing.assert_close(ours(fields), plain(ours.tower, fields.reshape(N, -1)))


def test_products_by_hand() -> None:
    """T4: of two fields there is one product, and two squares in the publication."""
    fields = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert predictor("pnn", 2, 2, variant="reference").products(fields).tolist() == [[11.0]]
    assert predictor("pnn", 2, 2).products(fields).tolist() == [[5.0, 11.0, 25.0]]


@pytest.mark.parametrize("squares", [False, True])
def test_pnn_reads_fields_and_the_products_of_all_pairs(squares: bool) -> None:
    ours, fields = predictor("pnn", squares=squares), draw(N, FIELDS, WIDTH)
    pairs = [(i, j) for i in range(FIELDS) for j in range(i if squares else i + 1, FIELDS)]
    products = torch.stack([(fields[:, i] * fields[:, j]).sum(1) for i, j in pairs], dim=1)
    x = torch.cat([fields.reshape(N, -1), products], dim=1)
    torch.testing.assert_close(ours(fields), plain(ours.tower, x))


def test_a_factorisation_machine_of_two_fields_is_their_product() -> None:
    """T4."""
    fields = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [-2.0, 5.0]]])
    assert factorisation(fields).tolist() == pytest.approx([11.0, -2.0])


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_a_factorisation_machine_sums_the_products_of_all_pairs(count: int) -> None:
    fields = draw(N, count, WIDTH).double().requires_grad_()
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    expected = sum(((fields[:, i] * fields[:, j]).sum(1) for i, j in pairs), torch.zeros(N))
    torch.testing.assert_close(factorisation(fields), expected, check_dtype=False)
    torch.testing.assert_close(factorisation(fields.detach()), factorisation(fields).detach())
    assert torch.autograd.gradcheck(factorisation, (fields,))


def test_a_factorisation_machine_of_half_precision_sums_in_single() -> None:
    fields = (100 + draw(N, 20, 16)).bfloat16()
    torch.testing.assert_close(factorisation(fields), factorisation(fields.float()))


def test_deepfm_adds_up_and_its_reference_takes_the_mean() -> None:
    fields = draw(N, FIELDS, WIDTH)
    x = fields.reshape(N, -1)
    ours = predictor("deepfm")
    second = factorisation(fields)
    expected = x @ ours.linear.weight[0] + second + plain(ours.tower, x)
    torch.testing.assert_close(ours(fields), expected)
    ours = predictor("deepfm", variant="reference")
    torch.testing.assert_close(ours(fields), 0.5 * (second + plain(ours.tower, x)))


# --------------------------------------------------------------------------------- cross layers


def test_vector_cross_by_hand() -> None:
    """T4: x1 = (1, 2) * 2.5 + b + (1, 2); w2 . x1 = -3.6; x2 = (1, 2) * -3.6 + b + x1."""
    ours = CrossVectors(2, 1)
    set_(ours.weight, [[0.5, 1.0]])
    set_(ours.bias, [[0.1, 0.2]])
    torch.testing.assert_close(ours(HAND), torch.tensor([[3.6, 7.2]]))
    ours = CrossVectors(2, 2)
    set_(ours.weight, [[0.5, 1.0], [1.0, -1.0]])
    set_(ours.bias, [[0.1, 0.2], [0.0, 1.0]])
    torch.testing.assert_close(ours(HAND), torch.tensor([[0.0, 1.0]]))


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_vector_cross_layer_by_layer(layers: int) -> None:
    """The closed form and its gradients are those of the recursion."""
    ours, x0 = spread(CrossVectors(6, layers)).double(), draw(N, 6).double().requires_grad_()
    x = x0
    for weight, bias in zip(ours.weight, ours.bias, strict=True):
        x = x0 * (x @ weight)[:, None] + bias + x
    torch.testing.assert_close(ours(x0), x)
    given = (x0, ours.weight, ours.bias)
    for one, two in zip(
        torch.autograd.grad(ours(x0).square().sum(), given),
        torch.autograd.grad(x.square().sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_matrix_cross_by_hand() -> None:
    """T4: W x = (5, 11), with b (6, 10); x1 = (1, 2) * (6, 10) + (1, 2)."""
    ours = CrossMatrices(2, 1)
    set_(ours.layers[0].weight, [[1.0, 2.0], [3.0, 4.0]])
    set_(ours.layers[0].bias, [1.0, -1.0])
    assert ours(HAND).tolist() == [[7.0, 22.0]]


def test_low_rank_cross_by_hand() -> None:
    """V^T x = 3, U 3 = (6, -3), with b (6, -2); x1 = (1, 2) * (6, -2) + (1, 2)."""
    ours = LowRankCross(2, 1, 1)
    set_(ours.down[0].weight, [[1.0, 1.0]])
    set_(ours.up[0].weight, [[2.0], [-1.0]])
    set_(ours.up[0].bias, [0.0, 1.0])
    assert ours(HAND).tolist() == [[7.0, -2.0]]


def test_mixed_cross_expert_by_expert() -> None:
    ours, x0 = spread(CrossMixture(6, 3, 2, 4)), draw(N, 6)
    x = x0
    for layer in ours.layers:
        gates, mixed = (x @ ours.gate.weight.T).softmax(1), torch.zeros_like(x)
        for i in range(4):
            inner = torch.tanh(x @ layer.down[i].T)
            inner = torch.tanh(inner @ layer.middle[i].T)
            mixed += gates[:, i : i + 1] * (x0 * (inner @ layer.up[i] + layer.bias))
        x = x + mixed
    torch.testing.assert_close(ours(x0), x)


def test_gated_cross_by_hand() -> None:
    """T4: as the matrix cross, (6, 10), through gates sigmoid(0) = 1/2 and sigmoid(ln 3) = 3/4."""
    ours = GatedCross(2, 1)
    set_(ours.layers[0].weight, [[1.0, 2.0], [3.0, 4.0]])
    set_(ours.layers[0].bias, [1.0, -1.0])
    set_(ours.gates[0].weight, [[0.0, 0.0], [math.log(3.0), 0.0]])
    torch.testing.assert_close(ours(HAND), torch.tensor([[4.0, 17.0]]))


def test_gated_cross_layer_by_layer() -> None:
    ours, x0 = spread(GatedCross(6, 3)), draw(N, 6)
    x = x0
    for layer, gate in zip(ours.layers, ours.gates, strict=True):
        x = x0 * (x @ layer.weight.T + layer.bias) * torch.sigmoid(x @ gate.weight.T) + x
    torch.testing.assert_close(ours(x0), x)


@pytest.mark.parametrize("variant", ["published", "reference"])
def test_biases_of_gated_cross_begin_as_the_variant_says(variant: str) -> None:
    card = PREDICTORS.get("gdcn")
    ours = card.build(card.config(variant=variant), 8, 2)
    biases = torch.stack([layer.bias for layer in ours.cross.layers])
    if variant == "published":
        assert not biases.any()
    else:
        assert 0 <= biases.min() < 0.2
        assert 0.8 < biases.max() <= 1


@pytest.mark.parametrize("name", ["dcn", "gdcn", "dcnv2"])
def test_a_tower_beside_the_cross_layers_reads_the_fields(name: str) -> None:
    ours, fields = predictor(name), draw(N, FIELDS, WIDTH)
    x = fields.reshape(N, -1)
    expected = joined(ours.top.logit, ours.cross(x), plain(ours.top.parallel, x))
    torch.testing.assert_close(ours(fields), expected)


@pytest.mark.parametrize("name", ["gdcn", "dcnv2"])
def test_a_tower_on_the_cross_layers(name: str) -> None:
    ours, fields = predictor(name, structure="stacked"), draw(N, FIELDS, WIDTH)
    stacked = plain(ours.top.stacked, ours.cross(fields.reshape(N, -1)))
    torch.testing.assert_close(ours(fields), joined(ours.top.logit, stacked))


@pytest.mark.parametrize("variant", ["published", "reference"])
def test_both_towers_of_dcnv2(variant: str) -> None:
    """In the reference the tower beside the cross layers reads what they made (G7)."""
    ours = predictor("dcnv2", variant=variant, structure="stacked_parallel", rank=2, experts=2)
    fields = draw(N, FIELDS, WIDTH)
    x = fields.reshape(N, -1)
    cross = ours.cross(x)
    beside = plain(ours.top.parallel, x if variant == "published" else cross)
    expected = joined(ours.top.logit, plain(ours.top.stacked, cross), beside)
    torch.testing.assert_close(ours(fields), expected)


# --------------------------------------------------------------------------- masks, gates, heads


def masked(block: nn.Module, hidden: Tensor, x: Tensor) -> Tensor:
    mask = functional.relu(block.aggregate(x))
    mask = block.project(mask)
    return functional.relu(block.norm((mask * hidden) @ block.linear.weight.T))


@pytest.mark.parametrize("structure", ["parallel", "serial"])
def test_masknet_block_by_block(structure: str) -> None:
    ours = predictor("masknet", structure=structure, blocks=3, block_width=5, reduction=1.5)
    fields = draw(N, FIELDS, WIDTH)
    x = fields.reshape(N, -1)
    norms = [nn.LayerNorm(WIDTH) for _ in range(FIELDS)]
    for norm, scale, shift in zip(norms, ours.scale, ours.shift, strict=True):
        set_(norm.weight, scale.tolist())
        set_(norm.bias, shift.tolist())
    hidden = torch.cat([norm(fields[:, i]) for i, norm in enumerate(norms)], dim=1)
    assert ours.blocks[0].aggregate.out_features == 18
    if structure == "serial":
        for block in ours.blocks:
            hidden = masked(block, hidden, x)
        expected = joined(ours.top, hidden)
    else:
        each = [masked(block, hidden, x) for block in ours.blocks]
        expected = plain(ours.top, torch.cat(each, dim=1))
    torch.testing.assert_close(ours(fields), expected)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("gates", [None, (0, -1), (2, 2)])
def test_finalmlp_head_by_head(heads: int, gates: tuple[int, int] | None) -> None:
    ours = predictor("finalmlp", heads=heads, gates=gates, second_tower=(5, 9))
    fields = draw(N, FIELDS, WIDTH)
    x = fields.reshape(N, -1)
    one, two = x, x
    if gates is not None:
        weights = [
            2 * torch.sigmoid(gate.out(functional.relu(gate.hidden(fields[:, context]))))
            for gate, context in zip(ours.gates, gates, strict=True)
        ]
        one, two = (weight * x for weight in weights)
    one, two = plain(ours.first, one), plain(ours.second, two)
    expected = joined(ours.of_first, one) + joined(ours.of_second, two)
    for head, (a, b) in enumerate(zip(one.chunk(heads, 1), two.chunk(heads, 1), strict=True)):
        expected = expected + torch.einsum("ni,ij,nj->n", a, ours.product[head], b)
    torch.testing.assert_close(ours(fields), expected)


def test_gates_are_open_by_half_at_first() -> None:
    card = PREDICTORS.get("finalmlp")
    torch.manual_seed(0)
    ours = card.build(card.config(tower=(6, 6)), 16, 3)
    weights = ours.gates[0](0.01 * draw(N, 16))
    assert (weights - 1).abs().max() < 0.2


@pytest.mark.parametrize("variant", ["published", "reference"])
@pytest.mark.parametrize("width", [WIDTH, 8])
def test_autoint_pair_by_pair(variant: str, width: int) -> None:
    """No scaling, a matrix for what is added; in the reference none where widths are equal."""
    out, heads = 8, 2
    ours = predictor("autoint", width, variant=variant, attention_width=out, heads=heads, layers=2)
    fields = draw(N, FIELDS, width)
    states = fields
    for layer in ours.layers:
        matrices = layer.linear.weight.split(out)
        same = variant == "reference" and states.shape[2] == out
        assert len(matrices) == (3 if same else 4)
        q, k, v = (torch.einsum("nfi,oi->nfo", states, matrix) for matrix in matrices[:3])
        made = torch.zeros(N, FIELDS, out)
        for i in range(FIELDS):
            for head in range(heads):
                part = slice(head * out // heads, (head + 1) * out // heads)
                scores = [(q[:, i, part] * k[:, j, part]).sum(1) for j in range(FIELDS)]
                weights = torch.stack(scores, dim=1).softmax(1)
                made[:, i, part] = sum(weights[:, j, None] * v[:, j, part] for j in range(FIELDS))
        states = functional.relu(made + (states if same else states @ matrices[3].T))
    expected = joined(ours.logit, states.reshape(N, -1))
    expected = expected + plain(ours.tower, fields.reshape(N, -1))
    torch.testing.assert_close(ours(fields), expected)
    alone = predictor("autoint", width, deep=False)
    assert not [key for key, _ in alone.named_parameters() if "tower" in key]


# ------------------------------------------------------------------------------------- users


@pytest.mark.parametrize("variant", ["published", "reference"])
def test_din_hands_the_candidate_to_its_tower(variant: str) -> None:
    """In the reference the tower reads the interest alone (G5)."""
    ours = predictor("din", variant=variant, activation="relu")
    user, item = draw(N, 6, WIDTH), draw(N, WIDTH)
    mask = torch.arange(6) < torch.tensor([6, 3, 0, 1, 5])[:, None]
    v = ours.attention(user, mask, item)
    x = torch.cat([v, item, v * item], dim=1) if variant == "published" else v
    torch.testing.assert_close(ours(user, item, mask), plain(ours.tower, x))


def test_miner_by_hand() -> None:
    """u1 . t = 1, u2 . t = 2; with W = 1 the attention is softmax(gelu(1), gelu(4) / 2)."""
    user, item = torch.tensor([[[1.0, 0.0], [0.0, 4.0]]]), torch.tensor([[1.0, 0.5]])
    assert predictor("miner", 2, score="max")(user, item).tolist() == [2.0]
    assert predictor("miner", 2, score="mean")(user, item).tolist() == [1.5]
    ours = predictor("miner", 2)
    set_(ours.attention.weight, [[1.0, 0.0], [0.0, 1.0]])
    one, two = 0.5 * (1 + math.erf(math.sqrt(0.5))), 2 * 0.5 * (1 + math.erf(4 * math.sqrt(0.5)))
    share = 1 / (1 + math.exp(two - one))
    assert ours(user, item).item() == pytest.approx(share * 1.0 + (1 - share) * 2.0, rel=1e-6)


def test_the_penalty_of_interests_that_resemble_each_other() -> None:
    """Cosines 1 and 0 of the four ordered pairs' two: 0.8 * (2 / 4 + 0) / 2."""
    user = torch.tensor([[[1.0, 0.0], [5.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]])
    assert predictor("miner", 2).penalty(user).item() == pytest.approx(0.8 * 0.25)
    assert predictor("miner", 2, disagreement=0).penalty(user).item() == 0


@pytest.mark.parametrize("base", ["dcn", "deepfm"])
def test_a_mixture_pair_by_pair(base: str) -> None:
    ours = predictor("mixture", fields=6, base=base)
    user, item = draw(N, 3, WIDTH), draw(N, 2, WIDTH)
    expected = ours.weight.bias.expand(N)
    for k in range(3):
        for level in range(2):
            logits = ours.base(torch.stack([user[:, k], item[:, level]], dim=1))
            expected = expected + ours.weight.weight[0, 2 * k + level] * logits
    torch.testing.assert_close(ours(user, item), expected)


def test_a_mixture_hands_its_settings_to_its_base() -> None:
    ours = predictor("mixture", fields=4, base="dcnv2", variant="reference", tower=(5,))
    assert [layer.out_features for layer in ours.base.top.stacked.layers] == [5]
    assert isinstance(ours.base.cross, CrossMixture)
