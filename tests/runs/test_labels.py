"""Runs of one label are told apart by what they differ in, and by nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tastebench import cli
from tastebench.contracts import EncoderCard
from tastebench.data.dataset import Dataset
from tastebench.runs.expand import expand
from tastebench.runs.labels import told_apart
from tastebench.runs.plan import make_plan
from tastebench.runs.resources import Resources


def told(tiny: Dataset, *recommenders: Any, **plan: Any) -> list[str]:
    made = {
        "name": "s",
        "datasets": "tiny",
        "tasks": "seqrec",
        "recommenders": recommenders,
        **plan,
    }
    runs = expand(make_plan(made), Resources({"tiny": tiny}, {"e": EncoderCard("e", "1")})).runs
    apart = told_apart(runs)
    return [" ".join([run.spec.label, *apart[run.spec_hash]]) for run in runs]


@pytest.mark.parametrize(
    ("recommenders", "plan", "labels"),
    [
        (
            [
                {"name": "sasrec", "params": {"layers": 1, "lr": 0.1}},
                {"name": "sasrec", "params": {"layers": 2, "lr": 0.1}},
                "popularity",
            ],
            {},
            ["sasrec layers=1", "sasrec layers=2", "popularity"],
        ),
        (["sasrec", "sasrec-text"], {"encoders": "e"}, ["sasrec", "sasrec-text(vector, e)"]),
        (
            ["gru4rec", {"name": "gru4rec", "grid": {"lr": [0.1, 0.01]}}],
            {},
            ["gru4rec", "gru4rec lr grid=[0.1, 0.01]"],
        ),
        (
            ["sid-sasrec", {"name": "sid-sasrec", "params": {"decoding": "free"}}],
            {
                "codes": [
                    {"method": "random", "levels": 2, "size": 8},
                    {"method": "random", "levels": 2, "size": 8, "ties": "always"},
                ]
            },
            [
                "sid-sasrec(code, random-2x8) codes ties=where-needed",
                "sid-sasrec(code, random-2x8) codes ties=always",
                "sid-sasrec(code, random-2x8) codes ties=where-needed decoding=free",
                "sid-sasrec(code, random-2x8) codes ties=always decoding=free",
            ],
        ),
        (
            ["sid-sasrec"],
            {
                "encoders": "e",
                "codes": [
                    {"method": "rq-vae", "settings": {"latent": 8, "lr": 0.1}},
                    {"method": "rq-vae", "settings": {"lr": 0.1}},
                ],
            },
            [
                "sid-sasrec(code, e, rq-vae-4x256) codes latent=8",
                "sid-sasrec(code, e, rq-vae-4x256)",
            ],
        ),
        (["sasrec"], {"seeds": [0, 1]}, ["sasrec", "sasrec"]),
    ],
)
def test_what_differs_is_said(
    tiny: Dataset, recommenders: list[Any], plan: dict[str, Any], labels: list[str]
) -> None:
    assert told(tiny, *recommenders, **plan) == labels


def test_a_dry_run_tells_two_runs_of_one_label_apart(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = {
        "name": "two",
        "datasets": ["storefront"],
        "tasks": ["seqrec"],
        "codes": ["random-2x8", {"method": "random", "levels": 2, "size": 8, "ties": "always"}],
        "recommenders": [
            "sid-sasrec",
            {"name": "sid-sasrec", "params": {"decoding": "free"}},
        ],
    }
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(plan))
    assert cli.main(["run", str(path), "--dry-run", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    label = "open      seqrec  storefront sid-sasrec(code, random-2x8)"
    assert lines[:6] == [
        "open      codes   storefront random-2x8 ties=where-needed",
        "open      codes   storefront random-2x8 ties=always",
        f"{label} codes ties=where-needed seed 0",
        f"{label} codes ties=always seed 0",
        f"{label} codes ties=where-needed decoding=free seed 0",
        f"{label} codes ties=always decoding=free seed 0",
    ]
    assert cli.main(["run", str(path), "--dry-run", "--json", "--out", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [step["settings"] for step in told["codes"]] == [["ties=where-needed"], ["ties=always"]]
    assert told["runs"][-1]["settings"] == ["codes ties=always", "decoding=free"]


def test_a_dry_run_tells_texts_of_one_encoder_apart(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "name: two\ndatasets: [storefront]\ntasks: [seqrec]\nencoders: [tfidf-svd]\n"
        "text_recipe: [title, all-text]\nrecommenders: [sasrec-text]\n"
    )
    assert cli.main(["run", str(path), "--dry-run", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "open      encode  storefront tfidf-svd text_recipe=title",
        "open      encode  storefront tfidf-svd text_recipe=all-text",
    ]
    assert lines[3].endswith("sasrec-text(vector, tfidf-svd) text_recipe=all-text seed 0")
