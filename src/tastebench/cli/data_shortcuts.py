"""What `tastebench data check --shortcuts` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tastebench.cli.data import console
from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.data.shortcut_facts import Shortcuts


def look_for_shortcuts(dataset: Dataset, as_json: bool) -> dict[str, Any]:
    """Measures the shortcuts under the dataset's default split, and prints them unless `as_json`.

    Raises:
        UsageError: The dataset has no sequences, or nothing is asked of a history.
    """
    from tastebench.data.shortcuts import find_shortcuts

    found = find_shortcuts(dataset)
    if found is None:
        raise UsageError(
            f"no test event of {dataset.name} has a history to walk from",
            fix="prepare the data with longer users",
        )
    if not as_json:
        terminal = console()
        terminal.print(Text(f"Shortcuts of {dataset.name}", style="bold"))
        terminal.print(shortcut_table(found))
        terminal.print(Text(found.sentence))
        terminal.print()
    return found.to_dict()


def shortcut_table(found: Shortcuts) -> Table:
    """A line per measure, under the shortcut it tells of."""
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("")
    table.add_column("", justify="right", no_wrap=True)
    sections = (
        ("few successors", _successors(found)),
        ("like content", _content(found)),
        ("short memory", _memory(found)),
    )
    for name, lines in sections:
        mark = "yes" if name in found.found else "no" if lines else "no text"
        table.add_row(name, "", mark, style="bold")
        for what, value in lines:
            table.add_row("", what, value)
    return table


def _successors(found: Shortcuts) -> list[tuple[str, str]]:
    known = found.branching
    lines = []
    if known.successors is not None and known.observed is not None:
        lines.append(("effective number of successors of a last item", f"{known.successors:.1f}"))
        lines.append(("of so many transitions out of it in training", f"{known.observed:.1f}"))
    lines.append(("last items that nothing follows", f"{known.without:.1%}"))
    for hops, reach in found.hops.items():
        told = f"{hops} hop{'s' * (hops != '1')}"
        lines.append((f"answers within {told}", f"{reach.share:.1%}"))
        lines.append((f"candidates within {told}", f"{reach.candidates:,.0f}"))
        lines.append((f"answers there by popularity, within {told}", f"{reach.chance:.1%}"))
    return lines


def _content(found: Shortcuts) -> list[tuple[str, str]]:
    content = found.content
    if content is None:
        return []
    return [
        ("AUC of following pairs, by TF-IDF", f"{content.auc:.3f}"),
        ("median place of the next item by likeness", f"{content.rank:.1%} of the catalogue"),
        ("next item among the ten most like", f"{content.hit:.1%}"),
    ]


def _memory(found: Shortcuts) -> list[tuple[str, str]]:
    lines = []
    for name, reached in found.windows.items():
        items = {"1": "last item", "all": "last 50 items"}.get(name, f"last {name} items")
        lines.append((f"answers one hop from the {items}", f"{reached:.1%}"))
        lines.append((f"hit@10 of a walk from the {items}", f"{found.hits.windows[name]:.2%}"))
    return [*lines, ("hit@10 of popularity", f"{found.hits.popularity:.2%}")]
