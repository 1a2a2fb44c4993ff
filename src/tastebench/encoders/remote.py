"""Encoders behind an address: whatever speaks OpenAI's embeddings dialect.

`openai:MODEL` asks OpenAI, `openai:MODEL@URL` any other server: Ollama, vLLM, llama.cpp, a
provider. Behind a `#` may stand `dimensions=N`, the width to ask for, and a tag of one's own.

Weights behind an address cannot be hashed. The revision is what can be known: model, address,
dimensions and tag. So that a server that changes its model under the same name does not mix two
models' vectors, a few fixed sentences are encoded when a revision is first used and kept beside the
vectors; every later process that has to ask the server compares before it asks for more.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tastebench import files
from tastebench.contracts import EncoderCard, Role
from tastebench.encoders.cost import ShardCost
from tastebench.encoders.hooks import Usage
from tastebench.encoders.shards import DiskShards
from tastebench.errors import UsageError
from tastebench.lm.endpoint import OPENAI_URL, Endpoint, RemoteError
from tastebench.lm.remote import Client, refuse_unless_near
from tastebench.lm.spending import (
    Budget,
    Limits,
    Price,
    estimate_tokens,
    price_from_environment,
)

PROBE = (
    "wool socks, grey, pack of three",
    "A detective story set in a harbour town, told by the harbour master's daughter.",
    "Which headphones are good for a noisy train?",
    "12",
)
"""Encoded at first use of a revision and compared ever after."""

SAME = 0.9999
"""Lowest cosine between two encodings of one sentence by one model."""

_BYTES_PER_TOKEN = 3
_GEMINI_URL = "https://generativelanguage.googleapis.com/v1beta/openai"


def _openai(dimensions: int, usd: float, nested: bool = False) -> EncoderCard:
    return EncoderCard(
        "",
        dimensions=dimensions,
        max_tokens=8192,
        normalised=True,
        nested=nested,
        usd_per_million_tokens=usd,
        source="OpenAI",
    )


# What providers say of their models, by address and model; name and revision are filled in. Prices
# are those of 2025; TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS says otherwise.
_KNOWN: dict[tuple[str, str], EncoderCard] = {
    (OPENAI_URL, "text-embedding-3-large"): _openai(3072, 0.13, nested=True),
    (OPENAI_URL, "text-embedding-3-small"): _openai(1536, 0.02, nested=True),
    (OPENAI_URL, "text-embedding-ada-002"): _openai(1536, 0.10),
    # Its shortened vectors are not of unit length, so nothing is claimed of any.
    (_GEMINI_URL, "gemini-embedding-001"): EncoderCard(
        "",
        dimensions=3072,
        max_tokens=2048,
        nested=True,
        usd_per_million_tokens=0.15,
        source="Google",
    ),
}


class CutTextWarning(UserWarning):
    """Texts longer than a model reads were cut before they were sent."""


@dataclass(frozen=True)
class _Name:
    """An encoder's name, taken apart."""

    endpoint: Endpoint
    dimensions: int | None = None
    tag: str | None = None

    @classmethod
    def parse(cls, name: str) -> _Name:
        target, *options = name.split("#")
        endpoint = Endpoint.parse(target)
        dimensions, tag = None, None
        for option in options:
            width = re.fullmatch(r"dimensions=([1-9]\d{0,5})", option)
            if width and dimensions is None:
                dimensions = int(width[1])
            elif re.fullmatch(r"[\w.-]+", option, re.ASCII) and tag is None:
                tag = option
            else:
                # Not repeated: what stands behind a # may be the rest of a password.
                raise UsageError(
                    "behind the # of a remote encoder's name stands something else than "
                    "dimensions=N or one tag of letters, digits, dots and dashes",
                    where=str(endpoint),
                    fix="e.g. openai:text-embedding-3-large#dimensions=256#2025-01",
                )
        return cls(endpoint, dimensions, tag)

    @property
    def options(self) -> str:
        width = f"#dimensions={self.dimensions}" if self.dimensions else ""
        return width + (f"#{self.tag}" if self.tag else "")


class RemoteEncoder:
    """A remote model as an encoder; nothing is asked until it encodes.

    The key is needed at once where this revision was never used, else not before it encodes: kept
    vectors are there for who has no key.

    Items and queries are sent as they are. An empty text is sent as one space, because servers
    refuse the empty string. A text is cut only where the model's limit is known here, at three
    bytes a token, which no tokenizer was asked about (`CutTextWarning` says how many); elsewhere
    the server decides.

    Args:
        name: See the module's text.
        limits, budget, price: Default: what the environment and the catalogue say.
        rng: Spreads repeated attempts; default: fresh, so that no two processes wait alike.

    Raises:
        UsageError: The name cannot be read, or its address would put a secret into records.
        RemoteError: There is no key.
    """

    precision = "float32"

    def __init__(
        self,
        name: str,
        *,
        limits: Limits | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        parsed = _Name.parse(name)
        self.endpoint, self.dimensions = parsed.endpoint, parsed.dimensions
        self.card = _card(parsed)
        self._limits, self._budget, self._rng = limits, budget, rng
        self._price = price
        self._client: Client | None = None
        if not self._probe_path().is_file():
            # Nothing can be cached yet: what will be missing is better said now.
            refuse_unless_near(self.endpoint)
            self.endpoint.key()

    def prepare(self, texts: Sequence[str]) -> None:
        """Makes sure, once, that the server can be asked and still has the model it had before.

        Raises:
            RemoteError: It cannot, or has not.
        """
        if self._client is None:
            client = self._connect()
            self._probe(client)
            self._client = client

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, d]`, rows in the order of `texts`; all of them, or an error.

        Raises:
            RemoteError: The server cannot be asked, has changed its model, or gave an unusable
                answer.
            BudgetError: The budget does not allow it.
        """
        self.prepare(texts)
        assert self._client is not None
        return self._ask(self._client, self._cut(texts))

    def usage(self) -> Usage:
        """What was used so far."""
        if self._client is None:
            return Usage("remote", self.precision, 0)
        used = self._client.usage
        return Usage("remote", self.precision, used.tokens, used.usd)

    @property
    def price(self) -> Price | None:
        """What a token costs, as far as known here."""
        price = self._price or price_from_environment()
        if price is None and self.card.usd_per_million_tokens is not None:
            price = Price(self.card.usd_per_million_tokens)
        return price

    def tokens_of(self, texts: Sequence[str]) -> int:
        """About how many tokens texts are sent as, the probe of the server included."""
        most = None if self.card.max_tokens is None else self.card.max_tokens * _BYTES_PER_TOKEN
        sent = (text.encode()[:most].decode(errors="ignore") for text in (*texts, *PROBE))
        return sum(estimate_tokens(text) for text in sent)

    def _connect(self) -> Client:
        return Client(
            self.endpoint,
            rng=self._rng or np.random.default_rng(),
            limits=self._limits or Limits.from_environment(),
            budget=self._budget or Budget.from_environment(),
            price=self.price,
        )

    def _ask(self, client: Client, texts: Sequence[str]) -> np.ndarray:
        vectors = client.embed(texts, dimensions=self.dimensions)
        width = self.card.dimensions
        if width is not None and vectors.shape[1] != width:
            raise RemoteError(
                f"{self.card.name} gave vectors of width {vectors.shape[1]}, not {width}",
                where=self.endpoint.address,
                fix="check that the address serves the model it is asked for",
            )
        return vectors

    def _cut(self, texts: Sequence[str]) -> Sequence[str]:
        if self.card.max_tokens is None or not texts:
            return texts
        most = self.card.max_tokens * _BYTES_PER_TOKEN
        cut = [text.encode()[:most].decode(errors="ignore") for text in texts]
        n = sum(a != b for a, b in zip(cut, texts, strict=True))
        if n:
            warnings.warn(
                f"{n} of {len(texts)} texts were cut to {most:,} bytes, about the "
                f"{self.card.max_tokens:,} tokens that {self.endpoint.model} reads",
                CutTextWarning,
                stacklevel=3,
            )
        return cut

    @property
    def _probe_key(self) -> str:
        return files.hash_json([self.card.name, self.card.revision, *PROBE], 32)

    def _probe_path(self) -> Path:
        return _probes().path(self._probe_key)

    def _probe(self, client: Client) -> None:
        """Compares the model with the one that was there when the revision was first used."""
        began = time.perf_counter()
        vectors = self._ask(client, PROBE)
        seconds = time.perf_counter() - began
        used = client.usage
        kept = _probes().read(self._probe_key, len(PROBE))
        if kept is None:
            cost = ShardCost(
                seconds, len(PROBE), used.tokens, None, "remote", self.precision, used.usd
            )
            _probes().write(self._probe_key, vectors, cost)
            return
        lowest = _lowest_cosine(vectors, kept[0])
        if lowest < SAME:
            raise RemoteError(
                f"the server's {self.endpoint.model} is no longer the model it was: a sentence's "
                f"vector has cosine {lowest:.4f} with what it was before",
                where=f"{self.endpoint.address}, compared with {self._probe_path()}",
                fix=f"give the new model a tag, so that its vectors are kept apart: "
                f"-e '{self.card.name}#v2'",
            )


def _probes() -> DiskShards:
    return DiskShards(files.home() / "vectors" / "probes")


def remote_encoder(name: str) -> RemoteEncoder:
    """The encoder that `openai:MODEL[@URL][#dimensions=N][#tag]` names.

    Raises:
        UsageError: The name cannot be read, or its address would put a secret into records.
        RemoteError: There is no key, and the model was never used here.
    """
    return RemoteEncoder(name)


def remote_card(name: str) -> EncoderCard:
    """What is known of the encoder that a name stands for, without a key.

    Raises:
        UsageError: The name cannot be read, or its address would put a secret into records.
    """
    return _card(_Name.parse(name))


def _card(name: _Name) -> EncoderCard:
    endpoint = name.endpoint
    revision = f"{endpoint.model}@{endpoint.address}{name.options}"
    full = f"{endpoint}{name.options}"
    known = _KNOWN.get((endpoint.url, endpoint.model))
    if known is None:
        return EncoderCard(full, revision, dimensions=name.dimensions)
    return replace(
        known, name=full, revision=revision, dimensions=name.dimensions or known.dimensions
    )


def _lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Between rows; vectors of different widths have nothing in common."""
    if a.shape != b.shape:
        return 0.0
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a64, axis=1) * np.linalg.norm(b64, axis=1)
    return float(((a64 * b64).sum(axis=1) / norms).min())
