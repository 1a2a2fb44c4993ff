"""`tastebench build queries`: search queries that a language model writes from reviews."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tastebench.cli.data_import import BadRowsChoice
from tastebench.cli.options import AsJson

if TYPE_CHECKING:
    from tastebench.build.queries import Draft, Estimate
    from tastebench.data.dataset import Dataset
    from tastebench.lm.calls import Calls
    from tastebench.lm.endpoint import Endpoint
    from tastebench.lm.remote import Client
    from tastebench.lm.spending import Price

INTERRUPTED = 130

EXAMPLES = """Examples:

  tastebench build queries -d my-shop --reviews reviews.csv --map user=uid,item=sku,text=body
  --model openai:gpt-4o-mini --price-in 0.15 --price-out 0.60 --max-usd 5 --dry-run

  tastebench build queries -d my-shop --reviews reviews.csv
  --model openai:qwen3:8b@http://localhost:11434/v1 --n 300

  tastebench build queries -d amazon-2018-gift-cards --reviews Gift_Cards_5.json.gz --since any
  --model openai:gpt-4o-mini --max-tokens 500000

  tastebench run study.yaml -d my-shop-queries -m bm25,dot -e minilm,random
"""


def queries(  # noqa: PLR0913, PLR0917 - an option each
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Whose items the reviews are about.")
    ],
    model: Annotated[
        str, typer.Option(help="openai:MODEL, or openai:MODEL@URL for any server of that dialect.")
    ],
    reviews: Annotated[
        Path | None,
        typer.Option(
            help="One row a review: CSV, JSON lines, Parquet; Amazon's own files as they are. "
            "Without it the interactions' column text or review_text."
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="Meaning=column: user=uid,item=sku,text=body,rating=...,time="),
    ] = None,
    n: Annotated[
        int, typer.Option(min=1, help="Reviews to draw; Amazon-C4 kept 21,223 of about 22,000.")
    ] = 1000,
    min_rating: Annotated[
        float, typer.Option(help="Rated so or better, where there are ratings.")
    ] = 5.0,
    min_characters: Annotated[int, typer.Option(min=1, help="At least so long.")] = 100,
    since: Annotated[
        str,
        typer.Option(help="Written at this time or later; test: in the dataset's test part; any."),
    ] = "test",
    category: Annotated[
        str | None, typer.Option(help="Item column with the category, for the items to search in.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    name: Annotated[
        str | None, typer.Option(help="What to call the result; DATASET-queries if not given.")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0, help="Stop before more US dollars are spent in all.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Stop before more tokens are read and written in all.")
    ] = None,
    price_in: Annotated[
        float | None, typer.Option(help="US dollars per million tokens read.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(help="US dollars per million tokens written.")
    ] = None,
    answer_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Cut an answer there; more for models that think aloud first."),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of the reviews.")] = "utf-8",
    bad_rows: Annotated[
        BadRowsChoice, typer.Option(help="Rows that cannot be read: refuse the file or drop them.")
    ] = BadRowsChoice.error,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a dataset of the same name.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take and ask nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write search queries from reviews, the way Amazon-C4 was made: a dataset of its own.

    A model turns each drawn review into the need behind it, in the words of somebody who has not
    bought yet. What names the item is sent back once, then dropped and counted. What is answered
    is kept at once: give the same command again to go on after an interruption or a cap.
    """
    from tastebench.build.caps import open_client, price
    from tastebench.build.pack import check_place
    from tastebench.build.prompt import get_prompt
    from tastebench.build.queries import draft_queries, estimate
    from tastebench.build.reviews import ReviewFilters, find_reviews, since_when
    from tastebench.data.catalog import load_dataset
    from tastebench.data.cells import ImportOptions
    from tastebench.data.mapping import parse_map
    from tastebench.lm.calls import Calls, read_calls
    from tastebench.lm.endpoint import Endpoint
    from tastebench.lm.spending import Budget
    from tastebench.training.seeds import generator

    endpoint, paid = Endpoint.parse(model), price(price_in, price_out)
    source = load_dataset(dataset, progress=_say)
    options = ImportOptions(encoding=encoding, bad_rows=bad_rows.value)
    prompt = get_prompt("complex-query-v1")
    draft = draft_queries(
        source,
        find_reviews(source, reviews, parse_map(",".join(map_ or [])), options),
        prompt.model_copy(update={"max_tokens": answer_tokens or prompt.max_tokens}),
        f"{endpoint.model}@{endpoint.address}",
        n=n,
        seed=seed,
        filters=ReviewFilters(
            min_rating=min_rating, min_characters=min_characters, since=since_when(since, source)
        ),
    )
    name = name or f"{source.name.replace('/', '-')}-queries"
    check_place(draft, name, category, replace=replace)
    kept = read_calls(draft.kept)
    expected = estimate(draft, kept, paid)
    _announce(draft, expected, endpoint, len(kept))
    if dry_run:
        _print_plan(draft, expected, len(kept), as_json)
        return
    with Calls(draft.kept) as calls:
        budget, rng = Budget(max_tokens, max_usd), generator(seed, "attempts")
        client = open_client(endpoint, calls, expected, paid, budget, rng)
        made_by = f"{endpoint.model} at {endpoint.address}"
        built = _carry_out(draft, calls, client, name, made_by, category)
        _finish(built, calls, paid, as_json)


def _announce(draft: Draft, expected: Estimate, endpoint: Endpoint, kept: int) -> None:
    """What there is and what it will take, before anything is asked."""
    from tastebench.lm.spending import Limits

    reviews, drawn = draft.reviews, len(draft.drawn)
    _say(f"reviews: {reviews.read:,} read")
    for reason, rows in reviews.dropped.items():
        _say(f"  {rows:,} {reason}")
    for note in reviews.notes:
        _say(f"  note: {note}")
    _say(f"  {len(reviews):,} can become queries, {drawn:,} are drawn")
    money, most = "price unknown (--price-in, --price-out)", ""
    if expected.usd is not None and expected.most_usd is not None:
        money, most = f"{expected.usd:.4f} USD", f", {expected.most_usd:.4f} USD"
    side_by_side = Limits.from_environment().concurrency
    _say(
        f"to ask: {expected.requests:,} requests to {endpoint.model} at {endpoint.address}, about "
        f"{expected.tokens:,} tokens, {money}, {_duration(expected.seconds / side_by_side)}"
    )
    _say(f"  at most {expected.most_tokens:,} tokens{most}, if every answer has to be asked again")
    if kept:
        _say(f"  {kept:,} answers are there already")


def _print_plan(draft: Draft, expected: Estimate, kept: int, as_json: bool) -> None:
    if as_json:
        value = {"artefact": draft.hash, "drawn": len(draft.drawn), "kept_answers": kept}
        value |= vars(expected) | {"reviews_dropped": draft.reviews.dropped}
        typer.echo(json.dumps(value))
    else:
        _say("dry run: nothing was asked")


def _carry_out(
    draft: Draft, calls: Calls, client: Client, name: str, made_by: str, category: str | None
) -> Dataset:
    """Asks, packs and keeps; Ctrl-C keeps what is answered."""
    from tastebench.build.pack import keep_artefact, pack_queries
    from tastebench.build.queries import write_queries
    from tastebench.data.importer import save_imported

    try:
        decisions = write_queries(draft, calls, client, _progress)
    except KeyboardInterrupt:
        command = shlex.join(["tastebench", *sys.argv[1:]])
        _say(f"\ninterrupted; what is answered is kept. To go on:\n  {command}")
        raise typer.Exit(INTERRUPTED) from None
    dataset = pack_queries(draft, decisions, name, made_by, category)
    keep_artefact(draft, decisions, dataset)
    save_imported(dataset, replace=True)  # `check_place` was asked before anything was paid for
    return dataset


def _finish(dataset: Dataset, calls: Calls, paid: Price | None, as_json: bool) -> None:
    """The result on stdout: one JSON object, or a line; what became of the reviews on stderr."""
    from tastebench.lm.calls import usage

    built = dataset.manifest["built"]
    counts, used = built["counts"], usage(calls, paid)
    money = "" if used.usd is None else f", {used.usd:.4f} USD"
    _say(
        f"queries: {counts['kept']:,} of {counts['drawn']:,} reviews "
        f"({counts['kept_first_time']:,} at the first answer)"
    )
    for kind, rows in counts["dropped_for"].items():
        _say(f"  {rows:,} dropped for: {kind}")
    if counts.get("not_first_person"):
        _say(f"  note: {counts['not_first_person']:,} do not speak in the first person")
    if counts["unrelated"]:
        _say(f"  note: {counts['unrelated']:,} share no word with their review: read some of them")
    _say(f"used: {used.requests:,} answers, {used.tokens:,} tokens{money}")
    if as_json:
        summary = {"name": dataset.name, "fingerprint": dataset.fingerprint, **built}
        typer.echo(json.dumps({**summary, "usage": vars(used)}, ensure_ascii=False))
        return
    typer.echo(
        f"{dataset.name}: {counts['kept']:,} queries, {dataset.n_items:,} items "
        f"({built['pool']}); fingerprint {dataset.fingerprint[:12]}"
    )
    _say(f"next: tastebench run PLAN -d {dataset.name} -m bm25,dot -e ENCODER")


def _progress(done: int, of: int) -> None:
    """A line every tenth."""
    if done == of or done * 10 // of > (done - 1) * 10 // of:
        _say(f"answered {done:,} of {of:,}")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _say(line: str) -> None:
    typer.echo(line, err=True)
