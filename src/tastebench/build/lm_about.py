"""What is said of a language model that was trained here, beside it: of what, how, with what.

A folder of such a model loads like any other. What is said is also what a run looks at before it
lets the model near its test part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastebench.data.provenance import Provenance
from tastebench.errors import DataError
from tastebench.files import hash_file, hash_json, load_array, read_sealed
from tastebench.tasks import TaskProtocol
from tastebench.training.settings import TrainSettings

ABOUT, ROWS = "tastebench-lm.json", "tastebench-lm-rows.npy"
_MOST = 1 << 24


class LMRecipe(BaseModel):
    """The shape of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    vocabulary: int = Field(8192, ge=300, le=1_000_000)
    """Tokens at most, the 256 bytes among them; small data have fewer."""

    layers: int = Field(4, ge=1)
    hidden_size: int = Field(256, ge=8)
    heads: int = Field(4, ge=1)
    inner_size: int = Field(704, ge=8)
    """Width inside the gated feed-forward part."""

    context: int = Field(512, ge=64)
    """Tokens that it reads at once."""


class LMSettings(TrainSettings):
    """How it is trained; the defaults suit a few million tokens."""

    lr: float = Field(1e-3, gt=0)
    """Learning rate of Adam."""

    batch_size: int = Field(16, ge=1)
    """Stretches of `context` tokens in a batch."""

    epochs: int = Field(20, ge=1)
    """Passes over the train part at most."""

    patience: int = Field(2, ge=1)
    """Stop after this many epochs in a row that did not predict held-out documents better."""


class Source(BaseModel):
    """What it was trained on.

    Attributes:
        name, fingerprint: Of the dataset.
        task: Whose train part.
        part: Identifies how that part was cut.
        text_recipe: What made the items' texts.
        items, histories: Documents of each kind; a long history is several.
        silent, single: Items without text, and users of one item: left out.
        shortened: Items whose text is cut in histories.
        tokens: All documents together.
        rows: Interactions that it was trained on; None where it was not cut from them one by one.
        cutoff: All of them lie before this time, milliseconds; None without times.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    fingerprint: str
    task: str
    part: str
    text_recipe: str
    items: int
    histories: int
    silent: int
    single: int
    shortened: int
    tokens: int
    rows: int | None
    cutoff: int | None


class About(BaseModel):
    """What `tastebench-lm.json` says. It holds no time, so that equal models are equal folders.

    Attributes:
        hash: Identifies all that the model depends on.
        seed, threads: Of the training.
        vocabulary: Tokens there are.
        parameters: Numbers that were trained.
        curve: One row an epoch: its loss, and minus that of held-out documents.
        best_epoch: The one that was kept.
        files: SHA-256 of the other files of its folder, by name; nothing where an earlier version
            made it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["language-model"] = "language-model"
    format: Literal[1] = 1
    hash: str = Field(pattern="^[0-9a-f]{16,64}$")
    recipe: LMRecipe
    settings: LMSettings
    seed: int
    threads: int
    source: Source
    vocabulary: int
    parameters: int
    curve: tuple[dict[str, float], ...]
    best_epoch: int | None
    tastebench: str
    files: dict[str, str] = {}


_CUTS_USERS = ("ratios", "seed", "max_length", "too_long")
"""What of questions decides who is a train user, and what of a history is shown."""


def part_of(protocol: TaskProtocol) -> str:
    """Identifies how a train part is cut: two protocols with the same have the same one."""
    said = protocol.model_dump(mode="json")
    cut = {name: said.get(name) for name in ("task", "split", "rows")}
    if protocol.questions is not None:
        cut |= {"users": [said["questions"][name] for name in _CUTS_USERS]}
    return hash_json(cut)


def is_trained_here(folder: Path) -> bool:
    """Whether the model in a folder was trained by `tastebench build lm`."""
    return (folder / ABOUT).is_file()


def read_about(folder: Path) -> About:
    """What is said of the model in a folder.

    Raises:
        DataError: It cannot be read.
    """
    path = folder / ABOUT
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"it has more than {_MOST:,} bytes")
        return About.model_validate(read_sealed(path))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"what is said of the language model cannot be read: {reason}",
            where=str(path),
            fix="make it again: tastebench build lm",
        ) from error


def check_files(folder: Path, about: About) -> None:
    """Makes sure that the model in a folder is the one that was trained.

    Raises:
        DataError: A file of it is missing or damaged.
    """
    for name, digest in about.files.items():
        if not (folder / name).is_file() or hash_file(folder / name) != digest:
            raise DataError(
                "a file of the language model is missing or damaged",
                where=str(folder / name),
                fix=f"delete {folder} and make it again: tastebench build lm",
            )


def provenance_of(folder: Path) -> Provenance:
    """What the model in a folder was made from, as of a text that a model wrote.

    Raises:
        DataError: It cannot be read.
    """
    about = read_about(folder)
    check_files(folder, about)
    rows: Any = None
    if about.source.rows is not None:
        try:
            rows = np.array(load_array(folder / ROWS))
        except (OSError, ValueError) as error:
            raise DataError(
                "the rows that the language model was trained on cannot be read",
                where=str(folder / ROWS),
                fix="make it again: tastebench build lm",
            ) from error
    return Provenance(
        kind="language model",
        fields=(),
        made_by="tastebench build lm",
        source=about.source.fingerprint,
        cutoff=about.source.cutoff,
        rows=rows,
    )
