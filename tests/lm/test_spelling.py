from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tastebench.errors import DataError
from tastebench.lm.spelling import Spelling
from tastebench.testing.language_models import add_head, tiny_language_model


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    return tokenizer_of(add_head(tiny_language_model(folder, "bert")))


def named(row: int) -> str:
    return f"item {row}"


TEXTS = ["red wool socks", "", "Ünïcode 靴", "a {item} for 2"]


def test_pieces_together_are_what_the_text_is_at_once(tiny: Any) -> None:
    spelling = Spelling(tiny, "it")
    parts = [spelling.piece(text) for text in ("a red", " kettle", "\n", "the set:", " for")]
    whole = tiny("a red kettle\nthe set: for", add_special_tokens=False)["input_ids"]
    assert [token for part in parts for token in part.tolist()] == whole


@pytest.mark.assets
def test_a_tokenizer_that_puts_a_blank_before_every_text_puts_none_before_a_piece(
    asset: Callable[[str], Path],
) -> None:
    tokenizer = tokenizer_of(asset("models/stories260k"))
    spelling = Spelling(tokenizer, "it")
    assert spelling.first.tolist() == [1]
    parts = [spelling.piece(text) for text in ("(1)", " Once", "\n", "(2)")]
    read = tokenizer.convert_ids_to_tokens([int(i) for part in parts for i in part])
    assert read == ["(", *read[1:]]
    assert "".join(read).replace("▁", " ") == "(1) Once<0x0A>(2)"


def test_a_text_is_read_as_behind_a_blank(tiny: Any) -> None:
    tokens = Spelling(tiny, "it").texts(TEXTS, named)
    assert tokens[1].tolist() == []
    assert tiny.decode(tokens[0].tolist()) == " red wool socks"
    assert [tiny.decode(row.tolist()).strip() for row in tokens] == TEXTS
    (kettle,) = Spelling(tiny, "it").texts(["kettle"], named).to_lists()
    assert len(kettle) == 1  # the word with its blank is one token


@pytest.mark.parametrize("text", ["buy </s> now", "<mask>", "<s><pad></s>", "a<mask>b <s>"])
def test_a_text_that_spells_a_special_token_is_only_a_text(tiny: Any, text: str) -> None:
    tokens = Spelling(tiny, "it").texts(["a", text], named)[1]
    special = set(tiny.all_special_ids)
    assert not special & set(tokens.tolist())
    assert tiny.decode(tokens.tolist()).strip() == text
    assert not special & set(Spelling(tiny, "it").piece(text).tolist())


def test_an_added_token_that_is_not_called_special_does_not_steer_either(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tiny_language_model(tmp_path / "m", "llama"))
    tokenizer.add_tokens(["<tool_call>"])
    tokens = Spelling(tokenizer, "it").texts(["a <tool_call> b"], named)[0]
    assert tokenizer.convert_tokens_to_ids("<tool_call>") not in tokens
    assert tokenizer.decode(tokens.tolist()) == " a <tool_call> b"


def test_what_is_marked_steers(tiny: Any) -> None:
    assert Spelling(tiny, "it").marked("<s>a</s>").tolist() == [
        tiny.bos_token_id,
        *tiny("a", add_special_tokens=False)["input_ids"],
        tiny.eos_token_id,
    ]


def test_a_special_token_that_cannot_be_spelt_is_an_error_that_names_the_item(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelling = Spelling(tiny, "it")
    monkeypatch.setattr(
        spelling, "_ids", lambda texts, literal=True: [tiny(text)["input_ids"] for text in texts]
    )
    steering = tiny(" </s>", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(spelling, "_behind", lambda texts: [steering for _ in texts])
    with pytest.raises(DataError, match="item 0 holds a special token of the model 'it'"):
        spelling.texts(["</s>"], named)
