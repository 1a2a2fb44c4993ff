"""Datasets by name: prepared ones, public ones that are read or downloaded, the generated shop."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tastebench import files
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset, is_dataset, read_about, read_card
from tastebench.data.tidy import tidy
from tastebench.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from tastebench.data.sources import Source

STOREFRONT = "storefront"

Progress = Callable[[str], None]
"""Takes one line of what is being done."""

Status = Literal["ready", "downloadable", "bring raw files", "built in", "damaged"]


@dataclass(frozen=True)
class DatasetRow:
    """A line of the list of datasets; counts are None until the dataset is prepared."""

    name: str
    title: str
    status: Status
    tasks: tuple[str, ...] = ()
    licence: str | None = None
    n_items: int | None = None
    n_interactions: int | None = None


def datasets_folder() -> Path:
    """Where prepared datasets lie, one folder each."""
    return files.home() / "datasets"


def dataset_folder(name: str) -> Path:
    """Where the dataset called `name` lies once it is prepared.

    A benchmark's `blair/yelp` lies in `blair+yelp`: no name has a plus, so none meets another, and
    nothing lies inside a dataset.
    """
    return datasets_folder() / name.replace("/", "+")


def load_dataset(
    name: str | Path,
    *,
    raw: Path | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """The dataset called `name`, prepared on first use and kept for the next.

    Args:
        name: A prepared or imported dataset, a public one, `storefront`, or the path of a folder
            that `Dataset.save` wrote; what names a public one is no path, slash or not.
        raw: Folder with a public dataset's original files, read instead of downloading. What was
            prepared before is taken only if it came from files of the same content.
        refresh: Prepare again even if it is there.
        progress: Called with a line for each thing that takes time.

    Raises:
        UsageError: No dataset of that name; the message names the nearest.
        DataError: Its files cannot be had or read.
    """
    say = progress or (lambda line: None)
    folder = _folder_given(name)
    if folder is not None:
        return Dataset.load(folder)
    name = str(name)
    kept = dataset_folder(name)
    if name == STOREFRONT:
        return _load_storefront(kept, refresh, say)
    source = _source(name)
    if source is None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or not is_dataset(kept):
            raise _unknown(name)
        return Dataset.load(kept)
    if is_dataset(kept) and not refresh and raw is None:
        # The card is what we know today; the data are what was prepared.
        return replace(Dataset.load(kept), card=source.card)
    return _prepare(source, kept, raw, refresh, say)


def find_dataset(name: str | Path, *, progress: Progress | None = None) -> tuple[Path, DatasetCard]:
    """The folder and the card of a dataset whose tables stay unread; prepared on first use.

    Raises:
        UsageError, DataError: As `load_dataset`.
    """
    folder = _folder_given(name)
    if folder is not None:
        return folder, read_card(folder)
    name = str(name)
    kept, source = dataset_folder(name), _source(name)
    if name == STOREFRONT or not is_dataset(kept):
        # The shop is small, and made anew if it is of another version.
        return kept, load_dataset(name, progress=progress).card
    return kept, read_card(kept) if source is None else source.card


def list_datasets() -> list[DatasetRow]:
    """Every dataset that can be named here: the generated one, public ones, the user's own."""
    from tastebench.data import storefront
    from tastebench.data.sources import SOURCES

    builtin = {STOREFRONT: storefront.CARD, **{name: SOURCES.get(name).card for name in SOURCES}}
    rows = [_row(card, dataset_folder(name)) for name, card in builtin.items()]
    public = {dataset_folder(name) for name in builtin}
    return rows + [_own_row(folder) for folder in _own() if folder not in public]


def is_public(name: str) -> bool:
    """Whether `name` is taken by the generated shop or a public dataset."""
    return name == STOREFRONT or _source(name) is not None


def _folder_given(name: str | Path) -> Path | None:
    """The folder meant by a path, or by a name that can only be a path."""
    if isinstance(name, Path) or name in (".", ".."):
        return Path(name).expanduser()
    if "/" not in name or _source(name) is not None:
        return None
    folder = Path(name).expanduser()
    return None if _benchmarks(name) and not folder.exists() else folder


def _benchmarks(name: str) -> bool:
    """Whether it begins like a dataset of a benchmark, as `blair/` does."""
    from tastebench.data.sources import SOURCES

    benchmark, slash, _ = name.partition("/")
    return any(known.startswith(benchmark + slash) for known in SOURCES)


def _source(name: str) -> Source | None:
    from tastebench.data.sources import SOURCES

    return SOURCES.get(name) if name in SOURCES else None


def _prepare(source: Source, kept: Path, raw: Path | None, refresh: bool, say: Progress) -> Dataset:
    from tastebench.data.download import fetch
    from tastebench.data.prepare import obey

    shared = files.home() / "raw" / source.downloads if source.downloads else None
    folder = fetch(source.card, raw=raw, progress=say, folder=shared)
    if is_dataset(kept) and not refresh:
        made_of = read_about(kept)["manifest"].get("raw", {})
        if made_of.get("files") == folder.files:
            return replace(Dataset.load(kept), card=source.card)
    name = source.card.name
    say(f"{name}: {folder.how}")
    tables, steps = obey(source.read(folder.path), source.rules, name)
    tables, repairs = tidy(tables, name)
    raw_files = {"how": folder.how, "files": folder.files, "notes": list(folder.notes)}
    manifest: dict[str, Any] = {"raw": raw_files, "steps": steps, "repairs": repairs}
    if source.derive is not None:
        tables, manifest["derived"] = source.derive(tables)
    dataset = Dataset.create(source.card, tables, _stamp(manifest))
    differs = dataset.manifest["differs"] = _differences(dataset)
    dataset.save(kept)
    told = [f"{s['step']}: {s['rows_after']:,} of {s['rows_before']:,} rows left" for s in steps]
    told += [f"{reason}: {rows:,}" for reason, rows in repairs.items()]
    told += manifest.get("derived", {}).get("summary", ())
    for line in (*folder.notes, *told, *differs):
        say(f"{name}: {line}")
    return dataset


def _differences(dataset: Dataset) -> list[str]:
    """Where the counts are not those that the source's makers publish, one line each."""
    frame = dataset.tables.interactions
    found = {
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": 0 if frame is None else len(frame),
    }
    return [
        f"{found[what]:,} {what}, published are {known:,}"
        for what, known in dataset.card.known
        if known is not None and known != found[what]
    ]


def _load_storefront(kept: Path, refresh: bool, say: Progress) -> Dataset:
    from tastebench.data import storefront

    card = storefront.CARD
    if is_dataset(kept) and not refresh:
        dataset = Dataset.load(kept)
        if dataset.card.generator == card.generator:
            return replace(dataset, card=card)
    say(f"{STOREFRONT}: generating (version {card.generator})")
    dataset = Dataset.create(card, storefront.generate(), _stamp({"generator": card.generator}))
    dataset.save(kept)
    return dataset


def _stamp(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the version that made it and when."""
    from tastebench import __version__

    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"tastebench": __version__, "prepared": made, **manifest}


def _row(card: DatasetCard, kept: Path) -> DatasetRow:
    """The line of a dataset whose card is ours."""
    status: Status
    if card.name == STOREFRONT:
        status = "built in"
    elif is_dataset(kept):
        status = "ready"
    else:
        urls = [file.url for file in card.files if file.required]
        status = "downloadable" if urls and all(urls) else "bring raw files"
    items, interactions = _sizes(kept)
    return DatasetRow(card.name, card.title, status, card.tasks, card.licence, items, interactions)


def _own() -> list[Path]:
    """Folders of everything that was prepared or imported; not what a crash left half made."""
    kept = datasets_folder()
    if not kept.is_dir():
        return []
    return [f for f in sorted(kept.iterdir()) if f.name[0] != "." and is_dataset(f)]


def _own_row(folder: Path) -> DatasetRow:
    """The line of an imported dataset; a damaged one is listed as such, so that it can be found."""
    try:
        card = read_card(folder)
    except DataError:
        return DatasetRow(folder.name, "", "damaged")
    items, interactions = _sizes(folder)
    return DatasetRow(
        folder.name, card.title, "ready", card.tasks, card.licence, items, interactions
    )


def _sizes(folder: Path) -> tuple[int | None, int | None]:
    if not is_dataset(folder):
        return None, None
    try:
        rows = read_about(folder)["rows"]
    except DataError:
        return None, None
    return rows.get("items"), rows.get("interactions")


def _unknown(name: str) -> UsageError:
    from tastebench.data.sources import SOURCES

    hint = did_you_mean(name, [STOREFRONT, *SOURCES, *(f.name for f in _own())])
    hint = "" if hint.startswith("known:") else hint  # too many to list here
    fix = "`tastebench data list` shows all; `tastebench data import` makes one of your files"
    if is_dataset(Path(name)):
        fix = f"to read the folder of that name, say ./{name}"
    return UsageError(f"unknown dataset {name!r}{': ' + hint if hint else ''}", fix=fix)
