"""Answers of a remote model, read strictly: what is not whole is no answer."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tastebench.lm.endpoint import HIDDEN, NO_KEY, SHORTEST_KEY, RefusedError
from tastebench.lm.spending import Usage, estimate_tokens


@dataclass(frozen=True)
class Token:
    """A token of an answer.

    Attributes:
        logprob: Natural logarithm of its probability.
        top: The likeliest tokens at its place and their log-probabilities, likeliest first.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: Empty where it refused or said nothing.
        finish_reason: `stop`, `length` (cut at `max_tokens`), `content_filter`, ...
        usage: Of this answer.
        refusal: The model's own words for declining, where the server tells them apart.
        tokens: With log-probabilities; None unless asked for and the server has them.
        error: Why the server did not let the model answer; `finish_reason` is `refused` then.
    """

    text: str
    finish_reason: str
    usage: Usage
    refusal: str | None = None
    tokens: tuple[Token, ...] | None = None
    error: RefusedError | None = None


def read_vectors(value: Any, n: int) -> np.ndarray:
    """The vectors in an embeddings answer, float32 `[n, d]`, in the order of the texts.

    Raises:
        ValueError: Not one finite, non-zero vector for each of `n` texts, all of one width.
    """
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise ValueError("it holds no list of vectors")
    if len(data) != n:
        raise ValueError(f"{len(data)} vectors for {n} texts")
    index = [entry.get("index") for entry in data]
    if sorted(i for i in index if type(i) is int) != list(range(n)):
        raise ValueError("which vector belongs to which text is not said once for each text")
    rows: list[np.ndarray] = [np.empty(0)] * n
    for place, entry in zip(index, data, strict=True):
        rows[place] = _vector(entry.get("embedding"))
    widths = {len(row) for row in rows}
    if len(widths) > 1 or 0 in widths:
        raise ValueError(f"vectors of width {', '.join(map(str, sorted(widths)))}")
    # A double too large for float32 becomes infinite, and is refused as such.
    with np.errstate(over="ignore"):
        vectors = np.stack(rows).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or infinity")
    if not vectors.any(axis=1).all():
        raise ValueError("a vector is zero throughout")
    return vectors


def _vector(value: Any) -> np.ndarray:
    """Numbers as a list, or as base64 of little-endian float32."""
    if isinstance(value, str):
        try:
            return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        except (binascii.Error, ValueError):
            raise ValueError("a vector is broken base64") from None
    if not isinstance(value, list) or not all(type(x) in (int, float) for x in value):
        raise ValueError("a vector is no list of numbers")
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        raise ValueError("a vector holds a number of hundreds of digits") from None


def read_answer(value: Any, usage: Usage) -> Answer:
    """The first choice of a chat completion.

    Raises:
        ValueError: There is none.
    """
    choice = _choice(value)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ValueError("it holds no message")
    text, refusal = message.get("content"), message.get("refusal")
    return Answer(
        text=text if isinstance(text, str) else "",
        finish_reason=str(choice.get("finish_reason") or "unknown"),
        usage=usage,
        refusal=refusal if isinstance(refusal, str) and refusal else None,
        tokens=_tokens(choice.get("logprobs")),
    )


def _tokens(value: Any) -> tuple[Token, ...] | None:
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        return None
    try:
        return tuple(
            Token(*_likely(entry), tuple(_likely(one) for one in entry.get("top_logprobs") or ()))
            for entry in content
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise ValueError("its log-probabilities are broken") from None


def _likely(entry: Any) -> tuple[str, float]:
    """A token and its log-probability."""
    text, logprob = entry["token"], entry["logprob"]
    if not isinstance(text, str) or isinstance(logprob, str):
        raise TypeError("a token is a text, and its log-probability a number")
    return text, float(logprob)


def _choice(value: Any) -> dict[str, Any]:
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("it holds no choices")
    return choices[0]


def hidden(answer: Answer, key: str) -> Answer:
    """The answer without the key that it was asked with: some servers and models repeat it.

    What is kept of answers, and what is made of them, then never holds it.
    """
    if key == NO_KEY or len(key) < SHORTEST_KEY:
        return answer

    def plain(text: str) -> str:
        return text.replace(key, HIDDEN)

    tokens = answer.tokens and tuple(
        Token(plain(t.text), t.logprob, tuple((plain(text), p) for text, p in t.top))
        for t in answer.tokens
    )
    refusal = answer.refusal and plain(answer.refusal)
    return replace(
        answer,
        text=plain(answer.text),
        finish_reason=plain(answer.finish_reason),
        refusal=refusal,
        tokens=tokens,
    )


def read_usage(value: Any, prompt_estimate: int) -> tuple[int, int]:
    """Tokens read and written: as the server counts them, estimated where it does not."""
    told = value.get("usage") if isinstance(value, dict) else None
    told = told if isinstance(told, dict) else {}
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    return (
        prompt if type(prompt) is int and prompt >= 0 else prompt_estimate,
        completion if type(completion) is int and completion >= 0 else _length(value),
    )


def _length(value: Any) -> int:
    """About how many tokens were written; none for vectors."""
    try:
        return estimate_tokens(read_answer(value, Usage()).text)
    except ValueError:
        return 0  # vectors, or an answer whose fault is told by whoever reads it
