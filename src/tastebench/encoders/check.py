"""What comes out of an encoder is checked once, here, and never mended silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tastebench.errors import DataError


def check_texts(texts: Sequence[str]) -> None:
    """Refuses what no encoder can mean. Empty texts are allowed.

    Raises:
        DataError: There are no texts, or one is not a string of valid Unicode.
    """
    if isinstance(texts, (str, bytes)):
        raise DataError("a list of texts is needed, not one text", fix="pass [text]")
    if len(texts) == 0:
        raise DataError("there is nothing to encode: no texts")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"text {index} is {type(text).__name__}, not a string",
                fix="make missing text the empty string",
            )
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise DataError(
                f"text {index} is not valid Unicode: half of a surrogate pair stands alone",
                where=f"text {index}: {text[:60]!a}",
                fix="read the file with the encoding it was written in",
            )


def check_vectors(
    vectors: Any, texts: Sequence[str], encoder: str, rows: np.ndarray | None = None
) -> np.ndarray:
    """The vectors as float32 `[len(texts), d]`, if they are that.

    Args:
        vectors: What an encoder returned: an array, a tensor on any device, or lists of numbers.
        texts: What it was given.
        encoder: Its name, for messages.
        rows: Where each text stands in the caller's list, for messages; default: as given.

    Raises:
        DataError: Wrong shape or type, or a number that is not finite; names the text.
    """
    array = _as_array(vectors, encoder)
    if array.ndim != 2 or len(array) != len(texts) or array.shape[1] == 0:
        raise DataError(
            f"encoder {encoder!r} returned shape {array.shape} for {len(texts)} texts",
            where=_where(texts, rows, 0),
            fix="return one vector per text, in the order of the texts: shape [n, d]",
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        bad = int((~finite).sum())
        raise DataError(
            f"encoder {encoder!r} returned NaN or infinity for {bad} of {len(texts)} texts",
            where=_where(texts, rows, first),
            fix="encode that text alone to see why; overflow in half precision is a common cause",
        )
    return array


def _as_array(vectors: Any, encoder: str) -> np.ndarray:
    if hasattr(vectors, "detach"):
        # A tensor: numpy cannot read one on a device, one that tracks gradients, or bfloat16.
        vectors = vectors.detach().float().cpu().numpy()
    elif isinstance(vectors, (list, tuple)) and vectors and hasattr(vectors[0], "detach"):
        vectors = [vector.detach().float().cpu().numpy() for vector in vectors]
    try:
        array = np.asarray(vectors)
        if array.dtype == object or array.dtype.kind not in "fiu":
            raise TypeError(f"dtype {array.dtype}")
        # A double too large for float32 becomes infinite, which is reported with its text.
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"encoder {encoder!r} returned {type(vectors).__name__}, which is no matrix of real "
            f"numbers ({error})",
            fix="return a float array or tensor of shape [n, d]",
        ) from error


def _where(texts: Sequence[str], rows: np.ndarray | None, index: int) -> str:
    row = index if rows is None else int(rows[index])
    return f"text {row}: {texts[index][:60]!r}" if len(texts) else "an empty list of texts"
