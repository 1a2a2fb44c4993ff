"""How long a model takes is said by its size and the machine, without loading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.encoders.catalog import language_model
from tastebench.errors import DataError
from tastebench.lm import speed
from tastebench.testing.language_models import add_head, tiny_language_model


def test_matrices_count_and_words_do_not(tmp_path: Path) -> None:
    folder = add_head(tiny_language_model(tmp_path / "m", "llama"))
    # Four layers: queries and what they become 32 x 32, keys and values 16 x 32, three of 32 x 64.
    expected = 4 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)
    assert speed.multiplying_weights(language_model(str(folder))) == expected


def test_a_model_whole_and_in_parts_counts_once(tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "m", "llama")
    once = speed.multiplying_weights(language_model(str(folder)))
    whole = next(folder.glob("*.safetensors"))
    (folder / "consolidated.safetensors").write_bytes(whole.read_bytes())
    assert speed.multiplying_weights(language_model(str(folder))) == once


def test_time_grows_with_tokens_and_falls_with_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = language_model(str(tiny_language_model(tmp_path / "m", "llama")))
    weights = speed.multiplying_weights(folder)
    assert weights
    monkeypatch.setattr(speed, "operations_a_second", lambda device: 1e9)
    assert speed.seconds_for(folder, 1000, "cpu") == pytest.approx(
        2 * weights * 1000 / (1e9 * speed.REACHED)
    )


def test_a_folder_without_weights_takes_nobody_knows_how_long(tmp_path: Path) -> None:
    path = tiny_language_model(tmp_path / "m", "llama")
    folder = language_model(str(path))
    for file in path.glob("*.safetensors"):
        file.unlink()
    assert speed.seconds_for(folder, 1000) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x02\x00",
        (2**62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (12).to_bytes(8, "little") + b'{"a": {"b":1}}',
        (10).to_bytes(8, "little") + b'{"a": {}} ',
    ],
)
def test_damaged_weights_are_named(content: bytes, tmp_path: Path) -> None:
    path = tiny_language_model(tmp_path / "m", "llama")
    (path / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="the file of weights is damaged"):
        speed.multiplying_weights(language_model(str(path)))


def test_a_machine_multiplies() -> None:
    assert 1e8 < speed.operations_a_second("cpu") < 1e15
