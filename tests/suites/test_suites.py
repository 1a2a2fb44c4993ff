"""The shipped plans and how they are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench import suites
from tastebench.errors import UsageError
from tastebench.metrics.grammar import parse_rows
from tastebench.recommenders import get_recommender
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.runs.plan import Plan, make_plan

STUDIES = Path(__file__).resolve().parents[2] / "docs" / "studies"


def test_a_preset_is_a_suite_of_the_same_family() -> None:
    assert {"laptop", "paper"} <= set(suites.presets("blair"))
    assert suites.find_plan("blair", preset="laptop").preliminary
    assert suites.find_plan("blair", ["seeds=[7]"], preset="paper").seeds == (7,)


def test_what_has_no_preset_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preset 'papre': did you mean paper"):
        suites.find_plan("blair", preset="papre")
    with pytest.raises(UsageError, match="no preset 'paper': it has none"):
        suites.find_plan("quickstart", preset="paper")
    with pytest.raises(UsageError, match="no suite"):
        suites.find_plan("blarp", preset="paper")
    with pytest.raises(UsageError, match="a preset belongs to a suite"):
        suites.find_plan(tmp_path / "plan.yaml", preset="paper")


def test_the_published_plan_has_the_published_columns_and_encoders() -> None:
    """BLaIR ranks 11 encoders by 5 + 6 + 1 + 2 columns."""
    from tastebench.data.sources import SOURCES

    plan = suites.find_plan("blair", preset="paper")
    assert len(plan.encoders) == 11
    tasks = [task for choice in plan.datasets for task in SOURCES.get(choice.name).card.tasks]
    assert {task: tasks.count(task) for task in tasks} == {"seqrec": 5, "cf": 6, "search": 3}


# ---------------------------------------------------------------------------------------- RecBench


def members(plan: Plan) -> dict[str | None, list[str]]:
    """Group to the recommenders in it."""
    found: dict[str | None, list[str]] = {}
    for choice in plan.recommenders or ():
        found.setdefault(choice.group, []).append(choice.name)
    return found


@pytest.mark.parametrize("preset", [None, "paper"])
def test_recbench_has_the_published_groups(preset: str | None) -> None:
    """Nine predictors over ids, four of them over words and vectors; four depths over ids, and
    three over codes with and without the tree of items."""
    plan = suites.find_plan("recbench", preset=preset)
    four = ["dnn", "dcnv2", "autoint", "gdcn"]
    bare = ["graph-walk", "item-knn", "vector-knn", "logistic", "popularity", "random"]
    assert members(plan) == {
        "A": "dnn pnn deepfm dcn dcnv2 masknet finalmlp autoint gdcn".split(),
        "B": four,
        "C": four,
        "D": ["llm"],
        "E": ["llm"],
        "F": ["llm"],
        "G": ["gpt2rec"] * 4,
        "H": ["sid-sasrec"] * 6,
        "I": ["llm-next"],
        "J": ["llm-next"] * 2,
        None: bare if preset else ["sasrec", "gru4rec", *bare],
    }
    assert plan.models == ()  # none is assumed: what needs one is left out until it is named
    fed = {choice.group: choice.representations for choice in plan.recommenders or ()}
    assert fed == {
        **{"A": ("id",), "B": ("text",), "C": ("vector",), "G": None, "H": None, None: None},
        **{"D": ("id",), "E": ("text",), "F": ("code",), "I": ("id",), "J": ("code",)},
    }
    depths = [choice.params["layers"] for choice in plan.recommenders or () if choice.group == "G"]
    assert depths == [3, 6, 12, 24]
    spelt = [
        (choice.params["layers"], choice.params.get("decoding", "constrained"))
        for choice in plan.recommenders or ()
        if choice.group == "H"
    ]
    assert spelt == [(n, how) for n in (3, 6, 12) for how in ("constrained", "free")]


def test_the_published_recbench_has_its_datasets_seed_and_ported_predictors() -> None:
    from tastebench.data.sources import SOURCES

    plan = suites.find_plan("recbench", preset="paper")
    assert [choice.name.removeprefix("recbench/") for choice in plan.datasets] == [
        "hm",
        "mind",
        "microlens",
        "goodreads",
        "cds",
    ]
    assert all("ctr" in SOURCES.get(choice.name).card.tasks for choice in plan.datasets)
    assert plan.seeds[0] == 2023
    assert plan.missing == "skip"
    for choice in plan.recommenders or ():
        if choice.group in ("A", "B", "C"):
            predictor = choice.params["predictor"]
            assert predictor == {"operator": choice.name, "variant": "reference"}


def test_recbench_fits_a_laptop_with_two_predictors() -> None:
    plan = suites.find_plan("recbench", preset="laptop")
    assert plan.preliminary and len(plan.seeds) == 1
    assert [members(plan)[group] for group in "ABC"] == [["dnn", "gdcn"]] * 3
    assert [members(plan)[group] for group in "GH"] == [["gpt2rec"] * 2, ["sid-sasrec"] * 2]
    assert [members(plan)[group] for group in "DEF"] == [["llm"]] * 3
    assert [members(plan)[group] for group in "IJ"] == [["llm-next"], ["llm-next"] * 2]


@pytest.mark.parametrize("name", ["recbench", "recbench-laptop", "recbench-paper", "legommenders"])
def test_every_click_model_of_a_suite_can_be_built(name: str) -> None:
    """Settings exist, bricks fit, and the protocol is one of labelled rows."""
    plan = suites.get_suite(name)
    assert plan.row_by == "run"  # a recommender over ids, words and vectors is three rows
    for choice in plan.recommenders or ():
        card = get_recommender(choice.name)
        named = {"model": "./some-model"} if "model" in card.config.model_fields else {}
        config = card.config(**choice.params, **named)
        for representation in choice.representations or card.representations[:1]:
            assert representation in card.representations
            if card.check is not None:
                card.check(config, representation)
    metrics = plan.protocol["ctr"]["metrics"]
    assert len(parse_rows(metrics)) == len(metrics)
    assert metrics[0] == "gauc"
    assert plan.protocol["ctr"]["history_length"] == 20


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_plans_of_studies_can_be_meant(path: Path) -> None:
    plan = suites.find_plan(path)
    for choice in plan.recommenders or ():
        card = get_recommender(choice.name)
        assert set(choice.grid or ()) <= set(card.config.model_fields)
        card.config(**choice.params)


@pytest.mark.parametrize(
    "path", sorted(STUDIES.glob("*/prompts/*.yaml")), ids=lambda path: path.stem
)
def test_prompts_of_studies_can_be_meant(path: Path) -> None:
    assert get_prompt(str(path)).name == path.stem


def test_the_parts_of_a_study_are_the_same_but_for_their_data() -> None:
    folder = STUDIES / "text-in-click-models"
    parts = [suites.find_plan(folder / f"{name}.yaml") for name in ("plan", "games")]
    one, other = (part.model_dump(exclude={"datasets", "description"}) for part in parts)
    assert one == other


PAGE = STUDIES.parent / "recbench.md"


def test_the_page_names_every_dataset_and_preset_and_its_plan_can_be_meant() -> None:
    from tastebench.data.sources.recbench import VIEWS
    from tastebench.runs.yaml_lines import parse_yaml

    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in VIEWS)
    assert all(preset in page for preset in suites.presets("recbench"))
    text = page.partition("```yaml\n")[2].partition("```")[0]
    plan = make_plan(parse_yaml(text, str(PAGE))[0])
    for choice in plan.recommenders or ():
        card = get_recommender(choice.name)
        assert card.check is not None
        for representation in choice.representations or ("id",):
            card.check(card.config(**choice.params), representation)
