"""Texts to tokens such that a text is only ever a text, and pieces of one are read as parts of it.

A tokenizer reads `<|im_end|>` or `[MASK]` in the title of an item as the token of that name, which
tells the model where a message ends or what it has to guess. Here such a text is spelt.

Where a prompt is put together from pieces that are tokenised apart, the ends of a piece matter:
many tokenizers take a blank together with the word behind it, and some put one before every text.
So a piece is read as what follows something else, and the blank before a word belongs to the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from tastebench.errors import DataError
from tastebench.ragged import Ragged

# What a piece is read behind: nothing that any tokenizer joins with what may follow.
_AFTER_WORD, _AFTER_LINE = "a", "\n"
_CHUNK = 16384


class Spelling:
    """How a model's tokenizer spells.

    Args:
        tokenizer: A tokenizer of transformers.
        name: Of the model, for messages.

    Attributes:
        first, last: The special tokens that it puts around a text, int32.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.first, self.last = self._around()

    def texts(self, texts: Sequence[str], name_of: Callable[[int], str]) -> Ragged:
        """Each text as it is read behind a blank, int32; an empty one has no tokens.

        Args:
            texts: One line each, without blanks at their ends.
            name_of: What a message calls a text, by its row.

        Raises:
            DataError: A text holds a special token that cannot be spelt.
        """
        parts = [self._chunk(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
        lists = list(chain.from_iterable(parts))
        tokens = Ragged.from_lists(lists, dtype=np.int32)
        for row in np.unique(tokens.rows[np.isin(tokens.values, self._steering)]):
            lists[row] = self._spelt(f" {texts[row]}", name_of(int(row)))
        return Ragged.from_lists(lists, dtype=np.int32)

    def piece(self, text: str) -> np.ndarray:
        """A part of a prompt, as it is read behind what comes before it, int32.

        Behind a line end if it begins with a letter or a digit, else behind a word.
        """
        ids = self._behind([text])[0]
        if np.isin(ids, self._steering).any():
            ids = self._spelt(text, f"the piece {text[:40]!r} of the prompt")
        return np.array(ids, dtype=np.int32)

    def marked(self, text: str) -> np.ndarray:
        """A text whose special tokens are meant, such as the frame of a chat, int32."""
        return np.array(self._ids([text], literal=False)[0], dtype=np.int32)

    # ------------------------------------------------------------------------------------ inside

    def _chunk(self, texts: Sequence[str]) -> list[list[int]]:
        read = self._behind([f" {text}" for text in texts])
        return [ids if text else [] for ids, text in zip(read, texts, strict=True)]

    def _behind(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of texts, each behind an anchor that is taken off again."""
        anchors = [_AFTER_LINE if text[:1].isalnum() else _AFTER_WORD for text in texts]
        anchored = [anchor + text for anchor, text in zip(anchors, texts, strict=True)]
        heads = {anchor: self._ids([anchor])[0] for anchor in set(anchors)}
        read = self._ids(anchored)
        for i, anchor in enumerate(anchors):
            head = heads[anchor]
            joined = read[i][: len(head)] != head
            # A tokenizer that joins it with the anchor reads the text by itself.
            read[i] = self._ids([texts[i]])[0] if joined else read[i][len(head) :]
        return read

    def _spelt(self, text: str, name: str) -> list[int]:
        """Tokens of a text that is broken within whatever looks like a special token."""
        broken = self._literals.sub(lambda found: f"{found[0][0]}\0{found[0][1:]}", text)
        ids = list(chain.from_iterable(self._behind(broken.split("\0"))))
        if np.isin(ids, self._steering).any():
            raise DataError(
                f"{name} holds a special token of the model {self.name!r}",
                where=repr(text[:200]),
                fix="take it out of the text",
            )
        return ids

    def _ids(self, texts: Sequence[str], *, literal: bool = True) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            padding=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
            **({"split_special_tokens": True} if literal else {}),
        )["input_ids"]
        return ids

    @cached_property
    def _added(self) -> dict[int, str]:
        """Tokens that stand for no text: what else was added, such as runs of blanks, is text."""
        added = {int(i): token.content for i, token in self.tokenizer.added_tokens_decoder.items()}
        unknown = self.tokenizer.unk_token_id
        return {i: text for i, text in added.items() if text.strip() and i != unknown}

    @cached_property
    def _steering(self) -> np.ndarray:
        return np.array(sorted(self._added), dtype=np.int64)

    @cached_property
    def _literals(self) -> re.Pattern[str]:
        longest_first = sorted(self._added.values(), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def _around(self) -> tuple[np.ndarray, np.ndarray]:
        alone = self._ids(["a"], literal=False)[0]
        whole: list[int] = self.tokenizer("a", verbose=False)["input_ids"]
        for begin in range(len(whole) - len(alone) + 1):
            end = begin + len(alone)
            if whole[begin:end] == alone:
                return np.array(whole[:begin], np.int32), np.array(whole[end:], np.int32)
        raise DataError(
            f"the tokenizer of {self.name!r} reads a text in one way alone and in another between "
            "its special tokens",
            fix="take the tokenizer that the model was trained with",
        )
