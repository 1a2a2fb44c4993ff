"""Right answers worked out by hand, of one user whose items are few enough to see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSpec
from tastebench.data.questions.answers import FAULTS, FINDERS, Gold, Variant
from tastebench.data.questions.templates import Form
from tastebench.data.questions.world import World

DatasetOf = Callable[[pl.DataFrame, dict[str, list[int]]], Dataset]

#        category    genres
ITEMS = [
    ("red", ["x", "y"]),
    ("red", ["y"]),
    ("blue", ["x"]),
    ("green", []),
    ("blue", ["z", "y"]),
    (None, ["z"]),
    ("grey", ["w"]),
]
# Places 1 to 9, and what comes next.
SEQUENCE = [0, 2, 3, 4, 1, 5, 2, 0, 4, 6]
# category: red blue green blue | red - blue | red blue -> 3 red, 4 blue, 1 green
# genres:   xy x - zy y z x xy zy -> x 4, y 5, z 3


@pytest.fixture(scope="module")
def world(dataset_of: DatasetOf) -> World:
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(len(ITEMS))],
            "title": [f"Thing {i}" for i in range(len(ITEMS))],
            "category": [category for category, _ in ITEMS],
            "genres": [genres for _, genres in ITEMS],
        }
    )
    dataset = dataset_of(items, {"u": SEQUENCE, "v": [0, 1, 2, 3]})
    spec = QuestionSpec(
        attributes=("category", "genre=genres:each"), min_length=3, recent=3, direct_within=3
    )
    return World.of(dataset, spec)


def gold(world: World, form: Form, attribute: int = -1, k: int = 0, seed: int = 0) -> Gold:
    rng = np.random.default_rng(seed)
    return FINDERS[form](world, np.array([0]), Variant(form, attribute, k), rng)


CATEGORY, GENRE = 1, 2


def words(world: World, found: Gold, attribute: int, *, single: bool) -> list[str]:
    texts = world.attributes[attribute].values if single else world.attributes[attribute].texts
    return [str(texts[code]) if code >= 0 else "" for code in found.codes[0]]


@pytest.mark.parametrize(
    ("form", "attribute", "k", "expected", "evidence"),
    [
        ("last", CATEGORY, 1, ["blue"], [9]),
        ("last", CATEGORY, 3, ["blue"], [7]),
        ("last", GENRE, 2, ["x, y"], [8]),
        ("last", 0, 1, ["Thing 4"], [9]),
        ("first", CATEGORY, 1, ["red"], [1]),
        ("first", GENRE, 2, ["x"], [2]),
        ("latest", CATEGORY, 3, ["blue", "red", "blue"], [7, 8, 9]),
        ("latest", GENRE, 2, ["x, y", "z, y"], [8, 9]),
        ("next_value", CATEGORY, 0, ["grey"], [10]),
        ("next_item", 0, 0, ["Thing 6"], [10]),
    ],
)
def test_what_an_item_is(
    world: World, form: Form, attribute: int, k: int, expected: list[str], evidence: list[int]
) -> None:
    found = gold(world, form, attribute, k)
    assert words(world, found, attribute, single=False) == expected
    assert found.evidence[0].tolist() == evidence
    assert found.fault.tolist() == [0]


@pytest.mark.parametrize(
    ("form", "attribute", "k", "expected", "evidence"),
    [
        # 4 blue, 3 red, 1 green.
        ("long_term", CATEGORY, 0, ["blue", "red", "green"], [1, 2, 3, 4, 5, 7, 8, 9]),
        # y in 1, 4, 5, 8, 9; x in 1, 2, 7, 8; z in 4, 6, 9.
        ("long_term", GENRE, 0, ["y", "x", "z"], [1, 2, 4, 5, 6, 7, 8, 9]),
        # The last 3: blue, red, blue.
        ("short_term", CATEGORY, 3, ["blue"], [7, 9]),
        # x, xy, zy: x and y twice each, y later.
        ("short_term", GENRE, 3, ["y"], [8, 9]),
        # red blue green | blue red - | blue red blue: of equals the later.
        ("trace", CATEGORY, 0, ["green", "red", "blue"], [3, 5, 7, 9]),
        # xy x - | zy y z | x xy zy: x; z and y twice each, z later (6 against 5); x and y, y later.
        ("trace", GENRE, 0, ["x", "z", "y"], [1, 2, 4, 6, 8, 9]),
    ],
)
def test_interests(
    world: World, form: Form, attribute: int, k: int, expected: list[str], evidence: list[int]
) -> None:
    found = gold(world, form, attribute, k)
    assert words(world, found, attribute, single=True) == expected
    assert found.evidence[0].tolist() == evidence
    assert found.fault.tolist() == [0]


def test_of_one_event_the_value_that_is_named_first_comes_first(dataset_of: DatasetOf) -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "title": ["A", "B", "C", "D"],
            "genres": [["q", "p"], ["p", "q"], ["r"], ["s"]],
        }
    )
    dataset = dataset_of(items, {"u": [1, 0, 0, 2]})
    spec = QuestionSpec(attributes=("genre=genres:each",), min_length=3, recent=3, direct_within=3)
    found = gold(World.of(dataset, spec), "short_term", 1, 3)
    assert words(World.of(dataset, spec), found, 1, single=True) == ["q"]


def test_how_long_and_how_many(world: World) -> None:
    found = gold(world, "length")
    assert found.codes.tolist() == [[9]]
    assert found.evidence[0].tolist() == list(range(1, 10))
    counts = {"red": [1, 5, 8], "blue": [2, 4, 7, 9], "green": [3]}
    seen, missing = set(), 0
    for seed in range(60):
        found = gold(world, "count", CATEGORY, seed=seed)
        assert found.named is not None
        if found.fault[0]:  # the item without a category was drawn
            missing += FAULTS[found.fault[0]] == "attribute_missing"
            continue
        name = str(world.attributes[CATEGORY].values[found.named[0]])
        seen.add(name)
        assert found.evidence[0].tolist() == counts[name]
        assert found.codes.tolist() == [[len(counts[name])]]
    assert seen == set(counts)
    assert missing > 0


def test_what_cannot_be_asked_has_a_reason(world: World) -> None:
    def fault(form: Form, attribute: int, k: int = 0, who: int = 0) -> str:
        found = FINDERS[form](
            world, np.array([who]), Variant(form, attribute, k), np.random.default_rng(0)
        )
        return FAULTS[found.fault[0]]

    assert fault("first", CATEGORY, 6) == "attribute_missing"
    assert fault("latest", CATEGORY, 4) == "attribute_missing"
    # v: red red blue, then green.
    assert fault("long_term", CATEGORY, who=1) == "too_few_values"
    assert fault("trace", CATEGORY, who=1) == ""
    assert fault("next_value", GENRE, who=1) == "attribute_missing"


def test_a_user_who_never_changes_has_no_trace(dataset_of: DatasetOf) -> None:
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(6)],
            "title": [f"Thing {i}" for i in range(6)],
            "category": ["a", "a", "b", "c", "d", "a"],
        }
    )
    dataset = dataset_of(items, {"u": [0, 1, 0, 2], "v": [2, 3, 4, 0], "w": [0, 1, 2, 0]})
    spec = QuestionSpec(attributes=("category",), min_length=3, recent=3, direct_within=3)
    world = World.of(dataset, spec)
    who, rng = np.arange(3), np.random.default_rng(0)
    trace = FINDERS["trace"](world, who, Variant("trace", 1), rng)
    assert [FAULTS[f] for f in trace.fault] == ["no_change_of_interest", "", ""]
    short = FINDERS["short_term"](world, who, Variant("short_term", 1, 3), rng)
    assert [FAULTS[f] for f in short.fault] == ["", "no_value_twice", ""]
    following = FINDERS["next_item"](world, who, Variant("next_item", 0), rng)
    assert [FAULTS[f] for f in following.fault] == ["", "", "next_item_seen_before"]
