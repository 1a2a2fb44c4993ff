"""The labelled rows of click prediction under the default split: what each part holds and leaks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tastebench.data.card import RowsSpec, SplitSpec
from tastebench.data.click_account import rows_leakage
from tastebench.data.dataset import Dataset
from tastebench.data.labelled import PART, Labelled, default_rows, default_split, label_rows
from tastebench.data.schema import PARTS
from tastebench.data.split import DROPPED, LEAKS, TEST, TRAIN, Leakage


@dataclass(frozen=True)
class ClickPart:
    """One part. Who or what has rows of one class alone has no AUC.

    Attributes:
        rows, clicked: Labelled rows, and those of them that were clicked.
        users, one_class_users: Who has rows here, and whose are all clicked or all not.
        lists, one_class_lists: The same of impression lists; 0 where the data know of none.
        median_list: Rows of a list; None where there are none.
        empty_history: Share of rows whose user had taken nothing before.
    """

    rows: int
    clicked: int
    users: int
    one_class_users: int
    lists: int
    one_class_lists: int
    median_list: float | None
    empty_history: float


@dataclass(frozen=True)
class CutClicks:
    """Labelled rows in parts.

    Attributes:
        leakage: Of rows, where `tastebench.data.split.leakage` is of events.
        parts: `train`, `valid` and `test`.
    """

    leakage: Leakage
    parts: dict[str, ClickPart]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def default_cut(dataset: Dataset) -> tuple[RowsSpec, SplitSpec]:
    """Where labelled rows come from and how they are cut where nobody says."""
    rows = default_rows(dataset)
    return rows, default_split(dataset, rows)


def cut_clicks(dataset: Dataset, rows: RowsSpec, spec: SplitSpec) -> CutClicks:
    """Makes the labelled rows and looks at them.

    Raises:
        DataError: The dataset has no such rows.
        UsageError: They cannot be cut so.
    """
    # Of a history it matters here whether there is anything in it.
    labelled, history = label_rows(dataset, rows, spec, history_length=1)
    empty = history.lengths[labelled.context] == 0
    parts = {
        name: _part(labelled, empty, np.flatnonzero(labelled.part == part))
        for part, name in enumerate(PARTS)
    }
    shown = dataset.tables.impressions
    if rows.source == "impressions" and spec.kind == "given":
        assert shown is not None and PART in shown.columns
        return CutClicks(rows_leakage(shown), parts)
    return CutClicks(_leakage(labelled, spec, dataset.n_items), parts)


def _part(labelled: Labelled, empty: np.ndarray, at: np.ndarray) -> ClickPart:
    label, impression = labelled.label[at], labelled.impression[at]
    of_user, users = _clicks_and_rows(labelled.user[at], label)
    listed = impression >= 0
    of_list, lists = _clicks_and_rows(impression[listed], label[listed])
    return ClickPart(
        rows=len(at),
        clicked=int(label.sum()),
        users=len(users),
        one_class_users=_one_class(of_user, users),
        lists=len(lists),
        one_class_lists=_one_class(of_list, lists),
        median_list=float(np.median(lists)) if len(lists) else None,
        empty_history=_share(empty[at]),
    )


def _clicks_and_rows(group: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The clicks and the rows of each group, int64 `[n_groups]`."""
    _, index, rows = np.unique(group, return_inverse=True, return_counts=True)
    clicks = np.bincount(index, weights=label, minlength=len(rows)).astype(np.int64)
    return clicks, rows


def _one_class(clicks: np.ndarray, rows: np.ndarray) -> int:
    return int(((clicks == 0) | (clicks == rows)).sum())


def _leakage(labelled: Labelled, spec: SplitSpec, n_items: int) -> Leakage:
    train, test = labelled.part == TRAIN, labelled.part == TEST
    pair = labelled.user * n_items + labelled.item
    counts = {name: int((labelled.part == part).sum()) for part, name in enumerate(PARTS)}
    return Leakage(
        sentence=LEAKS[spec.kind],
        counts=counts | {"dropped": int((labelled.part == DROPPED).sum())},
        # Rows carry no times; cut by time none of train is later than one of test.
        future=0.0 if spec.kind == "time" else None,
        cold_users=_unseen(labelled.user, train, test),
        cold_items=_unseen(labelled.item, train, test),
        repeated=_share(np.isin(pair[test], pair[train])),
        tied=None,
    )


def _unseen(ids: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    return _share(~np.isin(np.unique(ids[test]), ids[train]))


def _share(mask: np.ndarray) -> float:
    return float(mask.mean()) if len(mask) else 0.0
