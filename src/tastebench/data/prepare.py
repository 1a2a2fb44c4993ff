"""Filters over interactions, written once for Polars and for Spark.

Each function takes a frame with user_id, item_id, time and row - a Polars DataFrame or LazyFrame, a
PySpark DataFrame - and returns one of the same kind; `prepare` applies them to a `Dataset` and
writes down what each one did; `tastebench.data.spark_prepare` does the same with a dataset that is
never in memory. On Spark nothing but counts and sampled places comes to the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeVar

import narwhals as nw
import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tastebench.data import provenance
from tastebench.data.card import Counts, DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.data.tidy import tidy
from tastebench.errors import DataError, UsageError

FrameT = TypeVar("FrameT")
Side = Literal["user", "item"]
_SIDES = ("user_id", "item_id")


class Core(NamedTuple):
    """A k-core, and the passes over the data that it took, the last (idle) one included."""

    frame: Any
    passes: int


def dedup(interactions: FrameT) -> FrameT:
    """The earliest interaction of every (user, item) pair; between equal times the lower row.

    A Polars DataFrame comes back in the order of `row`; a lazy frame has no order to keep.
    """
    frame: Any = nw.from_native(interactions)
    columns = frame.collect_schema().names()
    # Data without an order have one `row` for all: then the place in the table decides, if known.
    order = [column for column in ("time", "row", PLACE) if column in columns]
    kept = frame.unique(["user_id", "item_id"], keep="first", order_by=order)
    if isinstance(kept, nw.DataFrame):
        kept = kept.sort(*(column for column in order if column != "time"))
    native: FrameT = kept.to_native()
    return native


def k_core(
    interactions: FrameT, k: int, *, computed: Callable[[FrameT], FrameT] | None = None
) -> Core:
    """The unique largest set of interactions in which every user and every item has `k` or more.

    In each pass users and items with fewer than `k` interactions in the current set go at the same
    time, until a pass removes nothing. Any order of removal ends at the same set, because what is
    removed can be in no k-core (Seidman 1983 for graphs; here the bipartite one).

    Args:
        interactions: With user_id and item_id.
        k: Interactions that every user and item has at least.
        computed: Carries out the plan of a lazy frame: of the users and items that a pass drops,
            then of what it leaves, so that plans do not pile up; None for Polars' memory, or on
            Spark a checkpoint: a reliable one where a folder for them is set, else one that is
            lost with its executor.

    Raises:
        UsageError: `k` is below 1.
    """
    _at_least_one(k, "k of the k-core")
    frame: Any = nw.from_native(interactions)
    if isinstance(frame, nw.LazyFrame):
        carry_out: Any = computed or _checkpoint
        core, passes = _core(frame, k, lambda f: nw.from_native(carry_out(f.to_native())))
        return Core(core.to_native(), passes)
    # Texts as codes count twice as fast, and only positions are carried along.
    sides = frame.select(*_SIDES)
    texts = [name for name, dtype in sides.schema.items() if dtype == nw.String]
    coded = sides.with_columns(nw.col(*texts).cast(nw.Categorical)) if texts else sides
    core, passes = _core(coded.with_row_index("_position"), k, lambda f: f)
    return Core(frame[core["_position"].to_numpy()].to_native(), passes)


def _core(frame: Any, k: int, computed: Callable[[Any], Any]) -> tuple[Any, int]:
    passes = 0
    while True:
        passes += 1
        in_memory = isinstance(frame, nw.DataFrame)
        left = _strong(frame, k) if in_memory else _strong_lazily(frame, k, computed)
        if left is None:
            return frame, passes
        frame = left


def _strong(frame: nw.DataFrame[Any], k: int) -> nw.DataFrame[Any] | None:
    """Without the users and items that have fewer than `k` interactions; None if all have."""
    strong = frame.filter(*(nw.len().over(side) >= k for side in _SIDES))
    return None if len(strong) == len(frame) else strong


def _strong_lazily(frame: Any, k: int, computed: Callable[[Any], Any]) -> Any:
    """The same of a lazy frame, carried out.

    Counting moves counts and no rows. The weak are carried out by themselves, since then it is
    known how few they are, and all but the first passes can send them to where the rows are.
    """
    weak = {}
    for side in _SIDES:
        counts = frame.group_by(side).agg(nw.len().alias("_n"))
        weak[side] = computed(counts.filter(nw.col("_n") < k).select(side))
    if not any(map(count_rows, weak.values())):
        return None
    for side, ids in weak.items():
        frame = frame.join(ids, on=side, how="anti")
    return computed(frame)


def min_count(interactions: FrameT, side: Side, n: int) -> FrameT:
    """Without the users, or items, that have fewer than `n` interactions; once, not to a fixpoint.

    Raises:
        UsageError: `n` is below 1.
    """
    _at_least_one(n, f"the least interactions of a {side}")
    frame: Any = nw.from_native(interactions)
    kept: FrameT = frame.filter(nw.len().over(f"{side}_id") >= n).to_native()
    return kept


def min_length(interactions: FrameT, n: int) -> FrameT:
    """Without the users that have fewer than `n` interactions."""
    return min_count(interactions, "user", n)


def min_rating(interactions: FrameT, rating: float) -> FrameT:
    """Interactions rated at least `rating`; unrated ones go."""
    frame: Any = nw.from_native(interactions)
    kept: FrameT = frame.filter(nw.col("rating") >= rating).to_native()
    return kept


def sample_users(interactions: FrameT, n: int, seed: int) -> FrameT:
    """All interactions of `n` users drawn without replacement; everyone if there are no more.

    The draw is over the sorted ids, so it depends on the set of users and the seed only.

    Raises:
        UsageError: `n` is below 1.
    """
    _at_least_one(n, "the number of users to sample")
    frame: Any = nw.from_native(interactions)
    users = frame.select("user_id").unique()
    n_users = count_rows(users)
    if n >= n_users:
        return interactions
    places = np.sort(np.random.default_rng(seed).choice(n_users, size=n, replace=False))
    if isinstance(frame, nw.DataFrame):
        chosen = users["user_id"].sort()[places.tolist()].to_list()
        kept: FrameT = frame.filter(nw.col("user_id").is_in(chosen)).to_native()
        return kept
    numbered = users.with_row_index(PLACE, order_by="user_id")
    drawn = lazy_rows(frame, {PLACE: places})
    numbered = numbered.with_columns(nw.col(PLACE).cast(nw.Int64))
    of_drawn = numbered.join(drawn, on=PLACE, how="semi").select("user_id")
    kept = frame.join(of_drawn, on="user_id", how="semi").to_native()
    return kept


class Filters(BaseModel):
    """What `prepare` does, in this order; each filter is off where it is None or False."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rating: float | None = None
    """Keep interactions rated at least this."""
    dedup: bool = False
    """Keep the earliest of each (user, item) pair."""
    sample_users: int | None = Field(None, ge=1)
    """Keep this many users, drawn with `seed`."""
    seed: int = 0
    k_core: int | None = Field(None, ge=1)
    """Keep the largest set in which every user and item has this many interactions."""
    min_length: int | None = Field(None, ge=1)
    """Then drop users with fewer interactions than this."""
    keep_items: bool = False
    """Keep items that nothing names any more; otherwise they leave the catalogue."""


def prepare(dataset: Dataset, filters: Filters, name: str) -> Dataset:
    """A new dataset called `name` with the interactions that pass the filters.

    Items that no interaction, impression or judgement names any more leave the catalogue (they
    would be candidates that can never be right), unless `filters.keep_items`. Users who are gone
    leave every table.

    Raises:
        DataError: The dataset has no interactions, or none is left.
        UsageError: A filter needs a column that the dataset does not have.
    """
    frame = dataset.tables.interactions
    if frame is None:
        raise DataError("this dataset has no interactions to filter", where=dataset.name)
    if filters.min_rating is not None and frame["rating"].is_null().all():
        raise unrated(dataset.name)
    frame, steps = carry_out(frame.with_row_index(PLACE), filters, dataset.name, _whole)
    tables, repairs = tidy(follow(dataset.tables, frame, keep_items=filters.keep_items), name)
    assert tables.interactions is not None
    kept = tables.interactions[PLACE].to_numpy()
    tables = replace(tables, interactions=tables.interactions.drop(PLACE))
    manifest = {
        "prepared_from": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "steps": steps,
        "repairs": repairs,
        "source": dataset.manifest,
    }
    made = Dataset.create(prepared_card(dataset.card, name, filters), tables, manifest)
    known = provenance.follow(dataset.provenance, dataset, made, kept)
    return replace(made, provenance=known)


PLACE = "_place"
"""Column that carries the row that an interaction had before the filters."""

Step = Callable[[Any], tuple[Any, dict[str, Any]]]

Computed = Callable[[Any], tuple[Any, int]]
"""Carries out the plan of a frame: the frame again, and its rows."""


def carry_out(
    frame: Any, filters: Filters, name: str, computed: Computed
) -> tuple[Any, list[dict[str, Any]]]:
    """The frame after the filters, and what each one did, as the manifest has it.

    Args:
        frame: Interactions of the kinds that the filters take, with `PLACE`.
        filters: What to do.
        name: The dataset, for messages.
        computed: Called after every filter, and after every pass of a k-core.

    Raises:
        DataError: No interaction is left.
    """
    steps: list[dict[str, Any]] = []
    frame, rows = computed(frame)
    for step, apply in _steps(filters, lambda f: computed(f)[0]):
        frame, more = apply(frame)
        before, (frame, rows) = rows, computed(frame)
        steps.append({**step, **more, "rows_before": before, "rows_after": rows})
        if not rows:
            raise DataError(
                f"no interaction is left after {_told(step)}",
                where=name,
                fix="use weaker filters",
            )
    return frame, steps


def unrated(name: str) -> UsageError:
    """What is said where ratings are asked for and there are none."""
    return UsageError(f"--min-rating needs ratings, and {name} has none", fix="leave it out")


def _whole(frame: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    return frame, len(frame)


def _steps(filters: Filters, computed: Callable[[Any], Any]) -> list[tuple[dict[str, Any], Step]]:
    """The filters that are on, each with what the manifest says of it."""
    rating, users, k, length = (
        filters.min_rating,
        filters.sample_users,
        filters.k_core,
        filters.min_length,
    )
    steps: list[tuple[dict[str, Any], Step]] = []
    if rating is not None:
        steps.append(
            ({"step": "min_rating", "rating": rating}, lambda f: (min_rating(f, rating), {}))
        )
    if filters.dedup:
        steps.append(({"step": "dedup"}, lambda f: (dedup(f), {})))
    if users is not None:
        step = {"step": "sample_users", "n": users, "seed": filters.seed}
        steps.append((step, lambda f: (sample_users(f, users, filters.seed), {})))
    if k is not None:
        steps.append(({"step": "k_core", "k": k}, lambda f: _core_step(f, k, computed)))
    if length is not None:
        steps.append(({"step": "min_length", "n": length}, lambda f: (min_length(f, length), {})))
    return steps


def _core_step(frame: Any, k: int, computed: Callable[[Any], Any]) -> tuple[Any, dict[str, Any]]:
    core = k_core(frame, k, computed=computed)
    return core.frame, {"passes": core.passes}


def obey(
    tables: Tables, rules: Sequence[Callable[[Tables], pl.DataFrame]], name: str
) -> tuple[Tables, list[dict[str, Any]]]:
    """What is left after the rules of a benchmark, each taken in turn.

    Args:
        tables: As read.
        rules: From tables to the interactions that are left of theirs.
        name: The dataset, for messages.

    Returns:
        The tables, and of each rule its name and the rows before and after it.

    Raises:
        DataError: No interaction is left.
    """
    steps: list[dict[str, Any]] = []
    for rule in rules:
        assert tables.interactions is not None
        before, left = len(tables.interactions), rule(tables)
        steps.append({"step": rule.__name__, "rows_before": before, "rows_after": len(left)})
        if left.is_empty():
            raise DataError(
                f"no interaction is left after {rule.__name__}",
                where=name,
                fix="check that the files belong together and are those of the right release",
            )
        tables = follow(tables, left)
    return tables, steps


def follow(tables: Tables, interactions: pl.DataFrame, *, keep_items: bool = False) -> Tables:
    """The tables with these interactions, without users who are gone and items nobody names.

    Args:
        tables: As they were.
        interactions: What is left of theirs.
        keep_items: Keep the items that nothing names any more.
    """
    users = interactions.select("user_id").unique()
    changed: dict[str, pl.DataFrame] = {"interactions": interactions}
    for name in ("users", "impressions", "histories"):
        frame = getattr(tables, name)
        if frame is not None:
            changed[name] = frame.join(users, on="user_id", how="semi", maintain_order="left")
    if tables.split is not None:
        pair = ["user_id", "item_id"]
        changed["split"] = tables.split.join(
            interactions, on=pair, how="semi", maintain_order="left"
        )
    if not keep_items:
        naming = [interactions, changed.get("impressions"), tables.relevance]
        named = pl.concat([f.select("item_id") for f in naming if f is not None]).unique()
        changed["items"] = tables.items.join(named, on="item_id", how="semi", maintain_order="left")
    return replace(tables, **changed)  # type: ignore[arg-type]


def prepared_card(card: DatasetCard, name: str, filters: Filters) -> DatasetCard:
    """The card under the new name; published counts no longer hold."""
    on = filters.model_dump(exclude_defaults=True)
    told = ", ".join(f"{key} {value}" for key, value in on.items()) or "no filter"
    return card.model_copy(
        update={
            "name": name,
            "title": f"{card.title} ({told})",
            "known": Counts(),
            "notes": (*card.notes, f"Prepared from {card.name}: {told}."),
        }
    )


def _told(step: dict[str, Any]) -> str:
    return " ".join(str(value) for value in step.values())


def _at_least_one(value: int, what: str) -> None:
    if value < 1:
        raise UsageError(f"{what} is {value}, it must be at least 1")


def _checkpoint(native: Any) -> Any:
    """The frame with its plan carried out: in memory for Polars, as a checkpoint on Spark."""
    if isinstance(native, pl.LazyFrame):
        return native.collect().lazy()
    # A session of Spark Connect has no context to ask.
    context = getattr(native.sparkSession, "sparkContext", None)
    reliable = context is not None and context.getCheckpointDir() is not None
    return native.checkpoint() if reliable else native.localCheckpoint()


def lazy_rows(frame: Any, columns: Mapping[str, np.ndarray]) -> Any:
    """Columns of integers as a lazy frame of the kind of `frame`, through Narwhals both."""
    native = frame.to_native()
    if isinstance(native, pl.LazyFrame):
        return nw.from_native(pl.LazyFrame({k: v.astype(np.int64) for k, v in columns.items()}))
    rows = list(zip(*(values.tolist() for values in columns.values()), strict=True))
    types = ", ".join(f"{name} long" for name in columns)
    return nw.from_native(native.sparkSession.createDataFrame(rows, types))


def collected(frame: Any) -> Any:
    """A frame of Narwhals in memory."""
    return frame.collect("polars") if isinstance(frame, nw.LazyFrame) else frame


def count_rows(frame: Any) -> int:
    """Rows of a frame of Narwhals."""
    return int(collected(frame.select(nw.len())).item())
