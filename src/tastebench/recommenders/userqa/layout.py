"""Questions in a model's tokens, put together from pieces that are tokenised once.

    [user's vectors] [head] [user's events] | [question] [option 1] [option 2] ... [answer:] | [A]
                prefix, by user                          suffix, by question          answer, end

Training and answering go through the same pieces. Vectors come before everything, positions run
over them and the words alike. The answer always has room: of a prompt that is too long the oldest
events are left out, then options and question are cut, and all of it is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.contracts import Items, Questions
from tastebench.errors import DataError, UsageError
from tastebench.items.tokens import first
from tastebench.lm.headed import Headed
from tastebench.lm.spelling import Spelling
from tastebench.ragged import Ragged, spans
from tastebench.recommenders.llm.outlook import Tokenized
from tastebench.recommenders.llm.pieces import (
    Frame,
    Pieces,
    chat_frame,
    concatenated,
    repeated,
)
from tastebench.recommenders.llm.prompt import Prompt, one_line
from tastebench.recommenders.userqa.prompt import (
    ITEM,
    LABEL,
    NUMBER,
    OPTION,
    QUESTION,
    QaPrompt,
    around,
)

BETWEEN = " | "
"""Stands between an item's columns where a prompt shows it in words."""


@dataclass(frozen=True, eq=False)
class Suffixes:
    """What follows the user.

    Attributes:
        tokens: From the question to where the answer begins, int32, `n` lists.
        cut: Whose question or options were shortened, bool `[n]`.
        alike: Two of whose options read the same then: nobody can tell them apart. bool `[n]`.
        answers: Each option as an answer, its label or its words, with the end behind it, int32,
            `n * options` lists.
    """

    tokens: Ragged
    cut: np.ndarray
    alike: np.ndarray
    answers: Ragged


@dataclass(frozen=True, eq=False)
class Layout:
    """The fixed pieces of a prompt, in tokens, int32.

    Attributes:
        prompt: In words.
        spelling: Of the model.
        before: Special tokens, a chat's frame and the system's words.
        after: From behind the last option to where the answer begins.
        labels: The token that each option is answered by, int64 `[labels]`; None where its words
            are.
        end: What ends an answer; empty where the model has no such token.
        room: Tokens that a suffix may have, with the words of the answer if these are scored.
    """

    prompt: QaPrompt
    spelling: Spelling
    before: np.ndarray
    after: np.ndarray
    labels: np.ndarray | None
    end: np.ndarray
    room: int

    @property
    def beyond(self) -> int:
        """Tokens of an answer with its end, `room` not among them."""
        return len(self.end) + (self.labels is not None)

    def head(self) -> np.ndarray:
        """What comes before a question where the user is given as vectors."""
        return np.concatenate([self.before, self.spelling.piece(self.prompt.vectors)])

    def suffixes(self, questions: Questions) -> Suffixes:
        """Questions with their options.

        Raises:
            UsageError: They have more options than there are labels, or not all as many.
        """
        n, k = len(questions), self._options(questions)
        piece = self.spelling.piece
        asked, behind_question = around(self.prompt.question, QUESTION)
        before_option, behind_option = around(self.prompt.option, OPTION)
        shown = [piece(before_option.replace(LABEL, label)) for label in self.prompt.labels[:k]]
        asks, behind, ends = piece(asked), piece(behind_question), piece(behind_option)
        fixed = len(asks) + len(behind) + sum(len(one) + len(ends) for one in shown)
        fixed += len(self.after)
        by_words = self.labels is None
        limit = (self.room - fixed) // (2 * (len(shown) + by_words))
        if limit < 1:
            raise UsageError(
                f"the prompt {self.prompt.title} takes {fixed} of the {self.room} tokens that a "
                "question may have with its options",
                fix="a larger question_length (at most half of what the model reads), or a shorter "
                "prompt",
            )
        whole = self._texts([option for options in questions.options for option in options])
        options = first(whole, limit)
        lengths = options.lengths.reshape(n, k)
        taken = (
            fixed + lengths.sum(axis=1) * bool(shown) + lengths.max(axis=1, initial=0) * by_words
        )
        text = self._texts(questions.text)
        kept = np.minimum(text.lengths, self.room - taken)
        question = Ragged.from_lengths(text.values[spans(text.offsets[:-1], kept)], kept)
        parts = [repeated(asks, n), question, repeated(behind, n)]
        for j, lead in enumerate(shown):
            parts += [repeated(lead, n), options[np.arange(j, n * k, k)], repeated(ends, n)]
        shortened = (whole.lengths > limit).reshape(n, k)
        cut = (kept < text.lengths) | shortened.any(axis=1)
        answers = options
        if self.labels is not None:
            labels = np.tile(self.labels[:k].astype(np.int32), n)
            answers = Ragged.from_lengths(labels, np.ones(n * k, np.int64))
        return Suffixes(
            concatenated(*parts, repeated(self.after, n)),
            cut,
            _alike(options, shortened),
            concatenated(answers, repeated(self.end, n * k)),
        )

    def events(self, items: Items, k: int, max_length: int) -> Pieces:
        """What puts a user's latest `k` events in words, the whole prompt within `max_length`.

        Raises:
            UsageError: Items have no words.
            DataError: Not even one event has room.
        """
        lines = item_lines(items)

        def name(row: int) -> str:
            return f"item {row} ({lines[row][:40]!r})"

        entry, behind = around(self.prompt.entry, ITEM)
        piece, nothing = self.spelling.piece, np.empty(0, np.int32)
        numbers = [piece(entry.replace(NUMBER, str(n))).tolist() for n in range(1, k + 1)]
        frame = Frame(
            head=np.concatenate([self.before, piece(self.prompt.history)]),
            numbers=Ragged.from_lists(numbers),
            entry_end=piece(behind),
            empty=piece(self.prompt.empty),
            candidate=nothing,
            end=nothing,
            lead="",
            first=nothing,
            last=nothing,
        )
        return Pieces.of(
            frame,
            self.spelling.texts(lines, name),
            max_length,
            answer=self.room + self.beyond,
            with_candidate=False,
            name_of=name,
        )

    def _texts(self, texts: Sequence[str]) -> Ragged:
        lines = [one_line(text) for text in texts]
        return self.spelling.texts(lines, lambda row: f"the text {lines[row][:40]!r}")

    def _options(self, questions: Questions) -> int:
        counts = {len(options) for options in questions.options}
        if len(counts) != 1:
            raise UsageError(f"questions have {sorted(counts)} options: all need as many")
        k = counts.pop()
        if self.prompt.option and k > len(self.prompt.labels):
            raise UsageError(
                f"questions have {k} options, and the prompt {self.prompt.title} has "
                f"{len(self.prompt.labels)} labels",
                fix="a prompt of yours with more labels",
            )
        return k


def _alike(options: Ragged, shortened: np.ndarray) -> np.ndarray:
    """Whether an option that was shortened reads as another of its question, bool `[n]`."""
    n, k = shortened.shape
    rows = np.flatnonzero(shortened.any(axis=1))
    found = np.zeros(n, dtype=bool)
    if len(rows):
        some = options[(k * rows[:, None] + np.arange(k)).ravel()]
        tokens = some.padded(int(some.lengths.max()), fill=-1).reshape(len(rows), k, -1)
        pairs = [(tokens[:, i] == tokens[:, j]).all(axis=1) for i in range(k) for j in range(i)]
        found[rows] = np.logical_or.reduce(pairs)
    return found


def item_lines(items: Items) -> list[str]:
    """Items as a prompt shows them: `title | category | brand`, columns without a word left out.

    Raises:
        UsageError: Items have no words.
    """
    if items.text is None:
        raise UsageError(
            "a prompt shows events in words, and these items have none",
            fix="use the representation text",
        )
    if not items.columns:
        return [one_line(text) for text in items.text]
    rows = zip(*items.columns.values(), strict=True)
    return [BETWEEN.join(line for text in row if (line := one_line(text))) for row in rows]


def make_layout(
    prompt: QaPrompt, headed: Headed | Tokenized, room: int, *, chat: bool, by_words: bool = False
) -> Layout:
    """The pieces of a prompt for a model.

    Args:
        prompt: In words.
        headed: The model, or as much of it as has a tokenizer.
        room: Tokens that a question may have with its options.
        chat: Put it into the frame of the model's chat template, as one message of the user's.
        by_words: The words of options are scored, and not their labels.

    Raises:
        UsageError: The model reads labels as several tokens, or the same; or words are scored and
            nothing ends them.
    """
    spelling = Spelling(headed.tokenizer, headed.folder.name)
    system = "" if prompt.system is None else f"{prompt.system}\n"
    before, after = spelling.first, np.empty(0, np.int32)
    blank = prompt.answer[len(prompt.answer.rstrip()) :]
    end = _end_of_text(headed.tokenizer)
    if chat:
        spoken = Prompt(
            name="frame",
            version=1,
            kind="next",
            system=prompt.system,
            entry=f" {ITEM}",
            yes=prompt.labels[0] if prompt.labels else "yes",
        )
        before, after, blank, system = chat_frame(spoken, spelling)
        end = _end_of_turn(spelling, spoken)
    lead, labels = np.empty(0, np.int32), None
    if not by_words:
        lead, labels = _labels(prompt, spelling, blank)
    elif not len(end):
        raise UsageError(
            f"the model {spelling.name!r} has no token that ends a text, and without one fewer "
            "words are always likelier",
            fix="scoring: options, or a model with an end-of-text token",
        )
    ask = spelling.piece(prompt.answer.rstrip())
    return Layout(
        prompt=prompt,
        spelling=spelling,
        before=np.concatenate([before, spelling.piece(system)]),
        after=np.concatenate([ask, after, lead]),
        labels=labels,
        end=end,
        room=room,
    )


def _labels(prompt: QaPrompt, spelling: Spelling, blank: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens before the labels, and the one token that each label is.

    A label is read with the blank before it; where a model has no such tokens, behind a blank that
    then belongs to the prompt.
    """
    unknown = spelling.tokenizer.unk_token_id
    ways = [(np.empty(0, np.int32), [spelling.piece(blank + label) for label in prompt.labels])]
    if blank:
        ways.append((spelling.piece(blank), [spelling.piece(label) for label in prompt.labels]))
    for lead, read in ways:
        tokens = [int(label[0]) for label in read if len(label) == 1]
        if len(tokens) == len(read) == len(set(tokens)) and unknown not in tokens:
            return lead, np.array(tokens, dtype=np.int64)
    raise UsageError(
        f"the model {spelling.name!r} reads the labels {', '.join(prompt.labels)} as several "
        "tokens, or some of them as the same",
        fix="a prompt of yours with labels that are one token each, such as A, B, C, D or words",
    )


def _end_of_text(tokenizer: Any) -> np.ndarray:
    token = tokenizer.eos_token_id
    return np.array([] if token is None else [token], dtype=np.int32)


def _end_of_turn(spelling: Spelling, prompt: Prompt) -> np.ndarray:
    """The token with which the chat template ends an answer."""
    template: Any = spelling.tokenizer.apply_chat_template
    said = "@@CONTENT@@"
    turns = [{"role": "user", "content": "-"}, {"role": "assistant", "content": said}]
    text: str = template(turns, tokenize=False)
    found = spelling.marked(text.rpartition(said)[2])[:1]
    special = set(spelling.tokenizer.added_tokens_decoder)
    if len(found) and int(found[0]) in special:
        return found
    if not text.count(said):
        raise DataError(
            f"the chat template of {spelling.name!r} does not show what the model says",
            fix="chat: never",
        )
    return _end_of_text(spelling.tokenizer)
