"""The page docs/bring-your-recommender.md does what it says."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch

import tastebench as tb
from tastebench.contracts import Candidates
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.encoders import ENCODERS
from tastebench.ragged import Ragged
from tastebench.recommenders import RECOMMENDERS, get_recommender
from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS, PREDICTORS, USER_OPERATORS
from tastebench.runs.hyperparameters import resolve
from tastebench.tasks import TASKS
from tastebench.testing import RecommenderTests
from tastebench.testing.tiny import tiny
from tastebench.training.fit import FabricTrainer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-recommender.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
[EXAMPLE, CONFORMANCE, RUN, CLICKS, PARAMETERS, BRICK] = BLOCKS
TOML = [
    tomllib.loads(block)
    for block in re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
]


def done(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": __name__}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


NAMES = done(EXAMPLE, CONFORMANCE, CLICKS, PARAMETERS)
TestLikeTheLast = NAMES["TestLikeTheLast"]


class TestFading(RecommenderTests):
    card = NAMES["FADING"]
    config: ClassVar = {"half_life": 2.0}


class TestLikeAny(RecommenderTests):
    card = NAMES["LIKE_ANY"]


def test_the_click_example_scores_what_it_says() -> None:
    case = tiny("ctr")
    recommender = NAMES["LIKE_ANY"].build(None)
    recommender.fit(case.problem, case.items, FabricTrainer(seed=0))
    lists = Ragged.from_lists
    asked = Candidates(lists([[0, 1], []]), np.array([0, 1]), lists([[2, 3], [4]]))
    vectors = case.items.vector / np.linalg.norm(case.items.vector, axis=1, keepdims=True)
    user = (vectors[0] + vectors[1]) / 2
    # Of the sixteen training rows eight are clicks: log-odds 0 for who has no history.
    np.testing.assert_allclose(
        recommender.score(asked), [user @ vectors[2], user @ vectors[3], 0.0], atol=1e-6
    )


def test_without_log_odds_what_needs_probabilities_is_undefined() -> None:
    case = tiny("ctr")
    recommender = NAMES["LIKE_ANY"].build(None)
    recommender.fit(case.problem, case.items, FabricTrainer(seed=0))
    metrics = ("gauc", "auc", "ndcg@3", "logloss", "f1", "ece")
    protocol = case.protocol.model_copy(update={"metrics": metrics})
    means = {}
    for log_odds in (True, False):
        recommender.log_odds = log_odds
        evaluation = TASKS.get("ctr").evaluate(
            recommender, case.problem, protocol, "test", case.forms
        )
        means[log_odds] = evaluation.means()
    undefined = {name for name, mean in means[False].items() if np.isnan(mean)}
    assert undefined == {"logloss", "f1", "ece"}
    assert not any(np.isnan(mean) for mean in means[True].values())
    for name in set(metrics) - undefined:
        assert means[True][name] == means[False][name]


def small_shop(folder: Path) -> Path:
    """Thirty users who mostly take the next of ten items."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{(start + step) % 10}", step)
        for user, start in enumerate(rng.integers(0, 10, 30))
        for step in range(6)
    ]
    names = [f"i{item}" for item in range(10)]
    tables = Tables(
        items=pl.DataFrame({"item_id": names, "title": [f"thing {name}" for name in names]}),
        interactions=pl.DataFrame(rows, ["user_id", "item_id", "time"], orient="row"),
    )
    card = DatasetCard(name="small", title="Small", tasks=("seqrec",))
    Dataset.create(card, tables).save(folder)
    return folder


class Letters:
    """Counts letters: an encoder that runs in this process and costs nothing."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([np.bincount(list(text.encode()), minlength=128) for text in texts], float)


def test_the_run_ends_in_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run, plans = tb.run, []

    def quicker(plan: dict[str, Any]) -> tb.Results:
        """The plan of the page on a small shop, in this process."""
        plans.append(plan)
        small = {
            "datasets": [str(small_shop(tmp_path / "small"))],
            "encoders": [tb.as_encoder(Letters(), "letters")],
            "recommenders": plan["recommenders"][:1],
        }
        return run({**plan, **small}, progress=False)

    monkeypatch.setattr(tb, "run", quicker)
    names = done(EXAMPLE, RUN)
    assert [record.spec.recommender for record in names["results"].records] == ["like-the-last"]
    assert not names["results"].failed
    assert "like-the-last" in capsys.readouterr().out
    [plan] = plans
    assert set(plan["recommenders"][1:]) <= set(RECOMMENDERS)
    assert set(plan["encoders"]) <= set(ENCODERS)


# ------------------------------------------------------------------------------------------ bricks


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the page as an installer would lay it down, entry points and all."""
    package = tmp_path / "site" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "cosine.py").write_text(BRICK)
    about = tmp_path / "site" / "my_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    [points] = [
        groups
        for groups in (toml["project"]["entry-points"] for toml in TOML)
        if PREDICTORS.group in groups
    ]
    lines = [
        line
        for group, names in points.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in names.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(PREDICTORS, "_foreign", None)  # names found before it was installed
    yield
    for name in ("my_package.cosine", "my_package"):
        sys.modules.pop(name, None)


def test_a_predictor_of_a_package_is_a_brick_like_any(installed: None) -> None:
    assert PREDICTORS.names()[-1] == "cosine"
    card = get_recommender("bricks")
    with pytest.raises(tb.UsageError, match="cosine has no setting 'scal': did you mean scale"):
        resolve(card, {"predictor": {"operator": "cosine", "scal": 2}})
    with pytest.raises(
        tb.UsageError, match="predictor cosine reads a user as vector, and the user"
    ):
        resolve(card, {"predictor": "cosine", "user": "none"})
    params: dict[str, Any] = {
        "predictor": {"operator": "cosine", "scale": 2.0},
        "user": "pooling",
        "item": "id",
        "negatives": 2,
        "hidden_size": 8,
        "epochs": 2,
    }
    config = card.config(**params)
    case, model = tiny("ctr"), card.build(config)
    report = model.fit(case.problem, replace(case.items, forms=("id",)), FabricTrainer(seed=0))
    assert len(report.curve) == 2
    lists = Ragged.from_lists
    asked = Candidates(lists([[0, 1], [5]]), np.array([0, 1]), lists([[2, 3], [4]]))
    made = model.network.embed(torch.arange(12)).detach().numpy()  # type: ignore[attr-defined]
    users = np.stack([(made[0] + made[1]) / 2, made[5]])[[0, 0, 1]]
    shown = made[[2, 3, 4]]
    lengths = np.linalg.norm(users, axis=1) * np.linalg.norm(shown, axis=1)
    expected = 2 * (users * shown).sum(axis=1) / lengths
    scores = model.score(asked)  # type: ignore[attr-defined]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.ptp(scores) > 0


def test_the_page_names_the_groups_of_all_bricks() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for registry in (ITEM_OPERATORS, USER_OPERATORS, PREDICTORS):
        assert f"`{registry.group}`" in text
