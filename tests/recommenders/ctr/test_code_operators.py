from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import DataError, UsageError
from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS, PREDICTORS, USER_OPERATORS, Clicks
from tastebench.recommenders.ctr.content import Content

CODE = np.array([[0, 2, 1], [1, 0, 1], [0, 2, 0], [1, 1, 1]])
SIZES = (2, 3, 2)
CONTENT = Content(4, code=CODE, code_sizes=SIZES)
WIDTH = 2
TABLE = torch.tensor(
    [[1.0, 0], [2, 0], [0, 10], [0, 20], [0, 30], [100, 100], [200, 200]]  # levels of 2, 3, 2 codes
)
EVERY = torch.arange(4)


def item_operator(name: str, content: Content = CONTENT, **settings: Any) -> Any:
    card = ITEM_OPERATORS.get(name)
    return card.build(card.settings(settings, where="test"), content, WIDTH)


def user_operator(each: Any, content: Content = CONTENT, width: int = WIDTH) -> Any:
    card = USER_OPERATORS.get("levels")
    return card.build(card.settings({"each": each}, where="test"), content, width)


def with_table(operator: Any) -> Any:
    with torch.no_grad():
        assert operator.codes.table.shape == TABLE.shape
        operator.codes.table.copy_(TABLE)
    return operator


def test_an_item_is_the_sum_of_its_codes() -> None:
    vectors = with_table(item_operator("code"))(EVERY)
    assert vectors.tolist() == [[201, 230], [202, 210], [101, 130], [202, 220]]


def test_or_their_mean() -> None:
    vectors = with_table(item_operator("code", pool="mean"))(torch.tensor([3, 2]))
    torch.testing.assert_close(vectors, torch.tensor([[202.0, 220], [101, 130]]) / 3)


def test_levels_are_sums_of_first_codes() -> None:
    levels = with_table(item_operator("code-levels"))(torch.tensor([0, 3]))
    assert levels.tolist() == [
        [[1, 0], [1, 30], [201, 230]],
        [[2, 0], [2, 20], [202, 220]],
    ]


def test_the_last_level_is_the_whole_item() -> None:
    whole = with_table(item_operator("code"))(EVERY)
    assert torch.equal(with_table(item_operator("code-levels"))(EVERY)[:, -1], whole)


@pytest.mark.parametrize("name", ["code", "code-levels"])
def test_embeddings_are_trained_saved_and_read(name: str) -> None:
    """What a published implementation creates behind its optimiser's back is never trained."""
    operator = item_operator(name)
    before = operator.codes.table.detach().clone()
    optimizer = torch.optim.SGD(operator.parameters(), lr=0.1)
    operator(EVERY).square().sum().backward()
    optimizer.step()
    met = sorted(set((CODE + np.array([0, 2, 5])).ravel().tolist()))
    moved = (operator.codes.table != before).any(dim=1).nonzero()[:, 0]
    assert moved.tolist() == met == [0, 1, 2, 3, 4, 5, 6]
    assert list(operator.state_dict()) == ["codes.table"]
    other = item_operator(name)
    other.load_state_dict(operator.state_dict())
    assert torch.equal(other(EVERY), operator(EVERY))


def test_the_first_embeddings_have_the_deviation_asked_for() -> None:
    content = Content(1, code=np.zeros((1, 1), dtype=np.int64), code_sizes=(20000,))
    table = item_operator("code", content, init_std=0.2).codes.table
    assert float(table.detach().std()) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([0, 3, 0], "item 2 has the code 3 in level 1, which has 3 codes"),
        ([-1, -1, -1], "item 2 has the code -1 in level 0, which has 2 codes"),
        ([0, -1, 1], "item 2 has the code 1 in level 2, and its path ended in level 0"),
        ([0, -2, -1], "item 2 has the code -2 in level 1, and its path ended in level 0"),
    ],
)
def test_a_code_that_does_not_exist_names_item_and_level(path: list[int], message: str) -> None:
    wrong = CODE.copy()
    wrong[2] = path
    with pytest.raises(DataError, match=message):
        item_operator("code", Content(4, code=wrong, code_sizes=SIZES))


def test_a_path_that_ended_adds_nothing_more() -> None:
    short = CODE.copy()
    short[2], short[3] = [0, 2, -1], [1, -1, -1]
    content = Content(4, code=short, code_sizes=SIZES)
    asked = torch.tensor([3, 2, 0])
    assert with_table(item_operator("code", content))(asked).tolist() == [
        [2, 0],
        [1, 30],
        [201, 230],
    ]
    mean = with_table(item_operator("code", content, pool="mean"))(asked)
    torch.testing.assert_close(mean, torch.tensor([[2, 0], [0.5, 15], [67, 230 / 3]]))
    levels = with_table(item_operator("code-levels", content))(asked)
    assert levels[0].tolist() == [[2, 0]] * 3
    assert levels[1].tolist() == [[1, 0], [1, 30], [1, 30]]


def test_levels_that_are_not_described_are_an_error() -> None:
    with pytest.raises(DataError, match="items have 3 codes each, and 2 levels are described"):
        item_operator("code", Content(4, code=CODE, code_sizes=SIZES[:2]))


@pytest.mark.parametrize("name", ["code", "code-levels"])
def test_items_without_codes_are_an_error(name: str) -> None:
    with pytest.raises(UsageError, match="read by their semantic ids, and these have none"):
        item_operator(name, Content(4))


# ------------------------------------------------------------------------------------ the user side


def clicks(vectors: Tensor, mask: list[list[bool]]) -> Clicks:
    there = torch.tensor(mask)
    return Clicks(torch.zeros(there.shape, dtype=torch.int64), there, vectors)


def test_each_level_of_a_user_is_of_that_level_of_the_clicks() -> None:
    vectors = with_table(item_operator("code-levels"))(torch.tensor([[0, 3], [1, 0]]).ravel())
    user = user_operator("pooling")(
        clicks(vectors.view(2, 2, 3, WIDTH), [[True, True], [True, False]])
    )
    assert user.tolist() == [
        [[1.5, 0], [1.5, 25], [201.5, 225]],  # the mean of items 0 and 3, level by level
        [[2, 0], [2, 10], [202, 210]],  # item 1 alone
    ]


def test_what_stands_at_masked_places_changes_nothing() -> None:
    operator = user_operator({"operator": "attention", "heads": 2}, width=4).eval()
    vectors = torch.randn(2, 3, 3, 4)
    mask = [[True, True, False], [True, False, False]]
    other = vectors.clone()
    other[0, 2] = torch.nan
    other[1, 1:] = 1e9
    with torch.no_grad():
        assert torch.equal(operator(clicks(other, mask)), operator(clicks(vectors, mask)))


def test_who_clicked_nothing_has_levels_all_the_same() -> None:
    operator = user_operator({"operator": "attention", "heads": 2}, width=4)
    user = operator(clicks(torch.randn(1, 2, 3, 4), [[False, False]]))
    assert user.shape == (1, 3, 4)
    assert torch.equal(user, torch.zeros_like(user))


def test_each_level_has_an_operator_of_its_own() -> None:
    operator = user_operator("additive-attention")
    assert len(operator.each) == 3
    vectors = torch.randn(1, 4, 1, WIDTH).expand(1, 4, 3, WIDTH)
    user = operator(clicks(vectors, [[True] * 4]))[0]
    assert not torch.allclose(user[0], user[1])
    for level, own in enumerate(operator.each):
        alone = own(clicks(vectors[:, :, level], [[True] * 4]))[0]
        assert torch.equal(user[level], alone)


def test_the_default_is_attention_with_all_its_settings_written_out() -> None:
    config: Any = USER_OPERATORS.get("levels").settings({}, where="test")
    attention = USER_OPERATORS.get("attention").config().model_dump(mode="json")
    assert config.each == {"operator": "attention", **attention}


@pytest.mark.parametrize(
    ("each", "message"),
    [
        ("atention", "each: .*did you mean.*attention"),
        ({"operator": "attention", "haeds": 2}, "each: .*no setting 'haeds'"),
        ("levels", "each: levels does not make one vector of a sequence"),
        ("none", "each: none does not make one vector"),
        ("target-attention", "each: target-attention does not make one vector"),
        (7, "each: a name, or operator: NAME with settings, got 7"),
    ],
)
def test_an_operator_that_cannot_stand_for_a_level_is_refused(each: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        USER_OPERATORS.get("levels").settings({"each": each}, where="plan")


def test_items_without_levels_are_an_error() -> None:
    with pytest.raises(UsageError, match="needs items with levels, and these have no semantic"):
        user_operator("pooling", Content(4))


def test_items_users_and_predictor_of_levels_go_together() -> None:
    """UIST: a logit for every row, and a slope for every weight of all three."""
    items = item_operator("code-levels")
    users = user_operator("additive-attention")
    mixture = PREDICTORS.get("mixture")
    predictor = mixture.build(mixture.settings({}, where="test"), WIDTH, 9)
    vectors = items(EVERY)
    user = users(clicks(vectors[torch.tensor([[0, 1], [2, 3]])], [[True, True], [True, False]]))
    logits = predictor(user, vectors[:2])
    assert logits.shape == (2,)
    logits.sum().backward()
    parts = nn.ModuleList([items, users, predictor])
    assert [n for n, p in parts.named_parameters() if p.grad is None] == []
