"""`tastebench build codes`: semantic ids of a catalogue, and how good they are."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tastebench.cli.options import AsJson
from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.build.codes_view import CodesView
    from tastebench.contracts import Encoder
    from tastebench.data.dataset import Dataset
    from tastebench.items.semantic_ids.artefact import Artefact
    from tastebench.items.semantic_ids.recipe import CodeRecipe

INTERRUPTED = 130

EXAMPLES = """Examples:

  tastebench build codes -d my-shop -e minilm --method rk-means

  tastebench build codes -d beauty -e minilm --method rq-vae --levels 4 --size 256 --page codes.html

  tastebench build codes -d beauty --method random -o control

  tastebench inspect control --item B0002JJDKO
"""


class MethodChoice(StrEnum):
    """What learns the codebooks."""

    rq_vae = "rq-vae"
    rk_means = "rk-means"
    product = "product"
    random = "random"


class TiesChoice(StrEnum):
    """Which items get a code that tells equal paths apart."""

    where_needed = "where-needed"
    always = "always"


def codes(  # noqa: PLR0913, PLR0917 - an option each
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Name or folder of a dataset: whose items.")
    ],
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Makes the item vectors; random codes need none."),
    ] = None,
    method: Annotated[
        MethodChoice, typer.Option(help="What learns the codebooks; random is the control.")
    ] = MethodChoice.rk_means,
    levels: Annotated[int, typer.Option(min=1, max=16, help="Codes of a path.")] = 4,
    size: Annotated[int, typer.Option(min=2, max=65536, help="Codes a level can have.")] = 256,
    ties: Annotated[
        TiesChoice, typer.Option(help="Who gets one code more to tell equal paths apart.")
    ] = TiesChoice.where_needed,
    seed: Annotated[int, typer.Option(min=0, help="Of the codebooks.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value: a setting of the method.")
    ] = None,
    text_recipe: Annotated[
        str | None, typer.Option(help="How items are put into words; the dataset's if not given.")
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=1, help="CPU threads for the codebooks; plans have 1, and find them then."
        ),
    ] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Also copy the artefact there."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a page to browse them, as .html."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take and make nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make semantic ids: an item as a short path of codes, items alike beginning alike.

    What is made is kept: runs that name the same codes find them, and the same command again only
    shows them. The report says how many items share a path, how evenly codes are used and what is
    lost of the vectors.
    """
    from tastebench.build.codes_view import CodesView
    from tastebench.data.catalog import load_dataset
    from tastebench.items.semantic_ids.artefact import copy, free_for

    recipe = _recipe(method.value, levels, size, ties.value, seed, settings or [])
    found = _encoder(encoder, recipe)
    if out is not None:
        free_for(out)
    data = load_dataset(dataset, progress=say)
    if dry_run:
        _dry_run(recipe, data, found, text_recipe, threads, as_json)
        return
    try:
        artefact = _make(recipe, data, found, text_recipe, threads)
    except KeyboardInterrupt:
        command = shlex.join(["tastebench", *sys.argv[1:]])
        say("\ninterrupted; vectors and epochs done are kept. To go on:\n  " + command)
        raise typer.Exit(INTERRUPTED) from None
    if out is not None:
        artefact = copy(artefact, out)
    view = CodesView.of(artefact, data)
    if page is not None:
        write_page(view, page)
    _finish(view, as_json)


# ---------------------------------------------------------------------------------------- before


def _recipe(
    method: str, levels: int, size: int, ties: str, seed: int, settings: list[str]
) -> CodeRecipe:
    """The recipe, its settings checked before anything is loaded."""
    from tastebench.items.semantic_ids.methods import settings_of
    from tastebench.items.semantic_ids.recipe import CodeRecipe
    from tastebench.runs.yaml_lines import read_settings

    recipe = CodeRecipe.model_validate(
        {
            "method": method,
            "levels": levels,
            "size": size,
            "ties": ties,
            "seed": seed,
            "settings": read_settings(settings),
        }
    )
    settings_of(recipe)
    return recipe


def _encoder(name: str | None, recipe: CodeRecipe) -> Encoder | None:
    """What makes the vectors; None where codes are drawn."""
    if not recipe.reads_vectors:
        if name is not None:
            say(f"random codes are drawn: {name} is not read")
        return None
    if name is None:
        raise UsageError(
            f"codes by {recipe.method} are made of item vectors, and no encoder is named",
            fix="--encoder minilm; `tastebench list encoders` shows all",
        )
    from tastebench.encoders import get_encoder

    return get_encoder(name)


def _dry_run(
    recipe: CodeRecipe,
    data: Dataset,
    encoder: Encoder | None,
    text_recipe: str | None,
    threads: int,
    as_json: bool,
) -> None:
    from tastebench.build.codes_outlook import look
    from tastebench.runs import limits

    with limits.threads(threads):
        found = look(recipe, data, encoder, text_recipe)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    typer.echo(f"codes {recipe.label} of {data.name}: {data.n_items:,} items")
    for line in found.lines():
        typer.echo(line)
    if encoder is not None and found.to_encode:
        for line in _paid(data, encoder, text_recipe):
            typer.echo(line)
    say("dry run: nothing was made")


def _paid(data: Dataset, encoder: Encoder, text_recipe: str | None) -> list[str]:
    """What an encoder behind an address will be asked and charge."""
    from tastebench.files import home
    from tastebench.runs.encode import EncodeJob
    from tastebench.runs.remote_cost import remote_costs

    name, recipe = encoder.card.name, text_recipe or data.card.text_recipe
    job = EncodeJob(
        out=home(),
        dataset=data.name,
        fingerprint=data.fingerprint,
        encoder=name,
        reference=name,
        revision=None,
        text_recipe=recipe,
        protocols=(),
        latency_seconds=0,
        threads=1,
    )
    costs = remote_costs({(data.name, name, recipe): job}, {data.name: data}, {name: encoder})
    return [str(cost) for cost in costs]


# ------------------------------------------------------------------------------------------ make


def _make(
    recipe: CodeRecipe,
    data: Dataset,
    encoder: Encoder | None,
    text_recipe: str | None,
    threads: int,
) -> Artefact:
    from tastebench.build.codes import make_codes
    from tastebench.build.codes_outlook import encode_catalogue
    from tastebench.runs import limits
    from tastebench.runs.environment import cores

    vectors = source = None
    if encoder is not None:
        for line in _paid(data, encoder, text_recipe):
            say(line)
        with limits.threads(cores()):
            vectors = encode_catalogue(data, encoder, text_recipe, say)
        source = vectors.card
    with limits.threads(threads):
        return make_codes(
            recipe,
            data,
            None if vectors is None else vectors.float32,
            encoder=None if source is None else source.name,
            revision=None if source is None else source.revision,
            key=None if vectors is None else vectors.key,
            text_recipe=text_recipe,
            progress=say,
        )


# ----------------------------------------------------------------------------------------- after


def write_page(view: CodesView, path: Path) -> None:
    """Writes the page.

    Raises:
        UsageError: It cannot be written there.
    """
    from tastebench.build.codes_page import to_html
    from tastebench.files import write_text

    try:
        write_text(path, to_html(view))
    except OSError as error:
        raise UsageError(
            f"cannot write the page: {error.strerror}", where=str(path), fix="--page FILE.html"
        ) from error
    say(f"page: {path}")


def _finish(view: CodesView, as_json: bool) -> None:
    from tastebench.cli import codes_told

    if as_json:
        typer.echo(json.dumps(codes_told.report(view), ensure_ascii=False))
        return
    from tastebench.cli.data import console

    codes_told.print_report(view, console())
    say(f"codes: {view.artefact.folder}")
    item = view.names[0] if len(view.names) else "ITEM"
    say(
        f"next:  {shlex.join(['tastebench', 'inspect', str(view.artefact.folder), '--item', item])}"
    )


def say(line: str) -> None:
    """A line on stderr."""
    typer.echo(line, err=True)
