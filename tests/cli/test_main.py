"""Verbs in this process: what they print where, and the exit codes."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import typer

import tastebench
from tastebench import cli
from tastebench.cli.run import override
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.suites import find_plan

VERBS = ["quickstart", "run", "board", "list", "show", "doctor"]


@pytest.mark.parametrize("verb", [[], *([verb] for verb in VERBS), ["data"], ["data", "import"]])
def test_every_verb_explains_itself(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*verb, "--help"]) == 0
    assert "Usage: tastebench" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["quickstart", "run", "list", "show", "doctor"])
def test_a_verbs_help_holds_three_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main([verb, "--help"])
    out = capsys.readouterr().out
    assert out[out.index("Examples:") :].count("tastebench ") >= 3


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == tastebench.__version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "No such command 'runn'"),
        (["run"], "Missing argument"),
        (["run", "absent.yaml"], "no plan at absent.yaml"),
        (["run", "quickstrat"], "no suite 'quickstrat': did you mean quickstart?"),
        (["run", "quickstart", "--limit", "0"], "--limit"),
        (["run", "quickstart", "--redo", "some"], "--redo"),
        (["run", "quickstart", "--set", "seeds"], "cannot read 'seeds'"),
        (["run", "quickstart", "--dry-run", "-e", "minlm"], "did you mean minilm"),
        (["run", "quickstart", "--dry-run", "-m", "eas"], "did you mean ease"),
        (["list", "colours"], "colours"),
        (["show", "unisrecc"], "nothing is called 'unisrecc': did you mean unisrec"),
        (["board", "absent"], "no folder absent"),
    ],
)
def test_what_cannot_be_meant_ends_with_2_and_a_hint_on_stderr(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err


def test_other_recommenders_leave_a_grid_behind_that_they_cannot_search(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    arguments = ["run", "blair", "--dry-run", "-d", "storefront", "-m", "bm25"]
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert "grid of lr is left out: bm25 cannot search it" in captured.err
    assert cli.main([*arguments, "--set", "grid.lrr=[1]"]) == 2
    assert "hyper-parameter 'lrr'" in capsys.readouterr().err


def test_a_recommender_that_a_plan_names_twice_stays_twice() -> None:
    plan = override(find_plan("blair", preset="adaptors"), None, None, ["unisrec"])
    assert plan.recommenders is not None
    assert [choice.params["adaptor"] for choice in plan.recommenders] == ["pca", "mrl"]


def raising(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def app() -> typer.Typer:
        made = typer.Typer(pretty_exceptions_enable=False)

        @made.command()
        def verb() -> None:
            raise error

        return made

    monkeypatch.setattr(cli, "make_app", app)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            UsageError("no such thing", fix="name another"),
            2,
            "no such thing\n  fix:   name another",
        ),
        (DataError("cut off", where="a.csv, row 3"), 4, "cut off\n  where: a.csv, row 3"),
        (DependencyError("not installed", fix="pip install x"), 4, "pip install x"),
        (ZeroDivisionError("division by zero"), 3, "internal error: ZeroDivisionError"),
        (OSError(errno.ENOSPC, "No space left on device", "/d/x"), 4, "fix:   free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/d/x"), 3, "Permission denied"),
    ],
)
def test_errors_have_their_exit_code_and_a_traceback_only_if_asked(
    error: Exception,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raising(error, monkeypatch)
    monkeypatch.delenv("TASTEBENCH_DEBUG", raising=False)
    assert cli.main([]) == code
    plain = capsys.readouterr().err
    assert message in plain
    assert "Traceback" not in plain
    assert cli.main(["-v"]) == code
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("TASTEBENCH_DEBUG", "1")
    assert cli.main([]) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "kind", ["datasets", "encoders", "metrics", "recipes", "recommenders", "suites", "tasks"]
)
def test_everything_with_a_name_can_be_listed_and_shown(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list", kind]) == 0
    assert capsys.readouterr().out
    assert cli.main(["list", kind, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["name"] and row["summary"] for row in rows)
    if kind == "datasets":  # showing the shop generates it, which other tests do
        return
    assert cli.main(["show", rows[0]["name"], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert kind.removesuffix("s") in found


def test_a_name_of_two_kinds_is_shown_as_both(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["show", "random"])
    out = capsys.readouterr().out
    assert "encoder random" in out
    assert "recommender random" in out


def test_hyper_parameters_are_shown_with_their_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["show", "alpharec-original"])
    assert "    lr: 0.0005\n      Learning rate of Adam.\n" in capsys.readouterr().out
    cli.main(["show", "alpharec-original", "--json"])
    found = json.loads(capsys.readouterr().out)["recommender"]["hyper-parameters"]
    assert found["lr"] == {"default": 5e-4, "meaning": "Learning rate of Adam."}


def test_the_doctor_says_where_things_are_and_what_to_mend(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["home"]["folder"] == str(home)
    assert found["packages"]["torch"]
    assert found["system"]["cores"] >= 1
    assert found["datasets"]["storefront"] == "built in"
    assert found["advice"]
    assert cli.main(["doctor"]) == 0
    assert "native bfloat16" in capsys.readouterr().out


def test_missing_extras_are_named_with_the_line_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tastebench.cli import doctor

    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert any("pip install 'tastebench[minilm]'" in line for line in doctor.advice())
