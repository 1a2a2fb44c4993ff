"""NRMS's news encoder."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import AttentionConfig
from tastebench.recommenders.ctr.item_operators.words import Sequence, Words
from tastebench.recommenders.ctr.nrms import NrmsEncoder
from tastebench.training.dropout import Dropout


class Attention(nn.Module):
    """Words of all columns as one sequence without positions, read by NRMS's encoder."""

    def __init__(self, config: AttentionConfig, content: Content, width: int) -> None:
        super().__init__()
        size = config.embedding_size or width
        separator = content.vocabulary if config.separators else None
        self.sequence = Sequence("attention", content, separator)
        self.words = Words(content.vocabulary + config.separators, size, config.init_std)
        self.word_dropout = Dropout(config.dropout if config.variant == "published" else 0.0)
        self.encoder = NrmsEncoder("attention", config, size, width)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        tokens = self.sequence(items)
        vectors: Tensor = self.encoder(self.word_dropout(self.words(tokens)), tokens != 0)
        return vectors
