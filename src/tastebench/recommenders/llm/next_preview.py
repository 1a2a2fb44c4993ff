"""What llm-next will read, said before anything of its model is loaded but the tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tastebench.contracts import Items, Preview, SeqProblem
from tastebench.lm.spending import estimate_tokens
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.models import longest_prompt
from tastebench.recommenders.llm.next_layout import Layout
from tastebench.recommenders.llm.outlook import Work, is_here, readable, tokenized
from tastebench.recommenders.llm.pieces import make_frame
from tastebench.recommenders.llm.prompt import get_prompt

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_next import NextConfig

SHOWN = 3
"""Users whose prompts are shown."""
_NO_LIMIT = 2**31 - 1


def preview(config: NextConfig, problem: SeqProblem, items: Items) -> Preview:
    """Prompts of a few users of the test part, and tokens of both parts that are measured.

    Which codes an item has need not be known, only how many; they stand there as `<item 17, code
    1>`. Time includes training, all epochs of it; the pass over the items' texts is left out.

    Raises:
        UsageError: Not even a prompt with one item has room.
        DataError: The model cannot be read.
    """
    codes = items.code if "code" in items.forms else None
    width = 1 if codes is None else codes.shape[1]
    test, valid = (_cut(part.history, problem) for part in (problem.test, problem.valid))
    some = test if len(test) else valid
    if is_here(config.model):
        layout, shown = _exact(config, problem.history_length, width, some[: min(SHOWN, len(some))])
        lengths = [_tokens(layout, part) for part in (test, valid)]
        inputs = problem.train[problem.train.lengths > 1]
        learned = float(_tokens(layout, _without_last(inputs, problem)).sum())
    else:
        shown, lengths = _guessed(config, width, (test, valid), some)
        learned = 0.0
    n = len(test) + len(valid)
    steps = [len(part) * config.beams * (width - 1) for part in (test, valid)]
    work = Work(
        asked=float(sum(map(np.sum, lengths)) + sum(steps)),
        validated=float(lengths[1].sum() + steps[1]),
        learned=learned,
        epochs=config.epochs,
    )
    return Preview(
        prompts=tuple(shown),
        requests=n,
        prompt_tokens=int(sum(map(np.sum, lengths))),
        completion_tokens=n * width,
        seconds=work.seconds(
            config.model, config.device, trust_remote_code=config.trust_remote_code
        ),
        usd=0.0,
    )


def _cut(history: Ragged, problem: SeqProblem) -> Ragged:
    return history.tail(problem.history_length)


def _without_last(train: Ragged, problem: SeqProblem) -> Ragged:
    """What stands before the last item of each sequence, cut to the history's length.

    Of a longer one there are several windows; together they are read about as often as it is longer
    than one of them, which is left out.
    """
    lengths = np.minimum(train.lengths - 1, problem.history_length)
    return Ragged.windows(train.values, train.offsets[1:] - 1, lengths)


def _exact(
    config: NextConfig, history_length: int, width: int, some: Ragged
) -> tuple[Layout, list[str]]:
    """The layout of prompts, and some of them as text."""
    model = tokenized(config.model, trust_remote_code=config.trust_remote_code)
    wanted = _NO_LIMIT if config.max_length is None else config.max_length
    limit = longest_prompt(model.folder, model.config, wanted)
    frame = make_frame(get_prompt(config.prompt), model.spelling, history_length, chat=False)
    layout = Layout(frame, width, limit)
    first = len(model.tokenizer)
    shown = []
    for history in some:
        kept = torch.from_numpy(history[max(0, len(history) - layout.room) :].astype(np.int64))
        codes = kept[None, :, None] * width + torch.arange(width)
        written = layout.write(codes, torch.tensor([len(kept)]))
        tokens = written.tokens[0, : int(written.length[0])].numpy()
        shown.append(
            readable(
                model.tokenizer, np.where(tokens < 0, first - 1 - tokens, tokens), first, width
            )
        )
    return layout, shown


def _tokens(layout: Layout, history: Ragged) -> np.ndarray:
    """Of each prompt up to where the answer begins."""
    length = np.minimum(history.lengths, layout.room)
    start, ending = layout.start.numpy(), layout.ending_length.numpy()
    tokens: np.ndarray = start[length] + ending[(length == 0).astype(np.int64)]
    return tokens


def _guessed(
    config: NextConfig, width: int, parts: tuple[Ragged, Ragged], some: Ragged
) -> tuple[list[str], list[np.ndarray]]:
    """As words, where the tokenizer is not here yet; tokens by their usual length."""
    prompt = get_prompt(config.prompt)

    def said(history: np.ndarray) -> str:
        codes = ("".join(f"<item {i}, code {k + 1}>" for k in range(width)) for i in history)
        return prompt.user(list(codes))

    alone = estimate_tokens(prompt.user([]))
    entry = estimate_tokens(prompt.user([""])) - alone + width
    lengths = [alone + np.maximum(entry, width) * part.lengths for part in parts]
    return [said(history) for history in some[: min(SHOWN, len(some))]], lengths
