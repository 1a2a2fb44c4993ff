"""A dataset's description and the list of datasets, in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tastebench.data.describe import (
    Description,
    Lengths,
    Queries,
    Shown,
    SplitView,
    TextColumn,
)

if TYPE_CHECKING:
    from tastebench.data.catalog import DatasetRow
    from tastebench.data.comparison import Comparison

_BAR = 20
_LABEL = 12
_COLUMNS = ("dataset", "status", "tasks", "interactions")
_ROWS = {"lists": "impression lists", "relevance": "judgements", "split": "split rows"}


def dataset_table(rows: Sequence[DatasetRow], titles: bool = True) -> Table:
    """A line per dataset: name, status, tasks, size and, if wanted, title."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [(row.name, row.status, " ".join(row.tasks), _row_size(row)) for row in rows]
    for name, column in zip(_COLUMNS, zip(*cells, strict=True), strict=True):
        table.add_column(name, no_wrap=True, min_width=max(len(name), *map(len, column)))
    table.columns[-1].justify = "right"
    if titles:
        table.add_column("what")
    for row, told in zip(rows, cells, strict=True):
        table.add_row(*told, *([row.title] if titles else []))
    return table


def _row_size(row: DatasetRow) -> str:
    """Interactions, or items where there are none; nothing before it is prepared."""
    if row.n_interactions is not None:
        return f"{row.n_interactions:,}"
    return "" if row.n_items is None else f"{row.n_items:,} items"


def print_description(description: Description, able: Sequence[str], console: Console) -> None:
    """Everything that is known of a dataset, from what it is down to what its splits leak.

    Args:
        description: What was seen in its tables.
        able: Tasks that it can be run on where a plan names them.
        console: Where to.
    """
    card = description.card
    bar = "█" if console.encoding.lower().startswith("utf") else "#"
    console.print(Text.assemble((card.title, "bold"), f"  {card.name}"))
    if card.summary:
        console.print(Text(card.summary))
    _facts(console, "Tasks", _tasks(description, able))
    _facts(console, "Sizes", _sizes(description))
    if description.per_user and description.per_item:
        users, items = description.per_user, description.per_item
        _table(console, "Interactions per user and per item", _lengths(users, items, bar))
    if description.text:
        _table(console, "Item text", _text(description.text))
    if description.queries:
        _table(console, "Queries", _queries(description.queries))
    if description.splits:
        _facts(console, "Default splits", list(_splits(description.splits)))
    _facts(console, "Source", list(_source(description)))


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Counts beside the published ones, the difference of each, and why there may be one."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("count", no_wrap=True)
    for name in ("published", "ours", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for count in comparison.counts:
        known, difference = count.published, count.difference
        told = "" if difference is None else f"{difference:+,}" if difference else "0"
        share = f" ({difference / known:+.1%})" if known and difference else ""
        table.add_row(
            count.what, "" if known is None else f"{known:,}", f"{count.ours:,}", told + share
        )
    console.print(Text(comparison.source, style="bold"))
    console.print(table)
    for reason in comparison.reasons:
        console.print(Text(f"- {reason}"))
    console.print()


def _table(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _facts(console: Console, title: str, facts: Sequence[tuple[str, str]]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(min_width=_LABEL, style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts:
        grid.add_row(label, Text(value))
    console.print()
    console.print(Text(title, style="bold"))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))


def _tasks(description: Description, able: Sequence[str]) -> list[tuple[str, str]]:
    facts = [("usual", ", ".join(description.card.tasks))]
    if able:
        facts.append(("on request", f"{', '.join(able)} (tasks: [{able[0]}] in a plan)"))
    return facts


def _sizes(description: Description) -> list[tuple[str, str]]:
    counts = [f"{n:,} {_ROWS.get(name, name)}" for name, n in description.counts.items()]
    facts = [("rows", ", ".join(counts))]
    if description.density is not None:
        facts.append(
            ("sparsity", f"{1 - description.density:.4%} of all user-item pairs are empty")
        )
    times, repeats, ratings = description.times, description.repeats, description.ratings
    if times is not None:
        span = f"{times.first} to {times.last}, {times.days:,.0f} days, in {times.granularity}s"
        facts.append(("time", f"{span}; {times.tied:.1%} at the time of another of the same user"))
    elif repeats is not None:
        order = "none; rows are in order" if description.ordered else "none, and no order"
        facts.append(("time", order))
    if repeats is not None:
        pairs = f"{repeats.pairs:.1%} of interactions repeat a user-item pair"
        timed = "" if times is None else f", {repeats.rows:.1%} its time too"
        facts.append(("repeats", f"{pairs}{timed}"))
    if ratings is not None:
        span = f"{ratings.low:g} to {ratings.high:g} in {ratings.levels} levels"
        missing = f", missing in {ratings.missing:.1%}" if ratings.missing else ""
        facts.append(("ratings", f"{span}, mean {ratings.mean:.2f}{missing}"))
    if (shown := description.shown) is not None:
        facts.append(("clicks", _clicks(shown)))
    facts += [("differs", line) for line in description.differences]
    facts += [("repaired", f"{reason}: {rows:,}") for reason, rows in description.repairs.items()]
    return facts


def _clicks(shown: Shown) -> str:
    return (
        f"{shown.clicked:.2%} of what was shown; {shown.lists:,} lists of median "
        f"{_number(shown.median_list)} rows, {shown.one_class_lists:,} of one class; "
        f"{shown.users:,} users, {shown.one_class_users:,} with one class"
    )


def _lengths(users: Lengths, items: Lengths, bar: str) -> Table:
    """The two histograms side by side, with their summaries under them."""
    both = (users, items)
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    table.add_column("", style="dim", no_wrap=True, min_width=_LABEL, justify="right")
    for name in ("users", "items"):
        table.add_column(name, justify="right", no_wrap=True, min_width=8)
        table.add_column("", no_wrap=True, min_width=_BAR)
    names = {*users.buckets, *items.buckets}
    for name in sorted(names, key=lambda bucket: int(bucket.rstrip("+").split("-")[0])):
        cells: list[str] = []
        for lengths in both:
            held, most = lengths.buckets.get(name, 0), max(lengths.buckets.values())
            cells += [f"{held:,}", bar * max(round(held / most * _BAR), 1 if held else 0)]
        table.add_row(name, *cells)
    table.add_section()
    summary: list[tuple[str, list[float]]] = [
        ("median", [lengths.median for lengths in both]),
        ("mean", [lengths.mean for lengths in both]),
        ("95% up to", [lengths.p95 for lengths in both]),
        ("most", [lengths.longest for lengths in both]),
    ]
    for label, values in summary:
        table.add_row(label, _number(values[0]), "", _number(values[1]), "")
    return table


def _text(columns: Iterable[TextColumn]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    table.add_column("", style="dim", no_wrap=True, min_width=_LABEL)
    for name in ("has text", "characters", "95%", "words", "95%", "with HTML", "distinct"):
        table.add_column(name, justify="right", no_wrap=True)
    for column in columns:
        lengths = [*(column.chars or ()), *(column.words or ())]
        cells = [_number(length) for length in lengths] or [""] * 4
        shares = (column.markup, column.distinct) if column.chars else ()
        table.add_row(
            column.name, f"{column.coverage:.1%}", *cells, *(f"{share:.1%}" for share in shares)
        )
    return table


def _queries(groups: Iterable[Queries]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    table.add_column("", style="dim", no_wrap=True, min_width=_LABEL)
    for name in ("queries", "words", "judged each", "relevant each"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups:
        judged, relevant = f"{group.judged:.1f}", f"{group.relevant:.1f}"
        table.add_row(group.group, f"{group.n:,}", _number(group.words), judged, relevant)
    return table


def _splits(views: Iterable[SplitView]) -> Iterator[tuple[str, str]]:
    """A fact per split; tasks that are split alike share one."""
    alike = groupby(views, key=lambda view: (view.kind, view.leakage, view.problem))
    for (kind, leak, problem), group in alike:
        tasks = ", ".join(view.task for view in group)
        if leak is None:
            told = problem or "tastebench data check makes the rows and says what parts they are in"
            yield tasks, f"{kind}: {told}"
            continue
        sizes = ", ".join(f"{n:,} {part}" for part, n in leak.counts.items() if n)
        shares = {
            "of train later than the first test event": leak.future,
            "of test users unseen": leak.cold_users,
            "of test items unseen": leak.cold_items,
            "of test pairs also in train": leak.repeated,
            "of test tied with an earlier event": leak.tied,
        }
        told = "; ".join(f"{share:.1%} {what}" for what, share in shares.items() if share)
        yield tasks, f"{leak.sentence}\n{sizes}" + (f"\n{told}" if told else "")


def _source(description: Description) -> Iterator[tuple[str, str]]:
    card = description.card
    facts = {
        "from": card.source,
        "made": description.made,
        "licence": card.licence,
        "cite": card.citation,
        "language": card.language,
        "generator": card.generator,
    }
    yield from ((label, value) for label, value in facts.items() if value)
    if card.seen_on == "format":
        yield "reader", "tried on files of this format, not on the release itself"
    yield from (("note", note) for note in card.notes)
    yield "fingerprint", description.fingerprint


def _number(value: float) -> str:
    """Whole numbers plainly, others with one digit."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
