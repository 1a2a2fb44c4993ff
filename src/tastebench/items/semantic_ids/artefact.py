"""Semantic ids as a folder that can be kept, copied and handed on.

- `codes.safetensors`: the codes, and what the quantiser learned.
- `items.parquet`: the ids of the items, in the order of the codes. Ids are no numbers, and a
  million of them are a few megabytes here and many in JSON.
- `codes.json`: how they were made, of which catalogue, how good they are, and the checksums of the
  other two.

A folder may come from anybody: nothing in it is executed, and nothing is believed before it has
been checked against the rest.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tastebench.data.fingerprint import frame_fingerprint
from tastebench.data.foreign import BROKEN, read_parquet
from tastebench.errors import DataError, TastebenchError, UsageError, counted
from tastebench.files import atomic_folder, hash_file, write_json
from tastebench.items.semantic_ids import methods
from tastebench.items.semantic_ids.about import ABOUT, About, damaged, made_by, read_about
from tastebench.items.semantic_ids.ids import SemanticIds

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.items.semantic_ids.codebooks import Quantiser

TENSORS, ITEMS = "codes.safetensors", "items.parquet"
_CODES, _QUANTISER = "codes", "quantiser."


@dataclass(frozen=True, eq=False)
class Artefact:
    """Semantic ids with all that is known of them.

    Attributes:
        folder: Where they lie.
        ids: The codes, and what gives codes to other items.
        item_ids: Of the catalogue, in the order of the codes.
        about: What `codes.json` says, as JSON values.
    """

    folder: Path
    ids: SemanticIds
    item_ids: pl.Series
    about: dict[str, Any]

    @property
    def hash(self) -> str:
        """Identifies the codes."""
        return str(self.about["hash"])


def order_hash(item_ids: pl.Series) -> str:
    """Identifies a catalogue by the ids of its items, in order; 64 hex digits."""
    return frame_fingerprint(pl.DataFrame({"item_id": item_ids.cast(pl.String)}))


def save(folder: Path, ids: SemanticIds, item_ids: pl.Series, about: About) -> None:
    """Writes an artefact, atomically: the old content of the folder or the new, never a half.

    Args:
        folder: Where.
        ids: The codes.
        item_ids: One an item, in the order of the codes.
        about: All but the checksums, which are filled in.

    Raises:
        DataError: The disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save_file

    learned = ids.quantiser.tensors() if ids.quantiser else {}
    tensors = {f"{_QUANTISER}{name}": np.ascontiguousarray(t) for name, t in learned.items()}
    tensors[_CODES] = np.ascontiguousarray(ids.values, dtype=np.int32)
    with _writing(folder), atomic_folder(folder) as target:
        save_file(tensors, target / TENSORS)
        pl.DataFrame({"item_id": item_ids}).write_parquet(target / ITEMS, compression="zstd")
        digests = {name: hash_file(target / name) for name in (TENSORS, ITEMS)}
        told = about.model_copy(update={"files": digests})
        write_json(target / ABOUT, told.model_dump(mode="json"))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the codes cannot be written: {error.strerror or error}",
            where=str(folder),
            fix="make room, or choose another place with TASTEBENCH_HOME",
        ) from error


def is_artefact(folder: Path) -> bool:
    """Whether `folder` was written by `save`."""
    return (folder / ABOUT).is_file()


def free_for(folder: Path) -> None:
    """Refuses to put codes where something else lies.

    Raises:
        UsageError: There is a file, or a folder that holds something else.
    """
    if folder.exists() and not _readable(folder) and not _empty(folder):
        raise UsageError(
            "there is something else here, and it stays",
            where=str(folder),
            fix="name a folder that is not there yet",
        )


def _readable(folder: Path) -> bool:
    try:
        read_about(folder)
    except DataError:
        return False
    return True


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def copy(artefact: Artefact, folder: Path) -> Artefact:
    """The artefact in another folder; one with the same codes is left as it is.

    Raises:
        UsageError: Other codes lie there, or something else.
        DataError: It cannot be written.
    """
    free_for(folder)
    if is_artefact(folder):
        if read_about(folder).hash == artefact.hash:
            return load(folder)
        raise UsageError(
            "other codes are here, and they stay",
            where=str(folder),
            fix="name another folder, or delete this one",
        )
    with _writing(folder), atomic_folder(folder) as target:
        for name in (TENSORS, ITEMS, ABOUT):
            shutil.copyfile(artefact.folder / name, target / name)
    return replace(artefact, folder=folder)


def load(folder: Path, dataset: Dataset | None = None) -> Artefact:
    """Reads what `save` wrote, and checks that it is whole.

    Args:
        folder: Of the artefact.
        dataset: Whose codes are wanted; None takes those of any.

    Raises:
        DataError: There is none, it is damaged or of another format, or the codes are of another
            catalogue.
    """
    folder = Path(folder)
    about = read_about(folder)
    if dataset is not None:
        _check_catalogue(folder, about, dataset)
    for name in (TENSORS, ITEMS):
        _check_file(folder / name, about)
    item_ids = _read_items(folder / ITEMS, about)
    values, tensors = _read_tensors(folder / TENSORS, about)
    quantiser = _restore(folder / TENSORS, about, tensors)
    made = {**about.made, "recipe": about.recipe.model_dump(mode="json")}
    ids = SemanticIds(values, about.sizes, about.levels, quantiser, made)
    return Artefact(folder, ids, item_ids, about.model_dump(mode="json"))


# --------------------------------------------------------------------------------------- checks


def _check_catalogue(folder: Path, about: About, dataset: Dataset) -> None:
    if about.dataset.order == order_hash(dataset.item_ids):
        return
    other = about.dataset
    raise DataError(
        f"these codes are not of the items of {dataset.name} in their order, but of {other.name} "
        f"({counted(other.items, 'item')}, fingerprint {other.fingerprint[:12]})",
        where=str(folder),
        fix=made_by(
            about.model_copy(update={"dataset": other.model_copy(update={"name": dataset.name})})
        ),
    )


def _check_file(path: Path, about: About) -> None:
    if path.name not in about.files:
        raise damaged(path.parent / ABOUT, f"it has no checksum of {path.name}", about)
    try:
        digest = hash_file(path)
    except OSError as error:
        raise damaged(path, error.strerror or str(error), about) from error
    if digest != about.files[path.name]:
        raise damaged(path, "its checksum is not the one that was saved", about)


def _read_items(path: Path, about: About) -> pl.Series:
    try:
        frame = read_parquet(path)
    except BROKEN as error:
        raise damaged(path, str(error).splitlines()[0], about) from error
    if frame.schema != {"item_id": pl.String} or frame["item_id"].null_count():
        raise damaged(path, "it is no list of item ids", about)
    if len(frame) != about.dataset.items or order_hash(frame["item_id"]) != about.dataset.order:
        raise damaged(path, f"its {len(frame):,} ids are not those of the catalogue", about)
    return frame["item_id"]


def _read_tensors(path: Path, about: About) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The codes, int64 `[n, width]`, and what the quantiser learned."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, str(error), about) from error
    codes = tensors.pop(_CODES, None)
    wanted = (about.dataset.items, len(about.sizes))
    if codes is None or codes.shape != wanted or codes.dtype != np.int32:
        found = "no codes" if codes is None else f"codes {codes.dtype} {list(codes.shape)}"
        raise damaged(path, f"it holds {found}, not int32 {list(wanted)}", about)
    if not all(name.startswith(_QUANTISER) for name in tensors):
        raise damaged(path, "it holds more than codes and codebooks", about)
    ended = codes == -1
    bad = (codes < -1) | (codes >= np.array(about.sizes))
    if bad.any() or ended[:, : about.levels].any():
        row = int((bad.any(axis=1) | ended[:, : about.levels].any(axis=1)).argmax())
        raise damaged(path, f"item {row} has codes that no level has: {codes[row].tolist()}", about)
    learned = {name.removeprefix(_QUANTISER): tensor for name, tensor in tensors.items()}
    return codes.astype(np.int64), learned


def _restore(path: Path, about: About, tensors: dict[str, np.ndarray]) -> Quantiser | None:
    """The quantiser, tried on one vector: foreign tensors may have any name and shape."""
    if not about.recipe.reads_vectors:
        return None
    try:
        quantiser = methods.restore(about.recipe, tensors)
        codes = quantiser.assign(np.zeros((1, quantiser.dim), dtype=np.float32))
        if codes.shape != (1, about.levels) or quantiser.sizes != about.sizes[: about.levels]:
            raise ValueError(f"codebooks of {quantiser.sizes} codes")
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError, TastebenchError) as error:
        why = f"its codebooks are not those of {about.recipe.method}: {error}"
        raise damaged(path, why, about) from error
    return quantiser
