"""Item operators: an item's id, vector or words to one vector.

Operators of words share a table of word embeddings whose padding row is zero and is never trained.
An item without a word has a defined vector: zero, where no layer with a bias follows the pooling.
Columns of one token (categories) may be treated apart; each operator's docstring says how.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from tastebench.recommenders.ctr.bricks import BrickConfig, ItemOperator, check_heads
from tastebench.recommenders.ctr.variants import VariantConfig

_HERE = "tastebench.recommenders.ctr.item_operators"

NAML = "Wu et al., Neural News Recommendation with Attentive Multi-View Learning, IJCAI 2019"
NRMS = "Wu et al., Neural News Recommendation with Multi-Head Self-Attention, EMNLP 2019"
LSTUR = (
    "An et al., Neural News Recommendation with Long- and Short-term User Representations, ACL 2019"
)
FASTFORMER_PAPER = (
    "Wu et al., Fastformer: Additive Attention Can Be All You Need, 2021, arXiv:2108.09084"
)
BERT = "Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers, NAACL 2019"
RECBENCH = (
    "Liu et al., Benchmarking LLMs in Recommendation Tasks (RecBench), 2025, arXiv:2503.05493"
)


# ------------------------------------------------------------------------------ ids and vectors


class IdConfig(BrickConfig):
    """An embedding an item."""

    init_std: float = Field(1.0, ge=0)
    """Standard deviation of the initial embeddings; 1 is torch's default and RecBench's."""


class VectorConfig(BrickConfig):
    """Encoded text, projected."""

    mode: Literal["frozen", "initialised"] = "frozen"
    """`frozen` keeps the vectors as they are (RecBench's group C); `initialised` trains them on."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Of the projected vectors."""

    scale: Literal["none", "unit", "standard"] = "none"
    """What is done to the vectors first: nothing, unit length, or mean 0 and deviation 1.

    `standard` is by dimension, over the whole catalogue; a dimension without any deviation becomes
    0. Encoders differ a hundredfold in the scale of their vectors, and some have single dimensions
    that outweigh all others; `none` is what RecBench does.
    """


ID = ItemOperator(
    name="id",
    summary="an embedding an item",
    config=IdConfig,
    network=f"{_HERE}.tables:IdTable",
    citation=RECBENCH,
    reads="id",
)

VECTOR = ItemOperator(
    name="vector",
    summary="encoded text, frozen or trained on, projected",
    config=VectorConfig,
    network=f"{_HERE}.tables:VectorTable",
    citation=RECBENCH,
    reads="vector",
)


# ---------------------------------------------------------------------------------------- words


class WordsConfig(BrickConfig):
    """Word embeddings."""

    embedding_size: int | None = Field(None, ge=1)
    """Width of the word embeddings; None is the model's width."""

    init_std: float = Field(1.0, ge=0)
    """Standard deviation of the initial word embeddings; 1 is torch's default and RecBench's."""


class PoolingConfig(WordsConfig):
    """Mean of words."""

    pool: Literal["mean", "max"] = "mean"
    """Over the tokens of a column."""

    join: Literal["mean", "concat"] = "mean"
    """Columns to one vector: their mean, an empty column counting as zero, or end to end and
    projected to the model's width."""


def _odd(n: int) -> int:
    if n % 2 == 0:
        raise ValueError(f"has to be odd, got {n}")
    return n


class CnnConfig(VariantConfig, WordsConfig):
    """NAML's news encoder.

    `published`: every column has its own encoder - words: convolution and attention over positions;
    categories: a dense layer - and attention weighs the columns. `reference`: one convolution for
    all columns, one attention over the positions of all columns together.
    """

    reference_values: ClassVar[dict[str, Any]] = {"query_size": 256, "dropout": 0.1}

    window: Annotated[int, AfterValidator(_odd)] = Field(3, ge=1)
    """Tokens a filter sees; odd, so that it has a centre."""

    query_size: int = Field(200, ge=1)
    """Width inside the additive attentions; the reference has 256."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """After words (published only) and convolutions; the reference has 0.1."""


class CnnColumnsConfig(CnnConfig):
    """LSTUR's news encoder.

    Convolution and attention in each column of words, categories as they are embedded, end to end;
    more than one column is projected to the model's width. `reference` shares one convolution and
    one attention between the columns.
    """


class AttentionConfig(VariantConfig, WordsConfig):
    """NRMS's news encoder.

    `published`: heads without an output projection, then additive attention. `reference`: torch's
    attention, with biases and an output projection, and a dense layer after it.
    """

    reference_values: ClassVar[dict[str, Any]] = {"heads": 8, "query_size": 256, "dropout": 0.1}

    heads: int = Field(16, ge=1)
    """Attention heads; the reference has 8. They divide the width."""

    query_size: int = Field(200, ge=1)
    """Width inside the additive attention; the reference has 256."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Of words and heads (published) or of attention weights (reference, 0.1)."""

    separators: bool = False
    """A token of its own ends every column."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide what they make: the model's width, in the reference that of words."""
        made = width if self.variant == "published" else self.embedding_size or width
        check_heads(brick, made, self.heads)


class TransformerConfig(WordsConfig):
    """A BERT encoder of its own, trained from scratch."""

    layers: int = Field(3, ge=1)
    """Blocks of attention and feed-forward."""

    heads: int = Field(8, ge=1)
    """Attention heads; they divide the width of the word embeddings."""

    inner_factor: int = Field(4, ge=1)
    """Width inside the feed-forward part, as a multiple of the embeddings' width."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After embedding, attention and feed-forward, and of the attention weights."""

    query_size: int | None = Field(None, ge=1)
    """Width inside the additive attention that pools; None is the model's width."""

    separators: bool = False
    """A token of its own ends every column."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide the width of the word embeddings."""
        check_heads(brick, self.embedding_size or width, self.heads)


class FastformerConfig(WordsConfig):
    """Fastformer over the words."""

    layers: int = Field(1, ge=1)
    """Blocks of attention and feed-forward."""

    heads: int = Field(16, ge=1)
    """Attention heads; they divide the width of the word embeddings."""

    inner_factor: int = Field(4, ge=1)
    """Width inside the feed-forward part, as a multiple of the embeddings' width."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After embedding, attention and feed-forward."""

    separators: bool = False
    """A token of its own ends every column."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide the width of the word embeddings."""
        check_heads(brick, self.embedding_size or width, self.heads)


POOLING = ItemOperator(
    name="pooling",
    summary="mean of word embeddings by column, mean of columns",
    config=PoolingConfig,
    network=f"{_HERE}.pooling:Pooling",
    citation=RECBENCH,
)

CNN = ItemOperator(
    name="cnn",
    summary="NAML: a convolution a column, attention over positions, attention over columns",
    config=CnnConfig,
    network=f"{_HERE}.cnn:Cnn",
    citation=NAML,
)

CNN_COLUMNS = ItemOperator(
    name="cnn-columns",
    summary="LSTUR: convolution and attention in each column, columns end to end",
    config=CnnColumnsConfig,
    network=f"{_HERE}.cnn:CnnColumns",
    citation=LSTUR,
)

ATTENTION = ItemOperator(
    name="attention",
    summary="NRMS: multi-head self-attention over the words, then additive attention",
    config=AttentionConfig,
    network=f"{_HERE}.attention:Attention",
    citation=NRMS,
)

TRANSFORMER = ItemOperator(
    name="transformer",
    summary="a BERT encoder over the words, from scratch, then additive attention",
    config=TransformerConfig,
    network=f"{_HERE}.transformer:Transformer",
    citation=BERT,
)

FASTFORMER = ItemOperator(
    name="fastformer",
    summary="Fastformer over the words: attention whose cost is linear in their number",
    config=FastformerConfig,
    network=f"{_HERE}.fastformer:Fastformer",
    citation=FASTFORMER_PAPER,
)


# ------------------------------------------------------------------------------ language models

PLM_NR = "Wu et al., Empowering News Recommendation with Pre-trained Language Models, SIGIR 2021"
IISAN_PAPER = (
    "Fu et al., IISAN: Efficiently Adapting Multimodal Representation for Sequential "
    "Recommendation with Decoupled PEFT, SIGIR 2024"
)


class ReadingConfig(BrickConfig):
    """A language model and how it reads an item."""

    model: str = Field("minilm", min_length=1)
    """A folder with a transformers model, `organisation/model[@commit]` on the hub, or `minilm`."""

    max_length: int = Field(50, ge=1)
    """Tokens an item has at most, special ones included; what comes later is cut off.

    Legommenders cuts titles of news at 30 and everything else at 50.
    """

    separator: str = "\n"
    """Between an item's text columns; empty ones are left out."""

    precision: Literal["float32", "auto"] = "float32"
    """What frozen layers are computed in: `auto` is what they are stored in where the device
    computes in it. What is trained is float32 always."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """Where frozen layers are computed; training has a device of its own."""


class LanguageModelConfig(ReadingConfig):
    """A language model trained with the recommender, wholly or from a layer upwards."""

    tune_from: int | None = -2
    """The first layer that is trained; -2 is the last but one, as in PLM-NR. Layers below it and
    the embeddings are frozen and their states computed once. None or 0 trains all, embeddings too;
    the number of layers trains none."""

    lora_rank: int | None = Field(None, ge=1)
    """LoRA of this rank instead of the layers' own weights (ONCE: 32); then nothing else of the
    language model is trained, embeddings and norms neither."""

    lora_alpha: int = Field(128, ge=1)
    """Scale of the adapters, as a multiple of one over their rank."""

    lora_dropout: float = Field(0.1, ge=0, lt=1)
    """Of what the adapters read."""

    targets: tuple[str, ...] | None = None
    """Linear layers that get an adapter; None is those of queries and values."""

    pooling: Literal["additive-attention", "mean", "last", "cls"] = "additive-attention"
    """Token states to one vector: attention after the dense layer, or the mean, last or first state
    before it."""

    query_size: int = Field(256, ge=1)
    """Width inside the additive attention."""

    page: int = Field(64, ge=1)
    """Items read at once; bounds the memory that training takes, and changes no result."""

    store: Literal["float32", "float16"] = "float32"
    """What states of frozen layers are kept in. float16 takes half the room and costs up to 2^-11
    of every number."""


class IisanConfig(ReadingConfig):
    """A small network beside a frozen language model, whose layers it reads."""

    layer_step: int = Field(1, ge=1)
    """Every how many layers one is read, the top one always."""

    projection: Literal["none", "shared", "per-layer"] = "none"
    """What is done to the states first: nothing, one projection for all layers, or one for each."""

    projection_size: int = Field(64, ge=1)
    """Width of projected states."""


LANGUAGE_MODEL = ItemOperator(
    name="language-model",
    summary="a pretrained language model over the text, its upper layers or LoRA trained",
    config=LanguageModelConfig,
    network=f"{_HERE}.language_model:LanguageModel",
    citation=PLM_NR,
)

IISAN = ItemOperator(
    name="iisan",
    summary="IISAN: a side network over the layers of a frozen language model",
    config=IisanConfig,
    network=f"{_HERE}.iisan:Iisan",
    citation=IISAN_PAPER,
)


# --------------------------------------------------------------------------------- semantic ids

UIST = "Liu et al., Discrete Semantic Tokenization for Deep CTR Prediction, WWW 2024"


class CodeLevelsConfig(BrickConfig):
    """An embedding for each code of each level, added up level by level."""

    init_std: float = Field(1.0, ge=0)
    """Standard deviation of the initial embeddings; 1 is torch's default and RecBench's."""


class CodeConfig(CodeLevelsConfig):
    """An embedding for each code of each level, all levels in one vector."""

    pool: Literal["sum", "mean"] = "sum"
    """Of the levels; a residual code is meant to be added up."""


CODE = ItemOperator(
    name="code",
    summary="the sum of an item's code embeddings",
    config=CodeConfig,
    network=f"{_HERE}.codes:Code",
    citation=UIST,
    reads="code",
)

CODE_LEVELS = ItemOperator(
    name="code-levels",
    summary="UIST: an item ever more precisely, the sum of its first codes level by level",
    config=CodeLevelsConfig,
    network=f"{_HERE}.codes:CodeLevels",
    citation=UIST,
    reads="code",
    makes="vectors",
)
