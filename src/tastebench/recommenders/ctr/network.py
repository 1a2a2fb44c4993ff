"""The network of a click model: item operators, user operator and predictor put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.config import Bricks, ClickConfig
from tastebench.recommenders.ctr.content import Content


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to be scored, as tensors. Items are named once and pointed at.

    Attributes:
        items: The different items met, int64 `[m]`.
        clicks: What the askers clicked, as places in `items`, right-padded, int64 `[c, s]`.
        mask: Where there is a click, bool `[c, s]`.
        asker: Which of them each row is of, int64 `[n]`.
        candidate: Place in `items` of each row's candidate, int64 `[n]`.
    """

    items: Tensor
    clicks: Tensor
    mask: Tensor
    asker: Tensor
    candidate: Tensor


@runtime_checkable
class LearnsSlowly(Protocol):
    """An item operator that holds a pretrained model."""

    def slow_parameters(self) -> list[nn.Parameter]:
        """The parameters of that model."""
        ...


class ClickNetwork(nn.Module):
    """`logit = predictor(user(item(clicked) ...), item(candidate))`.

    With several forms an item is the mean of what its operators make of each: with `id+vector` that
    is RecBench's dual representation.

    Args:
        bricks: What it is made of.
        content: The catalogue.
        width: Of item and user vectors.
    """

    def __init__(self, bricks: Bricks, content: Content, width: int) -> None:
        super().__init__()
        self.n_items = content.n
        self.operators = nn.ModuleList(
            operator.build(settings, content, width) for operator, settings in bricks.items
        )
        operator, settings = bricks.user
        self.per_candidate, self.user_reads = operator.per_candidate, operator.reads
        self.user = operator.build(settings, content, width)
        predictor, settings = bricks.predictor
        self.predictor_reads = predictor.reads
        # User and item, or every level of the one with every level of the other.
        levels = 0 if content.code is None else content.code.shape[1]
        fields = levels**2 if predictor.item == "vectors" else 2
        self.predictor = predictor.build(settings, width, fields)

    def own_rates(self, settings: ClickConfig) -> list[tuple[list[nn.Parameter], float]]:
        """Language models within the item operators learn at `item_lr`, where one is given."""
        if settings.item_lr is None:
            return []
        slow = [
            parameter
            for operator in self.operators
            if isinstance(operator, LearnsSlowly)
            for parameter in operator.slow_parameters()
            if parameter.requires_grad
        ]
        return [(slow, settings.item_lr)]

    def embed(self, items: Tensor) -> Tensor:
        """Items int64 `[n]` to `[n, h]`, or `[n, k, h]` where an item has k levels."""
        if len(self.operators) == 1:
            vectors: Tensor = self.operators[0](items)
            return vectors
        return torch.stack([operator(items) for operator in self.operators]).mean(dim=0)

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor | None]:
        """The logit of each row, `[n]`, and what the user operator made of each asker."""
        vectors = self.embed(rows.items)
        clicks = self.clicks(rows.items, vectors, rows.clicks, rows.mask)
        candidate = vectors[rows.candidate]
        user = None if self.per_candidate else self.user(clicks)
        return self.predict(clicks, user, rows.asker, candidate), user

    def clicks(self, items: Tensor, vectors: Tensor, places: Tensor, mask: Tensor) -> Clicks:
        """What some users clicked as a user operator reads it."""
        return Clicks(
            items=items[places],
            mask=mask,
            vectors=None if self.user_reads == "text" else vectors[places],
        )

    def predict(
        self, clicks: Clicks, user: Tensor | None, asker: Tensor, candidate: Tensor
    ) -> Tensor:
        """Logits of rows whose users were read already, unless that takes the candidate.

        Args:
            clicks: What each asker clicked.
            user: What the user operator made of it, a row an asker; None where it is per candidate.
            asker: Asker of each row, int64 `[n]`.
            candidate: Vector (or levels) of each row's item.
        """
        if user is None:
            vectors = None if clicks.vectors is None else clicks.vectors[asker]
            own = Clicks(clicks.items[asker], clicks.mask[asker], vectors)
            of_row = self.user(own, candidate)
        else:
            of_row = user[asker]
        if self.predictor_reads == "fields":
            logits: Tensor = self.predictor(torch.stack([of_row, candidate], dim=1))
        elif self.predictor_reads == "sequence":
            logits = self.predictor(of_row, candidate, clicks.mask[asker])
        else:
            logits = self.predictor(of_row, candidate)
        return logits
