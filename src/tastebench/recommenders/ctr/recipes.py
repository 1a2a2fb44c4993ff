"""The published click models as combinations of bricks: data, a row a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import Field, create_model

from tastebench.contracts import Form, Recommender, RecommenderCard
from tastebench.recommenders.ctr.config import ClickConfig, bricks_of
from tastebench.recommenders.ctr.item_operators import ReadingConfig

BY_ID = ("id", "text", "vector", "id+vector", "id+text", "text+vector", "id+text+vector", "code")
BY_TEXT = ("text", "vector", "id", "id+text", "id+vector", "text+vector", "id+text+vector", "code")
WORDS_ALONE = ("text", "id+text")


@dataclass(frozen=True)
class Recipe:
    """One published model.

    Attributes:
        name: Public name.
        summary: One line for lists.
        user, predictor: Bricks, with settings where they are not the brick's own defaults.
        reads: Item operators of single forms, where they are not `ClickConfig`'s.
        representations: What it accepts, the default first.
        negatives: 0 for ranking.
        defaults: Other hyper-parameters that are not `ClickConfig`'s.
        citation: Where it comes from.
    """

    name: str
    summary: str
    citation: str | None
    user: str | dict[str, Any] = "pooling"
    predictor: str | dict[str, Any] = "dnn"
    reads: Mapping[Form, str] = field(default_factory=dict)
    representations: tuple[str, ...] = BY_ID
    negatives: int = 0
    defaults: dict[str, Any] = field(default_factory=dict)


_NEWS: dict[str, Any] = {"hidden_size": 256, "batch_size": 64}
"""Width and batch of the news recommenders as Legommenders trains them."""

_LANGUAGE_MODEL: dict[str, Any] = {**_NEWS, "lr": 1e-4}

RECIPES = (
    # ------------------------------------------------------------------------------------ ranking
    Recipe("dnn", "tower over user and item", "Covington et al., RecSys 2016"),
    Recipe(
        "pnn", "tower over user, item and their products", "Qu et al., ICDM 2016", predictor="pnn"
    ),
    Recipe(
        "deepfm",
        "factorisation machine beside a tower",
        "Guo et al., IJCAI 2017",
        predictor="deepfm",
    ),
    Recipe("dcn", "vector cross layers beside a tower", "Wang et al., ADKDD 2017", predictor="dcn"),
    Recipe(
        "dcnv2", "matrix cross layers beside a tower", "Wang et al., WWW 2021", predictor="dcnv2"
    ),
    Recipe(
        "masknet",
        "instance-guided masks on features",
        "Wang et al., DLP-KDD 2021",
        predictor="masknet",
    ),
    Recipe(
        "finalmlp", "two towers, bilinear fusion", "Mao et al., AAAI 2023", predictor="finalmlp"
    ),
    Recipe("autoint", "self-attention over fields", "Song et al., CIKM 2019", predictor="autoint"),
    Recipe("gdcn", "gated cross layers beside a tower", "Wang et al., CIKM 2023", predictor="gdcn"),
    Recipe(
        "din",
        "the history weighed by the candidate",
        "Zhou et al., KDD 2018",
        user="none",
        predictor="din",
    ),
    Recipe(
        "bst",
        "a transformer over history and candidate",
        "Chen et al., DLP-KDD 2019",
        user="target-transformer",
    ),
    # ----------------------------------------------------------------------------------- matching
    Recipe(
        "naml",
        "convolutions over words, attention over columns and clicks",
        "Wu et al., IJCAI 2019",
        reads={"text": "cnn"},
        user="additive-attention",
        predictor="dot",
        representations=BY_TEXT,
        negatives=4,
        defaults=_NEWS,
    ),
    Recipe(
        "nrms",
        "multi-head self-attention over words and clicks",
        "Wu et al., EMNLP 2019",
        reads={"text": "attention"},
        user="attention",
        predictor="dot",
        representations=BY_TEXT,
        negatives=4,
        defaults=_NEWS,
    ),
    Recipe(
        "lstur",
        "convolutions by column, a GRU over clicks",
        "An et al., ACL 2019",
        reads={"text": "cnn-columns"},
        user="gru",
        predictor="dot",
        representations=BY_TEXT,
        negatives=4,
        defaults=_NEWS,
    ),
    Recipe(
        "fastformer",
        "additive-attention transformers over words and clicks",
        "Wu et al., 2021, arXiv:2108.09084",
        reads={"text": "fastformer"},
        user="fastformer",
        predictor="dot",
        representations=BY_TEXT,
        negatives=4,
        defaults=_NEWS,
    ),
    Recipe(
        "miner",
        "several interests of a user, weighed by the candidate",
        "Li et al., ACL Findings 2022",
        reads={"text": "transformer"},
        user="poly-attention",
        predictor="miner",
        representations=BY_TEXT,
        negatives=4,
        defaults=_NEWS,
    ),
    Recipe(
        "plm-nr",
        "a pretrained language model over words, attention over clicks",
        "Wu et al., SIGIR 2021",
        reads={"text": "language-model"},
        user="additive-attention",
        predictor="dot",
        representations=WORDS_ALONE,
        negatives=4,
        defaults=_LANGUAGE_MODEL,
    ),
    Recipe(
        "once",
        "a large language model over words, lower layers frozen, LoRA above (DIRE)",
        "Liu et al., ONCE, WSDM 2024",
        user="additive-attention",
        predictor="dot",
        representations=WORDS_ALONE,
        negatives=4,
        defaults={**_LANGUAGE_MODEL, "item": {"operator": "language-model", "lora_rank": 32}},
    ),
    Recipe(
        "iisan",
        "a side network over the layers of a frozen language model",
        "Fu et al., SIGIR 2024",
        reads={"text": "iisan"},
        user="additive-attention",
        predictor="dot",
        representations=WORDS_ALONE,
        negatives=4,
        defaults=_LANGUAGE_MODEL,
    ),
    Recipe(
        "uist",
        "semantic ids level by level, a mixture of predictors over level pairs",
        "Liu et al., Discrete Semantic Tokenization for Deep CTR Prediction, WWW 2024",
        reads={"code": "code-levels"},
        user="levels",
        predictor="mixture",
        representations=("code",),
    ),
    # ---------------------------------------------------------------------------------- your own
    Recipe(
        "bricks",
        "any item operator, user operator and predictor: say which",
        "Legommenders: Liu et al., 2024",
    ),
)


def card(recipe: Recipe) -> RecommenderCard:
    """A recipe as a recommender."""
    return RecommenderCard(
        name=recipe.name,
        summary=recipe.summary,
        tasks=("ctr",),
        representations=recipe.representations,
        config=_config(recipe),
        build=partial(_build, recipe.name),
        citation=recipe.citation,
        check=_check,
        weights=_weights,
    )


def _config(recipe: Recipe) -> type[ClickConfig]:
    """`ClickConfig` with the recipe's defaults."""
    defaults = {
        "user": recipe.user,
        "predictor": recipe.predictor,
        "negatives": recipe.negatives,
        **recipe.defaults,
    }
    fields: dict[str, Any] = {}
    for name, value in defaults.items():
        known = ClickConfig.model_fields[name]
        fields[name] = (known.rebuild_annotation(), _field(value, known.description))
    made: type[ClickConfig] = create_model("ClickConfig", __base__=ClickConfig, **fields)
    made.operators = {**ClickConfig.operators, **recipe.reads}
    made.__doc__ = ClickConfig.__doc__
    return made


def _field(value: Any, description: str | None) -> Any:
    return Field(value, validate_default=True, description=description)


def _build(name: str, config: ClickConfig) -> Recommender:
    from tastebench.recommenders.ctr.click_model import ClickModel

    return ClickModel(name, config)


def _weights(config: ClickConfig, representation: str, fetch: bool) -> str | None:
    """The revision of the language model that reads items, or whose tokenizer does, if any.

    Nothing that is not here has been run: without `fetch` its name will do.
    """
    bricks = bricks_of(config, representation)
    names = [settings.model for _, settings in bricks.items if isinstance(settings, ReadingConfig)]
    found: list[str] = []
    if names:
        from tastebench.encoders.catalog import language_model
        from tastebench.lm.load import would_download

        found += (
            name if not fetch and would_download(name) else language_model(name).revision
            for name in names
        )
    if "text" in representation.split("+") and config.text.tokenizer != "word":
        from tastebench.items.tokens import tokenizer_revision

        found.append(tokenizer_revision(config.text.tokenizer))
    return " ".join(found) or None


def _check(config: ClickConfig, representation: str) -> None:
    bricks_of(config, representation)


CARDS = {recipe.name: card(recipe) for recipe in RECIPES}
DNN, PNN, DEEPFM, DCN, DCNV2 = (CARDS[name] for name in ("dnn", "pnn", "deepfm", "dcn", "dcnv2"))
MASKNET, FINALMLP, AUTOINT, GDCN = (
    CARDS[name] for name in ("masknet", "finalmlp", "autoint", "gdcn")
)
DIN, BST, NAML, NRMS, LSTUR = (CARDS[name] for name in ("din", "bst", "naml", "nrms", "lstur"))
FASTFORMER, MINER, PLM_NR, ONCE, IISAN, UIST, BRICKS = (
    CARDS[name] for name in ("fastformer", "miner", "plm-nr", "once", "iisan", "uist", "bricks")
)
