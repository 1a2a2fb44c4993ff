"""What a run stood on, found again: its dataset, its vectors, its codes, its problem.

A record names them by content. What is found here under the same name and holds other values is
refused, with both fingerprints: a model that reads other items than it learnt from gives answers,
and nobody would see that they are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from tastebench.errors import DataError, TastebenchError
from tastebench.runs import limits
from tastebench.runs.material import item_words, items_of, query_words

if TYPE_CHECKING:
    from tastebench.contracts import Encoder, Items
    from tastebench.data.dataset import Dataset
    from tastebench.items.semantic_ids.ids import SemanticIds
    from tastebench.runs.record import Record
    from tastebench.tasks import QueryForms, Task, TaskProtocol

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Ground:
    """What a run stood on.

    Attributes:
        items: The catalogue in the forms that the recommender takes.
        vectors: What the encoder made of the items, also where the recommender reads codes of it,
            float32 `[n_items, d]`; None without an encoder.
        encoder: What made its vectors, fitted to the catalogue where it is; None without vectors,
            and where it cannot be had and its vectors were kept.
        codes: The semantic ids and their codebooks; None without codes.
        forms: Queries of the dataset, for search.
    """

    dataset: Dataset
    task: Task
    protocol: TaskProtocol
    problem: Any
    items: Items
    vectors: np.ndarray | None
    encoder: Encoder | None
    codes: SemanticIds | None
    forms: QueryForms


def find_ground(
    record: Record,
    dataset: Dataset | Path | str | None,
    encoder: Encoder | Path | str | None,
    vectors: np.ndarray | None,
    say: Say,
) -> Ground:
    """What a record's run stood on.

    Args:
        record: Of a finished run.
        dataset: The dataset, or where it lies; None for the record's by its name.
        encoder: The encoder, or its name or folder; None for the record's by its name.
        vectors: What it made of the items, where somebody kept that; else encoded here, or found.
        say: Told a line for what takes time.

    Raises:
        DataError: Something cannot be had, or holds other values than the run saw.
        UsageError: No such dataset or encoder.
    """
    from tastebench.tasks import TASKS

    spec = record.spec
    found = _dataset(record, dataset, say)
    task, protocol = TASKS.get(spec.task), _protocol(record)
    fitted, matrix, nested = None, vectors, False
    if spec.encoder is not None:
        fitted, matrix, nested = _vectors(record, found, encoder, vectors, say)
    codes = None
    if spec.codes is not None:
        with limits.threads(spec.threads):  # sums in another order are now and then other codes
            codes = _codes(record, found, protocol, matrix, fitted, say)
    values = None if codes is None else codes.values
    items = items_of(spec, found, matrix, values, protocol.questions, nested=nested)
    forms = _query_forms(record, found, fitted)
    problem = task.problem(found, protocol)
    return Ground(found, task, protocol, problem, items, matrix, fitted, codes, forms)


def _dataset(record: Record, given: Dataset | Path | str | None, say: Say) -> Dataset:
    from tastebench.data.catalog import load_dataset
    from tastebench.data.dataset import Dataset

    name, wanted = record.spec.dataset, record.fingerprints.get("dataset")
    if isinstance(given, Dataset):
        found = given
    else:
        try:
            found = load_dataset(name if given is None else given, progress=say)
        except TastebenchError as error:
            raise _or(error, "dataset=FOLDER says where it lies") from error
    if found.fingerprint != wanted:
        raise DataError(
            f"the dataset {found.name} here has other values than the one of this record: "
            f"fingerprint {found.fingerprint}, and the record's is {wanted}",
            where=f"{found.n_items:,} items, {len(found.events().item):,} events here",
            fix="load the record with the data it was made on (dataset=FOLDER), or run it again "
            "on these",
        )
    return found


def _protocol(record: Record) -> TaskProtocol:
    from tastebench.tasks import TaskProtocol

    try:
        return TaskProtocol.model_validate(record.protocol)
    except ValidationError as error:
        first = error.errors()[0]
        made_by = record.environment.get("packages", {}).get("tastebench")
        raise DataError(
            f"the record's protocol is of another Tastebench: {first['msg']}",
            where=".".join(str(part) for part in first["loc"]),
            fix=f"pip install tastebench=={made_by}, which made it",
        ) from error


def _vectors(
    record: Record,
    dataset: Dataset,
    given: Encoder | Path | str | None,
    kept: np.ndarray | None,
    say: Say,
) -> tuple[Encoder | None, np.ndarray, bool]:
    """The encoder as it encodes this catalogue, its item vectors, and whether they are nested."""
    from tastebench.encoders import get_encoder
    from tastebench.encoders.hooks import Absent
    from tastebench.encoders.vectors import encode_items, taught

    spec = record.spec
    assert spec.encoder is not None
    if given is None or isinstance(given, (str, Path)):
        try:
            encoder = get_encoder(spec.encoder if given is None else given)
        except TastebenchError as error:
            if kept is None:
                raise _or(error, "encoder=NAME or FOLDER says what encodes") from error
            say(f"new texts cannot be encoded: {error.what}")
            return None, kept, False
    else:
        encoder = given
    words = item_words(dataset, spec.text_recipe)
    if kept is not None:
        fitted = encoder
        if not isinstance(encoder, Absent):
            fitted = taught(encoder, words)
        return fitted, kept, bool(encoder.card.nested)
    if isinstance(encoder, Absent):
        say(f"fetching the encoder {spec.encoder}")
        encoder = encoder.fetch()
    encoded = encode_items(
        encoder,
        words,
        recipe=spec.text_recipe or "",
        progress=lambda done, total: say(f"encoding items {done:,} of {total:,}"),
    )
    wanted = record.fingerprints.get("vectors")
    if encoded.key != wanted:
        raise DataError(
            f"the encoder {encoded.card.name} here makes other vectors than the record's: "
            f"{encoded.key} (weights {encoded.card.revision}), and the record's are {wanted} "
            f"(weights {record.fingerprints.get('encoder')})",
            fix="encoder=FOLDER with the weights that the record names, or run it again",
        )
    return taught(encoder, words), encoded.float32, encoded.card.nested


def _codes(
    record: Record,
    dataset: Dataset,
    protocol: TaskProtocol,
    vectors: np.ndarray | None,
    encoder: Encoder | None,
    say: Say,
) -> SemanticIds:
    """The record's codes: those that are kept, else made again."""
    from tastebench.build.codes import codes_folder, make_codes
    from tastebench.items.semantic_ids.artefact import is_artefact, load
    from tastebench.runs.codes import taken_in

    recipe, wanted = record.spec.codes, record.fingerprints.get("codes") or ""
    assert recipe is not None
    folder = codes_folder() / wanted
    if wanted and is_artefact(folder):
        return load(folder, dataset).ids
    say(f"making codes {recipe.label} again: they are not kept here")
    made = make_codes(
        recipe,
        dataset,
        vectors if recipe.reads_vectors else None,
        encoder=record.spec.encoder if recipe.reads_vectors else None,
        revision=record.fingerprints.get("encoder") if encoder else None,
        key=record.fingerprints.get("vectors"),
        learn_rows=taken_in(dataset, protocol) if recipe.learned_from == "train" else None,
        progress=say,
        text_recipe=record.spec.text_recipe,
    )
    if made.hash != wanted:
        raise DataError(
            f"codes {recipe.label} come out as others here: {made.hash}, and the record's are "
            f"{wanted}",
            fix="copy their folder from artefacts/codes of the home they were made in, or run it "
            "again",
        )
    return made.ids


def _query_forms(record: Record, dataset: Dataset, encoder: Encoder | None) -> QueryForms:
    """The dataset's queries in the forms of the representation; nothing but for search."""
    from tastebench.tasks import NO_FORMS, QueryForms

    if record.spec.task != "search":
        return NO_FORMS
    words = query_words(dataset)
    return QueryForms(
        text=words if "text" in record.spec.forms else None,
        vector=None if encoder is None else _encoded(record, dataset, encoder, words),
    )


def _encoded(record: Record, dataset: Dataset, encoder: Encoder, words: list[str]) -> np.ndarray:
    """Queries as vectors comparable with the items', float32 `[n, d]`."""
    from tastebench.encoders.vectors import encode_queries

    recipe = record.spec.text_recipe
    items = item_words(dataset, recipe)
    return encode_queries(encoder, words, items, recipe=recipe or "").float32


def _or(error: TastebenchError, fix: str) -> TastebenchError:
    """The error with another way out beside its own."""
    both = f"{error.fix}; or {fix}" if error.fix else fix
    return type(error)(error.what, where=error.where, fix=both)
