"""Semantic ids of a catalogue, made once and found again by what they depend on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench import files
from tastebench.alone import alone
from tastebench.build.progress import Say, now_and_then
from tastebench.errors import DataError, counted
from tastebench.items.semantic_ids import methods
from tastebench.items.semantic_ids.about import About, Catalogue, Learned, Source
from tastebench.items.semantic_ids.artefact import (
    Artefact,
    is_artefact,
    load,
    order_hash,
    save,
)
from tastebench.items.semantic_ids.recipe import CodeRecipe

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

CODES = 1
"""Raised when the same recipe comes to give other codes of the same vectors."""


def make_codes(  # noqa: PLR0913 - what identifies codes
    recipe: CodeRecipe,
    dataset: Dataset,
    vectors: np.ndarray | None,
    *,
    encoder: str | None,
    revision: str | None,
    key: str | None,
    learn_rows: np.ndarray | None = None,
    text_recipe: str | None = None,
    progress: Say | None = None,
) -> Artefact:
    """The codes of a catalogue: those kept from before, or new ones that are kept.

    Whoever asks for codes that another process is making waits for them.

    Args:
        recipe: How to make them.
        dataset: Whose items.
        vectors: Of all items, float32 `[n_items, d]`; None where codes are drawn.
        encoder: That made the vectors.
        revision: Of its weights.
        key: Content key of the vectors; everything they depend on.
        learn_rows: The items that codebooks are learned from; None for all.
        text_recipe: What made the texts that were encoded, where that is known.
        progress: Told a line now and then.

    Raises:
        DataError: Vectors cannot be used, or the result not written.
        UsageError: The recipe's settings are not its method's.
    """
    say = progress or (lambda line: None)
    about = _identified(recipe, dataset, encoder, revision, key, learn_rows, text_recipe)
    folder = codes_folder() / about.hash
    kept = _kept(folder, dataset, say)
    if kept is not None:
        _training_of(folder).unlink(missing_ok=True)  # of a process that was killed at its very end
        return kept
    lock = folder.with_name(f".{folder.name}.lock")
    with alone(lock, lambda: say("another process makes the same: waiting for it")):
        kept = _kept(folder, dataset, say)
        if kept is None:
            _make(folder, about, recipe, dataset, vectors, learn_rows, say)
            kept = load(folder, dataset)
    return kept


def find_codes(recipe: CodeRecipe, dataset: Dataset, key: str | None) -> Path | None:
    """Where codes learned from all items lie already; None if they have to be made."""
    folder = codes_folder() / _identified(recipe, dataset, "", None, key, None, None).hash
    return folder if is_artefact(folder) else None


def codes_folder() -> Path:
    """Where codes are kept, a folder each."""
    return files.home() / "artefacts" / "codes"


def _identified(
    recipe: CodeRecipe,
    dataset: Dataset,
    encoder: str | None,
    revision: str | None,
    key: str | None,
    learn_rows: np.ndarray | None,
    text_recipe: str | None,
) -> About:
    """What is known before anything is made, and the hash of what the codes depend on."""
    from tastebench import __version__

    if recipe.reads_vectors and (encoder is None or key is None):
        raise ValueError(f"codes by {recipe.method} need an encoder and the key of its vectors")
    if recipe.reads_vectors and (recipe.learned_from == "train") != (learn_rows is not None):
        raise ValueError(f"codes learned from {recipe.learned_from} items, and other rows given")
    # Defaults are part of what codes depend on: should they change, the old codes are others.
    settings = methods.settings_of(recipe.anywhere).model_dump(mode="json")
    recipe = recipe.model_copy(update={"settings": settings})
    vectors = learned = threads = None
    if recipe.reads_vectors:
        assert encoder is not None and key is not None
        vectors = Source(encoder=encoder, revision=revision, key=key, text_recipe=text_recipe)
        threads = _threads()
        if learn_rows is not None:
            rows = np.unique(learn_rows).astype(np.int64)
            learned = Learned(items=len(rows), rows=files.hash_arrays(rows))
    order = order_hash(dataset.item_ids)
    identity = {
        "codes": CODES,
        "recipe": recipe.model_dump(mode="json"),
        "vectors": None if vectors is None else vectors.key,
        "order": order,
        "learned": None if learned is None else learned.rows,
        # Sums in another order are other numbers, and now and then another nearest code.
        "threads": threads,
    }
    catalogue = Catalogue(
        name=dataset.name, fingerprint=dataset.fingerprint, items=dataset.n_items, order=order
    )
    return About(
        hash=files.hash_json(identity, 32),
        recipe=recipe,
        dataset=catalogue,
        vectors=vectors,
        learned_from=learned,
        sizes=(recipe.size,) * recipe.levels,
        levels=recipe.levels,
        quality={},
        made={},
        seconds=0.0,
        threads=threads,
        tastebench=__version__,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _make(
    folder: Path,
    about: About,
    recipe: CodeRecipe,
    dataset: Dataset,
    vectors: np.ndarray | None,
    learn_rows: np.ndarray | None,
    say: Say,
) -> None:
    from tastebench.items.semantic_ids.ids import make_ids
    from tastebench.items.semantic_ids.report import quality

    if dataset.n_items > recipe.size**recipe.levels:
        paths = f"{recipe.size**recipe.levels:,} paths"
        say(f"{counted(dataset.n_items, 'item')} share {paths}: a code more tells them apart")
    tell, began = now_and_then(say), time.perf_counter()
    rows = None if learn_rows is None else np.unique(learn_rows).astype(np.int64)
    training = _training_of(folder)
    training.parent.mkdir(parents=True, exist_ok=True)
    ids = make_ids(
        recipe,
        vectors,
        dataset.n_items,
        learn_rows=rows,
        progress=lambda found: tell(_told(found)),
        state=training,
    )
    seconds = time.perf_counter() - began
    tell("measuring how good the codes are")
    done = about.model_copy(
        update={
            "sizes": ids.sizes,
            "quality": quality(ids, vectors),
            "made": ids.about,
            "seconds": round(seconds, 3),
        }
    )
    save(folder, ids, dataset.item_ids, done)
    training.unlink(missing_ok=True)


def _training_of(folder: Path) -> Path:
    """The state of a training, from where one that was interrupted goes on."""
    return folder.with_name(f"{folder.name}.fit.safetensors")


def _told(found: dict[str, Any]) -> str:
    """Numbers by name, a line."""
    pairs = (
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in found.items()
    )
    return ", ".join(pairs)


def _kept(folder: Path, dataset: Dataset, say: Say) -> Artefact | None:
    """What is kept; None if there is nothing, or nothing that can be used, which is said."""
    if not is_artefact(folder):
        return None
    try:
        return load(folder, dataset)
    except DataError as error:
        say(f"kept codes are made again: {error.what} ({folder})")
        return None
