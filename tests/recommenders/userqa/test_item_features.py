"""What is read of items, computed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.userqa.item_features import ItemFeatures, make_bags

TEXTS = ["red pan", "", "pan pan lamp"]
WORDS = {"red": 900, "pan": 17, "lamp": 40}
"""Ids of a tokenizer with a large vocabulary."""

ITEMS = Items(
    n=3,
    text=TEXTS,
    columns={"title": TEXTS},
    side={"brand": np.array([1, -1, 0], np.int32), "shop": np.array([0, 0, 2], np.int32)},
)


def tokenizer(texts: Sequence[str]) -> Ragged:
    return Ragged.from_lists([[WORDS[word] for word in text.split()] for text in texts])


def features(*inputs: str) -> ItemFeatures:
    torch.manual_seed(0)
    return ItemFeatures(make_bags(ITEMS, inputs, tokenizer), 6, id_width=4, feature_width=2)  # type: ignore[arg-type]


def by_hand(made: ItemFeatures, item: int) -> Tensor:
    """The definition, one bag after the other."""
    assert made.ids is not None and made.words is not None and ITEMS.side is not None
    parts = [made.ids[item]]
    for table, codes in zip(made.attributes, ITEMS.side.values(), strict=True):
        parts.append(table[int(codes[item])] if codes[item] >= 0 else torch.zeros(2))
    number = {word: i for i, word in enumerate(sorted(WORDS, key=WORDS.__getitem__))}
    rows = [made.words[number[word]] for word in TEXTS[item].split()]
    parts.append(torch.stack(rows).mean(dim=0) if rows else torch.zeros(2))
    return torch.cat(parts)


def test_features_stand_behind_one_another_and_are_projected() -> None:
    made = features("id", "side", "text")
    assert made.width == 4 + 2 * 2 + 2
    order = torch.tensor([2, 0, 1, 1])
    wanted = torch.stack([by_hand(made, int(item)) for item in order])
    torch.testing.assert_close(made.concatenated(order), wanted)
    projected = wanted @ made.project.weight.T + made.project.bias
    torch.testing.assert_close(made(order), projected)


def test_the_vocabulary_holds_what_occurs_alone() -> None:
    bags = make_bags(ITEMS, ("text",), tokenizer)
    assert bags.vocabulary == 3
    assert bags.text[0].to_lists() == [[2, 0], [], [0, 0, 1]]


@pytest.mark.parametrize(
    ("inputs", "width", "compared"),
    [(("id",), 4, 4), (("id", "side"), 8, 4), (("side",), 4, 4), (("side", "text"), 6, 6)],
)
def test_inputs_are_a_list_and_the_width_follows(
    inputs: tuple[str, ...], width: int, compared: int
) -> None:
    """Without ids states are compared with all that is read of an item."""
    made = features(*inputs)
    assert (made.width, made.compared_width) == (width, compared)
    assert made.compared().shape == (3, compared)
    items = torch.tensor([1, 2])
    torch.testing.assert_close(made.compared(items), made.compared()[items])


def test_the_published_widths_follow_from_the_encoders() -> None:
    bags = make_bags(ITEMS, ("id", "side", "text"), tokenizer)
    paper = ItemFeatures(bags, 512)
    assert paper.width == 128 + 3 * 64
    assert ItemFeatures(bags, 64).width == 64 + 3 * 32


def test_every_table_learns_and_what_is_missing_does_not() -> None:
    made = features("id", "side", "text")
    made(torch.tensor([1])).sum().backward()  # no brand, no words
    assert made.words is not None
    assert made.words.grad is None or not made.words.grad.any()
    assert not made.attributes[0].grad.any()  # type: ignore[union-attr]
    assert made.attributes[1].grad[0].any()  # type: ignore[index]
    made(torch.arange(3)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


def test_embeddings_are_drawn_within_two_standard_deviations() -> None:
    made = ItemFeatures(make_bags(Items(n=4000), ("id",), tokenizer), 64)
    assert made.ids is not None
    assert made.ids.abs().max() <= 0.04
    assert made.ids.std().item() == pytest.approx(0.02 * 0.88, rel=0.02)  # of the cut normal


@pytest.mark.parametrize(("form", "what"), [("side", "attributes"), ("text", "words")])
def test_forms_that_are_not_there_are_named(form: str, what: str) -> None:
    with pytest.raises(UsageError, match=f"by {form}, and these have no {what}"):
        make_bags(Items(n=3), (form,), tokenizer)  # type: ignore[arg-type]
