"""Fitting, with or without a grid: every setting is a trial, the best one is kept.

A finished trial is written down, so an interrupted search goes on with the next one. The trainer
keeps its own state in the trial's folder, so that an interrupted trial goes on too, and a winner
that was fitted in an earlier life is restored rather than trained again.
"""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tastebench.contracts import FitReport
from tastebench.errors import ProtocolError, TastebenchError, UsageError
from tastebench.files import read_sealed, write_sealed
from tastebench.runs.record import Trial

Fitted = tuple[Any, FitReport]
"""A fitted recommender and how its training went."""


Fit = Callable[[dict[str, Any], Path], Fitted]
"""Fits a setting; the folder is where its training state is kept."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """The outcome of a search.

    Attributes:
        trials: All settings in order, the winner marked; one where nothing was searched.
        seconds: Fitting, over all trials.
    """

    recommender: Any
    report: FitReport
    params: dict[str, Any]
    trials: tuple[Trial, ...]
    seconds: float


def tune(
    settings: list[dict[str, Any]],
    fit: Fit,
    validate: Callable[[Any], float],
    folder: Path,
    tell: Callable[[str], None],
) -> Tuned:
    """Fits every setting and keeps the one with the greatest validation value.

    A later setting wins only with a strictly greater value. A setting that fails (training
    diverged, more dimensions than items) loses; if all fail, so does the search.

    Args:
        settings: At least one; a single one is fitted and not validated.
        fit: Fits a setting.
        validate: Headline metric of a fitted recommender on the validation part.
        folder: Where trials are written down.
        tell: Told in a few words what is going on.

    Raises:
        UsageError: Every setting failed.
    """
    if len(settings) == 1:
        recommender, report = fit(settings[0], trial_folder(folder, 0))
        trial = _trial(settings[0], report).model_copy(update={"chosen": True})
        return Tuned(recommender, report, settings[0], (trial,), report.seconds)
    trials: list[Trial] = []
    winner, best, highest = -1, None, -math.inf
    for index, params in enumerate(settings):
        tell(f"trial {index + 1} of {len(settings)}")
        trial, fitted = _attempt(params, fit, validate, trial_folder(folder, index))
        trials.append(trial)
        if trial.valid is not None and trial.valid > highest:
            loser, winner, best, highest = winner, index, fitted, trial.valid
        else:
            loser = index
        # Its number is kept, its weights are not: only the winner may have to be restored.
        shutil.rmtree(trial_folder(folder, loser), ignore_errors=True)
    if winner < 0:
        raise UsageError(f"every setting of the grid failed, the first one with: {trials[0].error}")
    recommender, report = best or fit(settings[winner], trial_folder(folder, winner))
    trials[winner] = trials[winner].model_copy(update={"chosen": True})
    seconds = sum(trial.seconds for trial in trials)
    return Tuned(recommender, report, settings[winner], tuple(trials), seconds)


def trial_folder(folder: Path, place: int) -> Path:
    """Where the training state of a setting is kept, by its place among the settings."""
    return folder / f"trial-{place}"


def _attempt(
    params: dict[str, Any], fit: Fit, validate: Callable[[Any], float], folder: Path
) -> tuple[Trial, Fitted | None]:
    """One trial: as written down in an earlier life, else fitted and validated now."""
    path = folder.with_suffix(".json")
    earlier = _earlier(path)
    if earlier is not None:
        return earlier, None
    fitted: Fitted | None = None
    try:
        fitted = fit(params, folder)
        valid = validate(fitted[0])
        if not math.isfinite(valid):
            raise ProtocolError(f"its validation metric is {valid}")
        trial = _trial(params, fitted[1], valid)
    except TastebenchError as error:
        trial = Trial(params=params, seconds=0.0, error=error.what)
    write_sealed(path, trial.model_dump(mode="json"))
    return trial, fitted


def _earlier(path: Path) -> Trial | None:
    """The trial that was written down; None if there is none, or it is damaged: it is made again.

    Its training state is kept beside it as long as it may have won.
    """
    if not path.is_file():
        return None
    try:
        return Trial.model_validate(read_sealed(path))
    except ValueError as error:
        warnings.warn(f"a trial is made again: {path} is damaged ({error})", stacklevel=2)
        return None


def _trial(params: dict[str, Any], report: FitReport, valid: float | None = None) -> Trial:
    return Trial(
        params=params,
        valid=valid,
        seconds=report.seconds,
        epochs=len(report.curve) or None,
        converged=report.converged,
    )
