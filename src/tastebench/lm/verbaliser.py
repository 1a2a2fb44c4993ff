"""Two answers and how likely a model finds each.

    score = log P(yes) - log P(no),    P = 1 / (1 + exp(-score))

An answer of one token has the logit of that token; what all tokens share falls out of the
difference. One of several tokens has the whole log-probability, token by token, each given those
before it. The published code takes the first token of either word, or the unknown token where a
word is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tastebench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from tastebench.lm.spelling import Spelling


@dataclass(frozen=True, eq=False)
class Verbaliser:
    """The two answers in tokens, int32."""

    yes: np.ndarray
    no: np.ndarray

    @property
    def single(self) -> bool:
        """Both answers are one token."""
        return len(self.yes) == len(self.no) == 1

    @property
    def longest(self) -> int:
        """Tokens of the longer answer."""
        return max(len(self.yes), len(self.no))

    def of_logits(self, logits: Tensor) -> Tensor:
        """Scores where both answers are one token, `[n]`.

        Args:
            logits: Where the answer begins, `[n, vocabulary]`.
        """
        return logits[:, int(self.yes[0])].float() - logits[:, int(self.no[0])].float()


def log_probability(logits: Tensor, word: np.ndarray) -> Tensor:
    """Of a whole answer, `[n]`.

    Args:
        logits: Where each of its tokens stands, `[n, len(word), vocabulary]`.
        word: Its tokens.
    """
    import torch

    tokens = torch.from_numpy(word.astype(np.int64)).to(logits.device)
    chosen = logits.float().log_softmax(dim=-1)[:, torch.arange(len(word)), tokens]
    return chosen.sum(dim=1)


def make_verbaliser(spelling: Spelling, yes: str, no: str, lead: str = "") -> Verbaliser:
    """Two answers in a model's tokens, checked.

    Args:
        spelling: Of the model.
        yes: What says that the user will like it.
        no: What says that not.
        lead: Blanks that stand before the answer.

    Raises:
        UsageError: The model does not know an answer, or cannot tell the two apart.
    """
    words = {name: spelling.piece(lead + word.strip()) for name, word in (("yes", yes), ("no", no))}
    shown = {"yes": yes, "no": no}
    unknown = spelling.tokenizer.unk_token_id
    for name, tokens in words.items():
        if len(tokens) == 0 or unknown in tokens:
            raise UsageError(
                f"the model {spelling.name!r} does not know the answer {shown[name]!r}",
                fix=f"a prompt of yours with another word for {name}, e.g. in lower case",
            )
    short, long = sorted(words.values(), key=len)
    if np.array_equal(short, long[: len(short)]):
        raise UsageError(
            f"the model {spelling.name!r} cannot tell the answers {yes!r} and {no!r} apart: in its "
            "tokens one is the beginning of the other",
            fix="a prompt of yours with other words for yes and no",
        )
    return Verbaliser(words["yes"], words["no"])
