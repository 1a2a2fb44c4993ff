"""Deleting what a home or a results folder need no longer hold, and nothing else."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tastebench.errors import DataError, UsageError, did_you_mean
from tastebench.runs.holdings import KINDS, Holding, holdings

_UNITS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


@dataclass(frozen=True)
class Choice:
    """What is to go besides what is safe.

    Attributes:
        kinds: Costly kinds that may go.
        names: Single things, by the names under which they are shown.
        older_than: Seconds that something must not have been written to; None for any age. What is
            safe goes at any age.
    """

    kinds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    older_than: float | None = None

    def check(self, found: Sequence[Holding]) -> None:
        """Refuses kinds and names that there are none of.

        Raises:
            UsageError: Says which there are.
        """
        for kind in self.kinds:
            if kind not in KINDS:
                raise UsageError(f"no kind {kind!r}: {did_you_mean(kind, KINDS)}", where="--kind")
            if KINDS[kind][0] == "kept":
                raise UsageError(
                    f"{kind}: {KINDS[kind][1]}; this goes by its name only",
                    where="--kind",
                    fix="--drop NAME, as `tastebench doctor --clean` shows it",
                )
        known = [one.name for one in found]
        for name in self.names:
            if name not in known:
                raise UsageError(
                    f"nothing is called {name!r}: {did_you_mean(name, known)}", where="--drop"
                )

    def takes(self, one: Holding, now: float) -> bool:
        """Whether something is to go."""
        if one.busy is not None:
            return False
        if one.name in self.names or one.sort == "safe":
            return True
        old = self.older_than is None or now - one.used > self.older_than
        return one.sort == "costly" and one.kind in self.kinds and old


def parse_age(text: str) -> float:
    """An age in seconds.

    Raises:
        UsageError: It is no number of hours, days or weeks.

    >>> parse_age("90d"), parse_age("12h")
    (7776000.0, 43200.0)
    """
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if found is None:
        raise UsageError(
            f"{text!r} is no age", where="--older-than", fix="12h, 90d or 8w: hours, days or weeks"
        )
    return int(found[1]) * _UNITS[found[2]]


def chosen(found: Iterable[Holding], choice: Choice) -> list[Holding]:
    """What would go; what lies within something that goes is not named apart."""
    now = time.time()
    going = [one for one in found if choice.takes(one, now)]
    paths = {one.path for one in going}
    return [one for one in going if not paths & set(one.path.parents)]


def delete(going: Iterable[Holding], results: Path | None = None) -> list[Holding]:
    """Deletes things, each looked at once more before; those that went.

    Args:
        going: What `chosen` chose.
        results: The results folder that it was found in.

    Raises:
        DataError: Something cannot be deleted; what went before it is gone.
    """
    still = {one.path: one for one in holdings(results)}
    gone = []
    for one in going:
        again = still.get(one.path)
        if again is None or again.busy is not None or again.used > one.used:
            continue  # it went, or somebody has taken it up meanwhile
        try:
            if one.path.is_dir() and not one.path.is_symlink():
                shutil.rmtree(one.path)
            else:
                one.path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"{one.name} cannot be deleted: {error.strerror or error}",
                where=str(one.path),
                fix="see who may write there",
            ) from error
        gone.append(one)
    return gone
