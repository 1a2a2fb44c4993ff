"""Prompts with codes between words: where everything stands, and what is dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.llm.next_layout import Layout, newest
from tastebench.recommenders.llm.pieces import Frame


def tokens(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


FRAME = Frame(
    head=tokens(10, 11),
    numbers=Ragged.from_lists([[21], [22], [23, 24]]),
    entry_end=tokens(30),
    empty=tokens(40, 41, 42),
    candidate=tokens(),
    end=tokens(50, 51),
    lead="",
    first=tokens(10),
    last=tokens(),
)
CODES = torch.tensor([[1, 5], [2, 6], [3, 7], [4, 8]])  # of four items


def test_prompts_by_hand() -> None:
    layout = Layout(FRAME, 2, None)
    history = torch.tensor([[0, 1, 2], [3, 0, 0], [0, 0, 0]])
    length = torch.tensor([3, 1, 0])
    written = layout.write(CODES[history], length, CODES[[3, 2, 1]])
    assert written.tokens.tolist() == [
        [10, 11, 21, -2, -6, 30, 22, -3, -7, 30, 23, 24, -4, -8, 30, 50, 51, -5],
        [10, 11, 21, -5, -9, 30, 50, 51, -4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [10, 11, 40, 41, 42, 50, 51, -3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert written.length.tolist() == [17, 8, 7]
    assert written.slots.tolist() == [[3, 4], [7, 8], [12, 13]]


def test_an_open_prompt_is_the_beginning_of_one_with_its_answer() -> None:
    """T6: what is asked is what was trained."""
    layout = Layout(FRAME, 2, None)
    history, length = torch.tensor([[0, 1], [2, 0]]), torch.tensor([2, 1])
    one = layout.write(CODES[history], length)
    other = layout.write(CODES[history], length, CODES[[0, 1]])
    assert torch.equal(one.length, other.length)
    for row, end in enumerate(one.length.tolist()):
        assert torch.equal(one.tokens[row, :end], other.tokens[row, :end])
        assert (one.tokens[row, end:] == 0).all()


def test_only_whose_history_is_empty_is_told_so() -> None:
    layout = Layout(FRAME, 1, None)
    written = layout.write(torch.zeros(2, 0, 1, dtype=torch.int64), torch.tensor([0, 0]))
    assert written.tokens.tolist() == [[10, 11, 40, 41, 42, 50, 51]] * 2


@pytest.mark.parametrize(("limit", "room"), [(None, 3), (18, 3), (17, 2), (13, 2), (12, 1), (9, 1)])
def test_as_many_items_as_fit_with_their_answer(limit: int | None, room: int) -> None:
    layout = Layout(FRAME, 2, limit)
    assert layout.room == room
    codes = CODES[torch.arange(room)[None]]
    longest = layout.write(codes, torch.tensor([room]), CODES[:1]).tokens.shape[1]
    assert limit is None or longest <= limit


def test_a_model_that_reads_too_little_is_refused() -> None:
    with pytest.raises(UsageError, match="the model reads 8 tokens, and a prompt with one item"):
        Layout(FRAME, 2, 8)
    wordy = Frame(**{**vars(FRAME), "empty": tokens(*range(9))})
    with pytest.raises(UsageError, match="the model reads 12 tokens"):
        Layout(wordy, 2, 12)


def test_the_newest_items_are_kept() -> None:
    items = torch.tensor([[7, 8, 9, 0], [5, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]])
    columns, kept = newest(torch.tensor([3, 1, 4, 0]), 2, 4)
    rows = items.gather(1, columns)
    assert [row[:n] for row, n in zip(rows.tolist(), kept.tolist(), strict=True)] == [
        [8, 9], [5], [3, 4], [],
    ]  # fmt: skip
