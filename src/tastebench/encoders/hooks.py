"""What an encoder may offer beyond `encode`; none of it is needed to be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tastebench.contracts import Encoder
from tastebench.errors import DataError


@dataclass(frozen=True)
class Usage:
    """What encoding ran on.

    Attributes:
        device: `cpu`, `cuda`, `mps`; `remote` where the machine is somebody else's.
        dtype: What the matrix products computed in: `float32`, `bfloat16`.
        tokens: Tokens encoded so far, without padding; None where texts are not cut into tokens.
        usd: US dollars paid so far; None where none is known.
    """

    device: str = "cpu"
    dtype: str = "float32"
    tokens: int | None = None
    usd: float | None = None


@runtime_checkable
class Prepares(Protocol):
    """Loads late: constructing it is cheap, so that cached vectors cost no model.

    Attributes:
        precision: What the vectors' numbers depend on beyond the weights; part of the cache key.
    """

    precision: str

    def prepare(self, texts: Sequence[str]) -> None:
        """Loads and settles how to compute, before a clock runs; `texts` are some of the task's."""
        ...

    def usage(self) -> Usage:
        """What it runs on and has used since it was made."""
        ...


@runtime_checkable
class FitsCatalogue(Protocol):
    """Learns from the catalogue's texts (never from interactions) before it encodes."""

    def fitted(self, items: Sequence[str]) -> Encoder:
        """The encoder for this catalogue; cheap, its revision names the catalogue's content."""
        ...


@runtime_checkable
class Absent(Protocol):
    """Known, and its files are not on this machine; to encode is to fetch them first."""

    bytes: int | None

    def fetch(self) -> Encoder:
        """Gets the files; the encoder with its revision."""
        ...

    def explain(self) -> DataError:
        """What is missing, how large it is and how to get it."""
        ...
