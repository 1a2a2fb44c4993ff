"""What codes mean, learned from the items' own texts: their codes from the text, and the reverse.

RecBench and STORE write an item's codes from its text in a pass over the catalogue before each
epoch; LC-Rec adds the title or the text from the codes. No interaction is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.items.tokens import first
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.alignment_words import get_alignment_words
from tastebench.recommenders.llm.pieces import SHARE, concatenated
from tastebench.recommenders.llm.prompt import one_line
from tastebench.training.batches import arranged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tastebench.contracts import Items
    from tastebench.lm.spelling import Spelling
    from tastebench.recommenders.llm.ask_settings import AlignmentTask
    from tastebench.recommenders.seqrec.code_tokens import CodeTokens

_NO_LIMIT = 2560  # of a prompt of a model that names none: its texts have a fifth of it


class AlignmentSettings(Protocol):
    """Settings of whoever aligns."""

    @property
    def alignment(self) -> tuple[AlignmentTask, ...]: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102


class KnowsCodes(Protocol):
    """A model that reads and says words and the codes of items, and looks back only."""

    @property
    def tokens(self) -> CodeTokens:
        """What codes are read by."""
        ...

    def code_tokens(self, items: Tensor) -> Tensor:
        """Code tokens of items of any shape, one axis more, `[..., width]`."""
        ...

    def states_of(self, tokens: Tensor) -> Tensor:
        """States `[b, t, h]` of words by their ids and of code tokens `t` as `-1 - t`."""
        ...

    def cross_entropy(self, states: Tensor, codes: Tensor) -> Tensor:
        """Mean over codes int64 `[n, width]`, each from its state `[n, width, h]`."""
        ...

    def logits_of_words(self, states: Tensor) -> Tensor:
        """`[n, h]` to `[n, vocabulary]`."""
        ...


@dataclass(frozen=True, eq=False)
class AlignmentBatch:
    """Items whose text and codes are learned from each other.

    Attributes:
        task: Which from which.
        items: int64 `[b]`.
    """

    task: AlignmentTask
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.items)


class Alignment:
    """The texts of a catalogue in tokens, and what is learned of them.

    Args:
        config: Which tasks, and how many items in a batch.
        items: The catalogue, with text.
        spelling: Of the model.
        limit: Tokens that the model reads at most; a text has a fifth of it.
    """

    def __init__(
        self, config: AlignmentSettings, items: Items, spelling: Spelling, limit: int | None
    ) -> None:
        assert items.text is not None
        self._batch = config.batch_size
        self.tasks: tuple[AlignmentTask, ...] = config.alignment
        words = get_alignment_words().tasks
        self._around = {
            task: (
                np.concatenate([spelling.first, spelling.piece(words[task].before.rstrip())]),
                spelling.piece(words[task].between),
            )
            for task in self.tasks
        }
        titles = next(iter((items.columns or {}).values()), items.text)
        self._texts: dict[str, Ragged] = {}
        for task in self.tasks:
            field = "title" if "title" in task else "text"
            texts: Sequence[str] = titles if field == "title" else items.text
            self._texts[task] = _tokens(texts, spelling, limit or _NO_LIMIT, field)
        if not any(len(texts.values) for texts in self._texts.values()):
            raise UsageError(
                "there is nothing to align: no item has a text",
                fix="alignment: [], or another text recipe",
            )

    def epoch(self, rng: np.random.Generator) -> Iterator[AlignmentBatch]:
        """Every item with a text once for each task, those of like length together."""
        for task in self.tasks:
            lengths = self._texts[task].lengths
            items = np.flatnonzero(lengths)
            for rows in arranged(lengths[items], np.ones_like(items), rng, self._batch):
                yield AlignmentBatch(task, items[rows])

    def loss(self, network: KnowsCodes, batch: AlignmentBatch) -> Tensor:
        """Mean cross-entropy of the codes, or of the words."""
        before, between = self._around[batch.task]
        text = self._texts[batch.task][batch.items]
        device = network.tokens.table.device
        codes = network.code_tokens(torch.from_numpy(batch.items).to(device))
        n = len(batch)
        if batch.task.endswith("to-code"):
            prompt = concatenated(_each(before, n), text, _each(between, n))
            tokens, at = _padded(prompt, network.tokens.width - 1, device)
            places = at[:, None] + torch.arange(network.tokens.width, device=device)
            tokens.scatter_(1, places[:, :-1] + 1, -1 - codes[:, :-1])
            states = network.states_of(tokens)
            picked = states.take_along_dim(places[..., None], dim=1)
            items = torch.from_numpy(batch.items).to(device)
            return network.cross_entropy(picked, network.tokens.codes[items])
        space = np.zeros(network.tokens.width, np.int32)
        prompt = concatenated(_each(np.concatenate([before, space, between]), n), text)
        tokens, last = _padded(prompt, 0, device)
        tokens[:, len(before) : len(before) + network.tokens.width] = -1 - codes
        states = network.states_of(tokens)
        first_word = len(before) + len(space) + len(between)
        column = torch.arange(tokens.shape[1], device=device)
        said = (column >= first_word) & (column <= last[:, None])
        logits = network.logits_of_words(states[:, :-1][said[:, 1:]])
        return functional.cross_entropy(logits.float(), tokens[said])


def _tokens(texts: Sequence[str], spelling: Spelling, limit: int, field: str) -> Ragged:
    lines = [one_line(text) for text in texts]
    return first(spelling.texts(lines, lambda row: f"the {field} of item {row}"), limit // SHARE)


def _each(piece: np.ndarray, n: int) -> Ragged:
    return Ragged.from_lengths(np.tile(piece, n), np.full(n, len(piece), dtype=np.int64))


def _padded(rows: Ragged, more: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows right-padded with zeros and `more` places behind them; where each row's last is."""
    longest = int(rows.lengths.max())
    tokens = rows.padded(longest + more, fill=0).astype(np.int64)
    return torch.from_numpy(tokens).to(device), torch.from_numpy(rows.lengths - 1).to(device)
