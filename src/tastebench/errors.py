"""The errors a user can meet: each says what happened, where, and how to fix it.

A `TastebenchError` is the user's to mend, so the command line prints it without a traceback and
leaves with the class's exit code. Any other exception is a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class TastebenchError(Exception):
    """Something a user can mend.

    Args:
        what: One sentence that says what is wrong, with the offending value.
        where: File, row, column or key it was found at.
        fix: What to do next; a command that can be copied where there is one.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive the default pickling, and errors cross process borders.
        return _rebuild, (type(self), self.what, self.where, self.fix)

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.fix:
            parts.append(f"  fix:   {self.fix}")
        return "\n".join(parts)


class UsageError(TastebenchError):
    """A name, option or plan that cannot be meant."""


class ProtocolError(TastebenchError):
    """Numbers that may not stand side by side, or a protocol that cannot be carried out."""


class DataError(TastebenchError):
    """Data, a model or a licence that is missing or unreadable."""

    exit_code: ClassVar[int] = 4


class DependencyError(TastebenchError):
    """An optional package that is not installed; `fix` holds the install line."""

    exit_code: ClassVar[int] = 4


def _rebuild(
    cls: type[TastebenchError], what: str, where: str | None, fix: str | None
) -> TastebenchError:
    return cls(what, where=where, fix=fix)


_MANY = 20
"""Names that a message lists at most."""


def counted(n: int, what: str) -> str:
    """A number of things, for messages.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{n:,} {what}{'s' * (n != 1)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest known ones, else all of them, or the first of many.

    >>> did_you_mean("minillm", ["minilm", "random"])
    'did you mean minilm?'
    >>> did_you_mean("zzz", ["minilm", "random"])
    'known: minilm, random'
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    if not known:
        return "there are none"
    more = f", ... ({len(known)} in all)" if len(known) > _MANY else ""
    return f"known: {', '.join(known[:_MANY])}{more}"
