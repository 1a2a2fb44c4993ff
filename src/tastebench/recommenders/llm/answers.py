"""What a model's answer says: yes or no, how sure it is, or an order. What it does not say is None.

Nothing is guessed. The published code takes whichever of the two words appears anywhere, so that "I
have no idea" is a no; here a word counts where an answer stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from tastebench.lm.answers import Token

_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"\w+")
_EDGES = " \t\r\n.,;:!?*_`'\"()[]{}<>#-"
_LAST = r"(?:the )?(?:final )?answer(?: is)?\W+"
_MARKED = re.compile(r"\[(\d+)\]")
_BARE = re.compile(r"\d+")
_DIGITS = 12


def said(text: str, yes: str, no: str) -> bool | None:
    r"""Whether an answer says yes; None where it says neither, or both.

    The word stands at the beginning and the other one nowhere, or it is all that the last line
    says, with `Answer:` before it or not. What stands in `<think>` is no answer.

    >>> said("Yes.", "Yes", "No"), said("**no**, too dear", "Yes", "No"), said("да", "Yes", "No")
    (True, False, None)
    >>> said("I have no idea", "Yes", "No"), said("It is wool.\nAnswer: Yes", "Yes", "No")
    (None, True)
    """
    plain = _THOUGHT.sub("", text).casefold().strip()
    words = {True: _words(yes), False: _words(no)}
    given = _words(plain)
    for answer, own in words.items():
        other = words[not answer]
        if given[: len(own)] == own and not _holds(given, other):
            return answer
    last = plain.splitlines()[-1] if plain else ""
    for answer, own in words.items():
        word = r"\W+".join(map(re.escape, own))
        if re.fullmatch(rf"\W*(?:{_LAST})?{word}\W*", last):
            return answer
    return None


def without_thoughts(text: str) -> str:
    """An answer without what stands in `<think>`, also where it was cut off within."""
    return _THOUGHT.sub("", text)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _holds(words: Sequence[str], part: Sequence[str]) -> bool:
    n = len(part)
    return any(list(words[i : i + n]) == list(part) for i in range(len(words) - n + 1))


class Odds(NamedTuple):
    """How much more likely yes is than no.

    Attributes:
        score: log P(yes) - log P(no).
        bounded: One of the two is not among the likeliest tokens, so that it is taken to be as
            likely as the last of them, which it is at most.
    """

    score: float
    bounded: bool


def log_odds(tokens: Sequence[Token], yes: str, no: str) -> Odds | None:
    """Of two answers, from the likeliest tokens where the answer begins.

    All ways to write an answer count together: upper and lower case, a blank before it, a full stop
    behind it. A server tells of single tokens, so a word that its model spells in several is known
    by its beginning, as long as the other word does not begin so.

    Args:
        tokens: Of the answer, with the likeliest at each place.
        yes: One answer.
        no: The other.

    Returns:
        None where neither answer is among the likeliest.
    """
    place = _place(tokens, yes, no)
    if place is None:
        return None
    # The chosen token is among the likeliest, or the server tells of no others.
    likeliest = dict(place.top) or {place.text: place.logprob}
    found: dict[bool, list[float]] = {True: [], False: []}
    for text, logprob in likeliest.items():
        answer = _stands_for(text, yes, no)
        if answer is not None:
            found[answer].append(logprob)
    if not (found[True] or found[False]):
        return None
    least = min(likeliest.values())
    sums = {answer: _log_sum(each) if each else least for answer, each in found.items()}
    return Odds(sums[True] - sums[False], bounded=not (found[True] and found[False]))


def _place(tokens: Sequence[Token], yes: str, no: str) -> Token | None:
    """Where the answer begins: at its first word; a model that says something before is waited for.

    Behind a preamble only a whole answer word counts, and only where the text as a whole is read as
    an answer.
    """
    written = [token for token in tokens if token.text.strip(_EDGES)]
    if not written:
        return next(iter(tokens), None)
    if _stands_for(written[0].text, yes, no) is None:
        answer = said("".join(token.text for token in tokens), yes, no)
        own = (yes if answer else no).casefold()
        if answer is not None:
            for token in reversed(written):
                if token.text.strip(_EDGES).casefold() == own:
                    return token
    return written[0]


def _stands_for(token: str, yes: str, no: str) -> bool | None:
    """The answer that a token is, or that begins with it and the other does not."""
    plain = token.strip(_EDGES).casefold()
    if not plain:
        return None
    is_yes, is_no = (word.strip().casefold().startswith(plain) for word in (yes, no))
    return is_yes if is_yes != is_no else None


def _log_sum(logs: Sequence[float]) -> float:
    """Logarithm of the sum of exponentials."""
    top = max(logs)
    return top + math.log(math.fsum(math.exp(one - top) for one in logs))


class Order(NamedTuple):
    """A permutation that a model wrote.

    Attributes:
        places: Numbers of the candidates from 0, best first; those it left out are not there.
        whole: Every candidate was named once and nothing else.
    """

    places: tuple[int, ...]
    whole: bool


def order_of(text: str, n: int) -> Order:
    """The order of `n` candidates that an answer names by their numbers from 1.

    Numbers in brackets are read where there are any, else all numbers. What is named again or is no
    candidate's number is passed over, and the order is then not whole.

    >>> order_of("[2] > [1] > [3]", 3)
    Order(places=(1, 0, 2), whole=True)
    >>> order_of("3, 3, 9", 3)
    Order(places=(2,), whole=False)
    """
    plain = _THOUGHT.sub("", text)
    marked = _MARKED.findall(plain)
    # A number of thousands of digits is nobody's, and Python refuses to read it.
    named = [
        int(number) - 1 if len(number) <= _DIGITS else -1
        for number in marked or _BARE.findall(plain)
    ]
    places = tuple(dict.fromkeys(place for place in named if 0 <= place < n))
    return Order(places, whole=len(named) == len(places) == n)
