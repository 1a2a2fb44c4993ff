"""Record: everything a reader may ask about one run, as one JSON file.

A board is computed from records and from nothing else, so whatever a number depends on is here:
what was asked for (as given and as resolved), the protocol, the tuning budget, the fingerprints of
data and vectors, the environment, the cost. The schema only grows; a change of meaning raises
`SCHEMA_VERSION`, and readers keep reading older versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastebench.data.shortcut_facts import Shortcuts
from tastebench.errors import DataError
from tastebench.files import hash_file, read_sealed, write_sealed
from tastebench.runs.energy import Energy
from tastebench.runs.spec import RunSpec

SCHEMA_VERSION = 1
KILLED = "Killed"
"""The kind of failure of a run whose process was ended from outside; what it kept is still good."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricValue(_Part):
    """The mean of a metric over its units, with a bootstrap interval.

    All three numbers are None where no unit has a defined value.

    Attributes:
        mean: Mean over the units where the metric is defined.
        low, high: Ends of the 95 % bootstrap interval of the mean.
        n: Units with a defined value.
        undefined: Units without one; they are left out of the mean, never counted as 0 or 1.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    n: int
    undefined: int = 0


class Percentiles(_Part):
    """Milliseconds a request, batch 1.

    Attributes:
        n: Requests that were timed.
        mean: What published tables print; None in records from before it was kept.
    """

    p50: float
    p95: float
    p99: float
    n: int
    mean: float | None = None


class Latency(_Part):
    """How long one request takes, measured while nothing else of the plan runs.

    A request is one test query: its scores over the whole catalogue and the best `k` of them. In
    click prediction it is the score of one candidate. Of a model behind an address it is what the
    requests of the test part took, attempts and waiting included; nothing is asked again for it.

    Attributes:
        cached: The item side and the query's own vector are ready.
        cold: What the asker needs is encoded within the request: the query's text (search) or the
            texts of the history (other tasks), and what a click model keeps of items is made anew,
            then scored as above. None without either, for control encoders, and where a remote
            model could not be asked for it.
        users_cached: What a click model makes of the user is ready too; None for other models.
        first_ms: The very first request after fitting, which may build the item side.
        k: Length of the list asked for.
        budget_seconds: Time limit given to each of the two measurements.
        others: Cores that other processes kept busy meanwhile, on average; near 0 if alone.
    """

    cached: Percentiles
    cold: Percentiles | None = None
    users_cached: Percentiles | None = None
    first_ms: float
    k: int
    budget_seconds: float
    others: float | None = None


class EncodeStep(_Part):
    """What it took to turn the catalogue (and the queries) into vectors.

    Attributes:
        seconds: Wall time of encoding; None where all vectors came from the cache of an earlier
            plan and their making was not timed.
        texts: Texts asked for.
        texts_encoded: Texts that were not in the cache.
        texts_per_second: Over the encoded ones.
        tokens: Tokens read, where the encoder counts them.
        usd: US dollars paid to the provider of a remote model when the vectors were made; what
            timing single requests took is not in it. None where no price is known.
        threads: CPU threads it had.
        pooling: How token states became one vector; None where the model's own files say it.
        query_instruction: What stood before every query; None for nothing, or without queries.
        energy: Of the texts that were encoded while it was measured; None where it was not, where
            all vectors came from the cache, and for a remote model.
    """

    seconds: float | None = None
    texts: int
    texts_encoded: int
    texts_per_second: float | None = None
    tokens: int | None = None
    usd: float | None = None
    cached: bool = False
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    pooling: str | None = None
    query_instruction: str | None = None
    energy: Energy | None = None


class CodesStep(_Part):
    """What it took to make semantic ids of the catalogue's vectors, and how good they are.

    Attributes:
        seconds: Wall time of making them, in this plan or in an earlier one.
        threads: CPU threads it had.
        quality: What `tastebench build codes` reports in numbers: collision rate and the like.
    """

    seconds: float | None = None
    threads: int | None = None
    quality: dict[str, Any] = {}


class Parameters(_Part):
    """Numbers a model is made of: weights of the encoder, and what the recommender learned."""

    encoder: int | None = None
    recommender: int | None = None


class Prompting(_Part):
    """What was read and written by a language model that was asked, over all parts of the run.

    Attributes:
        requests: Sent to a server; None for a model on this machine.
        kept: Answers of the server that were kept from before.
        usd: What it charged; None where no price is known.
    """

    prompt_tokens: int
    completion_tokens: int
    requests: int | None = None
    kept: int | None = None
    usd: float | None = None


class Cost(_Part):
    """What the run took.

    Attributes:
        wall_seconds: From reading the dataset to the last metric; the encode step and the latency
            measurement are not in it.
        fit_seconds: Fitting, over all trials of this run.
        evaluate_seconds: Scoring and measuring the valid and the test part.
        encode: The encode step that made this run's vectors; shared by all runs that use them.
        codes: The step that made this run's semantic ids; shared likewise.
        parameters: Sizes.
        peak_memory_bytes: High-water mark of resident memory of the run's own process.
        baseline_memory_bytes: Resident memory of that process before it read anything: the
            interpreter and the libraries.
        peak_gpu_memory_bytes: Most memory allocated on the GPU; None without one.
        latency: Per request; None where it was not asked for.
        energy: Of fitting and evaluating; that of the encode step is with the step, and in none of
            these numbers. None where it was not measured.
        energy_joules: Its sum, in joules.
        prompting: Tokens and money of a model that was asked; None where none was.
        threads: CPU threads the run was given.
        isolated: The run had a process of its own, so that the memory figures are its own.
    """

    wall_seconds: float
    fit_seconds: float | None = None
    evaluate_seconds: float | None = None
    encode: EncodeStep | None = None
    codes: CodesStep | None = None
    parameters: Parameters = Parameters()
    peak_memory_bytes: int | None = None
    baseline_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    latency: Latency | None = None
    energy: Energy | None = None
    energy_joules: float | None = None
    prompting: Prompting | None = None
    threads: int = 1
    isolated: bool = True


class Fit(_Part):
    """How the reported model's training went (the curve itself is in `curves.parquet`).

    Attributes:
        epochs: Epochs run; None where nothing was iterated.
        best_epoch: The epoch whose state was kept.
        converged: Early stopping ended it (True) or the epoch budget did (False); None where
            nothing was iterated.
    """

    epochs: int | None = None
    best_epoch: int | None = None
    converged: bool | None = None
    notes: tuple[str, ...] = ()


class Trial(_Part):
    """One setting of the grid.

    Attributes:
        params: The grid's values in this trial.
        valid: Headline metric on the validation part; None where it is undefined.
        chosen: The winner: the greatest `valid`, the first of equals.
        error: Why the setting could not be fitted; it then cannot win.
    """

    params: dict[str, Any]
    valid: float | None = None
    seconds: float
    epochs: int | None = None
    converged: bool | None = None
    chosen: bool = False
    error: str | None = None


class Budget(_Part):
    """How much tuning the recommender got; rows whose budgets differ are marked on a board.

    Attributes:
        grid: Values searched, by hyper-parameter.
        trials: Settings tried.
        epochs, patience: Early stopping, where the recommender is trained by epochs.
        seeds: Seeds of the plan; the grid is searched on the first.
    """

    grid: dict[str, list[Any]] = {}
    trials: int = 1
    epochs: int | None = None
    patience: int | None = None
    seeds: tuple[int, ...] = (0,)


class Failure(_Part):
    """Why a run failed.

    Attributes:
        kind: Class of the error.
        what, where, fix: As in `tastebench.errors.TastebenchError`.
        trace: Innermost calls, as `file:line in function`; empty for errors a user can mend.
    """

    kind: str
    what: str
    where: str | None = None
    fix: str | None = None
    trace: tuple[str, ...] = ()


class Record(BaseModel):
    """One run.

    Attributes:
        status: `ok` or `failed`; a failed record has `error` and no metrics.
        partial: Run with `--limit`: for trying out, never on a board.
        preliminary: Run with less training than its plan's protocol asks for; boards say so.
        suite: Name of the plan it belongs to.
        row_by: What a row of the plan's board is.
        spec: The run, with all hyper-parameters resolved (after tuning: the winner's).
        given: The same as the plan states it, before defaults and tuning.
        spec_hash: Identity of the run: equal hash, equal numbers.
        protocol, protocol_id: How it was measured; numbers with different ids do not stand in one
            column.
        budget, budget_id: How it was tuned.
        kind: `model`, `control` (what a model must beat) or `ceiling` (cannot be beaten).
        headline: The metric that ranks.
        metrics: Test metrics over all units.
        groups: The same within groups of units (`short` and `complex` queries).
        valid: Means on the validation part.
        counts: What was scored, what was left out and why; of a model that was asked, what came of
            its answers (`unparsed`, `refused`, ...).
        probes: What else was measured of a model that was asked, e.g. how far its scores move when
            candidates change places.
        cost: What it took.
        fit, trials: Training and tuning.
        split: What was cut and what this way of cutting leaks, as sentences.
        shortcuts: What next items are given away by, in this dataset and split; None for other
            tasks, where nothing is asked of a history, and in records from before it was measured.
        environment: Versions, platform, processor, git revision.
        fingerprints: Dataset values, vectors, model revision.
        tables: SHA-256 of each table beside the record, by its file's name; nothing in records from
            before it was written.
        created: When it ended, UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    status: Literal["ok", "failed"]
    partial: bool = False
    preliminary: bool = False
    suite: str
    row_by: str
    spec: RunSpec
    given: dict[str, Any]
    spec_hash: str
    protocol: dict[str, Any]
    protocol_id: str
    budget: Budget
    budget_id: str
    kind: Literal["model", "control", "ceiling"]
    headline: str
    metrics: dict[str, MetricValue] = {}
    groups: dict[str, dict[str, MetricValue]] = {}
    valid: dict[str, float | None] = {}
    counts: dict[str, int] = {}
    probes: dict[str, float] = {}
    cost: Cost | None = None
    fit: Fit | None = None
    trials: tuple[Trial, ...] = ()
    split: tuple[str, ...] = ()
    shortcuts: Shortcuts | None = None
    environment: dict[str, Any] = {}
    fingerprints: dict[str, str | None] = {}
    tables: dict[str, str] = {}
    error: Failure | None = None
    created: str = Field(description="UTC, ISO 8601")

    def write(self, folder: Path) -> None:
        """Writes `record.json` into `folder`, atomically."""
        write_sealed(folder / "record.json", self.model_dump(mode="json"))

    def check_table(self, path: Path) -> None:
        """Makes sure that a table beside the record is the one that was written with it.

        A Parquet file with a changed bit is most often read without an error, as other values.

        Raises:
            DataError: It is not.
        """
        digest = self.tables.get(path.name)
        if digest is not None and hash_file(path) != digest:
            raise DataError(
                "unreadable table: its checksum is not the one that the record has",
                where=str(path),
                fix="remove its folder and run the plan again: everything else is kept",
            )

    @classmethod
    def read(cls, path: Path) -> Record:
        """Reads a `record.json`.

        Raises:
            DataError: It is not JSON, not a record, or from a newer Tastebench.
        """
        fix = "remove its folder and run the plan again: everything else is kept"
        try:
            value = read_sealed(path)
        except (OSError, ValueError) as error:
            raise DataError(f"unreadable record: {error}", where=str(path), fix=fix) from error
        version = value.get("schema_version") if isinstance(value, dict) else None
        if not isinstance(version, int):
            raise DataError("this file is no record", where=str(path), fix=fix)
        if version > SCHEMA_VERSION:
            raise DataError(
                f"record of schema {version}; this Tastebench reads up to {SCHEMA_VERSION}",
                where=str(path),
                fix="upgrade tastebench",
            )
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise DataError(
                f"broken record: {first['msg']}", where=f"{path}, {key}", fix=fix
            ) from error
