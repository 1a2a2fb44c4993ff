"""Prompts in words, for models whose tokenizer is not here; their lengths are estimates.

The same pieces as for models that are here, in UTF-8 bytes in the place of tokens: which items of a
history are shown and where texts are cut is decided by the same code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tastebench.errors import UsageError
from tastebench.lm.asking import PER_MESSAGE, Conversation
from tastebench.lm.spending import BYTES_PER_TOKEN
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.pieces import SHARE, Frame, Pieces, Prefixes
from tastebench.recommenders.llm.prompt import ITEM, NUMBER, Prompt
from tastebench.recommenders.llm.texts import item_name

_MARGIN = 16
"""Bytes for the number of an entry and the like."""


class Words:
    """A prompt and a catalogue.

    Args:
        prompt: Of one candidate, or of a list.
        texts: One line an item.
        history_length: Items of a history at most.
        max_length: Tokens of prompt and answer together, about.
        answer: Tokens of an answer.
        bytes_per_token: Of the model's vocabulary, about.
        listed: One part in so many of the room is kept free for a list of candidates; 0 for none.

    Raises:
        UsageError: The prompt leaves no room for items.
    """

    def __init__(
        self,
        prompt: Prompt,
        texts: Sequence[str],
        history_length: int,
        max_length: int,
        *,
        answer: int,
        bytes_per_token: float = BYTES_PER_TOKEN,
        listed: int = 0,
    ) -> None:
        self.prompt = prompt
        room = round(max_length * bytes_per_token)
        around = answer + PER_MESSAGE * (2 if prompt.system else 1)
        reserved = round(around * bytes_per_token) + len((prompt.system or "").encode())
        reserved += len(prompt.candidates.encode())
        frame = _frame(prompt, history_length)
        fixed = sum(map(len, (frame.head, frame.candidate, frame.end, frame.empty)))
        # Items have two fifths at least: one of the history and the candidate; a list has its part.
        share = (SHARE - 2) / SHARE if not listed else (SHARE - 1) / SHARE - 1 / listed
        if reserved + fixed + _MARGIN > room * share:
            taken = (reserved + fixed + _MARGIN) / bytes_per_token
            raise UsageError(
                f"the prompt {prompt.title} and its answer take about {taken:.0f} tokens by "
                f"themselves, and of {max_length} the items need {1 - share:.0%}",
                fix=f"max_length: {math.ceil(taken / share)}, as far as the model goes, or a "
                "shorter prompt, shorter lists or shorter answers",
            )
        reserved += room // listed if listed else 0
        self._with_candidate = prompt.kind == "pairwise"
        self.pieces = Pieces.of(
            frame,
            _bytes_of([f" {text}" if text else "" for text in texts]),
            room,
            answer=reserved,
            with_candidate=self._with_candidate,
            name_of=item_name(texts),
        )

    def prefixes(self, history: Ragged) -> tuple[list[str], Prefixes]:
        """What comes before the candidates, by asker, and what of the histories it shows."""
        made = self.pieces.prefixes(history)
        return _texts_of(made.tokens), made

    def suffixes(self, items: np.ndarray, room: np.ndarray) -> list[str]:
        """What comes after that, by candidate; see `Pieces.suffixes`."""
        return _texts_of(self.pieces.suffixes(items, room))

    def conversation(self, content: str) -> Conversation:
        """A whole text as messages of a chat; blanks at its end are left out."""
        system = self.prompt.system
        first = [] if system is None else [{"role": "system", "content": system}]
        return [*first, {"role": "user", "content": content.rstrip()}]


def cut_to(text: str, n_bytes: int) -> str:
    """A text of so many UTF-8 bytes at most, whole characters only.

    >>> cut_to("tea", 2), cut_to("茶a", 2)
    ('te', '')
    """
    return text.encode()[:n_bytes].decode(errors="ignore")


def _frame(prompt: Prompt, history_length: int) -> Frame:
    entry, _, entry_end = prompt.entry.partition(ITEM)
    candidate, _, candidate_end = prompt.candidate.partition(ITEM)
    if prompt.kind == "list":
        candidate, candidate_end = "", ""  # each has its own
    numbers = [entry.rstrip().replace(NUMBER, str(n)) for n in range(1, history_length + 1)]
    return Frame(
        head=_bytes(prompt.instruction + prompt.history),
        numbers=_bytes_of(numbers),
        entry_end=_bytes(entry_end),
        empty=_bytes(prompt.empty),
        candidate=_bytes(candidate.rstrip()),
        end=_bytes((candidate_end + prompt.answer).rstrip()),
        lead="",
        first=_bytes(""),
        last=_bytes(""),
    )


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _bytes_of(texts: Sequence[str]) -> Ragged:
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(one) for one in encoded], dtype=np.int64)
    return Ragged.from_lengths(np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths)


def _texts_of(rows: Ragged) -> list[str]:
    """Bytes as text; what a cut left of a character is dropped."""
    whole, ends = rows.values.astype(np.uint8).tobytes(), rows.offsets.tolist()
    return [whole[begin:end].decode(errors="ignore") for begin, end in pairwise(ends)]
