"""Yes or no? The log-odds of two answers behind a prompt, zero-shot or tuned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items
from tastebench.encoders.catalog import language_model
from tastebench.errors import UsageError
from tastebench.lm.headed import Headed, load_headed
from tastebench.lm.load import choose_device, ready
from tastebench.lm.padded import Padded
from tastebench.lm.partly import PartlyTrained, adapters
from tastebench.lm.prefix import Asked, Prompts, Reader, device_of, logits_of
from tastebench.lm.spelling import Spelling
from tastebench.lm.states import sample_of
from tastebench.lm.verbaliser import Verbaliser, log_probability, make_verbaliser
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.models import (
    in_chat,
    longest_prompt,
    prompt_of,
)
from tastebench.recommenders.llm.pieces import (
    Frame,
    Pieces,
    Prefixes,
    concatenated,
    make_frame,
    repeated,
)
from tastebench.recommenders.llm.prompt import Prompt
from tastebench.recommenders.llm.texts import item_name, texts_of


@dataclass(frozen=True, eq=False)
class Pass:
    """One reading of a prompt; a verbaliser of several tokens takes one for each answer.

    Attributes:
        closing: Tokens behind the prompt, int32: what is masked, or the answer but its last token.
        asked: Where logits are needed.
        sign: How what is made of them goes into the score.
        reduce: Logits `[n, places, vocabulary]` to a number a prompt, `[n]`.
    """

    closing: np.ndarray
    asked: Asked
    sign: float
    reduce: Callable[[Tensor], Tensor]


class Generative:
    """A language model that is asked for yes or no.

    Args:
        config: Which model, how it is asked and how it is tuned.
        items: The catalogue, with texts.
        history_length: Items of a history at most.

    Raises:
        UsageError: Settings that do not go with the model.
        DataError: The model cannot be loaded, or a prompt has no room.
    """

    def __init__(self, config: LLMConfig, items: Items, history_length: int) -> None:
        self.config = config
        texts = texts_of(items)
        folder = language_model(config.model, trust_remote_code=config.trust_remote_code)
        self.headed = load_headed(folder)
        _check_head(self.headed, config)
        question = question_of(config, self.headed, history_length)
        self.verbaliser, self.passes = question.verbaliser, question.passes
        self.pieces = Pieces.of(
            question.frame,
            question.spelling.texts(texts, item_name(texts)),
            longest_prompt(folder, self.headed.model.config, config.max_length),
            answer=self.verbaliser.longest,
            with_candidate=True,
            name_of=item_name(texts),
        )
        self.reader = Reader(self.headed)
        self.partly: PartlyTrained | None = None
        self._counts: Counter[str] = Counter()
        self._train: list[Padded] = []
        self.notes: tuple[str, ...] = (
            f"{folder.name} ({self.headed.kind}), asked by {question.prompt.title} "
            f"({question.prompt.hash}){', in its chat template' if question.chat else ''}",
        )
        device = choose_device(config.device)
        if config.tune == "none":
            ready(self.headed.model, device, stored=config.precision == "bf16")

    @property
    def module(self) -> nn.Module:
        """What is trained, or the model as it is."""
        return self.headed.model if self.partly is None else self.partly

    # -------------------------------------------------------------------------------- training

    def prepare(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Prompts of the training rows, and what frozen layers make of them."""
        prefixes = self.pieces.prefixes(history)
        prompts = [prompts_of(self.pieces, prefixes, asker, item, one) for one in self.passes]
        whole = [each.whole(np.arange(len(item))) for each in prompts]
        self.partly = self._partly(whole[0])
        device, stored = choose_device(self.config.device), self.config.store
        self._train = [
            self.partly.inputs(tokens, device, stored, lambda row: f"training prompt {row}")
            for tokens in whole
        ]
        lengths: np.ndarray = whole[0].lengths
        return lengths

    def loss(self, rows: np.ndarray, label: np.ndarray) -> Tensor:
        """Binary cross-entropy of the probability of yes."""
        self.reader.forget()
        total: Any = 0.0
        for one, texts in zip(self.passes, self._train, strict=True):
            total = total + one.sign * self._read(texts, rows, one)
        wanted = torch.from_numpy(label).to(total.device)
        return functional.binary_cross_entropy_with_logits(total, wanted)

    def _read(self, texts: Padded, rows: np.ndarray, one: Pass) -> Tensor:
        assert self.partly is not None
        device = device_of(self.headed.model)

        def logits(given: dict[str, Tensor]) -> Tensor:
            return logits_of(self.headed, given, texts.lengths(rows), one.asked, device)

        return one.reduce(self.partly.read(texts, rows, device, logits))

    def _partly(self, prompts: Ragged) -> PartlyTrained:
        """The model with what is trained of it marked, checked on a few prompts."""
        config, headed = self.config, self.headed
        partly = PartlyTrained(headed.model, headed.folder, config.tune_from)
        some = sample_of(prompts)
        asked = self.passes[0].asked
        lengths = prompts.lengths[some]

        def output(given: dict[str, Tensor]) -> Tensor:
            return logits_of(headed, given, lengths, asked, torch.device("cpu")).flatten(0, 1)

        ids, mask = Padded(prompts.values, prompts.offsets).take(some, torch.device("cpu"))
        partly.eval()
        partly.choose(output, ids.long(), mask, adapters(config), headed.untrained)
        return partly

    # ---------------------------------------------------------------------------------- asking

    def score(self, history: Ragged, asker: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Log-odds of yes against no, float32 `[n]`."""
        if self.module.training:
            self.module.eval()
        prefixes = self.pieces.prefixes(history)
        total = torch.zeros(len(item))
        for one in self.passes:
            prompts = prompts_of(self.pieces, prefixes, asker, item, one)
            total += one.sign * self.reader.read(prompts, one.asked, one.reduce)
        self._counts["prompt_tokens"] += tokens_of(prompts, self.passes[-1])
        self._count(prefixes, asker, item, history)
        scores: np.ndarray = total.numpy()
        return scores

    def forget(self) -> None:
        """The weights have changed: what is kept of their making is no longer true."""
        self.reader.forget()

    def counted(self) -> Counter[str]:
        """What was read since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts

    def _count(
        self, prefixes: Prefixes, asker: np.ndarray, item: np.ndarray, history: Ragged
    ) -> None:
        asked = np.unique(asker)
        short = self.pieces.shortened(item, prefixes.room[asker])
        self._counts["answered"] += len(item)
        self._counts["cut"] += int(short.sum()) + int(prefixes.shortened[asked].sum())
        left = history.lengths - prefixes.kept
        self._counts["left_out"] += int(left[asked].sum())


@dataclass(frozen=True, eq=False)
class Question:
    """What a model is asked and in which tokens, whatever stands for the items.

    Attributes:
        chat: It is put into the model's chat template.
        frame: Its fixed pieces.
        passes: How often it is read.
    """

    prompt: Prompt
    chat: bool
    spelling: Spelling
    frame: Frame
    verbaliser: Verbaliser
    passes: list[Pass]


def question_of(config: LLMConfig, headed: Headed, history_length: int) -> Question:
    """The question of a run to a model.

    Raises:
        UsageError: The model cannot tell the answers apart, or does not know them.
    """
    chat = in_chat(config, headed.folder, headed.kind)
    prompt, spelling = prompt_of(config, chat=chat), Spelling(headed.tokenizer, headed.folder.name)
    frame = make_frame(prompt, spelling, history_length, chat=chat)
    verbaliser = make_verbaliser(spelling, prompt.yes, prompt.no, frame.lead)
    passes = passes_of(headed, verbaliser, frame.last)
    return Question(prompt, chat, spelling, frame, verbaliser, passes)


def prompts_of(
    pieces: Pieces, prefixes: Prefixes, asker: np.ndarray, item: np.ndarray, one: Pass
) -> Prompts:
    """Whole prompts in their two parts, of rows by asker and item."""
    suffixes = pieces.suffixes(item, prefixes.room[asker])
    suffixes = concatenated(suffixes, repeated(one.closing, len(item)))
    return Prompts(len(pieces.frame.head), prefixes.tokens, asker, suffixes)


def tokens_of(prompts: Prompts, one: Pass) -> int:
    """Tokens of prompts, each once and without what is put behind it for the answer."""
    return int((prompts.lengths - len(one.closing)).sum())


def passes_of(headed: Headed, verbaliser: Verbaliser, last: np.ndarray) -> list[Pass]:
    """How often a prompt is read, and what for.

    Args:
        headed: The model.
        verbaliser: The answers.
        last: Special tokens at the end of a text, of those who see both ways.

    Raises:
        UsageError: The model has no token for what is masked.
    """
    if verbaliser.single:
        return [
            Pass(
                *_placed(headed, verbaliser.yes, last), 1.0, lambda x: verbaliser.of_logits(x[:, 0])
            )
        ]

    def likely(word: np.ndarray) -> Callable[[Tensor], Tensor]:
        return lambda logits: log_probability(logits, word)

    return [
        Pass(*_placed(headed, word, last), sign, likely(word))
        for word, sign in ((verbaliser.yes, 1.0), (verbaliser.no, -1.0))
    ]


def _placed(headed: Headed, word: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, Asked]:
    """What stands behind the prompt, and where the tokens of an answer are asked for."""
    if headed.kind == "decoder":
        return word[:-1], Asked(len(word))
    if headed.kind == "encoder-decoder":
        return last, Asked(len(word), said=tuple(word[:-1].tolist()))
    masked = headed.tokenizer.mask_token_id
    if masked is None:
        raise UsageError(
            f"the tokenizer of {headed.folder.name!r} has no token for a masked place",
            fix="take the tokenizer that the model was trained with, or scoring: matching",
        )
    masks = np.full(len(word), masked, dtype=np.int32)
    return np.concatenate([masks, last]), Asked(len(word), behind=len(last))


def _check_head(headed: Headed, config: LLMConfig) -> None:
    if headed.untrained and config.tune == "none":
        raise UsageError(
            f"the model {headed.folder.name!r} has no trained head that names tokens (it lacks "
            f"{headed.untrained[0]}), so what it would answer is random",
            fix="scoring: matching compares vectors instead; tune: lora trains a head, too",
        )
