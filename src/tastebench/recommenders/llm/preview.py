"""What a local model will be asked, said before anything is loaded but its tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tastebench.contracts import CtrProblem, Items, Pairs, Preview
from tastebench.lm.headed import kind_of
from tastebench.lm.load import would_download
from tastebench.lm.spending import estimate_tokens
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.models import (
    in_chat,
    longest_prompt,
    prompt_of,
)
from tastebench.recommenders.llm.outlook import (
    Tokenized,
    Work,
    as_codes,
    readable,
    tokenized,
)
from tastebench.recommenders.llm.pieces import Pieces, concatenated, make_frame, repeated
from tastebench.recommenders.llm.texts import item_name, texts_of

SHOWN = 3
"""Users whose prompts are shown."""

_SAMPLED = 512
"""Prompts whose tokens are counted; the rest is taken to be like them."""


def preview(config: LLMConfig, problem: CtrProblem, items: Items) -> Preview:
    """Prompts of a few users of the test part, and tokens of both parts that are measured.

    In matching these are the texts of users; an item is read once, which is little beside them.
    Where items are ids or codes, these stand there as `<item 17, code 1>`. Time includes training,
    all epochs of it, and reads what the candidates of a user share once where the model can.

    Raises:
        DataError: No such model here, or a prompt has no room.
    """
    parts = [problem.test, problem.valid]
    n = sum(len(part) for part in parts)
    if not n:
        return Preview((), 0, 0, 0, usd=0.0)
    pairs = next(part for part in parts if len(part))
    if would_download(config.model):
        return _guessed(config, problem, items, pairs, n)
    sample = _sample(config, problem, items, pairs)
    n = sum(map(sample.prompts, parts))
    work = Work(
        asked=sum(map(sample.read, parts)),
        validated=sample.read(problem.valid),
        learned=sample.length * len(problem.train) if config.tune != "none" else 0.0,
        epochs=config.epochs,
    )
    return Preview(
        prompts=sample.shown,
        requests=n,
        prompt_tokens=round(sample.length * n),
        completion_tokens=0,
        seconds=work.seconds(
            config.model, config.device, trust_remote_code=config.trust_remote_code
        ),
        usd=0.0,
    )


def _guessed(config: LLMConfig, problem: CtrProblem, items: Items, pairs: Pairs, n: int) -> Preview:
    """As words, where the tokenizer is not here yet; tokens by their usual length."""
    prompt = prompt_of(config, chat=True)
    texts = None if _coded(items) else texts_of(items)

    def said(item: int) -> str:
        if texts is not None:
            return texts[item]
        return "".join(f"<item {item}, code {level + 1}>" for level in range(_width(items)))

    shown = []
    for row in _users(pairs)[:SHOWN]:
        history = [said(int(i)) for i in problem.history[int(pairs.context[row])]]
        candidates = [] if config.scoring == "matching" else [said(int(pairs.item[row]))]
        shown.append(prompt.user(history, candidates))
    length = float(np.mean([estimate_tokens(text) for text in shown]))
    return Preview(tuple(shown), n, round(length * n), 0, usd=0.0)


def _users(pairs: Pairs) -> np.ndarray:
    """A row of each user, in the order of the users."""
    rows: np.ndarray = np.unique(pairs.user, return_index=True)[1]
    return rows


def _coded(items: Items) -> bool:
    """Items are tokens of their own, in the place of words."""
    return bool({"id", "code"} & set(items.forms))


def _width(items: Items) -> int:
    """Codes of an item."""
    return items.code.shape[1] if items.code is not None and "code" in items.forms else 1


@dataclass(frozen=True, eq=False)
class _Sample:
    """Prompts of some users.

    Attributes:
        shown: A few of them as text.
        prefix, suffix: Tokens of a prompt up to the candidate, and from there on, on average.
        alone: There is no candidate: a prompt a user.
        shares: What the candidates of a user share is read once.
    """

    shown: tuple[str, ...]
    prefix: float
    suffix: float
    alone: bool
    shares: bool

    @property
    def length(self) -> float:
        """Tokens of a whole prompt."""
        return self.prefix + self.suffix

    def prompts(self, pairs: Pairs) -> int:
        """Of a part."""
        return len(np.unique(pairs.context)) if self.alone else len(pairs)

    def read(self, pairs: Pairs) -> float:
        """Tokens that a model goes through for a part."""
        prefixes = len(np.unique(pairs.context)) if self.shares else self.prompts(pairs)
        return self.prefix * prefixes + self.suffix * self.prompts(pairs)


def _sample(config: LLMConfig, problem: CtrProblem, items: Items, pairs: Pairs) -> _Sample:
    """Prompts of some users, one each."""
    model = tokenized(config.model, trust_remote_code=config.trust_remote_code)
    kind, first = kind_of(model.config), len(model.tokenizer)
    pieces = _pieces(config, model, kind, items, problem.history_length)
    rows = _users(pairs)[:_SAMPLED]
    prefixes = pieces.prefixes(problem.history[pairs.context[rows]])
    behind = (
        pieces.suffixes(pairs.item[rows], prefixes.room)
        if pieces.with_candidate
        else repeated(pieces.frame.last, len(rows))
    )
    some = min(SHOWN, len(rows))
    tokens = concatenated(prefixes.tokens[:some], behind[:some])
    return _Sample(
        tuple(readable(model.tokenizer, row, first, _width(items)) for row in tokens),
        float(prefixes.tokens.lengths.mean()),
        float(behind.lengths.mean()),
        alone=not pieces.with_candidate,
        shares=kind == "decoder",
    )


def _pieces(
    config: LLMConfig, model: Tokenized, kind: str, items: Items, history_length: int
) -> Pieces:
    generative = config.scoring == "generative"
    chat = generative and in_chat(config, model.folder, kind)
    spelling = model.spelling
    name: Callable[[int], str] = "item {}".format
    if not _coded(items):
        texts = texts_of(items)
        name = item_name(texts)
        spelt = spelling.texts(texts, name)
    else:
        spelt = as_codes(items.n, _width(items), len(model.tokenizer))
    return Pieces.of(
        make_frame(prompt_of(config, chat=chat), spelling, history_length, chat=chat),
        spelt,
        longest_prompt(model.folder, model.config, config.max_length),
        answer=1 if generative else 0,
        with_candidate=generative,
        name_of=name,
    )
