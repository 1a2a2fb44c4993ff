"""Written queries as a dataset of their own: queries, answers and the items to search in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tastebench.build.queries import Decision, Draft, account
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset, is_dataset, read_about
from tastebench.data.declare import interactions_of
from tastebench.data.importer import check_name
from tastebench.data.pool import sample_pool
from tastebench.data.provenance import QUERIES, Provenance, rows_used
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError, counted, did_you_mean
from tastebench.files import write_json, write_text
from tastebench.training.seeds import generator

PER_TARGET = 50
"""Other items of its category that are drawn for each right answer."""
CATEGORIES = ("category", "main_category", "categories")
"""Item columns that may hold an item's category, the first there is."""
GROUP = "complex"


def check_place(draft: Draft, name: str, category: str | None, *, replace: bool) -> None:
    """Refuses, before anything is paid for, what could not be packed afterwards.

    A dataset that was packed of the same draft may be packed again.

    Raises:
        UsageError: The name cannot be had, or the items have no such column.
    """
    check_name(name)
    _category(draft.dataset, category)
    folder = dataset_folder(name)
    if folder.exists() and not replace and not _is_of(folder, draft):
        raise UsageError(
            f"there is already a dataset {name}",
            where=str(folder),
            fix="choose another name with --name, or replace it with --replace",
        )


def _is_of(folder: Path, draft: Draft) -> bool:
    built = read_about(folder)["manifest"].get("built", {}) if is_dataset(folder) else {}
    return bool(built.get("artefact") == draft.hash)


def pack_queries(
    draft: Draft,
    decisions: Sequence[Decision],
    name: str,
    made_by: str,
    category: str | None = None,
) -> Dataset:
    """The dataset `name`: one query a kept review, its item the one right answer.

    Items to search in are `PER_TARGET` of its category for each right answer, or the whole
    catalogue where that is no larger or there is no category.

    Args:
        draft: What was written.
        decisions: On each of its reviews, all decided.
        name: Of the dataset.
        made_by: The model and where it was asked.
        category: Item column with the category; None takes the first of `CATEGORIES`.

    Raises:
        DataError: No query was kept; says why.
        UsageError: The items have no such column.
    """
    counts = account(draft, list(decisions))
    kept = np.array([at for at, d in enumerate(decisions) if d.query is not None], dtype=np.int64)
    if not len(kept):
        told = "; ".join(f"{n:,} {kind}" for kind, n in counts["dropped_for"].items())
        raise DataError(
            f"none of {counted(len(decisions), 'review')} became a query; the answers' faults: "
            f"{told}",
            where=str(draft.kept),
            fix="read some answers there, and choose a model that can follow instructions",
        )
    source = draft.dataset
    ids = [str(i) for i in range(len(kept))]
    queries = pl.DataFrame(
        {"query_id": ids, "text": [decisions[at].query for at in kept], "group": GROUP}
    )
    relevance = pl.DataFrame({"query_id": ids, "item_id": draft.drawn["item_id"][kept]})
    pool, how = _pool(draft, draft.row[kept], category)
    counts["items"] = len(pool)
    made = _provenance(draft, kept, made_by)
    built = {
        "kind": made.kind,
        "artefact": draft.hash,
        "from": source.name,
        "made_by": made_by,
        "prompt_name": f"{draft.prompt.name}-v{draft.prompt.version}",
        "settings": draft.settings,
        "pool": how,
        "counts": counts,
    }
    dataset = Dataset.create(
        _card(source.card, name, built),
        Tables(items=source.tables.items[pool], queries=queries, relevance=relevance),
        {"built": built},
    )
    # What the items' own texts were made from must stay comparable with what the queries were.
    items = (
        replace(p, rows=rows_used(p, source), source=source.fingerprint) for p in source.provenance
    )
    return replace(dataset, provenance=(*items, made))


def keep_artefact(draft: Draft, decisions: Sequence[Decision], dataset: Dataset) -> None:
    """Writes `queries.jsonl`, in the fields of Amazon-C4's release, and `provenance.json`."""
    written = [(at, d.query) for at, d in enumerate(decisions) if d.query is not None]
    drawn = draft.drawn
    lines = []
    for qid, (at, query) in enumerate(written):
        review = drawn.row(at, named=True)
        record = {"qid": qid, "query": query, "item_id": review["item_id"]}
        record |= {"user_id": review.get("user_id"), "ori_rating": review.get("rating")}
        lines.append(json.dumps({**record, "ori_review": review["text"]}, ensure_ascii=False))
    write_text(draft.folder / "queries.jsonl", "".join(line + "\n" for line in lines))
    [made] = [p for p in dataset.provenance if QUERIES in p.fields]
    about = {**made.describe(), **dataset.manifest["built"], "dataset": dataset.fingerprint}
    write_json(draft.folder / "provenance.json", about)


def _pool(draft: Draft, target: np.ndarray, category: str | None) -> tuple[np.ndarray, str]:
    """Items rows to search in, ascending, and in words how they were chosen."""
    items = draft.dataset.tables.items
    column = _category(draft.dataset, category)
    whole = np.arange(len(items))
    if column is None:
        return whole, "the whole catalogue: the items have no category"
    if len(items) <= (PER_TARGET + 1) * len(target):
        return whole, f"the whole catalogue: no larger than {PER_TARGET + 1} items a query"
    series = items[column]
    if isinstance(series.dtype, pl.List):
        series = series.list.first()  # a path of categories begins with the widest
    code = series.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    rng = generator(draft.settings["seed"], "pool")
    return sample_pool(target, code, PER_TARGET, rng), f"{PER_TARGET} items of its {column} a query"


def _category(dataset: Dataset, given: str | None) -> str | None:
    """The column with the category of items; None where there is none."""
    columns = dataset.tables.items.columns
    if given is not None and given not in columns:
        known = [c for c in columns if c != "item_id"]
        raise UsageError(
            f"--category {given}: the items have no such column (found: {', '.join(known)})",
            fix=did_you_mean(given, known),
        )
    return given or next((c for c in CATEGORIES if c in columns), None)


def _provenance(draft: Draft, kept: np.ndarray, made_by: str) -> Provenance:
    used, source = draft.drawn[kept], draft.dataset
    rows = None
    if source.tables.interactions is not None and "user_id" in used.columns:
        # By pair, whatever the time: rather one interaction too many than one too few.
        rows, found = interactions_of(source, used.select("user_id", "item_id"))
        if not found.any():
            rows = (
                None  # users have other names there, so which interactions these are is not known
            )
    last: Any = used["time"].max() if "time" in used.columns else None
    return Provenance(
        kind="complex queries",
        fields=(QUERIES,),
        made_by=made_by,
        source=source.fingerprint,
        prompt=draft.prompt.hash,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cutoff=None if last is None else int(last) + 1,
        rows=rows,
    )


def _card(card: DatasetCard, name: str, built: dict[str, Any]) -> DatasetCard:
    kept, drawn = built["counts"]["kept"], built["counts"]["drawn"]
    return DatasetCard(
        name=name,
        title=f"{card.title}: needs in words",
        summary=f"{kept:,} queries that a model wrote from {drawn:,} reviews; {built['pool']}.",
        source=card.source,
        licence=card.licence,
        citation=card.citation,
        language=card.language,
        tasks=("search",),
        text_columns=card.text_columns,
        text_recipe=card.text_recipe,
        seen_on="user",
        notes=(*card.notes, f"Queries by {built['made_by']}, prompt {built['prompt_name']}."),
    )
