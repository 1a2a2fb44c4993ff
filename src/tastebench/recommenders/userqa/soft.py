"""A model whose prompts begin with vectors of their own: soft tokens.

To whoever puts prompts together a soft token is a token beyond the vocabulary, so that everything
that is known about prompts - batches by length, beginnings that are read once - holds for them as
well. Only here it is looked up in another table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tastebench.lm.headed import Headed


@dataclass
class SoftTokens:
    """What tokens beyond the vocabulary stand for; row 0 is the first of them, `[n, d]`."""

    table: Tensor | None = None


@dataclass(frozen=True, eq=False)
class SoftHeaded(Headed):
    """A decoder that is given embeddings instead of tokens.

    Attributes:
        soft: Its soft tokens, changed in place for whoever is asked about.
    """

    soft: SoftTokens = field(default_factory=SoftTokens)

    @classmethod
    def of(cls, headed: Headed) -> SoftHeaded:
        """The same model."""
        return cls(headed.folder, headed.model, headed.tokenizer, headed.kind, headed.untrained)

    @property
    def vocabulary(self) -> int:
        """Tokens that have embeddings of the model's own; soft tokens are counted from here."""
        model: Any = self.model
        return int(model.get_input_embeddings().weight.shape[0])

    @property
    def width(self) -> int:
        """Of the model's embeddings."""
        model: Any = self.model
        return int(model.get_input_embeddings().weight.shape[1])

    def logits_at(self, row: Tensor, place: Tensor, **inputs: Any) -> Tensor:
        """Logits at some places, `[n, vocabulary]`; soft tokens are among `input_ids`."""
        embeddings = self.embed(inputs.pop("input_ids"))
        return super().logits_at(row, place, inputs_embeds=embeddings, **inputs)

    def logits_behind(
        self, row: Tensor, place: Tensor, soft: Tensor | None, ids: Tensor, mask: Tensor
    ) -> Tensor:
        """Logits of texts behind soft tokens, with a slope to these, `[n, vocabulary]`.

        Args:
            row: Text of each place, int64 `[n]`.
            place: Token of each place in its text, soft tokens not counted, int64 `[n]`.
            soft: Soft tokens of each text, `[b, m, d]`; None for none.
            ids: Tokens without soft ones, right-padded, int64 `[b, l]`.
            mask: Where there is a token, bool `[b, l]`.
        """
        model: Any = self.model
        embeddings = model.get_input_embeddings()(ids)
        if soft is not None:
            embeddings = torch.cat([soft.to(embeddings.dtype), embeddings], dim=1)
            mask = torch.cat([mask.new_ones(soft.shape[:2]), mask], dim=1)
            place = place + soft.shape[1]
        given = {"inputs_embeds": embeddings, "attention_mask": mask.long()}
        return super().logits_at(row, place, **given)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of tokens, soft ones among them, `[..., d]`."""
        model: Any = self.model
        size = self.vocabulary
        embeddings: Tensor = model.get_input_embeddings()(ids.clamp(max=size - 1))
        is_soft = ids >= size
        if self.soft.table is None or not is_soft.any():
            return embeddings
        found = self.soft.table[(ids - size).clamp(min=0)].to(embeddings)
        return torch.where(is_soft[..., None], found, embeddings)
