"""The energy that a row's runs took, its carbon, and the accuracy per carbon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tastebench.board.cells import Cell
from tastebench.board.model import Row
from tastebench.metrics.green import apc
from tastebench.runs.energy import Energy
from tastebench.runs.record import Record

_PARTS = ("cpu", "gpu", "ram")


def energy_of(cells: Sequence[Cell]) -> dict[str, Any] | None:
    """What a row's runs took: sums over tasks of the mean over seeds; None if nothing was measured.

    A sum of which a part was not measured is None. Encoding is apart, since other rows use the same
    vectors: each step counts once, and it is in none of the other sums.
    """
    found = [[_measured(entry.record) for entry in cell.entries] for cell in cells]
    runs = [energy for seeds in found for energy in seeds if energy is not None]
    encoding = _encoding(cells)
    if not runs and not any(encoding):
        return None
    every = [*runs, *(energy for energy in encoding if energy is not None)]

    def total(value: str) -> float | None:
        means = [_mean([getattr(e, value) if e else None for e in seeds]) for seeds in found]
        return _sum(means)

    return {
        **{name: total(name) for name in ("kwh", "cpu_kwh", "gpu_kwh", "ram_kwh", "grams")},
        "encode_kwh": _sum([e.kwh if e else None for e in encoding]),
        "encode_grams": _sum([e.grams if e else None for e in encoding]),
        "apc": _accuracies(cells),
        "method": {p: sorted({energy.method[p] for energy in every}) for p in _PARTS},
        "estimated": any(energy.estimated for energy in every),
        "complete": all(energy.complete for energy in every),
        "carbon_intensity": sorted(
            {energy.carbon_intensity for energy in every if energy.carbon_intensity is not None}
        ),
        "pue": sorted({energy.pue for energy in every}),
        "others": max((e.others for e in every if e.others is not None), default=None),
    }


def energy_notes(rows: Sequence[Row]) -> list[str]:
    """What the columns of energy hold, and how sure they are."""
    found = {row.name: energy for row in rows if (energy := row.cost.get("energy"))}
    if not found:
        return []
    ways = {
        part: "; ".join(sorted({way for one in found.values() for way in one["method"][part]}))
        for part in _PARTS
    }
    notes = [
        "kWh: fitting and evaluation with all trials, the mean over seeds; encoding apart, in no "
        f"other number: {', '.join(f'{part} {way}' for part, way in ways.items())}"
    ]
    intensities = sorted({g for one in found.values() for g in one["carbon_intensity"]})
    if intensities:
        per_kwh = ", ".join(f"{g:g}" for g in intensities)
        notes.append(f"g CO2e: of kWh, at {per_kwh} g per kWh")
    metrics = dict.fromkeys(a["metric"] for one in found.values() for a in one["apc"].values())
    if metrics:
        names = " or ".join(metrics)
        notes.append(f"ApC: (100 {names} - 50) / g CO2e x 100, without the carbon of encoding")
    partly = [name for name, one in found.items() if not one["complete"]]
    if partly:
        notes.append(f"energy of interrupted work in part only: {', '.join(partly)}")
    return notes


def _encoding(cells: Sequence[Cell]) -> list[Energy | None]:
    """Of each encode step once: that of a dataset, an encoder and a text recipe."""
    steps: dict[tuple[str, str | None, str | None], Energy | None] = {}
    for cell in cells:
        for entry in cell.entries:
            spec, cost = entry.record.spec, entry.record.cost
            if cost is not None and cost.encode is not None:
                key = spec.dataset, spec.encoder, spec.text_recipe
                steps[key] = steps.get(key) or cost.encode.energy
    return list(steps.values())


def _accuracies(cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Per task and dataset with an AUC: its ApC, where the carbon of every seed is known.

    Of `auc` where the record has it, as published, else of `gauc`.
    """
    found = {}
    for cell in cells:
        measured = [_measured(entry.record) for entry in cell.entries]
        grams = _mean([energy.grams if energy else None for energy in measured])
        for name in ("auc", "gauc"):
            score = cell.scores.get((None, name))
            if grams is None or score is None or score.mean is None:
                continue
            value = apc(score.mean, grams)
            place = f"{cell.record.spec.task}/{cell.record.spec.dataset}"
            known = None if math.isnan(value) else value
            found[place] = {"value": known, "metric": name, "grams": grams}
            break
    return found


def _measured(record: Record) -> Energy | None:
    return record.cost.energy if record.cost is not None else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.sum(known)) if known and len(known) == len(values) else None
