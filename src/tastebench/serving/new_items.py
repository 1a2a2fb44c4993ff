"""Items that came after a model was trained, in the forms that it reads.

What was learnt of the dataset's items stays: PCA, the words of a vocabulary, codebooks. A model
that knows an item by who took it, or learnt an embedding for each, has nothing to say of a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tastebench.build.printable import printable
from tastebench.contracts import Items
from tastebench.data.text import clean, item_texts
from tastebench.errors import DataError, UsageError, counted, did_you_mean
from tastebench.runs.material import item_columns

if TYPE_CHECKING:
    from tastebench.serving.ground import Ground
    from tastebench.serving.loaded import Loaded

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items that are not the dataset's.

    Attributes:
        frame: `item_id`, and the columns that text is made of.
        titles: One a row, safe to print.
    """

    frame: pl.DataFrame
    titles: pl.Series

    @property
    def ids(self) -> pl.Series:
        """Their ids."""
        return self.frame["item_id"]


def read_items(items: pl.DataFrame | Sequence[Mapping[str, Any]], loaded: Loaded) -> NewItems:
    """New items as a table like the dataset's, checked.

    Raises:
        UsageError: No such columns, or an id that is there already or twice.
        DataError: An item without any text.
    """
    dataset = loaded.dataset
    given = items if isinstance(items, pl.DataFrame) else pl.DataFrame(list(items))
    old = dataset.tables.items
    if "item_id" not in given.columns or not len(given):
        raise UsageError(
            "new items need an item_id each", fix='[{"item_id": "new-1", "title": "..."}]'
        )
    for name in given.columns:
        if name not in old.columns:
            raise UsageError(
                f"items of {dataset.name} have no column {name!r}: "
                f"{did_you_mean(name, old.columns)}"
            )
    frame = given.with_columns(pl.col("item_id").cast(pl.String))
    twice = frame["item_id"].filter(frame["item_id"].is_duplicated())
    taken = frame["item_id"].filter(frame["item_id"].is_in(old["item_id"].implode()))
    for ids, why in ((twice, "twice among the new items"), (taken, f"in {dataset.name} already")):
        if len(ids):
            shown = ", ".join(repr(one) for one in ids.unique(maintain_order=True)[:_SHOWN])
            raise UsageError(f"ids of new items stand {why}: {shown}")
    whole = pl.concat([old.clear(), _as(old, frame)], how="diagonal")
    text = ("title", *dataset.card.text_columns)
    first = next((column for column in text if column in whole.columns), None)
    titles = whole[first].fill_null("") if first else pl.Series([""] * len(whole))
    return NewItems(whole, printable(clean(titles)).alias("title"))


def _as(old: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    try:
        return frame.cast({name: old.schema[name] for name in frame.columns})
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"new items do not fit the table of items: {error}") from error


def add(new: NewItems, loaded: Loaded) -> Ground:
    """The ground of a model with new items after those it knew.

    Raises:
        UsageError: The model knows items by who took them.
        DataError: Their texts cannot be encoded.
    """
    ground, spec = loaded.ground, loaded.record.spec
    _refuse(loaded)
    words = item_texts(
        new.frame,
        spec.text_recipe or ground.dataset.card.text_recipe,
        ground.dataset.card.text_columns,
    )
    empty = [one for one, text in zip(new.ids, words, strict=True) if not text.strip()]
    if empty:
        raise DataError(
            f"{counted(len(empty), 'new item')} without text: {empty[0]!r}",
            fix=f"give them {' or '.join(ground.dataset.card.text_columns)}",
        )
    old, vectors = ground.items, None
    forms: dict[str, Any] = {"n": old.n + len(new.frame), "known": old.n}
    if spec.encoder is not None:
        vectors = _encoded(words, loaded)
    if old.vector is not None:
        assert vectors is not None
        forms["vector"] = np.concatenate([old.vector, vectors])
    if old.text is not None:
        forms["text"] = [*old.text, *words]
        forms["columns"] = _columns(new, loaded)
    if old.code is not None:
        forms["code"] = _coded(vectors, len(new.frame), old, loaded)
    problem = replace(ground.problem, n_items=old.n + len(new.frame))
    return replace(ground, items=replace(old, **forms), problem=problem)


def _refuse(loaded: Loaded) -> None:
    forms, name = set(loaded.record.spec.forms), loaded.card.name
    if loaded.record.spec.task not in ("seqrec", "cf", "ctr"):
        raise UsageError(f"a record of {loaded.record.spec.task} takes no new items")
    if "id" in forms or not forms & {"vector", "text", "code"}:
        raise UsageError(
            f"{name}({loaded.record.spec.representation}) knows items by who took them, so it can "
            "say nothing of one that nobody took yet",
            fix="a record of a model over text or vectors (unisrec, alpharec, graph-walk with "
            "vectors), or run it again with the new items in the data",
        )
    if "side" in forms:
        raise UsageError(f"{name} reads attributes, and those of new items are not read yet")


def _encoded(words: list[str], loaded: Loaded) -> np.ndarray:
    """Texts of new items through the run's encoder, float32 `[m, d]`."""
    from tastebench.encoders.check import check_vectors

    encoder, spec = loaded.ground.encoder, loaded.record.spec
    if encoder is None:
        raise DataError(
            f"the encoder {spec.encoder} is not here to encode new items",
            fix="load(record, encoder=FOLDER)",
        )
    if encoder.card.control is not None:
        raise UsageError(f"{spec.encoder} is a control: its vectors do not come from text alone")
    return check_vectors(encoder.encode(words, "item"), words, encoder.card.name)


def _columns(new: NewItems, loaded: Loaded) -> dict[str, list[str]]:
    """The text columns of all items, cleaned alike."""
    dataset = loaded.dataset
    tables = replace(dataset.tables, items=new.frame)
    of_new = item_columns(replace(dataset, tables=tables), loaded.record.spec.text_recipe)
    return {
        name: [*texts, *of_new[name]] for name, texts in (loaded.ground.items.columns or {}).items()
    }


def _coded(vectors: np.ndarray | None, m: int, old: Items, loaded: Loaded) -> np.ndarray:
    """Codes of all items: new ones by the codebooks that there are."""
    from tastebench.items.semantic_ids.ids import add_items

    codes = loaded.ground.codes
    assert codes is not None and old.code is not None
    if codes.quantiser is None:
        raise UsageError("codes were drawn, so that those of a new item would say nothing")
    assert vectors is not None
    found = add_items(codes, vectors).values
    width = old.code.shape[1]
    if found.shape[1] != width or (found.max(axis=0) > old.code.max(axis=0)).any():
        raise UsageError(
            "a new item has codes that no item had when the model was trained, or shares its path "
            "with too many",
            fix="run the model again with the new items in the data, or make codes with more "
            "levels or ties: always",
        )
    return found
