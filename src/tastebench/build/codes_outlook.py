"""What codes are made of: item vectors; and what making both would take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.build.codes import find_codes
from tastebench.build.progress import Say, now_and_then
from tastebench.data.text import item_texts
from tastebench.errors import UsageError, counted
from tastebench.items.semantic_ids.recipe import CodeRecipe

if TYPE_CHECKING:
    from tastebench.contracts import Encoder
    from tastebench.data.dataset import Dataset
    from tastebench.encoders.vectors import Encoded


def encode_catalogue(
    dataset: Dataset, encoder: Encoder, text_recipe: str | None, say: Say
) -> Encoded:
    """The vectors of all items; those encoded before are found again.

    Args:
        dataset: Whose items.
        encoder: Of their texts.
        text_recipe: What puts them into words; None for the dataset's own.
        say: Told a line now and then.

    Raises:
        UsageError: The items have no such texts.
    """
    from tastebench.encoders.vectors import encode_items

    recipe, tell = text_recipe or dataset.card.text_recipe, now_and_then(say)
    return encode_items(
        encoder,
        _texts(dataset, recipe),
        recipe=recipe,
        progress=lambda done, of: tell(f"{encoder.card.name}: {done:,} of {of:,} texts"),
    )


@dataclass(frozen=True)
class Outlook:
    """What making codes would take.

    Attributes:
        encoder: That makes the vectors; None where codes are drawn.
        absent: Why the encoder is not here; None if it is.
        to_encode: Texts whose vectors are not kept.
        folder: Where the codes lie; None if they have to be made.
    """

    encoder: str | None = None
    absent: str | None = None
    to_encode: int = 0
    folder: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "folder": None if self.folder is None else str(self.folder)}

    def lines(self) -> Iterator[str]:
        """In words."""
        if self.absent is not None:
            yield f"{self.encoder} is not here, and would be fetched: {self.absent}"
        if self.encoder is not None and self.absent is None:
            to_do = f"{counted(self.to_encode, 'text')} to encode" if self.to_encode else "encoded"
            yield f"vectors by {self.encoder}: {to_do}"
        yield "codes: to make" if self.folder is None else f"codes: there ({self.folder})"


def look(
    recipe: CodeRecipe, dataset: Dataset, encoder: Encoder | None, text_recipe: str | None
) -> Outlook:
    """What `encode_catalogue` and `make_codes` would have to do; nothing is fetched or encoded."""
    from tastebench.encoders.controls import Shuffled
    from tastebench.encoders.hooks import Absent
    from tastebench.encoders.vectors import encode_items, not_kept, taught

    if encoder is None or not recipe.reads_vectors:
        return Outlook(folder=find_codes(recipe, dataset, None))
    words = text_recipe or dataset.card.text_recipe
    texts, name = _texts(dataset, words), encoder.card.name
    if isinstance(encoder, Absent):
        return Outlook(name, encoder.explain().what, len(set(texts)))
    base = encoder.base if isinstance(encoder, Shuffled) else encoder
    open_ = len(not_kept(taught(base, texts), texts, "item", words))
    if open_:
        return Outlook(name, to_encode=open_)
    key = encode_items(encoder, texts, recipe=words).key
    return Outlook(name, folder=find_codes(recipe, dataset, key))


def _texts(dataset: Dataset, recipe: str) -> list[str]:
    """One text an item.

    Raises:
        UsageError: The items have none by this recipe.
    """
    try:
        return item_texts(dataset.tables.items, recipe, dataset.card.text_columns)
    except UsageError as error:
        raise UsageError(
            error.what,
            where=f"dataset {dataset.name}, text recipe {recipe}",
            fix="another --text-recipe, or --method random, which reads no text",
        ) from error
