"""A language model that reads texts: its weights without the head, and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.errors import DataError
from tastebench.lm.load import ModelFolder, loading
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

# Parts that come after, or beside, the states of the last layer.
_UNUSED = ("pooler.", "decoder.")


@dataclass(frozen=True, eq=False)
class TextModel:
    """A model and how it reads.

    Attributes:
        folder: Where both come from.
        model: As stored, without its head; of an encoder-decoder the encoder.
        tokenizer: Its own.
    """

    folder: ModelFolder
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase

    def tokens(self, texts: Sequence[str], limit: int | None) -> Ragged:
        """The tokens of texts, int32, special ones included.

        They are never padded here: whoever makes a batch pads it on the right and masks the
        padding, so that positions count from the first token whatever side the tokenizer would
        have taken. A text without any token is read as the first special token alone.

        Args:
            texts: One or more.
            limit: Tokens that a text has at most; None for as many as it has.

        Raises:
            DataError: The tokenizer makes nothing of most texts, as one of another kind of file.
        """
        cut = {"truncation": True, "max_length": limit} if limit else {}
        ids: list[list[int]] = self.tokenizer(
            list(texts),
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
            **cut,
        )["input_ids"]
        unread = sum(not row and bool(text.strip()) for row, text in zip(ids, texts, strict=True))
        if 2 * unread > len(ids):
            raise DataError(
                f"the tokenizer of {self.folder.name!r} makes no token of {unread} of {len(ids)} "
                "texts",
                where=f"{self.folder.path}, read as {type(self.tokenizer).__name__}",
                fix="take the tokenizer that the model was trained with, in the format of its kind",
            )
        alone = [_stand_in(self.tokenizer)]
        return Ragged.from_lists([row or alone for row in ids], dtype=np.int32)


def load_text_model(folder: ModelFolder) -> TextModel:
    """The model in a folder, in the precision in which it is stored.

    Raises:
        DataError: The folder holds no model that can be loaded, or lacks some of its weights.
    """
    from transformers import AutoModel, AutoTokenizer

    with loading(folder):
        own: dict[str, Any] = {"trust_remote_code": folder.trusted, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(str(folder.path), **own)
        model, found = AutoModel.from_pretrained(
            str(folder.path), use_safetensors=True, dtype="auto", output_loading_info=True, **own
        )
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        model = model.get_encoder()
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    if hasattr(model, "pooler"):
        # It only serves heads that are not used here; its weights may be missing, hence random.
        model.pooler = None
    # transformers fills a hole with random numbers.
    holes = sorted(name for name in found["missing_keys"] if not name.startswith(_UNUSED))
    if holes:
        raise DataError(
            f"the model {folder.name!r} lacks {len(holes)} of its weights, e.g. {holes[0]}",
            where=str(folder.path),
            fix="fetch the model again; a folder of adapters has to be merged into its model first",
        )
    return TextModel(folder, model, tokenizer)


def _stand_in(tokenizer: PreTrainedTokenizerBase) -> int:
    for token in (tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0
