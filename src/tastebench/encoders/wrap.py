"""Anything with `encode(list[str])` as an encoder."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tastebench.contracts import Encoder, EncoderCard, Role
from tastebench.encoders.check import check_vectors
from tastebench.errors import UsageError


class Wrapped:
    """An object with an `encode` method, its output checked at every call."""

    def __init__(self, encode: dict[Role, Callable[[list[str]], Any]], card: EncoderCard) -> None:
        self._encode = encode
        self.card = card

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, d]`, checked.

        Raises:
            DataError: Wrong shape, or a number that is not finite; names the text.
        """
        return check_vectors(self._encode[role](list(texts)), texts, self.card.name)


def as_encoder(obj: Any, name: str, revision: str | None = None) -> Encoder:
    """Makes an encoder of anything with `encode(list[str])`.

    Items and queries are told apart if the object does: by a `role` parameter of `encode`
    (`"item"` or `"query"`), or by methods `encode_document` and `encode_query`, as
    sentence-transformers has them; otherwise `encode` serves both.

    Args:
        obj: The object; its `encode` returns one vector a text, as an array, a tensor or lists.
        name: What records and boards call it.
        revision: Identifies its weights. Vectors are cached under it, so give changed weights
            another; None caches nothing.

    Raises:
        UsageError: There is no `encode` method, or the name is empty.
    """
    encode = getattr(obj, "encode", None)
    if not callable(encode):
        raise UsageError(
            f"{type(obj).__name__} has no method encode, so it is no encoder",
            fix="give it one: encode(texts: list[str]) -> array of shape [n, d]",
        )
    if not name.strip():
        raise UsageError("an encoder needs a name", fix='as_encoder(model, "my-model")')
    card = getattr(obj, "card", None)
    if not isinstance(card, EncoderCard):
        card = EncoderCard(name=name)
    known = {key: value for key, value in vars(card).items() if key not in ("name", "revision")}
    return Wrapped(_by_role(obj, encode), EncoderCard(name=name, revision=revision, **known))


def _by_role(obj: Any, encode: Callable[..., Any]) -> dict[Role, Callable[[list[str]], Any]]:
    if _takes_role(encode):
        return {
            "item": lambda texts: encode(texts, role="item"),
            "query": lambda texts: encode(texts, role="query"),
        }
    document = getattr(obj, "encode_document", None)
    query = getattr(obj, "encode_query", None)
    if callable(document) and callable(query):
        return {"item": document, "query": query}
    return {"item": encode, "query": encode}


def _takes_role(encode: Callable[..., Any]) -> bool:
    try:
        return "role" in inspect.signature(encode).parameters
    except (TypeError, ValueError):
        # Some compiled functions have no signature; what cannot be seen is not used.
        return False
