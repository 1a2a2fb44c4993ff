"""What a local model will be asked, said before anything is loaded but its tokenizer."""

from __future__ import annotations

from typing import Any

import numpy as np

from tastebench.contracts import CtrProblem, Items, Pairs, Preview
from tastebench.encoders.catalog import language_model
from tastebench.lm.headed import trusting
from tastebench.lm.load import ModelFolder, loading, would_download
from tastebench.lm.spending import estimate_tokens
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.llm import LLMConfig
from tastebench.recommenders.llm.models import (
    in_chat,
    longest_prompt,
    prompt_of,
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

    Raises:
        DataError: No such model here, or a prompt has no room.
    """
    parts = [problem.test, problem.valid]
    n = sum(len(part) for part in parts)
    if items.text is None or not n:
        return Preview((), n, 0, 0, usd=0.0)
    pairs = next(part for part in parts if len(part))
    if would_download(config.model):
        return _guessed(config, problem, items, pairs, n)
    tokens, decode = _tokens(config, problem, items, pairs)
    if config.scoring == "matching":
        n = sum(len(np.unique(part.context)) for part in parts)  # a text for each user
    return Preview(
        prompts=tuple(decode(row) for row in tokens[: min(SHOWN, len(tokens))]),
        requests=n,
        prompt_tokens=round(float(tokens.lengths.mean()) * n),
        completion_tokens=0,
        usd=0.0,
    )


def _guessed(config: LLMConfig, problem: CtrProblem, items: Items, pairs: Pairs, n: int) -> Preview:
    """As words, where the tokenizer is not here yet; tokens by their usual length."""
    prompt, texts = prompt_of(config, chat=True), texts_of(items)
    shown = []
    for row in _users(pairs)[:SHOWN]:
        history = [texts[i] for i in problem.history[int(pairs.context[row])]]
        candidates = [] if config.scoring == "matching" else [texts[int(pairs.item[row])]]
        shown.append(prompt.user(history, candidates))
    length = float(np.mean([estimate_tokens(text) for text in shown]))
    return Preview(tuple(shown), n, round(length * n), 0, usd=0.0)


def _users(pairs: Pairs) -> np.ndarray:
    """A row of each user, in the order of the users."""
    rows: np.ndarray = np.unique(pairs.user, return_index=True)[1]
    return rows


def _tokens(
    config: LLMConfig, problem: CtrProblem, items: Items, pairs: Pairs
) -> tuple[Ragged, Any]:
    """Prompts of some users, one each, and what turns them back into text."""
    from transformers import AutoConfig, AutoTokenizer

    folder = language_model(config.model, trust_remote_code=config.trust_remote_code)
    own: dict[str, Any] = {"trust_remote_code": folder.trusted, "local_files_only": True}
    with trusting(folder), loading(folder):
        model = AutoConfig.from_pretrained(str(folder.path), **own)
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder.path), **own)
    pieces = _pieces(config, folder, model, tokenizer, items, problem.history_length)
    rows = _users(pairs)[:_SAMPLED]
    prefixes = pieces.prefixes(problem.history[pairs.context[rows]])
    behind = (
        pieces.suffixes(pairs.item[rows], prefixes.room)
        if pieces.with_candidate
        else repeated(pieces.frame.last, len(rows))
    )
    return concatenated(prefixes.tokens, behind), tokenizer.decode


def _pieces(
    config: LLMConfig,
    folder: ModelFolder,
    model: Any,
    tokenizer: Any,
    items: Items,
    history_length: int,
) -> Pieces:
    from tastebench.lm.headed import kind_of
    from tastebench.lm.spelling import Spelling

    generative = config.scoring == "generative"
    chat = generative and in_chat(config, folder, kind_of(model))
    texts, spelling = texts_of(items), Spelling(tokenizer, folder.name)
    return Pieces.of(
        make_frame(prompt_of(config, chat=chat), spelling, history_length, chat=chat),
        spelling.texts(texts, item_name(texts)),
        longest_prompt(folder, model, config.max_length),
        answer=1 if generative else 0,
        with_candidate=generative,
        name_of=item_name(texts),
    )
