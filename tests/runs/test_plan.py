from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.errors import UsageError
from tastebench.runs.plan import load_plan, make_plan

MINIMAL = "name: study\ndatasets: [storefront]\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_stand_for_choices_and_single_values_for_lists() -> None:
    plan = make_plan(
        {"name": "s", "datasets": "shop", "recommenders": ["ease", {"name": "dot"}], "seeds": 3}
    )
    assert [choice.name for choice in plan.datasets] == ["shop"]
    assert [choice.name for choice in plan.recommenders or ()] == ["ease", "dot"]
    assert plan.seeds == (3,)
    assert plan.row_by == "encoder"


def test_an_exponent_without_a_dot_is_a_number(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, MINIMAL + "grid: {lr: [1e-3, 3E-4, 1e-4]}\n"))
    assert plan.grid == {"lr": [0.001, 0.0003, 0.0001]}


def test_a_dataset_may_say_where_its_raw_files_lie(tmp_path: Path) -> None:
    plan = load_plan(
        write(tmp_path, "name: s\ndatasets:\n  - {name: movielens-100k, raw: downloads/ml}\n")
    )
    assert plan.datasets[0].raw == Path("downloads/ml")


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        (MINIMAL + "encodrs: [minilm]\n", "unknown key 'encodrs': did you mean encoders", "line 3"),
        (
            MINIMAL + "recommenders:\n  - ease\n  - name: dot\n    parms: {}\n",
            "unknown key 'parms': did you mean params?",
            "line 6",
        ),
        (MINIMAL + "seeds: [0, 1, 0]\n", "seeds names 0 more than once", "plan.yaml"),
        (
            MINIMAL + "recommenders: [{name: ease, seeds: [2, 2]}]\n",
            "seeds of ease names 2 more than once",
            "plan.yaml",
        ),
        (
            MINIMAL + "codes: [rk-means, {method: rk-means, levels: 4}]\n",
            "codes names rk-means-4x256 more than once",
            "plan.yaml",
        ),
        (
            MINIMAL + "codes: [{method: rq-vae, levls: 3}]\n",
            "unknown key 'levls': did you mean levels?",
            "line 3",
        ),
        (MINIMAL + "seeds: []\n", "seeds must not be empty", "line 3"),
        (MINIMAL + "threads: 0\n", "threads: Input should be greater than or equal to 1", "line 3"),
        (MINIMAL + "row_by: colour\n", "row_by: Input should be 'encoder'", "line 3"),
        (MINIMAL + "grid: {lr: []}\n", "grid.lr must not be empty", "line 3"),
        (MINIMAL + "name: other\n", "key 'name' stands twice", "lines 1 and 3"),
        ("name: s\n", "'datasets' is missing", "plan.yaml"),
        (
            "name: a/b\ndatasets: [x]\n",
            "name: letters, digits, '.', '_' and '-' only, got 'a/b'",
            "line 1",
        ),
        ("name: [s\n", "not valid YAML", "line"),
        ("- name\n", "a plan is a mapping", "plan.yaml"),
        ("", "a plan is a mapping", "plan.yaml"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_line(
    tmp_path: Path, text: str, message: str, place: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_plan(write(tmp_path, text))
    assert message in caught.value.what
    assert place in (caught.value.where or "")


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no plan at .*absent\.yaml"):
        load_plan(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UsageError, match="cannot read the plan: Is a directory"):
        load_plan(tmp_path)
    with pytest.raises(UsageError, match=r"not UTF-8: byte 0xe9 at offset 9(.|\n)*save it as"):
        load_plan(tmp_path / "latin.yaml")


def test_settings_reach_inside_and_leave_the_given_mapping_alone() -> None:
    given = {"name": "s", "datasets": ["shop"], "protocol": {"cf": {"mask_seen": True}}}
    plan = make_plan(
        given, settings=["protocol.cf.history_length=20", "seeds=[0, 1]", "grid.lr=[1e-3]"]
    )
    assert plan.protocol == {"cf": {"mask_seen": True, "history_length": 20}}
    assert plan.seeds == (0, 1)
    assert plan.grid == {"lr": [0.001]}
    assert given["protocol"] == {"cf": {"mask_seen": True}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seeds", "cannot read 'seeds'"),
        ("=3", "cannot read '=3'"),
        ("name.x=3", "'name' holds no keys"),
        ("seed=3", "unknown key 'seed': did you mean seeds?"),
        ("seeds=[1", "not valid YAML"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        make_plan({"name": "s", "datasets": ["shop"]}, settings=[setting])


def test_texts_may_be_several_and_encoders_bring_their_controls() -> None:
    plan = make_plan(
        {"name": "s", "datasets": "shop", "text_recipe": "title", "encoder_controls": "random"}
    )
    assert plan.text_recipe == ("title",)
    assert plan.encoder_controls == ("random",)
    with pytest.raises(UsageError, match="text_recipe names title more than once"):
        make_plan({"name": "s", "datasets": "shop", "text_recipe": ["title", "title"]})


def test_what_is_merged_may_be_set_anew(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        """name: merged
datasets: [storefront]
recommenders:
  - {name: sasrec, params: &base {layers: 1, hidden_size: 32}}
  - {name: sasrec, params: {<<: *base, layers: 2}}
"""
    )
    one, other = (choice.params for choice in load_plan(path).recommenders or ())
    assert one == {"layers": 1, "hidden_size": 32}
    assert other == {"layers": 2, "hidden_size": 32}
