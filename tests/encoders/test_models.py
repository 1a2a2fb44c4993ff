"""The catalogue, and models of a hub that are here or not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tastebench.encoders import ENCODERS, encode_items, get_encoder
from tastebench.encoders.hooks import Absent
from tastebench.encoders.hub import HubModel, NotHere
from tastebench.encoders.models import BY_SOURCE, MODELS, PUBLISHED, SEARCH_TASK
from tastebench.errors import DataError, UsageError
from tastebench.lm.load import HUB_NAME, is_downloaded

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache of our own, and no network."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


def _download(cache: Path, repository: str, folder: Path) -> None:
    """As a finished download leaves a repository's files."""
    kept = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, kept / "snapshots" / COMMIT)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(COMMIT)


# ------------------------------------------------------------------------------------- catalogue


@pytest.mark.parametrize("name", list(MODELS))
def test_every_entry_is_known_without_files_or_network(name, hub, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("TASTEBENCH_KEY_GENERATIVELANGUAGE_GOOGLEAPIS_COM", "none")
    known = ENCODERS.get(name)
    assert known.card.name == name == name.lower()
    assert known.card.revision is None
    assert known.card.dimensions
    assert known.card.source
    encoder = get_encoder(name)
    for field in ("dimensions", "max_tokens", "normalised", "nested", "usd_per_million_tokens"):
        if known.needs == "download":
            assert getattr(encoder.card, field) == getattr(known.card, field)
    if known.needs == "key":
        assert known.is_here()
        assert encoder.card.usd_per_million_tokens == known.card.usd_per_million_tokens > 0
        assert encoder.card.dimensions == known.card.dimensions
        monkeypatch.delenv("OPENAI_API_KEY")
        monkeypatch.delenv("TASTEBENCH_KEY_GENERATIVELANGUAGE_GOOGLEAPIS_COM")
        assert not known.is_here()
        return
    assert isinstance(encoder, Absent)
    assert not known.is_here()
    assert HUB_NAME.fullmatch(known.hub)
    assert known.bytes in (known.card.parameters * 2, known.card.parameters * 4)
    assert known.hub.startswith(known.card.source)
    with pytest.raises(DataError, match="no such model from the hub"):
        encoder.encode(["a text"])


def test_the_published_encoders_are_all_there():
    assert len(PUBLISHED) == 11
    assert set(PUBLISHED) <= set(ENCODERS.names())
    unnormalised = [name for name in PUBLISHED if not MODELS[name].card.normalised]
    assert unnormalised == ["roberta-large", "gemini-embedding-001"]
    assert {name for name in PUBLISHED if MODELS[name].card.nested} == {
        "qwen3-embedding-0.6b",
        "qwen3-embedding-4b",
        "qwen3-embedding-8b",
        "text-embedding-3-large",
        "gemini-embedding-001",
    }
    widths = {name: MODELS[name].card.dimensions for name in PUBLISHED}
    assert min(widths.values()) == widths["sentence-t5-large"] == 768


def test_instructions_differ_by_a_space():
    assert MODELS["e5-mistral-7b"].card.query_instruction == f"Instruct: {SEARCH_TASK}\nQuery: "
    assert MODELS["qwen3-embedding-8b"].card.query_instruction == f"Instruct: {SEARCH_TASK}\nQuery:"
    assert MODELS["gritlm-7b"].card.query_instruction == f"<|user|>\n{SEARCH_TASK}\n<|embed|>\n"
    for name in PUBLISHED:
        model = MODELS[name].model
        # What stands before an item is a format at most, never the task.
        assert model is None or SEARCH_TASK not in (model.item_prefix or "")


def test_the_catalogue_costs_no_library():
    program = (
        "import sys; from tastebench.encoders import ENCODERS\n"
        "for name in ENCODERS: ENCODERS.get(name)\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'openai', 'sklearn'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# --------------------------------------------------------------------------------------- not here


def test_what_is_not_here_says_how_large_it_is_and_how_to_get_it(hub):
    error = get_encoder("qwen3-embedding-0.6b").explain()
    assert error.where == "Qwen/Qwen3-Embedding-0.6B, 1.19 GB"
    assert error.fix == "hf download Qwen/Qwen3-Embedding-0.6B"
    assert "--revision refs/pr/38" in get_encoder("bge-m3").explain().fix
    assert get_encoder("some/model").explain().where == "some/model"


def test_hub_names_are_aliases_and_a_commit_pins(hub):
    alias = get_encoder("BAAI/bge-small-en-v1.5")
    assert alias.card == get_encoder("bge-small-en-v1.5").card
    assert get_encoder(f"bge-small-en-v1.5@{COMMIT}").hub == f"BAAI/bge-small-en-v1.5@{COMMIT}"
    assert get_encoder(f"BAAI/bge-small-en-v1.5@{COMMIT}:mean").hub.endswith(COMMIT)
    assert BY_SOURCE["FacebookAI/roberta-large"] == "roberta-large"


def test_what_has_no_files_cannot_be_pinned_or_pooled():
    for name in ("tfidf-svd:mean", "random@main", "text-embedding-3-large@main"):
        with pytest.raises(UsageError, match="no files of a hub"):
            get_encoder(name)


def test_a_shuffled_encoder_that_is_not_here_is_not_here(hub, tiny, titles):
    control = get_encoder("shuffled:some/model")
    assert isinstance(control, NotHere)
    assert (control.card.name, control.card.revision) == ("shuffled:some/model", None)
    assert control.card.control
    _download(hub, "some/model", tiny)
    shuffled = encode_items(control, titles, recipe="title")
    own = encode_items(get_encoder("some/model"), titles, recipe="title")
    assert shuffled.card.name == "shuffled:some/model"
    assert own.cost.cached
    order = control.fetch().permutation(len(titles))
    np.testing.assert_array_equal(shuffled.vectors, own.vectors[order])


@pytest.mark.parametrize("parts", [("a.safetensors",), ("a.safetensors", "b.safetensors")])
def test_an_interrupted_download_is_not_here(hub, tiny, parts):
    _download(hub, "org/model", tiny)
    snapshot = hub / "models--org--model" / "snapshots" / COMMIT
    assert is_downloaded("org/model")
    assert is_downloaded(f"org/model@{COMMIT}")
    assert not is_downloaded("org/model@v2")
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors.index.json").write_text(
        '{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}'
    )
    for part in parts:
        (snapshot / part).write_bytes(b"weights")
    assert is_downloaded("org/model") == (len(parts) == 2)


# ------------------------------------------------------------------------------------------- here


def test_a_downloaded_model_is_read_as_the_catalogue_says(hub, tiny, titles):
    _download(hub, "FacebookAI/roberta-large", tiny)
    encoder = get_encoder("roberta-large")
    assert ENCODERS.get("roberta-large").is_here()
    card = encoder.card
    assert (card.name, card.pooling, card.normalised) == ("roberta-large", "cls", False)
    assert card.revision.startswith(COMMIT)
    assert card.licence == "MIT"
    same = get_encoder(f"{tiny}:cls").encode(titles)
    np.testing.assert_allclose(encoder.encode(titles), same, atol=1e-6)
    other = get_encoder("roberta-large:mean")
    assert other.card.name == "roberta-large:mean"
    assert other.card.revision != card.revision


ROUNDED = 1e-3
"""Where the processor has bfloat16, a text's vector depends on its batch by so much."""


def test_files_can_lie_in_a_folder(tiny, titles):
    """Where there is no network: the catalogue's settings on one's own copy."""
    encoder = get_encoder(f"e5-base-v2@{tiny}")
    assert (encoder.card.name, encoder.card.query_instruction) == ("e5-base-v2", "query: ")
    plain = get_encoder(tiny)
    items = encoder.encode(titles)
    np.testing.assert_allclose(
        items, _without_prompts(tiny, [f"passage: {t}" for t in titles]), atol=ROUNDED
    )
    assert np.abs(items - _without_prompts(tiny, titles)).max() > 10 * ROUNDED
    queries = encoder.encode(titles, "query")
    np.testing.assert_allclose(
        queries, _without_prompts(tiny, [f"query: {t}" for t in titles]), atol=ROUNDED
    )
    assert encoder.card.revision != plain.card.revision
    assert plain.card.query_instruction == "find: "  # its own


def _without_prompts(folder: Path, texts: list[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return np.asarray(model.encode(texts, prompt="", show_progress_bar=False))


def test_a_copy_without_its_modules_is_not_pooled_by_guess(hub, tiny, tmp_path):
    """What `AutoModel` once cached of a sentence-transformers model is not all of it."""
    partial = shutil.copytree(tiny, tmp_path / "partial")
    (partial / "modules.json").unlink()
    _download(hub, "BAAI/bge-small-en-v1.5", partial)
    with pytest.raises(DataError, match="incomplete") as caught:
        get_encoder("bge-small-en-v1.5")
    assert caught.value.fix == "hf download BAAI/bge-small-en-v1.5"


def test_what_the_catalogue_says_is_in_the_revision(tiny):
    known = MODELS["roberta-large"].model
    assert known is not None
    read = {
        HubModel(known.card, known.hub, item_prefix=prefix, pool_prefix=pool)
        .find(str(tiny))
        .card.revision
        for prefix in (None, "passage: ")
        for pool in (True, False)
    }
    assert len(read) == 4
