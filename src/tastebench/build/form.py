"""What a query must look like, whatever it is about: a request of one to three sentences."""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_SENTENCES = 3

_ABBREVIATION = re.compile(r"\b(e\.g|i\.e|etc|vs|approx|dr|mr|mrs|ms|no|st)\.", re.IGNORECASE)
_END = re.compile("(?<=[.!?\u2026])[\"'\u201d\u2019)\\]]*\\s+|(?<=[\u3002\uff01\uff1f])")
_BOUGHT = re.compile(
    r"\bI(?:['\u2019]ve| have| had)?(?: just| recently| already| finally)? "
    r"(?:bought|purchased|ordered)\b",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(
    r"\b(?:I|me|my|mine|myself|we|us|our|ours)\b(?!\.)|\bI['\u2019]", re.IGNORECASE
)
_QUOTED = re.compile(
    r"^([\"'\u201c\u2018\u00ab\u201e])(.*)([\"'\u201d\u2019\u00bb\u201c])$", re.DOTALL
)


class Fault(NamedTuple):
    """Why an answer cannot be used.

    Attributes:
        kind: For counting.
        what: For the model that is to mend it, and for people.
    """

    kind: str
    what: str


def tidy_query(text: str) -> str:
    """An answer on one line, without quotation marks around the whole.

    >>> tidy_query(' "I need a lamp   for reading." ')
    'I need a lamp for reading.'
    """
    line = " ".join(text.split())
    quoted = _QUOTED.match(line)
    return quoted[2].strip() if quoted else line


def sentences(text: str) -> int:
    """How many sentences a text has.

    >>> sentences("I need a mug, e.g. a big one. Blue?")
    2
    """
    pieces = _END.split(_ABBREVIATION.sub(lambda found: found[1], text))
    return sum(any(sign.isalnum() for sign in piece or "") for piece in pieces)


def is_first_person(text: str) -> bool:
    """Whether an English text speaks of its writer."""
    return _FIRST_PERSON.search(text) is not None


def form_faults(text: str, finish_reason: str, refusal: str | None) -> list[Fault]:
    """What is wrong with an answer before anyone looks at the item.

    Args:
        text: The answer, tidied.
        finish_reason: Why the server stopped.
        refusal: The model's own words for declining; None if it did not.
    """
    if refusal is not None or finish_reason == "content_filter":
        return [Fault("refused", "the model declined")]
    if not any(sign.isalnum() for sign in text):
        return [Fault("empty", "it says nothing")]
    faults = []
    if finish_reason == "length":
        faults.append(Fault("cut off", "it is too long and was cut off"))
    found = sentences(text)
    if found > MOST_SENTENCES:
        faults.append(Fault("sentences", f"it has {found} sentences instead of one to three"))
    bought = _BOUGHT.search(text)
    if bought:
        faults.append(Fault("bought", f'it says "{bought[0]}", but nothing is bought yet'))
    return faults
