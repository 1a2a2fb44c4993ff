"""The codes step: semantic ids of a catalogue, once, before the runs that read them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from tastebench.build.codes import CODES
from tastebench.files import hash_json, read_sealed, write_sealed
from tastebench.items.semantic_ids.methods import settings_of
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.ragged import Ragged
from tastebench.runs import limits, store
from tastebench.runs.job import Surroundings
from tastebench.runs.material import Vectors, read_vectors
from tastebench.runs.record import CodesStep

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import TaskProtocol


@dataclass(frozen=True, eq=False)
class CodesJob:
    """Which codes to make of what; plain values, so that it can travel.

    Attributes:
        dataset: Name or folder that `load_dataset` takes.
        fingerprint: Of the dataset's values.
        encoder: Its name; None for codes that are drawn.
        vectors: File that the encode step leaves; None where no vectors are read.
        protocol: Whose training part the codebooks are learned from; None where from all items.
        threads: CPU threads, those of the runs: sums in another order are other codes.
        lasts: Whether what it makes can be used again, because its vectors are identified.
        text_recipe: How items were put into words for the vectors, for the artefact to say.
    """

    out: Path
    dataset: str
    fingerprint: str
    recipe: CodeRecipe
    encoder: str | None
    vectors: Path | None
    protocol: TaskProtocol | None
    threads: int
    lasts: bool
    text_recipe: str | None = None

    @property
    def folder(self) -> Path:
        """Where it leaves its result."""
        protocol = None if self.protocol is None else self.protocol.model_dump(mode="json")
        vectors = None if self.vectors is None else self.vectors.parent.name
        recipe = self.recipe.anywhere
        settings = settings_of(recipe).model_dump(mode="json")
        made = [CODES, recipe.model_copy(update={"settings": settings}).model_dump(mode="json")]
        identity = [self.fingerprint, made, vectors, protocol, self.threads]
        return self.out / store.WORK / f"codes-{hash_json(identity)}"

    @property
    def result(self) -> Path:
        """The file that says where the codes are; there once the step is done."""
        return self.folder / "codes.json"

    def is_done(self) -> bool:
        """Whether an earlier plan left its codes, and they are still there."""
        if not (self.lasts and self.result.is_file()):
            return False
        try:
            return MadeCodes.read(self.result).folder.is_dir()
        except ValueError:  # another version's, or damaged: they are looked for again
            return False


class MadeCodes(BaseModel):
    """What the codes step leaves for the runs that use its codes.

    Attributes:
        folder: Of the artefact.
        hash: Identifies it.
        step: What it took, and how good they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    hash: str
    step: CodesStep

    @classmethod
    def read(cls, path: Path) -> MadeCodes:
        """Reads what `do_codes` wrote."""
        return cls.model_validate(read_sealed(path))

    def load(self, dataset: Dataset) -> np.ndarray:
        """The codes, int64 `[n_items, width]`, -1 after the end of a shorter path.

        Raises:
            DataError: They are damaged, or of another catalogue.
        """
        from tastebench.items.semantic_ids.artefact import load

        values: np.ndarray = load(self.folder, dataset).ids.values
        return values


def do_codes(job: CodesJob, around: Surroundings) -> None:
    """Makes the codes, or finds them among the artefacts of earlier plans."""
    from tastebench.build.codes import make_codes
    from tastebench.data.catalog import load_dataset

    limits.announce_threads(job.threads)
    dataset = load_dataset(job.dataset)
    vectors = None if job.vectors is None else Vectors.read(job.vectors)
    if vectors is not None:
        vectors.check()
    began = time.perf_counter()
    with limits.threads(job.threads):
        artefact = make_codes(
            job.recipe,
            dataset,
            None if vectors is None else read_vectors(vectors.items),
            encoder=job.encoder,
            revision=None if vectors is None else vectors.revision,
            key=None if vectors is None else vectors.key,
            learn_rows=None if job.protocol is None else taken_in(dataset, job.protocol),
            progress=around.tell,
            text_recipe=job.text_recipe,
        )
    seconds = time.perf_counter() - began
    made = MadeCodes(
        folder=artefact.folder,
        hash=artefact.hash,
        step=CodesStep(
            seconds=artefact.about.get("seconds", seconds),
            threads=job.threads,
            quality=artefact.about["quality"],
        ),
    )
    write_sealed(job.result, made.model_dump(mode="json"))


def taken_in(dataset: Dataset, protocol: TaskProtocol) -> np.ndarray:
    """The items that occur in a protocol's training part, int64, ascending."""
    from tastebench.tasks import TASKS

    train = TASKS.get(protocol.task).problem(dataset, protocol).train
    items = train.values if isinstance(train, Ragged) else train.item
    return np.unique(items).astype(np.int64)
