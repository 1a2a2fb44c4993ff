"""What `tastebench data import`, `data prepare` and `data check` say: stderr, then the result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tastebench.data.click_parts import CutClicks
    from tastebench.data.dataset import Dataset


def say(line: str) -> None:
    """A line on stderr."""
    typer.echo(line, err=True)


def understood(dataset: Dataset) -> list[str]:
    """What an import took the files for, a line each."""
    found = dataset.manifest["import"]
    lines = []
    for table, file in found["files"].items():
        columns = ", ".join(
            f"{name} = {column}" if name != column else name
            for name, column in file["columns"].items()
        )
        lines.append(
            f"{table}: {file['path']}, {file['rows']:,} rows ({file['format']}); {columns}"
        )
        if file["unused"]:
            lines.append(f"  not used: {', '.join(file['unused'])}")
    if found["time_unit"] and found["time_unit"] != "order":
        lines.append(f"time: read as {_UNITS[found['time_unit']]}")
    lines += [f"note: {note}" for note in found["notes"]]
    for column, text in found["text"].items():
        html = f", {text['with_html']:,} with HTML (left out of item texts)"
        lines.append(
            f"text: {column} in {text['share']:.1%} of items, median {text['median_characters']} "
            f"characters{html if text['with_html'] else ''}"
        )
    for reason, dropped in found["dropped"].items():
        rows = ", ".join(f"{row:,}" for row in dropped["first"])
        lines.append(f"dropped: {reason}: {dropped['rows']:,} (row {rows}{_more(dropped)})")
    lines += [f"note: {reason}: {rows:,}" for reason, rows in dataset.manifest["repairs"].items()]
    return [*lines, f"tasks: {', '.join(dataset.card.tasks)}"]


_UNITS = {
    "s": "seconds since 1970",
    "ms": "milliseconds since 1970",
    "us": "microseconds since 1970",
    "ns": "nanoseconds since 1970",
    "date": "dates, UTC where they name no zone",
}


def _more(dropped: dict[str, Any]) -> str:
    return ", ..." if dropped["rows"] > len(dropped["first"]) else ""


def shares(leaks: dict[str, Any]) -> str:
    """The shares of a `Leakage` that are known, in brackets."""
    names = {
        "future": "train events after the first test event",
        "cold_users": "test users not in train",
        "cold_items": "test items not in train",
        "repeated": "test pairs in train",
    }
    told = [f"{leaks[key]:.1%} of {what}" for key, what in names.items() if leaks[key] is not None]
    return "(" + "; ".join(told) + ")"


def told_parts(clicks: CutClicks) -> list[str]:
    """What each part of labelled rows holds, a line each."""
    lines = []
    for name, part in clicks.parts.items():
        told = f"{name} has {part.rows:,} rows"
        if part.rows:
            told += (
                f", {part.clicked / part.rows:.1%} clicked, of {part.users:,} users, "
                f"{part.one_class_users:,} of them with one class alone"
            )
        if part.lists:
            told += (
                f"; {part.lists:,} lists of median {part.median_list:g} rows, "
                f"{part.one_class_lists:,} of one class"
            )
        if part.rows:
            told += f"; {part.empty_history:.1%} of rows have an empty history"
        lines.append(told)
    return lines


def finish(dataset: Dataset, folder: Path | None, as_json: bool, **more: Any) -> None:
    """The result on stdout: one JSON object, or a line and what to do next."""
    rows = {table: len(frame) for table, frame in dataset.tables.frames()}
    about = {
        "card": {"name": dataset.name, "tasks": list(dataset.card.tasks)},
        "fingerprint": dataset.fingerprint,
        "rows": rows,
        "manifest": dataset.manifest,
    }
    finish_saved(about, dataset.n_users, folder, as_json, **more)


def finish_saved(
    about: Mapping[str, Any], users: int, folder: Path | None, as_json: bool, **more: Any
) -> None:
    """The same of a dataset whose tables nobody reads.

    Args:
        about: What its `dataset.json` says.
        users: Users with interactions.
        folder: Where it lies, if it was kept.
        as_json: One JSON object.
        **more: What it has besides.
    """
    name, rows = about["card"]["name"], about["rows"]
    shown = {"impressions": rows["impressions"]} if "impressions" in rows else {}
    summary = {
        "name": name,
        "folder": str(folder) if folder else None,
        "fingerprint": about["fingerprint"],
        "items": rows["items"],
        "users": users,
        "interactions": rows.get("interactions", 0),
        **shown,
        "tasks": about["card"]["tasks"],
        "manifest": about["manifest"],
        **more,
    }
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    told = "".join(f", {n:,} impressions" for n in shown.values())
    typer.echo(
        f"{name}: {summary['items']:,} items, {users:,} users, "
        f"{summary['interactions']:,} interactions{told}; fingerprint {about['fingerprint'][:12]}"
    )
    if folder:
        typer.echo(f"next: tastebench data show {name}", err=True)
