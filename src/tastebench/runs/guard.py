"""A run refuses texts and language models that were made from what the run is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.errors import ProtocolError, counted

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import TaskProtocol


def check_texts(dataset: Dataset, protocol: TaskProtocol, recipe: str | None) -> None:
    """Checks the texts that a run reads against its test part.

    Args:
        dataset: What is run on.
        protocol: How it is cut; a search is not cut, and is checked against its queries.
        recipe: The run's text recipe; None where it reads no text. What questions are about is
            read by whoever answers, in whatever form.

    Raises:
        ProtocolError: A text was made from test rows, or it is not known from what.
    """
    if not dataset.provenance or (recipe is None and protocol.questions is None):
        return
    from tastebench.data.provenance import QUERIES, check_query_artefacts, check_text_artefacts
    from tastebench.data.text import columns_read

    columns: Iterable[str] = ()
    if recipe is not None:
        columns = columns_read(dataset.tables.items, recipe, dataset.card.text_columns)
    if protocol.questions is not None:
        from tastebench.data.questions.attributes import rules_of

        asked = {rule.column for rule in rules_of(dataset, protocol.questions.attributes)}
        columns = asked.union(columns)
    fields = {f"items.{column}" for column in columns}
    if protocol.split is None and protocol.questions is None:
        check_query_artefacts(dataset, fields | {QUERIES})
        return
    check_text_artefacts(dataset, fields, _test_rows(dataset, protocol))


def check_models(dataset: Dataset, protocol: TaskProtocol, params: Mapping[str, Any]) -> None:
    """Checks language models that were trained here, and that a run names, against its test part.

    Args:
        dataset: What is run on.
        protocol: How it is cut.
        params: The recommender's hyper-parameters.

    Raises:
        ProtocolError: A model was trained on test rows, or it is not known on what.
    """
    if protocol.split is None and protocol.questions is None:
        return
    from tastebench.build.lm_about import is_trained_here, part_of, provenance_of, read_about
    from tastebench.data.provenance import rows_used

    for folder in map(Path, _models(params)):
        if not is_trained_here(folder):
            continue
        source = read_about(folder).source
        if source.fingerprint == dataset.fingerprint and source.part == part_of(protocol):
            continue  # the train part of this very cut
        fix = f"tastebench build lm -d {dataset.name} --task {protocol.task} --plan (this plan)"
        used = rows_used(provenance_of(folder), dataset)
        if used is None:
            raise ProtocolError(
                f"the language model {folder.name!r} was trained on {source.name}, and it is not "
                "known whether test rows are among what it read",
                where=f"dataset {dataset.name}",
                fix=fix,
            )
        test = _test_rows(dataset, protocol)
        inside = int(np.isin(test, used).sum())
        if inside:
            raise ProtocolError(
                f"the language model {folder.name!r} was trained on interactions that include "
                f"{inside:,} of the {counted(len(test), 'test row')}",
                where=f"dataset {dataset.name}",
                fix=fix,
            )


def _models(params: Mapping[str, Any]) -> Iterator[str]:
    """Folders that hyper-parameters name as models, at any depth."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _models(value)
        elif name == "model" and isinstance(value, str) and Path(value).expanduser().is_dir():
            yield str(Path(value).expanduser())


def _test_rows(dataset: Dataset, protocol: TaskProtocol) -> np.ndarray:
    """The interactions that the test part asks about, rows of their table, int64.

    Questions ask about all that a user did: of what comes next, and of what was before.
    """
    from tastebench.data.split import TEST, split

    if protocol.questions is not None:
        from tastebench.data.questions.people import rows_of_test

        return rows_of_test(dataset, protocol.questions)
    assert protocol.split is not None
    rows, frame = protocol.rows, dataset.tables.interactions
    if rows is None or rows.source == "sampled":
        held: np.ndarray = dataset.events().row[split(dataset, protocol.split) == TEST]
        return held
    if frame is None:
        return np.empty(0, dtype=np.int64)
    from tastebench.data.dataset import positions
    from tastebench.data.labelled import label_rows

    labelled, _ = label_rows(dataset, rows, protocol.split, history_length=1)
    # What was shown and not clicked is no interaction; a low rating is one.
    test = (labelled.part == TEST) & ((labelled.label == 1) | (rows.source == "labels"))
    asked = labelled.user[test] * dataset.n_items + labelled.item[test]
    user = positions(frame["user_id"], dataset.everyone)
    pair = user * dataset.n_items + positions(frame["item_id"], dataset.item_ids)
    return np.flatnonzero(np.isin(pair, asked))
