from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.errors import DataError, UsageError
from tastebench.items import tokens as module
from tastebench.items.tokens import ModelTokenizer, WordTokenizer, columns_as_tokens, first
from tastebench.ragged import Ragged

TEXTS = ["Red wool scarf", "red belt", "", "a RED, red scarf!"]


# --------------------------------------------------------------------------------------- words


def test_words_are_ordered_by_frequency_then_by_the_alphabet():
    # red 4, scarf 2, and one each of a, belt, wool.
    learnt = WordTokenizer.learn(TEXTS)
    assert learnt.words == ("red", "scarf", "a", "belt", "wool")
    assert learnt.size == 7
    assert WordTokenizer.learn(TEXTS[::-1]).words == learnt.words


def test_encoding_by_hand():
    learnt = WordTokenizer.learn(TEXTS)
    encoded = learnt.encode(TEXTS, 10)
    assert encoded.values.dtype == np.int32
    assert encoded.to_lists() == [[2, 6, 3], [2, 5], [], [4, 2, 2, 3]]
    assert learnt.encode(TEXTS, 2).to_lists() == [[2, 6], [2, 5], [], [4, 2]]


def test_rare_words_and_those_beyond_the_limit_are_unknown():
    assert WordTokenizer.learn(TEXTS, min_count=2).words == ("red", "scarf")
    assert WordTokenizer.learn(TEXTS, most=3).words == ("red", "scarf", "a")
    assert WordTokenizer.learn([]).words == ()


@pytest.mark.parametrize(
    ("unknown", "expected"), [("drop", [[2, 3], [2], []]), ("keep", [[1, 2, 1, 3], [2, 1], [1]])]
)
def test_unknown_words_are_left_out_or_one_token(unknown, expected):
    learnt = WordTokenizer.learn(TEXTS, min_count=2, unknown=unknown)
    assert learnt.encode(["a red silk scarf", "red dress", "hat"], 9).to_lists() == expected


def test_texts_are_cut_after_unknown_words_are_left_out():
    learnt = WordTokenizer.learn(["red scarf"])
    assert learnt.encode(["silk silk red silk scarf"], 2).to_lists() == [[2, 3]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop", ["don't", "stop"]),
        ("don\u2019t", ["don\u2019t"]),
        ("the dogs' 'quoted'", ["the", "dogs", "quoted"]),
        ("state-of-the-art, 4K/60fps", ["state", "of", "the", "art", "4k", "60fps"]),
        ("Cafe\u0301 CAFÉ", ["café", "café"]),  # an accent of its own is the letter's
        ("\ufb01ne \uff37\uff49\uff44\uff45", ["fine", "wide"]),  # a ligature, and wide letters
        ("Москва Straße", ["москва", "straße"]),
        ("紅いスカーフ2枚", ["紅", "い", "ス", "カ", "ー", "フ", "2", "枚"]),
        ("under_score", ["under_score"]),
        ("... --- !!!", []),
        ("nul\0byte", ["nul", "byte"]),
        ("two\nlines\ttabs", ["two", "lines", "tabs"]),
    ],
)
def test_what_a_word_is(text, words):
    learnt = WordTokenizer.learn([text])
    assert Counter(learnt.words) == Counter(set(words))
    assert [learnt.words[i - 2] for i in learnt.encode([text], 99)[0]] == words


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_chunks_change_nothing(chunk, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    texts = [*TEXTS, "nul\0 red", *TEXTS]
    learnt = WordTokenizer.learn(texts)
    assert learnt.words == ("red", "scarf", "a", "belt", "wool", "nul")
    assert learnt.encode(texts, 9).to_lists() == [
        [2, 6, 3], [2, 5], [], [4, 2, 2, 3], [7, 2], [2, 6, 3], [2, 5], [], [4, 2, 2, 3]
    ]  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(alphabet="aAbB é'\u2019_-9\0\n語", max_size=12), max_size=8), st.integers(1, 4)
)
def test_it_is_the_same_as_text_by_text(texts, max_length):
    word = re.compile("語|[^\\W語]+(?:['\u2019][^\\W語]+)*")
    plain = [word.findall(unicodedata.normalize("NFKC", text).lower()) for text in texts]
    counts = Counter(w for words in plain for w in words)
    learnt = WordTokenizer.learn(texts, min_count=2, unknown="keep")
    assert list(learnt.words) == sorted(
        (w for w in counts if counts[w] > 1), key=lambda w: (-counts[w], w)
    )
    ids = {w: i for i, w in enumerate(learnt.words, 2)}
    expected = [[ids.get(w, 1) for w in words][:max_length] for words in plain]
    assert learnt.encode(texts, max_length).to_lists() == expected


# ------------------------------------------------------------------------------ models' pieces


@pytest.fixture
def word_level(tmp_path):
    """A model's tokenizer of three words, with a special token that is not to be added."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordLevel({"[UNK]": 0, "red": 1, "scarf": 2, "[CLS]": 3}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A", None, [("[CLS]", 3)])
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(2)
    folder = tmp_path / "word-level"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_models_tokens_are_shifted_by_one(word_level):
    texts = ["red scarf red red", "", "silk scarf"]
    dropped = ModelTokenizer(word_level)
    assert dropped.size == 5
    assert dropped.encode(texts, 9).to_lists() == [[2, 3, 2, 2], [], [3]]
    assert dropped.encode(texts, 2).to_lists() == [[2, 3], [], [3]]
    kept = ModelTokenizer(str(word_level), unknown="keep")
    assert kept.encode(texts, 9).to_lists() == [[2, 3, 2, 2], [], [1, 3]]
    assert kept.encode([], 9).to_lists() == []


def test_an_unknown_token_may_be_named_by_its_number(word_level):
    """As in Unigram models."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(
        models.Unigram([("?", 0.0), ("red", -1.0)], unk_id=0, byte_fallback=False)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(word_level / "tokenizer.json"))
    assert ModelTokenizer(word_level).encode(["red x red"], 9).to_lists() == [[2, 2]]
    kept = ModelTokenizer(word_level, unknown="keep")
    assert kept.encode(["red x red"], 9).to_lists() == [[2, 1, 2]]


def test_a_folder_that_only_transformers_reads(tmp_path):
    """A BERT vocabulary without tokenizer.json."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "scar", "##f"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 4}), encoding="utf-8"
    )
    ours = ModelTokenizer(tmp_path)
    assert ours.size == 9
    texts = ["Red scarf silk", "", "red " * 6]
    assert ours.encode(texts, 9).to_lists() == [[6, 7, 8], [], [6] * 6]


def test_chunks_of_a_models_tokens_change_nothing(word_level, monkeypatch):
    texts = ["red scarf", "", "silk", "scarf", "red"]
    whole = ModelTokenizer(word_level).encode(texts, 9).to_lists()
    monkeypatch.setattr(module, "_CHUNK", 2)
    assert ModelTokenizer(word_level).encode(texts, 9).to_lists() == whole


def test_folders_without_a_tokenizer_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no tokenizer folder 'nowhere'"):
        ModelTokenizer(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"cannot load the tokenizer {tmp_path.name!r}"):
        ModelTokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=f"cannot load the tokenizer {tmp_path.name!r}") as error:
        ModelTokenizer(tmp_path)
    assert "save_pretrained" in str(error.value)


@pytest.mark.assets
@pytest.mark.parametrize("name", ["stories260k", "potion-base-4m-int8"])
def test_real_tokenizers_are_those_of_transformers(asset, name):
    from transformers import AutoTokenizer

    folder = asset(f"models/{name}")
    ours = ModelTokenizer(folder, unknown="keep")
    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = ["Lily likes the red scarf.", "", "Once upon a time!"]
    expected = theirs(texts, add_special_tokens=False)["input_ids"]
    assert ours.encode(texts, 99).to_lists() == [[i + 1 for i in ids] for ids in expected]
    assert ours.size > max(theirs.get_vocab().values()) + 1


# ------------------------------------------------------------------------------------- columns

COLUMNS = {
    "title": ["red wool scarf", "red belt", "", "silk"],
    "genre": ["wear", "belts", "wear", ""],
    "blurb": ["", "", "", ""],
}
LENGTHS = {"title": 2, "genre": 9, "blurb": 9}


def test_columns_by_hand():
    learnt = WordTokenizer.learn(COLUMNS["title"][:2])  # red, belt, scarf, wool: 2 to 5
    columns, size = columns_as_tokens(COLUMNS, learnt, LENGTHS, categories=["genre"])
    assert set(columns) == {"title", "genre"}  # a column without a token is none
    assert columns["title"].tolist() == [[2, 5], [2, 3], [0, 0], [0, 0]]
    assert columns["genre"].tolist() == [[7], [6], [7], [0]]
    assert size == 8
    assert all(matrix.dtype == np.int32 for matrix in columns.values())


def test_categories_are_those_of_taught_items():
    learnt = WordTokenizer.learn(["red"])
    taught = np.array([True, False, False, False])
    columns, size = columns_as_tokens(COLUMNS, learnt, LENGTHS, ["genre"], taught)
    assert columns["genre"].tolist() == [[3], [0], [3], [0]]
    assert size == 4


def test_two_categories_have_ranges_of_their_own():
    twice = {"a": ["x", "y"], "b": ["y", "x"]}
    columns, size = columns_as_tokens(twice, WordTokenizer(()), {}, ["a", "b"])
    assert columns["a"].tolist() == [[2], [3]]
    assert columns["b"].tolist() == [[5], [4]]
    assert size == 6


def test_a_category_has_to_be_a_column():
    with pytest.raises(UsageError, match=r"no text column 'genres'.*did you mean genre\?"):
        columns_as_tokens(COLUMNS, WordTokenizer(()), LENGTHS, ["genres"])


@pytest.mark.parametrize(("k", "expected"), [(0, [[], [], []]), (2, [[1, 2], [], [4]])])
def test_first_values_of_lists(k, expected):
    assert first(Ragged.from_lists([[1, 2, 3], [], [4]]), k).to_lists() == expected
