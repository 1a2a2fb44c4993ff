"""How a model is named: a folder or a hub name, and how its token states are to be pooled."""

from __future__ import annotations

from pathlib import Path

from tastebench.encoders.pooled import POOLINGS, Pooling
from tastebench.errors import UsageError, did_you_mean

SHUFFLED, HALF = PREFIXES = ("shuffled:", "fp16:")
"""What stands before an encoder's name and says what is done with its vectors."""


def bare(name: str) -> str:
    """The encoder that encodes: a name without what is done with its vectors.

    >>> bare("shuffled:fp16:minilm"), bare("minilm")
    ('minilm', 'minilm')
    """
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def looks_like_a_model(name: str) -> bool:
    """Whether a name can only be that of a folder or a hub model."""
    return "/" in name or "\\" in name or name.startswith("~") or Path(name).is_dir()


def split_pooling(name: str) -> tuple[str, Pooling | None]:
    """A model and the pooling asked for: `./model:mean`, `organisation/model@commit:last`.

    Only a word behind the last colon can be a pooling, and not where one letter stands before it,
    which is a drive. A folder whose name ends like that is taken as the folder.

    Raises:
        UsageError: A model, and a word that is no pooling.

    >>> split_pooling("./my-model:mean")
    ('./my-model', 'mean')
    >>> split_pooling("C:models"), split_pooling("D:/models/mine:last")
    (('C:models', None), ('D:/models/mine', 'last'))
    """
    model, _, word = name.rpartition(":")
    if len(model) < 2 or not word.isidentifier() or Path(name).expanduser().is_dir():
        return name, None
    for pooling in POOLINGS:
        if word == pooling:
            return model, pooling
    if looks_like_a_model(model):
        raise UsageError(
            f"no pooling {word!r} for the model {model}: {did_you_mean(word, POOLINGS)}",
            fix=f"{model}:{POOLINGS[0]}, or {model} alone for what suits it",
        )
    return name, None
