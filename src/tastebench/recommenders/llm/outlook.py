"""What previews of prompted models share: a tokenizer without its model, items as tokens, time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastebench.encoders.catalog import language_model
from tastebench.lm.headed import trusting
from tastebench.lm.load import ModelFolder, is_downloaded, loading
from tastebench.lm.speed import LEARNING, seconds_for
from tastebench.lm.spelling import Spelling
from tastebench.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Tokenized:
    """A model as far as it is looked at before it is loaded.

    Attributes:
        config: Its configuration.
        tokenizer: Its own.
    """

    folder: ModelFolder
    config: Any
    tokenizer: Any

    @property
    def spelling(self) -> Spelling:
        """How it spells."""
        return Spelling(self.tokenizer, self.folder.name)


def is_here(model: str) -> bool:
    """Whether a model's files lie on this machine; no server is asked."""
    return model == "minilm" or Path(model).expanduser().is_dir() or is_downloaded(model)


def tokenized(model: str, *, trust_remote_code: bool) -> Tokenized:
    """Configuration and tokenizer of a model that is here.

    Raises:
        DataError: There is no such model, or it cannot be read.
    """
    from transformers import AutoConfig, AutoTokenizer

    folder = language_model(model, trust_remote_code=trust_remote_code)
    own: dict[str, Any] = {"trust_remote_code": folder.trusted, "local_files_only": True}
    with trusting(folder), loading(folder):
        config = AutoConfig.from_pretrained(str(folder.path), **own)
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder.path), **own)
    return Tokenized(folder, config, tokenizer)


@dataclass(frozen=True)
class Work:
    """Tokens that a model of this machine goes through.

    Attributes:
        asked: Of the test and the validation part, read and written, what is shared once.
        validated: Of the validation part alone.
        learned: Of the training part, once; 0 where nothing is tuned.
        epochs: Passes over it at most, each followed by a validation.
    """

    asked: float
    validated: float = 0.0
    learned: float = 0.0
    epochs: int = 0

    def seconds(self, model: str, device: str, *, trust_remote_code: bool) -> float | None:
        """About how long that takes here; None for a model that is not here."""
        if not is_here(model):
            return None
        folder = language_model(model, trust_remote_code=trust_remote_code)
        again = self.epochs * (LEARNING * self.learned + self.validated) if self.learned else 0.0
        return seconds_for(folder, self.asked + again, device)


def as_codes(n_items: int, width: int, first: int) -> Ragged:
    """Tokens that stand for the codes of items, behind the words of a model, int32.

    Args:
        n_items: Items of the catalogue.
        width: Codes of each.
        first: The first number that is no word's.
    """
    tokens = first + np.arange(n_items * width, dtype=np.int32)
    return Ragged.from_lengths(tokens, np.full(n_items, width, dtype=np.int64))


def readable(tokenizer: Any, tokens: np.ndarray, first: int, width: int) -> str:
    """A prompt as text, the codes of items as `<item 17, code 1>`: which they are is known later.

    Args:
        tokenizer: Of the model.
        tokens: Of the prompt.
        first: The first number that stands for a code.
        width: Codes of each item.
    """
    parts = []
    cuts = np.flatnonzero(np.diff(tokens >= first)) + 1
    for run in np.split(tokens, cuts):
        if not len(run):
            continue
        if run[0] < first:
            parts.append(str(tokenizer.decode(run)))
        else:
            parts += [f"<item {t // width}, code {t % width + 1}>" for t in (run - first).tolist()]
    return "".join(parts)
