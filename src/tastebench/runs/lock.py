"""What a plan reads, by content: a file that a later run, here or elsewhere, is checked against.

A lock names the fingerprint of every dataset and the SHA-256 of the raw files it was made of, the
revision and the files of every encoder and language model, and the files of the codes that runs
read. Datasets are fingerprinted anew from their values and models hashed anew from their files:
what was changed in place is found. A model behind an address has no files; of it the lock holds the
address.

It is written once, and checked by every run that names it: what is there must be equal, what is
there no more is left alone (a plan may be run in parts), what is new is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastebench.alone import alone
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.files import hash_json, read_json, write_json
from tastebench.lm.endpoint import PREFIX
from tastebench.runs import store
from tastebench.runs.spec import named

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.runs.execute import Todo
    from tastebench.runs.record import Record

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Say = Callable[[str], None]
_MOST = 1 << 26


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LockedDataset(_Part):
    """A dataset.

    Attributes:
        fingerprint: Of its values.
        generator: Version of the generator, for generated data.
        files: SHA-256 of the raw files it was made of, by name; empty where they are not known.
    """

    fingerprint: Digest
    generator: str | None = None
    files: dict[str, Digest] = {}


class LockedModel(_Part):
    """An encoder or a language model.

    Attributes:
        revision: What it is known by; None where nothing tells two apart.
        files: SHA-256 of its files; empty where it has none here.
    """

    revision: str | None
    files: dict[str, Digest] = {}


class Lock(_Part):
    """What a plan reads, by name.

    Attributes:
        codes: The files of semantic ids, by the hash of the recipe and what it was applied to.
    """

    format: Literal[1] = 1
    datasets: dict[str, LockedDataset] = {}
    models: dict[str, LockedModel] = {}
    codes: dict[str, dict[str, Digest]] = {}

    @classmethod
    def read(cls, path: Path) -> Lock:
        """Reads a lock.

        Raises:
            DataError: It cannot be read, or is none.
        """
        fix = "name another file with --lock, or delete this one to lock what is here now"
        try:
            return cls.model_validate(read_json(path, _MOST))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise DataError(
                f"this is no lock: {first['msg']}", where=f"{path}, {key}", fix=fix
            ) from error
        except (OSError, ValueError) as error:
            raise DataError(f"the lock cannot be read: {error}", where=str(path), fix=fix) from None


@dataclass(frozen=True)
class _Difference:
    """A thing that is not what was locked."""

    what: str
    locked: str | None
    found: str | None

    def __str__(self) -> str:
        return f"{self.what} is {self.found or 'not there'}, locked is {self.locked or 'none'}"


@contextmanager
def locked(path: Path | None, todo: Todo, say: Say) -> Iterator[None]:
    """Around the runs of a plan: what they read is checked before, what they made of it after.

    Args:
        path: Of the lock; None for none.
        todo: The plan, looked at.
        say: Takes a line.

    Raises:
        ProtocolError: Something has other content than what was locked.
        DataError: The lock cannot be read, or a model's files.
        UsageError: There is a folder of that name.
    """
    if path is None:
        yield
        return
    hold(path, todo, say)
    yield
    out = todo.options.out
    folders = (
        store.record_folder(out, todo.plan.name, run.spec, run.spec_hash) for run in todo.runs
    )
    found = (store.find_record(folder) for folder in folders)
    hold_codes(path, [record for record in found if record is not None])


def hold(path: Path, todo: Todo, say: Say) -> None:
    """Checks what a plan is about to read against a lock, or writes it where there is none.

    Raises:
        UsageError: There is a folder of that name.
        ProtocolError: Something has other content; names both hashes.
        DataError: The lock cannot be read, or a model's files.
    """
    if path.is_dir():
        raise UsageError("a lock is a file, and this is a folder", where=str(path))
    fresh = not path.exists()
    _settle(path, found_by(todo))
    say(f"{'wrote the lock' if fresh else 'all is as locked in'} {path}")


def hold_codes(path: Path, records: Iterable[Record]) -> None:
    """The same for the codes that finished runs read, which are made on the way.

    Raises:
        ProtocolError: Codes of one recipe and catalogue have other content than those locked.
        DataError: The lock cannot be read, or the codes.
    """
    from tastebench.build.codes import codes_folder
    from tastebench.items.semantic_ids.about import ABOUT, read_about

    known = {record.fingerprints.get("codes") for record in records}
    folders = {key: codes_folder() / key for key in known if key}
    there = {key: folder for key, folder in folders.items() if (folder / ABOUT).is_file()}
    if there:
        files = {key: dict(read_about(folder).files) for key, folder in there.items()}
        _settle(path, Lock(codes=files))


def found_by(todo: Todo) -> Lock:
    """What is here of what a plan reads."""
    gathered = todo.gathered
    datasets = {name: _dataset(one) for name, one in gathered.resources.datasets.items()}
    models = {
        name: _encoder(reference, gathered.resources.encoders[name].revision)
        for name, reference in gathered.encoders.items()
    }
    for name in _named_models(todo):
        models.setdefault(str(named(name)), _language_model(name))
    return Lock(datasets=datasets, models=models)


def _named_models(todo: Todo) -> list[str]:
    """What settings of runs name of files that were trained: language models, tokenizers."""
    found: dict[str, None] = {}
    for run in todo.runs:
        settings = {**run.spec.params, **run.given.get("params", {})}
        found |= dict.fromkeys(v for v in settings.values() if _is_folder(v))
        models = [settings.get("model"), *run.spec.grid.get("model", ())]
        found |= dict.fromkeys(name for name in models if isinstance(name, str) and name)
    return list(found)


def _is_folder(value: Any) -> bool:
    return isinstance(value, str) and "/" in value and Path(value).expanduser().is_dir()


def _dataset(dataset: Dataset) -> LockedDataset:
    from tastebench.data.fingerprint import fingerprint

    raw = dataset.manifest.get("raw")
    files = raw.get("files") if isinstance(raw, dict) else None
    return LockedDataset(
        fingerprint=fingerprint(dataset.tables),
        generator=dataset.card.generator,
        files=files if isinstance(files, dict) else {},
    )


def _encoder(reference: str, revision: str | None) -> LockedModel:
    from tastebench.encoders import get_encoder
    from tastebench.lm.load import ModelFolder, file_hashes

    if reference.startswith(PREFIX):
        return LockedModel(revision=revision)
    try:
        encoder = get_encoder(reference)
    except UsageError:  # an object that the caller brought: only its revision is known
        return LockedModel(revision=revision)
    folder = getattr(getattr(encoder, "base", encoder), "folder", None)
    files = file_hashes(folder.path) if isinstance(folder, ModelFolder) else {}
    return LockedModel(revision=revision, files=files)


def _language_model(name: str) -> LockedModel:
    from tastebench.encoders.catalog import language_model
    from tastebench.lm.endpoint import Endpoint
    from tastebench.lm.load import file_hashes

    if name.startswith(PREFIX):
        endpoint = Endpoint.parse(name)
        return LockedModel(revision=f"{endpoint.model}@{endpoint.address}")
    if _is_folder(name):
        files = file_hashes(Path(name).expanduser().resolve())
        return LockedModel(revision=hash_json(list(files.items())), files=files)
    folder = language_model(name)
    return LockedModel(revision=folder.revision, files=file_hashes(folder.path))


# ---------------------------------------------------------------------------------- comparing


def _settle(path: Path, found: Lock) -> None:
    """Compares with what is locked and adds what is new; one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(f".{path.name}.lock"), lambda: None):
        locked = Lock.read(path) if path.exists() else Lock()
        differences = list(_compare(locked, found))
        if differences:
            told = "\n".join(f"  {difference}" for difference in differences)
            raise ProtocolError(
                f"what the plan reads is not what was locked:\n{told}",
                where=str(path),
                fix="bring back what was locked, or lock what is here under another name",
            )
        whole = Lock(
            datasets={**locked.datasets, **found.datasets},
            models={**locked.models, **found.models},
            codes={**locked.codes, **found.codes},
        )
        if whole != locked or not path.exists():
            write_json(path, whole.model_dump(mode="json"))


def _compare(locked: Lock, found: Lock) -> Iterable[_Difference]:
    for name in sorted(locked.datasets.keys() & found.datasets.keys()):
        then, now = locked.datasets[name], found.datasets[name]
        what = f"dataset {name}"
        if then.fingerprint != now.fingerprint:
            yield _Difference(what, then.fingerprint, now.fingerprint)
        if then.generator != now.generator:
            yield _Difference(f"{what}, generator", then.generator, now.generator)
        if then.files and now.files:
            yield from _files(what, then.files, now.files)
    for name in sorted(locked.models.keys() & found.models.keys()):
        was, is_ = locked.models[name], found.models[name]
        if was.revision != is_.revision and was.files == is_.files:
            yield _Difference(f"model {name}, revision", was.revision, is_.revision)
        yield from _files(f"model {name}", was.files, is_.files)
    for key in sorted(locked.codes.keys() & found.codes.keys()):
        yield from _files(f"codes {key}", locked.codes[key], found.codes[key])


def _files(what: str, locked: dict[str, str], found: dict[str, str]) -> Iterable[_Difference]:
    for name in sorted(locked.keys() | found.keys()):
        if locked.get(name) != found.get(name):
            yield _Difference(f"{what}, {name}", locked.get(name), found.get(name))
