"""What llm-title will ask, said before it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import Items, Preview, SeqProblem
from tastebench.lm.asking import tokens_of
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.outlook import Work
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.recommenders.llm.remote import SHOWN, in_words
from tastebench.recommenders.llm.remote_model import cost
from tastebench.recommenders.llm.texts import texts_of
from tastebench.recommenders.llm.title_writers import RemoteWriter, sampled
from tastebench.recommenders.llm.words import Words

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_title import TitleConfig

USUAL_TOKENS = 12
"""Of a title."""


def preview(config: TitleConfig, problem: SeqProblem, items: Items) -> Preview:
    """Prompts of a few users, and what both measured parts will take.

    Nobody is asked and no model of this machine is loaded: lengths are estimates.
    """
    test, valid = (
        part.history.tail(problem.history_length) for part in (problem.test, problem.valid)
    )
    texts = texts_of(items)
    some = test if len(test) else valid
    if config.remote:
        writer = RemoteWriter(config, texts, problem.history_length)
        read, requests = writer.size([test, valid])
        written = requests * min(USUAL_TOKENS, config.title_tokens)
        shown, _ = writer.conversations(some[: min(SHOWN, len(some))])
        return Preview(
            prompts=tuple(map(in_words, shown)),
            requests=requests,
            prompt_tokens=read,
            completion_tokens=written,
            seconds=writer.model.seconds(requests),
            usd=cost(writer.model.price, read, written),
        )
    return _local(config, problem, texts, (test, valid), some)


def _local(
    config: TitleConfig,
    problem: SeqProblem,
    texts: list[str],
    parts: tuple[Ragged, Ragged],
    some: Ragged,
) -> Preview:
    prompt = get_prompt(config.prompt)
    words = Words(
        prompt, texts, problem.history_length, config.max_length, answer=config.title_tokens
    )

    def each(history: Ragged) -> float:
        """About the tokens of a prompt."""
        before, _ = words.prefixes(sampled(history))
        said = [tokens_of(words.conversation(text + prompt.answer)) for text in before]
        return float(np.mean(said)) if said else 0.0

    n = [len(part) for part in parts]
    read = [count * each(part) for count, part in zip(n, parts, strict=True)]
    title = min(USUAL_TOKENS, config.title_tokens)
    train = problem.train[problem.train.lengths > 1]
    learned = each(train.tail(problem.history_length)) * len(train) * config.targets_per_sequence
    work = Work(
        asked=sum(read) + config.titles * title * sum(n),
        validated=read[1] + config.titles * title * n[1],
        learned=learned if config.tune != "none" else 0.0,
        epochs=config.epochs,
    )
    before, _ = words.prefixes(some[: min(SHOWN, len(some))])
    shown = [in_words(words.conversation(text + prompt.answer)) for text in before]
    return Preview(
        prompts=tuple(shown),
        requests=sum(n),
        prompt_tokens=round(sum(read)),
        completion_tokens=config.titles * title * sum(n),
        seconds=work.seconds(
            config.model, config.device, trust_remote_code=config.trust_remote_code
        ),
        usd=0.0,
    )
