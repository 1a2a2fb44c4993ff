"""Every user operator: padding, empty histories, order; then each against a plain form of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import USER_OPERATORS, Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.user_operators.poly_attention import disagreement

WIDTH, LEVELS = 16, 3
CONTENT = Content(
    n=8,
    columns={
        "title": np.array(
            [[2, 3, 0], [4, 0, 0], [5, 6, 2], [7, 0, 0], [3, 3, 0], [2, 5, 0], [6, 7, 0], [0] * 3],
            dtype=np.int32,
        ),
        "genre": np.array([[8], [9], [8], [9], [8], [0], [9], [0]], dtype=np.int32),
    },
    vocabulary=10,
    code=np.zeros((8, LEVELS), dtype=np.int64),
    code_sizes=(1,) * LEVELS,
)
NO_WORDS = 7
LENGTHS = torch.tensor([4, 2, 0, 1])
EMPTY = 2

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "pooling": [{"pool": "max"}],
    "additive-attention": [{"variant": "reference"}],
    "attention": [{"variant": "reference"}],
    "gru": [{"variant": "reference"}],
    "poly-attention": [{"interests": 4}],
    "target-attention": [{"activation": "prelu"}, {"softmax": True}],
    "target-transformer": [{"readout": "target"}, {"layers": 2, "length": 4}],
    "transformer": [{"layers": 1, "query_size": 3}],
    "fastformer": [{"layers": 2, "heads": 4}],
    "flatten-transformer": [{"separators": False}, {"embedding_size": 8, "length": 5}],
    "flatten-fastformer": [{"separators": False, "embedding_size": 32}],
    "levels": [{"each": "gru"}],
}
CASES = [
    (name, given) for name in USER_OPERATORS.names() for given in [{}, *SETTINGS.get(name, [])]
]
every_case = pytest.mark.parametrize(
    ("name", "given"),
    CASES,
    ids=[f"{name}-{'-'.join(map(str, given.values()))}".rstrip("-") for name, given in CASES],
)


def operator(name: str, width: int = WIDTH, **given: Any) -> nn.Module:
    """An operator that does not drop, from the same draw each time, with large weights."""
    torch.manual_seed(0)
    card = USER_OPERATORS.get(name)
    module = card.build(card.settings(given, where="test"), CONTENT, width).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
        for key, parameter in module.named_parameters():
            if key.endswith("words.table"):
                parameter[0] = 0.0
    return module


def histories(name: str, *, wide: int = 4) -> tuple[Clicks, Tensor]:
    """Four users who clicked 4, 2, 0 and 1 items, padded to `wide` with items of weight; and what
    each is asked about."""
    rng = torch.Generator().manual_seed(7)
    mask = torch.arange(wide) < LENGTHS[:, None]
    levels = (LEVELS,) if USER_OPERATORS.get(name).reads == "vectors" else ()
    table = torch.randn(CONTENT.n, *levels, WIDTH, generator=rng)
    clicked = torch.tensor([[0, 1, 2, 3], [4, 2, 0, 0], [0] * 4, [6, 0, 0, 0]])
    items = torch.full((4, wide), 5)
    items[:, :4] = clicked.where(mask[:, :4], 5)
    reads_items = USER_OPERATORS.get(name).reads == "text"
    candidate = torch.randn(4, *levels, WIDTH, generator=rng)
    return Clicks(items, mask, None if reads_items else table[items]), candidate


def run(ours: nn.Module, name: str, clicks: Clicks, candidate: Tensor) -> Tensor:
    out: Tensor = (
        ours(clicks, candidate) if USER_OPERATORS.get(name).per_candidate else ours(clicks)
    )
    return out


def rows(clicks: Clicks, keep: list[int], columns: slice = slice(None)) -> Clicks:
    vectors = None if clicks.vectors is None else clicks.vectors[keep][:, columns]
    return Clicks(clicks.items[keep][:, columns], clicks.mask[keep][:, columns], vectors)


# ----------------------------------------------------------------------------- every operator


@every_case
def test_its_shape_is_what_its_card_says(name, given):
    clicks, candidate = histories(name)
    out = run(operator(name, **given), name, clicks, candidate)
    makes = USER_OPERATORS.get(name).makes
    assert out.dim() == {"vector": 2, "vectors": 3, "sequence": 3}[makes]
    assert out.shape[0] == 4
    assert out.shape[-1] == WIDTH
    if makes == "sequence":
        assert out.shape[1] == 4
    assert out.isfinite().all()


@every_case
def test_what_stands_in_the_padding_changes_nothing(name, given):
    ours = operator(name, **given)
    clicks, candidate = histories(name)
    before = run(ours, name, clicks, candidate)
    items = clicks.items.where(clicks.mask, 3)
    vectors = clicks.vectors
    if vectors is not None:
        vectors = vectors.clone()
        vectors[~clicks.mask] = float("nan")
    after = run(ours, name, Clicks(items, clicks.mask, vectors), candidate)
    assert torch.equal(after, before)


@every_case
def test_more_padding_changes_nothing(name, given):
    ours = operator(name, **given)
    before = run(ours, name, *histories(name))
    after = run(ours, name, *histories(name, wide=9))
    if USER_OPERATORS.get(name).makes == "sequence":
        assert not after[:, 4:].any()
        after = after[:, :4]
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)


@every_case
def test_a_user_is_read_alone_as_among_others(name, given):
    ours = operator(name, **given)
    clicks, candidate = histories(name)
    whole = run(ours, name, clicks, candidate)
    for user, length in enumerate(LENGTHS.tolist()):
        alone = rows(clicks, [user], slice(max(length, 1)))
        out = run(ours, name, alone, candidate[[user]])
        if USER_OPERATORS.get(name).makes == "sequence":
            out = nn.functional.pad(out, (0, 0, 0, 4 - out.shape[1]))
        torch.testing.assert_close(out, whole[[user]], rtol=1e-5, atol=1e-6)


@every_case
@pytest.mark.parametrize("training", [False, True])
def test_nothing_clicked_is_zero_and_teaches_nothing(name, given, training):
    """G20: also where nobody of a batch clicked anything."""
    ours = operator(name, **given).train(training)
    clicks, candidate = histories(name)
    for who in ([EMPTY], [0, EMPTY]):
        asked = candidate[who].requires_grad_()
        out = run(ours, name, rows(clicks, who), asked)
        empty = out[who.index(EMPTY)]
        assert empty.isfinite().all()
        if name != "target-transformer":
            assert not empty.any()
        ours.zero_grad()
        if out.requires_grad:
            empty.sum().backward()
        for parameter in ours.parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all()
            if name != "target-transformer":
                assert parameter.grad is None or not parameter.grad.any()


@every_case
def test_gradients_are_finite_and_reach_all_that_is_trained(name, given):
    ours = operator(name, **given)
    clicks, candidate = histories(name)
    vectors = None if clicks.vectors is None else clicks.vectors.clone().requires_grad_()
    out = run(ours, name, clicks._replace(vectors=vectors), candidate)
    if out.requires_grad:
        (out * torch.randn_like(out)).sum().backward()
    for parameter_name, parameter in ours.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name
    if vectors is not None:
        assert not vectors.grad[~clicks.mask].any()
        assert vectors.grad[clicks.mask].isfinite().all()
        assert vectors.grad[clicks.mask].any()


@every_case
def test_clicks_stay_as_they_were(name, given):
    """G19."""
    clicks, candidate = histories(name)
    copies = [None if part is None else part.clone() for part in (*clicks, candidate)]
    run(operator(name, **given).train(), name, clicks, candidate)
    for part, copy in zip((*clicks, candidate), copies, strict=True):
        assert (part is None and copy is None) or torch.equal(part, copy)


@every_case
def test_it_runs_in_bfloat16(name, given):
    ours = operator(name, **given)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.mul_(0.2)
    clicks, candidate = histories(name)
    exact = run(ours, name, clicks, candidate)
    with torch.autocast("cpu", torch.bfloat16):
        rough = run(ours.train(), name, clicks, candidate)
        if rough.requires_grad:
            rough.float().square().sum().backward()
        again = run(ours.eval(), name, clicks, candidate).float()
    if "dice" not in str(USER_OPERATORS.get(name).settings(given, where="test")):
        # Dice's running means have moved with the training step.
        torch.testing.assert_close(again, exact, rtol=0.1, atol=0.1)
    assert rough.isfinite().all()
    for parameter in ours.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


ORDER_MATTERS = {
    "pooling": False,
    "additive-attention": False,
    "attention": False,
    "gru": True,
    "transformer": True,
    "fastformer": True,
    "poly-attention": False,
    "target-attention": False,
    "target-transformer": True,
    "none": True,
    "flatten-transformer": True,
    "flatten-fastformer": True,
}


@pytest.mark.parametrize("name", ORDER_MATTERS)
def test_whether_the_order_of_clicks_matters(name):
    ours = operator(name)
    clicks, candidate = histories(name)
    order = [2, 0, 3, 1]
    turned = Clicks(
        clicks.items[:1, order],
        clicks.mask[:1],
        None if clicks.vectors is None else clicks.vectors[:1, order],
    )
    one = run(ours, name, rows(clicks, [0]), candidate[:1])
    other = run(ours, name, turned, candidate[:1])
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-5) == (not ORDER_MATTERS[name])


def test_every_operator_is_said_to_mind_the_order_or_not():
    assert set(ORDER_MATTERS) | {"levels"} == set(USER_OPERATORS.names())  # levels has others in it


@pytest.mark.parametrize("name", ["attention", "transformer", "fastformer", "target-transformer"])
def test_heads_have_to_divide_the_width(name):
    with pytest.raises(UsageError, match=f"{name}: heads=5 does not divide the width {WIDTH}"):
        operator(name, heads=5)


@pytest.mark.parametrize("name", ["transformer", "fastformer", "target-transformer"])
def test_histories_longer_than_the_positions_are_refused(name):
    ours = operator(name, length=3)
    clicks, candidate = histories(name)
    run(ours, name, rows(clicks, [1, 3]), candidate[[1, 3]])  # as wide, but not as long
    with pytest.raises(UsageError, match="has positions for 3 items, and a history has 4") as error:
        run(ours, name, clicks, candidate)
    assert "set its length to 4" in str(error.value)


# ------------------------------------------------------------------------------- one by one


def vectors_of(name: str) -> tuple[Clicks, Tensor]:
    clicks, _ = histories(name)
    assert clicks.vectors is not None
    return clicks, clicks.vectors


def test_pooling_by_hand():
    vectors = torch.tensor([[[1.0, 8.0], [3.0, -2.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    clicks = Clicks(torch.zeros(1, 3, dtype=torch.int64), mask, vectors)
    assert operator("pooling", 2)(clicks).tolist() == [[2, 3]]
    assert operator("pooling", 2, pool="max")(clicks).tolist() == [[3, 8]]


def test_the_sequence_is_passed_through():
    clicks, vectors = vectors_of("none")
    out = operator("none")(clicks)
    assert torch.equal(out[clicks.mask], vectors[clicks.mask])
    assert not out[~clicks.mask].any()


@pytest.mark.parametrize("variant", ["published", "reference"])
def test_the_gru_is_that_of_packed_sequences(variant):
    ours = operator("gru", variant=variant)
    clicks, vectors = vectors_of("gru")
    real = [0, 1, 3]
    packed = nn.utils.rnn.pack_padded_sequence(
        vectors[real], LENGTHS[real], batch_first=True, enforce_sorted=False
    )
    _, last = ours.gru(packed)
    expected = ours.out(last[0])
    assert isinstance(ours.out, nn.Linear) == (variant == "reference")
    torch.testing.assert_close(ours(clicks)[real], expected)


@pytest.mark.parametrize(("variant", "heads"), [("published", 16), ("reference", 8)])
def test_nrms_reads_each_user_as_plain_attention_does(variant, heads):
    ours = operator("attention", variant=variant)
    clicks, vectors = vectors_of("attention")
    attention, pool = ours.encoder.attention, ours.encoder.pool
    x = vectors[1, :2]
    bias = 0 if attention.qkv.bias is None else attention.qkv.bias
    q, k, v = (x @ attention.qkv.weight.T + bias).split(WIDTH, dim=1)
    size, parts = WIDTH // heads, []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        weights = (q[:, part] @ k[:, part].T / math.sqrt(size)).softmax(1)
        parts.append(weights @ v[:, part])
    mixed = ours.encoder.after(torch.cat(parts, dim=1))
    weights = pool.query(pool.project(mixed).tanh()).softmax(0)
    torch.testing.assert_close(ours(clicks)[1], (weights * mixed).sum(0))


def test_interests_by_loops():
    """G4: what was not clicked has no weight in any interest."""
    ours = operator("poly-attention", interests=3, query_size=5)
    clicks, vectors = vectors_of("poly-attention")
    out = ours(clicks)
    assert out.shape == (4, 3, WIDTH)
    for user, n in ((0, 4), (1, 2), (3, 1)):
        for code in range(3):
            scores = torch.stack(
                [ours.codes[code] @ ours.project(vectors[user, i]).tanh() for i in range(n)]
            )
            weights = scores.exp() / scores.exp().sum()
            expected = sum(weights[i] * vectors[user, i] for i in range(n))
            torch.testing.assert_close(out[user, code], expected)
    torch.testing.assert_close(out[3], vectors[3, :1].expand(3, -1))


def test_disagreement_is_the_mean_cosine_of_different_interests():
    alike = torch.tensor([[[1.0, 0.0], [5.0, 0.0]]])
    across = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    opposed = torch.tensor([[[1.0, 0.0], [-3.0, 0.0]]])
    # Two of the four ordered pairs are of different interests.
    assert disagreement(alike).item() == pytest.approx(0.5)
    assert disagreement(across).item() == pytest.approx(0.0)
    assert disagreement(opposed).item() == pytest.approx(-0.5)
    assert disagreement(torch.cat([alike, across])).item() == pytest.approx(0.25)
    interests = torch.randn(2, 4, 3)
    pairs = [
        nn.functional.cosine_similarity(interests[b, i], interests[b, j], dim=0)
        for b in range(2)
        for i in range(4)
        for j in range(4)
        if i != j
    ]
    torch.testing.assert_close(disagreement(interests), sum(pairs) / 16 / 2)
    zero = torch.zeros(1, 4, 3, requires_grad=True)
    disagreement(zero).backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


@pytest.mark.parametrize("softmax", [False, True])
def test_din_by_loops(softmax):
    ours = operator("target-attention", activation="prelu", softmax=softmax)
    clicks, candidate = histories("target-attention")
    vectors, unit = clicks.vectors, ours.unit
    for user, n in ((0, 4), (1, 2)):
        t, weights = candidate[user], []
        for i in range(n):
            c = vectors[user, i]
            joined = torch.cat([t, c, t - c, t * c])[None]
            weights.append(unit.weight(unit.activation(unit.hidden(joined)))[0, 0])
        weighed = torch.stack(weights)
        weighed = weighed.softmax(0) if softmax else weighed
        expected = sum(weighed[i] * vectors[user, i] for i in range(n))
        torch.testing.assert_close(ours(clicks, candidate)[user], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("readout", ["concat", "target"])
def test_bst_reads_the_candidate_as_the_last_of_the_sequence(readout):
    ours = operator("target-transformer", readout=readout, length=5)
    clicks, candidate = histories("target-transformer")
    out = ours(clicks, candidate)
    for user, n in enumerate(LENGTHS.tolist()):
        # Oldest first and the candidate last, as published; positions count back from it.
        sequence = torch.cat([clicks.vectors[user, :n], candidate[[user]]])[None]
        there = torch.ones(1, n + 1, dtype=torch.bool)
        states = ours.encoder(sequence, there, torch.arange(n, -1, -1)[None])[0]
        expected = states[-1]
        if readout == "concat":
            joined = torch.cat([states.flip(0), torch.zeros(5 - n, WIDTH)])
            expected = ours.out(joined.flatten())
        torch.testing.assert_close(out[user], expected, rtol=1e-5, atol=1e-6)


def test_bst_depends_on_the_candidate():
    ours = operator("target-transformer")
    clicks, candidate = histories("target-transformer")
    assert not torch.allclose(ours(clicks, candidate), ours(clicks, -candidate))


# ----------------------------------------------------------------------------------- flatten

BEGIN, COLUMN, ITEM = 10, 11, 12
ALL = [BEGIN, 2, 3, COLUMN, 8, COLUMN, ITEM, 4, COLUMN, 9, COLUMN, ITEM, ITEM]


def flat(*clicked: int, wide: int = 4, **given: Any) -> list[list[int]]:
    items = torch.zeros(1, wide, dtype=torch.int64)  # G9: item 0 is an item, and padding is not
    items[0, : len(clicked)] = torch.tensor(clicked)
    mask = torch.arange(wide)[None] < len(clicked)
    tokens: Tensor = operator("flatten-transformer", **given).history(Clicks(items, mask))
    return tokens.tolist()


def test_a_history_as_one_text():
    """G8: columns end, items end, and an item without a word is an item still."""
    assert flat(0, 1, NO_WORDS) == [ALL]
    assert flat(0, 1, NO_WORDS, separators=False) == [[2, 3, 8, 4, 9]]


def test_nothing_clicked_is_no_text():
    """G9: padding adds no item's text."""
    assert set(flat()[0]) == {0}
    assert set(flat(separators=False)[0]) == {0}


@pytest.mark.parametrize("length", [2, 3, 7, 12, 13, 50])
def test_of_long_histories_the_newest_tokens_are_kept(length):
    kept = ALL if length >= len(ALL) else [BEGIN, *ALL[len(ALL) - length + 1 :]]
    assert flat(0, 1, NO_WORDS, length=length) == [kept]


def test_users_of_different_lengths_are_padded_at_the_end():
    clicks, _ = histories("flatten-transformer")
    tokens = operator("flatten-transformer", separators=False).history(clicks)
    assert tokens.tolist() == [
        [2, 3, 8, 4, 9, 5, 6, 2, 8, 7, 9],
        [3, 3, 8, 5, 6, 2, 8, 0, 0, 0, 0],
        [0] * 11,
        [6, 7, 9, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("name", ["flatten-transformer", "flatten-fastformer"])
def test_users_read_as_text_need_text(name):
    card = USER_OPERATORS.get(name)
    with pytest.raises(UsageError, match=f"{name} needs the items' text, and no item has a word"):
        card.build(card.config(), Content(n=3), WIDTH)
