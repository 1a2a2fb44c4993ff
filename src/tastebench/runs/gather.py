"""What the names in a plan stand for: datasets loaded, encoders and recommenders looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.contracts import Encoder, EncoderCard, RecommenderCard
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.runs.expand import Resources
from tastebench.runs.plan import DatasetChoice, Plan

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

Say = Callable[[str], None]


@dataclass(frozen=True)
class Objects:
    """Encoders and recommenders that the caller brought as Python objects, by name."""

    encoders: Mapping[str, Encoder] = field(default_factory=dict)
    recommenders: Mapping[str, RecommenderCard] = field(default_factory=dict)


@dataclass(frozen=True)
class Missing:
    """Something a plan needs and that is not here.

    Attributes:
        kind: `dataset` or `encoder`.
        fix: How to get it.
    """

    kind: str
    name: str
    why: str
    fix: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.why}" + (f" ({self.fix})" if self.fix else "")


@dataclass(frozen=True)
class Gathered:
    """What was found, and under which name each dataset can be loaded again."""

    plan: Plan
    resources: Resources
    references: dict[str, str]
    missing: tuple[Missing, ...]


def take_objects(value: Mapping[str, Any]) -> tuple[dict[str, Any], Objects]:
    """Replaces the Python objects in a plan's lists by their names.

    Args:
        value: A plan as a mapping whose `encoders` and `recommenders` may hold objects: what
            `tastebench.as_encoder` and `tastebench.as_recommender` return, or anything with a card.
    """
    plan = dict(value)
    encoders: dict[str, Encoder] = {}
    recommenders: dict[str, RecommenderCard] = {}
    if isinstance(plan.get("encoders"), (list, tuple)):
        plan["encoders"] = [_named(entry, encoders) for entry in plan["encoders"]]
    if isinstance(plan.get("recommenders"), (list, tuple)):
        plan["recommenders"] = [_named_card(entry, recommenders) for entry in plan["recommenders"]]
    return plan, Objects(encoders, recommenders)


def _named(entry: Any, found: dict[str, Encoder]) -> Any:
    if isinstance(entry, str):
        return entry
    if not isinstance(entry, Encoder):
        raise UsageError(
            f"{type(entry).__name__} is no encoder: it needs `encode` and a `card`",
            where="encoders",
            fix="tastebench.as_encoder(object, name)",
        )
    found[entry.card.name] = entry
    return entry.card.name


def _named_card(entry: Any, found: dict[str, RecommenderCard]) -> Any:
    card = entry.get("name") if isinstance(entry, Mapping) else entry
    if isinstance(card, RecommenderCard):
        found[card.name] = card
        return {**entry, "name": card.name} if isinstance(entry, Mapping) else card.name
    if isinstance(card, str):
        return entry
    raise UsageError(
        f"{type(card).__name__} is no recommender",
        where="recommenders",
        fix="tastebench.as_recommender(Class, name, tasks=..., representations=...)",
    )


def gather(
    plan: Plan, objects: Objects, say: Say, *, fetch: bool = True, tolerate: bool = False
) -> Gathered:
    """Looks up what a plan names.

    Args:
        plan: The plan.
        objects: What the caller brought.
        say: Told a line for everything that takes time.
        fetch: Prepare datasets that are not ready; otherwise they count as missing.
        tolerate: Leave missing encoders out instead of failing.

    Raises:
        UsageError: A name that nothing has.
        DataError: A dataset cannot be had or read.
        DependencyError: An encoder needs a package that is not installed.
    """
    missing: list[Missing] = []
    datasets: dict[str, Dataset] = {}
    references: dict[str, str] = {}
    kept: list[DatasetChoice] = []
    for choice in plan.datasets:
        dataset = _dataset(choice, say, fetch, missing)
        if dataset is not None:
            if dataset.name in datasets:
                raise UsageError(f"two datasets of the plan are called {dataset.name!r}")
            datasets[dataset.name] = dataset
            references[dataset.name] = str(_reference(choice.name))
            kept.append(DatasetChoice(name=dataset.name, raw=choice.raw))
    encoders = _encoders(plan, objects, missing, tolerate or not fetch)
    found = plan.model_copy(
        update={
            "datasets": tuple(kept),
            "encoders": tuple(name for name in plan.encoders if name in encoders),
        }
    )
    resources = Resources(datasets, encoders, objects.recommenders)
    return Gathered(found, resources, references, tuple(missing))


def _dataset(
    choice: DatasetChoice, say: Say, fetch: bool, missing: list[Missing]
) -> Dataset | None:
    from tastebench.data.catalog import list_datasets, load_dataset

    reference = _reference(choice.name)
    if not fetch and isinstance(reference, str):
        status = {row.name: row.status for row in list_datasets()}.get(reference)
        if status in ("downloadable", "bring raw files"):
            fix = f"tastebench data get {reference}"
            fix += " --raw DIR" if status == "bring raw files" else ""
            missing.append(Missing("dataset", reference, f"not here yet, {status}", fix))
            return None
    return load_dataset(
        reference, raw=choice.raw.expanduser() if choice.raw else None, progress=say
    )


def _reference(name: str) -> str | Path:
    return Path(name).expanduser().resolve() if "/" in name or name in (".", "..") else name


def _encoders(
    plan: Plan, objects: Objects, missing: list[Missing], tolerate: bool
) -> dict[str, EncoderCard]:
    cards: dict[str, EncoderCard] = {}
    last = plan.encoders[-1:]
    for name in plan.encoders:
        if name in objects.encoders:
            cards[name] = objects.encoders[name].card
            continue
        from tastebench.encoders import get_encoder

        try:
            cards[name] = get_encoder(name).card
        except (DependencyError, DataError) as error:
            if not tolerate or ((name,) == last and not cards):
                raise  # without any encoder the plan would be said to name none
            missing.append(Missing("encoder", name, error.what, error.fix))
    return cards
