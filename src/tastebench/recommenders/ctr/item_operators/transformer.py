"""A BERT encoder over an item's words, trained from scratch."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bert_encoder import PooledTransformer
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import TransformerConfig
from tastebench.recommenders.ctr.item_operators.words import Sequence, Words


class Transformer(nn.Module):
    """Words of all columns as one sequence with positions, BERT blocks, additive attention.

    Positions count tokens, not places, so a short column leaves no gap before the next.
    """

    def __init__(self, config: TransformerConfig, content: Content, width: int) -> None:
        super().__init__()
        size = config.embedding_size or width
        separator = content.vocabulary if config.separators else None
        self.sequence = Sequence("transformer", content, separator)
        self.words = Words(content.vocabulary + config.separators, size, config.init_std)
        self.encoder = PooledTransformer("transformer", config, size, width, self.sequence.width)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        tokens = self.sequence(items)
        vectors: Tensor = self.encoder(self.words(tokens), tokens != 0)
        return vectors
