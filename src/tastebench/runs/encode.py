"""The encode step: once per dataset, encoder and text recipe, before the runs that need it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import Encoder, Role
from tastebench.errors import DataError
from tastebench.files import atomic_file, hash_json
from tastebench.lm.endpoint import RemoteError
from tastebench.runs import latency, limits, store
from tastebench.runs.energy import OF_ENCODING, Energy, Meter, measure
from tastebench.runs.job import Surroundings
from tastebench.runs.material import Vectors, item_words, query_words
from tastebench.runs.record import EncodeStep

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.encoders.vectors import Encoded
    from tastebench.tasks import TaskProtocol
    from tastebench.tasks.evaluate import Asked
    from tastebench.tasks.quiz import Quiz
    from tastebench.tasks.shown import Shown


@dataclass(frozen=True, eq=False)
class EncodeJob:
    """What to encode and for which tasks; plain values, so that it can travel.

    Attributes:
        dataset: Name or folder that `load_dataset` takes.
        fingerprint: Of the dataset's values.
        encoder: Its name.
        reference: What `get_encoder` takes: a name, or the path of a folder.
        revision: Of its weights; None makes the step be done anew every time.
        protocols: The tasks whose requests are timed, one protocol a task.
        latency_seconds: Time limit of a run's latency measurement; half of it is for encoding.
        threads: CPU threads; the step is alone, so all there are. Where it is shared by several
            machines each has as many: sums in another order are other last digits.
        texts: What the item texts depend on besides the dataset's values and the recipe's name.
        meter: Whether and how energy is measured.
    """

    out: Path
    dataset: str
    fingerprint: str
    encoder: str
    reference: str
    revision: str | None
    text_recipe: str
    protocols: tuple[TaskProtocol, ...]
    latency_seconds: float
    threads: int
    texts: str | None = None
    meter: Meter = field(default_factory=Meter)

    @property
    def folder(self) -> Path:
        """Where it leaves its result."""
        identity = [self.fingerprint, self.encoder, self.revision, self.text_recipe]
        identity += [] if self.texts is None else [self.texts]
        tasks = [protocol.model_dump(mode="json") for protocol in self.protocols]
        return self.out / store.WORK / f"encoded-{hash_json([*identity, *tasks])}"

    @property
    def energy(self) -> Path:
        """File of the energy used so far; outside the folder, which is cleared after a kill."""
        return self.folder.with_name(f"{self.folder.name}-energy.json")

    @property
    def result(self) -> Path:
        """The file that says where the vectors are; there once the step is done."""
        return self.folder / "vectors.json"

    def texts_of(self, dataset: Dataset) -> list[tuple[Role, list[str]]]:
        """What is encoded: the items' texts and, where a task asks them, the queries."""
        texts: list[tuple[Role, list[str]]] = [("item", item_words(dataset, self.text_recipe))]
        words = query_words(dataset)
        if words and any(protocol.task == "search" for protocol in self.protocols):
            texts.append(("query", words))
        return texts

    def is_done(self) -> bool:
        """Whether an earlier plan left its vectors, and they are still there."""
        if self.revision is None or not self.result.is_file():
            return False
        try:
            Vectors.read(self.result).check()
        except DataError:  # damaged or gone: the step finds the shards that are whole
            return False
        return True


@dataclass(frozen=True, eq=False)
class EncodeShare:
    """A share of an encode step's shards, made where there is room; the step finds them kept.

    Attributes:
        part: From 0.
        parts: How many there are.
    """

    job: EncodeJob
    part: int
    parts: int

    @property
    def key(self) -> str:
        """Names it."""
        return f"{self.job.result}#{self.part + 1}-of-{self.parts}"

    @property
    def label(self) -> str:
        """What it is called where it is watched."""
        return f"encode {self.job.encoder}, part {self.part + 1} of {self.parts}"

    @property
    def log(self) -> Path:
        """Where its standard output and error go."""
        return self.job.folder / f"log-{self.part + 1}.txt"


def do_encode_share(share: EncodeShare, around: Surroundings) -> None:
    """Makes a share of the shards in a process of its own."""
    from tastebench.data.catalog import load_dataset
    from tastebench.encoders import get_encoder
    from tastebench.encoders.vectors import encode_share

    job = share.job
    limits.announce_threads(job.threads)
    encoder, dataset = get_encoder(job.reference), load_dataset(job.dataset)
    own = slice(share.part, None, share.parts)
    with limits.threads(job.threads):
        for role, texts in job.texts_of(dataset):
            progress = _counting(around, "items" if role == "item" else "queries")
            encode_share(encoder, texts, role, recipe=job.text_recipe, share=own, progress=progress)


def do_encode(job: EncodeJob, around: Surroundings) -> None:
    """Carries an encode step out in a process of its own."""
    from tastebench.encoders import get_encoder

    limits.announce_threads(job.threads)
    job.meter.prepare()
    encode(job, get_encoder(job.reference), around)


def encode(job: EncodeJob, encoder: Encoder, around: Surroundings) -> None:
    """Encodes the catalogue and the queries and times what single requests would take."""
    from tastebench.data.catalog import load_dataset
    from tastebench.encoders.vectors import encode_items, encode_queries

    dataset = load_dataset(job.dataset)
    (_, items), *others = job.texts_of(dataset)
    with limits.threads(job.threads):
        queries = None
        with measure(job.meter, OF_ENCODING, job.energy) as reading:
            progress = _counting(around, "items")
            encoded = encode_items(encoder, items, recipe=job.text_recipe, progress=progress)
            for _, words in others:
                progress = _counting(around, "queries")
                queries = encode_queries(
                    encoder, words, items, recipe=job.text_recipe, progress=progress
                )
        encode_ms = {}
        if not encoded.card.control:
            try:
                encode_ms = _time(job, encoder, dataset, items, around)
            except RemoteError as error:  # paid vectors are not thrown away for want of a timing
                around.tell(f"single requests are not timed: {error.what}")
    Vectors(
        items=_file(encoded, job.folder / "items.npy"),
        queries=_file(queries, job.folder / "queries.npy") if queries else None,
        step=_with_energy(_step(encoded, queries, job.threads), reading.energy),
        parameters=encoded.cost.parameters,
        revision=encoded.card.revision,
        nested=encoded.card.nested,
        key=encoded.key,
        encode_ms=encode_ms,
    ).write(job.result)
    job.energy.unlink(missing_ok=True)


def _file(encoded: Encoded, otherwise: Path) -> Path:
    """Where vectors lie: in the cache, or, where nothing is cached, in a file of this plan."""
    if isinstance(encoded.vectors, np.memmap) and encoded.vectors.filename is not None:
        return Path(encoded.vectors.filename)
    with atomic_file(otherwise) as temporary:
        np.save(temporary, encoded.vectors, allow_pickle=False)
    return otherwise


def _step(items: Encoded, queries: Encoded | None, threads: int) -> EncodeStep:
    """Cost over items and queries; texts/s is that of the items, which are many."""
    costs = [items.cost] + ([queries.cost] if queries else [])
    tokens = [cost.tokens for cost in costs if cost.tokens is not None]
    usd = [cost.usd for cost in costs if cost.usd is not None]
    return EncodeStep(
        seconds=sum(cost.seconds for cost in costs),
        texts=sum(cost.texts for cost in costs),
        texts_encoded=sum(cost.texts_encoded for cost in costs),
        texts_per_second=items.cost.texts_per_second,
        tokens=sum(tokens) if tokens else None,
        usd=sum(usd) if usd else None,
        cached=all(cost.cached for cost in costs),
        device=items.cost.device,
        dtype=items.cost.dtype,
        threads=threads,
        pooling=items.card.pooling,
        query_instruction=queries.card.query_instruction if queries else None,
    )


def _with_energy(step: EncodeStep, energy: Energy | None) -> EncodeStep:
    """The step with its energy, where that is of its encoding: not of a cache or another machine.

    What took longer to encode than was measured was encoded in part before.
    """
    if energy is None or step.cached or "remote" in (step.device or ""):
        return step
    whole = energy.complete and energy.seconds >= (step.seconds or 0.0)
    return step.model_copy(update={"energy": energy.model_copy(update={"complete": whole})})


# ------------------------------------------------------------------------------ single requests


def _time(
    job: EncodeJob, encoder: Encoder, dataset: Dataset, items: list[str], around: Surroundings
) -> dict[str, list[float]]:
    """Per task, what encoding takes within each of its first requests, in milliseconds."""
    from tastebench.encoders.hooks import FitsCatalogue
    from tastebench.tasks import TASKS, QueryForms

    if job.latency_seconds <= 0:
        return {}
    around.tell("timing single requests")
    if isinstance(encoder, FitsCatalogue):
        encoder = encoder.fitted(items)
    times: dict[str, list[float]] = {}
    for protocol in job.protocols:
        task = TASKS.get(protocol.task)
        forms = QueryForms(text=query_words(dataset) if task.name == "search" else None)
        asked = task.ask(task.problem(dataset, protocol), protocol, "test", forms)
        rows = latency.request_rows(len(asked))
        if len(rows):
            ask = _encode_request(encoder, asked, items)
            times[task.name] = latency.time_each(ask, rows, job.latency_seconds / 2).tolist()
    return times


def _encode_request(
    encoder: Encoder, asked: Asked | Shown | Quiz, items: Sequence[str]
) -> Callable[[int], object]:
    """Encodes what a request brings along."""

    def ask(row: int) -> object:
        texts, role = asked.brings(row, items)
        return encoder.encode(texts, role) if texts else None

    return ask


def _counting(around: Surroundings, what: str) -> Callable[[int, int], None]:
    return lambda done, total: around.tell(f"{what} {done:,} of {total:,}")
