"""Model2Vec static embeddings: a table of token vectors, averaged.

Read here with `tokenizers` and `safetensors` alone. The numbers are those of `model2vec` itself,
its truncation and its dropped unknown tokens included; the averaging is one sparse product.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import EncoderCard, Role
from tastebench.encoders.hooks import Usage
from tastebench.errors import DataError
from tastebench.lm.load import ModelFolder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MAX_TOKENS = 512


def is_static(folder: ModelFolder) -> bool:
    """Whether the folder holds a Model2Vec model."""
    config = folder.read_json("config.json")
    return isinstance(config, dict) and config.get("model_type") == "model2vec"


class StaticEncoder:
    """A Model2Vec model from a folder; loaded at the first use.

    A text without a known token - the empty text too - is the zero vector.
    """

    precision = "float32"

    def __init__(self, folder: ModelFolder) -> None:
        config = folder.read_json("config.json")
        limit = config.get("max_length", _MAX_TOKENS)
        self.folder = folder
        self.card = EncoderCard(
            name=folder.name,
            revision=folder.revision,
            dimensions=config.get("hidden_dim"),
            max_tokens=limit,
            normalised=bool(config.get("normalize", False)),
            source=folder.source,
        )
        self._loaded: _Table | None = None
        self._tokens = 0

    def prepare(self, texts: Sequence[str]) -> None:
        """Loads the table.

        Raises:
            DataError: The folder holds no table that can be read.
        """
        if self._loaded is None:
            self._loaded = _Table(self.folder, self.card.max_tokens)
            table = self._loaded.rows
            self.card = replace(self.card, dimensions=table.shape[1], parameters=table.size)

    def usage(self) -> Usage:
        """What it runs on and has used."""
        return Usage("cpu", "float32", self._tokens)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, d]`; the role makes no difference."""
        self.prepare(texts)
        assert self._loaded is not None
        vectors, tokens = self._loaded.means(texts)
        self._tokens += tokens
        if self.card.normalised:
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(norms > 0, norms, 1)
        return vectors.astype(np.float32)


class _Table:
    """Token vectors and the tokenizer that names their rows."""

    def __init__(self, folder: ModelFolder, limit: int | None) -> None:
        tensors, self.tokenizer = _read(folder)
        self.rows: np.ndarray = tensors["embeddings"]
        self.weights: np.ndarray | None = tensors.get("weights")
        self.mapping: np.ndarray | None = tensors.get("mapping")
        words = self.tokenizer.get_vocab()
        n_words = len(self.rows) if self.mapping is None else len(self.mapping)
        if max(words.values(), default=-1) >= n_words:
            raise DataError(
                f"the model {folder.name!r} has {n_words} token vectors and {len(words)} tokens",
                where=str(folder.path),
                fix="fetch the model again",
            )
        self.unknown = _unknown_id(self.tokenizer)
        self.limit = limit
        # model2vec cuts long texts by characters first, at this many a token.
        self.characters = int(np.median([len(word) for word in words])) if words else 1
        self.tokenizer.no_padding()
        if limit is None:
            self.tokenizer.no_truncation()
        else:
            self.tokenizer.enable_truncation(limit)

    def means(self, texts: Sequence[str]) -> tuple[np.ndarray, int]:
        """The mean token vector of each text, float32 `[n, d]`, and how many tokens there were."""
        from scipy.sparse import csr_array

        if self.limit is not None:
            texts = [text[: self.limit * self.characters] for text in texts]
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter((len(row) for row in ids), dtype=np.int64, count=len(ids))
        flat = np.fromiter((token for row in ids for token in row), np.int64, int(lengths.sum()))
        text_of = np.repeat(np.arange(len(ids)), lengths)
        known = flat != self.unknown
        flat, text_of = flat[known], text_of[known]
        counts = np.bincount(text_of, minlength=len(ids))
        weights = np.ones(len(flat), dtype=np.float32)
        if self.weights is not None:
            weights = self.weights[flat].astype(np.float32)
        weights /= np.maximum(counts, 1)[text_of]
        row_of = flat if self.mapping is None else self.mapping[flat]
        used, column = np.unique(row_of, return_inverse=True)
        if len(used) == 0:
            return np.zeros((len(ids), self.rows.shape[1]), dtype=np.float32), 0
        mixing = csr_array((weights, (text_of, column)), shape=(len(ids), len(used)))
        return mixing @ self.rows[used].astype(np.float32), len(flat)


def _read(folder: ModelFolder) -> tuple[dict[str, np.ndarray], Tokenizer]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    try:
        tensors = load_file(folder.path / "model.safetensors")
        tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
    except (OSError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    except Exception as error:
        # tokenizers raises bare Exception for a missing or broken tokenizer.json.
        if type(error) is not Exception:
            raise
        raise _unreadable(folder, error) from error
    if "embeddings" not in tensors or tensors["embeddings"].ndim != 2:
        raise _unreadable(folder, "model.safetensors has no table 'embeddings'")
    return tensors, tokenizer


def _unreadable(folder: ModelFolder, reason: object) -> DataError:
    return DataError(
        f"cannot load the static model {folder.name!r}: {reason}",
        where=str(folder.path),
        fix="check that the folder is complete: config.json, model.safetensors, tokenizer.json",
    )


def _unknown_id(tokenizer: Tokenizer) -> int:
    """The id that stands for what the tokenizer does not know; -1 if it knows everything."""
    model = json.loads(tokenizer.to_str())["model"]
    name, number = model.get("unk_token"), model.get("unk_id")
    found = tokenizer.token_to_id(name) if name is not None else number
    return -1 if found is None else int(found)
