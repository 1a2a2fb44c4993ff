"""Every item operator: padding, missing words, order; then each by hand or against a plain form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators.tables import scaled

WIDTH = 16
NO_WORDS, TITLE_ONLY = 5, 6
VOCABULARY = 12
TOKENS = {
    "title": [
        [2, 3, 4, 0],
        [5, 0, 0, 0],
        [3, 3, 6, 2],
        [7, 8, 0, 0],
        [2, 9, 5, 0],
        [0] * 4,
        [4, 6, 0, 0],
    ],
    "body": [
        [9, 8, 7, 6, 5],
        [2, 2, 0, 0, 0],
        [3, 0, 0, 0, 0],
        [8, 6, 4, 2, 0],
        [5, 4, 0, 0, 0],
        [0] * 5,
        [0] * 5,
    ],
    "genre": [[10], [11], [10], [11], [10], [0], [0]],
}
CONTENT = Content(
    n=7,
    columns={name: np.array(rows, dtype=np.int32) for name, rows in TOKENS.items()},
    vocabulary=VOCABULARY,
    vector=np.random.default_rng(3).normal(size=(7, 6)).astype(np.float32),
    code=np.random.default_rng(4).integers(4, size=(7, 3)),
    code_sizes=(4, 4, 4),
)

ELSEWHERE = {"language-model", "iisan"}
"""Operators around a pretrained model, which have tests of their own."""

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "pooling": [{"pool": "max"}, {"join": "concat"}, {"embedding_size": 5}],
    "vector": [{"mode": "initialised"}, {"scale": "standard"}],
    "cnn": [{"variant": "reference"}, {"embedding_size": 5, "window": 1}],
    "cnn-columns": [{"variant": "reference"}, {"embedding_size": 5}],
    "attention": [
        {"variant": "reference"},
        {"embedding_size": 5, "separators": True},
        {"variant": "reference", "embedding_size": 24},
    ],
    "transformer": [{"separators": True, "embedding_size": 8}, {"query_size": 3}],
    "fastformer": [{"separators": True, "embedding_size": 32}],
}
CASES = [
    (name, given)
    for name in ITEM_OPERATORS.names()
    if name not in ELSEWHERE
    for given in [{}, *SETTINGS.get(name, [])]
]
CASE_NAMES = [f"{name}-{'-'.join(map(str, given.values()))}".rstrip("-") for name, given in CASES]
every_case = pytest.mark.parametrize(("name", "given"), CASES, ids=CASE_NAMES)
of_words = pytest.mark.parametrize(
    ("name", "given"),
    [case for case in CASES if ITEM_OPERATORS.get(case[0]).reads == "text"],
    ids=[
        case_name
        for case, case_name in zip(CASES, CASE_NAMES, strict=True)
        if ITEM_OPERATORS.get(case[0]).reads == "text"
    ],
)


def operator(name: str, content: Content = CONTENT, width: int = WIDTH, **given: Any) -> nn.Module:
    """An operator that does not drop, from the same draw each time."""
    torch.manual_seed(0)
    card = ITEM_OPERATORS.get(name)
    return card.build(card.settings(given, where="test"), content, width).eval()


def spread(module: nn.Module) -> nn.Module:
    """The same with large weights, so that a difference anywhere shows."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    for words in module.modules():
        if type(words).__name__ == "Words":
            with torch.no_grad():
                words.table[0] = 0.0
    return module


def items(*rows: int) -> Tensor:
    return torch.tensor(rows or range(CONTENT.n))


def columns(**changed: Any) -> Content:
    """A catalogue of the given columns only."""
    arrays = {name: np.array(rows, dtype=np.int32) for name, rows in changed.items()}
    return Content(n=len(next(iter(arrays.values()))), columns=arrays, vocabulary=VOCABULARY)


# ----------------------------------------------------------------------------- every operator


@every_case
def test_a_vector_an_item_whatever_else_is_asked_for(name, given):
    ours = spread(operator(name, **given))
    every = ours(items())
    assert every.shape[0] == CONTENT.n
    assert every.shape[-1] == WIDTH
    assert every.dim() == (3 if ITEM_OPERATORS.get(name).makes == "vectors" else 2)
    assert every.isfinite().all()
    some = [4, NO_WORDS, 1, 4]
    torch.testing.assert_close(ours(items(*some)), every[some], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours(items(1)), every[[1]], rtol=1e-5, atol=1e-6)


@every_case
def test_all_that_is_trained_has_a_gradient(name, given):
    ours = operator(name, **given)
    out = ours(items())
    (out * torch.randn_like(out)).sum().backward()
    for parameter_name, parameter in ours.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@every_case
def test_what_it_reads_stays_as_it_was(name, given):
    """G19, and the state of a network holds what is learnt and nothing of the catalogue."""
    before = [array.copy() for array in CONTENT.columns.values()]
    vector, asked = CONTENT.vector.copy(), items()
    ours = operator(name, **given).train()
    ours(asked).sum().backward()
    assert torch.equal(asked, items())
    for array, copy in zip(CONTENT.columns.values(), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(CONTENT.vector, vector)
    assert set(ours.state_dict()) == {name for name, _ in ours.named_parameters()}


@every_case
def test_it_runs_in_bfloat16(name, given):
    ours = operator(name, **given)
    exact = ours(items())
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours.train()(items())  # what drops has a way of its own
        rough.float().square().sum().backward()
        torch.testing.assert_close(ours.eval()(items()).float(), exact, rtol=0.1, atol=0.1)
    for parameter in ours.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@of_words
def test_more_padding_changes_nothing(name, given):
    wide = {
        column: tokens if column == "genre" else np.pad(tokens, ((0, 0), (0, 3)))
        for column, tokens in CONTENT.columns.items()
    }
    ours = spread(operator(name, **given))
    padded = spread(operator(name, replace(CONTENT, columns=wide), **given))
    torch.testing.assert_close(padded(items()), ours(items()), rtol=1e-5, atol=1e-6)


@of_words
def test_padding_is_the_zero_vector_and_is_never_trained(name, given):
    ours = operator(name, **given)
    table = next(p for key, p in ours.named_parameters() if key.endswith("words.table"))
    # Weight decay is part of the gradient of Adam: a row that is not zero would shrink.
    optimiser = torch.optim.Adam(ours.parameters(), lr=0.1, weight_decay=0.1)
    first = table[2].clone()
    for _ in range(3):
        optimiser.zero_grad()
        ours(items()).square().sum().backward()
        optimiser.step()
    assert not table[0].any()
    assert not torch.equal(table[2], first)


@of_words
def test_an_item_without_a_word_is_defined_and_teaches_nothing_wrong(name, given):
    ours = spread(operator(name, **given))
    alone = ours(items(NO_WORDS))
    assert alone.isfinite().all()
    if not isinstance(getattr(ours, "out", None), nn.Linear):
        assert not alone.any()
    alone.sum().backward()
    for parameter in ours.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


ORDER_MATTERS = {
    "pooling": False,
    "attention": False,
    "cnn": True,
    "cnn-columns": True,
    "transformer": True,
    "fastformer": True,
}


@of_words
def test_whether_the_order_of_words_matters(name, given):
    turned = dict(CONTENT.columns)
    turned["body"] = turned["body"].copy()
    turned["body"][0] = turned["body"][0, ::-1]
    ours = spread(operator(name, **given))
    other = spread(operator(name, replace(CONTENT, columns=turned), **given))
    same = torch.allclose(ours(items(0)), other(items(0)), rtol=1e-4, atol=1e-5)
    matters = ORDER_MATTERS[name] and given.get("window") != 1
    assert same == (not matters)


@of_words
def test_an_operator_of_words_needs_words(name, given):
    with pytest.raises(UsageError, match=f"{name} needs the items' text, and no item has a word"):
        operator(name, Content(n=3, vocabulary=2), **given)


# ---------------------------------------------------------------------------- ids and vectors


def test_ids_are_rows_of_a_table():
    ours = operator("id", init_std=0.01)
    assert ours.table.shape == (7, WIDTH)
    assert 0.005 < ours.table.std().item() < 0.02
    assert torch.equal(ours(items(6, 2)), ours.table[[6, 2]])


def test_frozen_vectors_are_projected():
    ours = operator("vector")
    expected = torch.from_numpy(CONTENT.vector) @ ours.out.weight.T + ours.out.bias
    torch.testing.assert_close(ours(items()), expected)
    assert {name for name, _ in ours.named_parameters()} == {"out.weight", "out.bias"}


def test_initialised_vectors_begin_as_the_encoders_and_are_trained():
    ours = operator("vector", mode="initialised", scale="none")
    torch.testing.assert_close(ours.table.detach(), torch.from_numpy(CONTENT.vector))
    torch.testing.assert_close(ours(items()), operator("vector")(items()))
    ours(items(3)).sum().backward()
    assert ours.table.grad.any(dim=1).tolist() == [False] * 3 + [True] + [False] * 3


def test_projected_vectors_are_dropped_in_training():
    ours = operator("vector", dropout=0.5).train()
    shares = torch.stack([ours(items()) == 0 for _ in range(50)]).float().mean()
    assert 0.45 < shares < 0.55


def test_vectors_are_needed():
    with pytest.raises(UsageError, match="vector needs encoded text, and the items have none"):
        operator("vector", Content(n=3))


def test_scales_of_vectors_by_hand():
    vectors = np.array([[3, 4, 7], [0, 0, 7], [-3, 8, 7]], dtype=np.float32)
    np.testing.assert_array_equal(scaled(vectors, "none"), vectors)
    unit = scaled(vectors, "unit")
    np.testing.assert_allclose(unit[0], np.array([3, 4, 7]) / 74**0.5, rtol=1e-6)
    # Means 0, 4 and 7, variances 6, 32/3 and 0.
    expected = [[1.5**0.5, 0, 0], [0, -(1.5**0.5), 0], [-(1.5**0.5), 1.5**0.5, 0]]
    np.testing.assert_allclose(scaled(vectors, "standard"), expected, atol=1e-6)
    assert scaled(np.zeros((2, 3), np.float32), "unit").tolist() == [[0] * 3] * 2
    np.testing.assert_array_equal(vectors[0], [3, 4, 7])


def test_a_constant_dimension_is_not_blown_up():
    """The mean of 1,000 times 0.1 is not 0.1 in floating point; the rest is rounding, not data."""
    vectors = np.full((1000, 1), 0.1, dtype=np.float32)
    assert not scaled(vectors, "standard").any()


# ------------------------------------------------------------------------------------- pooling


def with_words(ours: nn.Module, rows: dict[int, list[float]]) -> nn.Module:
    with torch.no_grad():
        for token, row in rows.items():
            ours.words.table[token] = torch.tensor(row)
    return ours


WORDS = {2: [1.0, 10.0], 3: [3.0, -10.0], 4: [8.0, 0.0]}
TOY = columns(title=[[2, 3], [3, 0], [0, 0]], body=[[4, 0, 0], [0, 0, 0], [2, 2, 3]])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Title means (2, 0), (3, -10), (0, 0); body means (8, 0), (0, 0), (5/3, 10/3).
        ({}, [[5, 0], [1.5, -5], [5 / 6, 5 / 3]]),
        # Title maxima (3, 10), (3, -10), (0, 0); body maxima (8, 0), (0, 0), (3, 10).
        ({"pool": "max"}, [[5.5, 5], [1.5, -5], [1.5, 5]]),
    ],
)
def test_pooling_by_hand(given, expected):
    ours = with_words(operator("pooling", TOY, 2, **given), WORDS)
    torch.testing.assert_close(ours(items(0, 1, 2)), torch.tensor(expected))


def test_columns_end_to_end_are_projected():
    ours = with_words(operator("pooling", TOY, 2, join="concat"), WORDS)
    joined = torch.tensor([[2.0, 0, 8, 0], [3, -10, 0, 0], [0, 0, 5 / 3, 10 / 3]])
    torch.testing.assert_close(ours(items(0, 1, 2)), joined @ ours.out.weight.T + ours.out.bias)


# ------------------------------------------------------------------------------- convolutions


def test_a_convolution_of_three_tokens_by_hand():
    """One filter (1, 2, -1) with bias -1 over the words 1, 2, 4, and over 4, 1 then padding.

    First: -1 + 0*1 + 2*1 - 2 = -1; -1 + 1 + 4 - 4 = 0; -1 + 2 + 8 - 0 = 9; after the ReLU 0, 0, 9.
    Second: -1 + 8 - 1 = 6; -1 + 4 + 2 - 0 = 5, and padding is not pooled.
    """
    ours = operator("cnn", columns(title=[[2, 3, 4], [4, 2, 0]]), 1, variant="reference")
    with_words(ours, {2: [1.0], 3: [2.0], 4: [4.0]})
    with torch.no_grad():
        ours.convolution.filters.weight.copy_(torch.tensor([[[1.0, 2.0, -1.0]]]))
        ours.convolution.filters.bias.fill_(-1)
        ours.pool.query.weight.zero_()  # equal weights: the mean
    torch.testing.assert_close(ours(items(0, 1)), torch.tensor([[3.0], [5.5]]))


def test_published_naml_has_an_encoder_a_view_and_weighs_views():
    ours = spread(operator("cnn"))
    assert len(ours.views) == 3
    x = ours.words(torch.from_numpy(CONTENT.columns["title"]))[0, :3]
    vectors = []
    for view, name, n in zip(ours.views, ("title", "body"), (3, 5), strict=False):
        x = ours.words(torch.from_numpy(CONTENT.columns[name]))[0, :n]
        filters = nn.functional.conv1d(
            x.T[None], view.convolution.filters.weight, view.convolution.filters.bias, padding=1
        )[0].T.relu()
        weights = view.pool.query(view.pool.project(filters).tanh()).softmax(0)
        vectors.append((weights * filters).sum(0))
    vectors.append(ours.views[2](ours.words.table[10]).relu())
    views = torch.stack(vectors)
    weights = ours.pool.query(ours.pool.project(views).tanh()).softmax(0)
    torch.testing.assert_close(ours(items(0))[0], (weights * views).sum(0))
    # Without body and genre the title has all of the weight.
    title = ours.views[0](
        ours.words(torch.from_numpy(CONTENT.columns["title"]))[[TITLE_ONLY], :2],
        torch.ones(1, 2, dtype=torch.bool),
    )
    torch.testing.assert_close(ours(items(TITLE_ONLY)), title)


def test_reference_naml_has_one_convolution_and_weighs_positions():
    ours = spread(operator("cnn", variant="reference"))
    positions = []
    for name, n in (("title", 3), ("body", 5)):
        x = ours.words(torch.from_numpy(CONTENT.columns[name]))[[0], :n]
        positions.append(ours.convolution(x, torch.ones(1, n, dtype=torch.bool))[0])
    positions.append(ours.dense(ours.words.table[[10]]))
    joined = torch.cat(positions)
    weights = ours.pool.query(ours.pool.project(joined).tanh()).softmax(0)
    torch.testing.assert_close(ours(items(0))[0], (weights * joined).sum(0))


@pytest.mark.parametrize("variant", ["published", "reference"])
@pytest.mark.parametrize("name", ["cnn", "cnn-columns"])
def test_nothing_is_made_that_no_column_uses(name, variant):
    words = operator(name, columns(title=[[2, 3]]), 4, variant=variant)
    category = operator(name, columns(genre=[[2]]), 4, variant=variant)
    assert not any("dense" in key for key, _ in words.named_parameters())
    assert not any("convolution" in key for key, _ in category.named_parameters())


def test_lstur_joins_columns_and_its_port_shares_the_encoder():
    published = spread(operator("cnn-columns"))
    reference = spread(operator("cnn-columns", variant="reference"))
    assert (len(published.views), len(reference.views)) == (2, 1)
    for ours in (published, reference):
        parts = [
            ours.views[i % len(ours.views)](
                ours.words(torch.from_numpy(CONTENT.columns[name]))[[0], :n],
                torch.ones(1, n, dtype=torch.bool),
            )
            for i, (name, n) in enumerate((("title", 3), ("body", 5)))
        ]
        joined = torch.cat([*parts, ours.words.table[[10]]], dim=1)
        torch.testing.assert_close(ours(items(0)), ours.out(joined))


def test_one_column_of_lstur_needs_no_projection():
    """G6: the width is the model's, however many columns there are."""
    ours = operator("cnn-columns", columns(title=[[2, 3]]), 4)
    assert isinstance(ours.out, nn.Identity)


def test_windows_are_odd():
    with pytest.raises(UsageError, match="cnn: window: has to be odd, got 2"):
        ITEM_OPERATORS.get("cnn").settings({"window": 2}, where="item")


# -------------------------------------------------------------------------------- sequences


def test_columns_become_one_sequence():
    plain = operator("transformer").sequence(items(0, TITLE_ONLY, NO_WORDS))
    assert plain.tolist() == [[2, 3, 4, 9, 8, 7, 6, 5, 10], [4, 6] + [0] * 7, [0] * 9]
    ended = operator("transformer", separators=True).sequence(items(1, TITLE_ONLY, NO_WORDS))
    assert ended.tolist() == [[5, 12, 2, 2, 12, 11, 12], [4, 6, 12, 0, 0, 0, 0], [0] * 7]


@pytest.mark.parametrize("name", ["attention", "transformer", "fastformer"])
def test_heads_have_to_divide_the_width(name):
    with pytest.raises(UsageError, match=f"{name}: heads=5 does not divide the width {WIDTH}"):
        operator(name, heads=5)


def test_the_heads_of_the_reference_divide_the_width_of_words():
    operator("attention", width=12, variant="reference", embedding_size=WIDTH)
    with pytest.raises(UsageError, match="attention: heads=8 does not divide the width 12"):
        operator("attention", variant="reference", embedding_size=12)


def test_nrms_reads_words_without_an_output_projection():
    ours = spread(operator("attention", columns(title=[[2, 3, 4]])))
    x = ours.words.table[[2, 3, 4]]
    q, k, v = (x @ part.T for part in ours.encoder.attention.qkv.weight.split(WIDTH))
    # 16 heads of width 1: a product of numbers for each.
    mixed = torch.stack(
        [(torch.outer(q[:, h], k[:, h]).softmax(1) @ v[:, h]) for h in range(16)], dim=1
    )
    pool = ours.encoder.pool
    weights = pool.query(pool.project(mixed).tanh()).softmax(0)
    torch.testing.assert_close(ours(items(0))[0], (weights * mixed).sum(0))


def test_reference_nrms_is_torchs_attention_and_a_dense_layer():
    ours = spread(operator("attention", columns(title=[[2, 3, 4]]), variant="reference"))
    attention, (out, dense) = ours.encoder.attention, ours.encoder.after
    torchs = nn.MultiheadAttention(WIDTH, 8, batch_first=True)
    torchs.load_state_dict(
        {
            "in_proj_weight": attention.qkv.weight,
            "in_proj_bias": attention.qkv.bias,
            "out_proj.weight": out.weight,
            "out_proj.bias": out.bias,
        }
    )
    x = ours.words.table[[2, 3, 4]][None]
    mixed = dense(torchs(x, x, x, need_weights=False)[0])
    pool = ours.encoder.pool
    weights = pool.query(pool.project(mixed).tanh()).softmax(1)
    torch.testing.assert_close(ours(items(0)), (weights * mixed).sum(1))


def test_a_variant_brings_its_values_where_none_are_given():
    card = ITEM_OPERATORS.get("attention")
    published, reference = (
        card.settings({"variant": variant}, where="item") for variant in ("published", "reference")
    )
    assert (published.heads, published.query_size, published.dropout) == (16, 200, 0.2)
    assert (reference.heads, reference.query_size, reference.dropout) == (8, 256, 0.1)
    mixed = card.settings({"variant": "reference", "heads": 4}, where="item")
    assert (mixed.heads, mixed.query_size) == (4, 256)
    assert card.settings(mixed.model_dump(mode="json"), where="item") == mixed
