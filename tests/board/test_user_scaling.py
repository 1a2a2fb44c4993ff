"""User encoders over their size and over the events they read, with power laws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.board import make_board
from tastebench.board.load import Loaded, load
from tastebench.board.scaling import make_chart
from tastebench.board.user_scaling import user_panels
from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.runs.record import Record

Make = Callable[..., Record]
ASKED = {"task": "userqa", "history_length": 512, "questions": {"options": 4}}
SIZES = {32: 1_000, 64: 16_000, 128: 256_000}
USERS = 400


def right(error: float, difficulty: np.ndarray) -> list[float]:
    """Who is answered wrongly: the hardest, as many as the error says."""
    return (difficulty.argsort().argsort() >= round(error * len(difficulty))).tolist()


@pytest.fixture
def study(record: Make, write_run: Callable[..., Path], tmp_path: Path) -> Callable[..., Loaded]:
    """Three widths whose error is 0.6 at 1,000 parameters and halves whenever they are 16 times as
    many, and the widest with 32 to 512 events; beside who counts and who reads everything.
    """
    root = tmp_path / "results"

    def make(options: int = 4, drop: str | None = None, exponent: float = 0.25) -> Loaded:
        rng = np.random.default_rng(0)
        protocol = {**ASKED, "questions": {"options": options}}

        def write(error: float, name: str, probe: int | None, params: Any, **more: Any) -> None:
            for seed in (0, 1):
                one = record(
                    "userqa",
                    name,
                    row_by="run",
                    headline="accuracy",
                    protocol=protocol,
                    probes={"encoder_parameters": probe} if probe else {},
                    spec={"params": params, "seed": seed},
                    given={"params": params},
                    spec_hash=hash_json([name, params, seed]),
                    **more,
                )
                place = write_run(
                    root,
                    one,
                    {"accuracy": right(error, rng.random(USERS))},
                    weights={"accuracy": [2.0] * USERS},
                )
                if name == drop:
                    (place / "per_user.parquet").unlink()

        for width, parameters in SIZES.items():
            error = 0.6 * (parameters / 1000) ** -exponent
            write(error, "user-embedding", parameters, {"shape": {"width": width, "heads": 2}})
        for events, error in ((32, 0.6), (128, 0.3)):
            params = {"shape": {"width": 128, "heads": 2}, "events": events}
            write(error, "user-embedding", 256_000, params)
        write(0.5, "attribute-count", None, {}, kind="control")
        write(0.01, "reads-all", None, {}, kind="ceiling")
        return load(root)

    return make


def chart_of(loaded: Loaded) -> dict[str, Any]:
    spec: dict[str, Any] = make_chart(make_board(loaded), loaded).to_dict()
    return spec


def data_of(spec: dict[str, Any], panel: dict[str, Any], mark: str) -> list[dict[str, Any]]:
    (name,) = {layer["data"]["name"] for layer in panel["layer"] if layer["mark"]["type"] == mark}
    found: list[dict[str, Any]] = spec["datasets"][name]
    return found


def test_sizes_and_events_have_panels_with_the_law_that_they_follow(
    study: Callable[..., Loaded],
) -> None:
    spec = chart_of(study())
    sizes, events = spec["concat"]
    assert sizes["title"]["text"] == "shop: accuracy over dense parameters"
    dots = data_of(spec, sizes, "point")
    assert [(d["name"], d["dense parameters"]) for d in dots] == [
        (f"width {width}", parameters) for width, parameters in SIZES.items()
    ]
    assert [d["mean"] for d in dots] == pytest.approx([0.4, 0.7, 0.85])
    assert all(d["low"] < d["mean"] < d["high"] for d in dots)
    curve = data_of(spec, sizes, "line")
    assert (curve[0]["dense parameters"], curve[-1]["dense parameters"]) == (1000, 256_000)
    assert all(one["low"] < one["mean"] < one["high"] for one in curve)
    assert curve[len(curve) // 2]["mean"] == pytest.approx(0.7, abs=0.02)
    assert [(d["name"], d["events"]) for d in data_of(spec, events, "point")] == [
        ("32 events", 32),
        ("128 events", 128),
        ("512 events", 512),
    ]
    said = [line for line in spec["title"]["subtitle"] if "^-" in line]
    assert len(said) == 2
    assert said[0].startswith("shop, user-embedding: ")
    assert said[1].startswith("shop, user-embedding shape.width=128: ")
    assert "1 - accuracy = 3.37 x (dense parameters)^-b, b = 0.250 (95 % 0.2" in said[0]
    assert "over users), R2 1.00, 3 points" in said[0]
    assert "no sure trend" not in said[0]
    assert "(events)^-b, b = 0.500" in said[1]


def test_what_is_beside_the_encoders_is_a_line(study: Callable[..., Loaded]) -> None:
    spec = chart_of(study())
    panel = spec["concat"][0]
    flat = spec["datasets"][panel["layer"][0]["data"]["name"]]
    assert {d["name"]: d["mean"] for d in flat} == pytest.approx(
        {"attribute-count": 0.5, "guessing": 0.25}
    )


def test_without_tables_there_is_a_law_and_no_band(study: Callable[..., Loaded]) -> None:
    spec = chart_of(study(drop="user-embedding"))
    curve = data_of(spec, spec["concat"][0], "line")
    assert {one["low"] for one in curve} == {None}
    assert not [one for one in spec["concat"][0]["layer"] if one["mark"]["type"] == "area"]
    said = [line for line in spec["title"]["subtitle"] if "^-" in line]
    assert "interval unknown: not all were asked the same users" in said[0]


def test_a_law_whose_interval_holds_zero_is_no_trend(study: Callable[..., Loaded]) -> None:
    said = [line for line in chart_of(study(exponent=0.0))["title"]["subtitle"] if "^-b" in line]
    assert "(dense parameters)^-b, b = " in said[0] and "over users: no sure trend)" in said[0]


def test_who_guesses_is_no_part_of_the_law(study: Callable[..., Loaded]) -> None:
    """Of two options, 0.6 is more than the error of guessing; two sizes are left, and no law."""
    loaded = study(options=2)
    panels, said = user_panels(loaded, make_board(loaded))
    assert len(panels) == 2 and said == []


def test_other_boards_have_no_such_panels(
    record: Make, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    write_run(tmp_path / "r", record("seqrec", "ease"), {"ndcg@10": [0.1, 0.2]})
    loaded = load(tmp_path / "r")
    assert user_panels(loaded, make_board(loaded)) == ([], [])
    with pytest.raises(UsageError, match="no encoder of known size has a score"):
        make_chart(make_board(loaded), loaded)
