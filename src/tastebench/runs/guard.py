"""A run refuses texts that a model wrote from what the run is tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import TaskProtocol


def check_texts(dataset: Dataset, protocol: TaskProtocol, recipe: str | None) -> None:
    """Checks the texts that a run reads against its test part.

    Args:
        dataset: What is run on.
        protocol: How it is cut; a search is not cut, and is checked against its queries.
        recipe: The run's text recipe; None where it reads no text.

    Raises:
        ProtocolError: A text was made from test rows, or it is not known from what.
    """
    if not dataset.provenance or recipe is None:
        return
    from tastebench.data.provenance import QUERIES, check_query_artefacts, check_text_artefacts
    from tastebench.data.split import TEST, split
    from tastebench.data.text import columns_read

    columns = columns_read(dataset.tables.items, recipe, dataset.card.text_columns)
    fields = {f"items.{column}" for column in columns}
    if protocol.split is None:
        check_query_artefacts(dataset, fields | {QUERIES})
        return
    test = split(dataset, protocol.split) == TEST
    check_text_artefacts(dataset, fields, dataset.events().row[test])
