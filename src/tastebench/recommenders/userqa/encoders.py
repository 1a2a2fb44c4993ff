"""Encoders of users by name and size: which shapes are compared, and with how many numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from torch import nn

EncoderName = Literal["sasrec", "gru4rec", "hstu", "mamba2", "trm"]
Size = Literal["small", "paper", "3.2M", "13M", "25M", "57M", "85M", "303M", "680M", "1.2B"]

_SMALL: dict[EncoderName, dict[str, int]] = {
    "sasrec": {"layers": 2, "heads": 2, "inner": 384},
    "gru4rec": {"layers": 1, "inner": 168},
    "hstu": {"layers": 4, "heads": 2, "inner": 48},
    "mamba2": {"layers": 4, "heads": 32, "inner": 48},
    "trm": {"layers": 2, "heads": 2},
}
_PAPER: dict[EncoderName, dict[str, int]] = {
    "sasrec": {"layers": 6, "heads": 8, "inner": 1536},
    "gru4rec": {"layers": 2, "inner": 1024},
    "hstu": {"layers": 4, "heads": 8, "inner": 256},
    "mamba2": {"layers": 4, "heads": 64, "inner": 128},
    "trm": {"layers": 8, "heads": 8},
}
SCALES: dict[str, tuple[int, int, int]] = {
    "3.2M": (4, 256, 4),
    "13M": (4, 512, 8),
    "25M": (8, 512, 8),
    "57M": (8, 768, 12),
    "85M": (12, 768, 12),
    "303M": (24, 1024, 8),
    "680M": (24, 1536, 12),
    "1.2B": (24, 2048, 16),
}
"""Layers, width and heads of the scaling study, which is one of `trm`."""

_NO_HEADS = ("gru4rec",)
_NO_INNER = ("trm",)


class Shape(BaseModel):
    """Numbers of an encoder's shape, each of which its size has a value for."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width: int | None = Field(None, ge=2)
    """Of embeddings and states."""

    layers: int | None = Field(None, ge=1)

    heads: int | None = Field(None, ge=1)
    """Attention heads; in `mamba2` the coordinates of a head, which divide twice the width."""

    inner: int | None = Field(None, ge=1)
    """Width inside the feed-forward part (sasrec), of the recurrent state (gru4rec), of a head's
    keys and values (hstu), or entries of the state per coordinate (mamba2)."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Everywhere, while the encoder is trained."""

    bias: Literal["position", "none", "reference"] = "position"
    """What `hstu` learns for the distance of two items. `reference` is the published code, in which
    nothing is: without times it knows no order but that of what came before."""


class EncoderSettings(Shape):
    """Which network reads a user, and of which shape.

    `small` is for a laptop: a width of 64, and in all five about 130,000 numbers beside those of
    places in a history, so that what differs is the kind of network. `paper` is UQABench's, at a
    width of 512: 11.5 M (gru4rec), 16.0 M (sasrec), 6.9 M (mamba2), 21.0 M (hstu) and 27.3 M (trm)
    numbers without what embeds items. `3.2M` to `1.2B` are its scaling study, of `trm` alone.
    """

    name: EncoderName = "sasrec"

    size: Size = "small"
    """Where nothing below says otherwise."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.size in SCALES and self.name != "trm":
            raise ValueError(f"size={self.size} is one of trm's, and not of {self.name}'s")
        for field, without in (("heads", _NO_HEADS), ("inner", _NO_INNER)):
            if getattr(self, field) is not None and self.name in without:
                raise ValueError(f"{field} changes nothing in {self.name}")
        if self.bias != "position" and self.name != "hstu":
            raise ValueError(f"bias={self.bias} changes nothing in {self.name}")
        width, heads = self.shape("width"), self.shape("heads")
        if self.name in ("sasrec", "trm") and width % (heads * (2 if self.name == "trm" else 1)):
            raise ValueError(f"heads={heads} does not divide width={width} (evenly, in trm)")
        if self.name == "mamba2" and 2 * width % heads:
            raise ValueError(f"heads={heads} does not divide twice width={width}")
        return self

    def shape(self, field: Literal["width", "layers", "heads", "inner"]) -> int:
        """A number of the shape: as it is set, else as the size has it, 0 where there is none."""
        own: int | None = getattr(self, field)
        if own is not None:
            return own
        if self.size in SCALES:
            return dict(zip(("layers", "width", "heads"), SCALES[self.size], strict=True)).get(
                field, 0
            )
        if field == "width":
            return 512 if self.size == "paper" else 64
        return (_PAPER if self.size == "paper" else _SMALL)[self.name].get(field, 0)


def make_encoder(settings: EncoderSettings, length: int) -> nn.Module:
    """The untrained network, from embeddings `[b, l, width]` to states of the same shape.

    Args:
        settings: Which.
        length: Longest history.
    """
    width, layers = settings.shape("width"), settings.shape("layers")
    heads, inner, dropout = settings.shape("heads"), settings.shape("inner"), settings.dropout
    if settings.name == "sasrec":
        from tastebench.recommenders.seqrec.encoders.transformer import PostNormTransformer

        return PostNormTransformer(
            width, length, layers=layers, heads=heads, inner=inner, dropout=dropout
        )
    if settings.name == "gru4rec":
        from tastebench.recommenders.seqrec.encoders.gru import GRU4Rec

        return GRU4Rec(width, hidden=inner, layers=layers, dropout=dropout)
    if settings.name == "hstu":
        from tastebench.recommenders.seqrec.encoders.hstu import HSTU

        return HSTU(
            width,
            length,
            layers=layers,
            heads=heads,
            key_width=inner,
            value_width=inner,
            dropout=dropout,
            bias=settings.bias,
        )
    if settings.name == "mamba2":
        from tastebench.recommenders.seqrec.encoders.mamba import Mamba2

        return Mamba2(width, layers=layers, state=inner, head_width=heads, dropout=dropout)
    from tastebench.recommenders.seqrec.encoders.trm import Trm

    return Trm(width, layers=layers, heads=heads, dropout=dropout)


def dense_parameters(encoder: nn.Module) -> int:
    """Numbers that the network has, without what embeds items."""
    return sum(parameter.numel() for parameter in encoder.parameters())
