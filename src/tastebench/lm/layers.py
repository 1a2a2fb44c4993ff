"""A transformers model cut at a layer: what lies below it computed once, what lies above trained.

State `k` is what goes into layer `k`: state 0 are the embeddings, state `n` of a model of `n`
layers is its output, behind the last norm. The model's own forward does everything else - masks,
rotary embeddings, sliding windows, norms - so no architecture is written down here. To stop below
layer `k`, a hook takes the layer's input and leaves; to go on from there, a hook at the same place
puts a kept state where that input was, and the layers below are hollow.

    f(x) = above_k(state_k(x))    for every k, before anything is trained

A published implementation cuts one layer too high - given state k it goes on with layer k + 1 - so
`cut` compares with the whole model before it hands anything over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.lm.load import model_dtype
from tastebench.lm.text_model import TextModel

TOLERANCE = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 3e-2}
"""How far two computations of one token's state may lie apart, as a part of the state's length.

They differ by what stands beside a text in its batch: sums are taken in another order.
"""

_CANNOT = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class _ReachedError(Exception):
    """The last state asked for is there; the layers above need not run."""


class LayerStack:
    """A model as embeddings, layers and what follows them.

    Args:
        source: The model, whole.

    Raises:
        UsageError: It has no list of layers, e.g. since they share their weights.
    """

    def __init__(self, source: TextModel) -> None:
        self.name = source.folder.name
        self.model: Any = source.model
        self.path = _path_of_layers(source)
        self.parts = 0
        """How many things a layer returns, 0 where that is a state alone; known after `states`."""

    @property
    def layers(self) -> nn.ModuleList:
        """Its layers, from below."""
        layers: nn.ModuleList = self.model.get_submodule(self.path)
        return layers

    @property
    def n(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def layer(self, given: int) -> int:
        """A layer by its number from below, or from the top where negative: -2 of 12 is 10.

        Raises:
            UsageError: There is no such layer; `n`, above the last, is one here.
        """
        layer = given + self.n if given < 0 else given
        if not 0 <= layer <= self.n:
            raise UsageError(
                f"the model {self.name!r} has no layer {given}: it has {self.n}",
                fix=f"give a number from {-self.n} to {self.n}",
            )
        return layer

    def states(self, ids: Tensor, mask: Tensor, at: Sequence[int]) -> dict[int, Tensor]:
        """States by their numbers, `[b, tokens, d]` each; no layer above the last of them runs.

        Args:
            ids: Tokens, int64 `[b, tokens]`, padded on the right.
            mask: True where there is a token, `[b, tokens]`.
            at: Which states, of `0 .. n`.
        """
        found: dict[int, Tensor] = {}
        hooks = [
            self.layers[k].register_forward_pre_hook(_taking(found, k, max(at)), with_kwargs=True)
            for k in sorted(set(at))
            if k < self.n
        ]
        hooks.append(self.layers[0].register_forward_hook(self._look))
        try:
            output = self.model(input_ids=ids, attention_mask=mask.long())
            found[self.n] = output.last_hidden_state
        except _ReachedError:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        return {k: found[k] for k in at}

    def _look(self, layer: nn.Module, args: Any, output: Any) -> None:
        self.parts = len(output) if isinstance(output, tuple) else 0


class TunedModel(nn.Module):
    """What is trained of a model: all of it, or its layers `k ..` and what follows them.

    With `k > 0` the layers below are hollow and the word embeddings are gone. Whatever else lies
    below is fed with zeros and its result replaced.

    Args:
        stack: The model; it is used up.
        k: The first layer that stays; 0 for the whole model.
    """

    def __init__(self, stack: LayerStack, k: int) -> None:
        super().__init__()
        self.model = stack.model
        self.k = k
        self.frozen_below = k > 0
        """Nothing below the layers is trained: then its dropout stays off, too."""
        self._path = stack.path
        self._states: Tensor | None = None
        if k > 0:
            words = self.model.get_input_embeddings().weight
            self._width = int(words.shape[1])
            self.model.set_input_embeddings(
                nn.Embedding(1, self._width, device=words.device, dtype=words.dtype)
            )
            for layer in stack.layers[:k]:
                _hollow(layer, stack.parts)
            stack.layers[k].register_forward_pre_hook(self._feed, with_kwargs=True)

    def train(self, mode: bool = True) -> TunedModel:
        """As of any module, but what is below the first trained layer stays in eval mode."""
        super().train(mode)
        if mode and self.frozen_below:
            self.model.eval()
            for layer in self.trained_layers():
                layer.train()
        return self

    def trained_layers(self) -> list[nn.Module]:
        """Layers `k ..`."""
        return list(self.model.get_submodule(self._path))[self.k :]

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """The model's output `[b, tokens, d]`.

        Args:
            inputs: Tokens `[b, tokens]`, or states `k` `[b, tokens, d]` where `k > 0`; padded on
                the right.
            mask: True where there is a token, `[b, tokens]`; at least one a row.
        """
        if self.k == 0:
            whole: Tensor = self.model(
                input_ids=inputs.long(), attention_mask=mask.long()
            ).last_hidden_state
            return whole
        nothing = inputs.new_zeros(()).expand(*mask.shape, self._width)
        self._states = inputs
        try:
            upper: Tensor = self.model(
                inputs_embeds=nothing, attention_mask=mask.long()
            ).last_hidden_state
        finally:
            self._states = None
        return upper

    def _feed(self, layer: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if args:
            return (self._states, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self._states}


def cut(stack: LayerStack, k: int, ids: Tensor, mask: Tensor) -> TunedModel:
    """What is trained of a model, from layer `k < n`, in float32 on the CPU and in eval mode.

    Some texts are read whole and in two parts, which must agree. What the output does not depend on
    is marked as not to be trained.

    Args:
        stack: The model, in eval mode; it is used up.
        k: The first layer that is trained; 0 for the whole model.
        ids: Tokens of some texts of different lengths, int64 `[b, tokens]`, padded on the right.
        mask: True where there is a token, `[b, tokens]`.

    Raises:
        UsageError: Its layers cannot run apart, e.g. since one hands another more than states.
    """
    with torch.no_grad():
        states = stack.states(ids, mask, at=(k, stack.n))
    tuned = TunedModel(stack, k).eval()
    refusal = UsageError(
        f"the layers of the model {stack.name!r} cannot be run apart at layer {k}",
        where=type(stack.model).__name__,
        fix="train all of it (tune_from: 0), or take another model",
    )
    try:
        with torch.enable_grad():
            output = tuned(ids if k == 0 else states[k], mask)
    except _CANNOT as error:
        raise refusal from error
    if distance(output[mask], states[stack.n][mask]) > TOLERANCE[model_dtype(tuned)]:
        raise refusal
    parameters = [p for p in tuned.parameters() if p.requires_grad]
    with torch.enable_grad():
        total = output[mask].float().sum()
    slopes = torch.autograd.grad(total, parameters, allow_unused=True)
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.requires_grad_(slope is not None)
    return tuned.float().cpu()


def distance(found: Tensor, wanted: Tensor) -> float:
    """How far apart states are at most, as a part of the wanted one's length; NaN is infinitely so.

    Args:
        found: States, `[..., d]`.
        wanted: The same, `[..., d]`.
    """
    gap = (found.double() - wanted.double()).norm(dim=-1)
    length = wanted.double().norm(dim=-1)
    # Two zero states agree; a zero state and another do not.
    apart = torch.where(gap == 0, 0.0, gap / length).nan_to_num(nan=torch.inf, posinf=torch.inf)
    return apart.max().item()


def _taking(found: dict[int, Tensor], k: int, last: int) -> Callable[..., None]:
    def take(layer: nn.Module, args: Any, kwargs: Any) -> None:
        state = args[0] if args else kwargs["hidden_states"]
        if k == last:
            found[k] = state
            raise _ReachedError
        # A layer may add to its input in place.
        found[k] = state.clone()

    return take


def handing_on(parts: int) -> Callable[..., Any]:
    """The forward of a layer that does nothing.

    Args:
        parts: How many things it returns, 0 where that is a state alone.
    """

    def hand_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return (hidden_states, *[None] * (parts - 1)) if parts else hidden_states

    return hand_on


def _hollow(layer: Any, parts: int) -> None:
    """Makes a layer hand on what it is given. It stays in its place, for models that number them.

    What else is asked of a layer, such as the kind of its attention, is an attribute that it keeps.
    """
    for name, _ in list(layer.named_children()):
        delattr(layer, name)
    for name, _ in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
        delattr(layer, name)
    layer.forward = handing_on(parts)


def _path_of_layers(source: TextModel) -> str:
    """The name of the one list of modules that is as long as the model has layers."""
    model: Any = source.model
    n = model.config.get_text_config().num_hidden_layers
    paths: list[str] = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n
    ]
    outer = [p for p in paths if not any(p.startswith(f"{other}.") for other in paths)]
    if len(outer) != 1:
        raise UsageError(
            f"the model {source.folder.name!r} has no list of its {n} layers",
            where=type(model).__name__,
            fix="take a model whose layers are separate, such as BERT, Llama, Qwen, OPT or GPT-2",
        )
    return outer[0]
