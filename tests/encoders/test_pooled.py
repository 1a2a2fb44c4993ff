from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.contracts import Encoder
from tastebench.encoders import encode_items, encode_queries, get_encoder
from tastebench.encoders.catalog import minilm_folder
from tastebench.encoders.names import split_pooling
from tastebench.encoders.pooled import POOLINGS, PooledEncoder, default_pooling, input_limit, pool
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.lm.linear import agreement
from tastebench.lm.load import MIN_COSINE, ModelFolder, find_model
from tastebench.testing.encoders import EncoderTests

TEXTS = [
    "Once upon a time there was a little dog.",
    "",
    "red wool socks",
    "Lily and Tom went to the park to play with a big ball. " * 6,
    "a",
    "grey socks, pack of 3 <unk>",
]


def _plain(source: Path, target: Path) -> Path:
    """A copy of a model folder that says nothing of pooling."""
    target.mkdir(parents=True)
    for file in source.glob("*"):
        wanted = file.suffix in (".json", ".txt", ".model", ".safetensors")
        if wanted and file.name not in ("modules.json", "sentence_bert_config.json"):
            shutil.copy(file, target)
    return target


def _edit(folder: Path, file: str, **changes: Any) -> Path:
    value = json.loads((folder / file).read_text())
    value |= changes
    (folder / file).write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    return folder


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The transformer of the tiny sentence-transformers model, as a plain folder."""
    return _plain(tiny, tmp_path_factory.mktemp("plain") / "small")


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Path:
    """A random two-layer Llama whose tokenizer has no padding token and adds none."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("plain") / "decoder"
    words = sorted({word for text in TEXTS for word in text.split()} - {"<unk>"} | {"mug"})
    vocabulary = {word: number for number, word in enumerate(["<unk>", "<s>", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _oracle(folder: Path, texts: list[str], limit: int) -> dict[str, np.ndarray]:
    """One text at a time, nothing padded, in the plainest way."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).float().eval()
    rows: dict[str, list[np.ndarray]] = {pooling: [] for pooling in POOLINGS}
    for text in texts:
        ids = tokenizer(text, truncation=True, max_length=limit)["input_ids"]
        ids = ids or [tokenizer.bos_token_id]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
        rows["cls"].append(states[0])
        rows["last"].append(states[-1])
        rows["mean"].append(states.mean(axis=0))
    return {pooling: np.stack(vectors) for pooling, vectors in rows.items()}


@pytest.fixture(params=["stories260k", "minilm"])
def real(request: pytest.FixtureRequest, asset: Callable[[str], Path], tmp_path: Path) -> Path:
    if request.param == "minilm":
        request.getfixturevalue("minilm")  # skips where the package is absent
        return _plain(minilm_folder(), tmp_path / "minilm-backbone")
    return _plain(asset("models/stories260k"), tmp_path / "stories260k")


@pytest.mark.parametrize("side", ["left", "right"])
def test_vectors_are_those_of_each_text_alone_whatever_side_is_padded(real, side):
    _edit(real, "tokenizer_config.json", padding_side=side)
    oracle = _oracle(real, TEXTS, 64)
    encoder = PooledEncoder(find_model(str(real)), max_tokens=64, precision="float32")
    for pooling in POOLINGS:
        encoder.pooling = pooling  # one model for all three
        scale = np.abs(oracle[pooling]).max()
        expected = oracle[pooling] / scale
        np.testing.assert_allclose(encoder.encode(TEXTS) / scale, expected, atol=1e-5)
        np.testing.assert_allclose(encoder.encode(TEXTS[::-1])[::-1] / scale, expected, atol=1e-5)


@pytest.fixture(scope="session")
def loaded(decoder: Path) -> PooledEncoder:
    return PooledEncoder(find_model(str(decoder)), precision="float32")


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_neither_order_nor_company_changes_a_vector(loaded, data):
    words = st.lists(st.sampled_from(["red", "socks", "a", "dog", "ball", "mug"]), max_size=40)
    texts = data.draw(st.lists(words.map(" ".join), min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(texts))))
    vectors = loaded.encode(texts)
    moved = loaded.encode([texts[row] for row in order])
    np.testing.assert_allclose(moved, vectors[list(order)], atol=1e-5)
    np.testing.assert_allclose(loaded.encode(texts[:1]), vectors[:1], atol=1e-5)


def test_a_tokenizer_without_padding_token_and_a_text_without_token(decoder, loaded):
    expected = _oracle(decoder, TEXTS, 128)["last"]
    np.testing.assert_allclose(loaded.encode(TEXTS), expected, atol=1e-5)
    # The empty text is read as <s> alone; so is one of blanks.
    np.testing.assert_array_equal(*loaded.encode(["", "  "]))
    np.testing.assert_allclose(loaded.encode(["<s>"]), loaded.encode([""]), atol=1e-5)


def test_pooling_by_hand():
    import torch

    states = torch.tensor([[[1.0, 5.0], [3.0, 7.0], [9.0, 9.0]], [[2.0, 4.0], [8.0, 8.0], [6, 0]]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert pool(states, mask, "cls").tolist() == [[1, 5], [2, 4]]
    assert pool(states, mask, "last").tolist() == [[3, 7], [6, 0]]
    assert pool(states, mask, "mean")[0].tolist() == [2, 6]
    assert pool(states, mask, "mean")[1].tolist() == pytest.approx([16 / 3, 4])
    later = torch.tensor([[False, True, False], [False, True, True]])
    assert pool(states, later, "mean").tolist() == [[3, 7], [7, 4]]
    assert pool(states, later, "last").tolist() == [[3, 7], [6, 0]]
    states[0, 2] = float("nan")  # what stands under padding does not matter
    assert pool(states, mask, "mean")[0].tolist() == [2, 6]


def test_a_prefix_can_be_read_without_being_pooled(small):
    import torch
    from transformers import AutoModel, AutoTokenizer

    encoder = PooledEncoder(
        find_model(str(small)), item_prefix="red wool ", pool_prefix=False, precision="float32"
    )
    tokenizer, model = AutoTokenizer.from_pretrained(small), AutoModel.from_pretrained(small).eval()
    ids = tokenizer("red wool socks, large")["input_ids"]
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    # [CLS] red wool are read; what follows them is pooled.
    assert tokenizer.convert_ids_to_tokens(ids[:3]) == ["[CLS]", "red", "wool"]
    vectors = encoder.encode(["pan", "socks, large", ""])
    np.testing.assert_allclose(vectors[1], states[3:].mean(dim=0), atol=1e-5)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(encoder.encode(["socks, large"])[0], vectors[1], atol=1e-5)


def test_a_decoder_can_be_read_both_ways(decoder, monkeypatch):
    folder = find_model(str(decoder))
    both = PooledEncoder(folder, pooling="cls", both_ways=True, precision="float32")
    one = PooledEncoder(folder, pooling="cls", precision="float32")
    texts = ["red socks", "red mug", "red dog ball socks"]
    # The first token of these is the same: what follows it is seen both ways only.
    assert np.ptp(one.encode(texts), axis=0).max() < 1e-5
    apart = both.encode(texts)
    assert np.abs(apart[0] - apart[1]).max() > 1e-3
    np.testing.assert_allclose(both.encode(texts[:1]), apart[:1], atol=1e-5)
    assert both.card.revision != one.card.revision


def test_an_older_transformers_that_cannot_read_both_ways_says_so(small, decoder, monkeypatch):
    from transformers import LlamaModel

    forward = LlamaModel.forward

    def one_way(self, **inputs):
        self.config.is_causal = True
        return forward(self, **inputs)

    monkeypatch.setattr(LlamaModel, "forward", one_way)
    encoder = PooledEncoder(find_model(str(decoder)), both_ways=True)
    with pytest.raises(DependencyError, match="read in both directions"):
        encoder.encode(["red socks"])


class TestDecoder(EncoderTests):
    @pytest.fixture
    def encoder(self, asset: Callable[[str], Path]) -> Encoder:
        return get_encoder(asset("models/stories260k"))


class TestEncoder(EncoderTests):
    @pytest.fixture
    def encoder(self, small: Path) -> Encoder:
        return get_encoder(small)


class TestNormalisedQueries(EncoderTests):
    role = "query"

    @pytest.fixture
    def encoder(self, small: Path) -> Encoder:
        return PooledEncoder(
            find_model(str(small)), pooling="cls", normalise=True, query_instruction="find: "
        )


def test_encoder_decoders_lend_their_encoder(small, tmp_path):
    import torch
    from transformers import AutoTokenizer, T5Config, T5EncoderModel

    tokenizer = AutoTokenizer.from_pretrained(small)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    )
    model = T5EncoderModel(config)
    model.save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    encoder = PooledEncoder(find_model(str(tmp_path / "t5")), precision="float32")
    ids = torch.tensor([tokenizer("grey socks")["input_ids"]])
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(encoder.encode(["a", "grey socks"])[1:], expected, atol=1e-5)
    assert encoder.card.pooling == "mean"


# --------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "llama"}, "last"),
        ({"model_type": "qwen3", "architectures": ["Qwen3Model"]}, "last"),
        ({"model_type": "gpt2"}, "last"),
        ({"model_type": "bert"}, "mean"),
        ({"model_type": "bert", "is_decoder": True}, "last"),
        ({"model_type": "roberta"}, "mean"),
        ({"model_type": "modernbert"}, "mean"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "mean"),
        ({}, "mean"),
    ],
)
def test_a_decoder_is_read_at_its_last_token_every_other_by_the_mean(tmp_path, config, expected):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert default_pooling(ModelFolder("model", tmp_path, "r")) == expected


@pytest.mark.parametrize(
    ("config", "words", "wanted", "expected"),
    [
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, {}, 0, 512),
        ({"max_position_embeddings": 512, "model_type": "bert"}, {"model_max_length": 128}, 0, 128),
        (
            {"max_position_embeddings": 512, "model_type": "bert"},
            {"model_max_length": 128},
            300,
            300,
        ),
        ({"max_position_embeddings": 512, "model_type": "bert"}, {}, 1000, 512),
        ({"model_type": "t5"}, {"model_max_length": 1e30}, 0, None),
    ],
)
def test_the_input_limit(tmp_path, config, words, wanted, expected):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(words))
    assert input_limit(ModelFolder("model", tmp_path, "r"), wanted or None) == expected


def test_a_plain_folder_works_by_its_path_and_says_what_was_chosen(small, decoder, titles):
    card = encode_items(get_encoder(small), titles, recipe="title").card
    assert (card.name, card.pooling, card.normalised, card.max_tokens) == (
        "small",
        "mean",
        False,
        64,
    )
    assert card.dimensions == 32
    assert get_encoder(decoder).card.pooling == "last"
    assert get_encoder(f"{decoder}:mean").card.pooling == "mean"


def test_long_texts_are_cut_at_the_limit(small):
    encoder = PooledEncoder(find_model(str(small)), max_tokens=8, precision="float32")
    encoder.encode(["red wool socks " * 50, "pan"])
    assert encoder.usage().tokens == 8 + 3


# ------------------------------------------------------------------------------------------ names


def test_a_pooling_behind_the_name_overrides_and_drops_what_came_after(tiny, titles):
    """A model of sentence-transformers asked for a pooling gives its transformer's own states."""
    own, cls = get_encoder(tiny), get_encoder(f"{tiny}:cls")
    assert (own.card.name, cls.card.name) == ("tiny", "tiny:cls")
    assert own.card.normalised
    assert not cls.card.normalised
    mean = get_encoder(f"{tiny}:mean").encode(titles)
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    assert agreement(unit, own.encode(titles)) > MIN_COSINE
    assert agreement(cls.encode(titles), mean) < MIN_COSINE


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./folder", ("./folder", None)),
        ("./folder:mean", ("./folder", "mean")),
        ("org/name:last", ("org/name", "last")),
        ("org/name@0123abc:cls", ("org/name@0123abc", "cls")),
        ("roberta-large:mean", ("roberta-large", "mean")),
        ("C:\\models\\x", ("C:\\models\\x", None)),
        ("C:\\models\\x:mean", ("C:\\models\\x", "mean")),
        ("C:mean", ("C:mean", None)),
        ("./a:mean/b", ("./a:mean/b", None)),
        ("sufled:minilm", ("sufled:minilm", None)),
        (":mean", (":mean", None)),
        ("", ("", None)),
    ],
)
def test_where_a_name_ends_and_a_pooling_begins(name, expected):
    assert split_pooling(name) == expected


def test_a_folder_of_that_very_name_wins(small, tmp_path):
    odd = shutil.copytree(small, tmp_path / "odd:cls")
    assert get_encoder(odd).card.name == "odd:cls"
    assert get_encoder(odd).card.pooling == "mean"


def test_an_unknown_pooling_gets_the_nearest(small):
    with pytest.raises(UsageError, match=r"no pooling 'men'.*did you mean mean"):
        get_encoder(f"{small}:men")
    with pytest.raises(UsageError, match="no pooling 'max'"):
        PooledEncoder(find_model(str(small)), pooling="max")


# --------------------------------------------------------------------------- identity and the cache


def test_everything_that_changes_vectors_changes_the_revision(small, tmp_path):
    """T17: the whole configuration is in what vectors are cached under."""
    folder = find_model(str(small))
    heavier = find_model(str(shutil.copytree(small, tmp_path / "small")))
    (heavier.path / "model.safetensors").write_bytes(
        (small / "model.safetensors").read_bytes() + b" "
    )
    revisions = [
        PooledEncoder(which, **settings).card.revision
        for which, settings in [
            (folder, {}),
            (find_model(str(heavier.path)), {}),
            (folder, {"pooling": "cls"}),
            (folder, {"normalise": True}),
            (folder, {"max_tokens": 16}),
            (folder, {"query_instruction": "find: "}),
            (folder, {"query_instruction": "look: "}),
            (folder, {"item_prefix": "find: "}),
            (folder, {"item_prefix": "find: ", "pool_prefix": False}),
            (folder, {"both_ways": True}),
        ]
    ]
    assert len(set(revisions)) == len(revisions)
    assert PooledEncoder(folder, pooling="mean", max_tokens=64).card.revision == revisions[0]


def test_the_instruction_is_put_before_queries_and_never_before_items(small, titles):
    plain = PooledEncoder(find_model(str(small)), precision="float32")
    asked = PooledEncoder(find_model(str(small)), precision="float32", query_instruction="find: ")
    np.testing.assert_array_equal(asked.encode(titles), plain.encode(titles))
    np.testing.assert_array_equal(
        asked.encode(titles, "query"), plain.encode([f"find: {title}" for title in titles])
    )
    items = encode_items(asked, titles, recipe="title")
    queries = encode_queries(asked, titles, titles, recipe="title")
    assert items.card.query_instruction == queries.card.query_instruction == "find: "
    assert not np.allclose(items.vectors, queries.vectors)


def test_an_item_prefix_is_put_before_items_alone(small, titles):
    plain = PooledEncoder(find_model(str(small)), precision="float32")
    prefixed = PooledEncoder(find_model(str(small)), precision="float32", item_prefix="passage: ")
    np.testing.assert_array_equal(
        prefixed.encode(titles), plain.encode([f"passage: {title}" for title in titles])
    )
    np.testing.assert_array_equal(prefixed.encode(titles, "query"), plain.encode(titles))


def test_one_changed_text_changes_the_key(loaded, home):
    """T17: changing one item's text changes the key, and only its shard is made again."""
    texts = [f"red socks {number}" for number in range(8)]
    first = encode_items(loaded, texts, recipe="title")
    second = encode_items(loaded, [*texts[:-1], "a dog"], recipe="title")
    assert first.key != second.key
    assert encode_items(loaded, texts, recipe="title").cost.cached


def test_a_failed_batch_leaves_no_cache_file(decoder, home, monkeypatch):
    """T17: what was not encoded to the end is not there."""
    encoder = PooledEncoder(find_model(str(decoder)), precision="float32")
    encoder.prepare(["red socks"])
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        raise MemoryError("in the middle of a catalogue")

    monkeypatch.setattr(encoder, "_forward", fail)
    with pytest.raises(MemoryError):
        encode_items(encoder, ["red socks", "a dog"], recipe="title")
    assert calls
    kept = [path for path in home.rglob("*") if path.suffix in (".npy", ".safetensors")]
    assert kept == []


# -------------------------------------------------------------------------------------- precision


def test_bfloat16_is_used_only_where_the_vectors_agree(small, titles, monkeypatch):
    monkeypatch.setattr("tastebench.lm.load.native_bf16", lambda device: True)
    monkeypatch.setattr("tastebench.lm.linear.MIN_COSINE", 1.1)
    strict = PooledEncoder(find_model(str(small)))
    strict.prepare(titles)
    assert strict.usage().dtype == "float32"
    monkeypatch.setattr("tastebench.lm.linear.MIN_COSINE", 0.9)
    willing = PooledEncoder(find_model(str(small)))
    willing.prepare(titles)
    assert willing.usage().dtype == "bfloat16"
    assert willing.encode(titles).dtype == np.float32
    assert 0.99 < agreement(strict.encode(titles), willing.encode(titles)) < 1


def test_a_model_in_half_precision_stays_so_only_where_that_is_fast(decoder, tmp_path, monkeypatch):
    import torch
    from transformers import AutoModelForCausalLM

    half = shutil.copytree(decoder, tmp_path / "half")
    model = AutoModelForCausalLM.from_pretrained(decoder)
    model.to(torch.bfloat16).save_pretrained(half)
    for native in (True, False):
        monkeypatch.setattr("tastebench.lm.load.native_bf16", lambda device, n=native: n)
        encoder = PooledEncoder(find_model(str(half)))
        vectors = encoder.encode(TEXTS)
        assert encoder.usage().dtype == ("bfloat16" if native else "float32")
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_broken_folder_says_so(small, tmp_path, file):
    folder = shutil.copytree(small, tmp_path / "broken")
    (folder / file).write_bytes(b"\x00" * 64)
    for vocabulary in folder.glob("vocab.*"):
        vocabulary.unlink()
    with pytest.raises(DataError, match="cannot load the model 'broken'") as caught:
        get_encoder(folder).encode(["a text"])
    assert caught.value.fix


def test_weights_that_are_missing_are_not_made_up(small, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(small, tmp_path / "holes")
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if name.endswith("layer.1.output.dense.weight"))
    save_file(
        {name: value for name, value in tensors.items() if name != gone},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(DataError, match=r"lacks 1 of its weights.*layer\.1\.output") as caught:
        get_encoder(folder).encode(["a text"])
    assert caught.value.where == str(folder)
    # A head that pooling does not use may be missing.
    poolerless = {n: v for n, v in tensors.items() if not n.startswith("pooler")}
    assert len(poolerless) < len(tensors)
    save_file(poolerless, folder / "model.safetensors", metadata={"format": "pt"})
    get_encoder(folder).encode(["a text"])


def test_nothing_to_encode_is_an_error(small):
    with pytest.raises(DataError, match="nothing to encode"):
        get_encoder(small).encode([])


def test_cached_vectors_need_no_model(small, titles):
    encode_items(get_encoder(small), titles, recipe="title")
    again = get_encoder(small)
    assert encode_items(again, titles, recipe="title").cost.cached
    assert again._source is None
