"""Which model and which prompt a run means, found without loading the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tastebench.lm.load import ModelFolder, find_model
from tastebench.recommenders.llm.prompt import Prompt, get_prompt

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm import LLMConfig


def model_folder(name: str, *, trust_remote_code: bool = False) -> ModelFolder:
    """The folder of a model by its name in the settings.

    Raises:
        DataError: No such folder, or the hub cannot be reached and has no copy here.
        UsageError: `name` is neither.
    """
    if name == "minilm":
        from tastebench.encoders.catalog import minilm_folder

        return replace(find_model(str(minilm_folder())), name="minilm")
    return find_model(name, trust_remote_code=trust_remote_code)


def has_chat_template(folder: ModelFolder) -> bool:
    """Whether a model knows conversations: its tokenizer says how one is written."""
    if (folder.path / "chat_template.jinja").is_file():
        return True
    return bool((folder.read_json("tokenizer_config.json") or {}).get("chat_template"))


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
