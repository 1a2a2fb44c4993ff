"""The language model that answers: how it is given questions, trained on them and asked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.contracts import Account, Answers, Questions
from tastebench.encoders.catalog import language_model
from tastebench.errors import UsageError
from tastebench.lm.headed import load_headed
from tastebench.lm.load import choose_device, ready
from tastebench.lm.lora import keep_trained_only
from tastebench.lm.padded import Padded
from tastebench.lm.partly import PartlyTrained, adapters
from tastebench.lm.prefix import Asked, Prompts, Reader, device_of, last_places, logits_of
from tastebench.lm.speed import multiplying_weights
from tastebench.lm.spending import per_thousand
from tastebench.lm.states import sample_of
from tastebench.metrics.answers import ANSWERED
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import concatenated
from tastebench.recommenders.userqa.layout import Layout, Suffixes, make_layout
from tastebench.recommenders.userqa.prompt import get_qa_prompt
from tastebench.recommenders.userqa.settings import (
    FLOPS_PROBE,
    ReaderSettings,
    in_chat,
    length_of,
)
from tastebench.recommenders.userqa.soft import SoftHeaded

Tune = Literal["none", "lora", "full"]

UNPARSED = "unparsed"


@dataclass(frozen=True, eq=False)
class Tuning:
    """Which of the reader's weights are trained, as `tastebench.lm.partly` asks for it."""

    tune: Tune
    lora_rank: int
    lora_alpha: int
    lora_dropout: float
    targets: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class Lessons:
    """Training questions in tokens, each with its answer.

    Attributes:
        texts: Prompt, answer and end, soft tokens not among them.
        said: Tokens of each answer with its end, int64 `[n]`.
        user: Whom each is about, int64 `[n]`.
        cut: Questions that were shortened.
        alike: Those of which two options read the same then.
    """

    texts: Padded
    said: np.ndarray
    user: np.ndarray
    cut: int
    alike: int


class QaReader:
    """A causal language model that answers questions about users.

    Args:
        config: Which model and how it is asked.
        tune: What of it is trained.
        language: Of the questions.

    Raises:
        UsageError: The model does not continue texts, or its labels are no tokens.
        DataError: The model cannot be loaded.

    Attributes:
        max_length: Tokens that a prompt and its answer may have.
        notes: What a reader of the record should know.
    """

    def __init__(self, config: ReaderSettings, tune: Tune, language: str) -> None:
        folder = language_model(config.model, trust_remote_code=config.trust_remote_code)
        headed = load_headed(folder)
        if headed.kind != "decoder":
            raise UsageError(
                f"the model {folder.name!r} is an {headed.kind}, and answers are what continues a "
                "text",
                fix="model: a causal language model, e.g. of the families of Llama or Qwen",
            )
        self.config, self.tune = config, tune
        self.headed = SoftHeaded.of(headed)
        self.max_length = length_of(config, folder, headed.model.config)
        by_words, chat = config.by_words, in_chat(config, folder)
        prompt = get_qa_prompt(config.prompt, language, by_words=by_words)
        room = min(config.question_length, self.max_length // 2)
        self.layout: Layout = make_layout(prompt, headed, room, chat=chat, by_words=by_words)
        self.reader = Reader(self.headed)
        self.partly: PartlyTrained | None = None
        self.notes: tuple[str, ...] = (
            f"{folder.name}, asked by {prompt.title} ({prompt.hash})"
            f"{', in its chat template' if chat else ''}",
        )
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._weights, self._operations = multiplying_weights(folder), 0.0

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return device_of(self.headed.model)

    # -------------------------------------------------------------------------------- training

    def use(self) -> None:
        """Readies the model to be asked as it is."""
        device = choose_device(self.config.device)
        ready(self.headed.model, device, stored=self.config.precision == "bf16")

    def freeze(self) -> PartlyTrained:
        """The model with nothing of it trained, for adapters alone."""
        self.partly = PartlyTrained(self.headed.model, self.headed.folder, None)
        self.partly.requires_grad_(False)
        keep_trained_only(self.partly)
        return self.partly

    def lessons(self, prefixes: Ragged, questions: Questions) -> Lessons:
        """Training questions with their answers.

        Args:
            prefixes: Tokens before the questions, one list a user, soft tokens not among them.
            questions: At least one.
        """
        suffixes = self.layout.suffixes(questions)
        answers = suffixes.answers[_of_each(questions) + questions.gold]
        whole = concatenated(prefixes[questions.user], suffixes.tokens, answers)
        return Lessons(
            Padded(whole.values, whole.offsets),
            answers.lengths,
            questions.user,
            int(suffixes.cut.sum()),
            int(suffixes.alike.sum()),
        )

    def choose(self, lessons: Lessons) -> PartlyTrained:
        """The model with what is trained of it marked, checked on a few lessons."""
        config, headed = self.config, self.headed
        self.partly = partly = PartlyTrained(headed.model, headed.folder, None)
        texts = Ragged(lessons.texts.values, lessons.texts.offsets)
        some, cpu = sample_of(texts), torch.device("cpu")
        lengths = texts.lengths[some]

        def output(given: dict[str, Tensor]) -> Tensor:
            return logits_of(headed, given, lengths, Asked(), cpu).flatten(0, 1)

        ids, mask = lessons.texts.take(some, cpu)
        partly.eval()
        tuning = Tuning(
            self.tune, config.lora_rank, config.lora_alpha, config.lora_dropout, config.targets
        )
        partly.choose(output, ids.long(), mask, adapters(tuning), headed.untrained)
        return partly

    def loss(self, lessons: Lessons, rows: np.ndarray, soft: Tensor | None) -> Tensor:
        """Mean cross-entropy of the answers and their ends, by token, and of nothing else.

        Args:
            lessons: The training questions.
            rows: Some of them.
            soft: Soft tokens before each, `[rows, m, d]`; None for none.
        """
        self.reader.forget()
        ids, mask = lessons.texts.take(rows, self.device)
        # What stands one place before a token is asked for it.
        row, place = last_places(lessons.texts.lengths(rows) - 1, lessons.said[rows])
        there = torch.from_numpy(row).to(self.device), torch.from_numpy(place).to(self.device)
        logits = self.headed.logits_behind(*there, soft, ids.long(), mask)
        wanted = ids[there[0], there[1] + 1].long()
        return functional.cross_entropy(logits.float(), wanted)

    # ---------------------------------------------------------------------------------- asking

    def answer(self, prefixes: Ragged, questions: Questions, head: int, soft: int) -> Answers:
        """Answers in the order of the questions.

        Args:
            prefixes: Tokens before the questions, one list a user, soft tokens among them.
            questions: At least one.
            head: Tokens that all prefixes begin with.
            soft: Soft tokens of each prefix.
        """
        suffixes = self.layout.suffixes(questions)
        ask = self._by_words if self.layout.labels is None else self._by_labels
        scores, tokens = ask(prefixes, questions, head, suffixes)
        status = [ANSWERED] * len(questions)
        if self.config.scoring == "greedy":
            scores, status = self._parsed(scores[:, 0], len(questions.options[0]))
        scored = suffixes.answers.lengths.sum() if self.layout.labels is None else len(questions)
        head = self.headed.vocabulary * self.headed.width
        self.worked(self._weights or 0, int(tokens.sum()))
        self.worked(head, int(scored))
        tokens = tokens - soft
        self._counts["prompt_tokens"] += int(tokens.sum())
        self._counts["cut"] += int(suffixes.cut.sum())
        if alike := int(suffixes.alike.sum()):
            self._counts["alike"] += alike
        self._counts.update(status)
        return Answers(scores.astype(np.float32), status, np.full(len(questions), soft), tokens)

    def _by_labels(
        self, prefixes: Ragged, questions: Questions, head: int, suffixes: Suffixes
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of labels `[n, options]`, or the likeliest tokens `[n, 1]`; tokens."""
        order = np.argsort(questions.user, kind="stable")
        prompts = _prompts(head, prefixes, questions.user[order], suffixes.tokens[order])
        assert self.layout.labels is not None
        labels = self.layout.labels[: len(questions.options[0])]
        greedy = self.config.scoring == "greedy"

        def reduce(logits: Tensor) -> Tensor:
            last = logits[:, -1].float()
            if greedy:
                return last.argmax(dim=1, keepdim=True)
            return last.log_softmax(dim=1)[:, torch.from_numpy(labels).to(last.device)]

        found = self.reader.read(prompts, Asked(), reduce).numpy()
        back = np.argsort(order)
        return found[back], prompts.lengths[back]

    def _by_words(
        self, prefixes: Ragged, questions: Questions, head: int, suffixes: Suffixes
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log-probabilities of the options' words and their ends, `[n, options]`; tokens.

        Options begin alike twice: with their user, and with their question. Which of the two is
        kept while the rest is read is whatever leaves less to read.
        """
        n, k, answers = len(questions), len(questions.options[0]), suffixes.answers
        order = np.argsort(questions.user, kind="stable")
        asker, asked = questions.user[order], suffixes.tokens[order]
        tokens = prefixes.lengths[questions.user] + suffixes.tokens.lengths
        tokens += answers.lengths.reshape(n, k).sum(axis=1)
        by_user = int(prefixes.lengths[np.unique(asker)].sum() + k * asked.lengths.sum())
        if by_user > (prefixes.lengths[asker] + asked.lengths).sum():
            # The last token of a question is asked for the first of an option, so it stands there.
            ends = asked.offsets[1:]
            begun = Ragged.windows(asked.values, ends - 1, asked.lengths - 1)
            prefixes, asker = concatenated(prefixes[asker], begun), np.arange(n)
            asked = Ragged.windows(asked.values, ends, np.ones(n, dtype=np.int64))
        question, option = np.repeat(np.arange(n), k), (k * order[:, None] + np.arange(k)).ravel()
        written = concatenated(asked[question], answers[option])
        prompts = _prompts(head, prefixes, asker[question], written)
        scores = np.empty((n, k), dtype=np.float32)
        found = self.reader.log_probabilities(prompts, answers.lengths[option])
        scores[order] = found.numpy().reshape(n, k)
        return scores, tokens

    def _parsed(self, written: np.ndarray, n: int) -> tuple[np.ndarray, list[str]]:
        """Written tokens as answers: 0 for the option whose label begins the text, else -inf."""
        distinct, which = np.unique(written, return_inverse=True)
        tokenizer: Any = self.headed.tokenizer
        said = [tokenizer.decode([token]).strip() for token in distinct.tolist()]
        chosen = np.array([_option(text, self.layout.prompt.labels[:n]) for text in said])[which]
        scores = np.full((len(written), n), -np.inf, dtype=np.float32)
        named = chosen >= 0
        scores[np.flatnonzero(named), chosen[named]] = 0.0
        return scores, [ANSWERED if one else UNPARSED for one in named.tolist()]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around all that answering takes, vectors of users among it."""
        began = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - began

    def account(self) -> Account:
        """What was read since the last call, and what a thousand answers take of it."""
        counts, self._counts = self._counts, Counter()
        seconds, self._seconds = self._seconds, 0.0
        read, asked = counts.pop("prompt_tokens", 0), counts[ANSWERED] + counts[UNPARSED]
        written = asked if self.config.scoring == "greedy" else 0
        operations, self._operations = self._operations, 0.0
        flops = {FLOPS_PROBE: operations / asked / 1e9} if asked and self._weights else {}
        return Account(
            prompt_tokens=read,
            completion_tokens=written,
            counts=dict(counts),
            probes={**per_thousand(asked, read, written, seconds), **flops},
        )

    def worked(self, weights: int, tokens: int) -> None:
        """Adds two operations for every weight that every one of the tokens is multiplied by.

        Kaplan et al., 2020 (arXiv:2001.08361), 2.1: what attention takes besides is left out. Of
        the reader these are its matrices over every token of a question, and the words' over the
        tokens that are scored; of a user encoder its dense weights over every event it reads.
        """
        self._operations += 2.0 * weights * tokens

    def count(self, name: str, n: int) -> None:
        """Adds to what is told of."""
        self._counts[name] += n


def _prompts(head: int, prefixes: Ragged, asker: np.ndarray, suffixes: Ragged) -> Prompts:
    """Prompts of the users who are asked about, and of no others."""
    return Prompts(head, prefixes, asker, suffixes)[np.arange(len(asker))]


def _of_each(questions: Questions) -> np.ndarray:
    """Where the options of each question begin in one list of all, int64 `[n]`."""
    return np.arange(len(questions)) * len(questions.options[0])


def _option(said: str, labels: tuple[str, ...]) -> int:
    """The option whose label a text begins with, the longest of several; -1 for none.

    A word that begins with the letter of a label is no label: of `Because` none is meant.
    """
    fits = [
        i
        for i, label in enumerate(labels)
        if said.startswith(label) and not said[len(label) : len(label) + 1].isalnum()
    ]
    return max(fits, key=lambda i: len(labels[i]), default=-1)
