"""What a plan will cost, said before it starts: texts to encode, computing or dollars, fits to do.

Estimates are for deciding, not for reporting: records hold what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tastebench.contracts import EncoderCard
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.runs.expand import choices, representations
from tastebench.runs.hyperparameters import combinations, searched
from tastebench.runs.missing import in_bytes
from tastebench.runs.plan import Plan
from tastebench.runs.resources import Resources

if TYPE_CHECKING:
    from tastebench.data.card import DatasetCard

TOKENS_A_TEXT = 20
"""Of a product's title; descriptions have ten times as many."""

SUSTAINED = 1e14
"""Operations a second that one current accelerator keeps up while encoding, in round numbers."""


@dataclass(frozen=True)
class Work:
    """How much there is to do.

    Attributes:
        runs: Records that the plan makes.
        fits: Trainings, every setting of a grid counted.
        texts: Items to encode, over all catalogues of known size.
        unknown: Datasets whose size is not known before they are here.
    """

    runs: int
    fits: int
    texts: int
    unknown: tuple[str, ...] = ()


def work(
    plan: Plan, resources: Resources, cards: Iterable[DatasetCard], items: Mapping[str, int]
) -> Work:
    """What a plan comes to when everything it names is here.

    Args:
        plan: With all its encoders.
        resources: For the recommenders that the caller brought.
        cards: Of all its datasets.
        items: Size of each catalogue that is here; for the others what the card knows of it.
    """
    from tastebench.tasks import TASKS

    runs = fits = texts = 0
    unknown = []
    encoders = len(plan.encoders) + len(plan.encoder_controls)
    for card in cards:
        size = items.get(card.name, _items(card))
        if size is None:
            unknown.append(card.name)
        texts += size or 0
        for task in (t for t in plan.tasks or card.tasks if t in card.tasks and t in TASKS):
            for choice in choices(plan, resources, TASKS.get(task)):
                recommender = resources.recommender(choice.name)
                trials = len(combinations(searched(plan, choice, recommender)))
                seeds = len(plan.seeds_of(choice))
                for representation in representations(plan, choice, recommender):
                    times = _times(plan, representation.split("+"), encoders)
                    runs += times * seeds
                    fits += times * (trials + seeds - 1)
    return Work(runs, fits, texts, tuple(unknown))


def _times(plan: Plan, forms: Sequence[str], encoders: int) -> int:
    """Runs a recommender makes of one seed: one an encoder and a recipe of codes."""
    if "code" not in forms:
        return encoders if "vector" in forms else 1
    recipes = plan.codes or (CodeRecipe(),)
    return sum(encoders if recipe.reads_vectors or "vector" in forms else 1 for recipe in recipes)


def _items(card: DatasetCard) -> int | None:
    return card.known.items if card.known.items is not None else card.about.items


def encoding_cost(card: EncoderCard, texts: int) -> str | None:
    """What encoding so many titles takes, in words; None where nothing is known or it is nothing.

    A forward pass takes two operations a parameter and token.
    """
    tokens = texts * TOKENS_A_TEXT
    if not tokens:
        return None
    if card.usd_per_million_tokens is not None:
        usd = tokens / 1e6 * card.usd_per_million_tokens
        return f"about {in_dollars(usd)} for {in_tokens(tokens)}"
    if not card.parameters:
        return None
    hours = 2 * card.parameters * tokens / SUSTAINED / 3600
    span = f"{hours:,.1f} hours" if hours >= 1 else f"{max(hours * 60, 0.1):.1f} minutes"
    memory = in_bytes(2 * card.parameters)
    return f"about {span} of one accelerator and {memory} of its memory for {texts:,} titles"


def in_dollars(usd: float) -> str:
    """Money as people write it, small sums too.

    >>> in_dollars(1234.5), in_dollars(0.00016)
    ('$1,234.50', '$0.0002')
    """
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${max(usd, 1e-4):.4f}"


def in_tokens(tokens: int) -> str:
    """A number of tokens as people write it.

    >>> in_tokens(31_196_340), in_tokens(1600)
    ('31.2 million tokens', '1,600 tokens')
    """
    return f"{tokens / 1e6:,.1f} million tokens" if tokens >= 1e6 else f"{tokens:,} tokens"
