"""A user's own files to a dataset: what they mean is worked out, said, and written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tastebench import files
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder, is_public
from tastebench.data.cells import (
    ImportOptions,
    Understood,
    as_texts,
    interactions_table,
    items_table,
    relevance_table,
    text_columns,
    unique_rows,
)
from tastebench.data.click_notes import understood_clicks
from tastebench.data.dataset import Dataset
from tastebench.data.impression_cells import clicks_of, histories_table, impressions_table
from tastebench.data.mapping import Mapped, check_map, map_columns
from tastebench.data.schema import Tables
from tastebench.data.tables_io import RawTable, read_table
from tastebench.data.tidy import tidy
from tastebench.errors import UsageError


def import_dataset(  # noqa: PLR0913 - a file each
    name: str,
    items: Path,
    interactions: Path | None = None,
    mapping: Mapping[str, str] | None = None,
    text: Sequence[str] = (),
    *,
    impressions: Path | None = None,
    histories: Path | None = None,
    queries: Path | None = None,
    relevance: Path | None = None,
    options: ImportOptions | None = None,
) -> Dataset:
    """Reads a user's files as a dataset; nothing is saved (see `save_imported`).

    Args:
        name: What to call it.
        items: One row per item.
        interactions: One row per click, purchase, rating, ...
        mapping: Meaning to column, e.g. `{"user": "uid", "item": "sku", "time": "ts"}`; a meaning
            may be confined to a file: `{"items.item": "sku", "interactions.item": "product"}`.
            Columns that are named as in `tastebench.data.schema` need none.
        text: Item columns that hold text, in order; without it title and description, if there.
        impressions: One row per item shown: who to, and clicked or not. Without interactions the
            clicks are them.
        histories: One row per user: what they had taken before all impressions.
        queries: One row per search query.
        relevance: Which items answer which query.
        options: How to read the files.

    Returns:
        The dataset; `manifest["import"]` says how the files were understood, what was dropped and
        why, with row numbers.

    Raises:
        UsageError: A name or option cannot be meant.
        DataError: A file cannot be read or is not what it should be.
    """
    options = options or ImportOptions()
    mapping = dict(mapping or {})
    check_name(name)
    given = {
        "items": items,
        "interactions": interactions,
        "impressions": impressions,
        "histories": histories,
        "queries": queries,
        "relevance": relevance,
    }
    _check_given(given)
    read = {
        table: read_table(
            path,
            encoding=options.encoding,
            delimiter=options.delimiter,
            bad_rows=options.bad_rows,
        )
        for table, path in given.items()
        if path is not None
    }
    check_map(mapping, read)
    understood = Understood()
    mapped = {table: map_columns(table, raw, mapping) for table, raw in read.items()}
    for table, raw in read.items():
        understood.files[table] = _described(raw, mapped[table])
        understood.drop(f"unreadable rows of {table}", np.array(raw.skipped, dtype=np.int64))

    catalogue = items_table(mapped["items"], options, understood)
    columns = text_columns(mapped["items"], catalogue, text)
    catalogue = as_texts(catalogue, columns, understood, str(items))
    tables = Tables(
        items=catalogue,
        interactions=interactions_table(mapped["interactions"], options, understood)
        if interactions
        else None,
        impressions=impressions_table(mapped["impressions"], options, understood)
        if impressions
        else None,
        histories=histories_table(mapped["histories"], catalogue["item_id"], options, understood)
        if histories
        else None,
        queries=unique_rows(mapped["queries"], "query_id", options, understood)
        if queries
        else None,
        relevance=relevance_table(mapped["relevance"], understood) if relevance else None,
    )
    tables, repairs = tidy(tables, name)
    if tables.impressions is not None:
        clicks = clicks_of(tables.impressions, str(impressions), unordered=options.unordered)
        if tables.interactions is None:
            tables = replace(tables, interactions=clicks)
            understood.notes.append(
                f"interactions are the {len(clicks):,} clicks of the impressions, as no "
                "--interactions were given"
            )
    card = _card(name, tables, columns, options, understood)
    dataset = Dataset.create(card, tables)
    rows, notes = understood_clicks(dataset)
    understood.notes += notes
    if rows:
        dataset = replace(dataset, card=card.model_copy(update={"tasks": (*card.tasks, "ctr")}))
    return replace(dataset, manifest={"import": vars(understood), "repairs": repairs})


def _check_given(given: Mapping[str, Path | None]) -> None:
    """Refuses files that make no dataset, or do not without others.

    Raises:
        UsageError: Says which are missing.
    """
    if all(given[table] is None for table in ("interactions", "impressions", "relevance")):
        raise UsageError(
            "there is nothing to recommend from: neither interactions nor impressions nor "
            "relevance were given",
            fix="give --interactions FILE, --impressions FILE, or --queries FILE with "
            "--relevance FILE",
        )
    if (given["queries"] is None) != (given["relevance"] is None):
        raise UsageError("queries and relevance go together", fix="give both files or neither")
    if given["histories"] is not None and given["impressions"] is None:
        raise UsageError(
            "histories are what users had taken before impressions, and there are none",
            fix="give --impressions FILE, or the histories as --interactions, a row an item",
        )


def save_imported(dataset: Dataset, *, replace: bool = False) -> Path:
    """Keeps an imported or prepared dataset under its name, atomically; returns its folder.

    Raises:
        UsageError: There is one of that name already, and `replace` is False.
    """
    folder = place_for(dataset.name, replace=replace)
    dataset.save(folder)
    return folder


def place_for(name: str, *, replace: bool = False) -> Path:
    """Where an imported or prepared dataset of this name is to lie.

    Raises:
        UsageError: No dataset of the user's can have the name, or one has it already and `replace`
            is False.
    """
    check_name(name)
    folder = datasets_folder() / name
    if folder.exists() and not replace:
        raise UsageError(
            f"there is already a dataset {name}",
            where=str(folder),
            fix="choose another name, or replace it with --replace",
        )
    return folder


def check_name(name: str) -> None:
    """Refuses names that a dataset of the user's cannot have.

    Raises:
        UsageError: Not lower-case letters, digits, dots, dashes; or the name of a public dataset.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "my-shop"
        raise UsageError(
            f"{name!r} cannot name a dataset: lower-case letters, digits, '.', '_' and '-' only",
            fix=f"--name {plain}",
        )
    if is_public(name):
        raise UsageError(f"{name} is the name of a public dataset", fix=f"--name my-{name}")


# ----------------------------------------------------------------------------------- what was done


def _described(raw: RawTable, mapped: Mapped) -> dict[str, Any]:
    return {
        "path": raw.path.name,
        "sha256": files.hash_file(raw.path),
        **raw.how,
        "rows": len(raw.frame) + len(raw.skipped),
        "columns": {name: mapped.source(name) for name in mapped.canonical},
        "unused": list(mapped.unused),
    }


def _card(
    name: str,
    tables: Tables,
    columns: tuple[str, ...],
    options: ImportOptions,
    understood: Understood,
) -> DatasetCard:
    tasks: list[str] = []
    if tables.interactions is not None:
        tasks += ["cf"] if options.unordered else ["seqrec", "cf"]
    if tables.relevance is not None:
        tasks.append("search")
    return DatasetCard(
        name=name,
        title=name,
        summary="Imported from " + ", ".join(f["path"] for f in understood.files.values()),
        language=options.language,
        tasks=tuple(tasks),
        text_columns=columns,
        text_recipe="all-text",
        seen_on="user",
    )
