"""sentence-transformers models, with their own modules and a faster way through them.

Tokenisation, prompts, pooling, projection and normalisation are the model's own, so the vectors are
those of `SentenceTransformer.encode_document` and `encode_query`. What is ours is the order of work
(batches by token count instead of by text count) and the layout and precision of the linear layers,
which are used only if a measurement on the task's own texts finds no row below a cosine of 0.9999
to the untouched float32 model. A model that is stored in half precision is not measured: where the
device computes in it, it runs as its makers stored it, else in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import EncoderCard, Role
from tastebench.encoders.hooks import Usage
from tastebench.errors import DataError
from tastebench.files import hash_json
from tastebench.lm.batches import token_batches, token_budget
from tastebench.lm.load import (
    TRUST,
    ModelFolder,
    Precision,
    allowed_precision,
    choose_device,
    loading,
    model_dtype,
    ready,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PROBE = 32
"""Texts on which a faster way is measured."""


def is_sentence(folder: ModelFolder) -> bool:
    """Whether the folder says, as sentence-transformers does, what comes after the token states."""
    return (folder.path / "modules.json").is_file()


class SentenceEncoder:
    """A sentence-transformers model from a folder.

    Texts beyond the model's input limit are cut there, as the model's makers do. The empty text is
    encoded like any other. The model is loaded at the first use.

    Args:
        folder: Where it lies.
        device: `auto`, `cpu`, `cuda`, `mps`.
        precision: `auto` computes in bfloat16 where the device does so natively and the vectors
            agree; `float32` never does.
        card: What is known of it beyond its files.
        query_instruction, item_prefix: Put before queries and items instead of the model's own
            prompts; None keeps those.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        card: EncoderCard | None = None,
        query_instruction: str | None = None,
        item_prefix: str | None = None,
    ) -> None:
        self.folder = folder
        self._asked = device if device == "auto" else choose_device(device)
        self._prompts = _given(query=query_instruction, document=item_prefix)
        self.card = card or _read_card(folder, self._prompts)
        self._wanted = precision
        self._model: SentenceTransformer | None = None
        self._dtype = "float32"
        self._fast = False
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
        if self._model is None:
            self._model = _load(self.folder, self.device, stored=self._wanted == "auto")
            self._model.prompts |= self._prompts
            self._describe(self._model)
            self._settle(list(texts[:PROBE]))

    def usage(self) -> Usage:
        """What it runs on and has used."""
        tokens = self._tokens if self._fast or self._model is None else None
        return Usage(self.device.partition(":")[0], self._dtype, tokens)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """float32 `[n, d]`.

        Args:
            texts: Any number of texts.
            role: Which of the model's own prompts is put before each text, if it has any.
        """
        if len(texts) == 0:
            raise DataError("there is nothing to encode: no texts")
        self.prepare(texts)
        return self._encode(list(texts), role)

    def _describe(self, model: SentenceTransformer) -> None:
        limit = model.get_max_seq_length()
        self.card = replace(
            self.card,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            max_tokens=limit if isinstance(limit, int) else self.card.max_tokens,
        )

    def _settle(self, sample: list[str]) -> None:
        """Takes the fastest way whose vectors agree with the model as it was loaded."""
        from tastebench.lm.linear import fastest

        model = self._loaded()
        self._fast = _is_plain_transformer(model)
        self._dtype = model_dtype(model)
        if self._fast:
            # Pooling and what follows sum many numbers: always in float32.
            for module in list(model)[1:]:
                module.float()
        if not self._fast or self._dtype != "float32":
            return

        def encode(dtype: str) -> np.ndarray:
            self._dtype = dtype
            return self._encode(sample, "item")

        lower = self.precision != "float32"
        self._dtype = fastest(model[0], self.device, encode, lower=lower, name=self.card.name)
        self._tokens = 0

    def _loaded(self) -> SentenceTransformer:
        assert self._model is not None
        return self._model

    def _encode(self, texts: list[str], role: Role) -> np.ndarray:
        model = self._loaded()
        if not self._fast:
            encode = model.encode_query if role == "query" else model.encode_document
            return np.asarray(encode(texts, show_progress_bar=False), dtype=np.float32)
        prompt = _prompt(model, role)
        lengths = _lengths(model, [f"{prompt}{text}" for text in texts])
        self._tokens += int(lengths.sum())
        out: np.ndarray | None = None
        for rows in token_batches(lengths, token_budget(self.device)):
            batch = self._forward(model, [texts[row] for row in rows], prompt, role)
            if out is None:
                out = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
            out[rows] = batch
        assert out is not None
        return out

    def _forward(
        self, model: SentenceTransformer, texts: list[str], prompt: str, role: Role
    ) -> np.ndarray:
        import torch

        from tastebench.lm.linear import computing_in

        task = "query" if role == "query" else "document"
        transformer, *after = model
        with torch.inference_mode():
            features = model.preprocess(texts, prompt=prompt or None, task=task)
            features = {
                key: value.to(model.device) if isinstance(value, torch.Tensor) else value
                for key, value in features.items()
            }
            with computing_in(self._dtype, self.device):
                features = transformer(features)
            features["token_embeddings"] = features["token_embeddings"].float()
            for module in after:
                features = module(features)
            vectors: np.ndarray = features["sentence_embedding"].float().cpu().numpy()
        return vectors


def _given(**prompts: str | None) -> dict[str, str]:
    return {role: prompt for role, prompt in prompts.items() if prompt is not None}


def _read_card(folder: ModelFolder, prompts: dict[str, str]) -> EncoderCard:
    modules = folder.read_json("modules.json") or []
    limit = folder.read_json("sentence_bert_config.json") or {}
    own = (folder.read_json("config_sentence_transformers.json") or {}).get("prompts") or {}
    changed = f"-{hash_json(prompts, 8)}" if prompts else ""
    return EncoderCard(
        name=folder.name,
        revision=folder.revision + changed,
        max_tokens=limit.get("max_seq_length"),
        normalised=bool(modules) and str(modules[-1].get("type", "")).endswith(".Normalize"),
        query_instruction=(own | prompts).get("query") or None,
        source=folder.source,
    )


def _load(folder: ModelFolder, device: str, *, stored: bool) -> SentenceTransformer:
    """The model, in the precision it is stored in where that is asked for and fast here."""
    from sentence_transformers import SentenceTransformer

    _refuse_code(folder)
    with loading(folder):
        model = SentenceTransformer(
            str(folder.path),
            device=device,
            trust_remote_code=folder.trusted,
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )
    return ready(model, device, stored=stored)


def _refuse_code(folder: ModelFolder) -> None:
    modules = folder.read_json("modules.json") or []
    foreign = [
        str(module.get("type"))
        for module in modules
        if not str(module.get("type")).startswith("sentence_transformers.")
    ]
    if foreign and not folder.trusted:
        raise DataError(
            f"the model {folder.name!r} brings code of its own: {', '.join(foreign)}",
            where=str(folder.path),
            fix=TRUST,
        )


def _is_plain_transformer(model: SentenceTransformer) -> bool:
    """Whether the model is a transformer over tokens and simple modules after it."""
    first = model[0]
    return (
        hasattr(model, "preprocess")
        and type(first).__name__ == "Transformer"
        and getattr(first, "module_output_name", None) == "token_embeddings"
        and all(type(module).__module__.startswith("sentence_transformers.") for module in model)
        and not any(model.module_kwargs.values() if model.module_kwargs else ())
        and callable(model.tokenizer)
    )


def _prompt(model: SentenceTransformer, role: Role) -> str:
    """The prompt of the model's makers for this role; empty if they name none."""
    names = ("query",) if role == "query" else ("document", "passage", "corpus")
    for name in (*names, model.default_prompt_name):
        if name in model.prompts:
            return model.prompts[name] or ""
    return ""


def _lengths(model: SentenceTransformer, texts: list[str]) -> np.ndarray:
    """Tokens of each text as the model will see it, special ones included."""
    ids = model.tokenizer(
        texts,
        padding=False,
        truncation=True,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    return np.fromiter((len(row) for row in ids), dtype=np.int64, count=len(texts))
