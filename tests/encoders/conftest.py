"""One MiniLM a session, and a tiny model of the same kind that any machine can make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tastebench.contracts import Encoder
from tastebench.encoders import get_encoder
from tastebench.errors import DependencyError

TITLES = [
    f"{colour} {thing} {rest}"
    for colour in ("red", "grey", "matte black", "ocean blue", "stainless steel")
    for thing in ("lipstick", "wool socks", "espresso machine", "tent for two", "cast iron pan")
    for rest in ("", "pack of 3", "for sensitive skin", "- large, with a five year warranty (2019)")
]


@pytest.fixture(scope="session")
def titles() -> list[str]:
    """100 distinct short texts."""
    return TITLES


@pytest.fixture(scope="session")
def minilm() -> Encoder:
    """MiniLM, loaded once; skips where the package is absent, but not where CI must have it."""
    try:
        encoder = get_encoder("minilm")
    except DependencyError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    encoder.encode(TITLES[:8])
    return encoder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder: a random two-layer BERT with prompts, mean-pooled."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = sorted({word for title in TITLES for word in title.lower().split()})
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters]
    vocabulary += [word for word in words if word not in vocabulary]
    folder = tmp_path_factory.mktemp("models") / "tiny"
    bert = folder.parent / "tiny-bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertWordPieceTokenizer(str(bert / "vocab.txt")).save(str(bert / "tokenizer.json"))
    tokenizer = BertTokenizerFast(
        tokenizer_file=str(bert / "tokenizer.json"), model_max_length=64, pad_token="[PAD]"
    )
    tokenizer.save_pretrained(bert)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=64)
    model = SentenceTransformer(
        modules=[transformer, Pooling(32, "mean"), Normalize()],
        device="cpu",
        prompts={"query": "find: ", "document": ""},
    )
    model.save_pretrained(str(folder), create_model_card=False)
    return folder
