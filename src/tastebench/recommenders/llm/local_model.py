"""A model on this machine that writes answers, asked as one behind an address is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tastebench.contracts import Account
from tastebench.encoders.catalog import language_model
from tastebench.errors import DataError, UsageError
from tastebench.lm.asking import Conversation
from tastebench.lm.calls import Call
from tastebench.lm.headed import load_headed
from tastebench.lm.load import choose_device, ready
from tastebench.lm.spelling import Spelling
from tastebench.lm.spending import per_thousand
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.models import has_chat_template, longest_prompt
from tastebench.recommenders.llm.pieces import chat_frame
from tastebench.recommenders.llm.prompt import Prompt
from tastebench.training.seeds import torch_seeded

_TOGETHER = 8192
"""Tokens that are read in one batch, padding included."""
_SAMPLED = 256


@dataclass(frozen=True)
class Writing:
    """How answers are written.

    Attributes:
        n: Answers to each prompt.
        temperature: They are drawn; None takes the likeliest, found by as many beams.
        line: An answer ends with its line.
        rng: Draws; what it draws depends on which prompts are read together.
    """

    n: int = 1
    temperature: float | None = None
    line: bool = False
    rng: np.random.Generator | None = None

    def options(self) -> dict[str, Any]:
        """The same as transformers calls it."""
        if self.temperature is None:
            return {"do_sample": False, "num_beams": self.n, "num_return_sequences": self.n}
        free = {"top_k": 0, "top_p": 1.0, "num_return_sequences": self.n}
        return {"do_sample": True, "temperature": self.temperature, **free}

    def drawn(self) -> AbstractContextManager[None]:
        """Within, what is drawn follows from the generator."""
        return nullcontext() if self.rng is None else torch_seeded(self.rng)


GREEDY = Writing()
"""The likeliest token at each place."""


class LocalModel:
    """Writes the likeliest token at each place, or several answers (`write`).

    Args:
        name: A folder, or `organisation/model[@commit]`.
        prompt: Its system message begins every conversation.
        chat: Put conversations into the model's chat template, where it has one.
        device: `auto`, or one of PyTorch's.
        trust_remote_code: Run the code that the folder brings along.

    Raises:
        UsageError: The model writes no text.
        DataError: It cannot be loaded.
    """

    def __init__(
        self, name: str, prompt: Prompt, *, chat: bool, device: str, trust_remote_code: bool
    ) -> None:
        folder = language_model(name, trust_remote_code=trust_remote_code)
        headed = load_headed(folder)
        if headed.kind == "encoder":
            raise UsageError(
                f"the model {folder.name!r} fills places in a text and writes none",
                fix="a model that writes, or the recommender llm",
            )
        self.folder, self.headed = folder, headed
        self.spelling = Spelling(headed.tokenizer, folder.name)
        none = np.empty(0, dtype=np.int32)
        self.chat = chat and has_chat_template(folder)
        if self.chat:
            self._before, self._after, _, self._system = chat_frame(prompt, self.spelling)
        else:
            decodes = headed.kind == "decoder"
            self._before, self._after = self.spelling.first, none if decodes else self.spelling.last
            self._system = "" if prompt.system is None else f"{prompt.system}\n"
        self.device = choose_device(device)
        self.model: Any = ready(headed.model, self.device, stored=True)
        self._read, self._written, self._seconds = 0, 0, 0.0

    @cached_property
    def ends(self) -> list[int]:
        """Tokens that end an answer."""
        own, tokenizer = self.model.generation_config, self.headed.tokenizer
        ends: Any = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
        return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)

    @cached_property
    def line_ends(self) -> list[int]:
        """Tokens that begin with the end of a line, so that what is on the line is whole."""
        tokenizer: Any = self.headed.tokenizer
        said: list[str] = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        return [token for token, text in enumerate(said) if text.lstrip(" ").startswith("\n")]

    def longest(self, wanted: int) -> int:
        """Tokens that a prompt and its answer may have."""
        return longest_prompt(self.folder, self.model.config, wanted)

    def bytes_per_token(self, texts: Sequence[str]) -> float:
        """Of texts like these, on the cautious side."""
        some = [text for text in texts[:: max(1, len(texts) // _SAMPLED)] if text] or ["a"]
        n = sum(len(self.spelling.piece(text)) for text in some)
        return 0.8 * sum(len(text.encode()) for text in some) / max(n, 1)

    def ask(
        self,
        conversations: Sequence[Conversation],
        *,
        max_tokens: int,
        logprobs: int | None = None,
    ) -> list[Call]:
        """The answers, in the order of the questions.

        Raises:
            DataError: A question and its answer are longer than the model takes.
        """
        assert logprobs is None, "log-probabilities of a local model are read, not written"
        tokens = [self._tokens(one[-1]["content"]).tolist() for one in conversations]
        rows = Ragged.from_lists(tokens, dtype=np.int64)
        return [call for (call,) in self.write(rows, max_tokens=max_tokens)]

    def write(self, prompts: Ragged, *, max_tokens: int, how: Writing = GREEDY) -> list[list[Call]]:
        """Answers to prompts in tokens, in their order, the best of each first.

        A prompt's tokens are told with the first of its answers.

        Raises:
            DataError: A question and its answer are longer than the model takes.
        """
        lengths, limit = prompts.lengths, self.longest(2**31)
        if len(lengths) and lengths.max() + max_tokens > limit:
            raise DataError(
                f"a prompt of {lengths.max():,} tokens and an answer of {max_tokens} are more than "
                f"the {limit:,} that {self.folder.name!r} takes",
                fix="a lower max_length, or shorter lists",
            )
        found: list[list[Call]] = [[] for _ in lengths]
        order, begin = np.argsort(-lengths, kind="stable"), 0
        while begin < len(order):
            room = int(lengths[order[begin]] + max_tokens) * how.n
            rows = order[begin : begin + max(1, _TOGETHER // room)]
            for row, calls in zip(rows, self._answers(prompts[rows], max_tokens, how), strict=True):
                found[row] = calls
            begin += len(rows)
        return found

    def account(
        self,
        counts: Mapping[str, int],
        probes: Mapping[str, float] | None = None,
        *,
        asked: int = 0,
    ) -> Account:
        """What was read and written since the last call.

        Args:
            counts: What came of it.
            probes: What else was measured.
            asked: Recommendations that it was for.
        """
        read, written, seconds = self._read, self._written, self._seconds
        self._read, self._written, self._seconds = 0, 0, 0.0
        return Account(
            counts=counts,
            prompt_tokens=read,
            completion_tokens=written,
            probes={**(probes or {}), **per_thousand(asked, read, written, seconds)},
        )

    def _tokens(self, content: str) -> np.ndarray:
        return np.concatenate(
            [self._before, self.spelling.piece(self._system + content), self._after]
        )

    def _answers(self, rows: Ragged, max_tokens: int, how: Writing) -> list[list[Call]]:
        import torch
        import transformers

        configure: Any = transformers.GenerationConfig
        width = int(rows.lengths.max())
        tokenizer: Any = self.headed.tokenizer
        own = self.model.generation_config
        ends = [*self.ends, *(self.line_ends if how.line else [])]
        pad = tokenizer.pad_token_id
        pad = pad if pad is not None else ends[0] if ends else 0
        side: Any = "left" if self.headed.kind == "decoder" else "right"
        mask = rows.padded(width, fill=-1, side=side) >= 0
        ids = np.where(mask, rows.padded(width, fill=0, side=side), pad)
        began = time.perf_counter()
        settings = configure(
            max_new_tokens=max_tokens,
            **how.options(),
            eos_token_id=ends or None,
            pad_token_id=pad,
            decoder_start_token_id=getattr(own, "decoder_start_token_id", None),
        )
        with torch.inference_mode(), how.drawn():
            made = self.model.generate(
                input_ids=torch.from_numpy(ids).to(self.device),
                attention_mask=torch.from_numpy(mask.astype(np.int64)).to(self.device),
                generation_config=settings,
            )
        written = made[:, width if side == "left" else 1 :].cpu().numpy()
        seconds = (time.perf_counter() - began) / len(written)
        reads = np.zeros((len(rows), how.n), dtype=np.int64)
        reads[:, 0] = rows.lengths
        calls = [
            self._call(one, read, ends, tokenizer, seconds)
            for one, read in zip(written, reads.ravel().tolist(), strict=True)
        ]
        return [calls[begin : begin + how.n] for begin in range(0, len(calls), how.n)]

    def _call(
        self, written: np.ndarray, read: int, ends: Sequence[int], tokenizer: Any, seconds: float
    ) -> Call:
        stop = np.flatnonzero(np.isin(written, ends))
        own = written[: int(stop[0])] if len(stop) else written
        self._read += read
        self._written += len(own)
        self._seconds += seconds
        text: str = tokenizer.decode(own, skip_special_tokens=True)
        why = "stop" if len(stop) else "length"
        return Call("", "", text, why, None, read, len(own), seconds)
