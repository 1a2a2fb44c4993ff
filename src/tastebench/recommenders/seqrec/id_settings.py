"""What recommenders over item ids let their user set, whatever reads the history."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.recommenders.seqrec.settings import SequenceSettings


class IdSettings(SequenceSettings):
    """Training, and the tables of items around an encoder of sequences."""

    hidden_size: int = Field(64, ge=1)
    """Width of item embeddings and states."""

    output: Literal["tied", "untied"] = "tied"
    """States are compared with the embeddings that histories are read by, or with a table of their
    own of the same size."""

    embedding_dropout: float = Field(0.5, ge=0, lt=1)
    """Of the embeddings of a history."""
