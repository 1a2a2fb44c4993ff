"""What goes wrong in the published code of RecBench and Legommenders, and the test that it does not
here: a row an error, most of them tested where their subject is, the others below.

The letters are D for data, P for the pair-wise task and its metrics, G for Legommenders.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from tastebench.contracts import Candidates, CtrProblem, Items, Pairs
from tastebench.metrics.rows import LabelledRows, measure_rows
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.ctr.click_model import Batch, ClickModel, Loader
from tastebench.tasks import TASKS
from tastebench.tasks.shown import Shown, score_all
from tastebench.testing.tiny import tiny
from tastebench.training.fit import FabricTrainer

ROOT = Path(__file__).resolve().parents[3]
HERE = "tests/recommenders/ctr/test_reference_bugs.py"
ROWS = "tests/data/test_click_rows.py"
SOURCES = "tests/data/sources"
ITEM = "tests/recommenders/ctr/test_item_operators.py"
USER = "tests/recommenders/ctr/test_user_operators.py"
PREDICTOR = "tests/recommenders/ctr/test_predictor_formulas.py"
MODEL = "tests/recommenders/ctr/test_click_model.py"
LANGUAGE = "tests/recommenders/ctr/test_language_model.py"

SHOWN = {
    # ------------------------------------------------------------------------------------- data
    "D1: a ratio of negatives that is one a user, with repeats": (
        f"{ROWS}::test_negatives_are_per_user_and_never_taken",
        f"{ROWS}::test_negatives_per_positive_and_those_that_the_cap_leaves",
    ),
    "D2: draws without a seed": (f"{ROWS}::test_the_seed_and_nothing_else_decides",),
    "D3: ids that are numbers here and texts there; nobody left for validation": (
        f"{ROWS}::test_ids_stay_the_texts_they_are",
        f"{ROWS}::test_nobody_for_validation_is_an_error",
    ),
    "D4: the whole table read once a user": (
        f"{ROWS}::test_four_rows_a_user_and_it_takes_no_loop_over_users",
    ),
    "D5: negatives older than the history, without a way to have none": (
        f"{ROWS}::test_negatives_may_be_older_than_the_history_unless_told_otherwise",
    ),
    "D6: a pair with both labels, candidates without a record, users for lists": (
        f"{ROWS}::test_given_lists_without_repeats_and_with_them",
        f"{ROWS}::test_items_without_a_record_are_in_no_row_and_no_history",
        "tests/tasks/test_ctr.py::test_scores_are_compared_within_users_or_within_lists",
    ),
    "D7: users chosen by the order of the file": (
        f"{ROWS}::test_the_seed_and_nothing_else_decides",
        f"{SOURCES}/test_recbench.py::test_movies_by_hand",
    ),
    "D8: an offset of times that is read and thrown away": (
        f"{SOURCES}/test_goodreads.py::test_shelves_with_the_zone_of_their_times",
    ),
    "D9: readers of other editions vanish": (
        f"{SOURCES}/test_goodreads.py::test_editions_become_their_works",
    ),
    "D10: punctuation that is meant to go and stays": (
        f"{SOURCES}/test_movielens.py::test_1m",
        "tests/data/test_text.py::test_recipe_by_hand",
    ),
    "D11: three of four files, titles without commas only": (
        f"{SOURCES}/test_netflix.py::test_all_four_files_and_titles_with_commas",
    ),
    "D12: ids that collide, addresses that fail": (
        f"{SOURCES}/test_hotelrec.py::test_different_places_never_share_an_id",
        f"{SOURCES}/test_hotelrec.py::test_addresses",
    ),
    "D13: songs of one title are one song, stripped lines fail": (
        f"{SOURCES}/test_lastfm.py::test_plays_are_oldest_first_and_keyed_on_the_track_id",
    ),
    "D14: titles outside of latin-1 fail": (
        f"{SOURCES}/test_steam.py::test_titles_that_were_misread_are_mended_and_others_stay",
    ),
    "D15: times of a day where seconds are known, products without a title": (
        f"{SOURCES}/test_recbench.py::test_discs_are_all_reviews_in_the_order_of_their_times",
        f"{SOURCES}/test_amazon.py::test_2018_markup_in_place_of_text_is_no_text",
    ),
    "D16: of several rows of a user now the first and now the last counts": (
        f"{SOURCES}/test_pens.py::test_a_history_is_that_of_the_first_visit_before_it_began",
        f"{SOURCES}/test_eb_nerd.py::test_a_history_is_that_of_the_first_part",
    ),
    "D17: no text is the word nan": (
        f"{SOURCES}/test_recbench.py::test_texts_say_what_is_there_and_nothing_for_what_is_not",
    ),
    "D18: a name that stands for another dataset": (
        f"{HERE}::test_a_view_is_made_of_the_dataset_that_it_is_named_after",
    ),
    "D19: nothing runs without a file of keys": (f"{HERE}::test_no_key_is_needed",),
    "D20: kept data whose key leaves out what they depend on": (
        "tests/lm/test_states.py::test_whatever_changes_the_numbers_changes_the_place",
        "tests/encoders/test_vectors.py::test_the_key_holds_everything_the_numbers_depend_on",
        "tests/runs/test_expand.py::test_equal_runs_have_equal_identities_and_any_difference_"
        "changes_it",
    ),
    "D21: histories as long as each model likes": (
        f"{HERE}::test_no_model_reads_more_of_a_history_than_the_protocol_shows",
    ),
    "D22: what is taken again is candidate and history, untold": (
        f"{ROWS}::test_repeats_are_counted",
    ),
    # ------------------------------------------------------------------------- pair-wise, metrics
    "P1, P2: tables of codes that are neither trained nor read back": (
        "tests/recommenders/ctr/test_code_operators.py::test_embeddings_are_trained_saved_and_read",
    ),
    "P5: dropout of adapters goes on in the test": (
        "tests/lm/test_lora.py::test_adapters_follow_the_mode_of_the_model",
        f"{LANGUAGE}::test_what_is_frozen_is_never_in_train_mode",
    ),
    "P7: no shuffling, and what is left of an epoch dropped": (
        f"{HERE}::test_an_epoch_has_every_row_once_with_its_history",
    ),
    "P12: MRR that is LRAP, and 1 where nothing was clicked": (
        "tests/metrics/test_rows.py::test_the_worked_example",
        "tests/metrics/test_rows.py::test_what_a_metric_leaves_out_is_counted",
    ),
    "P13: results of one call overwritten by the next; one class breaks the mean": (
        f"{HERE}::test_measuring_again_leaves_the_first_result_alone",
        "tests/metrics/test_click.py::test_gauc_by_hand",
    ),
    # ------------------------------------------------------------------------------- Legommenders
    "G1: the first trained layer is skipped": (
        f"{LANGUAGE}::test_frozen_below_any_layer_equals_the_whole_model",
    ),
    "G2: layer 0 is taken away where all are to be trained": (
        f"{LANGUAGE}::test_frozen_below_any_layer_equals_the_whole_model",
        f"{HERE}::test_training_from_layer_0_on_is_training_all",
    ),
    "G3: states that are no numbers become random ones": (
        "tests/lm/test_states.py::"
        "test_a_state_that_is_no_number_names_the_item_and_nothing_is_kept",
    ),
    "G4: padding has weight in MINER's interests": (f"{USER}::test_interests_by_loops",),
    "G5: DIN's tower without the candidate; DIN cannot be cached": (
        f"{PREDICTOR}::test_din_hands_the_candidate_to_its_tower",
        f"{MODEL}::test_what_is_kept_changes_no_score",
    ),
    "G6: LSTUR over two columns cannot be cached": (
        f"{ITEM}::test_one_column_of_lstur_needs_no_projection",
        f"{MODEL}::test_what_is_kept_changes_no_score",
    ),
    "G7: both towers of DCNv2 on the cross layers": (f"{PREDICTOR}::test_both_towers_of_dcnv2",),
    "G8: flattened histories and semantic ids cannot be built": (
        f"{HERE}::test_flattened_histories_and_semantic_ids_are_trained_and_kept",
    ),
    "G9: padding appends the text of item 0": (f"{USER}::test_nothing_clicked_is_no_text",),
    "G10: negatives that were clicked; users kept by their number": (
        "tests/recommenders/ctr/test_negatives.py::"
        "test_a_group_lends_its_own_and_the_rest_is_drawn",
        f"{HERE}::test_a_kept_user_with_another_history_is_another_user",
    ),
    "G11: logloss and F1 of logits": (
        "tests/tasks/test_ctr.py::test_probabilities_of_log_odds_and_of_nothing",
        "tests/metrics/test_click.py::test_scores_that_are_no_probabilities_are_refused",
    ),
    "G12: an empty line of the list of users for validation": (
        f"{ROWS}::test_a_tenth_of_the_finetune_users_validate",
    ),
    "G13: one epoch too many or too few": (
        "tests/training/test_fit.py::test_without_validation_all_epochs_count_and_the_last_stays",
        "tests/training/test_fit.py::test_early_stopping",
    ),
    "G15: settings of published models that do not load": (
        "tests/suites/test_suites.py::test_every_click_model_of_a_suite_can_be_built",
        f"{HERE}::test_a_number_in_quotes_is_the_number_or_refused",
    ),
    "G16: two models in one process disturb each other": (
        f"{HERE}::test_a_model_fitted_in_the_middle_of_another_changes_nothing",
    ),
    "G17: part of a model is read in silence, pickles are run": (
        "tests/training/test_fit.py::test_state_of_another_model_is_an_error",
        f"{LANGUAGE}::test_reading_is_strict",
        f"{HERE}::test_no_text_or_file_is_run_as_a_program",
    ),
    "G18: does not install on a current Python": (
        "tests/test_import.py::test_every_public_name_is_there",
    ),
    "G19: ids are multiplied in place": (
        f"{ITEM}::test_what_it_reads_stays_as_it_was",
        f"{USER}::test_clicks_stay_as_they_were",
    ),
    "G20: exponentials that overflow; NaN for who clicked nothing": (
        "tests/recommenders/ctr/test_layers.py::test_masked_softmax",
        f"{USER}::test_nothing_clicked_is_zero_and_teaches_nothing",
    ),
    "G21: settings are run as a program": (f"{HERE}::test_no_text_or_file_is_run_as_a_program",),
}


@pytest.mark.parametrize("error", SHOWN, ids=lambda error: error.partition(":")[0])
def test_each_has_a_test(error: str) -> None:
    for place in SHOWN[error]:
        path, _, name = place.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# ------------------------------------------------------------------------------------------ data


def test_a_view_is_made_of_the_dataset_that_it_is_named_after() -> None:
    """D18."""
    from tastebench.data.sources.recbench import VIEWS

    others = {
        "mind": "mind-small",
        "microlens": "microlens-50k",
        "movielens": "movielens-latest",
        "lastfm": "lastfm-1k",
        "ebnerd": "eb-nerd-small",
        "cds": "amazon-2018-cds-and-vinyl",
    }
    amazon = {"electronics", "books", "digital-music", "automotive"}
    for name, view in VIEWS.items():
        assert view.base == others.get(name, f"amazon-2018-{name}" if name in amazon else name)
    categories = [view.category for view in VIEWS.values() if view.category]
    assert len(categories) == len(set(categories)) == len(amazon) + 1


def test_no_key_is_needed(tmp_path: Path) -> None:
    """D19: nothing of the surroundings but a folder to keep things in."""
    few = {"TASTEBENCH_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    few |= {key: os.environ[key] for key in ("SYSTEMROOT", "PYTHONPATH") if key in os.environ}
    arguments = ["run", "recbench", "--groups", "A", "-d", "storefront", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", "tastebench.cli", *arguments],
        cwd=tmp_path,
        env=few,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "storefront gdcn seed 0" in done.stdout


# ------------------------------------------------------------------------------------- the models


def model(name: str, **params: Any) -> ClickModel:
    """A narrow one."""
    card = get_recommender(name)
    if "predictor" not in params and name in ("dnn", "din", "bst"):
        params["predictor"] = {"operator": "din" if name == "din" else "dnn", "tower": [8]}
    made = card.build(card.config(**{"hidden_size": 16, "epochs": 2, "batch_size": 8, **params}))
    assert isinstance(made, ClickModel)
    return made


def items(representation: str) -> Items:
    forms: Any = tuple(representation.split("+"))
    return replace(tiny("ctr").items, forms=forms)


def questions() -> Candidates:
    case = tiny("ctr")
    shown = TASKS.get("ctr").ask(case.problem, case.protocol, "test", case.forms)
    assert isinstance(shown, Shown)
    return shown.candidates


def fitted(name: str, representation: str, **params: Any) -> ClickModel:
    made = model(name, **params)
    made.fit(tiny("ctr").problem, items(representation), FabricTrainer(seed=0))
    return made


@pytest.mark.parametrize(
    ("name", "representation"),
    [("dnn", "id"), ("din", "id"), ("bst", "id"), ("nrms", "text"), ("lstur", "text")],
)
def test_no_model_reads_more_of_a_history_than_the_protocol_shows(
    name: str, representation: str
) -> None:
    """D21: five items here, and the latest ones."""
    made = fitted(name, representation)
    shown = Ragged.from_lists([[7, 8]])
    long, cut, early = (
        Candidates(Ragged.from_lists([history]), np.array([0]), shown)
        for history in ([9, 10, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [9, 10, 1, 2, 3])
    )
    np.testing.assert_array_equal(made.score(long), made.score(cut))
    assert not np.allclose(made.score(long), made.score(early))
    with pytest.raises(ValueError, match="history_length"):
        get_recommender(name).config(history_length=50)


@pytest.mark.parametrize(
    ("representation", "params"),
    [
        ("text", {"user": "flatten-transformer", "predictor": "dot", "negatives": 2}),
        (
            "text",
            {
                "item": "attention",
                "user": {"operator": "flatten-fastformer", "length": 9},
                "predictor": {"operator": "dnn", "tower": [8]},
            },
        ),
        ("code", {"item": "code-levels", "user": "levels", "predictor": "mixture"}),
        ("code", {"item": "code", "user": "gru", "predictor": "dot", "negatives": 2}),
    ],
)
def test_flattened_histories_and_semantic_ids_are_trained_and_kept(
    representation: str, params: dict[str, Any]
) -> None:
    """G8: built, trained, and the same with item vectors kept or not."""
    made = model("bricks", **params, epochs=20, lr=0.01)
    report = made.fit(tiny("ctr").problem, items(representation), FabricTrainer(seed=0))
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]
    kept = score_all(made, questions())
    made.keep("nothing")
    np.testing.assert_allclose(score_all(made, questions()), kept, rtol=0, atol=1e-5)


def test_a_kept_user_with_another_history_is_another_user() -> None:
    """G10: what is kept of a user goes by what they took and not by their number."""
    made = fitted("nrms", "id")
    before, after = (
        Candidates(Ragged.from_lists([history]), np.array([3]), Ragged.from_lists([[7, 8]]))
        for history in ([0, 1], [0, 1, 9])
    )
    fresh = made.score(before), made.score(after)
    assert not np.allclose(*fresh)
    made.keep("users")
    for _ in range(2):
        np.testing.assert_allclose(made.score(before), fresh[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(made.score(after), fresh[1], rtol=0, atol=1e-6)


def test_a_model_fitted_in_the_middle_of_another_changes_nothing() -> None:
    """G16: no state is shared in a process, streams of random numbers among it."""
    alone = score_all(fitted("nrms", "text"), questions())
    inner: list[np.ndarray] = []

    def meanwhile(_: dict[str, float]) -> None:
        inner.append(score_all(fitted("nrms", "text"), questions()))

    made = model("nrms")
    made.fit(tiny("ctr").problem, items("text"), FabricTrainer(seed=0, progress=meanwhile))
    np.testing.assert_array_equal(score_all(made, questions()), alone)
    assert len(inner) == 2
    for scores in inner:
        np.testing.assert_array_equal(scores, alone)


def test_training_from_layer_0_on_is_training_all(tmp_path: Path) -> None:
    """G2: 0 is a layer and not the absence of one; embeddings are trained with it."""
    from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS
    from tastebench.recommenders.ctr.content import Content
    from tastebench.testing.language_models import tiny_language_model

    folder = tiny_language_model(tmp_path / "bert", "bert")
    card = ITEM_OPERATORS.get("language-model")

    def trained(tune_from: int | None) -> dict[str, Any]:
        given = {"model": str(folder), "tune_from": tune_from}
        content = Content(2, text={"title": ["red tent", "blue tent"]})
        made: nn.Module = card.build(card.settings(given, where="test"), content, 8)
        return {name: p.shape for name, p in made.named_parameters() if p.requires_grad}

    every, above = trained(None), trained(1)
    assert trained(0) == every
    assert len(above) < len(every)


@pytest.mark.parametrize("value", ["128", "eight"])
def test_a_number_in_quotes_is_the_number_or_refused(value: str) -> None:
    """G15: a setting is of its type whatever the file makes of it; no model gets a text."""
    config = get_recommender("nrms").config
    if value == "128":
        assert config(hidden_size=value).hidden_size == 128
    else:
        with pytest.raises(ValueError, match=r"hidden_size\n.*valid integer"):
            config(hidden_size=value)


# --------------------------------------------------------------------------------------- training


def growing() -> CtrProblem:
    """Two users whose histories grow, one without any; lists of both classes and of one."""
    history = Ragged.from_lists([[], [4], [4, 5, 6], [7, 8]])
    rows = [
        # context, user, item, label, group
        (1, 0, 0, 1, 0),
        (1, 0, 1, 0, 0),
        (2, 0, 2, 1, 0),
        (2, 0, 3, 0, 0),
        (0, 1, 1, 1, 1),
        (3, 2, 2, 1, 2),
        (3, 2, 9, 0, 2),
    ]
    context, user, item, label, group = (np.array(column) for column in zip(*rows, strict=True))
    train = Pairs(context, user, item.astype(np.int32), label.astype(np.int8), group)
    return CtrProblem(12, 3, 2, history, train, train[:0], train[:0])


def unpacked(batch: Batch) -> Iterator[tuple[tuple[int, ...], int]]:
    """What each row of a batch has of a history, and its item."""
    rows = batch.rows
    for asker, candidate in zip(rows.asker.tolist(), rows.candidate.tolist(), strict=True):
        clicks = rows.items[rows.clicks[asker]][rows.mask[asker]]
        yield tuple(clicks.tolist()), int(rows.items[candidate])


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_an_epoch_has_every_row_once_with_its_history(batch_size: int) -> None:
    """P7: shuffled, the last batch as short as it may be; histories cut at the protocol's two."""
    problem = growing()
    loader = Loader.of(problem, get_recommender("dnn").config(batch_size=batch_size))
    orders = set()
    for seed in range(5):
        found, order = [], []
        for batch in loader.epoch(np.random.default_rng(seed)):
            assert batch.label is not None and len(batch.label) <= batch_size
            for (history, item), label in zip(unpacked(batch), batch.label.tolist(), strict=True):
                found.append((history, item, int(label)))
                order.append(item)
        assert Counter(found) == Counter(
            [
                ((4,), 0, 1),
                ((4,), 1, 0),
                ((5, 6), 2, 1),
                ((5, 6), 3, 0),
                ((), 1, 1),
                ((7, 8), 2, 1),
                ((7, 8), 9, 0),
            ]
        )
        orders.add(tuple(order))
    assert len(orders) > 1


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_an_epoch_of_matching_has_every_click_once_and_its_negatives(batch_size: int) -> None:
    """The click first, then two others: the group's own, then what its user has not taken."""
    problem = growing()
    config = get_recommender("dnn").config(batch_size=batch_size, negatives=2)
    clicks = Counter()
    for batch in Loader.of(problem, config).epoch(np.random.default_rng(0)):
        assert batch.label is None
        rows = list(unpacked(batch))
        for first in range(0, len(rows), 3):
            (history, click), *others = rows[first : first + 3]
            assert {other for other, _ in others} == {history}
            negatives = {item for _, item in others}
            assert len(negatives) == 2 and click not in negatives
            clicks[history, click] += 1
            if history in {(4,), (5, 6)}:
                assert negatives == {1, 3}
            if history == (7, 8):
                assert 9 in negatives and not negatives & {7, 8}
    assert clicks == Counter({((4,), 0): 1, ((5, 6), 2): 1, ((), 1): 1, ((7, 8), 2): 1})


# ---------------------------------------------------------------------------------------- metrics


def test_measuring_again_leaves_the_first_result_alone() -> None:
    """P13."""

    def rows(label: list[int]) -> LabelledRows:
        one = np.zeros(2, np.int64)
        return LabelledRows(np.array(label, np.int8), np.array([2.0, 1.0]), one, one)

    names = ["gauc", "lrap"]
    right, _ = measure_rows(names, rows([1, 0]))
    wrong, _ = measure_rows(names, rows([0, 1]))
    assert [right[name].tolist() for name in names] == [[1.0], [1.0]]
    assert [wrong[name].tolist() for name in names] == [[0.0], [0.5]]


# ----------------------------------------------------------------------------------------- safety


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_no_text_or_file_is_run_as_a_program(path: Path) -> None:
    """G17, G21: no expression of a user's is evaluated, and nothing is unpickled."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name, call in calls(tree):
        assert name not in ("eval", "exec", "compile", "torch.load", "pickle.load", "pickle.loads")
        if name in ("np.load", "numpy.load"):
            allowed = [k.value for k in call.keywords if k.arg == "allow_pickle"]
            assert len(allowed) == 1 and ast.literal_eval(allowed[0]) is False, call.lineno
        if name.endswith("yaml.load"):
            assert "Safe" in ast.unparse(call), call.lineno
