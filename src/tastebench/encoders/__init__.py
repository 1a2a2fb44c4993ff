"""Text to vectors: encoders by name or path, or anything with `encode`; vectors kept by content."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tastebench.contracts import Encoder
from tastebench.encoders.catalog import KnownEncoder
from tastebench.encoders.controls import make_shuffled
from tastebench.encoders.cost import EncodeCost
from tastebench.encoders.names import looks_like_a_model, split_pooling
from tastebench.encoders.pooled import PooledEncoder, Pooling
from tastebench.encoders.vectors import Encoded, encode_items, encode_queries
from tastebench.encoders.wrap import as_encoder
from tastebench.errors import UsageError, did_you_mean
from tastebench.registry import Registry

__all__ = [
    "ENCODERS",
    "EncodeCost",
    "Encoded",
    "KnownEncoder",
    "as_encoder",
    "encode_items",
    "encode_queries",
    "get_encoder",
]

ENCODERS: Registry[KnownEncoder] = Registry(
    "encoder",
    {
        "minilm": "tastebench.encoders.catalog:MINILM",
        "tfidf-svd": "tastebench.encoders.catalog:TFIDF",
        "random": "tastebench.encoders.catalog:RANDOM",
    },
    group="tastebench.encoders",
)

_SHUFFLED = "shuffled:"
_REMOTE = "openai:"


def get_encoder(
    name_or_path: str | Path, *, seed: int = 0, trust_remote_code: bool = False
) -> Encoder:
    """The encoder with this name.

    Args:
        name_or_path: A known name (`minilm`, `tfidf-svd`, `random`); `shuffled:<any of these>`, the
            row-shuffled control of an encoder; the folder of a model of sentence-transformers,
            Model2Vec or transformers; or its hub name, `organisation/model`,
            `organisation/model@commit` to pin it. A folder or hub name may end in `:cls`, `:mean`
            or `:last`: then the token states of the transformer are pooled so, and nothing that
            the model's makers put after them is done. `openai:MODEL` and `openai:MODEL@URL`
            ask a server (see `tastebench.encoders.remote`).
        seed: Of encoders that draw numbers.
        trust_remote_code: A model's own Python code may run.

    Raises:
        UsageError: No such name.
        DataError: No such folder, or a model that cannot be fetched or read.
        DependencyError: The encoder's package is not installed; the message says how to install it.
    """
    name = str(name_or_path)
    if name.startswith(_SHUFFLED):
        base = get_encoder(
            name.removeprefix(_SHUFFLED), seed=seed, trust_remote_code=trust_remote_code
        )
        return make_shuffled(base, seed)
    if name in ENCODERS:
        return ENCODERS.get(name).build(seed)
    if name.startswith(_REMOTE):
        from tastebench.encoders.remote import remote_encoder

        return remote_encoder(name)
    model, pooling = split_pooling(name)
    if not model or not looks_like_a_model(model):
        known = [*ENCODERS.names(), f"{_SHUFFLED}minilm"]
        raise UsageError(
            f"unknown encoder {name!r}: {did_you_mean(name, known)}",
            fix="tastebench list encoders, or give the path of a model's folder",
        )
    return _from_folder(model, pooling, trust_remote_code)


def _from_folder(name: str, pooling: Pooling | None, trust_remote_code: bool) -> Encoder:
    from tastebench.encoders.sentence import SentenceEncoder, is_sentence
    from tastebench.encoders.static import StaticEncoder, is_static
    from tastebench.lm.load import find_model

    folder = find_model(name, trust_remote_code=trust_remote_code)
    if pooling is not None:
        encoder = PooledEncoder(folder, pooling=pooling)
        # Two poolings of one model may stand side by side in a plan.
        encoder.card = replace(encoder.card, name=f"{folder.name}:{pooling}")
        return encoder
    if is_static(folder):
        return StaticEncoder(folder)
    return SentenceEncoder(folder) if is_sentence(folder) else PooledEncoder(folder)
