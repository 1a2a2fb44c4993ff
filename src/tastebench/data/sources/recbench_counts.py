"""The sizes that RecBench publishes of its datasets (its table 2), and ours beside them.

Pair-wise they are rows, items and users of the test and the finetune part, list-wise sequences and
items. How items are counted stands in `tastebench.data.click_account`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from tastebench.data.card import Counts
from tastebench.data.click_account import count_rows, count_sequences
from tastebench.data.comparison import Comparison, Counted

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset


class Pairs(NamedTuple):
    """Sizes of a pair-wise part."""

    rows: int
    items: int
    users: int


class Lists(NamedTuple):
    """Sizes of a list-wise part."""

    sequences: int
    items: int


class Published(NamedTuple):
    """A column of the table."""

    test: Pairs
    finetune: Pairs
    list_test: Lists
    list_finetune: Lists


TABLE_2 = {
    "hm": Published(
        Pairs(20_000, 26_270, 5_000),
        Pairs(100_000, 60_589, 25_000),
        Lists(5_000, 15_889),
        Lists(40_000, 35_344),
    ),
    "mind": Published(
        Pairs(20_006, 3_088, 1_514),
        Pairs(100_000, 17_356, 8_706),
        Lists(5_000, 10_634),
        Lists(40_000, 24_451),
    ),
    "microlens": Published(
        Pairs(20_000, 15_166, 5_000),
        Pairs(100_000, 19_111, 25_000),
        Lists(5_000, 12_273),
        Lists(40_000, 18_841),
    ),
    "goodreads": Published(
        Pairs(20_009, 26_664, 1_736),
        Pairs(100_005, 74_112, 8_604),
        Lists(5_000, 38_868),
        Lists(40_000, 136_296),
    ),
    "cds": Published(
        Pairs(20_003, 36_765, 4_930),
        Pairs(100_003, 113_671, 24_618),
        Lists(5_000, 19_684),
        Lists(40_000, 95_409),
    ),
}
"""Liu et al. 2025, table 2, by dataset."""

_DRAWN = (
    "Which users and rows are drawn is random, and the published draw had no seed: counts of users "
    "and items differ by chance."
)


def compare(name: str, dataset: Dataset, reads: tuple[str, ...], release: Counts) -> Comparison:
    """Sizes of one of the datasets beside the published ones.

    Args:
        name: RecBench's dataset, e.g. `hm`.
        dataset: As prepared here.
        reads: In what the published preparation reads its files differently.
        release: Sizes of the release that it reads.
    """
    counts = tuple(_counts(dataset, TABLE_2.get(name)))
    reasons = tuple(_reasons(dataset, reads, release)) if name in TABLE_2 else ()
    if name not in TABLE_2:
        reasons = ("RecBench's table 2 does not have this dataset.",)
    return Comparison("RecBench, table 2", counts, reasons)


def _counts(dataset: Dataset, published: Published | None) -> Iterator[Counted]:
    for part in ("test", "finetune"):
        ours = count_rows(dataset.tables, part)
        theirs = getattr(published, part)._asdict() if published else {}
        for what in Pairs._fields:
            yield Counted(f"pair-wise {part} {what}", theirs.get(what), ours[what])
    sequences = count_sequences(dataset)
    for part, ours in sequences.items():
        theirs = getattr(published, f"list_{part}")._asdict() if published else {}
        for what in Lists._fields:
            yield Counted(f"list-wise {part} {what}", theirs.get(what), ours[what])


def _reasons(dataset: Dataset, reads: tuple[str, ...], release: Counts) -> Iterator[str]:
    told: dict[str, Any] = dataset.manifest.get("derived", {})
    base = told.get("base", {})
    for what, known in release:
        if known is not None and what in base and base[what] != known:
            yield f"What was read has {base[what]:,} {what}, the release {known:,}."
    for part, target in told.get("targets", {}).items():
        if not target["reached"]:
            yield f"There are too few users for the {target['asked']:,} rows of {part}."
    wanted = dataset.card.splits["seqrec"].users
    if wanted and dataset.n_users < sum(wanted):
        yield f"There are {dataset.n_users:,} sequences, fewer than the {sum(wanted):,} drawn."
    yield from reads
    yield _DRAWN
