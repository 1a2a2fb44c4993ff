"""Yes or no over items that are tokens of their own: unique ids (group D) or semantic ids (F).

The model's vocabulary goes on behind its last word with the tokens of codes, so prompts are put
together, read and shared as those of words are. The table behind the new tokens, a classifier over
codes and what is tuned of the model are trained together; all of it is in the state dict. (In the
code that RecBench published table and classifier stay random.)

    loss = cross-entropy of yes and no + mean cross-entropy of every code from what stands before it

The second part needs a model that looks back only. An encoder would see what it predicts, so it has
the first part alone. So does what is learned of the items' own texts, if anything is (`alignment`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items
from tastebench.encoders.catalog import language_model
from tastebench.errors import UsageError
from tastebench.lm.headed import Headed, load_headed
from tastebench.lm.lora import keep_trained_only
from tastebench.lm.padded import Padded
from tastebench.lm.partly import PartlyTrained, adapters
from tastebench.lm.prefix import Reader, device_of, logits_of
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.generative import prompts_of, question_of, tokens_of
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.models import (
    longest_prompt,
)
from tastebench.recommenders.llm.next_alignment import Alignment, AlignmentBatch
from tastebench.recommenders.llm.pieces import (
    Pieces,
    Prefixes,
)
from tastebench.recommenders.llm.prompt import Prompt
from tastebench.recommenders.seqrec.code_tokens import CodeHeads, CodeTokens
from tastebench.recommenders.seqrec.transformer import INIT_STD
from tastebench.training.losses import linear_cross_entropy

TABLE_RATE = 10.0
"""Table and classifier begin with nothing: they learn so many times as fast as what is tuned."""

_WORDS = 4096  # whose embeddings say how large an embedding is


class CodeEmbedding(nn.Module):
    """A model's words by their ids and, behind the last of them, the tokens of codes.

    Args:
        words: The model's own embedding.
        codes: The tokens.
    """

    def __init__(self, words: nn.Module, codes: CodeTokens) -> None:
        super().__init__()
        self.words, self.codes = words, codes

    @property
    def weight(self) -> Tensor:
        """The table of words."""
        weight: Tensor = self.words.weight  # type: ignore[assignment]
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        """int64 `[...]` to embeddings, one axis more."""
        first = self.weight.shape[0]
        words = self.words(ids.clamp(max=first - 1))
        codes = self.codes((ids - first).clamp(min=0))
        return torch.where((ids >= first)[..., None], codes.to(words.dtype), words)


class CodeModel(nn.Module):
    """A model that knows codes: what its state dict holds is what is trained.

    Args:
        headed: The model, with its head; it gets another embedding.
        codes: int64 `[n_items, width]`, -1 after the end of a shorter path.
        config: How it is tuned.
    """

    def __init__(self, headed: Headed, codes: np.ndarray, config: LLMConfig) -> None:
        super().__init__()
        model: Any = headed.model.float()
        words = model.get_input_embeddings()
        self.first = int(words.weight.shape[0])
        with torch.no_grad():
            some = words(torch.arange(min(_WORDS, self.first)))
        # As large as the embeddings of words: the model's first norms expect those.
        self.tokens = CodeTokens(codes, int(some.shape[-1]), some.std().item())
        model.set_input_embeddings(CodeEmbedding(words, self.tokens))
        self.partly = PartlyTrained(model, headed.folder, config.tune_from)
        self.heads: CodeHeads | None = None
        if headed.kind == "decoder":
            self.heads = CodeHeads(self.tokens, tied=False, std=INIT_STD)
        self._choose(headed, config)

    def own_rates(self, settings: LLMConfig) -> list[tuple[list[nn.Parameter], float]]:
        """Table and classifier learn faster."""
        tables = [self.tokens.table] + ([] if self.heads is None else [self.heads.table])
        return [(tables, TABLE_RATE * settings.lr)]

    def code_tokens(self, items: Tensor) -> Tensor:
        """Code tokens of items of any shape, one axis more, `[..., width]`."""
        spelt = self.tokens.spell(items.reshape(-1, 1))[:, 1:]
        return spelt.view(*items.shape, self.tokens.width)

    def states_of(self, tokens: Tensor) -> Tensor:
        """States `[b, t, h]` of words by their ids and of code tokens `t` as `-1 - t`."""
        held: list[Tensor] = []

        def keep(head: nn.Module, args: Any) -> Any:
            held.append(args[0])
            return (args[0][:, :1], *args[1:])  # logits are made where they are wanted

        hook = self._head.register_forward_pre_hook(keep)
        try:
            # What is padded stands behind everything else, so nobody sees it.
            self.partly.model(input_ids=torch.where(tokens < 0, self.first - 1 - tokens, tokens))
        finally:
            hook.remove()
        return held[0]

    def logits_of_words(self, states: Tensor) -> Tensor:
        """`[n, h]` to `[n, vocabulary]`, by the model's own head."""
        logits: Tensor = self._head(states)
        return logits

    @property
    def _head(self) -> nn.Module:
        head: nn.Module = self.partly.model.get_output_embeddings()
        return head

    def code_loss(self, states: Tensor, ids: Tensor) -> Tensor:
        """Mean cross-entropy of the codes in prompts, each from the state before it.

        Args:
            states: `[b, t, h]`.
            ids: What was read, `[b, t]`; items are `width` tokens in a row.
        """
        width = self.tokens.width
        spoken = ids[:, 1:] >= self.first
        before = states[:, :-1][spoken].view(-1, width, states.shape[-1])
        tokens = (ids[:, 1:][spoken] - self.first).view(-1, width)
        offsets = torch.tensor(self.tokens.offsets[:-1], device=ids.device)
        # What stands in for the codes of a shorter path is read and never predicted.
        codes = torch.where(tokens < self.tokens.start, tokens - offsets, -1)
        return self.cross_entropy(before, codes)

    def cross_entropy(self, states: Tensor, codes: Tensor) -> Tensor:
        """Mean over codes int64 `[n, width]`, each from its state `[n, width, h]`."""
        assert self.heads is not None
        if self.tokens.width > 1:
            return self.heads.loss(states, codes)
        return linear_cross_entropy(states[:, 0], self.heads.table, codes[:, 0])

    def _choose(self, headed: Headed, config: LLMConfig) -> None:
        """Marks what is trained and lets go of the rest."""
        partly = self.partly
        if (add := adapters(config)) is not None:
            add(partly)
        elif partly.k:
            trained = {p for layer in partly.trained_layers() for p in layer.parameters()}
            for parameter in partly.parameters():
                parameter.requires_grad_(parameter in trained)
        parameters = dict(headed.model.named_parameters())
        for name in headed.untrained:
            parameters[name].requires_grad_(True)
        self.tokens.table.requires_grad_(True)
        keep_trained_only(self)


class CodeScorer:
    """A language model that is asked for yes or no about tokens of items.

    Args:
        config: Which model, how it is asked and how it is tuned.
        items: The catalogue; its codes, or none where an item is its id.
        history_length: Items of a history at most.

    Raises:
        UsageError: Settings that do not go with the model, or a prompt that has no room for codes.
        DataError: The model cannot be loaded.
    """

    def __init__(self, config: LLMConfig, items: Items, history_length: int) -> None:
        if config.tune == "none":
            raise UsageError(
                "items are tokens that no model was taught, and nothing is tuned",
                fix="tune: lora, or representation: text",
            )
        folder = language_model(config.model, trust_remote_code=config.trust_remote_code)
        self.headed = load_headed(folder)
        question = question_of(config, self.headed, history_length)
        self.passes = question.passes
        codes = items.code
        if codes is None or "code" not in items.forms:
            codes = np.arange(items.n, dtype=np.int64)[:, None]
        self.model = CodeModel(self.headed, codes, config)
        longest = longest_prompt(folder, self.headed.model.config, config.max_length)
        self.pieces = Pieces.of(
            question.frame,
            self._spelt(items.n),
            longest,
            answer=question.verbaliser.longest,
            with_candidate=True,
            name_of=lambda row: f"item {row}",
        )
        self._refuse_if(bool(self.pieces.cut.any()), longest)
        self.alignment: Alignment | None = None
        if config.alignment:
            if self.model.heads is None:
                raise UsageError(
                    f"{folder.name} is an {self.headed.kind}: it would see the codes and words "
                    "that alignment has it say",
                    fix="a decoder such as Llama, Qwen or GPT-2, or alignment: []",
                )
            self.alignment = Alignment(config, items, question.spelling, longest)
        self.reader = Reader(self.headed)
        self._counts: Counter[str] = Counter()
        self._train: list[Padded] = []
        self.notes = self._notes(question.prompt)

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        return self.model

    # -------------------------------------------------------------------------------- training

    def prepare(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Prompts of the training rows; the tokens of each, int64 `[n]`."""
        prefixes = self._prefixes(history)
        everyone = np.arange(len(item))
        whole = [
            prompts_of(self.pieces, prefixes, asker, item, one).whole(everyone)
            for one in self.passes
        ]
        self._train = [Padded(tokens.values, tokens.offsets) for tokens in whole]
        lengths: np.ndarray = whole[0].lengths
        return lengths

    def loss(self, rows: np.ndarray, label: np.ndarray) -> Tensor:
        """Cross-entropy of yes and no and, where the model looks back only, of all codes."""
        self.reader.forget()
        device = device_of(self.headed.model)
        total: Any = 0.0
        of_codes: Any = 0.0
        for at, (one, texts) in enumerate(zip(self.passes, self._train, strict=True)):
            ids, mask = texts.take(rows, device)
            given = {"input_ids": ids.long(), "attention_mask": mask.long()}
            with _states(self.headed) as held:
                logits = logits_of(self.headed, given, texts.lengths(rows), one.asked, device)
            total = total + one.sign * one.reduce(logits)
            if at == 0 and self.model.heads is not None:
                of_codes = self.model.code_loss(held[0], ids)
        wanted = torch.from_numpy(label).to(device)
        loss: Tensor = functional.binary_cross_entropy_with_logits(total, wanted) + of_codes
        return loss

    def texts(self, rng: np.random.Generator) -> Iterator[AlignmentBatch]:
        """Every item with a text once for each task of the alignment."""
        return iter(()) if self.alignment is None else self.alignment.epoch(rng)

    def loss_of_texts(self, batch: AlignmentBatch) -> Tensor:
        """Mean cross-entropy of codes, or of words."""
        assert self.alignment is not None
        self.reader.forget()
        return self.alignment.loss(self.model, batch)

    # ---------------------------------------------------------------------------------- asking

    def score(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Log-odds of yes against no, float32 `[n]`."""
        if self.model.training:
            self.model.eval()
        prefixes = self._prefixes(history)
        total = torch.zeros(len(item))
        for one in self.passes:
            prompts = prompts_of(self.pieces, prefixes, asker, item, one)
            total += one.sign * self.reader.read(prompts, one.asked, one.reduce)
        self._counts["prompt_tokens"] += tokens_of(prompts, self.passes[-1])
        self._counts["answered"] += len(item)
        left = history.lengths - prefixes.kept
        self._counts["left_out"] += int(left[np.unique(asker)].sum())
        scores: np.ndarray = total.numpy()
        return scores

    def counted(self) -> Counter[str]:
        """What was read since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts

    # ---------------------------------------------------------------------------------- inside

    def _spelt(self, n: int) -> Ragged:
        """The tokens of each item, behind the last word of the model, int32."""
        tokens = self.model.tokens
        spelt = tokens.spell(torch.arange(n)[:, None])[:, 1:] + self.model.first
        return Ragged.from_lengths(
            spelt.numpy().astype(np.int32).ravel(), np.full(n, tokens.width, dtype=np.int64)
        )

    def _prefixes(self, history: Ragged) -> Prefixes:
        """The prompts of some askers up to the candidate, which has room for all its codes."""
        prefixes = self.pieces.prefixes(history)
        small = prefixes.room < self.model.tokens.width
        self._refuse_if(bool(small.any()), self.pieces.max_length)
        return prefixes

    def _refuse_if(self, short: bool, longest: int) -> None:
        if short:
            raise UsageError(
                f"a prompt of {longest} tokens has no room for the {self.model.tokens.width} codes "
                "of an item",
                fix="a shorter prompt, or a larger max_length, as far as the model goes",
            )

    def _notes(self, prompt: Prompt) -> tuple[str, ...]:
        name, kind, tokens = self.headed.folder.name, self.headed.kind, self.model.tokens
        first = f"{name}, a {kind}, reads items as {tokens.width} of {tokens.start:,} new tokens"
        notes = [f"{first}, asked by {prompt.title} ({prompt.hash})"]
        if self.model.heads is None:
            notes.append(f"codes are not predicted: {name} would see them before it says them")
        return tuple(notes)


@contextmanager
def _states(headed: Headed) -> Iterator[list[Tensor]]:
    """Within, what a decoder hands its head is kept, `[b, t, h]`, before places are chosen."""
    held: list[Tensor] = []
    head = None if headed.kind != "decoder" else headed.model.get_output_embeddings()  # type: ignore[operator]
    if head is None:
        yield held
        return
    hook = head.register_forward_pre_hook(lambda module, args: held.append(args[0]))
    try:
        yield held
    finally:
        hook.remove()
