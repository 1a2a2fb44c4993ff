"""The scaling studies: which sizes and which lengths of history they have."""

from __future__ import annotations

from typing import Any

import pytest

from tastebench import suites
from tastebench.recommenders.userqa.encoders import SCALES, dense_parameters, make_encoder
from tastebench.recommenders.userqa.user_embedding import UserEmbeddingConfig
from tastebench.runs.plan import Plan


def settings(plan: Plan, group: str) -> list[UserEmbeddingConfig]:
    return [
        UserEmbeddingConfig(**choice.params)
        for choice in plan.recommenders or ()
        if choice.group == group
    ]


def constant(config: UserEmbeddingConfig) -> dict[str, Any]:
    """What a study may not change beside what it is about."""
    return config.model_dump(exclude={"size", "shape", "events"})


@pytest.mark.parametrize(
    ("preset", "n_sizes", "lengths"),
    [(None, 8, [32, 64, 128, 256]), ("laptop", 5, [16, 32, 64, 128, 256])],
)
def test_nothing_but_size_and_events_varies(
    preset: str | None, n_sizes: int, lengths: list[int]
) -> None:
    plan = suites.find_plan("uqabench-scaling", preset=preset)
    sizes, events = settings(plan, "size"), settings(plan, "events")
    assert len(sizes) == n_sizes
    assert all(constant(one) == constant(sizes[0]) for one in [*sizes, *events])
    assert [one.events for one in events] == lengths
    assert all(one.events is None for one in sizes)
    assert plan.protocol["userqa"]["history_length"] == 512
    # The longest of the events' axis is one of the sizes, with all that the protocol shows.
    assert {one.encoder_settings.model_dump_json() for one in events} < {
        one.encoder_settings.model_dump_json() for one in sizes
    }
    assert plan.preliminary == (preset == "laptop")


def test_the_published_sizes_are_all_there() -> None:
    plan = suites.find_plan("uqabench-scaling")
    assert [one.size for one in settings(plan, "size")] == list(SCALES)


def test_a_laptop_has_some_ten_thousand_to_two_million_weights() -> None:
    plan = suites.find_plan("uqabench-scaling", preset="laptop")
    found = [
        dense_parameters(make_encoder(one.encoder_settings, 512)) for one in settings(plan, "size")
    ]
    assert found == [57_472, 131_328, 262_656, 524_800, 1_704_960]
