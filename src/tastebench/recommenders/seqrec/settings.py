"""What sequence models over a catalogue let their user set about the loss."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tastebench.training.settings import TrainSettings

LossName = Literal["softmax", "sampled-softmax", "bce", "gbce"]

_DEFAULT_NEGATIVES: dict[LossName, int] = {"sampled-softmax": 1024, "bce": 1, "gbce": 256}
_DEFAULT_T = 0.75  # of gBCE: the value of its authors' configurations with many negatives


class SequenceSettings(TrainSettings):
    """Training, and which loss a predicted position has.

    With `s_j` the score of item `j` after a history, `y` the item that came next, and `N` the items
    drawn for it (`k` of them, those equal to `y` left out):

        softmax          -log( exp(s_y) / sum over all items j of exp(s_j) )
        sampled-softmax  -log( exp(s_y) / (exp(s_y) + sum over j in N of exp(s_j - log(k q_j))) )
        bce              -( log sigmoid(s_y) + sum over j in N of log(1 - sigmoid(s_j)) ) / (1 + k)
        gbce             -( beta log sigmoid(s_y) + the same sum ) / (1 + k)
                         beta = alpha (t (1 - 1/alpha) + 1/alpha),  alpha = k / (n_items - 1)

    The full softmax is the strongest (Klenitskiy and Vasilev, RecSys 2023) and the dearest: its
    work grows with the catalogue, that of the others with what is drawn.

    `sampled-softmax` draws once a batch, for all its positions, and corrects each drawn score by
    how often the item is expected among the draws, `k q_j` (Yi et al., RecSys 2019). The item that
    came next is there whatever is drawn, so it is not corrected (Khrylchenko et al., RecSys 2025):
    the sum under the fraction is then right on average, and the loss nears the full softmax as `k`
    grows. `bce` draws for each position by itself (Kang and McAuley, ICDM 2018; they do not divide,
    which Adam does not see, and leave out all items of the sequence, not `y` alone). `gbce` takes
    back the overconfidence that few negatives teach (Petrov and Macdonald, RecSys 2023): `t = 0` is
    `bce`, and with `t = 1` scores are calibrated as if no negative had been left out.

    Attributes:
        ROWS: Rows of the full softmax taken at once; see `linear_cross_entropy`.
    """

    ROWS: ClassVar[int | None] = 128

    loss: LossName = "softmax"
    """Over all items, or over the next item and some drawn ones; the formulas stand above."""

    negatives: int | None = Field(None, ge=1)
    """Items drawn: a batch in `sampled-softmax` (None is 1,024), a position in `bce` (1) and `gbce`
    (256). One that is drawn twice counts twice."""

    draws: Literal["uniform", "popularity"] | None = None
    """What is drawn: every item alike (None), or as often as it is a target in training."""

    logq: bool | None = None
    """Whether `sampled-softmax` corrects drawn scores by `log(k q_j)`; None does."""

    gbce_t: float | None = Field(None, ge=0, le=1)
    """Calibration of `gbce`: 0 for none, 1 for all of it; None is 0.75."""

    table: Literal["all", "touched"] = "all"
    """Which rows of an item table a step of Adam updates.

    `all` is Adam. `touched` leaves a row and its moments alone in steps that read neither the item
    nor drew it ("lazy" Adam): another optimiser, and the only affordable one for a catalogue of
    millions, where what a step costs otherwise is a pass over the table, its gradient and both
    moments. For drawn losses and tables of item embeddings only.
    """

    @model_validator(mode="after")
    def _of_this_loss(self) -> Self:
        if self.loss == "softmax":
            for name in ("negatives", "draws"):
                self._refuse(name, "the full softmax compares with every item and draws none")
            if self.table == "touched":
                raise ValueError(
                    "table=touched changes nothing in loss=softmax: every row has a gradient there"
                )
        if self.loss != "sampled-softmax":
            self._refuse("logq", "the correction is one of scores under a sampled softmax")
        if self.loss != "gbce":
            self._refuse("gbce_t", "only gbce is calibrated")
        elif self.draws == "popularity":
            raise ValueError(
                "draws=popularity does not go with loss=gbce: its beta holds for uniform draws"
            )
        if self.table == "touched" and self.weight_decay:
            raise ValueError(
                "weight_decay does not go with table=touched: it would decay a row only when it "
                "is touched"
            )
        return self

    def _refuse(self, name: str, why: str) -> None:
        value = getattr(self, name)
        if value is not None:
            raise ValueError(f"{name}={value} changes nothing in loss={self.loss}: {why}")

    @property
    def n_negatives(self) -> int:
        """How many items are drawn; 0 where none are."""
        return self.negatives or _DEFAULT_NEGATIVES.get(self.loss, 0)

    @property
    def calibration(self) -> float:
        """The `t` of gBCE; 0 for plain BCE."""
        if self.loss != "gbce":
            return 0.0
        return _DEFAULT_T if self.gbce_t is None else self.gbce_t

    @property
    def corrects(self) -> bool:
        """Whether drawn scores are corrected by how often they are drawn."""
        return self.loss == "sampled-softmax" and self.logq is not False


class TransformerSettings(SequenceSettings):
    """The shape of a transformer over sequences, at RecBole's values."""

    hidden_size: int = Field(64, ge=1)
    """Width of item embeddings and states."""

    inner_size: int | None = Field(256, ge=1)
    """Width inside the feed-forward part; None is four times `hidden_size`."""

    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    hidden_dropout: float = Field(0.5, ge=0, lt=1)
    attention_dropout: float = Field(0.5, ge=0, lt=1)

    norm: Literal["post", "pre"] = "post"
    """Layers are normalised after their input is added (BERT), or before they read it (GPT-2)."""

    activation: Literal["gelu", "gelu-tanh", "relu"] = "gelu"
    """Inside the feed-forward part; `gelu-tanh` is GPT-2's approximation."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads={self.heads} does not divide hidden_size={self.hidden_size}")
        return self

    @property
    def inner(self) -> int:
        """Width inside the feed-forward part."""
        return self.inner_size or 4 * self.hidden_size
