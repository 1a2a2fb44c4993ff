from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from tastebench.data import shortcut_measures, shortcuts
from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.data.shortcut_facts import Branching, Hits, Likeness, Reach, Shortcuts
from tastebench.data.shortcut_measures import (
    Walked,
    branching,
    likeness,
    reach,
    reach_from,
    walk_hits,
)
from tastebench.data.shortcuts import find_shortcuts, kept_shortcuts, walk
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged
from tastebench.tasks import TASKS

N = 7
RNG = np.random.default_rng


def walked(train: list[list[int]], asked: list[tuple[list[int], int]]) -> Walked:
    history = Ragged.from_lists([before for before, _ in asked])
    return Walked(N, Ragged.from_lists(train), history, np.array([i for _, i in asked], np.int32))


ITEM = st.integers(0, N - 1)
TRAIN = st.lists(st.lists(ITEM, max_size=6), min_size=1, max_size=6)
ASKED = st.lists(st.tuples(st.lists(ITEM, min_size=1, max_size=6), ITEM), min_size=1, max_size=6)


# ------------------------------------------------------------------------------------ branching


def test_branching_by_hand() -> None:
    # After 0: 1, 1, 2, 3. After 1: 0 only. Nothing came after 4.
    train = [[0, 1, 0, 1], [0, 2], [0, 3], [4]]
    found = branching(walked(train, [([0], 1), ([2, 1], 0), ([4], 0), ([0], 5)]))
    entropy = -(0.5 * np.log(0.5) + 2 * 0.25 * np.log(0.25))
    assert found.successors == pytest.approx((2 * np.exp(entropy) + 1) / 3)
    assert found.observed == pytest.approx((4 + 4 + 1) / 3)
    assert found.without == pytest.approx(0.25)


def test_branching_where_nothing_follows() -> None:
    found = branching(walked([[4], []], [([4], 0)]))
    assert found == Branching(successors=None, observed=None, without=1.0)


@settings(max_examples=50, deadline=None)
@given(TRAIN, ASKED)
def test_effective_successors_lie_between_one_and_what_was_observed(
    train: list[list[int]], asked: list[tuple[list[int], int]]
) -> None:
    found = branching(walked(train, asked))
    if found.successors is not None and found.observed is not None:
        assert 1 - 1e-6 <= found.successors <= found.observed + 1e-6


# ---------------------------------------------------------------------------------------- reach


def neighbours(train: list[list[int]]) -> np.ndarray:
    near = np.zeros((N, N), bool)
    for sequence in train:
        for one, other in pairwise(sequence):
            near[one, other] = near[other, one] = True
    return near


@settings(max_examples=80, deadline=None)
@given(TRAIN, ASKED, st.sampled_from([1, 2]))
def test_reach_equals_brute_force(
    train: list[list[int]], asked: list[tuple[list[int], int]], hops: int
) -> None:
    near = neighbours(train)
    count = np.bincount([i for one in train for i in one], minlength=N)
    share = count / max(count.sum(), 1)
    candidates = []
    for history, _ in asked:
        last = history[-1]
        one = set(np.flatnonzero(near[last]).tolist())
        two = {j for i in one for j in np.flatnonzero(near[i]).tolist()} - {last}
        candidates.append(one if hops == 1 else one | two)
    found = reach(walked(train, asked), hops, RNG(0))
    held = [item in c for c, (_, item) in zip(candidates, asked, strict=True)]
    assert found.share == pytest.approx(np.mean(held))
    assert found.candidates == pytest.approx(np.mean([len(c) for c in candidates]))
    assert found.chance == pytest.approx(np.mean([share[sorted(c)].sum() for c in candidates]))


@settings(max_examples=50, deadline=None)
@given(TRAIN, ASKED, st.sampled_from([1, 2, 50]))
def test_reach_from_the_last_items_equals_brute_force(
    train: list[list[int]], asked: list[tuple[list[int], int]], last: int
) -> None:
    near = neighbours(train)
    expected = np.mean([near[history[-last:], item].any() for history, item in asked])
    assert reach_from(walked(train, asked), last) == pytest.approx(expected)


# ------------------------------------------------------------------------------------- the walk


def brute_hits(
    train: list[list[int]], asked: list[tuple[list[int], int]], last: int, recency: float
) -> float:
    edges = np.zeros((N, N))
    for one in train:
        for i in range(len(one)):
            for apart in (1, 2, 3):
                if i + apart < len(one):
                    edges[one[i], one[i + apart]] += 0.7 ** (apart - 1)
                    edges[one[i + apart], one[i]] += 0.3 * 0.7 ** (apart - 1)
    total = edges.sum(axis=1, keepdims=True)
    edges /= np.sqrt(np.where(total > 0, total, 1))
    again = any(len(set(one)) < len(one) for one in train)
    hits = []
    for history, item in asked:
        score = sum(recency**age * edges[i] for age, i in enumerate(history[-last:][::-1]))
        score = np.round(score, 5)  # type: ignore[call-overload]
        kept = [j for j in range(N) if again or j == item or j not in history]
        more = sum(score[j] > score[item] for j in kept)
        same = sum(score[j] == score[item] for j in kept)
        hits.append(min(max((shortcut_measures._K - more) / same, 0), 1))
    return float(np.mean(hits))


@pytest.mark.parametrize("again", [False, True])
def test_hits_equal_brute_force(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_measures, "_K", 2)
    monkeypatch.setattr(shortcut_measures, "_AT_ONCE", 3)
    rng = RNG(again)
    for _ in range(20):
        train = [rng.permutation(N)[: rng.integers(1, 5)].tolist() for _ in range(5)]
        train += [[0, 1, 0]] if again else []
        asked = [
            (rng.permutation(N)[: rng.integers(1, 6)].tolist(), int(rng.integers(N)))
            for _ in range(8)
        ]
        found = walk_hits(walked(train, asked), RNG(0))
        for name, last in shortcut_measures.WINDOWS.items():
            expected = max(
                brute_hits(train, asked, last, recency) for recency in shortcut_measures.RECENCIES
            )
            assert found.windows[name] == pytest.approx(expected, abs=1e-6)
        assert found.n == 8


def test_popular_hits_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut_measures, "_K", 1)
    # 0 three times, 1 and 2 twice, 3 once, the rest never; nothing comes twice in a sequence.
    train = [[0, 1, 2], [0, 1], [0, 2], [3]]
    # 1 with 0 in the history: tied with 2 for the first place. 4 with 5: behind everything.
    found = walk_hits(walked(train, [([0], 1), ([5], 4), ([1], 0)]), RNG(0))
    assert found.popularity == pytest.approx((0.5 + 0 + 1) / 3)
    # Where 2 came twice in one, the history stays among the candidates: 0 is first, always.
    found = walk_hits(walked([*train, [2, 2]], [([0], 1), ([2], 0)]), RNG(0))
    assert found.popularity == 0


# ------------------------------------------------------------------------------------- likeness


@pytest.mark.parametrize("sparse", [False, True])
def test_likeness_equals_scikit_learn_and_sorting(sparse: bool) -> None:
    rng = RNG(1)
    vectors = rng.normal(size=(N, 4)).astype(np.float32)
    vectors[6] = 0
    vectors[:6] /= np.linalg.norm(vectors[:6], axis=1, keepdims=True)
    train = [[0, 1, 2, 3], [3, 3, 4], [5, 6, 0], [2, 1]]
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (2, 1)]  # not 3 with itself, nor what has no content
    asked = [([0, 1], 2), ([4], 6), ([5], 5)]
    given = csr_matrix(vectors) if sparse else vectors
    found = likeness(walked(train, asked), given, RNG(2))
    assert found is not None
    cosine = vectors @ vectors.T
    one, other = np.array(pairs).T
    dealt = RNG(2).permutation(other)
    far = cosine[one, dealt][one != dealt]
    near = cosine[one, other]
    labels = np.repeat([1, 0], [len(near), len(far)])
    assert found.auc == pytest.approx(roc_auc_score(labels, np.concatenate([near, far])))
    places = []
    for history, item in asked:
        scores = cosine[history[-1]]
        rest = [j for j in range(N) if j not in (item, history[-1])]
        above = sum(scores[j] > scores[item] for j in rest)
        places.append(above / (N - 1))
    assert found.rank == pytest.approx(np.median(places))
    assert (found.pairs, found.asked, found.hit) == (5, 3, 1.0)


def test_likeness_is_even_where_all_texts_are_alike() -> None:
    vectors = np.ones((N, 1), np.float32)
    found = likeness(walked([[0, 1, 2, 3]], [([3], 4)]), vectors, RNG(0))
    assert found is not None
    assert (found.auc, found.rank) == (0.5, pytest.approx(5 / 2 / 6))


def test_likeness_needs_content() -> None:
    nothing = np.zeros((N, 2), np.float32)
    assert likeness(walked([[0, 1, 2]], [([2], 1)]), nothing, RNG(0)) is None


# ----------------------------------------------------------------------------------- of datasets


def dataset(sequences: dict[str, list[str]], **card: object) -> Dataset:
    rows = [(user, item) for user, items in sequences.items() for item in items]
    interactions = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    items = interactions.select(pl.col("item_id").unique().sort())
    items = items.with_columns(("title of " + pl.col("item_id")).alias("title"))
    about = {
        "name": "tiny",
        "title": "Tiny",
        "text_columns": ("title",),
        "splits": {"seqrec": SplitSpec(kind="last_out")},
        **card,
    }
    interactions = interactions.with_row_index("row")
    return Dataset.create(DatasetCard(**about), Tables(items=items, interactions=interactions))  # type: ignore[arg-type]


SEQUENCES = {f"u{u}": [f"i{(u + k) % 9}" for k in range(4 + u % 3)] for u in range(12)}


def test_what_is_asked_is_what_next_item_prediction_asks() -> None:
    data = dataset({**SEQUENCES, "new": ["i1"]})
    task = TASKS.get("seqrec")
    problem = task.problem(data, task.protocol(data))
    found = walk(data, SplitSpec(kind="last_out"))
    known = problem.test.history.lengths > 0
    assert found.train.to_lists() == problem.train.to_lists()
    assert found.history.to_lists() == problem.test.history[known].to_lists()
    assert found.item.tolist() == problem.test.item[known].tolist()


def test_a_round_trip_of_everyone_is_all_shortcuts() -> None:
    """Everyone goes the same way round thirty items that are named like their neighbours."""
    name = [f"w{i:02d} w{(i + 1) % 30:02d}" for i in range(30)]
    data = dataset({f"u{u}": [name[(u + k) % 30] for k in range(8)] for u in range(60)})
    found = find_shortcuts(data)
    assert found is not None
    assert found.found == ("few successors", "like content", "short memory")
    assert found.verdict == "strong"
    assert found.branching.successors == pytest.approx(1)
    assert found.hits.windows["1"] == 1
    assert found.content is not None and found.content.auc > 0.9


def test_drawn_items_are_no_shortcut() -> None:
    rng = RNG(7)
    data = dataset({f"u{u}": [f"i{i}" for i in rng.integers(0, 60, 12)] for u in range(300)})
    found = find_shortcuts(data, vectors=rng.normal(size=(60, 5)))
    assert found is not None and found.content is not None
    assert found.content.auc == pytest.approx(0.5, abs=0.05)
    assert found.lift == pytest.approx(1, abs=0.3)
    assert "few successors" not in found.found and "like content" not in found.found


def test_what_cannot_be_looked_at_is_said() -> None:
    with pytest.raises(UsageError, match="tiny has no sequences"):
        find_shortcuts(dataset(SEQUENCES, tasks=("search",)))
    with pytest.raises(DataError, match="a vector is not finite"):
        find_shortcuts(dataset(SEQUENCES), vectors=np.full((9, 2), np.nan))
    alone = dataset({"a": ["i0"], "b": ["i1", "i2", "i3"]})
    assert find_shortcuts(alone) is not None
    untexted = find_shortcuts(dataset(SEQUENCES, text_columns=()))
    assert untexted is not None and untexted.content is None


def test_it_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path))
    data, spec = dataset(SEQUENCES), SplitSpec(kind="last_out")
    first = kept_shortcuts(data, spec)
    assert first == find_shortcuts(data, spec) and first is not None
    with monkeypatch.context() as patch:
        patch.setattr(shortcuts, "find_shortcuts", None)  # would fail if it were called
        assert kept_shortcuts(data, spec) == first
    [file] = (tmp_path / "shortcuts").iterdir()
    file.write_text("{ damaged")
    assert kept_shortcuts(data, spec) == first
    kept_shortcuts(data, SplitSpec(kind="ratio", ratios=(0.5, 0.25, 0.25)))
    assert len(list((tmp_path / "shortcuts").iterdir())) == 2


# ------------------------------------------------------------------------------------- the line


def facts(
    share: float = 0.1,
    chance: float = 0.01,
    auc: float | None = 0.7,
    hits: tuple[float, float] = (0.095, 0.1),
    popularity: float = 0.01,
) -> Shortcuts:
    one = Reach(share=share, candidates=40, chance=chance)
    content = None
    if auc is not None:
        content = Likeness(auc=auc, rank=0.2, hit=0.05, pairs=100, asked=100)
    return Shortcuts(
        asked=100,
        branching=Branching(successors=20, observed=28, without=0),
        hops={"1": one, "2": one},
        windows={"1": 0.1, "all": 0.2},
        hits=Hits(
            windows={"1": 0.0, "2": hits[0], "5": hits[1], "all": 0.0}, popularity=popularity, n=100
        ),
        content=content,
    )


@pytest.mark.parametrize(
    ("known", "verdict", "found"),
    [
        (facts(), "strong", ("few successors", "like content", "short memory")),
        (facts(auc=None), "strong", ("few successors", "short memory")),
        (facts(share=0.04, chance=0.001), "strong", ("like content", "short memory")),
        (facts(chance=0.03), "strong", ("like content", "short memory")),
        (facts(chance=0, auc=0.59), "some", ("short memory",)),
        (facts(hits=(0.08, 0.1)), "some", ("few successors", "like content")),
        (facts(hits=(0.0, 0.0)), "some", ("few successors", "like content")),
        (facts(popularity=0.1), "some", ("few successors", "like content")),
        (facts(share=0.01, auc=0.5, hits=(0.05, 0.1)), "none", ()),
    ],
)
def test_the_line(known: Shortcuts, verdict: str, found: tuple[str, ...]) -> None:
    assert known.verdict == verdict
    assert known.found == found
    assert known.to_dict()["found"] == list(found)


def test_the_sentence_holds_the_numbers() -> None:
    assert facts().sentence == (
        "strong shortcuts, so that a model has to beat graph-walk: few successors (10.0% of "
        "answers next to the last item, 10.0 times what popularity puts there), like content (AUC "
        "of following pairs 0.70), short memory (95% of the walk's hits from the last two items)"
    )
    assert "; not found: like content (AUC of following pairs 0.50)" in facts(auc=0.5).sentence
    none = facts(share=0.01, chance=0, auc=None, hits=(0, 0)).sentence
    assert none == (
        "no shortcuts found: few successors (1.0% of answers next to the last item), "
        "short memory (the walk finds nothing)"
    )
