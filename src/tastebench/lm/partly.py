"""A model that stays whole and is trained from a layer upwards, or all of it, or by adapters.

`tastebench.lm.layers` hollows what is frozen; here it stays, since a model that scores prompts it
has never seen needs its lower layers. While it is trained they may be passed by: what goes into the
first trained layer comes from what was computed before (`tastebench.lm.states`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.lm.layers import TOLERANCE, LayerStack, distance, handing_on
from tastebench.lm.load import ModelFolder, ready
from tastebench.lm.lora import add_lora, keep_trained_only
from tastebench.lm.padded import Padded
from tastebench.lm.states import StateCache, Stored
from tastebench.lm.text_model import TextModel
from tastebench.ragged import Ragged

_CANNOT = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class PartlyTrained(nn.Module):
    """What is trained of a model, which is held whole in float32; its state dict is that alone.

    Args:
        model: With or without a head.
        folder: Where it comes from.
        tune_from: The first layer that is trained; None or 0 for all, embeddings too.

    Raises:
        UsageError: There is no such layer, or layers cannot be told apart.
    """

    def __init__(self, model: nn.Module, folder: ModelFolder, tune_from: int | None) -> None:
        super().__init__()
        self.model: Any = model.float()
        self.name, self.revision = folder.name, folder.revision
        self.frozen_below = False
        self.stack: LayerStack | None = None
        self.k = 0
        if tune_from:
            tokenizer: Any = None
            self.stack = LayerStack(TextModel(folder, model, tokenizer))
            self.k = self.stack.layer(tune_from)
            if self.k == self.stack.n:
                raise UsageError(
                    f"tune_from {tune_from} freezes all {self.k} layers of {self.name!r}",
                    fix=f"tune_from: {-min(2, self.k)}, or tune: none",
                )
            self.frozen_below = self.k > 0

    def train(self, mode: bool = True) -> PartlyTrained:
        """As of any module, but what is below the first trained layer stays in eval mode."""
        super().train(mode)
        if mode and self.frozen_below:
            self.model.eval()
            for layer in self.trained_layers():
                layer.train()
        return self

    def trained_layers(self) -> list[nn.Module]:
        """Layers `k ..`, or the model where all are."""
        return [self.model] if self.stack is None else list(self.stack.layers)[self.k :]

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What goes into layer `k`, `[b, tokens, d]`."""
        assert self.stack is not None
        with torch.no_grad():
            return self.stack.states(ids, mask, at=(self.k,))[self.k]

    @contextmanager
    def entering(self, states: Tensor) -> Iterator[dict[str, Tensor]]:
        """Within, the model reads `states` instead of what its layers below `k` would make.

        Yields:
            What it is given in place of tokens.
        """
        assert self.stack is not None
        stack = self.stack
        width = self.model.get_input_embeddings().weight.shape[1]

        def feed(layer: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            if args:
                return (states, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": states}

        passed: list[Any] = list(stack.layers[: self.k])
        hook = stack.layers[self.k].register_forward_pre_hook(feed, with_kwargs=True)
        try:
            for layer in passed:
                layer.forward = handing_on(stack.parts)
            yield {"inputs_embeds": states.new_zeros(()).expand(*states.shape[:2], width)}
        finally:
            hook.remove()
            for layer in passed:
                vars(layer).pop("forward", None)

    def inputs(
        self, tokens: Ragged, device: str, stored: Stored, name_of: Callable[[int], str]
    ) -> Padded:
        """What is read of some texts in training: their tokens, or what goes into layer `k`.

        The latter is computed once and kept on disk (`tastebench.lm.states`).

        Args:
            tokens: The texts.
            device: Where states are computed.
            stored: What they are kept in.
            name_of: What a message calls a text.
        """
        if not self.k:
            return Padded(tokens.values, tokens.offsets)
        assert self.stack is not None
        ready(self.model, device, stored=False)
        cache = StateCache(
            self.stack,
            self.revision,
            tokens,
            (self.k,),
            pooled=False,
            stored=stored,
            name_of=name_of,
        )
        return Padded(cache.get(), tokens.offsets)

    def read(
        self,
        texts: Padded,
        rows: np.ndarray,
        device: torch.device,
        output: Callable[[dict[str, Tensor]], Tensor],
    ) -> Tensor:
        """What is made of some texts, given as tokens or as what goes into layer `k`.

        Args:
            texts: Tokens, or states.
            rows: Which, `[b]`.
            device: Where the model lies.
            output: What is made of the model's inputs.
        """
        values, mask = texts.take(rows, device)
        if not values.is_floating_point():
            return output({"input_ids": values.long(), "attention_mask": mask.long()})
        with self.entering(values) as given:
            return output({**given, "attention_mask": mask.long()})

    def choose(
        self,
        output: Callable[[dict[str, Tensor]], Tensor],
        ids: Tensor,
        mask: Tensor,
        lora: Callable[[PartlyTrained], None] | None,
        also: Sequence[str] = (),
    ) -> None:
        """Marks what is trained and lets go of the rest.

        Args:
            output: What is made of the model's inputs, `[n, d]`, with a slope.
            ids: Tokens of some texts, int64 `[b, tokens]`, padded on the right.
            mask: True where there is a token, `[b, tokens]`.
            lora: Puts adapters in; None trains the layers' own weights.
            also: Parameters that are trained in any case, since their values are random.

        Raises:
            UsageError: The layers cannot be run apart at `k`.
        """
        given = {"input_ids": ids, "attention_mask": mask.long()}
        wanted = output(given).detach()
        found = self._from_states(output, ids, mask) if self.k else output(given)
        if distance(found.detach(), wanted) > TOLERANCE["float32"]:
            raise self._refusal()
        parameters = dict(self.model.named_parameters())
        words = self.model.get_input_embeddings().weight
        if lora is None:
            slopes = torch.autograd.grad(
                found.float().sum(), list(parameters.values()), allow_unused=True
            )
            for parameter, slope in zip(parameters.values(), slopes, strict=True):
                # Words that also make logits stay frozen with the layers below.
                frozen = slope is None or (self.k > 0 and parameter is words)
                parameter.requires_grad_(not frozen)
        else:
            lora(self)
        for name in also:
            if name in parameters and parameters[name] is not words:
                parameters[name].requires_grad_(True)
        keep_trained_only(self)

    def _from_states(
        self, output: Callable[[dict[str, Tensor]], Tensor], ids: Tensor, mask: Tensor
    ) -> Tensor:
        try:
            with self.entering(self.states(ids, mask)) as given:
                return output({**given, "attention_mask": mask.long()})
        except _CANNOT as error:
            raise self._refusal() from error

    def _refusal(self) -> UsageError:
        return UsageError(
            f"the layers of the model {self.name!r} cannot be run apart at layer {self.k}",
            where=type(self.model).__name__,
            fix="train all of it (tune_from: 0), or take another model",
        )


class LoraSettings(Protocol):
    """Settings of whoever trains a model."""

    @property
    def tune(self) -> Literal["none", "lora", "full"]: ...  # noqa: D102
    @property
    def lora_rank(self) -> int: ...  # noqa: D102
    @property
    def lora_alpha(self) -> int: ...  # noqa: D102
    @property
    def lora_dropout(self) -> float: ...  # noqa: D102
    @property
    def targets(self) -> tuple[str, ...] | None: ...  # noqa: D102


def adapters(settings: LoraSettings) -> Callable[[PartlyTrained], None] | None:
    """What puts LoRA adapters on the layers that are trained; None where none are wanted."""
    if settings.tune != "lora":
        return None

    def add(partly: PartlyTrained) -> None:
        add_lora(
            partly,
            settings.lora_rank,
            alpha=settings.lora_alpha,
            dropout=settings.lora_dropout,
            targets=settings.targets,
            name=partly.name,
        )

    return add
