"""What a loss does not read is refused with the reason; what came later leaves identities alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tastebench.recommenders.seqrec.settings import SequenceSettings


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"negatives": 8}, "negatives=8 changes nothing in loss=softmax: .* draws none"),
        ({"draws": "popularity"}, "draws=popularity changes nothing in loss=softmax"),
        ({"logq": True}, "logq=True changes nothing in loss=softmax"),
        ({"loss": "bce", "logq": False}, "logq=False changes nothing in loss=bce"),
        ({"gbce_t": 0.5}, "gbce_t=0.5 changes nothing in loss=softmax: only gbce is calibrated"),
        ({"loss": "bce", "gbce_t": 0.0}, "gbce_t=0.0 changes nothing in loss=bce"),
        ({"loss": "gbce", "draws": "popularity"}, "beta holds for uniform draws"),
        ({"table": "touched"}, "table=touched changes nothing in loss=softmax"),
        (
            {"loss": "bce", "table": "touched", "weight_decay": 0.1},
            "weight_decay does not go with table=touched",
        ),
    ],
)
def test_what_a_loss_does_not_read_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        SequenceSettings(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"loss": "hinge"}, {"loss": "bce", "negatives": 0}, {"loss": "gbce", "gbce_t": 1.1}]
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SequenceSettings(**wrong)


def test_each_loss_has_its_own_number_of_negatives() -> None:
    numbers = {
        loss: SequenceSettings(loss=loss).n_negatives
        for loss in ("softmax", "sampled-softmax", "bce", "gbce")
    }
    assert numbers == {"softmax": 0, "sampled-softmax": 1024, "bce": 1, "gbce": 256}
    assert SequenceSettings(loss="bce", negatives=7).n_negatives == 7


def test_what_is_not_said_has_a_meaning() -> None:
    assert SequenceSettings(loss="sampled-softmax").corrects
    assert not SequenceSettings(loss="sampled-softmax", logq=False).corrects
    assert not SequenceSettings(loss="bce").corrects
    assert SequenceSettings(loss="gbce").calibration == 0.75
    assert SequenceSettings(loss="gbce", gbce_t=0.0).calibration == 0.0
    assert SequenceSettings(loss="bce").calibration == 0.0


def test_resolved_settings_can_be_read_back() -> None:
    """A record holds all of them, those that say nothing too."""
    settings = SequenceSettings(loss="bce", negatives=4, validate_every=3)
    assert SequenceSettings(**settings.model_dump(mode="json")) == settings
    assert SequenceSettings(**SequenceSettings().model_dump(mode="json")) == SequenceSettings()
