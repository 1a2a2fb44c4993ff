"""Click models: what is kept changes no score, schemes begin where they must, tastes are learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.contracts import Candidates, CtrProblem, Items, Pairs
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.ctr.click_model import ClickModel
from tastebench.recommenders.ctr.item_operators.language_model import LanguageModel
from tastebench.tasks import TASKS
from tastebench.tasks.shown import Shown, score_all
from tastebench.testing.language_models import tiny_language_model
from tastebench.testing.tiny import N_ITEMS, TEXTS, tiny
from tastebench.training.fit import FabricTrainer

NARROW = {"hidden_size": 16, "epochs": 2, "batch_size": 8, "patience": 2}
TOWERS = {"tower": [8, 8]}
PREDICTORS = {
    "dnn": {"operator": "dnn", **TOWERS},
    "pnn": {"operator": "pnn", **TOWERS},
    "deepfm": {"operator": "deepfm", **TOWERS},
    "dcn": {"operator": "dcn", **TOWERS},
    "dcnv2": {"operator": "dcnv2", **TOWERS},
    "masknet": {"operator": "masknet", **TOWERS},
    "finalmlp": {"operator": "finalmlp", **TOWERS},
    "autoint": {"operator": "autoint", **TOWERS},
    "gdcn": {"operator": "gdcn", **TOWERS},
    "din": {"operator": "din", **TOWERS},
    "bst": {"operator": "dnn", **TOWERS},
}
MATCHING = ("naml", "nrms", "lstur", "fastformer", "miner")


def model(name: str, **more: Any) -> ClickModel:
    """A named model, narrow enough for a test."""
    card = get_recommender(name)
    given = {**NARROW, **({"predictor": PREDICTORS[name]} if name in PREDICTORS else {}), **more}
    made = card.build(card.config(**given))
    assert isinstance(made, ClickModel)
    return made


def items(representation: str) -> Items:
    case = tiny("ctr").items
    forms: Any = tuple(representation.split("+"))
    return replace(case, forms=forms)


def fitted(name: str, representation: str, **more: Any) -> tuple[ClickModel, Shown]:
    case = tiny("ctr")
    made = model(name, **more)
    made.fit(case.problem, items(representation), FabricTrainer(seed=0))
    shown = TASKS.get("ctr").ask(case.problem, case.protocol, "test", case.forms)
    assert isinstance(shown, Shown)
    return made, shown


@pytest.mark.parametrize("representation", ["id", "text", "vector", "id+vector"])
@pytest.mark.parametrize("name", [*PREDICTORS, *MATCHING])
def test_what_is_kept_changes_no_score(name: str, representation: str) -> None:
    """Cached evaluation equals uncached, and a candidate alone equals it in company."""
    made, shown = fitted(name, representation)
    kept = score_all(made, shown.candidates)
    made.keep("nothing")
    np.testing.assert_allclose(score_all(made, shown.candidates), kept, rtol=0, atol=1e-5)
    for what in ("items", "users", "nothing"):
        made.keep(what)  # type: ignore[arg-type]
        for _ in range(2):
            alone = [shown.request(made, row)[0] for row in range(len(shown))]
            np.testing.assert_allclose(alone, kept, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [*PREDICTORS, *MATCHING])
def test_longer_padding_changes_no_score(name: str) -> None:
    """A short history beside a long one scores as it does alone."""
    made, _ = fitted(name, "text")
    histories = Ragged.from_lists([[0, 1], [2, 3, 4, 5, 6], []])
    candidates = Ragged.from_lists([[7, 8], [7], [7, 9]])
    together = score_all(made, Candidates(histories, np.arange(3), candidates))
    alone = [
        score_all(made, Candidates(histories[i : i + 1], np.array([i]), candidates[i : i + 1]))
        for i in range(3)
    ]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=0, atol=1e-5)
    assert np.isfinite(together).all()


def test_scores_of_matching_only_order() -> None:
    """They stay right if all of an asker's are shifted; so no probability is read from them."""
    assert model("dnn").log_odds
    for name in MATCHING:
        assert not model(name).log_odds
    case = tiny("ctr")
    made, _ = fitted("naml", "id")
    means = TASKS.get("ctr").evaluate(made, case.problem, case.protocol, "test").means()
    assert np.isnan(means["logloss"]) and 0 <= means["gauc"] <= 1
    made, _ = fitted("naml", "id", negatives=0)
    means = TASKS.get("ctr").evaluate(made, case.problem, case.protocol, "test").means()
    assert means["logloss"] > 0


@pytest.mark.parametrize(("negatives", "loss"), [(4, np.log(5)), (0, np.log(2))])
def test_losses_begin_where_nothing_is_known(negatives: int, loss: float) -> None:
    """About ln(K + 1) for a click among K others, ln 2 for a row: scores near zero say nothing."""
    made = model("bricks", negatives=negatives, predictor={"operator": "dot"}, epochs=1)
    case = tiny("ctr")
    seen: list[float] = []

    class Watch(FabricTrainer):
        def fit(self, module: nn.Module, settings: Any, batches: Any, loss: Any) -> Any:
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.mul_(1e-3)
                for batch in batches(self.rng("watch")):
                    seen.append(loss(batch).item())
            return super().fit(module, settings, batches, loss)

    made.fit(case.problem, items("id"), Watch(seed=0))
    assert np.mean(seen) == pytest.approx(loss, abs=1e-3)


def taste(n_users: int, seed: int) -> CtrProblem:
    """Users of two kinds who click items of their own kind and none of the other."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(2, size=n_users)
    history = [(rng.permutation(10)[:4] + 10 * k).tolist() for k in kind]
    item = np.stack(
        [
            rng.integers(10, size=n_users) + 10 * kind,
            rng.integers(10, size=n_users) + 10 * (1 - kind),
        ],
        1,
    )
    user = np.repeat(np.arange(n_users), 2)
    label = np.tile(np.array([1, 0], np.int8), n_users)
    rows = Pairs(user, user, item.ravel().astype(np.int32), label, user)
    third = n_users // 3 * 2
    parts = [rows[:third], rows[third : 2 * third], rows[2 * third :]]
    return CtrProblem(20, n_users, 4, Ragged.from_lists(history), *parts)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("dnn", {}),
        ("gdcn", {}),
        ("din", {}),
        ("bst", {}),
        ("nrms", {"hidden_size": 16}),
        ("bricks", {"predictor": "dot", "negatives": 2}),
    ],
)
def test_a_taste_is_learnt(name: str, more: dict[str, Any]) -> None:
    problem = taste(600, 1)
    made = model(name, **{"epochs": 30, "batch_size": 32, "lr": 1e-2, **more})
    made.fit(problem, Items(n=20, forms=("id",)), FabricTrainer(seed=0))
    protocol = tiny("ctr").protocol
    found = TASKS.get("ctr").evaluate(made, problem, protocol, "test")
    assert found.means()["gauc"] > 0.9


def test_vectors_are_frozen_or_trained_on_and_dual_with_ids() -> None:
    case = tiny("ctr")
    for mode, moves in (("frozen", False), ("initialised", True)):
        made = model("dnn", item={"operator": "vector", "mode": mode}, predictor=PREDICTORS["dnn"])
        made.fit(case.problem, items("vector"), FabricTrainer(seed=0))
        named = dict(made.network.operators[0].named_parameters())
        wide = [p for p in named.values() if p.shape == (N_ITEMS, 8)]
        assert bool(wide) == moves
        if moves:
            assert not torch.equal(wide[0], torch.from_numpy(np.asarray(case.items.vector)))
    dual, _ = fitted("dnn", "id+vector")
    one = dual.network.operators[0](torch.arange(N_ITEMS))
    other = dual.network.operators[1](torch.arange(N_ITEMS))
    torch.testing.assert_close(dual.network.embed(torch.arange(N_ITEMS)), (one + other) / 2)


def test_miner_pays_for_interests_that_agree() -> None:
    case = tiny("ctr")
    losses = []
    for weight in (0.0, 100.0):
        made = model("miner", predictor={"operator": "miner", "disagreement": weight}, epochs=1)
        report = made.fit(case.problem, items("id"), FabricTrainer(seed=0))
        losses.append(report.curve[0]["loss"])
    assert losses[1] > losses[0] + 1


def test_two_fits_of_a_seed_are_equal_and_of_two_seeds_are_not() -> None:
    case = tiny("ctr")
    scores = []
    for seed in (0, 0, 1):
        made = model("nrms")
        made.fit(case.problem, items("text"), FabricTrainer(seed=seed))
        shown = TASKS.get("ctr").ask(case.problem, case.protocol, "test", case.forms)
        assert isinstance(shown, Shown)
        scores.append(score_all(made, shown.candidates))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_words_of_test_items_are_not_learnt() -> None:
    """The vocabulary is that of items in training rows and their histories."""
    made, _ = fitted("dnn", "text")
    taught = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}  # rows and histories of users 0 to 3
    words = {word for item in taught for word in TEXTS[item].replace(",", "").split()}
    kinds = {f"{item // 2}" for item in taught} | {"kind"}
    table = next(p for p in made.network.operators[0].parameters() if p.ndim == 2)
    assert len(table) <= 1 + 1 + len(words | kinds)


def test_nothing_clicked_is_said() -> None:
    case = tiny("ctr")
    none = replace(case.problem.train, label=np.zeros_like(case.problem.train.label))
    with pytest.raises(UsageError, match="nothing was clicked in the training part"):
        model("dnn").fit(replace(case.problem, train=none), items("id"), FabricTrainer(seed=0))


def test_asking_before_fitting_is_said() -> None:
    with pytest.raises(UsageError, match="dnn is not fitted"):
        model("dnn").score(
            Candidates(Ragged.from_lists([[]]), np.array([0]), Ragged.from_lists([[0]]))
        )


def test_a_language_model_learns_at_a_rate_of_its_own(tmp_path: Path) -> None:
    """`item_lr` is that of the layers that were pretrained; what is new beside them has `lr`."""
    folder = tiny_language_model(tmp_path / "bert", "bert")
    item = {"operator": "language-model", "model": str(folder), "tune_from": -1}

    def trained(lr: float, item_lr: float | None) -> tuple[list[Tensor], Tensor]:
        made, _ = fitted("plm-nr", "text", item=item, lr=lr, item_lr=item_lr)
        [operator] = made.network.operators
        assert isinstance(operator, LanguageModel)
        return operator.slow_parameters(), operator.project.weight

    begun, new = trained(1e-12, None)  # too little to see
    slow, learnt = trained(1e-2, 1e-12)
    fast, _ = trained(1e-2, None)

    def moved(parameters: list[Tensor]) -> float:
        pairs = zip(parameters, begun, strict=True)
        return max((now - was).abs().max().item() for now, was in pairs)

    assert moved(slow) < 1e-9 and moved(fast) > 1e-3
    assert (learnt - new).abs().max() > 1e-3
