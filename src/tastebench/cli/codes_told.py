"""Semantic ids in the terminal: how good they are, and what lies next to what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from tastebench.build.codes_facts import LEVEL_COLUMNS, facts, level_cells, sentence
from tastebench.build.codes_view import CodesView, Group
from tastebench.build.printable import printed
from tastebench.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

_GROUPS, _ROWS = 5, 4
"""Largest groups that share a path, and items shown of each."""
_CHILDREN, _UNDER = 12, 20
"""Of a prefix: codes that follow, and items."""


# ------------------------------------------------------------------------------------- build codes


def report(view: CodesView) -> dict[str, Any]:
    """What `print_report` shows, as JSON values."""
    return {
        **view.artefact.about,
        "folder": str(view.artefact.folder),
        "collisions": [_group(view, group) for group in view.collisions(_ROWS, _GROUPS)],
        "prefixes": [_group(view, group) for group in view.examples()],
    }


def print_report(view: CodesView, console: Console) -> None:
    """What they are, how good they are, and what the codes put together."""
    about = view.artefact.about
    name = printed(about["dataset"]["name"])
    console.print(
        Text.assemble((f"Semantic ids of {name}", "bold"), f"  {view.artefact.hash[:12]}")
    )
    console.print(Text(sentence(about)))
    console.print(_levels(about["quality"].get("levels", [])))
    told = facts(about["quality"])
    width = max((len(label) for label, _ in told), default=0)
    for label, value in told:
        console.print(Text.assemble((f"{label:<{width}}  ", "dim"), value))
    groups = view.collisions(_ROWS, _GROUPS)
    if groups:
        _title(console, "Largest groups with one path, told apart by a code more")
        for group in groups:
            _print_group(view, console, group)
    examples = view.examples()
    if examples:
        _title(console, "Items by how their paths begin")
    for group in examples:
        _print_group(view, console, group, indent=2 * (len(group.prefix) - 1))


# ----------------------------------------------------------------------------------------- inspect


def item_report(view: CodesView, row: int) -> dict[str, Any]:
    """What `print_item` shows, as JSON values."""
    near = [_group(view, group) for group in view.neighbours(row, _UNDER)]
    return {"item": view.item(row), "neighbours": near}


def print_item(view: CodesView, row: int, console: Console) -> None:
    """An item's path, and per length of prefix who shares so much of it and no more."""
    console.print(
        Text.assemble((view.title(row) or view.names[row], "bold"), f"  {view.names[row]}")
    )
    console.print(Text(f"path  {'-'.join(map(str, view.path(row)))}"))
    for group in view.neighbours(row, _ROWS + 1):
        head = Text.assemble("\n", (_path(group.prefix), "bold"), f"  {_sharing(view, group)}")
        console.print(head)
        _rows(view, console, group, 2)


def _sharing(view: CodesView, group: Group) -> str:
    """How many share so much, in words: `2 others share the first 3 codes and no more`."""
    length = len(group.prefix)
    who = f"{counted(group.n, 'other')} share" if group.n > 1 else "1 other shares"
    what = "the first code" if length == 1 else f"the first {length} codes"
    if length == view.levels:
        what = "the whole path"
    elif group.n:
        what += " and no more"
    else:
        what = f"just {what}"
    return f"{who if group.n else 'no other shares'} {what}"


def prefix_report(view: CodesView, prefix: tuple[int, ...]) -> dict[str, Any]:
    """What `print_prefix` shows, as JSON values."""
    children = view.children(prefix, _ROWS, _CHILDREN)
    return {
        **_group(view, view.group(prefix, _UNDER)),
        "children": [_group(view, group) for group in children],
    }


def print_prefix(view: CodesView, prefix: tuple[int, ...], console: Console) -> None:
    """The items under a prefix, by the code that follows."""
    group = view.group(prefix, _UNDER)
    console.print(Text.assemble((_path(prefix), "bold"), f"  {counted(group.n, 'item')}"))
    children = view.children(prefix, _ROWS, _CHILDREN)
    if len(children) < 2:
        _rows(view, console, group, 2)
        return
    for child in children:
        _print_group(view, console, child, indent=2)
    left = group.n - sum(child.n for child in children)
    if left:
        console.print(Text(f"  and {counted(left, 'item')} under other codes", style="dim"))


# ------------------------------------------------------------------------------------------- parts


def _levels(levels: Sequence[dict[str, Any]]) -> Table:
    """A line a level; columns of which nothing is known are left out."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [level_cells(level) for level in levels]
    known = [any(row[i] for row in cells) for i in range(len(LEVEL_COLUMNS))]
    for name in ("level", *compress(LEVEL_COLUMNS, known)):
        table.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(cells, start=1):
        table.add_row(str(number), *compress(row, known))
    return table


def _print_group(view: CodesView, console: Console, group: Group, indent: int = 0) -> None:
    head = Text.assemble(
        " " * indent, (_path(group.prefix), "bold"), f"  {counted(group.n, 'item')}"
    )
    console.print(head)
    _rows(view, console, group, indent + 2)


def _rows(view: CodesView, console: Console, group: Group, indent: int) -> None:
    """A line an item, its title cut so that the id is on it too; then how many more there are."""
    for row in group.rows:
        name, title = view.names[row], Text(view.title(row))
        if view.titles is not None and not title:
            title = Text("(no title)")
        title.truncate(max(console.width - indent - cell_len(name) - 2, 10), overflow="ellipsis")
        gap = "  " if title else ""
        console.print(Text.assemble(" " * indent, title, gap, (name, "dim")), soft_wrap=True)
    more = group.n - len(group.rows)
    if more:
        console.print(Text(f"{' ' * indent}... and {more:,} more", style="dim"))


def _title(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _group(view: CodesView, group: Group) -> dict[str, Any]:
    return {
        "prefix": list(group.prefix),
        "n": group.n,
        "items": [view.item(row) for row in group.rows],
    }


def _path(prefix: Sequence[int]) -> str:
    return "-".join(map(str, prefix))
