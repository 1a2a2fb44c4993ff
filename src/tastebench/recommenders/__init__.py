"""What is compared: everything that ranks items, from popularity to language models.

A recommender is declared by a `RecommenderCard` (data, cheap to import) and built from its config.
There is no base class: whatever satisfies `tastebench.contracts.Recommender` and one of the scoring
protocols can stand here, through the registry, through the entry-point group
`tastebench.recommenders`, or through `as_recommender`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from tastebench.contracts import (
    FORMS,
    AnswersQuestions,
    GeneratesItems,
    Recommender,
    RecommenderCard,
    ScoresCandidates,
    ScoresItems,
)
from tastebench.errors import UsageError, did_you_mean
from tastebench.registry import Registry

__all__ = ["RECOMMENDERS", "NoParameters", "as_recommender", "build_recommender", "get_recommender"]

_CLICK_MODELS = (
    "dnn",
    "pnn",
    "deepfm",
    "dcn",
    "dcnv2",
    "masknet",
    "finalmlp",
    "autoint",
    "gdcn",
    "din",
    "bst",
    "naml",
    "nrms",
    "lstur",
    "fastformer",
    "miner",
    "plm-nr",
    "once",
    "iisan",
    "uist",
    "bricks",
)


def _click_models() -> dict[str, str]:
    """Each recipe of `tastebench.recommenders.ctr.recipes` by its name."""
    module = "tastebench.recommenders.ctr.recipes"
    return {name: f"{module}:{name.upper().replace('-', '_')}" for name in _CLICK_MODELS}


RECOMMENDERS: Registry[RecommenderCard] = Registry(
    "recommender",
    {
        "unisrec": "tastebench.recommenders.seqrec.unisrec:CARD",
        "sasrec": "tastebench.recommenders.seqrec.sasrec:CARD",
        "sasrec-original": "tastebench.recommenders.seqrec.sasrec:ORIGINAL",
        "gpt2rec": "tastebench.recommenders.seqrec.sasrec:GPT2REC",
        "sasrec-text": "tastebench.recommenders.seqrec.sasrec_text:CARD",
        "bert4rec": "tastebench.recommenders.seqrec.bert4rec:CARD",
        "sid-sasrec": "tastebench.recommenders.seqrec.sid_sasrec:CARD",
        "tiger": "tastebench.recommenders.seqrec.tiger:CARD",
        "gru4rec": "tastebench.recommenders.seqrec.gru4rec:CARD",
        "caser": "tastebench.recommenders.seqrec.caser:CARD",
        "hstu": "tastebench.recommenders.seqrec.hstu:CARD",
        "mamba4rec": "tastebench.recommenders.seqrec.mamba4rec:CARD",
        "trm++": "tastebench.recommenders.seqrec.trm:CARD",
        "graph-walk": "tastebench.recommenders.seqrec.graph_walk:CARD",
        "walk-blend": "tastebench.recommenders.seqrec.blend:CARD",
        "llm-next": "tastebench.recommenders.llm.llm_next:CARD",
        "llm-title": "tastebench.recommenders.llm.llm_title:CARD",
        "alpharec": "tastebench.recommenders.cf.alpharec:CARD",
        "alpharec-original": "tastebench.recommenders.cf.alpharec_original:CARD",
        **_click_models(),
        "llm": "tastebench.recommenders.llm.llm:CARD",
        "llm-rank": "tastebench.recommenders.llm.llm_rank:CARD",
        "vector-knn": "tastebench.recommenders.baselines.vector_knn:CARD",
        "logistic": "tastebench.recommenders.baselines.logistic:CARD",
        "random": "tastebench.recommenders.baselines.random:CARD",
        "popularity": "tastebench.recommenders.baselines.popularity:CARD",
        "item-knn": "tastebench.recommenders.baselines.item_knn:CARD",
        "ease": "tastebench.recommenders.baselines.ease:CARD",
        "dot": "tastebench.recommenders.baselines.dot:CARD",
        "bm25": "tastebench.recommenders.baselines.bm25:CARD",
        "oracle": "tastebench.recommenders.baselines.oracle:CARD",
        "user-embedding": "tastebench.recommenders.userqa.user_embedding:CARD",
        "text-history": "tastebench.recommenders.userqa.text_history:CARD",
        "majority": "tastebench.recommenders.userqa.majority:CARD",
        "attribute-count": "tastebench.recommenders.userqa.attribute_count:CARD",
        "reads-all": "tastebench.recommenders.userqa.reads_all:CARD",
    },
    group="tastebench.recommenders",
)


class NoParameters(BaseModel):
    """The config of a recommender that has nothing to set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def get_recommender(name: str) -> RecommenderCard:
    """The card of the recommender called `name`.

    Raises:
        UsageError: No such name, or an installed package registered something else under it.
    """
    card: object = RECOMMENDERS.get(name)
    if not isinstance(card, RecommenderCard):
        raise UsageError(
            f"recommender {name!r} is registered as a {type(card).__name__}, not as a card",
            fix="point the entry point at a tastebench.contracts.RecommenderCard",
        )
    return card


def as_recommender(
    build: Callable[..., Recommender],
    name: str,
    *,
    tasks: Sequence[str],
    representations: Sequence[str],
    config: type[BaseModel] | None = None,
    summary: str = "",
) -> RecommenderCard:
    """Declares anything that has `fit` and `scores` (or `generate`) as a recommender.

    Args:
        build: A class or function that makes an unfitted recommender. It is called with the config
            if there is one, else without arguments; every run builds its own.
        name: Public name.
        tasks: Tasks it can do, e.g. `("seqrec", "cf")`.
        representations: Representations it accepts, the default first, e.g. `("vector",)`.
        config: Pydantic model of its hyper-parameters, all defaulted; None if it has none.
        summary: One line for lists.

    Raises:
        UsageError: `build` is an object rather than a way to make one, or a representation names a
            form that does not exist.
    """
    if not callable(build) or (isinstance(build, Recommender) and not isinstance(build, type)):
        raise UsageError(
            f"recommender {name!r}: build must make a new recommender, got a "
            f"{type(build).__name__} object, which would carry what it learned from run to run",
            fix="pass the class itself, or a function that returns a new object",
        )
    _check_representations(name, representations)
    make: Callable[[Any], Recommender] = build if config else lambda _: build()
    return RecommenderCard(
        name=name,
        summary=summary or name,
        tasks=_sequence(name, "tasks", tasks),
        representations=tuple(representations),
        config=config or NoParameters,
        build=make,
    )


def build_recommender(card: RecommenderCard, config: BaseModel) -> Recommender:
    """A recommender that has learnt nothing yet.

    Raises:
        UsageError: What the card builds lacks a method that every run calls.
    """
    made: object = card.build(config)
    if not isinstance(made, Recommender):
        raise UsageError(
            f"{type(made).__name__} has no method fit, so it is no recommender",
            where=f"recommender {card.name!r}",
            fix="give it one: fit(problem, items, trainer) -> FitReport",
        )
    if not isinstance(made, (ScoresItems, GeneratesItems, ScoresCandidates, AnswersQuestions)):
        raise UsageError(
            f"{type(made).__name__} has none of scores, generate and score, nor answer, so it "
            "recommends nothing",
            where=f"recommender {card.name!r}",
            fix="give it one: scores(queries, items) -> array of shape [n, items]; for clicks, "
            "log_odds and score(candidates) -> array of shape [n]; for questions, "
            "answer(questions) -> Answers",
        )
    return made


def _check_representations(name: str, representations: Sequence[str]) -> None:
    for representation in _sequence(name, "representations", representations):
        for form in representation.split("+"):
            if form not in FORMS:
                raise UsageError(
                    f"recommender {name!r}: no form {form!r} in representation "
                    f"{representation!r}: {did_you_mean(form, FORMS)}"
                )


def _sequence(name: str, field: str, values: Sequence[str]) -> tuple[str, ...]:
    if isinstance(values, str) or not values:
        raise UsageError(f"recommender {name!r}: {field} must be a list of names, got {values!r}")
    return tuple(values)
