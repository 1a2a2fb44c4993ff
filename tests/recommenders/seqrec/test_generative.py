"""Spelling items: training sees no answer, decoding is exact, and what is found are items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.code_batches import Pairs, Windows
from tastebench.recommenders.seqrec.generative import Asking, Generative
from tastebench.recommenders.seqrec.sid_sasrec_network import SIDSASRecNetwork
from tastebench.tasks.rank import generated
from tastebench.training.fit import FabricTrainer

# Paths of two lengths; items 2 and 9 share one. The tree is dense, so that every level is asked.
CODES = np.array(
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, -1], [1, 1, 2], [1, 1, 0], [2, 0, 0],
     [2, 0, 2], [0, 1, 0], [2, 1, 1], [2, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
)  # fmt: skip
N_ITEMS = len(CODES)
LENGTH = 6
SMALL = {"device": "cpu", "epochs": 2, "hidden_size": 16, "inner_size": 24, "heads": 2, "layers": 2}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sid-sasrec": ("sid-sasrec", {}),
    "tiger": ("tiger", {"head_size": 6, "targets_per_sequence": None}),
    "tiger causal": ("tiger", {"head_size": 6, "encoder": "causal"}),
}
every_case = pytest.mark.parametrize("case", CASES)


def problem(train: list[list[int]]) -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(N_ITEMS, len(train), LENGTH, Ragged.from_lists(train), targets, targets)


def walks(n: int, seed: int = 0, longest: int = 9) -> list[list[int]]:
    """Everyone walks round the catalogue, item after item, from anywhere."""
    rng = np.random.default_rng(seed)
    return [
        ((rng.integers(N_ITEMS) + np.arange(rng.integers(0, longest + 1))) % N_ITEMS).tolist()
        for _ in range(n)
    ]


def unfitted(case: str, **config: Any) -> Generative:
    name, own = CASES[case]
    card = get_recommender(name)
    recommender = card.build(card.config(**{**SMALL, **own, **config}))
    assert isinstance(recommender, Generative)
    return recommender


def fitted(
    case: str, train: list[list[int]] | None = None, codes: np.ndarray = CODES, **config: Any
) -> Generative:
    recommender = unfitted(case, **config)
    items = Items(n=N_ITEMS, code=codes, forms=("code",))
    recommender.fit(problem(train or walks(12)), items, FabricTrainer(seed=0))
    return recommender


def asking(*histories: list[int]) -> Queries:
    users = np.arange(len(histories))
    return Queries(len(histories), history=Ragged.from_lists(histories), user=users)


def spelt(network: Any, history: list[int], item: int, user: int = 0) -> list[torch.Tensor]:
    """Logits of each level where `item` is written after `history`, as in training: no cache."""
    before = torch.tensor([history], dtype=torch.int64).view(1, -1)
    who, length = torch.tensor([user]), torch.tensor([len(history)])
    with torch.no_grad():
        if isinstance(network, SIDSASRecNetwork):
            rows = torch.cat([before, torch.tensor([[item]])], dim=1)
            states = network.norm(network(rows, who))[0, -1]
        else:
            encoded = network.encode(before, length, who)
            states = network.decode(torch.tensor([[item]]), encoded, length)[0, 0]
        return [network.heads(states[level], level) for level in range(CODES.shape[1])]


def scored(network: Any, history: list[int], item: int, over: str) -> float:
    """The log-probability of an item's path, one code after the other, by its definition."""
    logits, path = spelt(network, history, item), CODES[item][CODES[item] >= 0].tolist()
    total = 0.0
    for level, code in enumerate(path):
        alike = CODES[(CODES[:, :level] == path[:level]).all(axis=1), level]
        codes = sorted(set(alike.tolist())) if over == "children" else range(len(logits[level]))
        log_softmax = logits[level][list(codes)].log_softmax(0)
        total += log_softmax[list(codes).index(code)].item()
    return total


# ------------------------------------------------------------------------------------- decoding


@every_case
@pytest.mark.parametrize("over", ["children", "level"])
def test_wide_beams_rank_as_scoring_every_item_does(case: str, over: str) -> None:
    """T9, L5: sums of log-probabilities over children, for every item there is."""
    recommender = fitted(case, walks(40), beams=64, renormalise=over, lr=0.01, epochs=5)
    histories = [[3, 4, 5], [], [9], [1, 2, 3, 4, 5, 6], [14, 0, 1]]
    found = recommender.generate(asking(*histories), N_ITEMS)
    for row, history in enumerate(histories):
        wanted = [scored(recommender.network, history, item, over) for item in range(N_ITEMS)]
        assert sorted(found.items[row]) == list(range(N_ITEMS))
        np.testing.assert_allclose(
            found.scores[row], np.array(wanted)[found.items[row]], rtol=1e-4, atol=1e-5
        )
        assert (np.diff(found.scores[row]) <= 0).all()
        total = np.exp(np.array(wanted)[np.arange(N_ITEMS) != 9]).sum()  # 9 has the path of 2
        assert total == pytest.approx(1, abs=1e-4) if over == "children" else total < 1


@every_case
def test_items_of_one_path_tie(case: str) -> None:
    """L12: a shared path is all its items', next to each other."""
    found = fitted(case).generate(asking([3, 4]), N_ITEMS)
    place = [int(np.flatnonzero(found.items[0] == item)[0]) for item in (2, 9)]
    assert place[1] == place[0] + 1
    assert found.scores[0, place[0]] == found.scores[0, place[1]]


@every_case
@pytest.mark.parametrize("beams", [4, 64])
def test_seen_items_leave_their_slots_to_others(case: str, beams: int) -> None:
    """Wide beams: the ranking of all unseen items. Few: as many items as there are beams."""
    recommender = fitted(case, walks(40), beams=beams, lr=0.01, epochs=3)
    histories = [[3, 4, 5], [], [2, 7, 2], list(range(1, N_ITEMS))]
    seen = Ragged.from_lists(histories)
    found = generated(recommender, asking(*histories), 4, N_ITEMS, exclude=seen)
    for row, history in enumerate(histories):
        left = sorted(set(range(N_ITEMS)) - set(history))
        items = found.items[row][found.items[row] >= 0]
        assert len(items) >= min(4, len(left))
        assert set(items) <= set(left) and len(set(items)) == len(items)
        latest = history[-LENGTH:]
        wanted = {item: scored(recommender.network, latest, item, "children") for item in left}
        np.testing.assert_allclose(
            found.scores[row][: len(items)], [wanted[item] for item in items], rtol=1e-4, atol=1e-5
        )
        if beams == 64:
            best = sorted(wanted.values(), reverse=True)[: len(items)]
            np.testing.assert_allclose(found.scores[row][: len(items)], best, rtol=1e-4, atol=1e-5)
    # Who only looks at what was found afterwards loses what four beams did not go to.
    plain = recommender.generate(asking(*histories), N_ITEMS)
    if beams == 4:
        assert not set(plain.items[3][plain.items[3] >= 0]) <= {0}


@every_case
def test_free_beams_lose_slots_to_seen_items(case: str) -> None:
    recommender = fitted(case, decoding="free", beams=64)
    seen = Ragged.from_lists([[3, 4, 5]])
    found = generated(recommender, asking([3, 4, 5]), 30, N_ITEMS, exclude=seen)
    assert not np.isin(found.items, [3, 4, 5]).any()
    assert (found.items[np.isfinite(found.scores)] < 0).any()


@every_case
def test_free_beams_find_every_path_and_count_those_of_no_item(case: str) -> None:
    """T9: an invalid path takes a place and has a score."""
    recommender = fitted(case, beams=64, decoding="free")
    found = recommender.generate(asking([3, 4]), 64)
    invalid = (found.items[0] < 0) & np.isfinite(found.scores[0])
    paths = {tuple(path[path >= 0].tolist()) for path in CODES}
    # 3 x 3 x 3 codes, but nothing goes on after (1, 0).
    assert invalid.sum() == 27 - 3 + 1 - len(paths)
    named = found.items[0][found.items[0] >= 0]
    assert sorted(named) == list(range(N_ITEMS))
    wanted = [scored(recommender.network, [3, 4], int(item), "level") for item in named]
    np.testing.assert_allclose(found.scores[0][found.items[0] >= 0], wanted, rtol=1e-4, atol=1e-5)


@every_case
def test_a_step_is_what_training_computes(case: str) -> None:
    """L2: a step reads the codes it is given; whatever the beams did, each has its own past."""
    network: Any = fitted(case, user_tokens=3).network
    items, length = torch.tensor([[0] * 3, [4, 7, 0], [5, 6, 7]]), torch.tensor([0, 2, 3])
    user = torch.tensor([4, 0, 2])
    with torch.no_grad():
        step = network.read(Asking(items, length, user, even=False))
        first = torch.tensor([[0, 2], [2, 0], [2, 2]])
        second, parents = (
            torch.tensor([[1, 0], [1, 1], [0, 1]]),
            torch.tensor([[0, 1], [1, 0], [1, 0]]),
        )
        got = [step(0, None, None), step(1, first, torch.zeros_like(first))]
        got.append(step(2, second, parents))
    for row in range(3):
        for beam in range(2):
            came, codes = int(parents[row, beam]), int(second[row, beam])
            path = [int(first[row, came]), codes]
            item = int(np.flatnonzero((CODES[:, :2] == path).all(axis=1))[0])
            want = spelt(network, items[row, : length[row]].tolist(), item, int(user[row]))
            torch.testing.assert_close(got[0][row], want[0])
            torch.testing.assert_close(got[1][row, came], want[1])
            torch.testing.assert_close(got[2][row, beam], want[2])


@every_case
def test_company_and_padding_do_not_matter(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = fitted(case)
    histories = walks(20, seed=4, longest=LENGTH)
    together = recommender.generate(asking(*histories), 8)
    monkeypatch.setattr("tastebench.recommenders.seqrec.generative.ASKED_TOGETHER", 3)
    pieces = recommender.generate(asking(*histories), 8)
    np.testing.assert_array_equal(pieces.items, together.items)
    np.testing.assert_allclose(pieces.scores, together.scores, rtol=1e-4, atol=1e-5)
    alone = recommender.generate(asking(histories[7]), 8)
    # Somebody's list may go on to the end of equals; it is the first eight that were asked for.
    np.testing.assert_array_equal(alone.items[0, :8], together.items[7, :8])


@every_case
def test_only_the_latest_items_count_however_many_there_are(case: str) -> None:
    """L14: a history of 10,000 is cut to the protocol's length."""
    recommender = fitted(case)
    long = np.random.default_rng(0).integers(N_ITEMS, size=10_000).tolist()
    found = recommender.generate(asking(long, long[-LENGTH:]), 10)
    np.testing.assert_array_equal(found.items[0], found.items[1])
    shorter = recommender.generate(asking(long[1 - LENGTH :]), 10)
    assert not np.allclose(found.scores[0], shorter.scores[0])


@every_case
def test_fewer_beams_than_slots_and_fewer_items_than_beams(case: str) -> None:
    """L7: what there is not leaves empty slots."""
    found = fitted(case, beams=3).generate(asking([1], []), 10)
    assert found.items.shape == (2, 10)
    for items, scores in zip(found.items, found.scores, strict=True):
        n = int((items >= 0).sum())
        assert n in {3, 4}  # one of the paths may be the one that two items share
        assert (items[n:] == -1).all() and np.isneginf(scores[n:]).all()
        assert len(set(items[:n])) == n
    one = np.zeros((N_ITEMS, 2), np.int64)
    found = fitted(case, codes=one).generate(asking([1]), 20)  # nothing tells any item apart
    assert found.items[0].tolist() == [*range(N_ITEMS), *[-1] * 5]
    assert (found.scores[0, :N_ITEMS] == 0).all()


@every_case
def test_a_level_of_which_nobody_has_a_code(case: str) -> None:
    codes = np.column_stack([*np.divmod(np.arange(N_ITEMS), 4), np.full(N_ITEMS, -1)])
    for decoding in ("constrained", "free"):
        found = fitted(case, codes=codes, beams=64, decoding=decoding).generate(asking([3, 4]), 99)
        assert sorted(found.items[found.items >= 0]) == list(range(N_ITEMS))


@every_case
def test_order_matters(case: str) -> None:
    found = fitted(case).generate(asking([1, 2, 3], [3, 2, 1]), N_ITEMS)
    assert not np.allclose(found.scores[0], found.scores[1])


# ------------------------------------------------------------------------------------- training


@every_case
def test_the_loss_is_that_of_every_prefix_by_itself(case: str) -> None:
    """L4, T7: no label wraps round, and one pass over a sequence sees no answer."""
    train = walks(14, longest=10)
    recommender = fitted(case, train)
    network: Any = recommender.network.eval()
    with torch.no_grad():
        batches = network.batches(problem(train), 10_000)(np.random.default_rng(0))
        [batch] = list(batches)
        got = network.loss(batch).item()
    losses, targets = [], 0
    for sequence in train:
        whole = case != "tiger" and len(sequence) > 1  # pairs have histories
        for place in range(0 if whole else 1, len(sequence)):
            # Windows overlap by half: see ShiftedSequences.
            history = sequence[_window_begin(len(sequence), place, case) : place]
            targets += 1
            for level, logits in enumerate(spelt(network, history, sequence[place])):
                if (code := CODES[sequence[place], level]) >= 0:
                    losses.append(-logits.log_softmax(0)[code].item())
    assert len(batch) == targets
    assert got == pytest.approx(float(np.mean(losses)), rel=1e-5)


def _window_begin(n: int, place: int, case: str) -> int:
    if case == "tiger":
        return max(0, place - LENGTH)
    begins, inputs = [0], n - 1
    while begins[-1] + LENGTH < inputs:
        begins.append(min(begins[-1] + LENGTH - LENGTH // 2, inputs - LENGTH))
    return next(begin for begin in begins if place <= begin + LENGTH)


@every_case
@pytest.mark.parametrize("output", ["tied", "separate"])
def test_every_table_is_trained(case: str, output: str) -> None:
    """L1, T7: one step moves what codes are read by and what they are written by."""
    recommender = unfitted(case, output=output, user_tokens=2, epochs=1, batch_size=10_000)
    before: dict[str, torch.Tensor] = {}

    class Watching(FabricTrainer):
        def fit(self, module: Any, *arguments: Any) -> Any:
            before.update({k: v.clone() for k, v in module.state_dict().items()})
            return super().fit(module, *arguments)

    items = Items(n=N_ITEMS, code=CODES, forms=("code",))
    recommender.fit(problem(walks(40)), items, Watching(seed=0))
    after = recommender.network.state_dict()
    assert {k for k, v in after.items() if torch.equal(v, before[k])} == set()
    rows = 3 * 3 + 2  # three codes a level, the start, and what stands in for a missing code
    for name in ("tokens.table", "heads.table"):
        moved = (after[name] != before[name]).any(dim=1)
        assert moved.all(), name
        assert len(moved) == rows - 2 * (output == "separate" and name == "heads.table")


@every_case
def test_what_is_written_changes_nothing_that_it_is_predicted_from(case: str) -> None:
    """T7: the logits of a code depend on the codes before it only."""
    network: Any = fitted(case).network
    for one, other, level in ((0, 7, 0), (0, 2, 1), (0, 1, 2)):  # they differ from `level` on
        one_logits, other_logits = (spelt(network, [3, 4], item) for item in (one, other))
        for at in range(level + 1):
            torch.testing.assert_close(one_logits[at], other_logits[at])
        if level < 2:
            assert not torch.allclose(one_logits[level + 1], other_logits[level + 1])


@every_case
def test_a_killed_fit_goes_on_to_the_same_items(case: str, tmp_path: Path) -> None:
    """L1: what was trained is what is kept."""
    items = Items(n=N_ITEMS, code=CODES, forms=("code",))

    def fit(directory: Path | None, stop_at: int | None = None) -> np.ndarray:
        recommender = unfitted(case, epochs=4)

        def validate() -> float:
            return float(recommender.generate(asking([3, 4]), 5).scores[0, 2])

        def progress(row: dict[str, float]) -> None:
            if row["epoch"] == stop_at:
                raise KeyboardInterrupt

        trainer = FabricTrainer(0, directory, validate, progress, save_every=0)
        recommender.fit(problem(walks(12)), items, trainer)
        return recommender.generate(asking([3, 4], []), 10).scores

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=3)
    np.testing.assert_array_equal(fit(tmp_path), fit(None))


@every_case
def test_learns_what_popularity_cannot(case: str) -> None:
    train = [walk for walk in walks(80) if walk]
    light = {"dropout": 0.0, "hidden_size": 32, "inner_size": 64}
    recommender = fitted(case, train, **light, epochs=20, lr=5e-3, batch_size=32)
    found = recommender.generate(asking(*[[i, (i + 1) % N_ITEMS] for i in range(N_ITEMS)]), 2)
    right = (np.arange(N_ITEMS) + 2) % N_ITEMS
    # The most popular item would be right once in fifteen; of two with one path either is.
    hits = (found.items[:, 0] == right) | ((found.items[:, 1] == right) & np.isin(right, (2, 9)))
    assert hits.mean() > 0.8


@every_case
def test_bfloat16_learns_too(case: str) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        recommender = unfitted(case, precision=precision, dropout=0.0)
        items = Items(n=N_ITEMS, code=CODES, forms=("code",))
        report = recommender.fit(problem(walks(12)), items, FabricTrainer(seed=0))
        losses.append([row["loss"] for row in report.curve])
        assert recommender.generate(asking([3]), 5).scores.dtype == np.float32
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
    assert losses[0][1] < losses[0][0]


@every_case
def test_users_are_told_apart_by_their_tokens_only(case: str) -> None:
    recommender = fitted(case, walks(30), user_tokens=4, lr=0.05)
    found = recommender.generate(asking(*[[3, 4]] * 6), N_ITEMS)  # users 0 .. 5
    np.testing.assert_allclose(found.scores[4], found.scores[0], rtol=1e-5)
    assert not np.allclose(found.scores[1], found.scores[0])
    with pytest.raises(UsageError, match="user_tokens needs to know who asks"):
        recommender.generate(Queries(1, history=Ragged.from_lists([[3]])), 5)


# -------------------------------------------------------------------------------------- errors


@every_case
def test_what_is_missing_is_said(case: str) -> None:
    name = CASES[case][0]
    with pytest.raises(UsageError, match=f"{name} is not fitted"):
        unfitted(case).generate(asking([1]), 5)
    with pytest.raises(UsageError, match=f"{name} needs histories"):
        fitted(case).generate(Queries(1), 5)
    with pytest.raises(UsageError, match=f"{name} reads semantic ids, and the items have none"):
        unfitted(case).fit(problem(walks(3)), Items(n=N_ITEMS), FabricTrainer(seed=0))
    with pytest.raises(UsageError, match="nothing to train on"):
        fitted(case, [[1], [], [2]])
    cut = np.vstack([[[0, 0, -1]], CODES[1:]])
    with pytest.raises(DataError, match=r"the path of item 0.*is the beginning of item 1's"):
        fitted(case, codes=cut)


# ------------------------------------------------------------------------------------- batches


def test_windows_by_hand() -> None:
    sequences = Ragged.from_lists([[5, 6, 7], [], [8], [1, 2, 3, 4, 5, 6, 7, 8]])
    rows = {}
    for batch in Windows(sequences, 4).epoch(np.random.default_rng(0), batch_size=2):
        assert batch.is_target is not None
        np.testing.assert_array_equal(batch.items[batch.is_target], batch.targets)
        for items, length, user, marks in zip(
            batch.items, batch.length, batch.user, batch.is_target, strict=True
        ):
            assert not marks[length:].any()
            key = int(user), tuple(items[:length].tolist())
            rows[key] = items[marks].tolist()
    assert rows == {
        (0, (5, 6, 7)): [5, 6, 7],
        (3, (1, 2, 3, 4, 5)): [1, 2, 3, 4, 5],
        (3, (3, 4, 5, 6, 7)): [6, 7],
        (3, (4, 5, 6, 7, 8)): [8],
    }


def test_a_history_of_one_item_is_no_first_item() -> None:
    [batch] = Windows(Ragged.from_lists([[3, 4, 5]]), 1).epoch(np.random.default_rng(0), 100)
    assert batch.is_target is not None
    seen = {tuple(row.tolist()): marks.tolist() for row, marks in zip(batch.items, batch.is_target,
                                                                      strict=True)}  # fmt: skip
    assert seen == {(3, 4): [True, True], (4, 5): [False, True]}


def test_pairs_by_hand() -> None:
    sequences = Ragged.from_lists([[5, 6, 7], [], [8], [1, 2, 3, 4]])
    got = [
        (int(user), tuple(items[:length].tolist()), int(target))
        for batch in Pairs(sequences, 2, None).epoch(np.random.default_rng(0), batch_size=2)
        for items, length, user, target in zip(
            batch.items, batch.length, batch.user, batch.targets, strict=True
        )
    ]
    assert sorted(got) == [
        (0, (5,), 6),
        (0, (5, 6), 7),
        (3, (1,), 2),
        (3, (1, 2), 3),
        (3, (2, 3), 4),
    ]


def test_pairs_are_drawn_anew_each_epoch_a_few_of_every_sequence() -> None:
    sequences = Ragged.from_lists(
        [list(range(10 * u, 10 * u + 6 + u)) for u in range(4)] + [[1, 2]]
    )
    pairs, seen = Pairs(sequences, 20, 2), set()
    for epoch in range(60):
        drawn = [
            (int(user), int(target))
            for batch in pairs.epoch(np.random.default_rng(epoch), batch_size=3)
            for user, target in zip(batch.user, batch.targets, strict=True)
        ]
        assert len(set(drawn)) == len(drawn)
        assert np.bincount([user for user, _ in drawn]).tolist() == [2, 2, 2, 2, 1]
        seen |= set(drawn)
    assert len(seen) == sum(5 + u for u in range(4)) + 1


def test_pairs_of_similar_length_share_a_batch() -> None:
    sequences = Ragged.from_lists([list(range(20))] * 30)
    batches = list(Pairs(sequences, 20, None).epoch(np.random.default_rng(0), batch_size=30))
    assert np.median([np.ptp(batch.length) for batch in batches]) <= 2  # of 18 there are
