"""`tastebench.load`: a record's recommender, as it was at the end of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench import files
from tastebench.errors import DataError, UsageError
from tastebench.runs import limits, store
from tastebench.runs.hyperparameters import resolve
from tastebench.runs.perform import validate
from tastebench.runs.record import Record
from tastebench.serving.ground import Ground, find_ground

if TYPE_CHECKING:
    from tastebench.contracts import Encoder, RecommenderCard
    from tastebench.data.dataset import Dataset
    from tastebench.serving.loaded import Loaded
    from tastebench.training.kept import KeptModel

EXPORT = "export.json"
"""What makes a folder an export: its record, and the hashes of the other files."""

ENCODED = "encoder_vectors"


@dataclass(frozen=True, eq=False)
class Source:
    """A record and what lies beside it.

    Attributes:
        folder: Where.
        record: Of a run that ended well.
        kept: What the run trained; None where nothing was kept.
        encoded: File with the encoder's item vectors, in an export; None elsewhere.
    """

    folder: Path
    record: Record
    kept: KeptModel | None
    encoded: Path | None = None


def load(
    record: Path | str,
    *,
    dataset: Dataset | Path | str | None = None,
    encoder: Encoder | Path | str | None = None,
    recommender: RecommenderCard | None = None,
    params: Mapping[str, Any] | None = None,
    device: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Loaded:
    """The recommender of a record, ready to recommend.

    What it counted or looked up is made again of the data; what it learnt comes from the model that
    the run kept (`keep_models: true` in a plan, `tastebench run --keep-models`). Recommenders that
    learn nothing by steps (popularity, item-knn, ease, graph-walk) need no kept model.

    Args:
        record: Folder of a record, or one that `tastebench export` made. It may have been moved.
        dataset: The dataset, its name or folder, where it is not found by the record's name for it.
        encoder: The encoder, its name or folder, likewise.
        recommender: Its card, if it is one of your own (`as_recommender`).
        params: Hyper-parameters that say where something lies, such as the folder of a language
            model: a record names folders without their paths.
        device: `cpu`, `cuda`, `cuda:1`; None for what it was trained on, if that is here.
        progress: Told a line for what takes time.

    Raises:
        DataError: No record, a model that was not kept, is damaged or of another run, or data and
            vectors with other values than the run saw.
        UsageError: A failed run, or a name that nothing has.
    """
    from tastebench.recommenders import get_recommender
    from tastebench.serving.loaded import Loaded

    say = progress or (lambda line: None)
    source = read_source(Path(record))
    card = recommender or get_recommender(source.record.spec.recommender)
    ground = find_ground(source.record, dataset, encoder, _encoded(source), say)
    with limits.threads(source.record.spec.threads):
        restored = restore(source, ground, card, params or {}, device)
    return Loaded(source, ground, card, restored, dict(params or {}), device)


def restore(
    source: Source,
    ground: Ground,
    card: RecommenderCard,
    params: Mapping[str, Any],
    device: str | None,
    grown: int | None = None,
) -> Any:
    """The fitted recommender of a record.

    Args:
        source: The record and what was kept.
        ground: What it stands on.
        card: Declares it.
        params: As in `load`.
        device: As in `load`.
        grown: Items that the run knew, where others were added.
    """
    from tastebench.recommenders import build_recommender
    from tastebench.training.kept import RestoringTrainer

    record, spec = source.record, source.record.spec
    whole = {**spec.params, **params}
    resolve(card, whole)  # says in words what another version's parameters are not
    made: Any = build_recommender(card, card.config(**whole))
    asked = None
    if "valid" in ground.task.parts:
        asked = ground.task.ask(ground.problem, ground.protocol, "valid", ground.forms)
    trainer = RestoringTrainer(
        seed=spec.seed,
        kept=source.kept,
        missing=lambda: not_kept(source),
        validate=None
        if asked is None or not len(asked)
        else lambda: validate(made, asked, ground.protocol, record.headline),
        device=device,
        grown=grown,
    )
    made.fit(ground.problem, ground.items, trainer)
    return made


def not_kept(source: Source) -> DataError:
    """Says that a model has to be trained again, and how."""
    config = source.folder / "config.yaml"
    return DataError(
        f"this run kept no model, and {source.record.spec.recommender} has to learn one",
        where=str(source.folder),
        fix=f"tastebench run {config} --keep-models --out DIR, then load the record in DIR",
    )


def read_source(folder: Path) -> Source:
    """A record or an export, and its kept model, checked.

    Raises:
        DataError: There is neither, or the model is damaged or of another run.
        UsageError: The run failed.
    """
    from tastebench.training.kept import MODEL

    folder = folder.parent if folder.name == store.RECORD else folder
    encoded = None
    if (folder / EXPORT).is_file():
        record, encoded = _exported(folder)
    else:
        found = store.find_record(folder)
        if found is None:
            raise DataError(
                "there is no record here" if folder.is_dir() else "there is no such folder",
                where=str(folder),
                fix="give the folder that holds record.json: "
                "results/PLAN/DATASET/TASK/RECOMMENDER/HASH",
            )
        record = found
    if record.status != "ok":
        why = f": {record.error.what}" if record.error else ""
        raise UsageError(
            f"this run failed, so there is nothing to load{why}",
            where=str(folder),
            fix="mend it, and repeat its plan with --redo failed",
        )
    return Source(folder, record, _kept(folder / MODEL, record), encoded)


def _kept(path: Path, record: Record) -> KeptModel | None:
    from tastebench.training.kept import read_kept

    wanted = record.fingerprints.get("model")
    if wanted is None:
        return None
    if not path.is_file():
        raise DataError(
            "the model that this run kept is not here",
            where=str(path),
            fix="copy the record's folder with all its files",
        )
    digest = files.hash_file(path)
    if digest != wanted:
        raise DataError(
            f"the kept model was changed: its sha256 is {digest}, and the record's is {wanted}",
            where=str(path),
            fix="copy it again, or repeat the run with --keep-models --redo all",
        )
    kept = read_kept(path)
    if kept.about.get("spec_hash") != record.spec_hash:
        raise DataError(
            f"the kept model is of run {kept.about.get('spec_hash')}, and the record of "
            f"{record.spec_hash}",
            where=str(path),
        )
    return kept


def _exported(folder: Path) -> tuple[Record, Path | None]:
    """The record in an export, and its file of encoder vectors; every file as it was written."""
    path = folder / EXPORT
    try:
        value = files.read_json(path)
        record = Record.model_validate(value["record"])
        digests = {str(name): str(digest) for name, digest in value["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"unreadable export: {error}", where=str(path), fix="export the record again"
        ) from error
    for name, digest in digests.items():
        if Path(name).name != name:
            raise DataError(f"an export names a file outside itself: {name!r}", where=str(path))
        if not (folder / name).is_file() or files.hash_file(folder / name) != digest:
            raise DataError(
                f"{name} is missing or was changed since the export",
                where=str(folder),
                fix="export the record again, or copy the folder with all its files",
            )
    encoded = f"{ENCODED}.safetensors"
    return record, folder / encoded if encoded in digests else None


def _encoded(source: Source) -> Any:
    """The encoder's item vectors out of an export."""
    from safetensors.numpy import load_file

    return None if source.encoded is None else load_file(source.encoded)[ENCODED]
