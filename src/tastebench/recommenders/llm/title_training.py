"""How a model learns to write the title of what comes next: the loss is that of the title alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.contracts import FitReport, SeqProblem, Trainer
from tastebench.errors import UsageError
from tastebench.items.tokens import first
from tastebench.lm.lora import keep_trained_only
from tastebench.lm.padded import Padded
from tastebench.lm.partly import PartlyTrained, adapters
from tastebench.lm.prefix import device_of
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import concatenated, repeated
from tastebench.training.batches import arranged
from tastebench.training.seeds import torch_seeded

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_title import TitleConfig
    from tastebench.recommenders.llm.title_writers import LocalWriter


@dataclass(frozen=True, eq=False)
class TitleBatch:
    """Prompts with the titles that answer them.

    Attributes:
        texts: Tokens of both.
        answer: How many of the last ones are the title's, int64 `[b]`.
    """

    texts: Ragged
    answer: np.ndarray

    def __len__(self) -> int:
        return len(self.answer)


def train(
    writer: LocalWriter,
    config: TitleConfig,
    problem: SeqProblem,
    titles: Sequence[str],
    trainer: Trainer,
) -> FitReport:
    """Tunes the writer's model.

    Raises:
        UsageError: No sequence has two items, or the model is none that continues a text.
    """
    headed = writer.model.headed
    if headed.kind != "decoder":
        raise UsageError(
            f"{headed.folder.name!r} is an {headed.kind}, and titles are learned by models that "
            "continue a text",
            fix="tune: none, or a decoder such as Llama, Qwen or GPT-2",
        )
    pairs = TitlePairs(writer, config, problem, titles)
    with torch_seeded(trainer.rng("weights")):
        partly = PartlyTrained(headed.model, headed.folder, None)
        if (add := adapters(config)) is not None:
            add(partly)
        keep_trained_only(partly)

    def loss(batch: Any) -> Tensor:
        return title_loss(writer, batch)

    report = trainer.fit(partly, config, pairs.epoch, loss)
    partly.eval()
    writer.shortened()
    return report


class TitlePairs:
    """Beginnings of training sequences, and the titles of what came next.

    Args:
        writer: Whose prompts are read.
        config: How many of a sequence, and how many in a batch.
        problem: Whose training part.
        titles: One an item.

    Raises:
        UsageError: No sequence has two items with a title to learn.
    """

    def __init__(
        self, writer: LocalWriter, config: TitleConfig, problem: SeqProblem, titles: Sequence[str]
    ) -> None:
        self._writer, self._config = writer, config
        self._train, self._length = problem.train, problem.history_length
        self._users = np.flatnonzero(problem.train.lengths > 1)
        spelling, ends = writer.model.spelling, writer.model.ends[:1] or writer.model.line_ends[:1]
        spelt = first(
            spelling.texts(list(titles), lambda row: f"the title of item {row}"),
            max(config.title_tokens - 1, 1),
        )
        end = repeated(np.array(ends, dtype=np.int32), len(spelt))
        self._answers = concatenated(spelt, end)
        self._named = spelt.lengths > 0
        if not len(self._users):
            raise UsageError(
                "no training sequence has two items, so nothing comes next",
                fix="tune: none, or another split",
            )

    def epoch(self, rng: np.random.Generator) -> Iterator[TitleBatch]:
        """Some items of each sequence, drawn, with what came before them."""
        users = np.repeat(self._users, self._config.targets_per_sequence)
        place = rng.integers(1, self._train.lengths[users])
        ends = self._train.offsets[users] + place
        item = self._train.values[ends].astype(np.int64)
        kept = self._named[item]
        ends, place, item = ends[kept], place[kept], item[kept]
        history = Ragged.windows(self._train.values, ends, np.minimum(place, self._length))
        answers = self._answers[item]
        whole = concatenated(self._writer.prompts(history), answers)
        one_each = np.ones(len(item), dtype=np.int64)
        for rows in arranged(whole.lengths, one_each, rng, self._config.batch_size):
            yield TitleBatch(whole[rows], answers.lengths[rows])


def title_loss(writer: LocalWriter, batch: TitleBatch) -> Tensor:
    """Mean cross-entropy of the tokens of titles and of their ends, each from what is before it."""
    headed = writer.model.headed
    device = device_of(headed.model)
    n = len(batch)
    ids, mask = Padded(batch.texts.values, batch.texts.offsets).take(np.arange(n), device)
    lengths = batch.texts.lengths
    row = np.repeat(np.arange(n), batch.answer)
    back = np.arange(len(row)) - np.repeat(np.cumsum(batch.answer) - batch.answer, batch.answer)
    place = np.repeat(lengths - batch.answer, batch.answer) + back
    rows, places = (torch.from_numpy(array).to(device) for array in (row, place))
    given = {"input_ids": ids.long(), "attention_mask": mask.long()}
    logits = headed.logits_at(rows, places - 1, **given)
    return functional.cross_entropy(logits.float(), ids[rows, places].long())
