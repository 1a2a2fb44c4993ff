"""Questions made from a dataset: who reads everything is right wherever that is enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.contracts import Items, QaProblem, Values
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSpec, generate
from tastebench.data.questions.attributes import read_attribute
from tastebench.data.schema import Tables
from tastebench.recommenders import build_recommender, get_recommender
from tastebench.training.fit import FabricTrainer

N_ITEMS, N_USERS = 60, 400
READ = ("df", "mf", "li", "si", "it")


def dataset() -> Dataset:
    """Items with a category, up to two genres, brands that some lack, commas in them; users."""
    rng = np.random.default_rng(1)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "category": [f"c{i % 6}" for i in range(N_ITEMS)],
            "genres": [[f"g{i % 5}", f"h{i % 7}, new"][: 1 + i % 2] for i in range(N_ITEMS)],
            "brand": [None if i % 10 == 0 else f"b{i % 8}, Sons" for i in range(N_ITEMS)],
        }
    )
    events = []
    for user in range(N_USERS):
        liked = rng.integers(6, size=3)
        for n in range(int(rng.integers(12, 40))):
            category = liked[n // 14] if rng.random() < 0.6 else rng.integers(6)
            events.append((f"u{user}", f"i{int(category) + 6 * int(rng.integers(10))}"))
    taken = pl.DataFrame(events, schema=["user_id", "item_id"], orient="row")
    taken = taken.with_columns(row=pl.int_range(pl.len()), time=pl.int_range(pl.len()))
    card = DatasetCard(name="shop", title="A shop")
    return Dataset.create(card, Tables(items=items, interactions=taken))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_reads_all_is_right_where_reading_is_enough(language: Any) -> None:
    """Two programs that share the wordings alone agree on every right answer."""
    source = dataset()
    spec = QuestionSpec(
        language=language,
        questions=700,
        train_questions=400,
        valid_questions=50,
        ratios=(0.3, 0.1, 0.6),
    )
    made = generate(source, spec)
    columns, values = {}, {}
    for rule in made.attributes:
        attribute = read_attribute(source, rule, spec.title_characters)
        columns[rule.name] = np.append(attribute.texts, "")[attribute.whole].tolist()
        values[rule.name] = Values(attribute.each, attribute.values)
    items = Items(
        n=source.n_items, text=columns["title"], columns=columns, values=values, forms=("text",)
    )
    problem = QaProblem(
        source.n_items, 512, made.parts["train"], made.parts["valid"], made.parts["test"]
    )
    right: dict[str, dict[str, float]] = {}
    test = problem.test
    for name in ("majority", "attribute-count", "reads-all"):
        card = get_recommender(name)
        answering: Any = build_recommender(card, card.config())
        answering.fit(problem, items, FabricTrainer(seed=0))
        found = answering.answer(test)
        assert set(found.status) == {"answered"}
        hit = found.scores.argmax(axis=1) == test.gold
        right[name] = {k: float(hit[test.kind == i].mean()) for i, k in enumerate(test.kinds)}
        right[name]["all"] = float(hit.mean())
    assert {kind: right["reads-all"][kind] for kind in READ} == dict.fromkeys(READ, 1.0)
    assert right["reads-all"]["ap"] > 0.3  # a guess, and better than none
    assert right["majority"]["all"] == pytest.approx(0.25, abs=0.08)
    assert right["majority"]["all"] < right["attribute-count"]["all"] < right["reads-all"]["all"]
