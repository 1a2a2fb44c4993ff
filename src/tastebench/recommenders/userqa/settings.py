"""What all who let a language model answer let their user set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tastebench.recommenders.userqa.prompt import get_qa_prompt
from tastebench.training.settings import TrainSettings

if TYPE_CHECKING:
    from tastebench.lm.load import ModelFolder

FLOPS_PROBE = "gflops_per_question"
"""Probe of a record: 10^9 operations a question, as `QaReader.worked` counts them."""


class ReaderSettings(TrainSettings):
    """The language model that answers, how it is asked and how it is tuned."""

    model: str = ""
    """A folder with a transformers model that continues texts, or `organisation/model[@commit]` on
    the hub. There is no default."""

    trust_remote_code: bool = False
    """Run the code that a model's folder brings along."""

    prompt: str = "auto"
    """Name of a prompt or path of a YAML file; `auto` is `user-en-v1` or `user-zh-v1`, by the
    language of the questions, and where words are scored `user-en-words-v1` or
    `user-zh-words-v1`."""

    chat: Literal["auto", "never"] = "auto"
    """`auto` puts the prompt into the model's chat template, where it has one."""

    scoring: Literal["options", "words", "greedy"] = "options"
    """`options` takes the log-probability of each option's label. `words` takes that of the
    option's own words and of the end behind them, and trains on those of the right one: for models
    too small to tell what a label stands for. `greedy` lets the model write its likeliest token, as
    published: what is no label is `unparsed`, and counts as wrong."""

    max_length: int = Field(2048, ge=32)
    """Tokens of soft tokens, prompt and answer together at most, and never more than the model
    takes."""

    question_length: int = Field(384, ge=16)
    """Tokens that a question has with its options and what asks for the answer, at most, and never
    more than half of `max_length`. Options are cut to an eighth of it each where they are four,
    then the question; a label never is. Words that are scored are part of it, and cut to half of it
    where no options are shown."""

    lora_rank: int = Field(32, ge=1)
    """Rank of the adapters of the reader."""

    lora_alpha: int = Field(64, ge=1)
    """Scale of the adapters, as a multiple of one over their rank."""

    lora_dropout: float = Field(0.1, ge=0, lt=1)
    """Of what the adapters read."""

    targets: tuple[str, ...] | None = None
    """Linear layers that get an adapter; None is those of queries and values."""

    lr: float = Field(1e-4, gt=0)
    """Learning rate of Adam; UQABench's for adapters. Its q-former diverges at more."""

    warmup: int = Field(100, ge=0)
    """Steps over which learning rates rise from zero."""

    clip: float | None = Field(1.0, gt=0)
    """Longest gradient over all that is trained; a longer one is shortened. None lets it be."""

    batch_size: int = Field(32, ge=1)
    """Questions in a batch."""

    epochs: int = Field(10, ge=1)
    """Passes over the training questions at most."""

    patience: int = Field(2, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""

    @property
    def by_words(self) -> bool:
        """The words of options are scored, and not their labels."""
        return self.scoring == "words"


def check_reader(recommender: str, config: ReaderSettings) -> None:
    """Refuses settings that name no reader or no prompt.

    Raises:
        UsageError: They do not.
        DataError: The prompt's file is none.
    """
    from tastebench.errors import UsageError

    if not config.model:
        raise UsageError(
            f"{recommender}: which language model answers?",
            fix="params: {model: ./folder}",
        )
    if config.prompt != "auto":
        get_qa_prompt(config.prompt, by_words=config.by_words)


def weights_of(config: ReaderSettings, fetch: bool) -> str | None:
    """The reader's revision and every word of the prompt."""
    from tastebench.recommenders.llm.models import revision_of
    from tastebench.recommenders.userqa.prompt import meant

    if not config.model:
        return None
    found = revision_of(config.model, fetch=fetch, trust_remote_code=config.trust_remote_code)
    # Which language the questions have is known of a dataset and not here.
    by_words = config.by_words
    names = meant(config.prompt, by_words=by_words)
    hashes = " ".join(get_qa_prompt(name, by_words=by_words).hash for name in names)
    return f"{found} prompt {hashes}"


def in_chat(config: ReaderSettings, folder: ModelFolder) -> bool:
    """Whether a prompt is put into the model's chat template."""
    from tastebench.recommenders.llm.models import has_chat_template

    return config.chat == "auto" and has_chat_template(folder)


def length_of(config: ReaderSettings, folder: ModelFolder, model_config: Any) -> int:
    """Tokens that a prompt and its answer may have."""
    from tastebench.recommenders.llm.models import longest_prompt

    return longest_prompt(folder, model_config, config.max_length)
