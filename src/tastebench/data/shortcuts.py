"""Shortcuts: what a dataset of sequences gives away to a walk that learns nothing.

What was found and what follows from it is in `shortcut_facts`, how it is measured in
`shortcut_measures`; here they meet a dataset and its split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import ValidationError

from tastebench.data.card import SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.shortcut_facts import Shortcuts
from tastebench.data.shortcut_measures import (
    WINDOWS,
    Walked,
    branching,
    likeness,
    reach,
    reach_from,
    walk_hits,
)
from tastebench.data.split import TEST, TRAIN, default_split, split
from tastebench.data.text import item_texts
from tastebench.errors import DataError, UsageError
from tastebench.files import hash_json, home, read_json, write_json
from tastebench.ragged import Ragged

_VERSION = 1
"""Raised when a measure or a threshold changes: what was kept is then measured again."""

_WORD = r"\b\w+\b"  # one letter is a word too


def find_shortcuts(
    dataset: Dataset, spec: SplitSpec | None = None, vectors: np.ndarray | None = None
) -> Shortcuts | None:
    """Measures what next-item prediction on a dataset gives away; some seconds.

    Draws, where there are any, are the same at every call.

    Args:
        dataset: With interactions in an order.
        spec: How it is split; None for the default of next-item prediction.
        vectors: What content is compared by, `[n_items, d]`; None for TF-IDF of its text columns.

    Returns:
        None where no test event has a history.

    Raises:
        UsageError: The dataset has no sequences, or cannot be split in this way.
        DataError: A given vector holds NaN or infinity.
    """
    walked = walk(dataset, spec or _default(dataset))
    if not len(walked.item):
        return None
    content = _unit(vectors) if vectors is not None else _tfidf(dataset)
    return Shortcuts(
        asked=len(walked.item),
        branching=branching(walked),
        hops={str(hops): reach(walked, hops, np.random.default_rng(hops)) for hops in (1, 2)},
        windows={name: reach_from(walked, last) for name, last in WINDOWS.items()},
        hits=walk_hits(walked, np.random.default_rng(3)),
        content=None if content is None else likeness(walked, content, np.random.default_rng(4)),
    )


def kept_shortcuts(dataset: Dataset, spec: SplitSpec) -> Shortcuts | None:
    """As `find_shortcuts`, measured once for a dataset's values and a split.

    Raises:
        UsageError: As `find_shortcuts`.
    """
    about = [
        _VERSION,
        dataset.fingerprint,
        list(dataset.card.text_columns),
        spec.model_dump(mode="json"),
    ]
    path = home() / "shortcuts" / f"{dataset.fingerprint[:16]}-{hash_json(about)}.json"
    if path.is_file():
        try:
            value = read_json(path)
            return None if value is None else Shortcuts.model_validate(value)
        except (ValueError, ValidationError):
            pass  # damaged: it is measured anew and written over
    found = find_shortcuts(dataset, spec)
    write_json(path, None if found is None else found.model_dump(mode="json"))
    return found


def walk(dataset: Dataset, spec: SplitSpec) -> Walked:
    """The training sequences and what is asked of a history, as next-item prediction has them.

    Raises:
        UsageError: The dataset cannot be split in this way.
    """
    events, part = dataset.events(), split(dataset, spec)
    kept = part >= TRAIN
    user, item, part = events.user[kept], events.item[kept], part[kept]
    before = np.arange(len(user)) - np.searchsorted(user, user)
    asked = np.flatnonzero((part == TEST) & (before > 0))
    train = part == TRAIN
    return Walked(
        n_items=dataset.n_items,
        train=Ragged.from_lengths(item[train], np.bincount(user[train], minlength=dataset.n_users)),
        history=Ragged.windows(item, asked, before[asked]),
        item=item[asked],
    )


def _default(dataset: Dataset) -> SplitSpec:
    if "seqrec" not in dataset.card.tasks or dataset.tables.interactions is None:
        raise UsageError(
            f"{dataset.name} has no sequences: shortcuts are looked for in next-item prediction",
            fix="choose a dataset with the task seqrec (tastebench data list)",
        )
    return default_split(dataset, "seqrec")


def _tfidf(dataset: Dataset) -> Any:
    """TF-IDF of the text columns at unit length, sparse; None where there is no word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    columns = [name for name in dataset.card.text_columns if name in dataset.tables.items.columns]
    if not columns:
        return None
    vectorizer = TfidfVectorizer(
        sublinear_tf=True, strip_accents="unicode", token_pattern=_WORD, dtype=np.float32
    )
    texts = item_texts(dataset.tables.items, "all-text", columns)
    analyse = vectorizer.build_analyzer()
    if not any(analyse(text) for text in texts):
        return None
    return vectorizer.fit_transform(texts)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(length).all():
        raise DataError("a vector is not finite", fix="encode again, in a wider number format")
    unit = np.zeros(vectors.shape, np.float32)
    np.divide(vectors, length, out=unit, where=length > 0)
    return unit
