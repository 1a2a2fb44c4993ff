"""Settings refuse what cannot be meant, and importing them loads no torch."""

from __future__ import annotations

import subprocess
import sys
from typing import ClassVar

import pytest
from pydantic import ValidationError

from tastebench.training.settings import TrainSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.1},
        {"lr": 0},
        {"weight_decay": -1},
        {"batch_size": 0},
        {"epochs": 0},
        {"patience": 0},
        {"validate_every": 0},
        {"precision": "auto"},
        {"device": "gpu"},
        {"device": "cuda:x"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainSettings(**wrong)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TrainSettings().lr = 0.1  # type: ignore[misc]


def test_settings_load_no_torch() -> None:
    code = "import sys, tastebench.training.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_later_field_is_written_only_where_it_says_something() -> None:
    """Records and states from before it keep their identity."""
    before = {"lr", "weight_decay", "batch_size", "epochs", "patience", "precision", "device"}
    assert set(TrainSettings().model_dump(mode="json")) == before
    assert set(TrainSettings(validate_every=1).model_dump()) == before
    assert TrainSettings(validate_every=5).model_dump(mode="json")["validate_every"] == 5


def test_a_subclass_has_later_fields_of_its_own() -> None:
    class Config(TrainSettings):
        LATER: ClassVar[tuple[str, ...]] = (*TrainSettings.LATER, "width")
        width: int = 8
        depth: int = 1

    assert {"depth"} == set(Config().model_dump()) - set(TrainSettings().model_dump())
    assert Config(width=9).model_dump()["width"] == 9
    assert '"width"' not in Config().model_dump_json()
