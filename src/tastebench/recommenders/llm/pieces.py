"""Prompts in a model's tokens, put together from pieces that are tokenised once.

    prefix: [head] ([number k] [item] [entry's end]) x kept [candidate:]     by asker
    suffix: [item] [candidate's end, answer:]                                by candidate

Training, validation and test go through the same two functions, so that no prompt is read in two
ways (RecBench's own code tokenises apart in training and at once in testing). Length: a text of an
item has at most a fifth of the room. A prompt leaves room for the longest candidate, whichever it
has, so that what an asker's candidates share depends on none of them; the rest is filled with the
latest items, which are numbered from 1 again. Where not even one fits, candidates are halved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tastebench.errors import DataError, UsageError
from tastebench.items.tokens import first
from tastebench.lm.spelling import Spelling
from tastebench.ragged import Ragged, spans
from tastebench.recommenders.llm.prompt import ITEM, NUMBER, Prompt

SHARE = 5
"""A text of an item has at most one part in so many of the longest prompt."""

HALVINGS = 5
"""How often the room of a candidate is halved before it is said that there is none."""

_HEAD, _EMPTY, _ENTRY_END, _CANDIDATE, _NUMBERS = range(5)
_CONTENT = "@@CONTENT@@"


@dataclass(frozen=True, eq=False)
class Frame:
    """What of a prompt is the same for everybody, in tokens, int32.

    Attributes:
        head: From the beginning to the first entry; special tokens and a chat's frame included.
        numbers: What comes before the item of the first entry, of the second, ...
        entry_end: What comes behind an entry's item.
        empty: What stands for no entries.
        candidate: What comes before the candidate's item; nothing where there is none.
        end: From behind the candidate's item to where the answer begins.
        lead: The blanks that an answer begins with.
        first, last: Special tokens around a text that stands alone; nothing in a chat.
    """

    head: np.ndarray
    numbers: Ragged
    entry_end: np.ndarray
    empty: np.ndarray
    candidate: np.ndarray
    end: np.ndarray
    lead: str
    first: np.ndarray
    last: np.ndarray


def make_frame(prompt: Prompt, spelling: Spelling, history_length: int, *, chat: bool) -> Frame:
    """The fixed pieces of a prompt.

    Args:
        prompt: Of one candidate or none.
        spelling: Of the model.
        history_length: Entries at most.
        chat: Put it into the frame of the model's chat template, as one message of the user's.
    """
    system = "" if prompt.system is None else f"{prompt.system}\n"
    before = np.empty(0, np.int32)
    after, lead = before, prompt.answer[len(prompt.answer.rstrip()) :]
    special = spelling.first, spelling.last
    if chat:
        before, after, lead, system = chat_frame(prompt, spelling)
        special = after[:0], after[:0]
    entry, _, entry_end = prompt.entry.partition(ITEM)
    candidate, _, candidate_end = prompt.candidate.partition(ITEM)
    end = (candidate_end + prompt.answer).rstrip() if prompt.answer else candidate_end
    numbers = [entry.rstrip().replace(NUMBER, str(n)) for n in range(1, history_length + 1)]
    piece = spelling.piece
    return Frame(
        head=np.concatenate(
            [special[0], before, piece(system + prompt.instruction + prompt.history)]
        ),
        numbers=Ragged.from_lists([piece(number).tolist() for number in numbers]),
        entry_end=piece(entry_end),
        empty=piece(prompt.empty),
        candidate=piece(candidate.rstrip()),
        end=np.concatenate([piece(end), after]),
        lead=lead,
        first=special[0],
        last=special[1],
    )


def chat_frame(prompt: Prompt, spelling: Spelling) -> tuple[np.ndarray, np.ndarray, str, str]:
    """A chat's frame: before and behind the user's words, and the blanks before an answer.

    The last of the four are the system's words where the user has to say them, as the template has
    no place for them.
    """
    user = {"role": "user", "content": _CONTENT}
    messages, system = [user], ""
    if prompt.system is not None:
        messages = [{"role": "system", "content": prompt.system}, user]
        told = _rendered(spelling, messages)
        if told is None or prompt.system not in told:
            messages, system = [user], f"{prompt.system}\n"
    text = _rendered(spelling, messages)
    if text is None or text.count(_CONTENT) != 1:
        raise UsageError(
            f"the chat template of the model {spelling.name!r} does not show what a user says once",
            fix="chat: never",
        )
    before, _, after = text.partition(_CONTENT)
    answered = _rendered(spelling, [*messages, {"role": "assistant", "content": prompt.yes}])
    lead = ""
    if answered is not None and answered.startswith(text):
        lead = answered[len(text) :].partition(prompt.yes)[0]
    return spelling.marked(before), spelling.marked(after), lead if lead == " " else "", system


def _rendered(spelling: Spelling, messages: list[dict[str, str]]) -> str | None:
    """A conversation by the model's template; None if that refuses it."""
    from jinja2 import TemplateError

    template: Any = spelling.tokenizer.apply_chat_template
    ours = messages[-1]["role"] == "user"
    try:
        # Models that think first are asked to answer at once; other templates do not read it.
        text: str = template(
            messages, tokenize=False, add_generation_prompt=ours, enable_thinking=False
        )
    except TemplateError:
        return None
    return text


@dataclass(frozen=True, eq=False)
class Prefixes:
    """What comes before the candidates, by asker.

    Attributes:
        tokens: int32, `q` lists.
        kept: Items of the history that it shows, the latest, int64 `[q]`.
        room: Tokens that a candidate of this asker may have, int64 `[q]`.
        shortened: Of the items shown, how many had their text cut, int64 `[q]`.
    """

    tokens: Ragged
    kept: np.ndarray
    room: np.ndarray
    shortened: np.ndarray


@dataclass(frozen=True, eq=False)
class Pieces:
    """A prompt and a catalogue in tokens.

    Attributes:
        frame: The fixed pieces.
        items: What stands for each item, int32: its text or its codes, already cut.
        cut: Whose text was longer than that, bool `[n_items]`.
        max_length: Tokens that prompt and answer have together, at most.
        answer: Tokens that are kept free behind the prompt.
        with_candidate: A prefix is followed by a candidate.
        name_of: What a message calls an item.
    """

    frame: Frame
    items: Ragged
    cut: np.ndarray
    max_length: int
    answer: int
    with_candidate: bool
    name_of: Callable[[int], str]

    @classmethod
    def of(
        cls,
        frame: Frame,
        items: Ragged,
        max_length: int,
        *,
        answer: int,
        with_candidate: bool,
        name_of: Callable[[int], str],
    ) -> Pieces:
        """Cuts what stands for an item to a fifth of the longest prompt.

        Raises:
            UsageError: The prompt alone is longer than `max_length`.
        """
        limit = max(max_length // SHARE, 1)
        made = cls(
            frame=frame,
            items=first(items, limit),
            cut=items.lengths > limit,
            max_length=max_length,
            answer=answer,
            with_candidate=with_candidate,
            name_of=name_of,
        )
        if made._overhead + len(frame.empty) + 1 > max_length:
            raise UsageError(
                f"the prompt alone takes {made._overhead + len(frame.empty)} tokens, and "
                f"{max_length} are all it may have with its items",
                fix="a shorter prompt, or a larger max_length, as far as the model goes",
            )
        return made

    @cached_property
    def _overhead(self) -> int:
        """Tokens of a prompt without items, and of its answer."""
        fixed = len(self.frame.head) + len(self.frame.end) + len(self.frame.last) + self.answer
        return fixed + (len(self.frame.candidate) if self.with_candidate else 0)

    @cached_property
    def _bank(self) -> Ragged:
        """All pieces end to end: the fixed ones, the numbers, the items."""
        frame = self.frame
        candidate = frame.candidate if self.with_candidate else frame.candidate[:0]
        fixed = [frame.head, frame.empty, frame.entry_end, candidate]
        lengths = [np.array([len(one) for one in fixed]), frame.numbers.lengths, self.items.lengths]
        values = [*fixed, frame.numbers.values, self.items.values]
        return Ragged.from_lengths(np.concatenate(values), np.concatenate(lengths))

    def prefixes(self, history: Ragged) -> Prefixes:
        """The prompts of some askers up to the candidate.

        Args:
            history: Items, oldest first, `q` lists.

        Raises:
            DataError: Not even the latest item of a history has room.
        """
        history = history.tail(len(self.frame.numbers))
        kept, room = self._kept(history)
        shown = _latest(history, kept)
        place = np.arange(len(shown.values)) - np.repeat(shown.offsets[:-1], kept)
        items = _NUMBERS + len(self.frame.numbers)
        ends = np.full(len(place), _ENTRY_END)
        entry = np.stack([_NUMBERS + place, items + shown.values, ends], axis=1)
        pieces = concatenated(
            _each(_HEAD, np.ones(len(kept), np.int64)),
            Ragged.from_lengths(entry.ravel(), 3 * kept),
            _each(_EMPTY, (kept == 0).astype(np.int64)),
            _each(_CANDIDATE, np.ones(len(kept), np.int64)),
        )
        shortened = np.bincount(shown.rows[self.cut[shown.values]], minlength=len(kept))
        return Prefixes(_looked_up(self._bank, pieces), kept, room, shortened)

    def suffixes(self, items: np.ndarray, room: np.ndarray) -> Ragged:
        """The prompts of some candidates from the item to where the answer begins, int32.

        Args:
            items: Candidates, `[n]`.
            room: Tokens that each may have, `[n]`: that of its asker.
        """
        lengths = np.minimum(self.items.lengths[items], room)
        starts = self.items.offsets[:-1][items]
        own = Ragged.from_lengths(self.items.values[spans(starts, lengths)], lengths)
        return concatenated(own, repeated(self.frame.end, len(items)))

    def shortened(self, items: np.ndarray, room: np.ndarray) -> np.ndarray:
        """Whether some candidates are shown with a shortened text, bool `[n]`."""
        short: np.ndarray = self.cut[items] | (self.items.lengths[items] > room)
        return short

    def alone(self, items: np.ndarray) -> Ragged:
        """Some candidates as texts of their own, for matching, int32."""
        n = len(items)
        frame = self.frame
        before = np.concatenate([frame.first, frame.candidate])
        after = np.concatenate([frame.end, frame.last])
        return concatenated(repeated(before, n), self.items[items], repeated(after, n))

    def _kept(self, history: Ragged) -> tuple[np.ndarray, np.ndarray]:
        """How many of the latest items are shown, and what room a candidate has."""
        limit = int(self.items.lengths.max(initial=0)) if self.with_candidate else 0
        rooms = np.array([max(limit >> h, min(limit, 1)) for h in range(HALVINGS + 1)])
        free = self.max_length - self._overhead - rooms
        lengths = self.items.lengths[history.values]
        latest_first = Ragged.from_lengths(lengths, history.lengths).padded(
            len(self.frame.numbers), fill=0, side="left"
        )[:, ::-1]
        fixed = np.cumsum(self.frame.numbers.lengths + len(self.frame.entry_end))
        there = np.arange(len(fixed)) < history.lengths[:, None]
        taken = np.cumsum(latest_first, axis=1) + fixed
        wanted = np.where(history.lengths > 0, taken[:, 0], len(self.frame.empty))
        fits = wanted[:, None] <= free
        self._refuse(history, ~fits.any(axis=1))
        halved = fits.argmax(axis=1)
        kept = ((taken <= free[halved][:, None]) & there).sum(axis=1)
        return kept, rooms[halved]

    def _refuse(self, history: Ragged, full: Any) -> None:
        if not full.any():
            return
        own = history[int(np.flatnonzero(full)[0])]
        what = f"the text of {self.name_of(int(own[-1]))}" if len(own) else "an empty history"
        raise DataError(
            f"{what} has no room in a prompt of {self.max_length} tokens, {self._overhead} of "
            "which the prompt takes itself",
            fix="a shorter prompt, shorter texts (a text recipe), or a larger max_length",
        )


def concatenated(*parts: Ragged) -> Ragged:
    """Row by row, what several lists of lists hold.

    >>> a, b = Ragged.from_lists([[1], [2, 3]]), Ragged.from_lists([[], [4]])
    >>> concatenated(a, b).to_lists()
    [[1], [2, 3, 4]]
    """
    lengths = np.sum([part.lengths for part in parts], axis=0)
    made = Ragged.from_lengths(
        np.empty(int(lengths.sum()), np.result_type(*(part.values for part in parts))), lengths
    )
    begin = made.offsets[:-1].copy()
    for part in parts:
        made.values[spans(begin, part.lengths)] = part.values
        begin += part.lengths
    return made


def _latest(lists: Ragged, k: np.ndarray) -> Ragged:
    """The last `k[i]` values of list `i`."""
    return Ragged.windows(lists.values, lists.offsets[1:], k)


def _each(value: int, times: np.ndarray) -> Ragged:
    return Ragged.from_lengths(np.full(int(times.sum()), value, dtype=np.int64), times)


def repeated(values: np.ndarray, n: int) -> Ragged:
    """The same values `n` times."""
    return Ragged.from_lengths(np.tile(values, n), np.full(n, len(values), dtype=np.int64))


def _looked_up(bank: Ragged, pieces: Ragged) -> Ragged:
    """Pieces by their numbers, put together row by row."""
    lengths = bank.lengths[pieces.values]
    values = bank.values[spans(bank.offsets[:-1][pieces.values], lengths)]
    ends = np.concatenate(([0], np.cumsum(lengths)))[pieces.offsets]
    return Ragged(values, ends)
