"""What the names in a plan stand for: datasets loaded, encoders and recommenders looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.contracts import Encoder, EncoderCard, RecommenderCard
from tastebench.data.card import DatasetCard
from tastebench.errors import DataError, DependencyError, TastebenchError, UsageError
from tastebench.runs.estimate import TOKENS_A_TEXT, Work, encoding_cost, in_tokens, work
from tastebench.runs.missing import Missing, in_bytes, missing_dataset
from tastebench.runs.plan import DatasetChoice, Plan
from tastebench.runs.resources import Resources

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

Say = Callable[[str], None]


@dataclass(frozen=True)
class Objects:
    """Encoders and recommenders that the caller brought as Python objects, by name."""

    encoders: Mapping[str, Encoder] = field(default_factory=dict)
    recommenders: Mapping[str, RecommenderCard] = field(default_factory=dict)


@dataclass(frozen=True)
class Gathered:
    """What was found.

    Attributes:
        plan: With the names that datasets and encoders have for everyone; a folder's own name
            instead of its path.
        datasets, encoders: What each can be loaded by, as the user gave it.
        missing: What the plan names and is not here.
        whole: What the plan would come to with everything here.
    """

    plan: Plan
    resources: Resources
    datasets: dict[str, str]
    encoders: dict[str, str]
    missing: tuple[Missing, ...]
    whole: Work


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
        fetch: Prepare datasets that are not ready; otherwise they count as missing. Models that
            recommenders name may be fetched too when the plan is expanded.
        tolerate: Leave missing encoders out instead of failing.

    Raises:
        UsageError: A name that nothing has.
        DataError: A dataset cannot be had or read.
        DependencyError: An encoder needs a package that is not installed.
    """
    missing: list[Missing] = []
    datasets: dict[str, Dataset] = {}
    given: dict[str, str] = {}
    kept: list[DatasetChoice] = []
    about: list[DatasetCard] = []
    skip = plan.missing == "skip"
    for choice in plan.datasets:
        dataset = _dataset(choice, say, fetch and not skip)
        if isinstance(dataset, DatasetCard):
            about.append(dataset)
            missing.append(missing_dataset(dataset))
        else:
            about.append(dataset.card)
            if dataset.name in datasets:
                raise UsageError(f"two datasets of the plan are called {dataset.name!r}")
            datasets[dataset.name] = dataset
            given[dataset.name] = str(_reference(choice.name))
            kept.append(DatasetChoice(name=dataset.name, raw=choice.raw))
    sizes = {name: dataset.n_items for name, dataset in datasets.items()}
    whole = work(plan, Resources({}, {}, objects.recommenders), about, sizes)
    leave_out = tolerate or skip or not fetch
    found = _encoders(plan, objects, missing, say, whole.texts, tolerate=leave_out)
    cards = {card.name: card for card in found.values()}
    named = plan.model_copy(update={"datasets": tuple(kept), "encoders": tuple(cards)})
    resources = Resources(datasets, cards, objects.recommenders, fetch)
    encoders = {card.name: name for name, card in found.items()}
    return Gathered(named, resources, given, encoders, tuple(missing), whole)


def _dataset(choice: DatasetChoice, say: Say, fetch: bool) -> Dataset | DatasetCard:
    """The dataset; only its card if it would have to be fetched and may not."""
    from tastebench.data.catalog import list_datasets, load_dataset
    from tastebench.data.sources import SOURCES

    reference = _reference(choice.name)
    if not fetch and choice.raw is None and choice.name in SOURCES:
        status = {row.name: row.status for row in list_datasets()}[choice.name]
        if status in ("downloadable", "bring raw files"):
            return SOURCES.get(choice.name).card
    raw = choice.raw.expanduser() if choice.raw else None
    return load_dataset(reference, raw=raw, progress=say)


def _reference(name: str) -> str | Path:
    """A name as it is; a path in full, because runs may work elsewhere."""
    from tastebench.data.sources import SOURCES

    if ("/" in name or name in (".", "..")) and name not in SOURCES:
        return Path(name).expanduser().resolve()
    return name


def _encoders(
    plan: Plan, objects: Objects, missing: list[Missing], say: Say, texts: int, *, tolerate: bool
) -> dict[str, EncoderCard]:
    """The cards of the plan's encoders, then of their controls, by what they can be loaded by."""
    cards: dict[str, EncoderCard] = {}
    last = plan.encoders[-1:]
    for name in plan.encoders:
        try:
            card = _card(name, objects, None if tolerate else say)
        except (DependencyError, DataError) as error:
            alone = not cards and "random" not in plan.encoder_controls
            if not tolerate or ((name,) == last and alone):
                raise  # without any encoder the plan would be said to name none
            missing.append(_missing(name, error, texts))
            continue
        same = next((given for given, other in cards.items() if other.name == card.name), None)
        if same is not None:
            raise UsageError(
                f"two encoders of the plan are called {card.name!r}: {same} and {name}",
                fix="rename a folder: results are kept under its name",
            )
        cards[name] = card
    return cards | _controls(plan, objects, cards)


def _card(name: str, objects: Objects, say: Say | None) -> EncoderCard:
    """The card of an encoder that is here; with `say` it is fetched where it is not."""
    from tastebench.encoders import get_encoder
    from tastebench.encoders.hooks import Absent

    encoder = objects.encoders[name] if name in objects.encoders else get_encoder(name)
    if isinstance(encoder, Absent):
        if say is None:
            raise encoder.explain()
        say(f"fetching the encoder {name}" + (f", {in_bytes(n)}" if (n := encoder.bytes) else ""))
        encoder = encoder.fetch()
    return encoder.card


def _missing(name: str, error: TastebenchError, texts: int) -> Missing:
    """What is known of an encoder that is not here."""
    from tastebench.encoders import ENCODERS

    known = ENCODERS.get(name) if name in ENCODERS else None
    if known is None and name.startswith("openai:"):
        from tastebench.encoders.remote import remote_card

        cost = encoding_cost(remote_card(name), texts)
        cost = cost or f"about {in_tokens(texts * TOKENS_A_TEXT)}, price unknown"
        return Missing("encoder", name, error.what, cost=cost, fix=error.fix)
    if known is None or known.needs not in ("download", "key"):
        return Missing("encoder", name, error.what, fix=error.fix)
    return Missing(
        "encoder",
        name,
        "not downloaded yet" if known.needs == "download" else error.what,
        source=known.card.source,
        size=f"about {in_bytes(known.bytes)}" if known.bytes else None,
        cost=encoding_cost(known.card, texts),
        fix=error.fix,
    )


def _controls(
    plan: Plan, objects: Objects, cards: Mapping[str, EncoderCard]
) -> dict[str, EncoderCard]:
    """The controls that a plan wants beside its encoders and does not name among them."""
    controls = {}
    first = next(
        (n for n, card in cards.items() if card.control is None and n not in objects.encoders), None
    )
    for kind in plan.encoder_controls:
        name = "random" if kind == "random" else f"shuffled:{first}"
        if name not in cards and (kind == "random" or first is not None):
            controls[name] = _card(name, objects, None)
    return controls
