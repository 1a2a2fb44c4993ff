"""Models of a hub: how vectors are made of them, and what stands for one that is not here yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tastebench.contracts import Encoder, EncoderCard, Role
from tastebench.encoders.pooled import PooledEncoder, Pooling
from tastebench.encoders.sentence import SentenceEncoder, is_sentence
from tastebench.encoders.static import StaticEncoder, is_static
from tastebench.errors import DataError
from tastebench.lm.load import ModelFolder, find_model, is_downloaded


@dataclass(frozen=True)
class HubModel:
    """A model of a hub, and how vectors are made of it.

    Attributes:
        card: As known without the files. Where `pooling` is None the model's own modules say what
            comes after the token states, else the card does.
        hub: `organisation/model`, `@revision` where its main branch holds no safetensors.
        bytes: What it takes to download it.
        item_prefix: Put before an item; None leaves it to the model's own prompts.
        pool_prefix: What is put before a text is pooled with it; else it is only read.
        both_ways: A decoder's tokens see what follows them too.
    """

    card: EncoderCard
    hub: str
    bytes: int | None = None
    item_prefix: str | None = None
    pool_prefix: bool = True
    both_ways: bool = False

    def is_here(self) -> bool:
        """Whether its weights lie in the hub's cache."""
        return is_downloaded(self.hub)

    def find(
        self, where: str = "", pooling: Pooling | None = None, *, trusted: bool = False
    ) -> Encoder:
        """The encoder, or what stands for it until its files are fetched.

        Args:
            where: Another revision of it, or a folder with its files; empty for neither.
            pooling: Instead of what its makers do with the token states.
            trusted: Its own Python code may run.

        Raises:
            DataError: The folder holds no model.
        """
        card = self.card if pooling is None else pooled_card(self.card, pooling)
        described = replace(self, card=card)
        if where.startswith((".", "~", "/")) or (where and Path(where).is_dir()):
            return described.open(find_model(where, trust_remote_code=trusted))
        hub = f"{self.hub.partition('@')[0]}@{where}" if where else self.hub
        return find_on_hub(hub, card, self.bytes, described.open, trusted=trusted)

    def open(self, folder: ModelFolder) -> Encoder:
        """The encoder of a folder with this model's files; loaded at the first use.

        Raises:
            DataError: The folder lacks the modules that say how to pool.
        """
        encoder = self._encoder(folder)
        encoder.card = replace(
            encoder.card,
            name=self.card.name,
            dimensions=self.card.dimensions,
            parameters=self.card.parameters,
            nested=self.card.nested,
            licence=self.card.licence,
            source=self.card.source,
            training_data=self.card.training_data,
        )
        return encoder

    def _encoder(self, folder: ModelFolder) -> PooledEncoder | SentenceEncoder | StaticEncoder:
        if self.card.pooling is not None:
            return PooledEncoder(
                folder,
                pooling=self.card.pooling,
                normalise=self.card.normalised,
                max_tokens=self.card.max_tokens,
                query_instruction=self.card.query_instruction,
                item_prefix=self.item_prefix or "",
                pool_prefix=self.pool_prefix,
                both_ways=self.both_ways,
            )
        if is_static(folder):
            return StaticEncoder(folder)
        if not is_sentence(folder):
            raise DataError(
                f"the copy of {self.card.name} on this machine is incomplete: no modules.json",
                where=str(folder.path),
                fix=f"hf download {self.hub.partition('@')[0]}",
            )
        return SentenceEncoder(
            folder,
            query_instruction=self.card.query_instruction,
            item_prefix=self.item_prefix,
        )


class NotHere:
    """Stands for a model of a hub that is not on this machine; fetches it when it has to encode.

    Args:
        card: As known without the files; no revision, so nothing is cached under it.
        hub: `organisation/model[@revision]`.
        size: Bytes to download, as far as known.
        open_: The encoder of a folder with the files.
        trusted: The model's own Python code may run.
    """

    def __init__(
        self,
        card: EncoderCard,
        hub: str,
        size: int | None,
        open_: Callable[[ModelFolder], Encoder],
        *,
        trusted: bool = False,
    ) -> None:
        self.card = card
        self.hub = hub
        self.bytes = size
        self._open = open_
        self._trusted = trusted
        self._encoder: Encoder | None = None

    def fetch(self) -> Encoder:
        """Downloads the files.

        Raises:
            DataError: The hub cannot be reached, or has no such model.
        """
        if self._encoder is None:
            folder = find_model(self.hub, trust_remote_code=self._trusted)
            self._encoder = self._open(folder)
            self.card = self._encoder.card
        return self._encoder

    def then(self, wrap: Callable[[Encoder], Encoder]) -> NotHere:
        """The same for an encoder made of this one."""
        card = wrap(self).card
        opened = self._open
        return NotHere(
            card, self.hub, self.bytes, lambda folder: wrap(opened(folder)), trusted=self._trusted
        )

    def explain(self) -> DataError:
        """What is missing, how large it is and how to get it."""
        repository, _, revision = self.hub.partition("@")
        size = f", {self.bytes / 1e9:,.2f} GB" if self.bytes else ""
        return DataError(
            f"the encoder {self.card.name} is not on this machine",
            where=self.hub + size,
            fix=f"hf download {repository}" + (f" --revision {revision}" if revision else ""),
        )

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """As the model does, once it is fetched.

        Raises:
            DataError: It cannot be fetched.
        """
        return self.fetch().encode(texts, role)


def find_on_hub(
    hub: str,
    card: EncoderCard,
    size: int | None,
    open_: Callable[[ModelFolder], Encoder],
    *,
    trusted: bool = False,
) -> Encoder:
    """The encoder where its files are here, else what stands for it."""
    if is_downloaded(hub):
        return open_(find_model(hub, trust_remote_code=trusted))
    return NotHere(card, hub, size, open_, trusted=trusted)


def open_any(folder: ModelFolder, pooling: Pooling | None = None) -> Encoder:
    """The encoder of a folder that nothing else is known of; a pooling asked for is all it does."""
    if pooling is not None:
        encoder = PooledEncoder(folder, pooling=pooling)
        encoder.card = pooled_card(encoder.card, pooling)
        return encoder
    if is_static(folder):
        return StaticEncoder(folder)
    return SentenceEncoder(folder) if is_sentence(folder) else PooledEncoder(folder)


def pooled_card(card: EncoderCard, pooling: Pooling) -> EncoderCard:
    """The card of a model with another pooling, whose name says so: both may stand in one plan."""
    return replace(card, name=f"{card.name}:{pooling}", pooling=pooling, normalised=False)
