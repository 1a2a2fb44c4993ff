"""A transformers model as a causal reader of embeddings, whatever it was made for.

Codes of items are no words of a model, so what goes in are embeddings: of words from the model's
own table, of codes from one that is trained. Decoders look back only, as they are. Encoders are
given a causal mask: run in both directions, the place that predicts a code would see it. That
nothing is seen of what follows is looked at, not believed, before anything is trained.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tastebench.encoders.pooled import input_limit
from tastebench.errors import UsageError
from tastebench.lm.layers import TOLERANCE, LayerStack, TunedModel, distance
from tastebench.lm.load import loading
from tastebench.lm.lora import add_lora, keep_trained_only
from tastebench.lm.text_model import TextModel, load_text_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tastebench.lm.load import ModelFolder

_CANNOT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError,
           ValueError)  # fmt: skip
_WORDS = 4096  # whose embeddings say how large an embedding is


@dataclass(frozen=True)
class Tuning:
    """What of a model is trained.

    Attributes:
        tune: `none`, `lora` or `full`.
        rank, alpha, dropout, targets: Of LoRA; see `tastebench.lm.lora.add_lora`.
        checkpointing: Compute layers again on the way back instead of keeping what they made.
    """

    tune: str
    rank: int
    alpha: int
    dropout: float
    targets: Sequence[str] | None
    checkpointing: bool = False


class CausalBody(nn.Module):
    """Embeddings to states, of which state `i` has seen `0 .. i`.

    The state dict holds what is trained and nothing else.

    Args:
        source: The model, without its head; it is used up.
        tuning: What of it is trained.
        head: Says words; it is not trained.

    Raises:
        UsageError: It cannot be run causally on embeddings.

    Attributes:
        causal: It looks back only by itself; else it is given a mask.
        offset: What positions count from, where they are said; None where the model cannot go on
            from what it computed before, and everything is computed again.
        width: Of embeddings and states.
        std: Standard deviation of its word embeddings, for others to begin with.
    """

    def __init__(self, source: TextModel, tuning: Tuning, head: nn.Module | None = None) -> None:
        super().__init__()
        self.name = source.folder.name
        self.tokenizer = source.tokenizer
        self.tuned = TunedModel(LayerStack(source), 0).eval().float().cpu()
        self._trains = tuning.tune != "none"
        self._window = _window(self.model.config)
        words = self.words(torch.arange(min(_WORDS, self._vocabulary)))
        self.width, self.std = int(words.shape[-1]), words.std().item()
        self.causal = self._looks_back()
        self.offset = self._offset()
        self.head = head
        self._train_some(tuning)

    @property
    def model(self) -> Any:
        """The model of transformers."""
        return self.tuned.model

    def words(self, ids: Tensor) -> Tensor:
        """Embeddings of words, one axis more."""
        embedded: Tensor = self.model.get_input_embeddings()(ids)
        return embedded

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, t, width]`, padded on the right, to states of the same shape."""
        states: Tensor = self.model(
            inputs_embeds=embeddings, attention_mask=self._mask(embeddings), use_cache=False
        ).last_hidden_state
        return states

    def begin(self, embeddings: Tensor) -> tuple[Tensor, Any]:
        """States, and keys and values to go on from."""
        from transformers import DynamicCache

        # Made without the configuration: sliding layers too keep all that they saw, and no window
        # is smaller than what is read (`limit`).
        output = self.model(
            inputs_embeds=embeddings,
            attention_mask=self._mask(embeddings),
            past_key_values=DynamicCache(),
            use_cache=True,
        )
        return output.last_hidden_state, output.past_key_values

    def go_on(self, embeddings: Tensor, seen: Tensor, places: Tensor, cache: Any) -> Tensor:
        """States of more places of every row; their keys and values join the cache.

        Args:
            embeddings: `[b, k, width]`.
            seen: Which of the cache's places and of these each may see, bool `[b, k, all]`.
            places: Where each stands, counted from 0, int64 `[b, k]`.
            cache: From `begin`; changed.
        """
        assert self.offset is not None
        lowest = torch.finfo(embeddings.dtype).min
        mask = torch.zeros(seen.shape, dtype=embeddings.dtype, device=seen.device)
        output = self.model(
            inputs_embeds=embeddings,
            attention_mask=mask.masked_fill_(~seen, lowest)[:, None],
            position_ids=places + self.offset,
            past_key_values=cache,
            use_cache=True,
        )
        states: Tensor = output.last_hidden_state
        return states

    def limit(self, folder: ModelFolder, wanted: int | None) -> int | None:
        """Tokens that can be read at once, at most as many as wanted; None for no limit."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        positions = None if positions is None else positions - (self.offset or 0)
        limits = (input_limit(folder, wanted), positions, self._window)
        return min((limit for limit in limits if limit is not None), default=None)

    def train(self, mode: bool = True) -> CausalBody:
        """As of any module; a model of which nothing is trained stays in eval mode."""
        super().train(mode and self._trains)
        self.training = mode
        return self

    def _train_some(self, tuning: Tuning) -> None:
        if tuning.tune == "lora":
            add_lora(
                self.tuned,
                tuning.rank,
                alpha=tuning.alpha,
                dropout=tuning.dropout,
                targets=tuning.targets,
                name=self.name,
            )
        elif tuning.tune == "none":
            self.tuned.requires_grad_(False)
        if tuning.checkpointing:
            # Its name in transformers from 5.2x on, and the one before.
            names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
            enable = next(getattr(self.model, name) for name in names if hasattr(self.model, name))
            enable({"use_reentrant": False})
        keep_trained_only(self)

    @property
    def _vocabulary(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    def _mask(self, embeddings: Tensor) -> Tensor | None:
        """None where the model looks back only, else what to add to attention, `[1, 1, t, t]`.

        What is padded stands behind everything else, so nobody sees it.
        """
        if self.causal:
            return None
        t = embeddings.shape[1]
        lowest = torch.finfo(embeddings.dtype).min
        mask = torch.full((t, t), lowest, dtype=embeddings.dtype, device=embeddings.device)
        return mask.triu_(1)[None, None]

    @torch.no_grad()
    def _looks_back(self) -> bool:
        """Whether it looks back only by itself; what does not, and not with a mask, is refused."""
        one, other = self._two_endings()
        refusal = UsageError(
            f"the model {self.name!r} cannot be made to look back only",
            where=type(self.model).__name__,
            fix="take a decoder, such as Llama, Qwen, OPT or GPT-2, or an encoder like BERT",
        )
        for causal in (True, False):
            self.causal = causal
            try:
                before = [self(x)[:, :-1] for x in (one, other)]
            except _CANNOT as error:
                if causal:
                    continue
                raise refusal from error
            if before[0].shape[-1] != self.width:
                raise UsageError(
                    f"the states of the model {self.name!r} are {before[0].shape[-1]} wide and its "
                    f"embeddings {self.width}",
                    fix="take a model in which they are equally wide",
                )
            if torch.equal(*before):
                self._reads_words()
                return causal
        raise refusal

    def _reads_words(self) -> None:
        """Makes sure that the embeddings of words are read as the words are."""
        ids = torch.arange(min(9, self._vocabulary))
        # Padding is read as none: no position is its own.
        ids = ids[ids != self.model.config.pad_token_id][None]
        embedded = self.words(ids)
        states = self.model(
            input_ids=ids, attention_mask=self._mask(embedded), use_cache=False
        ).last_hidden_state
        if distance(self(embedded), states) > TOLERANCE["float32"]:
            raise UsageError(
                f"the model {self.name!r} reads words and their embeddings in two ways",
                where=type(self.model).__name__,
                fix="take a model such as Llama, Qwen, OPT, GPT-2 or BERT",
            )

    def _two_endings(self) -> tuple[Tensor, Tensor]:
        """Embeddings `[2, 7, width]`, twice, equal but for the last place of each row."""
        ids = torch.arange(14).view(2, 7) % self._vocabulary
        ending = ids.clone()
        ending[:, -1] = (ids[:, -1] + 5) % self._vocabulary
        return self.words(ids), self.words(ending)

    @torch.no_grad()
    def _offset(self) -> int | None:
        """From where positions count, found by going on from a beginning as a whole says it."""
        config = self.model.config
        if hasattr(config, "is_decoder"):
            config.is_decoder = True  # an encoder that is none keeps no keys and values
        whole, _ = self._two_endings()
        states, at = self(whole), torch.arange(7).expand(2, -1)
        seen = (at[:, None] <= at[:, :, None])[:, 4:]
        for offset in dict.fromkeys((0, (config.pad_token_id or 0) + 1)):
            self.offset = offset
            try:
                _, cache = self.begin(whole[:, :4])
                ends = self.go_on(whole[:, 4:], seen, at[:, 4:], copy.deepcopy(cache))
            except _CANNOT:
                continue
            if distance(ends, states[:, 4:]) <= TOLERANCE["float32"]:
                return offset
        return None


def load_causal_body(folder: ModelFolder, tuning: Tuning, *, speaks: bool = False) -> CausalBody:
    """The model in a folder as a causal reader.

    Args:
        folder: The model.
        tuning: What of it is trained.
        speaks: With its head, to say words.

    Raises:
        DataError: The folder holds no model that can be loaded, or none with such a head.
        UsageError: It cannot be run causally on embeddings.
    """
    source = load_text_model(folder)
    return CausalBody(source, tuning, _word_head(folder) if speaks else None)


def _word_head(folder: ModelFolder) -> nn.Module:
    """States to logits over words: what a decoder was trained with."""
    import transformers

    make: Any = transformers.AutoModelForCausalLM
    with loading(folder):
        model, found = make.from_pretrained(
            str(folder.path),
            use_safetensors=True,
            trust_remote_code=folder.trusted,
            local_files_only=True,
            output_loading_info=True,
        )
    head = model.get_output_embeddings()
    if head is None or found["missing_keys"]:
        raise UsageError(
            f"the model {folder.name!r} has no head that says words after words",
            where=str(folder.path),
            fix="take a decoder, or alignment: [text-to-code]",
        )
    frozen: nn.Module = head.float().requires_grad_(False)
    return frozen


def _window(config: Any) -> int | None:
    """How far back the layers with the shortest sight see; None where all see everything."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    slides = "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True)
    return int(window) if window and slides else None
