"""Any transformers model as an encoder: token states of its last layer, pooled to one vector.

For a plain model folder, one without sentence-transformers' modules: a masked language model such
as RoBERTa, a decoder such as Llama or Qwen. Whatever side a tokenizer would pad on, texts are
padded on the right here and the padding is masked: then positions count from the first token, a
causal model never sees the padding, and the last token is the text's own, whatever stands beside it
in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from tastebench.contracts import EncoderCard, Role
from tastebench.encoders.hooks import Usage
from tastebench.encoders.sentence import PROBE
from tastebench.errors import DataError, DependencyError, UsageError, did_you_mean
from tastebench.files import hash_json
from tastebench.lm.batches import token_batches, token_budget
from tastebench.lm.load import (
    ModelFolder,
    Precision,
    allowed_precision,
    choose_device,
    model_dtype,
    ready,
)
from tastebench.lm.text_model import TextModel, load_text_model
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from torch import Tensor, nn

Pooling = Literal["cls", "mean", "last"]

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
_FORMAT = 1
# What tokenizers say who know no limit is a very large number.
_NO_LIMIT = 1_000_000
# Their tables of positions begin with as many rows as the padding token's id, and one, that no
# token uses.
_OFFSET_POSITIONS = ("camembert", "data2vec-text", "mpnet", "roberta", "xlm-roberta")


class PooledEncoder:
    """A transformers model from a folder, its last hidden states pooled.

    Texts beyond the input limit are cut where the tokenizer cuts. A text without any token - the
    empty text of a tokenizer that adds none - is read as the model's first (else last) special
    token alone. The model is loaded at the first use.

    Args:
        folder: Where it lies.
        pooling: `cls` is the state of the first token, `mean` of all tokens (special ones too),
            `last` of the last one. None is what suits the architecture: `last` for a decoder, whose
            last token alone has seen the whole text, `mean` for every other.
        normalise: Vectors get unit length.
        max_tokens: Input limit; None is the model's own.
        query_instruction: Put before a query, never before an item.
        item_prefix: Put before an item, for models that were trained to see it there.
        pool_prefix: What is put before a text is pooled with it; else it is only read.
        both_ways: A decoder's tokens see what follows them too, for decoders trained so.
        device: `auto`, `cpu`, `cuda`, `mps`.
        precision: `auto` computes in bfloat16 where the device does so natively and what tells the
            vectors apart agrees; `float32` never does.

    Raises:
        UsageError: There is no such pooling.
    """

    def __init__(  # noqa: PLR0913 - one argument a way in which published encoders differ
        self,
        folder: ModelFolder,
        *,
        pooling: Pooling | None = None,
        normalise: bool = False,
        max_tokens: int | None = None,
        query_instruction: str | None = None,
        item_prefix: str = "",
        pool_prefix: bool = True,
        both_ways: bool = False,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        if pooling is not None and pooling not in POOLINGS:
            raise UsageError(f"no pooling {pooling!r}: {did_you_mean(pooling, POOLINGS)}")
        self.folder = folder
        self._asked = device if device == "auto" else choose_device(device)
        self._wanted: Precision = precision
        self.pooling = pooling or default_pooling(folder)
        self._limit = input_limit(folder, max_tokens)
        self._prefix: dict[Role, str] = {"item": item_prefix, "query": query_instruction or ""}
        self._pool_prefix, self._both_ways = pool_prefix, both_ways
        configuration = [_FORMAT, self.pooling, normalise, self._limit, self._prefix]
        configuration += [pool_prefix, both_ways]
        self.card = EncoderCard(
            name=folder.name,
            dimensions=(folder.read_json("config.json") or {}).get("hidden_size"),
            source=folder.source,
            revision=f"{folder.revision}-{self.pooling}-{hash_json(configuration, 8)}",
            max_tokens=self._limit,
            normalised=normalise,
            pooling=self.pooling,
            query_instruction=query_instruction,
        )
        self._source: TextModel | None = None
        self._dtype = "float32"
        self._tokens = 0

    @cached_property
    def device(self) -> str:
        """Where it computes. Only who encodes needs to know: finding out loads torch."""
        return choose_device(self._asked)

    @cached_property
    def precision(self) -> str:
        """What its vectors may be computed in."""
        return allowed_precision(self._wanted, self.device)

    def prepare(self, texts: Sequence[str]) -> None:
        """Loads the model and settles, on some of `texts`, how to compute.

        Raises:
            DataError: The folder holds no model that can be loaded.
        """
        if self._source is not None:
            return
        self._source = load_text_model(self.folder)
        model = ready(self._source.model, self.device, stored=self._wanted == "auto")
        if self._both_ways:
            _open_both_ways(model, self.folder)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        self.card = replace(self.card, parameters=parameters)
        self._settle(model, list(texts[:PROBE]))

    def usage(self) -> Usage:
        """What it runs on and has used."""
        return Usage(self.device.partition(":")[0], self._dtype, self._tokens)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, d]`; a query has the instruction before it, an item its prefix if any."""
        if len(texts) == 0:
            raise DataError("there is nothing to encode: no texts")
        self.prepare(texts)
        return self._encode(texts, role)

    def _settle(self, model: nn.Module, sample: list[str]) -> None:
        """Takes the fastest way whose vectors agree with the model as it was loaded."""
        from tastebench.lm.linear import fastest

        self._dtype = model_dtype(model)
        if self._dtype != "float32":
            return

        def encode(dtype: str) -> np.ndarray:
            self._dtype = dtype
            return self._encode(sample, "item")

        self._dtype = fastest(
            model,
            self.device,
            encode,
            lower=self.precision != "float32",
            name=self.card.name,
            centred=True,
        )
        self._tokens = 0

    def _encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        prefix = self._prefix[role]
        assert self._source is not None
        tokens = self._source.tokens([prefix + text for text in texts], self._limit)
        skip = np.zeros(len(tokens), dtype=np.int64)
        if prefix and not self._pool_prefix:
            (before,) = self._source.tokens([prefix], self._limit).to_lists()
            skip[:] = [_shared(before, row) for row in tokens.to_lists()]
        lengths = tokens.lengths
        self._tokens += int(lengths.sum())
        out: np.ndarray | None = None
        for rows in token_batches(lengths, token_budget(self.device)):
            batch = self._forward(tokens[rows], skip[rows])
            if out is None:
                out = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
            out[rows] = batch
        assert out is not None
        return out

    def _forward(self, tokens: Ragged, skip: np.ndarray) -> np.ndarray:
        import torch

        from tastebench.lm.linear import computing_in

        assert self._source is not None
        lengths = tokens.lengths[:, None]
        position = np.arange(int(lengths.max()))
        real = position < lengths
        pooled = real & (position >= np.where(skip < lengths[:, 0], skip, 0)[:, None])
        # Any id will do for padding: the mask hides it.
        padded = tokens.padded(len(position), fill=0).astype(np.int64)
        with torch.inference_mode():
            with computing_in(self._dtype, self.device):
                states = self._source.model(
                    input_ids=torch.from_numpy(padded).to(self.device),
                    attention_mask=torch.from_numpy(real).long().to(self.device),
                ).last_hidden_state
            mask = torch.from_numpy(pooled).to(self.device)
            vectors = pool(states.float(), mask, self.pooling)
            if self.card.normalised:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            found: np.ndarray = vectors.cpu().numpy()
        return found


def pool(states: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """One vector a text, `[n, d]`.

    Args:
        states: Token states, float32 `[n, tokens, d]`, padded on the right.
        mask: True where a token counts, `[n, tokens]`; at least one a row, never padding.
        how: The first token, the mean of those that count or the last of them.
    """
    if how == "cls":
        return states[:, 0]
    if how == "last":
        # Positions from 1 where a token counts, else 0: the greatest is the last.
        last = mask.long().cumsum(dim=1).mul(mask).argmax(dim=1)
        return states.take_along_dim(last[:, None, None], dim=1)[:, 0]
    return states.masked_fill(~mask[:, :, None], 0).sum(dim=1) / mask.sum(dim=1)[:, None]


def default_pooling(folder: ModelFolder) -> Pooling:
    """What suits the architecture: `last` for a decoder, `mean` for every other."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    config: dict[str, Any] = folder.read_json("config.json") or {}
    if config.get("is_encoder_decoder"):
        return "mean"
    kind = config.get("model_type")
    # Encoders such as BERT can be made decoders, so they are in both tables.
    only_causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and (
        kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )
    return "last" if config.get("is_decoder") or only_causal else "mean"


def input_limit(folder: ModelFolder, wanted: int | None) -> int | None:
    """Tokens a text may have: as wanted, else the tokenizer's limit; never more than positions."""
    config = folder.read_json("config.json") or {}
    words = folder.read_json("tokenizer_config.json") or {}
    positions = config.get("max_position_embeddings")
    if positions is not None and config.get("model_type") in _OFFSET_POSITIONS:
        positions -= (config.get("pad_token_id") or 0) + 1
    limits = [wanted or words.get("model_max_length"), positions]
    known = [int(limit) for limit in limits if limit is not None and limit < _NO_LIMIT]
    return min(known, default=None)


def _shared(before: list[int], ids: list[int]) -> int:
    """Leading tokens that both have."""
    pairs = zip(before, ids, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(before), len(ids)))


def _open_both_ways(model: nn.Module, folder: ModelFolder) -> None:
    """Lets a decoder's tokens see what follows them, and makes sure that they do."""
    import torch

    config: Any = model.config
    config.is_causal = False
    device = next(model.parameters()).device
    ids = torch.tensor([[1, 2], [1, 3]], device=device)
    with torch.inference_mode():
        states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    if torch.equal(states[0], states[1]):
        raise DependencyError(
            f"the model {folder.name!r} is read in both directions, and this transformers reads it "
            "in one",
            where=str(folder.path),
            fix="pip install -U transformers",
        )
