"""llm-next: a language model that continues a list of items, written in ids or semantic ids.

Groups I and J of RecBench (Liu et al., 2025): words of a prompt with the codes of items between
them, a table and a classifier for the codes beside the model's own, and beams over the catalogue.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tastebench.contracts import Items, Preview, Recommender, RecommenderCard
from tastebench.errors import UsageError
from tastebench.recommenders.llm.ask_settings import AlignmentTask
from tastebench.recommenders.llm.models import need_model, revision_of
from tastebench.recommenders.seqrec.generative_settings import GenerativeSettings


class NextConfig(GenerativeSettings):
    """Hyper-parameters."""

    model: str = ""
    """A folder with a transformers model, `organisation/model[@commit]` on the hub, or `minilm`."""

    trust_remote_code: bool = False
    """Run the code that a model's folder brings along."""

    prompt: str = "next-v1"
    """The words between the codes: a shipped prompt, or the path of a file of yours."""

    tune: Literal["none", "lora", "full"] = "lora"
    """What of the model is trained. The table that codes are read by and the classifier that they
    are written by always are; in the code that RecBench published they never were."""

    lora_rank: int = Field(128, ge=1)
    lora_alpha: int = Field(128, ge=1)
    lora_dropout: float = Field(0.1, ge=0, lt=1)

    targets: tuple[str, ...] | None = None
    """Linear layers that LoRA adapts; None for those of queries and values."""

    max_length: int | None = Field(None, ge=16)
    """Tokens of a prompt at most; None is what the model can read. What does not fit is dropped
    from the oldest item on, and who it happened to is counted."""

    output: Literal["tied", "separate"] = "separate"
    """What states are compared with: the embeddings that codes are read by, or other ones."""

    table_lr: float | None = Field(1e-3, gt=0)
    """Learning rate of table and classifier, which begin with nothing; None is `lr`."""

    targets_per_sequence: int | None = Field(None, ge=1)
    """None trains on whole sequences, every item of which is predicted. A number draws as many
    beginnings of each sequence an epoch, so that "Next item:" is asked after short ones, too."""

    alignment: tuple[AlignmentTask, ...] = ()
    """What is learned of the items' own texts before each epoch: their codes from the text
    (RecBench, STORE) or the title, the text or the title from the codes (LC-Rec). The
    representation has to have text as well: `text+code` or `id+text`."""

    checkpointing: bool = False
    """Compute layers again on the way back instead of keeping what they made: less memory, more
    time."""

    lr: float = Field(1e-4, gt=0)
    """Learning rate of Adam, for what is trained of the model."""

    batch_size: int = Field(512, ge=1)
    """Targets in a batch: items that are predicted. RecBench has 64 sequences of up to 20."""

    epochs: int = Field(10, ge=1)
    """Passes over the training part at most."""

    patience: int = Field(2, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""


def build(config: NextConfig) -> Recommender:
    """An unfitted llm-next."""
    from tastebench.recommenders.llm.next_recommender import NextRecommender

    return NextRecommender("llm-next", config)


def _check(config: NextConfig, representation: str) -> None:
    from tastebench.recommenders.llm.prompt import get_prompt

    need_model("llm-next", config.model)
    if config.model.startswith("openai:"):
        raise UsageError(
            f"llm-next trains what codes are read by, and {config.model} is behind an address",
            fix="name a folder, or organisation/model on the hub",
        )
    kind = get_prompt(config.prompt).kind
    if kind != "next":
        raise UsageError(
            f"the prompt {config.prompt!r} is for {kind}, and llm-next asks for the next item",
            fix="prompt: next-v1, or a file of yours with kind: next",
        )
    reads = "text" in representation.split("+")
    if config.alignment and not reads:
        raise UsageError(
            f"alignment {', '.join(config.alignment)} reads the text of items, and the "
            f"representation is {representation}",
            fix="use text+code or id+text, or alignment: []",
        )
    if reads and not config.alignment:
        raise UsageError(
            f"llm-next reads no text of items without alignment, and the representation is "
            f"{representation}",
            fix="alignment: [text-to-code], or leave text out of the representation",
        )


def _weights(config: NextConfig, representation: str, fetch: bool) -> str | None:
    """What a run depends on beside its settings: the model's revision and the prompt's words."""
    from tastebench.recommenders.llm.prompt import get_prompt

    if not config.model:
        return None
    found = [
        revision_of(config.model, fetch=fetch, trust_remote_code=config.trust_remote_code),
        get_prompt(config.prompt).hash,
    ]
    if config.alignment:
        from tastebench.recommenders.llm.alignment_words import get_alignment_words

        found.append(get_alignment_words().hash)
    return " ".join(found)


def _preview(config: NextConfig, problem: Any, items: Items) -> Preview:
    from tastebench.recommenders.llm.next_preview import preview

    return preview(config, problem, items)


CARD = RecommenderCard(
    name="llm-next",
    summary="language model over ids or semantic ids, items found by beam search",
    tasks=("seqrec",),
    representations=("code", "id", "text+code", "id+text"),
    config=NextConfig,
    build=build,
    citation="Liu et al., RecBench: Benchmarking LLMs in Recommendation Tasks, arXiv:2503.05493; "
    "Zheng et al., Adapting Large Language Models by Integrating Collaborative Semantics for "
    "Recommendation (LC-Rec), ICDE 2024, arXiv:2311.09049",
    check=_check,
    weights=_weights,
    preview=_preview,
)
