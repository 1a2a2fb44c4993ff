"""What importing and asking for help may load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tastebench as tb

HEAVY = ["torch", "transformers", "sentence_transformers", "polars", "pydantic", "numpy", "scipy"]


def loaded_by(code: str) -> list[str]:
    """The heavy libraries that a fresh interpreter holds after running `code`."""
    script = (
        f"{code}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import tastebench",
        "import tastebench.cli",
        "from tastebench.cli import main; main(['--help'])",
    ],
)
def test_importing_and_help_load_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == []


@pytest.mark.parametrize("verb", ["'run'", "'quickstart'", "'board'", "'data', 'import'"])
def test_a_verbs_help_loads_no_more_than_the_command_line_needs(verb: str) -> None:
    # Typer itself checks a verb's options with pydantic.
    assert loaded_by(f"from tastebench.cli import main; main([{verb}, '--help'])") in (
        [],
        ["pydantic"],
    )


def test_planning_loads_no_torch() -> None:
    code = "import tastebench as tb; tb.Plan; tb.Record; tb.load_dataset; tb.get_recommender"
    assert not {"torch", "transformers", "sentence_transformers"} & set(loaded_by(code))


@pytest.mark.parametrize("name", tb.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tb, name) is not None
    assert name in dir(tb)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        tb.runn  # noqa: B018 - the access is what is tested
