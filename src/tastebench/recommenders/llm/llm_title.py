"""llm-title: a language model writes the title of the next item; the nearest item is meant.

Nothing keeps the model within the catalogue, so that what it writes may be no item at all: how
often is part of the result (Bao et al., "A Bi-Step Grounding Paradigm for Large Language Models in
Recommendation Systems", 2023, arXiv:2308.08434).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tastebench.contracts import Items, Preview, Recommender, RecommenderCard
from tastebench.errors import UsageError
from tastebench.lm.endpoint import PREFIX
from tastebench.recommenders.llm.models import need_model, revision_of
from tastebench.training.settings import TrainSettings


class TitleConfig(TrainSettings):
    """How a model is asked for titles, what they stand for, and how it is tuned if it is."""

    model: str = ""
    """A folder with a transformers model, `organisation/model[@commit]` on the hub, or
    `openai:NAME[@URL]` for one behind an address. There is no default."""

    trust_remote_code: bool = False
    """Run the code that a model's folder brings along."""

    prompt: str = "title-v1"
    """Name of a prompt of kind `title`, or path of a YAML file."""

    chat: Literal["auto", "never"] = "auto"
    """`auto` puts the prompt into the model's chat template, where it has one."""

    max_length: int = Field(1024, ge=16)
    """Tokens of a prompt and its answer at most, and never more than the model takes."""

    titles: int = Field(10, ge=1)
    """Titles that are written for each user; what they stand for is the list, without repeats."""

    search: Literal["beam", "sample"] = "beam"
    """`beam` writes the likeliest titles, by as many beams; `sample` draws them, as a model behind
    an address always does, a request a title."""

    temperature: float = Field(0.8, gt=0)
    """Of what is drawn."""

    title_tokens: int = Field(32, ge=1)
    """A title is cut there; it ends with its line in any case."""

    nearest: str = "letters"
    """What says which item a title stands for that is no item's: `letters` that they share, or the
    name of an encoder whose vectors are compared, e.g. `minilm`."""

    least_alike: float = Field(0.0, ge=0, le=1)
    """A title that is less like every item's than this stands for no item."""

    tune: Literal["none", "lora", "full"] = "none"
    """`none` asks the model as it is, `lora` trains adapters, `full` the model itself: to write the
    title of what came next in the training part."""

    lora_rank: int = Field(32, ge=1)
    lora_alpha: int = Field(128, ge=1)
    lora_dropout: float = Field(0.1, ge=0, lt=1)

    targets: tuple[str, ...] | None = None
    """Linear layers that get an adapter; None is those of queries and values."""

    targets_per_sequence: int = Field(1, ge=1)
    """Items of each training sequence, drawn anew in each epoch, whose titles are learned."""

    lr: float = Field(1e-4, gt=0)
    """Learning rate of Adam."""

    batch_size: int = Field(64, ge=1)
    """Titles in a batch."""

    epochs: int = Field(10, ge=1)
    """Passes over the training part at most."""

    patience: int = Field(2, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""

    @property
    def remote(self) -> bool:
        """The model is behind an address."""
        return self.model.startswith(PREFIX)


def _build(config: TitleConfig) -> Recommender:
    from tastebench.recommenders.llm.title_recommender import TitleRecommender

    return TitleRecommender(config)


def _check(config: TitleConfig, representation: str) -> None:
    from tastebench.recommenders.llm.prompt import get_prompt

    need_model("llm-title", config.model)
    kind = get_prompt(config.prompt).kind
    if kind != "title":
        raise UsageError(
            f"the prompt {config.prompt!r} is {kind}, and llm-title wants one of titles",
            fix="prompt: title-v1, or a file of yours with kind: title",
        )
    if config.remote and config.tune != "none":
        raise UsageError(
            f"a model behind an address cannot be tuned: {config.model}",
            fix="tune: none, or a model in a folder",
        )
    if config.nearest != "letters":
        from tastebench.encoders import get_encoder

        get_encoder(config.nearest)


def _weights(config: TitleConfig, representation: str, fetch: bool) -> str | None:
    """The revisions of the model and of what says which title is near, and the prompt's words."""
    from tastebench.recommenders.llm.prompt import get_prompt

    if not config.model:
        return None
    prompt = f"prompt {get_prompt(config.prompt).hash}"
    if config.remote:
        from tastebench.recommenders.llm.remote_model import identity

        found = identity(config.model)
    else:
        trusted = config.trust_remote_code
        found = revision_of(config.model, fetch=fetch, trust_remote_code=trusted)
    if config.nearest == "letters":
        return f"{found} {prompt}"
    from tastebench.encoders import get_encoder

    card = get_encoder(config.nearest).card
    return f"{found} {prompt} nearest {card.name} {card.revision}"


def _preview(config: TitleConfig, problem: Any, items: Items) -> Preview:
    from tastebench.recommenders.llm.title_preview import preview

    return preview(config, problem, items)


CARD = RecommenderCard(
    name="llm-title",
    summary="a language model writes the title of the next item, and the nearest item is meant",
    tasks=("seqrec",),
    representations=("text",),
    config=TitleConfig,
    build=_build,
    citation="Bao et al., A Bi-Step Grounding Paradigm for Large Language Models in "
    "Recommendation Systems, 2023, arXiv:2308.08434",
    check=_check,
    weights=_weights,
    preview=_preview,
)
