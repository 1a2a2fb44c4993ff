"""Who writes titles: a model on this machine, in tokens, or one behind an address, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tastebench.contracts import Account
from tastebench.lm.asking import Conversation, tokens_of
from tastebench.lm.calls import Call
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import Pieces, concatenated, make_frame, repeated
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.recommenders.llm.remote_model import RemoteModel, cost
from tastebench.recommenders.llm.texts import item_name
from tastebench.recommenders.llm.words import Words
from tastebench.training.seeds import generator

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_title import TitleConfig
    from tastebench.recommenders.llm.local_model import LocalModel


class Writer(Protocol):
    """Asks for titles."""

    note: str
    """Who is asked and how, for the record."""

    def write(self, history: Ragged, n: int) -> tuple[list[Conversation], list[list[Call]]]:
        """The question about each history, and `n` answers to each, the best first."""
        ...

    def shortened(self) -> Counter[str]:
        """Texts that were cut and items that had no room since the last call."""
        ...

    def account(self, counts: dict[str, int], probes: dict[str, float], asked: int) -> Account:
        """What was asked since the last call."""
        ...


class RemoteWriter:
    """Draws titles from a model behind an address, a request each.

    Args:
        config: Which model and how it is asked.
        texts: One line an item.
        history_length: Items of a history at most.

    Raises:
        UsageError: A prompt that leaves no room.
    """

    def __init__(self, config: TitleConfig, texts: Sequence[str], history_length: int) -> None:
        prompt = get_prompt(config.prompt)
        self.config = config
        self.model = RemoteModel(config.model, prompt.hash, texts, config.temperature)
        self.words = Words(
            prompt, texts, history_length, config.max_length, answer=config.title_tokens
        )
        self._short: Counter[str] = Counter()
        endpoint = self.model.endpoint
        self.note = (
            f"{endpoint.model} at {endpoint.address}, asked by {prompt.title} ({prompt.hash}), "
            f"{config.titles} titles drawn"
        )

    def check_cap(self, histories: Sequence[Ragged]) -> None:
        """Refuses to ask somebody else's server where nothing caps what it may charge.

        Raises:
            UsageError: Nothing does.
        """
        read, n = self.size(histories)
        most = n * self.config.title_tokens
        self.model.check_cap(read + most, cost(self.model.price, read, most))

    def size(self, histories: Sequence[Ragged]) -> tuple[int, int]:
        """About how many tokens all prompts have, each asked for each of its titles; how many."""
        n = self.config.titles * sum(map(len, histories))
        told = [
            tokens_of(one) for part in histories for one in self.conversations(sampled(part))[0]
        ]
        return round(float(np.mean(told)) * n) if told else 0, n

    def conversations(self, history: Ragged) -> tuple[list[Conversation], Counter[str]]:
        """The question about each history, and what was cut or left out of it."""
        before, prefixes = self.words.prefixes(history)
        asks = self.words.prompt.answer
        left = int((history.lengths - prefixes.kept).sum())
        short = Counter({"cut": int(prefixes.shortened.sum()), "left_out": left})
        return [self.words.conversation(text + asks) for text in before], short

    def write(self, history: Ragged, n: int) -> tuple[list[Conversation], list[list[Call]]]:
        """The question about each history, and `n` answers to each.

        Raises:
            BudgetError: The cap is reached; what was answered is kept.
            RemoteError: The server cannot be asked; what was answered is kept.
        """
        conversations, short = self.conversations(history)
        self._short += short
        most = self.config.title_tokens
        drawn = [self.model.ask(conversations, max_tokens=most, draw=draw) for draw in range(n)]
        return conversations, [list(calls) for calls in zip(*drawn, strict=True)]

    def shortened(self) -> Counter[str]:
        """Texts that were cut and items that had no room since the last call."""
        short, self._short = self._short, Counter()
        return short

    def account(self, counts: dict[str, int], probes: dict[str, float], asked: int) -> Account:
        """What was asked since the last call."""
        return self.model.account(counts, probes, asked=asked)


class LocalWriter:
    """Writes titles with a model on this machine.

    Prompts are put together from pieces that are tokenised once, in training as in testing.

    Args:
        config: Which model and how it is asked.
        texts: One line an item.
        history_length: Items of a history at most.
        seed: Of the run: draws, where titles are drawn.

    Raises:
        UsageError: The model writes no text.
        DataError: It cannot be loaded, or a prompt has no room.

    Attributes:
        model: It may be tuned.
        pieces: Of its prompts.
    """

    def __init__(
        self, config: TitleConfig, texts: Sequence[str], history_length: int, seed: int
    ) -> None:
        from tastebench.recommenders.llm.local_model import LocalModel

        prompt = get_prompt(config.prompt)
        self.config, self._seed = config, seed
        self.model: LocalModel = LocalModel(
            config.model,
            prompt,
            chat=config.chat == "auto",
            device=config.device,
            trust_remote_code=config.trust_remote_code,
        )
        spelling = self.model.spelling
        self.pieces = Pieces.of(
            make_frame(prompt, spelling, history_length, chat=self.model.chat),
            spelling.texts(texts, item_name(texts)),
            self.model.longest(config.max_length),
            answer=config.title_tokens,
            with_candidate=False,
            name_of=item_name(texts),
        )
        self._short: Counter[str] = Counter()
        how = f"{config.titles} {'beams' if config.search == 'beam' else 'titles drawn'}"
        chat = ", in its chat template" if self.model.chat else ""
        self.note = (
            f"{self.model.folder.name}, asked by {prompt.title} ({prompt.hash}){chat}, {how}"
        )

    def prompts(self, history: Ragged) -> Ragged:
        """The question about each history in tokens, int32; what was cut is counted."""
        prefixes = self.pieces.prefixes(history)
        self._short["cut"] += int(prefixes.shortened.sum())
        self._short["left_out"] += int((history.lengths - prefixes.kept).sum())
        frame = self.pieces.frame
        end = frame.end
        if self.model.headed.kind == "encoder-decoder":
            end = np.concatenate([end, frame.last])
        return concatenated(prefixes.tokens, repeated(end, len(history)))

    def write(self, history: Ragged, n: int) -> tuple[list[Conversation], list[list[Call]]]:
        """The question about each history, and `n` answers to each, the best first."""
        from tastebench.recommenders.llm.local_model import Writing

        drawn = self.config.search == "sample"
        how = Writing(
            n,
            self.config.temperature if drawn else None,
            line=True,
            rng=generator(self._seed, "titles") if drawn else None,
        )
        prompts = self.prompts(history)
        decode: Any = self.model.headed.tokenizer.decode
        said = [[{"role": "user", "content": decode(one)}] for one in prompts]
        return said, self.model.write(prompts, max_tokens=self.config.title_tokens, how=how)

    def shortened(self) -> Counter[str]:
        """Texts that were cut and items that had no room since the last call."""
        short, self._short = self._short, Counter()
        return short

    def account(self, counts: dict[str, int], probes: dict[str, float], asked: int) -> Account:
        """What was read and written since the last call."""
        return self.model.account(counts, probes, asked=asked)


_SAMPLED = 256


def sampled(history: Ragged) -> Ragged:
    """Some of the lists, evenly over all, to tell by them about how long they are."""
    n = min(_SAMPLED, len(history))
    return history[np.arange(n) * len(history) // max(n, 1)]
