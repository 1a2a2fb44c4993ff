"""sentence-transformers models, with their own modules and a faster way through them.

Tokenisation, prompts, pooling, projection and normalisation are the model's own, so the vectors are
those of `SentenceTransformer.encode_document` and `encode_query`. What is ours is the order of work
(batches by token count instead of by text count) and the layout and precision of the linear layers,
which are used only if a measurement on the task's own texts finds no row below a cosine of 0.9999
to the untouched float32 model. A model that is stored in half precision is not measured: where the
device computes in it, it runs as its makers stored it, else in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tastebench.contracts import EncoderCard, Role
from tastebench.encoders.hooks import Usage
from tastebench.errors import DataError
from tastebench.lm.batches import token_batches
from tastebench.lm.load import ModelFolder, choose_device, native_bf16

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Precision = Literal["auto", "float32"]

MIN_COSINE = 0.9999
_PROBE = 32
_COMPLETE = "check that the folder holds config.json, model.safetensors and tokenizer.json"
_TRUST = "read the model's code; if you trust it, get_encoder(name, trust_remote_code=True)"
# Padded tokens a batch: what a CPU core's cache likes, what keeps an accelerator busy.
_BUDGET = {"cpu": 1024}
_BUDGET_ACCELERATOR = 32768


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
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        card: EncoderCard | None = None,
    ) -> None:
        self.folder = folder
        self.device = choose_device(device)
        self.card = card or _read_card(folder)
        self._wanted = precision
        lower = precision == "auto" and native_bf16(self.device)
        self.precision = f"bfloat16>={MIN_COSINE}" if lower else "float32"
        self._model: SentenceTransformer | None = None
        self._dtype = "float32"
        self._fast = False
        self._tokens = 0

    def prepare(self, texts: Sequence[str]) -> None:
        """Loads the model and settles, on some of `texts`, how to compute.

        Raises:
            DataError: The folder holds no model that can be loaded.
        """
        if self._model is None:
            self._model = _load(self.folder, self.device, stored=self._wanted == "auto")
            self._describe(self._model)
            self._settle(list(texts[:_PROBE]))

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
        import torch

        from tastebench.lm.linear import agreement, can_pack, swap_linears

        model = self._loaded()
        self._fast = _is_plain_transformer(model)
        self._dtype = _dtype(model)
        if self._fast:
            # Pooling and what follows sum many numbers: always in float32.
            for module in list(model)[1:]:
                module.float()
        if not self._fast or self._dtype != "float32":
            return
        wanted = [torch.float32] if can_pack(self.device) else []
        if self.precision != "float32":
            wanted.insert(0, torch.bfloat16)
        truth = self._encode(sample, "item")
        for dtype in wanted:
            swap = swap_linears(model[0], self.device, dtype)
            self._dtype = str(dtype).removeprefix("torch.")
            try:
                found = agreement(self._encode(sample, "item"), truth)
            except (RuntimeError, AttributeError, TypeError) as error:
                # An architecture that looks inside its linear layers; the untouched model is right.
                warnings.warn(f"{self.card.name}: no fast path ({error})", stacklevel=2)
                found = -1.0
            if found >= MIN_COSINE:
                break
            swap.undo()
            self._dtype = "float32"
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
        budget = _BUDGET.get(self.device, _BUDGET_ACCELERATOR)
        out: np.ndarray | None = None
        for rows in token_batches(lengths, budget):
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

        task = "query" if role == "query" else "document"
        transformer, *after = model
        with torch.inference_mode():
            features = model.preprocess(texts, prompt=prompt or None, task=task)
            features = {
                key: value.to(model.device) if isinstance(value, torch.Tensor) else value
                for key, value in features.items()
            }
            with self._autocast():
                features = transformer(features)
            features["token_embeddings"] = features["token_embeddings"].float()
            for module in after:
                features = module(features)
            vectors: np.ndarray = features["sentence_embedding"].float().cpu().numpy()
        return vectors

    def _autocast(self) -> Any:
        import torch

        if self._dtype != "bfloat16":
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=torch.bfloat16)


def _read_card(folder: ModelFolder) -> EncoderCard:
    modules = folder.read_json("modules.json") or []
    limit = folder.read_json("sentence_bert_config.json") or {}
    return EncoderCard(
        name=folder.name,
        revision=folder.revision,
        max_tokens=limit.get("max_seq_length"),
        normalised=bool(modules) and str(modules[-1].get("type", "")).endswith(".Normalize"),
        source=folder.source,
    )


def _load(folder: ModelFolder, device: str, *, stored: bool) -> SentenceTransformer:
    """The model, in the precision it is stored in where that is asked for and fast here."""
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    _refuse_code(folder)
    try:
        with _no_progress_bar():
            model = SentenceTransformer(
                str(folder.path),
                device=device,
                trust_remote_code=folder.trusted,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"cannot load the model {folder.name!r}: {error}",
            where=str(folder.path),
            fix=_TRUST if "trust_remote_code" in str(error) else _COMPLETE,
        ) from error
    model.eval()
    # A device that does not multiply half precision itself emulates it, slowly.
    native = native_bf16(device) and (device != "cpu" or _dtype(model) != "float16")
    return model if stored and native else model.float()


def _dtype(model: SentenceTransformer) -> str:
    first = next(model.parameters(), None)
    return "float32" if first is None else str(first.dtype).removeprefix("torch.")


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
            fix=_TRUST,
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


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    # A bar for every model loaded would tear a table that is drawn meanwhile.
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
