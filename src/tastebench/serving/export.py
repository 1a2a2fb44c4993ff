"""A record as files that anything can serve: vectors, codes, ids and weights, without pickle.

- `items.parquet`, `users.parquet`: ids in the order of the rows of the tensors.
- `vectors.safetensors`: where scores are inner products, what items are ranked by and users are
  ranked for, users with all that the dataset knows of them.
- `encoder_vectors.safetensors`, `codes.safetensors`: what the model was given, where it was.
- `model.safetensors`: what the run trained, where it kept it.
- `export.json`: the record, and the checksum of every file; `tastebench.load` reads the folder.
- `README.md`: how to use it, with and without Tastebench.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tastebench import __version__, files
from tastebench.contracts import Queries
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged
from tastebench.runs import limits
from tastebench.runs.compose import now
from tastebench.serving.ids import distinct
from tastebench.serving.readme import readme
from tastebench.serving.restore import ENCODED, EXPORT

if TYPE_CHECKING:
    from tastebench.serving.loaded import Loaded

FORMAT = 1
ITEMS, USERS = "items.parquet", "users.parquet"
VECTORS, CODES = "vectors.safetensors", "codes.safetensors"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where.
        files: Their names and sizes in bytes.
    """

    folder: Path
    files: dict[str, int]


def export(loaded: Loaded, to: Path | str, *, users: bool = True) -> Exported:
    """Writes a record's recommender as files, atomically: all of them or none.

    Args:
        loaded: From `tastebench.load`.
        to: Folder that is not there yet, or an export, which it replaces.
        users: With the vectors and ids of the dataset's users.

    Raises:
        UsageError: Something else is in that folder, or items were added to what was loaded.
        DataError: The folder cannot be written.
    """
    to = Path(to)
    if loaded.added is not None:
        raise UsageError("an export is of a record, and items were added", fix="export as loaded")
    _refuse_other(to)
    try:
        with files.atomic_folder(to) as folder:
            _write(loaded, folder, users=users)
    except OSError as error:
        raise DataError(
            f"the export cannot be written: {error.strerror or error}",
            where=str(to),
            fix="make room, or choose another folder",
        ) from error
    sizes = {path.name: path.stat().st_size for path in sorted(to.iterdir())}
    return Exported(to, sizes)


def _refuse_other(to: Path) -> None:
    other = to.is_file() or (to.is_dir() and any(to.iterdir()) and not (to / EXPORT).is_file())
    if other:
        raise UsageError(
            "there is something else here, and it stays",
            where=str(to),
            fix="--to a folder that is not there yet",
        )


def _write(loaded: Loaded, folder: Path, *, users: bool) -> None:
    from tastebench.training.kept import MODEL

    items, source, user = loaded.ground.items, loaded.source, None
    loaded.titled().write_parquet(folder / ITEMS)
    if loaded.has_vectors:
        tensors = {"item_vectors": loaded.item_vectors()}
        if users:
            rows, tensors["user_vectors"] = _users(loaded)
            ids = loaded.dataset.everyone.gather(rows).alias("user_id")
            ids.to_frame().write_parquet(folder / USERS)
            user = str(ids[0]) if len(ids) else None
        _save(tensors, folder / VECTORS)
    if loaded.ground.vectors is not None:
        _save({ENCODED: loaded.ground.vectors}, folder / f"{ENCODED}.safetensors")
    if items.code is not None:
        _save({"codes": items.code.astype(np.int32)}, folder / CODES)
    if source.kept is not None:
        shutil.copyfile(source.kept.path, folder / MODEL)
    config = source.folder / "config.yaml"
    if config.is_file():
        shutil.copyfile(config, folder / config.name)
    digests = {path.name: files.hash_file(path) for path in sorted(folder.iterdir())}
    files.write_json(folder / EXPORT, about(loaded, digests))
    files.write_text(folder / "README.md", readme(loaded, digests, user))


def about(loaded: Loaded, digests: dict[str, str]) -> dict[str, object]:
    """What `export.json` says: where everything comes from, and what was written."""
    card = loaded.dataset.card
    return {
        "format": FORMAT,
        "tastebench": __version__,
        "created": now(),
        "dataset": {
            "name": card.name,
            "licence": card.licence,
            "citation": card.citation,
            "fingerprint": loaded.dataset.fingerprint,
            "items": loaded.dataset.n_items,
        },
        "files": digests,
        "record": loaded.record.model_dump(mode="json"),
    }


def _users(loaded: Loaded) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the users that can be ranked for, and their vectors, with all they ever took."""
    events, n = loaded.dataset.events(), loaded.dataset.n_users
    lists = Ragged.from_lengths(events.item, np.bincount(events.user, minlength=n))
    rows = np.flatnonzero(lists.lengths >= max(1, loaded.ground.protocol.min_history))
    history = lists[rows]
    length = loaded.ground.protocol.history_length
    if loaded.record.spec.task == "cf":
        history = distinct(history, loaded.n_items)
    elif length is not None:
        history = history.tail(length)
    with limits.threads(loaded.record.spec.threads):
        found = loaded.recommender.query_vectors(Queries(len(rows), history=history))
    vectors: np.ndarray = found.float().cpu().numpy()
    return rows, vectors


def _save(tensors: dict[str, np.ndarray], path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path)
