from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tastebench.contracts import FitReport
from tastebench.errors import UsageError
from tastebench.runs.tune import Tuned, tune


class Lab:
    """Fits nothing: a setting's value is what validation says; keeps count."""

    def __init__(self) -> None:
        self.fitted: list[Any] = []

    def fit(self, params: dict[str, Any], folder: Path) -> tuple[Any, FitReport]:
        self.fitted.append(params["value"])
        if params["value"] == "diverges":
            raise UsageError("training diverged")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights").write_text(str(params["value"]))
        return params["value"], FitReport(parameters=1, seconds=2.0, curve=({"epoch": 1.0},))

    def search(self, values: list[Any], folder: Path) -> Tuned:
        settings = [{"value": value} for value in values]
        return tune(settings, self.fit, float, folder, lambda text: None)


@pytest.mark.parametrize(
    ("values", "winner"),
    [
        ([0.1, 0.3, 0.2], 1),
        ([0.3, 0.3, 0.3], 0),
        ([-2.0, -1.0], 1),
        (["diverges", 0.0], 1),
        ([float("nan"), 0.0], 1),
    ],
)
def test_the_greatest_wins_and_the_first_of_equals(
    tmp_path: Path, values: list[Any], winner: int
) -> None:
    tuned = Lab().search(values, tmp_path)
    assert tuned.recommender == values[winner]
    assert tuned.params == {"value": values[winner]}
    assert [trial.chosen for trial in tuned.trials] == [i == winner for i in range(len(values))]


def test_time_is_that_of_all_trials_and_a_failed_one_says_why(tmp_path: Path) -> None:
    tuned = Lab().search([0.1, "diverges", 0.2], tmp_path)
    assert tuned.seconds == 4.0
    assert tuned.trials[1].error == "training diverged"
    assert tuned.trials[1].valid is None


def test_a_single_setting_is_fitted_and_not_validated(tmp_path: Path) -> None:
    def refuse(recommender: Any) -> float:
        raise AssertionError

    tuned = tune([{"value": 1}], Lab().fit, refuse, tmp_path, lambda text: None)
    assert tuned.trials[0].chosen
    assert tuned.trials[0].valid is None


def test_an_interrupted_search_goes_on_and_restores_its_winner(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    first = Lab()

    def fit_until_killed(params: dict[str, Any], folder: Path) -> tuple[Any, FitReport]:
        if params["value"] == 0.2:
            raise Killed
        return first.fit(params, folder)

    settings = [{"value": value} for value in (0.1, 0.3, 0.2)]
    with pytest.raises(Killed):
        tune(settings, fit_until_killed, float, tmp_path, lambda text: None)
    second = Lab()
    tuned = second.search([0.1, 0.3, 0.2], tmp_path)
    assert second.fitted == [0.2, 0.3]  # the open trial, then the winner from what it kept
    assert tuned.trials == Lab().search([0.1, 0.3, 0.2], tmp_path / "fresh").trials


def test_losers_keep_their_number_and_not_their_weights(tmp_path: Path) -> None:
    Lab().search([0.1, 0.3, 0.2], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["trial-1"]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "trial-0.json",
        "trial-1.json",
        "trial-2.json",
    ]


def test_if_every_setting_fails_so_does_the_search(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"every setting .* failed, .*training diverged"):
        Lab().search(["diverges", "diverges"], tmp_path)
