"""What an export says of itself: what is in it, and ten lines that use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tastebench.build.printable import printed

if TYPE_CHECKING:
    from tastebench.serving.loaded import Loaded

_SAID = {
    "items.parquet": "`item_id` and `title`; row `i` is item `i` of every tensor",
    "users.parquet": "`user_id`; row `u` is row `u` of `user_vectors`",
    "vectors.safetensors": "`item_vectors` and, where users are in it, `user_vectors` (with all "
    "that the dataset knows of each user): their inner product is the model's score",
    "encoder_vectors.safetensors": "`encoder_vectors`, what the encoder made of the items' texts",
    "codes.safetensors": "`codes`, the semantic id of each item, -1 after the end of a shorter one",
    "model.safetensors": "what the run trained: `state-<n>.` the parameters of its n-th fit, "
    "`data-<n>.` numbers that came with the items",
    "config.yaml": "the plan that repeats the run: `tastebench run config.yaml`",
}

_BY_VECTORS = """\
import polars as pl
from safetensors.numpy import load_file

items, users = pl.read_parquet("items.parquet"), pl.read_parquet("users.parquet")
vectors = load_file("vectors.safetensors")
user = users["user_id"].to_list().index({user!r})
scores = vectors["item_vectors"] @ vectors["user_vectors"][user]
best = (-scores).argsort(kind="stable")[:10]
print(items[best].with_columns(pl.Series("score", scores[best])))
"""

_BY_FILES = """\
import polars as pl
from safetensors.numpy import load_file

items = pl.read_parquet("items.parquet")
print(items.head())
for file in {files!r}:
    for name, tensor in load_file(file).items():
        print(file, name, tensor.dtype, tensor.shape)
"""

_RECOMMEND = """\
import tastebench as tb

model = tb.load(".")
print(model)
print(model.recommend([{history!r}], k=10))
"""

_SCORE = """\
import tastebench as tb

model = tb.load(".")
print(model)
print(model.score([{history!r}], [{candidates!r}]))
"""

_SEARCH = """\
import tastebench as tb

model = tb.load(".")
print(model)
print(model.search([{text!r}], k=10))
"""

_LOADED = """\
import tastebench as tb

model = tb.load(".")
print(model)
"""


def readme(loaded: Loaded, names: Iterable[str], user: str | None) -> str:
    """The README of an export, Markdown.

    Args:
        loaded: What is exported.
        names: Its files.
        user: One of the users in it; None where there are none.
    """
    record, card, names = loaded.record, loaded.dataset.card, list(names)
    value = record.metrics.get(record.headline)
    mean = "undefined" if value is None or value.mean is None else f"{value.mean:.4f}"
    said = [f"- `{name}`: {_SAID[name]}" for name in names if name in _SAID]
    licence = f", licence {printed(card.licence)}" if card.licence else ""
    parts = [
        f"# {printed(record.spec.label)}, {record.spec.task} on {printed(card.name)}",
        f"{record.headline} {mean} on the test part, seed {record.spec.seed}. Run "
        f"`{record.spec_hash}`, protocol `{record.protocol_id}`, dataset fingerprint "
        f"`{loaded.dataset.fingerprint[:12]}`; all of it is in `export.json`, with the checksum "
        "of every file.",
        "\n".join(said),
        f"Ids and titles come from {printed(card.title)}{licence}: whether they may be passed on "
        "is for its licence to say.",
        "## Without Tastebench",
        _block(_plain(names, user)),
        "## With Tastebench",
        "`load` needs the dataset (`dataset=FOLDER` says where it lies), and the encoder only for "
        "new texts. It refuses data with other values.",
        _block(_with_tastebench(loaded)),
    ]
    return "\n\n".join(parts) + "\n"


def _plain(names: list[str], user: str | None) -> str:
    if user is not None:
        return _BY_VECTORS.format(user=user)
    return _BY_FILES.format(files=[name for name in names if name.endswith(".safetensors")])


def _with_tastebench(loaded: Loaded) -> str:
    events, ids = loaded.dataset.events(), loaded.dataset.item_ids
    history = [ids[int(item)] for item in events.item[:2]] or [ids[0]]
    match loaded.record.spec.task:
        case "seqrec" | "cf" if "truth" not in loaded.record.spec.forms:
            return _RECOMMEND.format(history=history)
        case "ctr" if "truth" not in loaded.record.spec.forms:
            return _SCORE.format(history=history, candidates=ids[:3].to_list())
        case "search":
            assert loaded.dataset.tables.queries is not None
            return _SEARCH.format(text=loaded.dataset.tables.queries["text"][0])
    return _LOADED


def _block(code: str) -> str:
    return f"```python\n{code}```"
