"""Tiny language models with random weights, in folders like any other: nothing is downloaded.

Random weights are as good as trained ones for what must hold of every model: that its layers can
run apart, that padding is not seen, that what is frozen stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WORDS = (
    "a the red grey blue black steel wool oak lipstick socks kettle tent pan lamp chair for with "
    "of and two three small large set cover sensitive skin travel kitchen winter warranty free new"
).split()
"""What their tokenizers know as one token each; other words are spelt byte by byte."""

LAYERS = 4

_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_GROUPED = {**_SHAPE, "num_key_value_heads": 2}
_OPT = {**_SHAPE, "ffn_dim": 64}
_OPT.pop("intermediate_size")

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", _SHAPE),
    "roberta": ("roberta", _SHAPE),
    "llama": ("llama", _GROUPED),
    # Layers of two kinds: the upper ones see five tokens back.
    "qwen2": (
        "qwen2",
        {**_GROUPED, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    ),
    # Scales its embeddings, and alternates two kinds of layers.
    "gemma2": ("gemma2", {**_GROUPED, "head_dim": 8, "sliding_window": 5}),
    "opt": ("opt", _OPT),
    # As OPT-350m: embeddings narrower than states, projected on the way in and out, no last norm.
    "opt-narrow": ("opt", {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_positions": 64}),
    # Its first layer makes the position bias of all.
    "t5": ("t5", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS, "num_heads": 4}),
    # All layers are one.
    "albert": ("albert", {**_SHAPE, "embedding_size": 16}),
}
"""Names, and what their configurations are made of."""


def tiny_language_model(folder: Path, architecture: str, *, seed: int = 0, **changes: Any) -> Path:
    """Writes a model of four layers of width 32 and its tokenizer.

    Args:
        folder: Where it goes; made if it is not there.
        architecture: A name in `ARCHITECTURES`.
        seed: Of its weights.
        changes: Other values of its configuration.

    Returns:
        The folder.
    """
    import torch
    import transformers
    from transformers import AutoConfig

    # They carry no types.
    make_model: Any = transformers.AutoModel.from_config
    make_tokenizer: Any = transformers.PreTrainedTokenizerFast
    words = _tokenizer()
    names = {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    make_tokenizer(
        tokenizer_object=words, **{f"{kind}_token": token for kind, token in names.items()}
    ).save_pretrained(folder)
    kind, values = ARCHITECTURES[architecture]
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(
        kind, **{**values, "vocab_size": words.get_vocab_size(), **ids, **changes}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(config)
    model.save_pretrained(folder)
    return folder


def add_head(folder: Path, *, seed: int = 0) -> Path:
    """Gives a model in a folder the head of its kind, and its tokenizer a token for masked places.

    Args:
        folder: Of a model without a head, as `tiny_language_model` writes it.
        seed: Of the head's weights.

    Returns:
        The folder.
    """
    import torch
    import transformers
    from transformers import AutoConfig

    from tastebench.lm.headed import kind_of

    load: Any = transformers
    tokenizer = load.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    tokenizer.save_pretrained(folder)
    heads = {
        "decoder": load.AutoModelForCausalLM,
        "encoder": load.AutoModelForMaskedLM,
        "encoder-decoder": load.AutoModelForSeq2SeqLM,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = heads[kind_of(AutoConfig.from_pretrained(folder))].from_pretrained(folder)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    return folder


def _tokenizer() -> Tokenizer:
    """Byte pairs, the one kind that every class of transformers can read, merged to whole words."""
    from tokenizers import Tokenizer
    from tokenizers.decoders import ByteLevel as Spaces
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    made = Tokenizer(BPE())
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.decoder = Spaces()
    trainer = BpeTrainer(
        vocab_size=1000,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    # A word stands at the beginning of a text, or behind a space.
    made.train_from_iterator([spelt for word in WORDS for spelt in (word, f" {word}")], trainer)
    return made
