"""What a recommender is fed with: catalogue and search queries in the forms it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import Items, Values
from tastebench.data.questions.spec import QuestionSpec
from tastebench.errors import DataError, UsageError
from tastebench.files import hash_file, read_sealed, write_sealed
from tastebench.runs.record import EncodeStep
from tastebench.runs.spec import RunSpec

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.data.questions.attributes import Attribute
    from tastebench.tasks import QueryForms


MADE = frozenset({"id", "text", "vector", "code", "side", "truth"})
"""Forms of items that `items_for` makes."""


@dataclass(frozen=True)
class Vectors:
    """What the encode step leaves for the runs that use its vectors.

    Attributes:
        items: Item vectors, a `.npy` of float32 or float16 `[n_items, d]`.
        queries: Query vectors `[n_queries, d]`; None where no task asks queries.
        step: What it took.
        parameters: Weights of the encoder; None if unknown.
        revision: Identifies its weights.
        nested: A prefix of a vector is a vector, by the encoder's card.
        key: Content key of the item vectors: recipe, weights and every text.
        encode_ms: Task to the time that encoding takes within each of its first requests.
        digests: SHA-256 of the files of vectors, as they were written.
    """

    items: Path
    queries: Path | None
    step: EncodeStep
    parameters: int | None = None
    revision: str | None = None
    nested: bool = False
    key: str | None = None
    encode_ms: dict[str, list[float]] = field(default_factory=dict)
    digests: tuple[str, ...] = ()

    def check(self) -> None:
        """Makes sure that the vectors are those that the encode step left.

        Raises:
            DataError: They are not, or are gone.
        """
        files = [file for file in (self.items, self.queries) if file is not None]
        for file, digest in zip(files, self.digests, strict=False):
            if not file.is_file() or hash_file(file) != digest:
                raise DataError(
                    "vectors are gone or damaged: their checksum is not the one that was saved",
                    where=str(file),
                    fix="delete this file and run again with --redo failed: kept shards stay",
                )

    def write(self, path: Path) -> None:
        """Writes it as JSON, the paths as they are, with the checksums of what they lead to."""
        write_sealed(
            path,
            {
                **vars(self),
                "digests": [hash_file(f) for f in (self.items, self.queries) if f is not None],
                "items": str(self.items),
                "queries": str(self.queries) if self.queries else None,
                "step": self.step.model_dump(mode="json"),
            },
        )

    @classmethod
    def read(cls, path: Path) -> Vectors:
        """Reads what `write` wrote.

        Raises:
            DataError: It is damaged.
        """
        try:
            return cls._of(read_sealed(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"what the encode step left cannot be read: {error}",
                where=str(path),
                fix="delete this file and run again: vectors that are kept are found again",
            ) from error

    @classmethod
    def _of(cls, value: dict[str, Any]) -> Vectors:
        return cls(
            **{
                **value,
                "digests": tuple(value.get("digests", ())),
                "items": Path(value["items"]),
                "queries": Path(value["queries"]) if value["queries"] else None,
                "step": EncodeStep.model_validate(value["step"]),
            }
        )


def item_words(dataset: Dataset, recipe: str | None) -> list[str]:
    """One string an item, by the run's text recipe or the dataset's own."""
    from tastebench.data.text import item_texts

    card = dataset.card
    return item_texts(dataset.tables.items, recipe or card.text_recipe, card.text_columns)


def item_columns(dataset: Dataset, recipe: str | None) -> dict[str, list[str]]:
    """The columns that the run's text recipe reads, one string an item each, cleaned alike."""
    from tastebench.data.text import SHUFFLED, columns_read, item_texts

    items, card = dataset.tables.items, dataset.card
    recipe = recipe or card.text_recipe
    names = columns_read(items, recipe, card.text_columns)
    whole = f"{SHUFFLED}all-text" if recipe.startswith(SHUFFLED) else "all-text"
    return {
        name: item_texts(items.select("item_id", name), whole, (name,))
        for name in dict.fromkeys(names)
        if name in items.columns
    }


def texts_left_open(dataset: Dataset, recipe: str | None) -> str | None:
    """What an item's words depend on besides the dataset's values and the name of the recipe."""
    from tastebench.data.text import left_open

    if recipe is None:  # nothing is put into words
        return None
    return left_open(dataset.tables.items, recipe, dataset.card.text_columns)


def query_words(dataset: Dataset) -> list[str]:
    """The queries in words, in the order of their table; none where there is no such table."""
    table = dataset.tables.queries
    return [] if table is None else table["text"].to_list()


def item_attributes(dataset: Dataset, questions: QuestionSpec | None) -> list[Attribute]:
    """The title of all items, and what else is known of them, as questions about users name it.

    Args:
        dataset: Whose items.
        questions: Which attributes, where questions are asked about them; else all that are known.
    """
    from tastebench.data.questions.attributes import read_attribute, rules_of

    asked = questions or QuestionSpec()
    rules = rules_of(dataset, asked.attributes)
    return [read_attribute(dataset, rule, asked.title_characters) for rule in rules]


def _side(attributes: list[Attribute], dataset: Dataset) -> dict[str, np.ndarray]:
    """Attributes as codes int64 `[n_items]`, -1 where there is none; the title is none."""
    if len(attributes) == 1:
        raise DataError(
            "items have no attributes to read",
            where=dataset.name,
            fix="a representation without side, or import the items with category, brand or genres",
        )
    return {one.name: one.whole for one in attributes[1:]}


def _in_words(attributes: list[Attribute]) -> dict[str, list[str]]:
    """Attributes by name, one string an item each."""
    return {one.name: np.append(one.texts, "")[one.whole].tolist() for one in attributes}


def items_for(
    spec: RunSpec,
    dataset: Dataset,
    vectors: Vectors | None,
    codes: np.ndarray | None = None,
    questions: QuestionSpec | None = None,
) -> Items:
    """The catalogue in the forms of the run's representation, vectors as the encode step left them.

    Arguments and errors as of `items_of`.
    """
    matrix = None if vectors is None else read_vectors(vectors.items)
    nested = vectors is not None and vectors.nested
    return items_of(spec, dataset, matrix, codes, questions, nested=nested)


def items_of(
    spec: RunSpec,
    dataset: Dataset,
    vectors: np.ndarray | None,
    codes: np.ndarray | None = None,
    questions: QuestionSpec | None = None,
    *,
    nested: bool = False,
) -> Items:
    """The catalogue in the forms of the run's representation.

    Args:
        spec: The run.
        dataset: Its dataset.
        vectors: Encoded items, float32 `[n_items, d]`, for those who read vectors.
        codes: Semantic ids int64 `[n_items, width]`, for those who read codes.
        questions: What is asked about users, which says what attributes are.
        nested: A prefix of a vector is a vector.

    Raises:
        UsageError: A form that cannot be made from this dataset.
    """
    forms: dict[str, Any] = {}
    for form in spec.forms:
        if form == "text":
            forms["text"] = item_words(dataset, spec.text_recipe)
            if questions is None:
                forms["columns"] = item_columns(dataset, spec.text_recipe)
            else:
                known = item_attributes(dataset, questions)
                forms["columns"] = _in_words(known)
                forms["values"] = {one.name: Values(one.each, one.values) for one in known}
        elif form == "vector" and vectors is not None:
            forms |= {"vector": vectors, "nested": nested}
        elif form == "code" and codes is not None:
            forms["code"] = codes
        elif form == "side":
            forms["side"] = _side(item_attributes(dataset, questions), dataset)
        elif form == "truth":
            forms["truth"] = _truth(dataset)
        elif form != "id":
            raise UsageError(f"items have no form {form!r} here", where=f"dataset {dataset.name}")
    return Items(n=dataset.n_items, forms=spec.forms, **forms)


def queries_for(spec: RunSpec, dataset: Dataset, vectors: Vectors | None) -> QueryForms:
    """The queries of a search task in the forms of the representation; nothing elsewhere."""
    from tastebench.tasks import NO_FORMS, QueryForms

    if spec.task != "search":
        return NO_FORMS
    return QueryForms(
        text=query_words(dataset) if "text" in spec.forms else None,
        vector=read_vectors(vectors.queries) if vectors is not None and vectors.queries else None,
    )


def read_vectors(path: Path) -> np.ndarray:
    """Vectors float32 `[n, d]`, memory-mapped; in memory where they are kept in half precision."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array.astype(np.float32, copy=False)


def _truth(dataset: Dataset) -> Any:
    from tastebench.data.storefront import truth

    return truth(dataset)
