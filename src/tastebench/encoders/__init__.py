"""Text to vectors: encoders by name or path, or anything with `encode`; vectors kept by content."""

from __future__ import annotations

from pathlib import Path

from tastebench.contracts import Encoder, EncoderCard
from tastebench.encoders.catalog import KnownEncoder
from tastebench.encoders.controls import make_shuffled
from tastebench.encoders.cost import EncodeCost
from tastebench.encoders.half import make_half
from tastebench.encoders.hub import NotHere, find_on_hub, open_any, pooled_card
from tastebench.encoders.models import BY_SOURCE, MODELS
from tastebench.encoders.names import HALF, SHUFFLED, looks_like_a_model, split_pooling
from tastebench.encoders.pooled import Pooling
from tastebench.encoders.vectors import Encoded, encode_items, encode_queries
from tastebench.encoders.wrap import as_encoder
from tastebench.errors import UsageError, did_you_mean
from tastebench.lm.load import HUB_NAME, find_model
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
        **MODELS,
    },
    group="tastebench.encoders",
)

_REMOTE = "openai:"


def get_encoder(
    name_or_path: str | Path, *, seed: int = 0, trust_remote_code: bool = False
) -> Encoder:
    """The encoder with this name.

    A model of a hub that is not on this machine is returned with what is known of it; it is fetched
    when it first encodes (`tastebench.encoders.hooks.Absent`).

    Args:
        name_or_path: A known name (`minilm`, `roberta-large`, ...); the folder of a model of
            sentence-transformers, Model2Vec or transformers; its hub name, `organisation/model`; or
            `openai:MODEL[@URL]` for a model behind an address. `@commit` behind a hub name or a
            known one pins the revision; `@./folder` behind a known one says where its files are.
            `:cls`, `:mean` or `:last` at the end pools the token states of a transformer so, and
            does nothing that its makers put after them. `shuffled:` before any name is the
            row-shuffled control of that encoder; `fp16:` keeps its vectors in half precision.
        seed: Of encoders that draw numbers.
        trust_remote_code: A model's own Python code may run.

    Raises:
        UsageError: No such name.
        DataError: No such folder, or a model that cannot be read.
        DependencyError: The encoder's package is not installed; the message says how to install it.
    """
    name = str(name_or_path)
    for prefix, make in (
        (SHUFFLED, lambda encoder: make_shuffled(encoder, seed)),
        (HALF, make_half),
    ):
        if name.startswith(prefix):
            base = get_encoder(
                name.removeprefix(prefix), seed=seed, trust_remote_code=trust_remote_code
            )
            return base.then(make) if isinstance(base, NotHere) else make(base)
    if name.startswith(_REMOTE):
        from tastebench.encoders.remote import remote_encoder

        return remote_encoder(name)
    model, pooling = split_pooling(name)
    plain, _, where = model.partition("@")
    plain = BY_SOURCE.get(plain, plain)
    if plain in ENCODERS:
        known = ENCODERS.get(plain)
        if known.model is not None:
            return known.model.find(where, pooling, trusted=trust_remote_code)
        if plain == name:
            return known.build(seed)
        raise UsageError(
            f"{plain} has no files of a hub to pin or to pool, so there is no {name!r}",
            fix=f"-e {plain}",
        )
    if not model or not looks_like_a_model(model):
        names = [*ENCODERS.names(), f"{SHUFFLED}minilm"]
        raise UsageError(
            f"unknown encoder {name!r}: {did_you_mean(name, names)}",
            fix="tastebench list encoders, or give the path of a model's folder",
        )
    return _unknown(model, pooling, trust_remote_code)


def _unknown(name: str, pooling: Pooling | None, trusted: bool) -> Encoder:
    """A model that only its folder, here or on the hub, says something of."""
    hub = HUB_NAME.fullmatch(name)
    if hub is None or name.startswith((".", "~", "/")) or Path(name).is_dir():
        return open_any(find_model(name, trust_remote_code=trusted), pooling)
    card = EncoderCard(hub["repository"], source=hub["repository"])
    if pooling is not None:
        card = pooled_card(card, pooling)
    return find_on_hub(name, card, None, lambda folder: open_any(folder, pooling), trusted=trusted)
