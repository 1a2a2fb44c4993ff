"""Choosing among phrases and making them agree with their noun."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SINGULAR = {"It": "It", "it": "it", "them": "it", "its": "its", "is": "is", "has": "has"}
_SINGULAR |= {"does": "does", "s": "s", "es": "es", "ies": "ies"}
_PLURAL = {"It": "They", "it": "they", "them": "them", "its": "their", "is": "are", "has": "have"}
_PLURAL |= {"does": "do", "s": "", "es": "", "ies": "y"}


class Roll:
    """A row of random integers, used from left to right."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = iter(numbers)

    def below(self, n: int) -> int:
        """The next number, below `n`."""
        return next(self._numbers) % n

    def pick(self, options: Sequence[str], unlike: Iterable[str] = ()) -> str:
        """One of the options, if possible one that repeats no word of `unlike`."""
        start = self.below(len(options))
        turned = [*options[start:], *options[:start]]
        used = stems(" ".join(unlike))
        return next((text for text in turned if not stems(text) & used), turned[0])


def stems(text: str) -> set[str]:
    """The first four letters of every longer word: enough to hear a repetition.

    >>> sorted(stems("Hiking boots for a hike"))
    ['boot', 'hike', 'hiki']
    """
    return {word[:4] for word in re.findall(r"[^\W\d_]{4,}", text.lower())}


def sentence(phrase: str, *, plural: bool, subject: str = "", **fields: str) -> str:
    """The phrase as a sentence that agrees with its noun.

    Args:
        phrase: With `{it}`, `{them}`, `{its}`, `{is}`, `{has}`, `{does}` and verb endings `{s}`,
            `{es}`, `{ies}`.
        plural: The number of the noun.
        subject: Stands for a leading pronoun, e.g. `this kettle`.
        fields: Further fields of the phrase.

    >>> sentence("{it} dr{ies} fast and keep{s} {its} shape", plural=True)
    'They dry fast and keep their shape.'
    """
    if subject:
        phrase = re.sub("^{[Ii]t}", lambda _: subject, phrase)
    text = phrase.format(**(_PLURAL if plural else _SINGULAR), **fields)
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
