"""Where words and codes stand in a list of items that a language model continues.

    [instruction, "User behavior sequence:"]
    for each item k, oldest first:  "(k)" its codes, end of line
    "Next item:" codes of the answer

Words come from a prompt, cut into pieces at its places and each piece tokenised by itself
(`pieces.Frame`), so that training, validation and test read the very same tokens. As entry `k` is
as long for everybody, all rows are written at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.recommenders.llm.pieces import Frame


@dataclass(frozen=True, eq=False)
class Written:
    """Some prompts, right-padded.

    Attributes:
        tokens: A word by its id, the code token `t` as `-1 - t`; int64 `[b, t]`.
        length: Tokens of each up to where the answer begins, int64 `[b]`.
        slots: Where the codes of entry k stand, in every row that has it; int64 `[n, width]`.
    """

    tokens: Tensor
    length: Tensor
    slots: Tensor


class Layout(nn.Module):
    """Writes prompts; its tensors move with the network.

    Args:
        frame: The prompt's pieces; numbers for as many entries as a history may have.
        width: Codes of an item.
        limit: Tokens that a model reads at most; None for no limit.

    Raises:
        UsageError: Not even a prompt with one item fits.

    Attributes:
        room: Items of a history that fit, newest first; what is older is dropped.
    """

    template: Tensor
    start: Tensor
    slots: Tensor
    endings: Tensor
    ending_length: Tensor

    def __init__(self, frame: Frame, width: int, limit: int | None) -> None:
        super().__init__()
        self.width = width
        template, start, slots = frame.head.tolist(), [len(frame.head)], []
        ends = [frame.end.tolist(), [*frame.empty.tolist(), *frame.end.tolist()]]
        self.room = 0
        for number in frame.numbers.to_lists():
            entry = len(number) + width + len(frame.entry_end)
            # The answer's last code is written and never read.
            if limit is not None and len(template) + entry + len(ends[0]) + width - 1 > limit:
                break
            template += number
            slots.append([len(template) + level for level in range(width)])
            template += [0] * width + frame.entry_end.tolist()
            start.append(len(template))
            self.room += 1
        least = len(frame.head) + len(ends[1]) + width - 1
        if limit is not None and (not self.room or least > limit):
            raise UsageError(
                f"the model reads {limit} tokens, and a prompt with one item has more",
                where=f"{len(frame.head):,} tokens come before the first item",
                fix="take a shorter prompt, or a larger max_length if the model allows it",
            )
        longest = max(map(len, ends))
        tensors = {
            "template": template,
            "start": start,
            "slots": slots,
            "endings": [end + [0] * (longest - len(end)) for end in ends],
            "ending_length": [len(end) for end in ends],
        }
        for name, values in tensors.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)
        self.slots = self.slots.view(-1, width)

    def write(self, codes: Tensor, length: Tensor, answer: Tensor | None = None) -> Written:
        """The prompts of some histories, each of at most `room` items.

        Args:
            codes: Code tokens of right-padded histories, int64 `[b, n, width]`.
            length: Items of each, int64 `[b]`.
            answer: Code tokens of what comes next, int64 `[b, width]`; None to leave it open. Its
                last is not written, as nothing is read from it.
        """
        b, n = codes.shape[:2]
        kind = (length == 0).long()
        ends = self.start[length] + self.ending_length[kind]
        longest = int(ends.max()) if b else 0
        more = 0 if answer is None else self.width - 1
        room = max(int(self.start[n]), longest) + self.endings.shape[1] + more
        tokens = self.template.new_zeros(b, room)
        tokens[:, : int(self.start[n])] = self.template[: int(self.start[n])]
        tokens[:, self.slots[:n].flatten()] = -1 - codes.flatten(1)
        _put(tokens, self.start[length], self.endings[kind])
        if answer is not None:
            _put(tokens, ends, -1 - answer[:, :-1])
        at = torch.arange(room, device=tokens.device)
        tokens.masked_fill_(at >= (ends + more)[:, None], 0)
        return Written(tokens[:, : longest + more], ends, self.slots[:n])


def newest(length: Tensor, room: int, n: int) -> tuple[Tensor, Tensor]:
    """Which columns of right-padded rows hold their latest `room` values.

    Returns:
        Columns int64 `[b, min(n, room)]`, for `gather`, and how many of them count, `[b]`.
    """
    kept = length.clamp(max=room)
    column = torch.arange(min(n, room), device=length.device)
    return ((length - kept)[:, None] + column).clamp_(max=max(n - 1, 0)), kept


def _put(tokens: Tensor, where: Tensor, values: Tensor) -> None:
    """Writes `values[i]` into row `i` from place `where[i]` on."""
    places = where[:, None] + torch.arange(values.shape[1], device=tokens.device)
    tokens.scatter_(1, places, values)
