"""A language model that reads words and codes, and says which codes come next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from tastebench.contracts import Items, SeqProblem
from tastebench.encoders.catalog import language_model
from tastebench.items.beam import Step
from tastebench.lm.spelling import Spelling
from tastebench.recommenders.llm.causal_body import CausalBody, Tuning, load_causal_body
from tastebench.recommenders.llm.next_alignment import Alignment, AlignmentBatch
from tastebench.recommenders.llm.next_decoding import cached, uncached
from tastebench.recommenders.llm.next_layout import Layout, Written, newest
from tastebench.recommenders.llm.pieces import make_frame
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.recommenders.seqrec.code_batches import ItemBatch, Pairs, Windows
from tastebench.recommenders.seqrec.code_tokens import CodeHeads, CodeTokens
from tastebench.recommenders.seqrec.generative import Asking
from tastebench.recommenders.seqrec.transformer import INIT_STD
from tastebench.recommenders.seqrec.user_tokens import UserTokens
from tastebench.training.losses import linear_cross_entropy

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_next import NextConfig

Batch = ItemBatch | AlignmentBatch


class NextNetwork(nn.Module):
    """Codes beside words: a table that codes are read by, heads that they are written by.

    Trained are the table, the heads and what `tune` says of the model; all of that is in the state
    dict, and nothing else.

    Args:
        codes: int64 `[n_items, width]`, -1 after the end of a shorter path.
        body: The model.
        layout: Where words and codes stand.
        config: Hyper-parameters.
        alignment: What is learned of the items' texts; None for nothing.

    Attributes:
        asked, cut, read_tokens: Askers since `forget`, those of whom items were dropped because
            they did not fit, and tokens of their prompts.
        age: Grows whenever its weights may have changed.
    """

    def __init__(
        self,
        codes: np.ndarray,
        body: CausalBody,
        layout: Layout,
        config: NextConfig,
        alignment: Alignment | None = None,
    ) -> None:
        super().__init__()
        self.config, self.body, self.layout, self.alignment = config, body, layout, alignment
        # As large as the embeddings of words: the model's first norms expect those.
        self.tokens = CodeTokens(codes, body.width, body.std)
        self.heads = CodeHeads(self.tokens, tied=config.output == "tied", std=INIT_STD)
        self.users = UserTokens(config.user_tokens, body.width, body.std)
        self.notes: tuple[str, ...] = ()
        self.age = 0
        self.forget()

    @override
    def train(self, mode: bool = True) -> Self:
        """As every module; a fit says `train` before it changes weights and `eval` after that."""
        self.age += 1
        return super().train(mode)

    def own_rates(self, settings: NextConfig) -> list[tuple[list[nn.Parameter], float]]:
        """New tables begin with nothing, and may learn faster than what was pretrained."""
        if settings.table_lr is None:
            return []
        tables = [self.tokens.table, self.heads.table, *self.users.parameters()]
        return [(list(dict.fromkeys(tables)), settings.table_lr)]

    def batches(
        self, problem: SeqProblem, batch_size: int
    ) -> Callable[[np.random.Generator], Iterable[Batch]]:
        """Whole windows, or prefixes drawn of each sequence; before them the alignment pass."""
        train, length = problem.train, problem.history_length
        n = self.config.targets_per_sequence
        rows = Windows(train, length) if n is None else Pairs(train, length, n)
        if self.alignment is None:
            return partial(rows.epoch, batch_size=batch_size)
        alignment = self.alignment

        def epoch(rng: np.random.Generator) -> Iterator[Batch]:
            yield from alignment.epoch(rng)
            yield from rows.epoch(rng, batch_size)

        return epoch

    def loss(self, batch: Batch) -> Tensor:
        """Mean cross-entropy of all codes that are to be predicted.

        Those are the codes of what comes next and those of the items of the history, each from what
        stands before it.
        """
        if isinstance(batch, AlignmentBatch):
            assert self.alignment is not None
            return self.alignment.loss(self, batch)
        history, length, user, answer, marks = self._given(batch)
        codes = self.tokens.codes
        written = self.layout.write(self.code_tokens(history), length, self.code_tokens(answer))
        states = self.body(self.embed(written.tokens, user))
        there = torch.arange(history.shape[1], device=length.device) < length[:, None]
        chosen = there if marks is None else there & marks
        before = states[:, written.slots - 1][chosen]
        picked = torch.cat([before, _from(states, written.length - 1, self.tokens.width)])
        return self.cross_entropy(picked, torch.cat([codes[history[chosen]], codes[answer]]))

    def cross_entropy(self, states: Tensor, codes: Tensor) -> Tensor:
        """Mean over codes int64 `[n, width]`, each from its state `[n, width, h]`."""
        if self.tokens.width > 1:
            return self.heads.loss(states, codes)
        # As many codes as items: their logits exist some rows at a time.
        table = self.heads.table[: self.tokens.sizes[0]]
        return linear_cross_entropy(states[:, 0], table, codes[:, 0])

    def code_tokens(self, items: Tensor) -> Tensor:
        """Code tokens of items of any shape, one axis more, `[..., width]`."""
        spelt = self.tokens.spell(items.reshape(-1, 1))[:, 1:]
        return spelt.view(*items.shape, self.tokens.width)

    def states_of(self, tokens: Tensor) -> Tensor:
        """States `[b, t, h]` of tokens as `Written` has them."""
        states: Tensor = self.body(self.embed_tokens(tokens))
        return states

    def logits_of_words(self, states: Tensor) -> Tensor:
        """`[n, h]` to `[n, vocabulary]`, by a head that is not trained."""
        assert self.body.head is not None
        logits: Tensor = self.body.head(states)
        return logits

    def embed(self, tokens: Tensor, user: Tensor | None) -> Tensor:
        """Tokens as `Written` has them, `[b, t]`, to embeddings; users are told apart."""
        return self.users.add_to_first(self.embed_tokens(tokens), user)

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Words and codes to embeddings, each from its own table."""
        words, codes = self.body.words(tokens.clamp(min=0)), self.tokens((-1 - tokens).clamp(min=0))
        return torch.where((tokens < 0)[..., None], codes, words)

    def read(self, asking: Asking) -> Step:
        """Reads histories; what is returned decodes the next item."""
        written = self.write(asking)
        embedded = self.embed(written.tokens, asking.user)
        if self.body.offset is None or self.tokens.width == 1:
            return uncached(self, embedded, written.length)
        return cached(self, embedded, written.length)

    def states_after(self, asking: Asking) -> Tensor:
        """Reads histories; the state that predicts the first code of what comes next, `[b, h]`."""
        written = self.write(asking)
        states = self.body(self.embed(written.tokens, asking.user))
        last: Tensor = states.take_along_dim((written.length - 1)[:, None, None], dim=1)[:, 0]
        return last

    def write(self, asking: Asking) -> Written:
        """The prompts of who asks, cut to what fits and counted."""
        columns, length = newest(asking.length, self.layout.room, asking.items.shape[1])
        history = asking.items.gather(1, columns)
        written = self.layout.write(self.code_tokens(history), length)
        self.asked += len(length)
        self.cut += int((asking.length > length).sum())
        self.read_tokens += int(written.length.sum())
        return written

    def forget(self) -> None:
        """A new account of who asked begins."""
        self.asked = self.cut = self.read_tokens = 0

    def _given(self, batch: ItemBatch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Histories cut to what fits, their lengths, users, answers, and which items to predict."""
        device = self.tokens.table.device
        items, length, user = (
            torch.from_numpy(array).to(device) for array in (batch.items, batch.length, batch.user)
        )
        marks = None
        if batch.is_target is None:
            answer = torch.from_numpy(batch.targets).to(device)
        else:
            length = length - 1
            answer = items.gather(1, length[:, None])[:, 0]
            marks = torch.from_numpy(batch.is_target).to(device)
        columns, kept = newest(length, self.layout.room, int(length.max()))
        history = items.gather(1, columns)
        return history, kept, user, answer, None if marks is None else marks.gather(1, columns)


def _from(states: Tensor, first: Tensor, width: int) -> Tensor:
    """States at `first[i] .. first[i] + width - 1` of row `i`, `[b, width, h]`."""
    places = first[:, None] + torch.arange(width, device=first.device)
    return states.take_along_dim(places[..., None], dim=1)


def next_network(config: NextConfig, problem: SeqProblem, items: Items) -> NextNetwork:
    """The untrained network for a problem.

    Raises:
        UsageError: The model cannot be run causally, or its limit is too small.
        DataError: There is no such model.
    """
    assert items.code is not None
    folder = language_model(config.model, trust_remote_code=config.trust_remote_code)
    tuning = Tuning(
        config.tune,
        config.lora_rank,
        config.lora_alpha,
        config.lora_dropout,
        config.targets,
        config.checkpointing,
    )
    speaks = any(task.startswith("code-") for task in config.alignment)
    body = load_causal_body(folder, tuning, speaks=speaks)
    limit = body.limit(folder, config.max_length)
    spelling = Spelling(body.tokenizer, body.name)
    # Codes are no words, and what follows them is no chat.
    frame = make_frame(get_prompt(config.prompt), spelling, problem.history_length, chat=False)
    layout = Layout(frame, items.code.shape[1], limit)
    alignment = None
    if config.alignment:
        alignment = Alignment(config, items, spelling, limit)
    network = NextNetwork(items.code, body, layout, config, alignment)
    network.notes = _notes(network, problem.history_length)
    return network


def _notes(network: NextNetwork, history_length: int) -> tuple[str, ...]:
    body, room = network.body, network.layout.room
    notes = [] if body.causal else [f"{body.name} is an encoder, run with a causal mask"]
    if room < history_length:
        notes.append(f"prompts hold {room} items of histories of {history_length}: no more fit")
    if body.offset is None and network.tokens.width > 1:
        notes.append(f"{body.name} keeps no keys and values: each code is decoded from the start")
    return tuple(notes)
