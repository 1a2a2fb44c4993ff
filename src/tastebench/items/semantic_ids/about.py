"""What is said of semantic ids beside them: of which items, made of what and how, how good.

It is read from folders that may come from anybody: what is said has to be what can be meant.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastebench.errors import DataError
from tastebench.files import read_json
from tastebench.items.semantic_ids.methods import SETTINGS
from tastebench.items.semantic_ids.recipe import CodeRecipe

FORMAT = 1
"""Version of the folder that `artefact.save` writes."""

ABOUT = "codes.json"
_MOST = 1 << 26
"""Bytes of a `codes.json` that are read at most; a real one has some thousands."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


Number = int | float | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Catalogue(_Part):
    """The items that have the codes.

    Attributes:
        name, fingerprint: Of the dataset.
        items: How many.
        order: Hash of their ids in order: equal hash, equal rows.
    """

    name: str
    fingerprint: str
    items: int = Field(ge=0)
    order: Digest


class Source(_Part):
    """The vectors that codes were made of.

    Attributes:
        encoder: Its name.
        revision: Of its weights; None if nobody can tell.
        key: Of the vectors: encoder, text recipe and every text.
        text_recipe: What made the texts; None where it was not said.
    """

    encoder: str
    revision: str | None
    key: str
    text_recipe: str | None = None


class Learned(_Part):
    """The items that codebooks were learned from, where those are not all.

    Attributes:
        items: How many.
        rows: Hash of their rows.
    """

    items: int = Field(ge=0)
    rows: Digest


class About(_Part):
    """What `codes.json` says.

    Attributes:
        hash: Identifies the codes: of all that they depend on.
        recipe: With every setting of the method.
        dataset: Whose items.
        vectors: What they were made of; None where they are drawn.
        learned_from: None for all items.
        sizes: Codes of each level of the values.
        levels: Levels without the one that tells equal paths apart.
        quality: How good they are, in numbers.
        made: How learning went.
        seconds: What making them took.
        threads: CPU threads it had; None where they are drawn.
        tastebench: Version that made them.
        created: When, UTC.
        files: SHA-256 of the other files.
    """

    kind: Literal["semantic-ids"] = "semantic-ids"
    format: Literal[1] = 1
    hash: str = Field(pattern="^[0-9a-f]{16,64}$")
    recipe: CodeRecipe
    dataset: Catalogue
    vectors: Source | None
    learned_from: Learned | None
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    levels: int = Field(ge=1)
    quality: dict[str, Number | list[dict[str, Number]]]
    made: dict[str, Any]
    seconds: float
    threads: int | None
    tastebench: str
    created: str
    files: dict[str, Digest] = {}


def read_about(folder: Path) -> About:
    """What is said of the codes in a folder, without reading them.

    Raises:
        DataError: There are none, or what is said cannot be read.
    """
    path = Path(folder) / ABOUT
    if not path.is_file():
        raise DataError(
            "there are no semantic ids here",
            where=str(folder),
            fix=f"they are a folder with {ABOUT}: `tastebench build codes` makes one",
        )
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"it has more than {_MOST:,} bytes")
        value = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(value, Mapping) or value.get("kind") != "semantic-ids":
        raise DataError(
            f"this {ABOUT} is of something else than semantic ids",
            where=str(path),
            fix="name a folder that `tastebench build codes` made",
        )
    if value.get("format") != FORMAT:
        raise DataError(
            "these codes were saved in another format",
            where=str(path),
            fix=f"make them again; this version reads format {FORMAT}",
        )
    try:
        about = About.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise damaged(path, f"it is wrong at {place}: {first['msg']}") from error
    rows = about.quality.get("levels", [])
    if not isinstance(rows, list) or len(rows) not in (0, about.levels):
        raise damaged(path, "its quality is not of as many levels as its codes")
    if about.levels != about.recipe.levels or len(about.sizes) - about.levels not in (0, 1):
        raise damaged(path, f"{len(about.sizes)} levels are not those of its recipe")
    return about


def made_by(about: About) -> str:
    """The command that makes the same codes, where they were learned from all items.

    Codes that were learned from the training part of a run's split are made by that run's plan.
    """
    recipe = about.recipe
    defaults = SETTINGS[recipe.method]().model_dump(mode="json")
    parts = ["tastebench", "build", "codes", "--dataset", about.dataset.name]
    if about.vectors is not None:
        parts += ["--encoder", about.vectors.encoder]
        if about.vectors.text_recipe is not None:
            parts += ["--text-recipe", about.vectors.text_recipe]
    parts += ["--method", recipe.method]
    parts += ["--levels", str(recipe.levels), "--size", str(recipe.size)]
    if recipe.ties != "where-needed":
        parts += ["--ties", recipe.ties]
    if recipe.seed:
        parts += ["--seed", str(recipe.seed)]
    for name, value in recipe.settings.items():
        if name not in defaults or value != defaults[name]:
            parts += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if about.threads is not None and about.threads > 1:
        parts += ["--threads", str(about.threads)]
    return shlex.join(parts)


def damaged(path: Path, why: str, about: About | None = None) -> DataError:
    """The error for a file that is not what was saved, and how to make it again."""
    if about is None:
        again = "make the codes again, if it was one of semantic ids"
    elif about.learned_from is None:
        again = f"make the codes again: {made_by(about)}"
    else:
        again = "give the command of the plan again: it makes codes of what its runs train on"
    return DataError(
        f"the codes are damaged: {path.name}: {why}",
        where=str(path),
        fix=f"delete the folder and {again}",
    )
