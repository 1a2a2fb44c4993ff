"""Encoders behind an address: whatever speaks OpenAI's embeddings dialect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastebench.contracts import EncoderCard, Role
from tastebench.lm.endpoint import Endpoint


class RemoteEncoder:
    """A remote model as an encoder."""

    precision = "float32"

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.card = EncoderCard(str(endpoint), f"{endpoint.model}@{endpoint.address}")

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, d]`."""
        raise NotImplementedError


def remote_encoder(name: str) -> RemoteEncoder:
    """The encoder that `openai:MODEL[@URL][#dimensions=N][#tag]` names."""
    return RemoteEncoder(Endpoint.parse(name))
