"""A question set as a folder that can be kept, copied and handed on.

- `questions.parquet`: a row a question, as `QuestionSet.table`.
- `questions.json`: of which data and by which rules they were made, what could not be asked, and
  the checksum of the other.

What users did is not in it: it is in the dataset, by whose fingerprint it is known. A folder may
come from anybody: nothing in it is believed before it has been checked.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastebench.data.foreign import BROKEN, read_parquet
from tastebench.data.questions.attributes import How
from tastebench.data.questions.generate import LABELS, QuestionSet
from tastebench.data.questions.spec import KINDS, PARTS, Kind, QuestionSpec
from tastebench.errors import DataError, UsageError
from tastebench.files import atomic_folder, hash_file, read_json, write_json

FORMAT = 1
ABOUT, TABLE = "questions.json", "questions.parquet"
_MOST = 1 << 24
"""Bytes of a `questions.json` that are read at most; a real one has some thousands."""

_MOST_TABLE = 1 << 31
"""Bytes of questions in memory at most; a million of them take a fifth of it."""

COLUMNS: dict[str, pl.DataType] = {
    "qid": pl.String(),
    "part": pl.String(),
    "user_id": pl.String(),
    "subtask": pl.String(),
    "attribute": pl.String(),
    "template": pl.String(),
    "question": pl.String(),
    "options": pl.List(pl.String()),
    "gold_label": pl.String(),
    "gold_text": pl.String(),
    "evidence": pl.List(pl.Int64()),
}
"""Of `questions.parquet`; only `attribute` may be null, where a question is about none."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """The dataset whose users are asked about."""

    name: str
    fingerprint: str


class Column(_Part):
    """Which column an attribute is, and how it is read."""

    name: str
    column: str
    how: How


class About(_Part):
    """What `questions.json` says.

    Attributes:
        hash: Identifies the questions: of all that they depend on.
        spec: How they were made.
        attributes: The title first.
        templates: Hash of all wordings.
        counts: As `QuestionSet.counts`.
        chance: Share of right answers by guessing, of each kind that is asked.
        checked: Questions whose answer was worked out a second time, and was the same.
        tastebench: Version that made them.
        created: When, UTC.
        files: SHA-256 of the other file.
    """

    kind: Literal["questions"] = "questions"
    format: Literal[1] = 1
    hash: str = Field(pattern="^[0-9a-f]{32}$")
    dataset: Source
    spec: QuestionSpec
    attributes: Annotated[tuple[Column, ...], Field(min_length=1)]
    templates: str
    counts: dict[str, dict[str, int]]
    chance: dict[Kind, float]
    checked: int
    tastebench: str
    created: str
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}


@dataclass(frozen=True, eq=False)
class Artefact:
    """Questions with all that is known of them."""

    folder: Path
    about: About
    table: pl.DataFrame


def about_of(made: QuestionSet, key: str, checked: int, version: str, created: str) -> About:
    """What is to be said of a question set; the checksum is filled in by `save`."""
    return About(
        hash=key,
        dataset=Source(name=made.dataset, fingerprint=made.fingerprint),
        spec=made.spec,
        attributes=tuple(
            Column(name=rule.name, column=rule.column, how=rule.how) for rule in made.attributes
        ),
        templates=made.templates,
        counts=made.counts,
        chance=made.chance,
        checked=checked,
        tastebench=version,
        created=created,
    )


def save(folder: Path, about: About, table: pl.DataFrame) -> Artefact:
    """Writes an artefact, atomically: the old content of the folder or the new, never a half.

    Raises:
        DataError: The disk is full or the folder cannot be written.
    """
    with _writing(folder), atomic_folder(folder) as target:
        table.write_parquet(target / TABLE, compression="zstd")
        told = about.model_copy(update={"files": {TABLE: hash_file(target / TABLE)}})
        write_json(target / ABOUT, told.model_dump(mode="json"))
    return Artefact(folder, told, table)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the questions cannot be written: {error.strerror or error}",
            where=str(folder),
            fix="make room, or choose another place",
        ) from error


def is_artefact(folder: Path) -> bool:
    """Whether `folder`, or the folder of a file of that name, was written by `save`."""
    return (folder / ABOUT).is_file() or (folder.name == ABOUT and folder.is_file())


def free_for(folder: Path, key: str | None = None) -> None:
    """Refuses to put questions where something else lies.

    Args:
        folder: Where they would lie.
        key: Their hash; None if it is not known yet.

    Raises:
        UsageError: There is a file, or a folder that holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if is_artefact(folder) and (key is None or read_about(folder).hash == key):
        return
    what = "other questions are" if is_artefact(folder) else "there is something else"
    raise UsageError(
        f"{what} here, and it stays", where=str(folder), fix="name a folder that is not there yet"
    )


def copy(artefact: Artefact, folder: Path) -> Artefact:
    """The artefact in another folder.

    Raises:
        UsageError: Other questions lie there, or something else.
        DataError: It cannot be written.
    """
    free_for(folder, artefact.about.hash)
    if folder.resolve() != artefact.folder.resolve():
        with _writing(folder), atomic_folder(folder) as target:
            for name in (TABLE, ABOUT):
                shutil.copyfile(artefact.folder / name, target / name)
    return replace(artefact, folder=folder)


# -------------------------------------------------------------------------------------- reading


def read_about(folder: Path) -> About:
    """What is said of the questions in a folder, without reading them.

    Raises:
        DataError: There are none, or what is said cannot be read.
    """
    path = folder / ABOUT
    if not path.is_file():
        raise DataError(
            "there are no questions here",
            where=str(folder),
            fix=f"they are a folder with {ABOUT}: `tastebench build questions` makes one",
        )
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"it has more than {_MOST:,} bytes")
        value: Any = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(value, Mapping) or value.get("kind") != "questions":
        raise _damaged(path, "it says nothing of questions")
    if value.get("format") != FORMAT:
        raise DataError(
            "these questions were saved in another format",
            where=str(path),
            fix=f"make them again; this version reads format {FORMAT}",
        )
    try:
        return About.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"it is wrong at {place}: {first['msg']}") from error


def load(folder: Path) -> Artefact:
    """Reads what `save` wrote, and checks that it is whole.

    Args:
        folder: Of the artefact, or its `questions.json`.

    Raises:
        DataError: There is none, or it is damaged or of another format.
    """
    folder = folder.parent if folder.name == ABOUT and folder.is_file() else folder
    about = read_about(folder)
    path = folder / TABLE
    try:
        digest = hash_file(path)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    if digest != about.files.get(TABLE):
        raise _damaged(path, "its checksum is not the one that was saved")
    try:
        table = read_parquet(path, most=_MOST_TABLE)
    except BROKEN as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    _check_table(path, table, about)
    return Artefact(folder, about, table)


def _check_table(path: Path, table: pl.DataFrame, about: About) -> None:
    """Refuses what is not a table of questions; where it comes from is anybody's guess."""
    if dict(table.schema) != COLUMNS:
        raise _damaged(path, f"its columns are {', '.join(table.columns)}")
    n = about.spec.options
    known = {
        "holds nulls": ~pl.any_horizontal(pl.exclude("attribute").is_null()),
        "names an unknown part": pl.col("part").is_in(PARTS),
        "names an unknown kind": pl.col("subtask").is_in(KINDS),
        f"does not have {n} options": pl.col("options").list.len() == n,
        "names an unknown option": pl.col("gold_label").is_in(LABELS[:n]),
    }
    for why, good in known.items():
        bad = table.select(~good.fill_null(False)).to_series().arg_true()
        if len(bad):
            raise _damaged(path, f"question {bad[0] + 1} {why}")


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"the questions are damaged: {path.name}: {why}",
        where=str(path),
        fix="make them again with `tastebench build questions`",
    )
