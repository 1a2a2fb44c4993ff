"""Which model and which prompt a run means, found without loading the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tastebench.errors import UsageError
from tastebench.lm.load import ModelFolder
from tastebench.recommenders.llm.prompt import Prompt, get_prompt

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm import LLMConfig


def need_model(recommender: str, model: str) -> None:
    """Refuses settings that name no model.

    Raises:
        UsageError: They do not.
    """
    if not model:
        raise UsageError(
            f"{recommender}: which language model?",
            fix="params: {model: ./folder}, or --model ./folder on the command line",
        )


def revision_of(model: str, *, fetch: bool, trust_remote_code: bool) -> str:
    """What identifies a model's files; its name where it is not here and is not to be fetched.

    Nothing that is not here has been run, so its name will do.
    """
    from tastebench.encoders.catalog import language_model
    from tastebench.lm.load import would_download

    if not fetch and would_download(model):
        return model
    return language_model(model, trust_remote_code=trust_remote_code).revision


def has_chat_template(folder: ModelFolder) -> bool:
    """Whether a model knows conversations: its tokenizer says how one is written."""
    if (folder.path / "chat_template.jinja").is_file():
        return True
    return bool((folder.read_json("tokenizer_config.json") or {}).get("chat_template"))


def in_chat(config: LLMConfig, folder: ModelFolder, kind: str) -> bool:
    """Whether a prompt is put into the model's chat template; what fills in blanks has none.

    Args:
        config: Of the run.
        folder: Of the model.
        kind: `decoder`, `encoder` or `encoder-decoder`.
    """
    return config.chat == "auto" and kind != "encoder" and has_chat_template(folder)


def prompt_of(config: LLMConfig, *, chat: bool) -> Prompt:
    """The prompt that a run uses.

    Args:
        config: Of the run.
        chat: The prompt is put into a chat.
    """
    if config.prompt != "auto":
        return get_prompt(config.prompt)
    if config.scoring == "matching":
        return get_prompt("match-v1")
    return get_prompt("yes-no-chat-v1" if chat else "yes-no-v1")


def longest_prompt(folder: ModelFolder, config: Any, wanted: int) -> int:
    """Tokens that a prompt may have: as wanted, never more than the model has positions for.

    Args:
        folder: Of the model.
        config: Its configuration, which knows its own names for things.
        wanted: By the settings.
    """
    from tastebench.encoders.pooled import input_limit

    limits = [wanted, input_limit(folder, wanted)]
    # What the file calls n_positions or max_seq_len has one name here.
    limits.append(getattr(config.get_text_config(), "max_position_embeddings", None))
    return min(limit for limit in limits if limit is not None and limit > 0)
