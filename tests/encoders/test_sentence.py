from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Encoder
from tastebench.encoders import encode_items, get_encoder
from tastebench.encoders.catalog import minilm_folder
from tastebench.encoders.sentence import SentenceEncoder
from tastebench.errors import DataError
from tastebench.lm.linear import agreement
from tastebench.lm.load import MIN_COSINE, find_model
from tastebench.testing.encoders import EncoderTests


class TestMinilm(EncoderTests):
    @pytest.fixture
    def encoder(self, minilm: Encoder) -> Encoder:
        return minilm


class TestTiny(EncoderTests):
    @pytest.fixture
    def encoder(self, tiny: Path) -> Encoder:
        return get_encoder(tiny)


class TestTinyInFloat32(EncoderTests):
    tolerance = 0.999999

    @pytest.fixture
    def encoder(self, tiny: Path) -> Encoder:
        return SentenceEncoder(find_model(str(tiny)), precision="float32")


def test_minilm_gives_the_vectors_of_sentence_transformers(minilm, asset):
    from sentence_transformers import SentenceTransformer

    maps = json.loads(
        (asset("data/amazon-2014-beauty-toys-titles") / "beauty/title_maps.json").read_text()
    )
    titles = list(maps.get("id2title", maps).values())[:96]
    reference = SentenceTransformer(str(minilm_folder()), device="cpu")
    expected = reference.encode(titles, show_progress_bar=False)
    assert agreement(minilm.encode(titles), expected) >= MIN_COSINE


@pytest.mark.parametrize("role", ["item", "query"])
def test_prompts_and_pooling_are_the_models_own(tiny, titles, role):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(tiny), device="cpu")
    encode = reference.encode_query if role == "query" else reference.encode_document
    ours = SentenceEncoder(find_model(str(tiny)), precision="float32").encode(titles, role)
    np.testing.assert_allclose(ours, encode(titles, show_progress_bar=False), atol=2e-6)


def test_a_query_prompt_makes_a_difference(tiny, titles):
    encoder = get_encoder(tiny)
    assert agreement(encoder.encode(titles, "query"), encoder.encode(titles, "item")) < 0.9999


@pytest.mark.parametrize("pooling", ["cls", "max", "mean_sqrt_len_tokens", "weightedmean"])
def test_every_way_of_pooling_is_followed(tiny, titles, tmp_path, pooling):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling

    reference = SentenceTransformer(str(tiny), device="cpu")
    model = SentenceTransformer(
        modules=[reference[0], Pooling(32, pooling), Dense(32, 8)], device="cpu"
    )
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    expected = model.encode(titles[:20], show_progress_bar=False)
    encoder = SentenceEncoder(find_model(str(tmp_path / "model")), precision="float32")
    np.testing.assert_allclose(encoder.encode(titles[:20]), expected, atol=1e-5)
    assert encoder.card.normalised is False


def test_prompts_left_out_of_pooling_are_left_out_here_too(tiny, titles, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny), device="cpu")
    model.set_pooling_include_prompt(False)
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    expected = model.encode_query(titles[:20], show_progress_bar=False)
    encoder = SentenceEncoder(find_model(str(tmp_path / "model")), precision="float32")
    np.testing.assert_allclose(encoder.encode(titles[:20], "query"), expected, atol=2e-6)


def test_other_kinds_of_models_go_their_own_way(tiny, titles, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    table = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 16))
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))],
        device="cpu",
    )
    model.save_pretrained(str(tmp_path / "static"), create_model_card=False)
    encoded = encode_items(get_encoder(tmp_path / "static"), titles, recipe="title")
    np.testing.assert_allclose(encoded.vectors, model.encode(titles), atol=1e-6)
    assert (encoded.cost.dtype, encoded.cost.tokens, encoded.card.max_tokens) == (
        "float32",
        None,
        None,
    )


def test_a_model_in_half_precision_stays_so_only_where_that_is_fast(
    tiny, titles, tmp_path, monkeypatch
):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense

    reference = SentenceTransformer(str(tiny), device="cpu")
    model = SentenceTransformer(modules=[reference[0], reference[1], Dense(32, 8)], device="cpu")
    model.bfloat16().save_pretrained(str(tmp_path / "half"), create_model_card=False)
    folder = find_model(str(tmp_path / "half"))
    found = {}
    for native in (True, False):
        monkeypatch.setattr("tastebench.lm.load.native_bf16", lambda device, native=native: native)
        encoder = SentenceEncoder(folder)
        found[native] = encoder.encode(titles)
        assert encoder.usage().dtype == ("bfloat16" if native else "float32")
    assert agreement(found[True], found[False]) > 0.999
    encoder = SentenceEncoder(folder, precision="float32")
    np.testing.assert_allclose(encoder.encode(titles), found[False], atol=2e-6)
    assert encoder.usage().dtype == "float32"


def test_long_texts_are_cut_as_the_model_does(tiny):
    from sentence_transformers import SentenceTransformer

    texts = ["red wool socks " * 100, "pan " * 70, "pan"]
    expected = SentenceTransformer(str(tiny), device="cpu").encode(texts, show_progress_bar=False)
    ours = SentenceEncoder(find_model(str(tiny)), precision="float32")
    np.testing.assert_allclose(ours.encode(texts), expected, atol=2e-6)
    # 64 and 64 (cut) and [CLS] pan [SEP].
    assert ours.usage().tokens == 64 + 64 + 3


def test_lower_precision_that_changes_vectors_is_not_used(tiny, titles, monkeypatch):
    monkeypatch.setattr("tastebench.lm.load.native_bf16", lambda device: True)
    monkeypatch.setattr("tastebench.lm.linear.MIN_COSINE", 1.1)
    encoder = SentenceEncoder(find_model(str(tiny)))
    encoder.prepare(titles)
    assert encoder.usage().dtype == "float32"
    monkeypatch.setattr("tastebench.lm.linear.MIN_COSINE", 0.99)
    willing = SentenceEncoder(find_model(str(tiny)))
    willing.prepare(titles)
    assert willing.usage().dtype == "bfloat16"
    assert 0.99 < agreement(encoder.encode(titles), willing.encode(titles)) < 1


def test_a_layer_that_cannot_be_swapped_leaves_the_model_as_it_was(tiny, titles, monkeypatch):
    expected = SentenceEncoder(find_model(str(tiny)), precision="float32").encode(titles)

    def fail(self, x):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("tastebench.lm.linear.PackedLinear.forward", fail)
    monkeypatch.setattr("tastebench.lm.linear.can_pack", lambda *where: True)
    encoder = SentenceEncoder(find_model(str(tiny)), precision="float32")
    with pytest.warns(UserWarning, match="no such kernel"):
        vectors = encoder.encode(titles)
    np.testing.assert_allclose(vectors, expected, atol=2e-6)


def test_the_card_fills_in_when_the_model_is_loaded(tiny, titles):
    encoder = get_encoder(tiny)
    assert (encoder.card.name, encoder.card.normalised, encoder.card.parameters) == (
        "tiny",
        True,
        None,
    )
    encoded = encode_items(encoder, titles, recipe="title")
    assert encoded.card.dimensions == 32
    assert encoded.card.max_tokens == 64
    assert encoded.cost.parameters == encoder.card.parameters > 1000
    assert encoded.cost.device == "cpu"
    assert encoded.cost.tokens == encoder.usage().tokens > 500


def test_cached_vectors_need_no_model(tiny, titles):
    encode_items(get_encoder(tiny), titles, recipe="title")
    again = get_encoder(tiny)
    assert encode_items(again, titles, recipe="title").cost.cached
    assert again._model is None


def test_the_same_model_elsewhere_is_the_same_model(tiny, titles, tmp_path):
    moved = shutil.copytree(tiny, tmp_path / "elsewhere" / "tiny")
    (moved / "README.md").write_text("documentation does not change vectors")
    first = encode_items(get_encoder(tiny), titles, recipe="title")
    second = encode_items(get_encoder(moved), titles, recipe="title")
    assert second.cost.cached
    assert first.key == second.key


def test_changed_weights_or_settings_are_another_revision(tiny, tmp_path):
    before = get_encoder(tiny).card.revision
    for file in ("model.safetensors", "1_Pooling/config.json"):
        copy = shutil.copytree(tiny, tmp_path / file.replace("/", "-"))
        (copy / file).write_bytes((copy / file).read_bytes() + b" ")
        assert get_encoder(copy).card.revision != before


def _broken(tiny: Path, target: Path, file: str, content: bytes | None) -> Path:
    shutil.copytree(tiny, target)
    if content is None:
        (target / file).unlink()
    else:
        (target / file).write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 64, "cannot load the model"),
        ("model.safetensors", None, "no weights in the safetensors format"),
        ("config.json", b'{"model_type": "no-such-thing"}', "cannot load the model"),
        ("modules.json", b"{", "broken modules.json"),
        ("tokenizer.json", b"{}", "cannot load the model"),
    ],
)
def test_a_broken_folder_says_so(tiny, tmp_path, file, content, message):
    folder = _broken(tiny, tmp_path / "broken", file, content)
    with pytest.raises(DataError, match=message) as caught:
        get_encoder(folder).encode(["a text"])
    assert caught.value.exit_code == 4
    assert caught.value.fix


def _evil(tiny: Path, target: Path, file: str, edit: Callable[[Any], None]) -> Path:
    shutil.copytree(tiny, target)
    value = json.loads((target / file).read_text())
    edit(value)
    (target / file).write_text(json.dumps(value))
    (target / "evil.py").write_text("raise SystemExit('ran')")
    return target


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("modules.json", lambda value: value[0].update(type="evil.Evil"), r"own: evil\.Evil"),
        (
            "config.json",
            lambda value: value.update(
                model_type="unheard-of", auto_map={"AutoConfig": "evil.C", "AutoModel": "evil.M"}
            ),
            "cannot load the model",
        ),
    ],
)
def test_a_models_own_code_does_not_run(tiny, tmp_path, file, edit, message):
    folder = _evil(tiny, tmp_path / "evil", file, edit)
    with pytest.raises(DataError, match=message) as caught:
        get_encoder(folder).encode(["a text"])
    assert "trust_remote_code=True" in caught.value.fix
    with pytest.raises(SystemExit, match="ran"):
        get_encoder(folder, trust_remote_code=True).encode(["a text"])


def test_own_code_that_nobody_needs_is_passed_over(tiny, tmp_path, titles):
    folder = _evil(
        tiny,
        tmp_path / "evil",
        "config.json",
        lambda value: value.update(auto_map={"AutoModel": "evil.M"}),
    )
    np.testing.assert_array_equal(
        get_encoder(folder).encode(titles), get_encoder(tiny).encode(titles)
    )
