"""Histories of thousands of items: the same numbers a block at a time, in memory that lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec import attention, padding
from tastebench.recommenders.seqrec.attention import attend, in_blocks
from tastebench.recommenders.seqrec.encoders.hstu import HSTU
from tastebench.recommenders.seqrec.t5 import RelativePositions
from tastebench.recommenders.seqrec.tiger import TIGERConfig
from tastebench.recommenders.seqrec.tiger_network import TIGERNetwork
from tastebench.recommenders.seqrec.transformer import _attention
from tastebench.training.dropout import Dropout
from tastebench.training.fit import FabricTrainer

N_ITEMS = 60
SMALL = {"epochs": 1, "device": "cpu", "hidden_size": 8}
HEADS = {"heads": 2, "layers": 2}
MODELS: dict[str, dict[str, Any]] = {
    "sasrec": HEADS,
    "sasrec-original": {},
    "bert4rec": HEADS,
    "unisrec": HEADS,
    "trm++": HEADS,
    "hstu": HEADS,
    "caser": {},
    "gru4rec": {},
    "mamba4rec": {},
    "sid-sasrec": {**HEADS, "attention_dropout": 0.2},
    "tiger": {**HEADS, "head_size": 4, "inner_size": 8},
    "tiger causal": {**HEADS, "head_size": 4, "inner_size": 8, "encoder": "causal"},
}


def problem(train: Ragged, history_length: int) -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(N_ITEMS, len(train), history_length, train, targets, targets)


def lists(*lengths: int) -> Ragged:
    rng = np.random.default_rng(0)
    return Ragged.from_lists([rng.integers(N_ITEMS, size=n).tolist() for n in lengths])


def fit_and_ask(model: str, train: Ragged, history_length: int) -> np.ndarray:
    card = get_recommender(model.partition(" ")[0])
    recommender: Any = card.build(card.config(**SMALL, **MODELS[model]))
    number = np.arange(N_ITEMS)
    items = Items(
        N_ITEMS,
        vector=np.random.default_rng(1).normal(size=(N_ITEMS, 8)).astype(np.float32),
        code=np.column_stack([number // 20, number % 20 // 5, number % 5]),
        forms=(card.representations[0],),  # type: ignore[arg-type]
    )
    recommender.fit(problem(train, history_length), items, FabricTrainer(seed=0))
    queries = Queries(len(train), history=train, user=np.arange(len(train)))
    if hasattr(recommender, "scores"):
        return np.asarray(recommender.scores(queries, slice(0, N_ITEMS)))
    found: np.ndarray = recommender.generate(queries, 10).scores
    return found


class Largest(TorchDispatchMode):
    """Remembers how many elements the largest tensor had that anything made or looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.untyped_storage().nbytes() // 4)
        return made


@pytest.mark.parametrize("model", MODELS)
def test_a_history_length_that_nobody_has_costs_nothing(model: str) -> None:
    with Largest() as largest:
        scores = fit_and_ask(model, lists(*[6, 3, 9] * 5), 10_000)
    assert np.isfinite(scores).all()
    # Tables of positions are that long, and nothing else is.
    assert largest.elements <= 20_000 * SMALL["hidden_size"]  # type: ignore[operator]


@pytest.mark.parametrize("model", MODELS)
def test_one_long_history_among_short_ones_takes_memory_by_its_length(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No scores of all pairs, and nobody is padded to it."""
    spells = model.startswith(("sid", "tiger"))
    length, block = 350 if spells else 700, 2**15
    monkeypatch.setattr(attention, "PAIRS", 2**17)
    monkeypatch.setattr(attention, "BLOCK", block)
    for function, places in ((padding.alike, 256), (padding.asked_together, 512)):
        monkeypatch.setattr(function, "__defaults__", (places,))
    with Largest() as largest:
        scores = fit_and_ask(model, lists(*[6, 3, 9] * 20, length, *[5, 7] * 20), 10_000)
    assert np.isfinite(scores).all()
    # Two heads make a million pairs of items, or two of codes, three an item.
    assert largest.elements <= 400_000


def test_blocks_are_asked_for_only_where_all_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[slice] = []

    def mask(part: slice) -> Tensor:
        asked.append(part)
        return torch.zeros(part.stop - part.start, 10)

    q, kv = torch.randn(1, 10, 2, 4), torch.randn(1, 2, 10, 4)
    want = attend(q, kv, kv)
    torch.testing.assert_close(attend(q, kv, kv, mask), want)
    assert asked == [slice(0, 10)]
    monkeypatch.setattr(attention, "PAIRS", 199)  # of 2 heads x 10 x 10
    monkeypatch.setattr(attention, "BLOCK", 80)
    torch.testing.assert_close(attend(q, kv, kv, mask), want)
    assert asked[1:] == [slice(0, 4), slice(4, 8), slice(8, 10)]


def in_small_blocks(what: Callable[[], Tensor], parameters: list[Tensor]) -> tuple[Any, Any]:
    """Value and gradients of the same thing, whole and in small blocks."""
    found = []
    for pairs in (2**27, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "PAIRS", pairs)
            patch.setattr(attention, "BLOCK", 300)
            value = what()
            grads = torch.autograd.grad(value.square().sum(), parameters, allow_unused=True)
            found.append((value.detach(), [g for g in grads if g is not None]))
    return found[0], found[1]


def close(whole: Any, blocks: Any) -> None:
    torch.testing.assert_close(blocks[0], whole[0], rtol=1e-4, atol=1e-5)
    assert len(blocks[1]) == len(whole[1])
    for block, one in zip(blocks[1], whole[1], strict=True):
        torch.testing.assert_close(block, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["causal", "hidden", "visible", "learned"])
def test_attention_in_blocks_is_attention(kind: str) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 17, 4, requires_grad=True) for _ in range(3))
    learned = torch.randn(3, 17, 17, requires_grad=True)
    visible = torch.rand(2, 1, 1, 17) < 0.7
    visible[..., 0] = True
    mask = {"causal": None, "hidden": (torch.randn(17, 17) > 1).float() * -9.0, "visible": visible,
            "learned": learned}[kind]  # fmt: skip

    def product(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal
        )

    def what() -> Tensor:
        return in_blocks(product, q, k, v, mask, causal=mask is None)

    close(*in_small_blocks(what, [q, k, v, learned]))


@pytest.mark.parametrize("bias", ["none", "position", "position+time", "reference"])
def test_hstu_in_blocks_is_hstu(bias: Any) -> None:
    torch.manual_seed(0)
    made = HSTU(6, 20, layers=2, heads=2, key_width=3, value_width=5, dropout=0.0, bias=bias)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    x, times = torch.randn(2, 19, 6), torch.rand(2, 19).cumsum(1) * 1e4
    close(*in_small_blocks(lambda: made(x, times), list(made.parameters())))


@pytest.mark.parametrize("encoder", ["bidirectional", "causal"])
def test_tiger_in_blocks_is_tiger(encoder: Any) -> None:
    torch.manual_seed(0)
    config = TIGERConfig(
        hidden_size=16, inner_size=24, heads=3, head_size=4, layers=2, encoder=encoder
    )
    net = TIGERNetwork(np.array([[0, 3, 1], [1, 2, 0], [1, 0, -1], [0, 1, 2]]), config).eval()
    items, length = torch.randint(4, (2, 9)), torch.tensor([9, 5])

    def what() -> Tensor:
        encoded = net.encode(items, length, None)
        states = net.decode(items, encoded, None if encoder == "causal" else length)
        return torch.cat([encoded[0].flatten(), encoded[1, :16].flatten(), states[0].flatten()])

    close(*in_small_blocks(what, list(net.parameters())))


@pytest.mark.parametrize("both_ways", [True, False])
def test_distances_looked_up_once_are_those_of_every_pair(both_ways: bool) -> None:
    places = RelativePositions(3, both_ways=both_ways, std=1.0)
    at, part = torch.arange(300), slice(40, 290)
    one, other = places.between(part, 300), places(at[part], at)
    assert torch.equal(one, other)
    weights = torch.randn(3, 250, 300)
    grads = [torch.autograd.grad((way * weights).sum(), places.table)[0] for way in (one, other)]
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-3)


def test_what_is_dropped_in_a_block_is_dropped_in_its_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With queries and keys fixed, attention is linear in the values: out = W v, grad = W' 1."""
    monkeypatch.setattr(attention, "PAIRS", 1)
    monkeypatch.setattr(attention, "BLOCK", 300)
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 3, 17, 4).unbind()
    v = torch.randn(2, 3, 17, 4, requires_grad=True)
    dropout = Dropout(0.5)
    drops = [
        lambda q, k, v, mask, causal: _attention(q, k, v, mask, dropout),
        lambda q, k, v, mask, causal: torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=0.5, is_causal=causal
        ),
    ]
    for product in drops:
        out = in_blocks(product, q, k, v, causal=True)
        assert not torch.allclose(out, in_blocks(product, q, k, v, causal=True))
        [grad] = torch.autograd.grad(out.sum(), v)
        torch.testing.assert_close((grad * v).sum(), out.sum(), rtol=1e-4, atol=1e-4)
