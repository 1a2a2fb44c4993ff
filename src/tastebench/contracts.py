"""The types that rooms hand each other: index arrays, forms of items, and small protocols.

Strings and data frames stop at the door of a task. A `Problem` is index arrays only, an item is its
row in the items table, a user its row in the users index. Whatever satisfies a protocol here is an
encoder or a recommender; there is no base class to inherit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import Tensor, nn

Role = Literal["item", "query"]
Part = Literal["valid", "test"]
Form = Literal["id", "text", "vector", "code", "side", "truth"]

FORMS: tuple[Form, ...] = ("id", "text", "vector", "code", "side", "truth")


# ---------------------------------------------------------------------------------------- problems


@dataclass(frozen=True, eq=False)
class Targets:
    """What a user did next, `n` times.

    Attributes:
        user: Who, int64 `[n]`.
        history: Items before it, oldest first, `n` lists, already cut to the protocol's length.
        item: What came next, int32 `[n]`.
        row: Row of the interactions table that the target is, int64 `[n]`.
        seen: All items before it, not cut, `n` lists, where the protocol leaves seen items out of
            the ranking; else None.
    """

    user: np.ndarray
    history: Ragged
    item: np.ndarray
    row: np.ndarray
    seen: Ragged | None = None


@dataclass(frozen=True, eq=False)
class SeqProblem:
    """Next-item prediction.

    Attributes:
        train: Training items per user, oldest first; one list a user, empty where there is none.
        history_length: A model sees at most this many of the latest items.
    """

    n_items: int
    n_users: int
    history_length: int
    train: Ragged
    valid: Targets
    test: Targets


@dataclass(frozen=True, eq=False)
class CfProblem:
    """Collaborative filtering: which items will this user still like? Sets, no order.

    Attributes:
        train, valid, test: Items per user, sorted ascending, unique, disjoint; one list a user.
    """

    n_items: int
    n_users: int
    train: Ragged
    valid: Ragged
    test: Ragged


@dataclass(frozen=True, eq=False)
class SearchProblem:
    """Which items answer this query?

    Attributes:
        relevance: Relevant items per query; one list a query.
        gain: The grade of each relevant item, float64, same shape as `relevance`.
        group: Group of each query (an index into `groups`), int32 `[n_queries]`.
        groups: Group names, e.g. `("short", "complex")`.
        segments: Segment name to a label per query, e.g. `category`.
    """

    n_items: int
    n_queries: int
    relevance: Ragged
    gain: Ragged
    group: np.ndarray
    groups: tuple[str, ...]
    segments: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Who was shown what, and clicked or not: `n` labelled rows.

    Attributes:
        context: Which of the problem's histories the row has, int64 `[n]`.
        user: Who, int64 `[n]`.
        item: What, int32 `[n]`.
        label: 1 clicked, 0 not, int8 `[n]`.
        group: Rows that are compared with each other, of one user or of one impression, int64
            `[n]`; every group is of one user.
    """

    context: np.ndarray
    user: np.ndarray
    item: np.ndarray
    label: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.item)

    def __getitem__(self, rows: np.ndarray) -> Pairs:
        """The rows of a mask or an index array."""
        return Pairs(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, eq=False)
class CtrProblem:
    """Click prediction: will this user take this item, having taken those before?

    Attributes:
        history: Items taken before, oldest first, already cut to `history_length`; one list a
            context (a user, or a user at a time), shared by the rows that have it.
    """

    n_items: int
    n_users: int
    history_length: int
    history: Ragged
    train: Pairs
    valid: Pairs
    test: Pairs


@dataclass(frozen=True, eq=False)
class Questions:
    """Multiple-choice questions about users, `n` of them.

    Attributes:
        history: What each user did, oldest first, as far as a question may show it; one list a
            user, shared by the questions about them.
        user: Which list of `history` a question is about, int64 `[n]`.
        text: The question in words, without its options.
        options: What can be answered, for each question the same number of different strings.
        gold: Place of the right option, int64 `[n]`.
        kind: What is asked for (an index into `kinds`), int64 `[n]`.
        kinds: Names of the kinds, e.g. `("df", "mf")`.
        language: Of the questions: `en`, `zh`.
        asker: Row in the users index of each list of `history`, int64; None where nobody says.
    """

    history: Ragged
    user: np.ndarray
    text: Sequence[str]
    options: Sequence[tuple[str, ...]]
    gold: np.ndarray
    kind: np.ndarray
    kinds: tuple[str, ...]
    language: str = "en"
    asker: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: np.ndarray) -> Questions:
        """The questions of an index array, with the histories of all."""
        return replace(
            self,
            user=self.user[rows],
            text=[self.text[row] for row in rows.tolist()],
            options=[self.options[row] for row in rows.tolist()],
            gold=self.gold[rows],
            kind=self.kind[rows],
        )


@dataclass(frozen=True, eq=False)
class QaProblem:
    """What can be said of a user? Questions of three groups of users, none of whom is in two.

    Attributes:
        history_length: A model sees at most this many of a user's latest items.
        train: Questions to learn from; user encoders learn from `train.history` alone.
    """

    n_items: int
    history_length: int
    train: Questions
    valid: Questions
    test: Questions


Problem = SeqProblem | CfProblem | SearchProblem | CtrProblem | QaProblem


# ------------------------------------------------------------------------------- what is asked


@dataclass(frozen=True, eq=False)
class Queries:
    """A batch of questions to a recommender. A field that the task does not have is None.

    Attributes:
        history: Items the asker had before, oldest first (sequences) or ascending (sets).
        user: Row in the users index, int64 `[n]`.
        row: Row of the interactions table of the event asked about, int64 `[n]`.
        text: The query in words, `n` strings.
        vector: The encoded query, float32 `[n, d]`.
    """

    n: int
    history: Ragged | None = None
    user: np.ndarray | None = None
    row: np.ndarray | None = None
    text: Sequence[str] | None = None
    vector: np.ndarray | None = None

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, part: slice) -> Queries:
        """The queries of a contiguous slice."""
        start, stop, step = part.indices(self.n)
        if step != 1:
            raise ValueError("queries are cut in contiguous slices only")
        cut = slice(start, max(start, stop))
        return Queries(
            n=cut.stop - cut.start,
            history=None if self.history is None else self.history[cut],
            user=None if self.user is None else self.user[cut],
            row=None if self.row is None else self.row[cut],
            text=None if self.text is None else self.text[cut],
            vector=None if self.vector is None else self.vector[cut],
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items to be scored, a list for each asker, so that what is known of the asker is read once.

    Attributes:
        history: Items the asker had before, oldest first, `q` lists.
        user: Row in the users index, int64 `[q]`.
        items: Candidates of each asker, `q` lists.
    """

    history: Ragged
    user: np.ndarray
    items: Ragged

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, part: slice) -> Candidates:
        """The lists of a contiguous slice."""
        return Candidates(self.history[part], self.user[part], self.items[part])


class Truth(Protocol):
    """The true preferences behind a generated dataset."""

    def scores(self, task: str, queries: Queries, items: slice) -> np.ndarray:
        """True preference of each query's asker for each item, float64 `[n, len(items)]`."""
        ...


@dataclass(frozen=True, eq=False)
class Values:
    """What items are, value by value, as of a genre or a category.

    Attributes:
        each: Values by item in the order in which it names them, rows of `names`, distinct within
            an item; one list an item.
        names: Distinct values in words, object.
    """

    each: Ragged
    names: np.ndarray


@dataclass(frozen=True, eq=False)
class Items:
    """The catalogue in the forms a representation asks for; a form not asked for is None.

    Attributes:
        n: Number of items; an item is its row, 0 .. n - 1.
        text: One string an item, by the run's text recipe.
        columns: The text columns that this recipe reads, each by itself, one string an item; empty
            where there is none.
        values: The single values of those columns that are attributes, where questions ask about
            these: a column's own text has all values of an item in one.
        vector: Encoded text, float32 `[n, d]`, memory-mapped; as the encoder made it.
        nested: A prefix of a vector is a vector (the encoder's card says so).
        code: Semantic ids, a code a level, int64 `[n, levels]`.
        side: Attribute columns by name, integer codes `[n]` each, -1 where missing.
        truth: True preferences, for the ceiling on generated data only.
        forms: The forms of the representation, in order. Only this tells `id+vector` from `vector`:
            an id needs no data, so it has no field of its own.
        known: Items that a trained model knew, the first so many; the others came later. What is
            learnt of items as a whole (PCA) is learnt of the known ones. None where all are.
    """

    n: int
    text: Sequence[str] | None = None
    columns: Mapping[str, Sequence[str]] | None = None
    values: Mapping[str, Values] | None = None
    vector: np.ndarray | None = None
    nested: bool = False
    code: np.ndarray | None = None
    side: dict[str, np.ndarray] | None = None
    truth: Truth | None = None
    forms: tuple[Form, ...] = ()
    known: int | None = None


# ----------------------------------------------------------------------------- what is answered


@dataclass(frozen=True, eq=False)
class Ranking:
    """The best items per query, best first.

    Attributes:
        items: int32 `[n, k]`; -1 where a slot is empty or the generator named no real item.
        scores: float32 `[n, k]`, descending; -inf in empty slots.
        ties: Equal scores next to each other mean no order. A list then goes on to the end of the
            run of equals that its last slot would cut, so it may have more slots than were asked
            for. Else the list is the order, whatever its scores.
    """

    items: np.ndarray
    scores: np.ndarray
    ties: bool = False


@dataclass(frozen=True, eq=False)
class Answers:
    """What was answered to `n` questions.

    Attributes:
        scores: Log-probability of each option, float32 `[n, options]`; higher is likelier, and only
            their order is measured. -inf in all of a row where there is no answer.
        status: `answered`, or what went wrong (`unparsed`, `refused`), one string a question.
        soft: Vectors that stood before the words of each prompt, int64 `[n]`.
        tokens: Words' tokens in each prompt, int64 `[n]`.
    """

    scores: np.ndarray
    status: Sequence[str]
    soft: np.ndarray
    tokens: np.ndarray


@dataclass(frozen=True)
class FitReport:
    """How training went.

    Attributes:
        curve: One row an epoch: epoch, loss, valid, seconds.
        converged: Early stopping ended it (True) or the epoch budget did (False); None if nothing
            was iterated.
        parameters: Trainable parameters, or stored numbers for a closed-form model.
        seconds: Wall time of fitting.
        notes: Whatever a reader of the record should know.
    """

    parameters: int
    seconds: float
    curve: tuple[dict[str, float], ...] = ()
    best_epoch: int | None = None
    converged: bool | None = None
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------- protocols


@dataclass(frozen=True)
class EncoderCard:
    """What is known of an encoder before it is loaded.

    Attributes:
        name: Public name, e.g. `minilm`.
        revision: Identifies the weights (hash, version); None means unknown, and then nothing is
            cached.
        dimensions: Width of its vectors; None until loaded.
        parameters: Weights; None if unknown.
        max_tokens: Input limit; None if there is none.
        normalised: Vectors have unit length.
        nested: Trained so that a prefix of a vector is a vector (Matryoshka).
        control: What it controls for, if it is a negative control.
        pooling: How token states become one vector; None where a model's own files say it.
        query_instruction: Put before a query, never before an item; None for none.
        usd_per_million_tokens: What a remote model's provider charges; None for local models.
        licence, source, training_data: As declared by its makers; None means unknown.
    """

    name: str
    revision: str | None = None
    dimensions: int | None = None
    parameters: int | None = None
    max_tokens: int | None = None
    normalised: bool = False
    nested: bool = False
    control: str | None = None
    pooling: Literal["cls", "mean", "last"] | None = None
    query_instruction: str | None = None
    usd_per_million_tokens: float | None = None
    licence: str | None = None
    source: str | None = None
    training_data: tuple[str, ...] | None = None


@runtime_checkable
class Encoder(Protocol):
    """Texts to vectors."""

    card: EncoderCard

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[len(texts), d]`, rows in the order of `texts`."""
        ...


class Trainer(Protocol):
    """What a run lends a recommender to train with (`tastebench.training` implements it).

    Attributes:
        seed: The run's seed.
        directory: Where state may be kept for resume; None keeps none.
        validate: The task's headline metric of the recommender on the validation part as it stands
            now, higher is better; None where the problem has no validation part.
    """

    seed: int
    directory: Path | None
    validate: Callable[[], float] | None

    def rng(self, name: str) -> np.random.Generator:
        """The generator called `name`: a child of the run's seed, the same at every call."""
        ...

    def fit(
        self,
        module: nn.Module,
        settings: Any,
        batches: Callable[[np.random.Generator], Iterable[Any]],
        loss: Callable[[Any], Tensor],
    ) -> FitReport:
        """Trains `module` in place and leaves it at its best validated state.

        Args:
            module: What is trained; its state dict is what is kept.
            settings: A `tastebench.training.TrainSettings` (learning rate, epochs, patience, ...).
            batches: One epoch of batches, given that epoch's generator.
            loss: Mean loss of one batch, on the module's device.
        """
        ...


@runtime_checkable
class Recommender(Protocol):
    """Anything that can be fitted to a problem."""

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Learns from the problem's training part; never looks at its test part."""
        ...


@runtime_checkable
class ScoresItems(Protocol):
    """Can score the whole catalogue."""

    def scores(self, queries: Queries, items: slice) -> Tensor | np.ndarray:
        """Scores `[len(queries), len(items)]`, higher is better, finite, called in chunks.

        Must be a pure function of (fitted state, query, item): the score of a pair does not depend
        on what else is in the chunk.
        """
        ...


@runtime_checkable
class RanksByVectors(Protocol):
    """Scores the whole catalogue by inner products, so that any index of vectors can serve it."""

    def item_vectors(self) -> Tensor:
        """What items are ranked by, float32 `[n_items, h]`."""
        ...

    def query_vectors(self, queries: Queries) -> Tensor:
        """What askers are ranked for, float32 `[len(queries), h]`."""
        ...


@runtime_checkable
class GeneratesItems(Protocol):
    """Decodes items and knows no score for the rest."""

    def generate(self, queries: Queries, k: int) -> Ranking:
        """At most `k` items a query, and what is tied with the last of them (`Ranking.ties`)."""
        ...


@runtime_checkable
class GeneratesOthers(Protocol):
    """Decodes items, and can be told which ones are not wanted."""

    def generate_without(self, queries: Queries, k: int, exclude: Ragged) -> Ranking:
        """As `GeneratesItems.generate`: `k` items beside the excluded ones, if there are.

        Excluded items may still come, as long as they cost no other its slot.
        """
        ...


@runtime_checkable
class ScoresCandidates(Protocol):
    """Says how likely a click is, item by item.

    Attributes:
        log_odds: The scores are log-odds of a click, so that `1 / (1 + exp(-score))` is a
            probability; where they only order, metrics of probabilities are undefined.
    """

    log_odds: bool

    def score(self, candidates: Candidates) -> np.ndarray:
        """Scores `[len(candidates.items.values)]` in the order of the candidates, finite.

        Must be a pure function of (fitted state, history, user, item).
        """
        ...


@runtime_checkable
class AnswersQuestions(Protocol):
    """Picks one of the options of questions about users."""

    def answer(self, questions: Questions) -> Answers:
        """Must be a pure function of (fitted state, history, question, options)."""
        ...


@dataclass(frozen=True)
class Account:
    """How answering went, beside the answers: what was asked of a model and what came of it.

    Attributes:
        counts: By name, e.g. `unparsed`, `refused`, `cut` (texts that were shortened).
        prompt_tokens, completion_tokens: Read and written.
        requests: Sent to a server; those answered from what is kept are not among them.
        kept: Answers that were kept from before and not asked for again.
        usd: What the server charged; None where nothing was asked of one, or no price is known.
        seconds: How long each request to a server took, those of kept answers as they were then;
            None where nothing was asked of one.
        probes: Other measurements by name, e.g. `order_spread`.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    kept: int = 0
    usd: float | None = None
    seconds: np.ndarray | None = None
    probes: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class KeepsAccount(Protocol):
    """A recommender that can say how answering went."""

    def account(self) -> Account:
        """Of everything asked since the last call, or since `fit`; a new account begins."""
        ...


@dataclass(frozen=True)
class Preview:
    """What a run would ask of a model, said before it is asked.

    Attributes:
        prompts: Whole prompts, of a few askers.
        requests: Prompts of both parts that are measured, what is kept not counted.
        prompt_tokens, completion_tokens: About what will be read and written.
        seconds: About how long it will take; None if nobody knows.
        usd: About what it will cost; None where no price is known, 0.0 for local models.
    """

    prompts: tuple[str, ...]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float | None = None
    usd: float | None = None


@dataclass(frozen=True)
class RecommenderCard:
    """Declares a recommender: data for planning, and how to build one.

    Attributes:
        name: Public name, e.g. `unisrec`.
        summary: One line for lists.
        tasks: Tasks it can do.
        representations: Representations it accepts, the default first, e.g. `("vector",)`.
        config: Pydantic model of its hyper-parameters (frozen, extra forbidden), all defaulted.
        build: Config to an unfitted recommender.
        kind: `model`, `control` (what a model must beat) or `ceiling` (cannot be beaten).
        citation: Where its definition comes from.
        check: Config and representation to nothing, or a `UsageError` that says why they do not go
            together; called before anything is run.
        weights: Config, representation and whether weights may be fetched, to what identifies the
            pretrained weights that a config names, None where it names none. No recommender without
            it names any.
        preview: Config, problem and items to what would be asked of a model; None for recommenders
            that prompt none.
    """

    name: str
    summary: str
    tasks: tuple[str, ...]
    representations: tuple[str, ...]
    config: type[BaseModel]
    build: Callable[[Any], Recommender]
    kind: Literal["model", "control", "ceiling"] = "model"
    citation: str | None = None
    check: Callable[[Any, str], None] | None = None
    weights: Callable[[Any, str, bool], str | None] | None = None
    preview: Callable[[Any, Any, Items], Preview] | None = None


# --------------------------------------------------------------------------------- evaluation


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of one recommender on one part, one row per unit.

    Attributes:
        unit: What a row is: `user` or `query`.
        ids: Row in the users index or the queries table, int64 `[n]`, ascending.
        values: Metric name to float64 `[n]`; NaN where the metric is undefined for the unit.
        weights: Metric name to how much each unit counts in the mean, float64 `[n]`; a metric that
            is not here counts every unit once.
        segments: Segment name to labels `[n]`, e.g. `history` -> `1-4`, `popularity`, `group`.
        counts: What was scored, what was left out and why; e.g. `targets`, `excluded_no_target`,
            `tied` (targets whose score ties with another item's).
        top: The best items per asked target or query, if they were asked for.
        scores: The score of every candidate, float64, where candidates were asked about (ctr).
        answers: What was answered, where questions were asked (userqa).
    """

    unit: Literal["user", "query"]
    ids: np.ndarray
    values: dict[str, np.ndarray]
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    segments: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    top: Ranking | None = None
    scores: np.ndarray | None = None
    answers: Answers | None = None

    def means(self) -> dict[str, float]:
        """The weighted mean of each metric over the units with a value; NaN if there is none."""
        means = {}
        for name, values in self.values.items():
            known, weight = ~np.isnan(values), self.weights.get(name)
            weight = None if weight is None else weight[known]
            means[name] = (
                float(np.average(values[known], weights=weight)) if known.any() else float("nan")
            )
        return means
