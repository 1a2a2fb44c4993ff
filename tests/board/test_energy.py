"""Energy, carbon and accuracy per carbon on a board."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tastebench.board import make_board
from tastebench.board.export import to_json, to_markdown
from tastebench.board.load import Entry, sort_out
from tastebench.board.model import Board
from tastebench.runs.energy import Energy
from tastebench.runs.record import Cost, EncodeStep, Record

Make = Callable[..., Record]


def energy(kwh: float, intensity: float | None = 100.0, **changes: Any) -> Energy:
    """Half of it the processor's, and half the memory's."""
    fields: dict[str, Any] = {
        "kwh": kwh,
        "cpu_kwh": kwh / 2,
        "gpu_kwh": 0.0,
        "ram_kwh": kwh / 2,
        "seconds": 10.0,
        "method": {"cpu": "rapl", "gpu": "none", "ram": "estimated"},
        "scope": "fitting",
        "carbon_intensity": intensity,
        "grams": None if intensity is None else kwh * intensity,
        "others": 0.25,
    }
    return Energy(**{**fields, **changes})


def cost(measured: Energy | None, encoding: Energy | None = None, encoded: bool = False) -> Cost:
    step = EncodeStep(texts=9, texts_encoded=9, energy=encoding) if encoded or encoding else None
    return Cost(wall_seconds=1.0, energy=measured, encode=step)


def board_of(*records: Record) -> Board:
    return make_board(sort_out([Entry(record) for record in records]))


def test_tasks_add_up_seeds_are_averaged_and_encoding_stands_apart(record: Make) -> None:
    shared = energy(0.5)
    board = board_of(
        record("seqrec", encoder="a", cost=cost(energy(0.01), shared), spec={"seed": 0}),
        record("seqrec", encoder="a", cost=cost(energy(0.03), shared), spec={"seed": 1}),
        record("cf", "alpharec", encoder="a", cost=cost(energy(0.1), shared)),
    )
    found = board.rows[0].cost["energy"]
    assert found["kwh"] == pytest.approx(0.12)
    assert found["cpu_kwh"] == pytest.approx(0.06)
    assert found["ram_kwh"] == pytest.approx(0.06)
    assert found["gpu_kwh"] == 0.0
    assert found["grams"] == pytest.approx(12.0)
    assert found["encode_kwh"] == 0.5
    assert found["encode_grams"] == 50.0
    assert found["method"] == {"cpu": ["rapl"], "gpu": ["none"], "ram": ["estimated"]}
    assert (found["estimated"], found["complete"]) == (False, True)
    assert (found["carbon_intensity"], found["pue"], found["others"]) == ([100.0], [1.0], 0.25)
    assert found["apc"] == {}
    assert json.loads(to_json(board))["rows"][0]["cost"]["energy"] == found


def test_steps_of_two_datasets_both_count(record: Make) -> None:
    board = board_of(
        record(encoder="a", cost=cost(energy(0.1), energy(0.5))),
        record(encoder="a", cost=cost(energy(0.1), energy(0.2)), spec={"dataset": "other"}),
    )
    assert board.rows[0].cost["energy"]["encode_kwh"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("second", "kwh", "grams"),
    [
        (energy(0.3), 0.4, 40.0),
        (energy(0.3, intensity=None), 0.4, None),
        (None, None, None),
    ],
)
def test_a_sum_with_an_unknown_part_is_unknown(
    second: Energy | None, kwh: float | None, grams: float | None, record: Make
) -> None:
    board = board_of(
        record("seqrec", encoder="a", cost=cost(energy(0.1))),
        record("cf", "alpharec", encoder="a", cost=cost(second, encoded=True)),
    )
    found = board.rows[0].cost["energy"]
    assert found["kwh"] == (None if kwh is None else pytest.approx(kwh))
    assert found["grams"] == (None if grams is None else pytest.approx(grams))
    assert found["encode_kwh"] is None


@pytest.mark.parametrize(
    ("means", "metric", "value"),
    [
        ({"auc": 0.75, "gauc": 0.6}, "auc", 25 / 20 * 100),
        ({"gauc": 0.6, "ndcg@10": 0.1}, "gauc", 10 / 20 * 100),
        ({"gauc": 0.45}, "gauc", -5 / 20 * 100),
    ],
)
def test_accuracy_per_carbon_is_of_auc_or_else_of_gauc(
    means: dict[str, float], metric: str, value: float, record: Make
) -> None:
    one = record(means=means, headline=metric, cost=cost(energy(0.1)), spec={"seed": 0})
    two = record(means=means, headline=metric, cost=cost(energy(0.3)), spec={"seed": 1})
    board = board_of(one, two)
    assert board.rows[0].cost["energy"]["apc"] == {
        "seqrec/shop": {
            "value": pytest.approx(value),
            "metric": metric,
            "grams": pytest.approx(20.0),
        }
    }
    assert any(note.startswith(f"ApC: (100 {metric} - 50)") for note in board.notes)
    assert f"{value:.3g}" in str(board)


def test_nothing_emitted_is_no_accuracy_per_carbon(record: Make) -> None:
    board = board_of(record(means={"auc": 0.7}, headline="auc", cost=cost(energy(0.1, 0.0))))
    assert board.rows[0].cost["energy"]["apc"]["seqrec/shop"]["value"] is None
    assert "ApC" not in str(board).split("\n\n")[0]
    json.loads(to_json(board))


def test_without_an_intensity_there_is_energy_and_no_carbon(record: Make) -> None:
    board = board_of(record(means={"auc": 0.7}, headline="auc", cost=cost(energy(0.1, None))))
    text = str(board)
    assert "kWh" in text
    assert "CO2e" not in text and "ApC" not in text


def test_the_columns_are_there_where_something_was_measured(record: Make) -> None:
    measured = record(encoder="a", cost=cost(energy(0.00049, 200.0), energy(3.79e-05, 200.0)))
    bare = record("seqrec", "popularity", cost=Cost(wall_seconds=1.0))
    board = board_of(measured, bare)
    text = str(board)
    assert "kWh of" in text and "g CO2e" in text
    row = next(line for line in text.splitlines() if line.split()[1:2] == ["a"])
    assert row.split()[-3:] == ["0.00049", "3.79e-05", "0.098"]
    other = next(line for line in text.splitlines() if "popularity" in line)
    assert other.split()[-3:] == ["-", "-", "-"]
    assert "| kWh | kWh of encoding | g CO2e |" in to_markdown(board)
    assert "| 0.00049 | 3.79e-05 | 0.098 |" in to_markdown(board)
    assert any("cpu rapl, gpu none, ram estimated" in note for note in board.notes)
    assert "at 200 g per kWh" in text
    assert bare.cost is not None and "kWh" not in str(board_of(bare))


def test_energy_of_a_part_is_said(record: Make) -> None:
    part = energy(0.1, complete=False)
    board = board_of(record(encoder="a", cost=cost(part)))
    assert "energy of interrupted work in part only: a" in board.notes
