"""A language model with its head: what it says comes next, or stands in a masked place.

Logits are made at chosen places only. A vocabulary has up to a quarter of a million tokens, and of
a prompt one place matters; a hook hands the head the states of the chosen places, so that no
architecture is written down here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tastebench.errors import DataError
from tastebench.lm.load import TRUST, ModelFolder, loading

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

Kind = Literal["decoder", "encoder", "encoder-decoder"]

# They come after the states that a head reads, or beside them.
_UNUSED = ("pooler.", "cls.seq_relationship.")


@dataclass(frozen=True, eq=False)
class Headed:
    """A model, its head and its tokenizer.

    Attributes:
        folder: Where all come from.
        model: As stored.
        tokenizer: Its own.
        kind: Whether it continues a text, fills places in one, or answers it.
        untrained: Weights of the head that the folder lacks; they are random.
    """

    folder: ModelFolder
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    kind: Kind
    untrained: tuple[str, ...] = ()

    def logits_at(self, row: Tensor, place: Tensor, **inputs: Any) -> Tensor:
        """Logits at some places, `[n, vocabulary]`.

        Args:
            row: Text of each place in the batch, int64 `[n]`.
            place: Token of each place in its text, int64 `[n]`; of an encoder-decoder in what is
                answered.
            inputs: What the model takes: tokens, mask, ...
        """
        head = _output_embeddings(self.model)
        if head is None:
            logits: Tensor = self.model(**inputs).logits[row, place]
            return logits

        def pick(head: nn.Module, args: Any) -> Any:
            return (args[0][row, place][None], *args[1:])

        hook = head.register_forward_pre_hook(pick)
        try:
            picked: Tensor = self.model(**inputs).logits[0]
        finally:
            hook.remove()
        return picked


def load_headed(folder: ModelFolder) -> Headed:
    """The model in a folder with the head that its kind has, in the precision it is stored in.

    Raises:
        DataError: The folder holds no model that can be loaded, or lacks weights below the head.
    """
    import transformers

    own: dict[str, Any] = {"trust_remote_code": folder.trusted, "local_files_only": True}
    path = str(folder.path)
    with trusting(folder), loading(folder):
        config = transformers.AutoConfig.from_pretrained(path, **own)
        kind = kind_of(config)
        classes: dict[Kind, Any] = {
            "decoder": transformers.AutoModelForCausalLM,
            "encoder": transformers.AutoModelForMaskedLM,
            "encoder-decoder": transformers.AutoModelForSeq2SeqLM,
        }
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path, **own)
        model, found = classes[kind].from_pretrained(
            path, use_safetensors=True, dtype="auto", output_loading_info=True, **own
        )
    body = f"{model.base_model_prefix}."
    missing = sorted(name for name in found["missing_keys"] if not _unused(name, body))
    holes = [name for name in missing if name.startswith(body) or kind == "encoder-decoder"]
    if holes:
        raise DataError(
            f"the model {folder.name!r} lacks {len(holes)} of its weights, e.g. {holes[0]}",
            where=path,
            fix="fetch the model again; a folder of adapters has to be merged into its model first",
        )
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False  # in training it is made and thrown away; else asked for
    return Headed(folder, model, tokenizer, kind, tuple(missing))


def kind_of(config: Any) -> Kind:
    """What a model does, by its configuration."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    if getattr(config, "is_encoder_decoder", False):
        return "encoder-decoder"
    own = getattr(config, "auto_map", None) or {}
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES or "AutoModelForMaskedLM" in own
    causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in own
    # BERT and its like can be built as decoders, too, and say so.
    return (
        "encoder"
        if masked and not (causal and getattr(config, "is_decoder", False))
        else ("decoder")
    )


@contextmanager
def trusting(folder: ModelFolder) -> Iterator[None]:
    """Around loading: says how a run allows a model's own code, where that is what is missing.

    Raises:
        DataError: As raised within.
    """
    try:
        yield
    except DataError as error:
        if error.fix != TRUST:
            raise
        raise DataError(
            f"the model {folder.name!r} brings code of its own, which is not run unasked",
            where=error.where,
            fix="read the model's code; if you trust it, set trust_remote_code: true",
        ) from error


def _unused(name: str, body: str) -> bool:
    return name.removeprefix(body).startswith(_UNUSED)


def _output_embeddings(model: Any) -> nn.Module | None:
    """What makes logits of states; None where a model does not say."""
    try:
        head: nn.Module | None = model.get_output_embeddings()
    except NotImplementedError:
        return None
    return head
