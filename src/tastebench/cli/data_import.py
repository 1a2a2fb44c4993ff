"""`tastebench data import`, `data prepare` and `data check`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastebench.cli.data_told import finish, say, shares, told_parts, understood
from tastebench.cli.options import AsJson

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset
    from tastebench.data.prepare import Filters


class BadRowsChoice(StrEnum):
    """What to do with rows that cannot be read."""

    error = "error"
    drop = "drop"


class DuplicatesChoice(StrEnum):
    """What to do with a second row of the same id."""

    error = "error"
    first = "first"


class TimeUnitChoice(StrEnum):
    """What the numbers in the time column are."""

    auto = "auto"
    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"
    date = "date"
    order = "order"


class EngineChoice(StrEnum):
    """What carries the filters out."""

    polars = "polars"
    spark = "spark"


Replace = Annotated[bool, typer.Option("--replace", help="Replace a dataset of the same name.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs to the `data` application."""
    app.command("import")(import_)
    app.command("prepare")(prepare)
    app.command("check")(check)


def import_(  # noqa: PLR0913, PLR0917 - an option each
    items: Annotated[Path, typer.Option(help="One row per item: CSV, TSV, JSON lines, Parquet.")],
    name: Annotated[str, typer.Option(help="What to call the dataset.")],
    interactions: Annotated[
        Path | None, typer.Option(help="One row per click, purchase or rating.")
    ] = None,
    impressions: Annotated[
        Path | None,
        typer.Option(help="One row per item shown: who to, and clicked (1) or not (0)."),
    ] = None,
    histories: Annotated[
        Path | None, typer.Option(help="One row per user: items taken before all impressions.")
    ] = None,
    queries: Annotated[Path | None, typer.Option(help="One row per search query.")] = None,
    relevance: Annotated[Path | None, typer.Option(help="Which items answer which query.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="Meaning=column: user=uid,item=sku,time=ts,rating=...,label=...; of one file "
            "alone: impressions.label=clicked",
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Item columns with text, in order: title,description")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of CSV; found by itself if not given.")
    ] = None,
    time_unit: Annotated[
        TimeUnitChoice, typer.Option(help="What the times are.")
    ] = TimeUnitChoice.auto,
    unordered: Annotated[
        bool, typer.Option("--unordered", help="Neither times nor rows say what came first.")
    ] = False,
    bad_rows: Annotated[
        BadRowsChoice, typer.Option(help="Rows that cannot be read: refuse the file or drop them.")
    ] = BadRowsChoice.error,
    duplicates: Annotated[
        DuplicatesChoice, typer.Option(help="A second row of an id: refuse or keep the first.")
    ] = DuplicatesChoice.error,
    language: Annotated[str, typer.Option(help="Language of the texts.")] = "en",
    written_by_model: Annotated[
        list[str] | None,
        typer.Option(help="Item columns that a model wrote from interactions: description,..."),
    ] = None,
    made_from: Annotated[
        str | None,
        typer.Option(
            help="What it wrote them from: a time that all of it lies before, or a file with those "
            "rows of the interactions."
        ),
    ] = None,
    replace: Replace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is understood and keep nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of your own files.

    Example: tastebench data import --items items.csv --interactions clicks.csv
    --map user=uid,item=sku,time=ts --text title,description --name my-shop
    """
    from tastebench.data.cells import ImportOptions
    from tastebench.data.declare import declare_written
    from tastebench.data.importer import import_dataset, save_imported
    from tastebench.data.mapping import parse_map
    from tastebench.data.times import UNITS
    from tastebench.errors import UsageError

    if made_from and not written_by_model:
        raise UsageError(
            "--made-from says what a model wrote texts from, and no column is said to be such",
            fix="--written-by-model COLUMN",
        )
    mapping = parse_map(",".join(map_ or []))
    options = ImportOptions(
        encoding=encoding,
        delimiter={"\\t": "\t"}.get(delimiter or "", delimiter),
        bad_rows=bad_rows.value,
        time_unit=UNITS.get(time_unit.value),
        unordered=unordered,
        duplicates=duplicates.value,
        language=language,
    )
    dataset = import_dataset(
        name,
        items,
        interactions,
        mapping,
        _listed(text),
        impressions=impressions,
        histories=histories,
        queries=queries,
        relevance=relevance,
        options=options,
    )
    if written_by_model:
        dataset = declare_written(dataset, _listed(written_by_model), made_from, mapping, options)
    folder = None if dry_run else save_imported(dataset, replace=replace)
    for line in understood(dataset):
        say(line)
    finish(dataset, folder, as_json)


def prepare(  # noqa: PLR0913, PLR0917 - an option each
    source: Annotated[str, typer.Argument(help="Dataset to filter.", metavar="DATASET")],
    name: Annotated[str, typer.Option(help="What to call the result.")],
    min_rating: Annotated[
        float | None, typer.Option(help="Keep interactions rated at least this.")
    ] = None,
    dedup: Annotated[
        bool, typer.Option("--dedup", help="Keep the earliest of each (user, item) pair.")
    ] = False,
    sample_users: Annotated[
        int | None, typer.Option(min=1, help="Keep this many users, drawn with --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    k_core: Annotated[
        int | None, typer.Option(min=1, help="Every user and item has this many interactions.")
    ] = None,
    min_length: Annotated[
        int | None, typer.Option(min=1, help="Then drop users with fewer interactions.")
    ] = None,
    keep_items: Annotated[
        bool, typer.Option("--keep-items", help="Keep items that nobody interacts with any more.")
    ] = False,
    engine: Annotated[
        EngineChoice,
        typer.Option(help="In the memory of this machine, or on Spark for what does not fit."),
    ] = EngineChoice.polars,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Filter a dataset into a new one; the filters apply in the order shown.

    Example: tastebench data prepare my-shop --dedup --k-core 5 --name my-shop-5core

    DATASET may be a folder with tables in Parquet, items.parquet and interactions/*.parquet, whose
    columns are named as in a dataset. On either engine the result is the same, row for row.
    """
    from tastebench.data.importer import place_for
    from tastebench.data.prepare import Filters

    folder = place_for(name, replace=replace)
    filters = Filters(
        min_rating=min_rating,
        dedup=dedup,
        sample_users=sample_users,
        seed=seed,
        k_core=k_core,
        min_length=min_length,
        keep_items=keep_items,
    )
    if engine is EngineChoice.spark:
        _prepare_on_spark(source, filters, name, folder, as_json)
        return
    from tastebench.data.catalog import load_dataset
    from tastebench.data.parquet_folder import prepare_folder
    from tastebench.data.prepare import prepare as apply

    given = _parquet_folder(source)
    if given is None:
        dataset = apply(load_dataset(source, progress=say), filters, name)
    else:
        dataset = prepare_folder(given, filters, name)
    dataset.save(folder)
    _say_steps(dataset.manifest)
    finish(dataset, folder, as_json)


def _prepare_on_spark(
    source: str, filters: Filters, name: str, folder: Path, as_json: bool
) -> None:
    from tastebench.cli.data_told import finish_saved
    from tastebench.data.catalog import find_dataset
    from tastebench.data.dataset import read_about
    from tastebench.data.spark import session
    from tastebench.data.spark_prepare import at_rest, folder_at_rest, prepare_on_spark

    given = _parquet_folder(source)
    found = folder_at_rest(given) if given else at_rest(*find_dataset(source, progress=say))
    say("starting Spark")
    with session() as spark:
        say(f"Spark {spark.version}: {spark.conf.get('spark.master')}")
        made = prepare_on_spark(found, filters, name, spark, folder)
    about = read_about(folder)
    _say_steps(about["manifest"])
    finish_saved(about, made["users"], folder, as_json)


def _parquet_folder(source: str) -> Path | None:
    """The folder of Parquet tables that is meant, if one is."""
    from tastebench.data.parquet_folder import is_parquet_folder

    folder = Path(source).expanduser()
    meant = "/" in source or source in (".", "..")
    return folder if meant and is_parquet_folder(folder) else None


def _say_steps(manifest: Mapping[str, Any]) -> None:
    for step in manifest["steps"]:
        passes = f" in {step['passes']} passes" if "passes" in step else ""
        say(f"{step['step']}: {step['rows_before']:,} -> {step['rows_after']:,}{passes}")


def check(
    name: Annotated[str, typer.Argument(help="Name or folder of a dataset.", metavar="DATASET")],
    shortcuts: Annotated[
        bool,
        typer.Option(
            "--shortcuts", help="Say whether next items are given away by their neighbours."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read a prepared dataset whole: files, schema, fingerprint; and say what its splits leak.

    Of click prediction it says what the parts hold: rows, clicks, histories. A benchmark's dataset
    is counted beside what the benchmark publishes of it. With --shortcuts: how few items follow an
    item, how like they are, and how much a longer history adds.
    """
    from tastebench.data.catalog import dataset_folder, load_dataset
    from tastebench.data.comparison import compare
    from tastebench.data.dataset import Dataset, is_dataset
    from tastebench.data.schema import validate

    places = (dataset_folder(name), Path(name).expanduser())
    folder = next((place for place in places if is_dataset(place)), None)
    dataset = Dataset.load(folder, verify=True) if folder else load_dataset(name, progress=say)
    validate(dataset.tables, dataset.name)
    leaks = {
        task: _looked_at(dataset, task) for task in dataset.card.tasks if _is_cut(dataset, task)
    }
    counted = compare(dataset)
    if counted is not None and not as_json:
        from tastebench.cli.data import console
        from tastebench.cli.data_view import print_comparison

        print_comparison(counted, console())
    more = {"published": counted.to_dict()} if counted is not None else {}
    if shortcuts:
        from tastebench.cli.data_shortcuts import look_for_shortcuts

        more["shortcuts"] = look_for_shortcuts(dataset, as_json)
    finish(dataset, folder, as_json, leakage=leaks, **more)


def _is_cut(dataset: Dataset, task: str) -> bool:
    """Whether a task of a dataset is split at all."""
    tables = dataset.tables
    shown = task == "ctr" and tables.impressions is not None
    return task != "search" and (shown or tables.interactions is not None)


def _looked_at(dataset: Dataset, task: str) -> dict[str, Any]:
    """What the default split of a task leaks, and of clicks what its parts hold; said on stderr.

    Too little data for a split is a finding, not a failure.
    """
    from tastebench.data.click_parts import cut_clicks, default_cut
    from tastebench.data.split import default_split, leakage, split
    from tastebench.errors import DataError, UsageError

    rows, spec = default_cut(dataset) if task == "ctr" else (None, default_split(dataset, task))
    known: dict[str, Any] = {"split": spec.model_dump(mode="json")}
    lines: list[str] = []
    try:
        if rows is None:
            known |= leakage(dataset, split(dataset, spec), spec).to_dict()
        else:
            clicks = cut_clicks(dataset, rows, spec)
            told = clicks.to_dict()
            known |= told["leakage"] | {
                "rows": rows.model_dump(mode="json"),
                "parts": told["parts"],
            }
            lines = told_parts(clicks)
    except (UsageError, DataError) as error:
        say(f"{task}: {error.what}")
        return known | {"error": error.what}
    for line in (f"{known['sentence']} {shares(known)}", *lines):
        say(f"{task}: {line}")
    return known


def _listed(given: list[str] | None) -> list[str]:
    """`["a,b", "c"]` as a, b and c."""
    return [name.strip() for part in given or [] for name in part.split(",") if name.strip()]
