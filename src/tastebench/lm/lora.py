"""LoRA adapters (Hu et al., 2022) on a model's trained layers, and what is frozen out of the way.

`W x` becomes `W x + (alpha / r) B A dropout(x)`, `A [r, inputs]` random and `B [outputs, r]` zero
at first, so that a new adapter changes nothing. The layers are peft's, put into the model in place.
Which layers are adapted where nobody says is said here: peft's own choice may change by version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import nn

from tastebench.errors import UsageError, did_you_mean

QUERIES_AND_VALUES = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("query_proj", "value_proj"),
    ("c_attn",),
    ("query_key_value",),
    ("qkv_proj",),
    ("q", "v"),
)
"""What the projections of queries and values are called: Llama, Mistral, Qwen and OPT; BERT;
DistilBERT; DeBERTa; in one with the keys, GPT-2, Falcon and Phi-3; and T5."""


class Adaptable(Protocol):
    """A model some of whose layers are trained: `TunedModel`, or `PartlyTrained`."""

    model: Any
    frozen_below: bool
    training: bool

    def trained_layers(self) -> list[nn.Module]:
        """The layers that are adapted."""
        ...

    def train(self, mode: bool = True) -> Any:
        """As of any module."""
        ...


def add_lora(
    tuned: Adaptable,
    rank: int,
    *,
    alpha: int,
    dropout: float,
    targets: Sequence[str] | None,
    name: str,
) -> list[str]:
    """Puts adapters on the layers that are trained and freezes everything else of the model.

    Args:
        tuned: The model; adapted in place.
        rank: `r`.
        alpha: Scale of the adapters, as a multiple of `1 / r`.
        dropout: Of their input.
        targets: Names of linear layers, such as `q_proj`; None for those of queries and values.
        name: Of the model, for messages.

    Returns:
        The targets.

    Raises:
        UsageError: The model has no such linear layer, or its queries and values have other names.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    linear = {
        path.rpartition(".")[2]: module
        for layer in tuned.trained_layers()
        for path, module in layer.named_modules()
        if isinstance(module, (nn.Linear, Conv1D))
    }
    chosen = _chosen(targets, sorted(linear), name)
    trained = {module for layer in tuned.trained_layers() for module in layer.modules()}
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        # By their whole names: a layer below those that are trained has linear layers, too.
        target_modules=[
            path
            for path, module in tuned.model.named_modules()
            if module in trained
            and isinstance(module, (nn.Linear, Conv1D))
            and path.rpartition(".")[2] in chosen
        ],
        # GPT-2 keeps its weights the other way round.
        fan_in_fan_out=isinstance(linear[chosen[0]], Conv1D),
    )
    inject_adapter_in_model(config, tuned.model)
    tuned.frozen_below = True
    tuned.train(tuned.training)  # new adapters are in train mode, whatever the model is in
    return chosen


def _chosen(targets: Sequence[str] | None, there: list[str], name: str) -> list[str]:
    for target in targets or ():
        if target not in there:
            raise UsageError(
                f"the model {name!r} has no linear layer {target!r} that LoRA could adapt: "
                f"{did_you_mean(target, there)}"
            )
    if targets:
        return list(targets)
    for usual in QUERIES_AND_VALUES:
        if set(usual) <= set(there):
            return list(usual)
    raise UsageError(
        f"the model {name!r} has no layers known as those of queries and values",
        fix=f"targets: some of {', '.join(there)}",
    )


def keep_trained_only(module: nn.Module) -> None:
    """Turns parameters that are not trained into buffers that are not saved.

    A state dict then holds what was trained and nothing else, strict loading is strict about
    exactly that, and an optimiser given `parameters()` cannot touch the rest. The rest still moves
    with the module from device to device.
    """
    for owner in list(module.modules()):
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(owner, name)
                owner.register_buffer(name, parameter.detach(), persistent=False)
