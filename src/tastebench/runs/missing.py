"""What a plan needs and this machine lacks: where it comes from, how big it is, how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tastebench.data.card import DatasetCard, RawFile

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Missing:
    """Something a plan needs and that is not here.

    Attributes:
        kind: `dataset` or `encoder`.
        source: Where it comes from.
        size: How big it is, in words; None where nothing is fetched.
        cost: What it will take to use it, in words.
        fix: How to get it.
    """

    kind: str
    name: str
    why: str
    source: str | None = None
    size: str | None = None
    cost: str | None = None
    fix: str | None = None

    def __str__(self) -> str:
        facts = [fact for fact in (self.source, self.size, self.cost) if fact]
        told = f": {'; '.join(facts)}" if facts else ""
        return f"{self.kind} {self.name}: {self.why}{told}" + (f" ({self.fix})" if self.fix else "")


def missing_dataset(card: DatasetCard) -> Missing:
    """A public dataset that nobody has prepared here."""
    required = [file for file in card.files if file.required]
    by_hand = any(file.url is None for file in required)
    return Missing(
        kind="dataset",
        name=card.name,
        why="its files have to be brought" if by_hand else "not fetched yet",
        source=card.source,
        size=", ".join(fact for fact in (_size_of(card.files), _counts_of(card)) if fact) or None,
        fix=f"tastebench data get {card.name}" + (" --raw DIR" if by_hand else ""),
    )


def _size_of(files: Sequence[RawFile]) -> str | None:
    """The download in words; an archive that holds several of the files counts once."""
    downloads = {file.url or file.path: file.bytes for file in files}
    known = [size for size in downloads.values() if size is not None]
    count = f"{len(downloads)} file{'s' * (len(downloads) != 1)}"
    if not known:
        return f"{count} of unknown size" if downloads else None
    total = in_bytes(sum(known))
    return f"{count}, {total}" if len(known) == len(downloads) else f"{count}, over {total}"


def _counts_of(card: DatasetCard) -> str | None:
    """How much there is to expect in it."""
    counts = card.known if card.known.items is not None else card.about
    told = [
        f"{count:,} {what}"
        for what, count in (("items", counts.items), ("interactions", counts.interactions))
        if count is not None
    ]
    return f"about {' and '.join(told)}" if told else None


def in_bytes(size: float) -> str:
    """A size as people write it.

    >>> in_bytes(326_611_506), in_bytes(14.5e9), in_bytes(12)
    ('327 MB', '14.5 GB', '12 B')
    """
    step = 0
    while size >= 999.5 and step < len(_UNITS) - 1:
        size, step = size / 1000, step + 1
    digits = f"{size:.1f}" if size < 100 and step else f"{size:.0f}"
    return f"{digits.removesuffix('.0')} {_UNITS[step]}"
