from __future__ import annotations

import math
import re
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.errors import ProtocolError, UsageError
from tastebench.items.beam import Beams, rank_items, search
from tastebench.items.trie import Trie

Path = tuple[int, ...]
INFINITE = float("inf")


class Table:
    """A network that knows logits of every beginning, and only what the search tells it.

    It works out which beginnings it is asked about from tokens and parents alone; `asked` holds
    them call by call, `[b][k]`.
    """

    def __init__(self, sizes, seed=0, logits=None):
        self.sizes, self.seed, self.logits = sizes, seed, logits or {}
        self.asked: list[list[list[Path]]] = []

    def row(self, user: int, path: Path) -> np.ndarray:
        """Logits after a beginning."""
        if path in self.logits:
            return np.asarray(self.logits[path], np.float32)
        rng = np.random.default_rng([self.seed, user, len(path), *path])
        return (2 * rng.standard_normal(self.sizes[len(path)])).astype(np.float32)

    def step(self, b: int):
        def answer(level, tokens, parents):
            if level == 0:
                assert tokens is None and parents is None
                paths = [[()] for _ in range(b)]
            else:
                before, taken, whence = self.asked[-1], tokens.tolist(), parents.tolist()
                paths = [
                    [(*before[u][p], t) for p, t in zip(whence[u], taken[u], strict=True)]
                    for u in range(b)
                ]
            assert all(len(path) == level for row in paths for path in row)
            self.asked.append(paths)
            logits = np.stack([np.stack([self.row(u, p) for p in paths[u]]) for u in range(b)])
            return torch.from_numpy(logits if level else logits[:, 0])

        return answer


def paths_of(codes: np.ndarray) -> list[Path]:
    return [tuple(c for c in row if c >= 0) for row in codes.tolist()]


def log_probability(table: Table, user: int, path: Path, paths: list[Path], over: str) -> float:
    """Of a path, code by code from the definition, in float64."""
    total = 0.0
    for level, code in enumerate(path):
        logits = table.row(user, path[:level]).astype(np.float64)
        if over == "children":
            beginning = path[:level]
            among = sorted({p[level] for p in paths if p[:level] == beginning})
        else:
            among = list(range(len(logits)))
        total += logits[code] - math.log(sum(math.exp(logits[c]) for c in among))
    return total


def plain_search(
    table: Table,
    user: int,
    paths: list[Path],
    beams: int,
    over: str,
    wanted: set[Path] | None = None,
):
    """Beam search as one would write it down: lists of (log-probability, path)."""
    distinct = set(paths)
    leads = {p[:i] for p in (distinct if wanted is None else wanted) for i in range(len(p) + 1)}
    if not leads:
        return []
    kept = [(0.0, ())]
    for level in range(max(len(p) for p in paths)):
        grown = []
        for score, path in kept:
            if path in distinct:
                grown.append((score, path))
                continue
            children = sorted(
                {p[: level + 1] for p in distinct if p[:level] == path and len(p) > level}
            )
            before = log_probability(table, user, path, paths, over)
            grown += [
                (score + log_probability(table, user, child, paths, over) - before, child)
                for child in children
                if child in leads
            ]
        kept = sorted(grown, key=lambda one: (-one[0], one[1]))[:beams]
    return kept


@st.composite
def catalogues(draw) -> np.ndarray:
    """Paths of one to four codes, none the beginning of another, some shared."""
    levels, n = draw(st.integers(1, 4)), draw(st.integers(1, 15))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    codes = rng.integers(0, rng.integers(1, 6, levels), (n, levels))
    # Below some beginnings every path ends at once: those items share it.
    for path in codes:
        cut = rng.integers(1, levels + 1)
        if rng.random() < 0.3:
            same = (codes[:, :cut] == path[:cut]).all(axis=1)
            codes[same, cut:] = -1
    return codes


def found(beams: Beams, user: int) -> list[tuple[float, Path]]:
    """What was found for a user, the empty slots left out."""
    there = beams.score[user] > -INFINITE
    return [
        (score, tuple(c for c in path if c >= 0))
        for score, path in zip(
            beams.score[user][there].tolist(), beams.path[user][there].tolist(), strict=True
        )
    ]


# ------------------------------------------------------------------------------------ exactness


@settings(max_examples=150, deadline=None)
@given(catalogues(), st.integers(0, 999), st.sampled_from(["children", "level"]))
def test_wide_beams_are_the_ranking_of_all_items(codes, seed, over):
    """T9: with as many beams as paths every item has its summed log-probability, in order."""
    trie, paths = Trie.of(codes), paths_of(codes)
    table = Table(trie.sizes, seed)
    beams = search(table.step(3), trie, 3, len(set(paths)), over=over)
    for user in range(3):
        expected = sorted(
            ((log_probability(table, user, path, paths, over), path) for path in set(paths)),
            reverse=True,
        )
        actual = found(beams, user)
        assert [path for _, path in actual] == [path for _, path in expected]
        np.testing.assert_allclose(
            [score for score, _ in actual], [score for score, _ in expected], atol=1e-5
        )
        if over == "children":
            assert math.isclose(sum(math.exp(score) for score, _ in actual), 1, abs_tol=1e-5)
    ranking = rank_items(beams, trie, len(codes))
    for user in range(3):
        own = [log_probability(table, user, path, paths, over) for path in paths]
        assert sorted(ranking.items[user].tolist()) == list(range(len(codes)))
        np.testing.assert_allclose(ranking.scores[user], sorted(own, reverse=True), atol=1e-5)
        np.testing.assert_allclose(
            ranking.scores[user], np.array(own)[ranking.items[user]], atol=1e-5
        )


@settings(max_examples=150, deadline=None)
@given(catalogues(), st.integers(0, 999), st.integers(1, 6), st.sampled_from(["children", "level"]))
def test_few_beams_are_those_of_the_plain_search(codes, seed, width, over):
    trie, paths = Trie.of(codes), paths_of(codes)
    table = Table(trie.sizes, seed)
    beams = search(table.step(2), trie, 2, width, over=over)
    assert beams.node.shape[1] <= width
    for user in range(2):
        expected = plain_search(table, user, paths, width, over)
        actual = found(beams, user)
        assert [path for _, path in actual] == [path for _, path in expected]
        np.testing.assert_allclose(
            [score for score, _ in actual], [score for score, _ in expected], atol=1e-5
        )
        assert not beams.invalid.any()


@settings(max_examples=150, deadline=None)
@given(
    catalogues(),
    st.integers(0, 999),
    st.integers(1, 6),
    st.sampled_from(["children", "level"]),
    st.floats(0, 1),
)
def test_what_is_left_out_takes_no_beam(codes, seed, width, over, share):
    """As many others are found as if it were not there, with the scores that they have anyway."""
    trie, paths = Trie.of(codes), paths_of(codes)
    drawn = np.random.default_rng(seed).random((3, len(codes))) < share
    user, item = (torch.from_numpy(a) for a in np.nonzero(drawn))
    gone = trie.without(torch.cat([user, user]), torch.cat([item, item]))  # seen twice
    table = Table(trie.sizes, seed)
    beams = search(table.step(3), trie, 3, width, over=over, gone=gone)
    ranking = rank_items(beams, trie, 4 + gone.spare, whole_ties=True)
    for who in range(3):
        wanted = {path for path, out in zip(paths, drawn[who], strict=True) if not out}
        expected = plain_search(table, who, paths, width, over, wanted)
        actual = found(beams, who)
        assert len(actual) == min(width, len(wanted))
        assert [path for _, path in actual] == [path for _, path in expected]
        np.testing.assert_allclose(
            [score for score, _ in actual], [score for score, _ in expected], atol=1e-5
        )
        kept = [i for i in ranking.items[who].tolist() if i >= 0 and not drawn[who, i]]
        reached = {path for _, path in actual}
        there = sum(path in reached for path, out in zip(paths, drawn[who], strict=True) if not out)
        assert len(kept) >= min(4, there)


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.integers(0, 999), st.integers(1, 40))
def test_free_search_is_the_plain_search_over_all_paths(codes, seed, width):
    """The trie says only where a path ends, and afterwards which are items'."""
    trie, paths = Trie.of(codes), set(paths_of(codes))
    levels = codes.shape[1]
    whole = [
        path
        for length in range(1, levels + 1)
        for path in product(*map(range, trie.sizes[:length]))
        if (path in paths or length == levels)
        and not any(path[:cut] in paths for cut in range(1, length))
    ]
    table = Table(trie.sizes, seed)
    beams = search(table.step(1), trie, 1, width, mode="free")
    expected = plain_search(table, 0, whole, width, "level")
    actual = found(beams, 0)
    assert [path for _, path in actual] == [path for _, path in expected]
    np.testing.assert_allclose([s for s, _ in actual], [s for s, _ in expected], atol=1e-5)
    assert (~beams.invalid[0]).tolist() == [path in paths for _, path in expected]
    assert math.isclose(
        beams.invalid_rate, sum(path not in paths for _, path in expected) / len(expected)
    )


def test_unique_ids_are_the_full_softmax():
    """One level: one call, and the ranking is that of all logits."""
    trie = Trie.of(np.arange(50)[:, None])
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32))
    ranking = rank_items(search(lambda *_: logits, trie, 4, 50), trie, 50)
    expected, order = logits.log_softmax(dim=1).sort(dim=1, descending=True)
    np.testing.assert_array_equal(ranking.items, order.numpy())
    np.testing.assert_allclose(ranking.scores, expected.numpy(), atol=1e-6)


def test_it_finds_what_hugging_face_generates():
    """Another implementation, on a network of its own: the same paths in the same order."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "initializer_range": 0.5}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **heads, **ends)).eval()
    codes = np.unique(
        np.random.default_rng(0).integers(2, 12, (60, 3)) + np.array([0, 10, 20]), axis=0
    )
    begun = torch.tensor([[1, 5, 17, 26], [1, 3, 13, 30]])
    after: dict[tuple[int, ...], set[int]] = {}
    for path, level in product(codes.tolist(), range(3)):
        after.setdefault(tuple(path[:level]), set()).add(path[level])
    peer = model.generate(
        begun,
        attention_mask=torch.ones_like(begun),
        num_beams=7,
        num_return_sequences=7,
        max_new_tokens=3,
        do_sample=False,
        length_penalty=0.0,
        output_scores=True,
        return_dict_in_generate=True,
        prefix_allowed_tokens_fn=lambda _, tokens: sorted(after[tuple(tokens[4:].tolist())]),
    )
    written = begun[:, None]

    def step(level, tokens, parents):
        nonlocal written
        if level:
            before = written.take_along_dim(parents[..., None], dim=1)
            written = torch.cat([before, tokens[..., None]], dim=2)
        logits = model(written.flatten(0, 1)).logits[:, -1]
        return logits.view(2, -1, 40) if level else logits

    # It normalises over its whole vocabulary.
    beams = search(step, Trie.of(codes, (40, 40, 40)), 2, 7, over="level")
    assert beams.path.flatten(0, 1).tolist() == peer.sequences[:, 4:].tolist()
    np.testing.assert_allclose(beams.score.flatten(), peer.sequences_scores, atol=1e-4)


# ------------------------------------------------------------------------------------- by hand

TREE = np.array([[0, 0], [0, 1], [1, 2], [2, -1], [1, 2]])
BY_HAND = {
    # exp of the logits: 6, 3, 1 of 10.
    (): np.log([6.0, 3.0, 1.0]),
    # Children 0 and 1 have 1 and 3; code 2, no child, would have most of the level.
    (0,): np.log([1.0, 3.0, 96.0]),
    # The only child is sure, whatever the logit.
    (1,): np.log([50.0, 49.0, 1.0]),
}


def test_probabilities_by_hand():
    """Over children: .6 x .25, .6 x .75, .3 x 1, .1."""
    trie = Trie.of(TREE)
    beams = search(Table(trie.sizes, logits=BY_HAND).step(1), trie, 1, 9)
    assert beams.path.tolist() == [[[0, 1], [1, 2], [0, 0], [2, -1]]]
    np.testing.assert_allclose(beams.score.exp().tolist(), [[0.45, 0.3, 0.15, 0.1]], rtol=1e-6)
    over_level = search(Table(trie.sizes, logits=BY_HAND).step(1), trie, 1, 9, over="level")
    assert over_level.path.tolist() == [[[2, -1], [0, 1], [0, 0], [1, 2]]]
    np.testing.assert_allclose(
        over_level.score.exp().tolist(), [[0.1, 0.018, 0.006, 0.003]], rtol=1e-5
    )


def test_probabilities_are_multiplied_not_added():
    """L5: added, item 0 (.5 + .5) would beat item 2 (.4 + .55), and both lose to a sure last code.

    Multiplied over children: .5 x .5 = .25 twice, .4 x .55 = .22, .4 x .45 = .18, .1 x 1 = .1;
    added, item 4 (.1 + 1) is first.
    """
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]])
    logits = {(): np.log([0.5, 0.4, 0.1]), (0,): [0, 0], (1,): np.log([0.55, 0.45])}
    trie = Trie.of(codes)
    ranking = rank_items(search(Table(trie.sizes, logits=logits).step(1), trie, 1, 5), trie, 5)
    assert ranking.items.tolist() == [[0, 1, 2, 3, 4]]
    np.testing.assert_allclose(np.exp(ranking.scores), [[0.25, 0.25, 0.22, 0.18, 0.1]], rtol=1e-6)


def test_more_beams_than_the_first_level_has_codes():
    """L7: two codes at the first level, twenty beams: there are as many beams as paths."""
    trie = Trie.of(np.array([[0, 0], [0, 1], [1, 0]]))
    beams = search(Table(trie.sizes).step(2), trie, 2, 20)
    assert beams.node.shape == (2, 3) and (beams.score > -INFINITE).all()
    ranking = rank_items(beams, trie, 20)
    assert np.sort(ranking.items[:, :3], axis=1).tolist() == [[0, 1, 2]] * 2
    assert (ranking.items[:, 3:] == -1).all() and np.isneginf(ranking.scores[:, 3:]).all()


def test_a_network_sees_its_own_choices_and_nothing_else():
    """L2: the beginnings that it is asked about are those kept, however the answer looks.

    `Table` rebuilds them from tokens and parents. Paths that have arrived are not asked about.
    """
    trie = Trie.of(TREE)
    table = Table(trie.sizes, logits=BY_HAND)
    search(table.step(1), trie, 1, 9)
    assert table.asked == [[[()]], [[(0,)]]]  # below code 1 there is one path, code 2 is an end
    table = Table(trie.sizes, logits=BY_HAND)
    search(table.step(1), trie, 1, 9, over="level")
    assert table.asked == [[[()]], [[(0,), (1,)]]]  # over the level the one path is not sure
    table = Table(trie.sizes, logits=BY_HAND)
    search(table.step(1), trie, 1, 2, mode="free")
    assert table.asked == [[[()]], [[(0,), (1,)]]]


def test_users_who_need_fewer_answers_are_asked_in_one_call_with_the_others():
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]])
    trie = Trie.of(codes)

    def step(level, tokens, parents):
        if level == 0:
            # The first user's two beams both go on; of the second's one has arrived.
            return torch.tensor([[3.0, 2, 0], [0.0, 2, 3]])
        assert tokens.shape == (2, 2) and parents.tolist() == [[0, 0], [0, 0]]
        assert tokens.tolist()[0] == [0, 1] and tokens.tolist()[1][0] == 1
        return torch.zeros(2, 2, 2)

    beams = search(step, trie, 2, 2)
    assert beams.path.tolist() == [[[0, 0], [0, 1]], [[2, 0], [1, 0]]]


def test_an_only_item_needs_no_network():
    trie = Trie.of(np.array([[3, 1]]))

    def step(*_):
        raise AssertionError("nothing to ask")

    beams = search(step, trie, 2, 5)
    assert beams.score.tolist() == [[0.0], [0.0]] and beams.path.tolist() == [[[3, 1]]] * 2
    assert rank_items(beams, trie, 2).items.tolist() == [[0, -1], [0, -1]]
    # What the network gives to other codes is lost, if it is asked.
    table = Table(trie.sizes, logits={(): np.zeros(4), (3,): np.zeros(2)})
    beams = search(table.step(1), trie, 1, 5, over="level")
    np.testing.assert_allclose(beams.score.exp().tolist(), [[1 / 8]], rtol=1e-6)


# ------------------------------------------------------------------------------- paths of none


def test_the_invalid_rate_of_a_free_search_by_hand():
    """Two items among four paths; uniform, so all four have 1 / 4."""
    trie = Trie.of(np.array([[0, 0], [1, 1]]))
    flat = {(): [0, 0], (0,): [0, 0], (1,): [0, 0]}
    beams = search(Table(trie.sizes, logits=flat).step(1), trie, 1, 9, mode="free")
    assert beams.path.tolist() == [[[0, 0], [0, 1], [1, 0], [1, 1]]]
    assert beams.invalid.tolist() == [[False, True, True, False]]
    assert beams.invalid_rate == 0.5
    ranking = rank_items(beams, trie, 6)
    assert ranking.items.tolist() == [[0, -1, -1, 1, -1, -1]]
    np.testing.assert_allclose(ranking.scores[0, :4], math.log(0.25), rtol=1e-6)
    assert np.isneginf(ranking.scores[0, 4:]).all()


def test_a_free_path_ends_where_an_item_does():
    trie = Trie.of(np.array([[0, -1], [1, 0], [1, 1]]))
    table = Table(trie.sizes, logits={(): [3.0, 0.0], (1,): [0.0, 0.0]})
    beams = search(table.step(1), trie, 1, 9, mode="free")
    assert beams.path.tolist() == [[[0, -1], [1, 0], [1, 1]]]
    assert beams.invalid_rate == 0
    assert table.asked[1] == [[(1,)]]


# ----------------------------------------------------------------------------------------- ties


def test_equal_scores_go_to_the_first_paths():
    """All eight paths of a full binary tree have 1 / 8, bit by bit."""
    codes = np.array(list(product(range(2), repeat=3)))[::-1]
    flat = {path: [0.0, 0.0] for n in range(3) for path in product(range(2), repeat=n)}
    trie = Trie.of(codes)
    for mode in ("constrained", "free"):
        beams = search(Table(trie.sizes, logits=flat).step(1), trie, 1, 3, mode=mode)
        assert beams.path.tolist() == [[[0, 0, 0], [0, 0, 1], [0, 1, 0]]]
        assert len(set(beams.score[0].tolist())) == 1


def test_paths_that_have_ended_keep_their_place_among_equals():
    """A level of one code adds nothing, so all three have 1 / 3 whether they go on or not."""
    trie = Trie.of(np.array([[0, -1], [1, -1], [2, 0]]))
    flat = {(): [0, 0, 0], (2,): [0]}
    for way in ({"over": "level"}, {"mode": "free"}):
        beams = search(Table(trie.sizes, logits=flat).step(1), trie, 1, 3, **way)
        assert beams.path.tolist() == [[[0, -1], [1, -1], [2, 0]]]


def test_many_equal_scores_are_chosen_the_same_way_in_any_company():
    rng = np.random.default_rng(0)
    trie = Trie.of(np.arange(3000)[:, None])
    logits = torch.from_numpy(rng.integers(0, 3, (16, 3000)).astype(np.float32))
    logits[:, ::7] *= -0.0
    together = search(lambda *_: logits, trie, 16, 40)
    for user in range(16):
        alone = search(lambda *_, own=logits[user : user + 1]: own, trie, 1, 40)
        assert torch.equal(alone.node[0], together.node[user])
        expected = torch.argsort(logits[user], descending=True, stable=True)[:40]
        assert (together.node[user] - 1).tolist() == expected.tolist()


def test_items_of_a_shared_path_stand_side_by_side():
    trie = Trie.of(TREE)
    beams = search(Table(trie.sizes, logits=BY_HAND).step(2), trie, 2, 9)
    ranking = rank_items(beams, trie, 6)
    assert ranking.items.dtype == np.int32 and ranking.scores.dtype == np.float32
    assert ranking.items.tolist() == [[1, 2, 4, 0, 3, -1]] * 2
    np.testing.assert_allclose(np.exp(ranking.scores[0]), [0.45, 0.3, 0.3, 0.15, 0.1, 0], rtol=1e-6)
    assert rank_items(beams, trie, 2).items.tolist() == [[1, 2]] * 2
    # Slot 1 is one of two equal ones: the list goes on to the other.
    assert rank_items(beams, trie, 2, whole_ties=True).items.tolist() == [[1, 2, 4]] * 2
    assert rank_items(beams, trie, 3, whole_ties=True).items.tolist() == [[1, 2, 4]] * 2
    assert rank_items(beams, trie, 0, whole_ties=True).items.shape == (2, 0)


def test_a_run_of_equal_scores_ends_where_its_own_user_has_it_end():
    """A user whose run is shorter has empty slots beyond it, not other items."""
    trie = Trie.of(np.array([[0], [1], [2], [3]]))
    logits = torch.tensor([[0.0, 0, 0, -1], [3, 2, 1, 0]])
    ranking = rank_items(search(lambda *_: logits, trie, 2, 4), trie, 1, whole_ties=True)
    assert ranking.items.tolist() == [[0, 1, 2], [0, -1, -1]]
    assert np.isneginf(ranking.scores[1, 1:]).all()


# --------------------------------------------------------------------------------------- errors


def test_what_has_no_probability_is_not_found():
    trie = Trie.of(np.array([[0], [1], [2]]))
    beams = search(lambda *_: torch.tensor([[0.0, -INFINITE, 1], [3, 2, 1]]), trie, 2, 3)
    assert beams.node.tolist() == [[3, 1, -1], [1, 2, 3]]
    assert beams.path.tolist() == [[[2], [0], [-1]], [[0], [1], [2]]]
    assert rank_items(beams, trie, 3).items.tolist() == [[2, 0, -1], [0, 1, 2]]


@pytest.mark.parametrize(
    ("mode", "over"), [("constrained", "children"), ("constrained", "level"), ("free", "level")]
)
@pytest.mark.parametrize(
    "row", [[0.0, float("nan"), 0], [0, INFINITE, 0], [-INFINITE, -INFINITE, -INFINITE]]
)
def test_logits_that_say_nothing_are_refused(row, mode, over):
    trie = Trie.of(np.array([[0, 0], [1, 0], [2, 0], [2, 1]]))
    logits = torch.tensor([[0.0, 0.0, 0.0], row])

    def step(level, tokens, parents):
        return logits if level == 0 else torch.zeros(*tokens.shape, 2)

    with pytest.raises(ProtocolError, match=r"(?s)logits are NaN, or infinite.*user 1 of 2"):
        search(step, trie, 2, 4, mode=mode, over=over)


@pytest.mark.parametrize("level", [0, 1])
def test_logits_of_another_shape_are_refused(level):
    trie = Trie.of(np.array([[0, 0], [0, 1], [1, 2], [1, 0]]))

    def step(at, tokens, parents):
        good = torch.zeros(3, 2) if at == 0 else torch.zeros(*tokens.shape, 3)
        return good if at != level else good[..., :1]

    shape = "[3, 1] at level 0, not [3, 2]" if level == 0 else "[3, 2, 1] at level 1, not [3, 2, 3]"
    with pytest.raises(ProtocolError, match=re.escape(shape)):
        search(step, trie, 3, 4)


def test_a_search_that_cannot_be_meant_is_refused():
    trie = Trie.of(TREE)
    step = Table(trie.sizes).step(1)
    with pytest.raises(UsageError, match="0 beams for 1 users"):
        search(step, trie, 1, 0)
    with pytest.raises(UsageError, match=r"(?s)'constraint'.*did you mean constrained"):
        search(step, trie, 1, 2, mode="constraint")
    with pytest.raises(UsageError, match="no beam search 'parents'"):
        search(step, trie, 1, 2, over="parents")
    gone = trie.without(torch.tensor([0]), torch.tensor([1]))
    with pytest.raises(UsageError, match="a free beam search goes anywhere"):
        search(step, trie, 1, 2, mode="free", gone=gone)


def test_who_gets_nothing_more_is_not_asked_about():
    trie = Trie.of(TREE)
    every = torch.arange(trie.n_items)
    for codes in (TREE, np.array([[2, 1]])):
        trie = Trie.of(codes)
        every = torch.arange(trie.n_items)
        table = Table(trie.sizes)
        beams = search(table.step(1), trie, 1, 4, gone=trie.without(0 * every, every))
        assert table.asked == []
        assert beams.score.tolist() == [[-INFINITE]] and beams.node.tolist() == [[-1]]
        assert rank_items(beams, trie, 2).items.tolist() == [[-1, -1]]


def test_no_users_have_empty_lists():
    trie = Trie.of(TREE)
    beams = search(Table(trie.sizes).step(0), trie, 0, 4)
    ranking = rank_items(beams, trie, 3, whole_ties=True)
    assert ranking.items.shape == ranking.scores.shape == (0, 3)
    assert math.isnan(beams.invalid_rate)


def test_half_precision_logits_have_float32_scores():
    trie = Trie.of(np.arange(4)[:, None])
    logits = torch.tensor([[1.0, 2.0, 0.5, 3.0]], dtype=torch.bfloat16)
    beams = search(lambda *_: logits, trie, 1, 4, device="cpu")
    assert beams.score.dtype == torch.float32
    np.testing.assert_allclose(
        beams.score[0], logits.float().log_softmax(1)[0].sort(descending=True).values, atol=1e-6
    )
