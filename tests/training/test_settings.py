"""Settings refuse what cannot be meant, and importing them loads no torch."""

from __future__ import annotations

import subprocess
import sys

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
