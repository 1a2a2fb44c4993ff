"""Items read by a language model that is trained with the recommender (PLM-NR, ONCE's DIRE)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tastebench.encoders.pooled import pool
from tastebench.errors import UsageError
from tastebench.lm.layers import TunedModel, cut
from tastebench.lm.lora import add_lora, keep_trained_only
from tastebench.lm.padded import Padded
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import LanguageModelConfig
from tastebench.recommenders.ctr.item_operators.reader import Reader
from tastebench.recommenders.ctr.layers import AdditiveAttention


class LanguageModel(nn.Module):
    """The states of an item's tokens, a dense layer to the model's width, and pooling.

    Layers below `tune_from` are frozen: their states are computed once for the catalogue and kept
    (`tastebench.lm.states`), and the layers themselves are not here any more. The state dict holds
    what is trained and nothing else: with LoRA the adapters, else the upper layers, and the head.

    Items are read a page at a time, those of like length together; where there are several pages,
    each is computed again on the way back (gradient checkpointing), so that no more than one page's
    activations are held.
    """

    def __init__(self, config: LanguageModelConfig, content: Content, width: int) -> None:
        super().__init__()
        reader = Reader(config, content)
        states_width = reader.width
        k = reader.stack.layer(config.tune_from or 0)
        self.model, self._inputs = _tuned(config, reader, k)
        self._page = config.page
        self._pooling = config.pooling
        self.project = nn.Linear(states_width, width)
        self.attention = (
            AdditiveAttention(width, config.query_size)
            if config.pooling == "additive-attention"
            else None
        )
        self.train()

    def slow_parameters(self) -> list[nn.Parameter]:
        """What is trained of the language model, for a learning rate of its own."""
        return [] if self.model is None else list(self.model.parameters())

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        lengths = self._inputs.lengths(items.cpu().numpy())
        order = torch.from_numpy(np.argsort(lengths, kind="stable")).to(items.device)
        pages = torch.split(items[order], self._page)
        again = len(pages) > 1 and self.model is not None and torch.is_grad_enabled()
        vectors = [
            checkpoint(self._read, page, use_reentrant=False) if again else self._read(page)
            for page in pages
        ]
        return torch.cat(vectors)[order.argsort()]

    def _read(self, items: Tensor) -> Tensor:
        states, mask = self._inputs.take(items.cpu().numpy(), items.device)
        if self.model is not None:
            states = self.model(states, mask)
        if self.attention is not None:
            attended: Tensor = self.attention(self.project(states), mask)
            return attended
        assert self._pooling != "additive-attention"
        pooled: Tensor = self.project(pool(states, mask, self._pooling))
        return pooled


def _tuned(config: LanguageModelConfig, reader: Reader, k: int) -> tuple[TunedModel | None, Padded]:
    """What is trained of the model, None for nothing, and what goes into it."""
    stack = reader.stack
    if k == stack.n and config.lora_rank is not None:
        raise UsageError(
            f"LoRA has nothing to adapt: tune_from {config.tune_from} freezes all {k} layers",
            fix=f"tune_from: {-min(2, k)}, or no lora_rank",
        )
    values = reader.tokens.values
    if k > 0:
        values = reader.states(at=(k,), pooled=False, stored=config.store)
    inputs = Padded(values, reader.tokens.offsets)
    if k == stack.n:
        return None, inputs
    tuned = cut(stack, k, *reader.sample())
    if config.lora_rank is not None:
        add_lora(
            tuned,
            config.lora_rank,
            alpha=config.lora_alpha,
            dropout=config.lora_dropout,
            targets=config.targets,
            name=stack.name,
        )
    keep_trained_only(tuned)
    return tuned, inputs
