"""What an import understood of clicks: where click prediction gets its rows, or why it has none."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from tastebench.data.card import RowsSpec
from tastebench.data.dataset import Dataset
from tastebench.data.labelled import default_rows, in_order


def understood_clicks(dataset: Dataset) -> tuple[bool, list[str]]:
    """Whether a dataset says what was shown and not clicked, and what it was taken for.

    Args:
        dataset: As imported.

    Returns:
        True where it has impressions, labels of both kinds, or ratings on both sides of the
        threshold; and sentences about them.
    """
    rows, tables = default_rows(dataset), dataset.tables
    has = rows.source != "sampled"
    if tables.impressions is not None:
        return has, list(_of_impressions(dataset, tables.impressions))
    if tables.interactions is None:
        return has, []
    return has, list(_of_interactions(tables.interactions, rows, has))


def _of_impressions(dataset: Dataset, shown: pl.DataFrame) -> Iterator[str]:
    lists = shown["impression_id"].n_unique()
    rate = float(shown["label"].to_numpy().mean())
    yield f"ctr: {len(shown):,} impressions in {lists:,} lists, {rate:.1%} clicked"
    if dataset.tables.histories is not None:
        return
    nobody = "nobody has a history in ctr: there are no --histories, and"
    taken = dataset.tables.interactions
    if not shown["time"].null_count():
        if taken is None or taken["time"].null_count():
            yield f"{nobody} the interactions have no times that say what came before a list"
    elif in_order(dataset):
        yield "without times a user's history in ctr is what they clicked in earlier lists"
    else:
        yield f"{nobody} nothing says what came first"


def _of_interactions(frame: pl.DataFrame, rows: RowsSpec, has: bool) -> Iterator[str]:
    label, rating = frame["label"], frame["rating"]
    change = ""
    if label.null_count() < len(frame):
        clicked, not_clicked = int((label == 1).sum()), int((label == 0).sum())
        means = "label 1 is a click, 0 is none, and without a label a row is left out"
        lacking = f"no label is {0 if clicked else 1}"
    elif rating.null_count() < len(frame):
        at = rows.threshold
        clicked, not_clicked = int((rating > at).sum()), int((rating < at).sum())
        means = f"a rating above {at:g} is a click, below {at:g} none, any other is left out"
        lacking = f"no rating is {'below' if clicked else 'above'} {at:g}"
        change = (
            "; a plan may set another threshold: "
            "protocol: {ctr: {rows: {source: labels, threshold: ...}}}"
        )
    else:
        return
    if has:
        left_out = len(frame) - clicked - not_clicked
        told = f"{clicked:,}, {not_clicked:,} and {left_out:,} interactions"
        yield f"ctr: {means}: {told}{change}"
    else:
        yield (
            f"not for ctr as it is: {lacking}, so nothing says what was not clicked; a plan with "
            f"tasks: [ctr] draws it{change}"
        )
