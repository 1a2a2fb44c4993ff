"""A language model asked about one user and one item at a time: RecBench's groups D, E and F.

Text: the prompt shows items in words, and the model is asked as it is (zero-shot) or tuned. Ids and
codes: items are tokens of their own, which nobody has taught the model, so it has to be tuned.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from tastebench.contracts import Items, Preview, Recommender, RecommenderCard
from tastebench.errors import UsageError
from tastebench.lm.endpoint import PREFIX
from tastebench.recommenders.llm.ask_settings import (
    BOTH_WAYS,
    AlignmentTask,
    AskSettings,
    ProbeSettings,
)
from tastebench.recommenders.llm.models import (
    has_chat_template,
    need_model,
    prompt_of,
    revision_of,
)
from tastebench.training.settings import TrainSettings


class LLMConfig(TrainSettings):
    """How a model is asked, and how it is tuned if it is; RecBench's values where it says any."""

    LATER: ClassVar[tuple[str, ...]] = (*TrainSettings.LATER, "alignment")

    model: str = ""
    """A folder with a transformers model, `organisation/model[@commit]` on the hub, `minilm`, or
    `openai:NAME[@URL]` for one behind an address. There is no default."""

    trust_remote_code: bool = False
    """Run the code that a model's folder brings along."""

    scoring: Literal["generative", "matching"] = "generative"
    """`generative` asks for yes or no and takes their log-probabilities; `matching` reads user and
    candidate apart and compares two vectors."""

    prompt: str = "auto"
    """Name of a prompt or path of a YAML file. `auto` is `match-v1` in matching, else
    `yes-no-chat-v1` for models with a chat template and `yes-no-v1` for others."""

    chat: Literal["auto", "never"] = "auto"
    """`auto` puts the prompt into the model's chat template, where it has one."""

    max_length: int = Field(1024, ge=16)
    """Tokens of a prompt and its answer at most, and never more than the model takes. A text of an
    item has at most a fifth of it; of a history the latest items are shown that have room."""

    asked: AskSettings = AskSettings()
    """How a model behind an address is asked."""

    probes: ProbeSettings = ProbeSettings()
    """What is measured beside the scores: how much wording and order matter, what is known by
    heart. Nothing unless asked for."""

    pooling: Literal["last", "mean"] = "last"
    """In matching, the state of the last token or the mean over all is a text's vector."""

    similarity: Literal["cosine", "dot"] = "cosine"
    """What compares two vectors in matching."""

    tune: Literal["none", "lora", "full"] = "none"
    """`none` asks the model as it is, `lora` trains adapters, `full` the model itself."""

    lora_rank: int = Field(32, ge=1)
    """Rank of the adapters."""

    lora_alpha: int = Field(128, ge=1)
    """Scale of the adapters, as a multiple of one over their rank."""

    lora_dropout: float = Field(0.1, ge=0, lt=1)
    """Of what the adapters read."""

    targets: tuple[str, ...] | None = None
    """Linear layers that get an adapter; None is those of queries and values."""

    tune_from: int | None = None
    """The first layer that is trained, counted from the top where negative. Layers below it and the
    embeddings are frozen, and what they make of the training prompts is computed once and kept on
    disk. None trains from the first layer on and keeps nothing."""

    store: Literal["float32", "float16"] = "float32"
    """What states of frozen layers are kept in. float16 takes half the room and costs up to 2^-11
    of every number."""

    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` trains with matrix products in bfloat16 (autocast; weights and scores stay fp32). A
    model that is asked as it is keeps the half precision that it is stored in, where the device
    computes in it; `fp32` never does."""

    alignment: tuple[AlignmentTask, ...] = ()
    """Over ids and codes, what is learned of the items' own texts before the rows of each epoch:
    their codes from the text (RecBench, STORE) or the title, the text or the title from the codes
    (LC-Rec). `true` is from the text and back. The representation has to have text as well:
    `id+text` or `text+code`."""

    lr: float = Field(1e-4, gt=0)
    """Learning rate of Adam."""

    batch_size: int = Field(64, ge=1)
    """Rows in a batch."""

    epochs: int = Field(10, ge=1)
    """Passes over the training part at most."""

    patience: int = Field(2, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""

    @field_validator("alignment", mode="before")
    @classmethod
    def _both_ways(cls, given: Any) -> Any:
        return BOTH_WAYS if given is True else () if given is False else given

    @property
    def remote(self) -> bool:
        """The model is behind an address."""
        return self.model.startswith(PREFIX)


def _build(config: LLMConfig) -> Recommender:
    if config.probes.any:
        from tastebench.recommenders.llm.probes import Probed

        return Probed(config, _build_one)
    return _build_one(config)


def _build_one(config: LLMConfig) -> Recommender:
    if config.remote:
        from tastebench.recommenders.llm.remote import RemotePairwise

        return RemotePairwise(config)
    from tastebench.recommenders.llm.pairwise import PairwiseLM

    return PairwiseLM(config)


def _check(config: LLMConfig, representation: str) -> None:
    """Refuses what cannot be meant, before anything is run."""
    need_model("llm", config.model)
    if config.prompt != "auto":
        from tastebench.recommenders.llm.prompt import get_prompt

        wanted = "pairwise" if config.scoring == "generative" else "matching"
        kind = get_prompt(config.prompt).kind
        if kind != wanted:
            raise UsageError(
                f"the prompt {config.prompt!r} is {kind}, and {config.scoring} scoring wants one "
                f"that is {wanted}"
            )
    if config.remote and (config.tune != "none" or config.scoring != "generative"):
        what = "tuned" if config.tune != "none" else "read for its vectors"
        raise UsageError(
            f"a model behind an address cannot be {what}: {config.model}",
            fix="tune: none and scoring: generative, or a model in a folder",
        )
    if config.scoring == "matching" and config.tune != "none" and config.similarity == "dot":
        raise UsageError(
            "matching is tuned by the cosine of two vectors, which a dot product is not",
            fix="similarity: cosine",
        )
    _check_representation(config, representation)


def _check_representation(config: LLMConfig, representation: str) -> None:
    if representation == "text":
        if config.alignment:
            raise UsageError(
                "alignment teaches what ids and codes mean, and items are shown in words here",
                fix="representation: id+text or text+code, or alignment: []",
            )
        return
    if config.tune == "none" or config.remote:
        raise UsageError(
            f"llm over {representation}: items are tokens that no model was taught, and nothing is "
            "tuned",
            fix="tune: lora, or representation: text",
        )
    if config.scoring != "generative":
        raise UsageError(
            f"llm over {representation} scores by yes and no alone", fix="scoring: generative"
        )
    reads = "text" in representation.split("+")
    if bool(config.alignment) != reads:
        raise UsageError(
            f"alignment {', '.join(config.alignment)} reads the text of items, and the "
            f"representation is {representation}"
            if config.alignment
            else f"llm over {representation} reads no text of items without alignment",
            fix="alignment: true with id+text or text+code, or neither",
        )


def _weights(config: LLMConfig, representation: str, fetch: bool) -> str | None:
    """The model's revision and every word of the prompt."""
    from tastebench.encoders.catalog import language_model

    if not config.model:
        return None
    if config.remote:
        from tastebench.recommenders.llm.remote_model import identity

        return f"{identity(config.model)} prompt {prompt_of(config, chat=True).hash}"
    aligned = ""
    if config.alignment:
        from tastebench.recommenders.llm.alignment_words import get_alignment_words

        aligned = f" alignment {get_alignment_words().hash}"
    trusted = config.trust_remote_code
    found = revision_of(config.model, fetch=fetch, trust_remote_code=trusted)
    # Which of two prompts is meant is known of a model that is here.
    chats = {False, True}
    if found != config.model:
        folder = language_model(config.model, trust_remote_code=trusted)
        chats = {config.chat == "auto" and has_chat_template(folder)}
    hashes = (prompt_of(config, chat=chat).hash for chat in sorted(chats))
    return f"{found} prompt {' '.join(hashes)}{aligned}"


def _preview(config: LLMConfig, problem: Any, items: Items) -> Preview:
    if config.remote:
        from tastebench.recommenders.llm.remote import preview as remote_preview

        return remote_preview(config, problem, items)
    from tastebench.recommenders.llm.preview import preview

    return preview(config, problem, items)


CARD = RecommenderCard(
    name="llm",
    summary="a language model asked whether a user will like an item: zero-shot or tuned",
    tasks=("ctr",),
    representations=("text", "id", "code", "id+text", "text+code"),
    config=LLMConfig,
    build=_build,
    citation="RecBench: Liu et al., 2025; TALLRec: Bao et al., RecSys 2023",
    check=_check,
    weights=_weights,
    preview=_preview,
)
