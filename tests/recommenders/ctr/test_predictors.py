"""Every predictor: its size, its settings, and what holds for all of them."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import PREDICTORS

N, FIELDS, WIDTH, CLICKS, USER_LEVELS, ITEM_LEVELS = 6, 5, 4, 7, 3, 2
LENGTHS = torch.tensor([7, 2, 0, 1, 4, 7])

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "dot": [{}],
    "dnn": [{}, {"activation": "gelu"}, {"activation": "prelu"}, {"activation": "dice"}],
    "pnn": [{}, {"variant": "reference"}],
    "deepfm": [{}, {"variant": "reference"}],
    "dcn": [{}, {"layers": 1}],
    "dcnv2": [
        {},
        {"structure": "stacked"},
        {"structure": "stacked_parallel"},
        {"rank": 2},
        {"rank": 2, "experts": 3},
        {"variant": "reference", "rank": 3},
        {"variant": "reference", "structure": "parallel"},
    ],
    "masknet": [{}, {"structure": "serial"}, {"variant": "reference"}],
    "finalmlp": [{}, {"heads": 2, "second_tower": (6, 4)}, {"variant": "reference"}],
    "autoint": [
        {},
        {"deep": False, "attention_width": 4, "attention_dropout": 0.5},
        {"variant": "reference"},
    ],
    "gdcn": [{}, {"structure": "stacked"}, {"variant": "reference"}],
    "din": [
        {},
        {"softmax": True},
        {"attention_activation": "prelu", "activation": "relu"},
        {"variant": "reference"},
    ],
    "miner": [{}, {"score": "max"}, {"score": "mean"}],
    "mixture": [{}, {"base": "deepfm", "variant": "reference"}, {"base": "dcnv2"}],
}
CASES = [(name, given) for name, each in SETTINGS.items() for given in each]
every_case = pytest.mark.parametrize(
    ("name", "given"),
    CASES,
    ids=[f"{name}-{'-'.join(map(str, given.values()))}".rstrip("-") for name, given in CASES],
)


def predictor(name: str, width: int = WIDTH, fields: int = FIELDS, **given: Any) -> nn.Module:
    """One with a small tower, from the same draw each time."""
    torch.manual_seed(0)
    card = PREDICTORS.get(name)
    if "tower" in card.config.model_fields:
        given = {"tower": (8, 6), **given}
    n = USER_LEVELS * ITEM_LEVELS if card.item == "vectors" else fields
    return card.build(card.settings(given, where="test"), width, n)


def spread(module: nn.Module) -> nn.Module:
    """The same with weights large enough that every part of it shows in the result."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.6)
    return module


def inputs(name: str, scale: float = 1.0) -> tuple[Tensor, ...]:
    """What it reads: N rows, of which one clicked nothing."""
    rng = torch.Generator().manual_seed(2)

    def draw(*shape: int) -> Tensor:
        return scale * torch.randn(N, *shape, WIDTH, generator=rng)

    card = PREDICTORS.get(name)
    if card.reads == "fields":
        return (draw(FIELDS),)
    if card.reads == "sequence":
        return draw(CLICKS), draw(), torch.arange(CLICKS) < LENGTHS[:, None]
    user = draw(USER_LEVELS) if card.reads == "vectors" else draw()
    return user, draw(ITEM_LEVELS) if card.item == "vectors" else draw()


# ------------------------------------------------------------------------------ cards, settings


def test_every_predictor_is_here() -> None:
    assert list(SETTINGS) == PREDICTORS.names()


@pytest.mark.parametrize("name", PREDICTORS.names())
def test_a_card_says_what_it_is(name: str) -> None:
    card = PREDICTORS.get(name)
    assert card.name == name
    assert card.summary
    assert card.citation or name == "dot"
    undocumented = [key for key, field in card.config.model_fields.items() if not field.description]
    assert undocumented == []


@every_case
def test_settings_survive_being_written_down(name: str, given: dict[str, Any]) -> None:
    """A record holds all values; reading it again makes the same predictor."""
    card = PREDICTORS.get(name)
    settings = card.settings(given, where="test")
    assert card.settings(settings.model_dump(mode="json"), where="test") == settings


def test_listing_them_loads_no_torch() -> None:
    code = (
        "import sys; from tastebench.recommenders.ctr.bricks import PREDICTORS;"
        "[PREDICTORS.get(name).config() for name in PREDICTORS]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("dnn", 2_132_001),
        ("pnn", 2_133_001),
        ("deepfm", 2_132_001),
        ("dcn", 2_132_897),
        ("dcnv2", 4_375_489),
        ("masknet", 2_109_601),
        ("finalmlp", 5_264_002),
        ("autoint", 2_168_994),
        ("gdcn", 2_230_817),
        ("din", 2_084_578),
    ],
)
def test_the_reference_has_the_parameters_of_recbench(name: str, parameters: int) -> None:
    """T3: at width 64 with two fields and its default settings."""
    card = PREDICTORS.get(name)
    network = card.build(card.settings({"variant": "reference"}, where="test"), 64, 2)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("dnn", {"tower": ()}, "dnn: tower: .*at least 1 item"),
        ("dnn", {"tower": (8, 0)}, "dnn: tower.1: .*greater than or equal to 1"),
        ("dnn", {"dropout": 1.0}, "dnn: dropout: .*less than 1"),
        ("dnn", {"activation": "rellu"}, "dnn: activation: .*'relu'"),
        ("dnn", {"layer": 3}, "dnn has no setting 'layer'"),
        ("dot", {"tower": (8,)}, "dot has no setting 'tower'"),
        ("dcnv2", {"experts": 4}, "dcnv2: settings: experts=4 are of low rank: set rank"),
        ("dcnv2", {"structure": "side"}, "dcnv2: structure: .*'parallel', 'stacked'"),
        ("autoint", {"heads": 3}, "autoint: settings: heads=3 does not divide attention_width=64"),
        ("finalmlp", {"heads": 3}, "finalmlp: settings: heads=3 does not divide the last width"),
        (
            "finalmlp",
            {"heads": 4, "second_tower": (6,)},
            "finalmlp: settings: heads=4 does not divide the last width 6",
        ),
        ("mixture", {"base": "din"}, "mixture: base: din does not read fields.*dnn, pnn"),
        ("mixture", {"base": "dcnv3"}, "unknown predictor 'dcnv3': did you mean dcnv2"),
        ("miner", {"score": "sum"}, "miner: score: .*'weighted', 'max' or 'mean'"),
        ("miner", {"disagreement": -1}, "miner: disagreement: .*greater than or equal to 0"),
    ],
)
def test_settings_that_cannot_be_meant(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PREDICTORS.get(name).settings(given, where="test")


@pytest.mark.parametrize("gates", [(0, FIELDS), (-FIELDS - 1, 0)])
def test_gates_of_fields_that_there_are_not(gates: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"gates=.* name a field that is not one of 5\n.*-5 to 4"):
        predictor("finalmlp", gates=gates)


def test_a_mixture_of_other_levels_than_it_was_built_for() -> None:
    user, item = inputs("mixture")
    with pytest.raises(
        UsageError, match="built for 6 pairs of levels, and a user has 2 levels, an"
    ):
        predictor("mixture")(user[:, :2], item)


# ------------------------------------------------------------------------------- every predictor


@every_case
def test_a_finite_logit_a_row(name: str, given: dict[str, Any]) -> None:
    logits = predictor(name, **given)(*inputs(name))
    assert logits.shape == (N,)
    assert logits.isfinite().all()


@every_case
def test_a_row_alone_scores_as_in_a_batch(name: str, given: dict[str, Any]) -> None:
    ours, rows = spread(predictor(name, **given)).eval(), inputs(name)
    together = ours(*rows)
    alone = torch.cat([ours(*(part[i : i + 1] for part in rows)) for i in range(N)])
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6 * together.abs().max().item())


@every_case
def test_every_field_and_every_parameter_is_learned(name: str, given: dict[str, Any]) -> None:
    ours = spread(predictor(name, **{**given, **_without_dropout(name)}))
    rows = tuple(part.requires_grad_(part.is_floating_point()) for part in inputs(name))
    ours(*rows).sum().backward()
    still = [key for key, p in ours.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
    for part in rows:
        if part.requires_grad:
            assert part.grad is not None
            assert part.grad.abs().sum((0, -1)).all()


def _settings(name: str) -> list[str]:
    return list(PREDICTORS.get(name).config.model_fields)


def _without_dropout(name: str) -> dict[str, float]:
    return {key: 0.0 for key in _settings(name) if "dropout" in key}


@every_case
def test_no_chance_but_in_training(name: str, given: dict[str, Any]) -> None:
    ours, rows = spread(predictor(name, **given)), inputs(name)
    settings = PREDICTORS.get(name).settings(given, where="test").model_dump()
    drops = any(settings.get(key) for key in _without_dropout(name))
    ours.train()
    assert torch.equal(ours(*rows), ours(*rows)) is not drops
    ours.eval()
    assert torch.equal(ours(*rows), ours(*rows))


@every_case
def test_inference_and_differentiation_say_the_same(name: str, given: dict[str, Any]) -> None:
    ours, rows = spread(predictor(name, **given)).eval(), inputs(name)
    differentiated = ours(*(part.requires_grad_(part.is_floating_point()) for part in rows))
    with torch.inference_mode():
        torch.testing.assert_close(ours(*rows), differentiated.detach())


@every_case
def test_what_it_reads_is_left_as_it_was(name: str, given: dict[str, Any]) -> None:
    """Networks write over what they made themselves, and over nothing else."""
    ours, rows = predictor(name, **given), inputs(name)
    before = [part.clone() for part in rows]
    ours(*rows)
    for part, was in zip(rows, before, strict=True):
        assert torch.equal(part, was)


@every_case
def test_half_precision_trains(name: str, given: dict[str, Any]) -> None:
    ours, rows = predictor(name, **{**given, **_without_dropout(name)}), inputs(name)
    exact = ours(*rows).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = ours(*rows)
        loss = functional.binary_cross_entropy_with_logits(logits, torch.ones(N))
    if any(p.requires_grad for p in ours.parameters()):
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())
    torch.testing.assert_close(logits.float(), exact, rtol=0.05, atol=0.05)


@every_case
def test_untrained_it_knows_nothing(name: str, given: dict[str, Any]) -> None:
    """T11: cross-entropy is ln 2 for a click or none, ln 5 for one among four negatives."""
    tower = {"tower": (200, 100)} if "tower" in _settings(name) else {}
    logits = predictor(name, **given, **tower).eval()(*inputs(name, scale=0.01)).detach()
    labels = torch.arange(N) % 2
    ranking = functional.binary_cross_entropy_with_logits(logits, labels.float())
    matching = functional.cross_entropy(logits[None, :5], torch.zeros(1, dtype=torch.int64))
    # MaskNet normalises its fields, so that small ones are as large as any.
    near = 0.1 if name == "masknet" else 0.02
    assert ranking.item() == pytest.approx(math.log(2), abs=near)
    assert matching.item() == pytest.approx(math.log(5), abs=near)


# ---------------------------------------------------------------------------- a history's padding


def din_cases() -> list[dict[str, Any]]:
    return [given for name, given in CASES if name == "din"]


@pytest.mark.parametrize("given", din_cases())
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e30])
def test_padding_changes_nothing(given: dict[str, Any], training: bool, garbage: float) -> None:
    """Neither the logit, nor what Dice normalises by, nor a gradient."""
    user, item, mask = inputs("din")
    other = user.masked_fill(~mask[..., None], garbage)
    results = []
    for history in (user, other):
        ours = spread(predictor("din", **{**given, **_without_dropout("din")})).train(training)
        logits = ours(history, item, mask)
        logits.sum().backward()
        grads = [p.grad for p in ours.parameters()]
        results.append([logits.detach(), *grads, *ours.buffers()])
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("given", din_cases())
def test_padding_gets_no_gradient_and_clicks_do(given: dict[str, Any]) -> None:
    user, item, mask = inputs("din")
    spread(predictor("din", **given))(user.requires_grad_(), item, mask).sum().backward()
    assert user.grad is not None
    assert not user.grad[~mask].any()
    assert user.grad[mask].any()


@pytest.mark.parametrize("given", din_cases())
def test_longer_padding_and_another_order_change_nothing(given: dict[str, Any]) -> None:
    ours = spread(predictor("din", **given)).eval()
    user, item, mask = inputs("din")
    logits = ours(user, item, mask)
    wider = torch.cat([user, torch.ones(N, 3, WIDTH)], dim=1)
    longer = torch.cat([mask, torch.zeros(N, 3, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(ours(wider, item, longer), logits)
    torch.testing.assert_close(ours(user.flip(1), item, mask.flip(1)), logits)


@pytest.mark.parametrize("given", din_cases())
@pytest.mark.parametrize("training", [False, True])
def test_nobody_clicked_anything(given: dict[str, Any], training: bool) -> None:
    """The interest is zero, whoever is asked about; a batch of such users trains."""
    ours = spread(predictor("din", **given)).train(training)
    user, item, mask = inputs("din")
    logits = ours(user, item, torch.zeros_like(mask))
    assert logits.isfinite().all()
    interest = ours.attention(user, torch.zeros_like(mask), item)
    assert torch.equal(interest, torch.zeros(N, WIDTH))
    logits.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in ours.parameters())


@pytest.mark.parametrize("score", ["weighted", "max", "mean"])
def test_who_has_no_interests_scores_zero(score: str) -> None:
    _, item = inputs("miner")
    user = torch.zeros(N, USER_LEVELS, WIDTH, requires_grad=True)
    ours = predictor("miner", score=score)
    logits = ours(user, item)
    assert torch.equal(logits, torch.zeros(N))
    (logits.sum() + ours.penalty(user)).backward()
    assert user.grad is not None
    assert user.grad.isfinite().all()
