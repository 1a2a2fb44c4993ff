"""Coverage-guided fuzzing of our own parsers: atheris sees which lines an input reaches.

    pip install atheris
    python tools/fuzz.py READER [--seconds 60] [--corpus DIR]

What the tests of tests/fuzz bend at random is bent here towards lines not seen yet, so that rare
branches are tried too. A reader may refuse an input as the library refuses it; anything else, more
than 20 s or more than 2 GB ends the search with the input in a file. With a corpus, a later search
goes on from where this one ended.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

Check = Callable[[bytes], None]
READERS: dict[str, tuple[Callable[[Path], Check], bytes]] = {}
"""Name to what makes the check, given a folder to write in, and a valid input to begin with."""

PLAN = b"name: a\ndatasets: [storefront]\ntasks: [seqrec]\nencoders: [minilm]\nseeds: [0, 1]\n"
REPLY = (
    b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop", "logprobs": {"content":'
    b' [{"token": "yes", "logprob": -0.1, "top_logprobs": [{"token": "no", "logprob": -3}]}]}}],'
    b' "data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 3}}'
)
CSV = b'item_id,title,price\ni1,"a lamp, red",1.5\ni2,"say ""hi""",\n'
LINES = b'{"item_id": "i1", "title": "a"}\n{"item_id": "i2", "title": null}\n'


def reader(seed: bytes) -> Callable[[Callable[[Path], Check]], Callable[[Path], Check]]:
    """Puts what makes a check among the readers, under its name and with an input to begin with."""

    def put(make: Callable[[Path], Check]) -> Callable[[Path], Check]:
        READERS[make.__name__.replace("_", "-")] = make, seed
        return make

    return put


@reader(PLAN)
def plan(folder: Path) -> Check:
    """A plan in YAML."""
    from tastebench.runs.plan import load_plan

    path = folder / "plan.yaml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        load_plan(path)

    return check


@reader(b"name: a\nversion: 1\nkind: pairwise\ninstruction: ask\nentry: '({n}) {item}'\nanswer: ''")
def prompt(folder: Path) -> Check:
    """A prompt in YAML."""
    from tastebench.recommenders.llm.prompt import get_prompt

    path = folder / "prompt.yaml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        get_prompt(str(path))

    return check


@reader(b"<think>no</think> The answer is: **Yes**. [2] > [1] > [3]")
def answer(folder: Path) -> Check:
    """What a model says: yes or no, an order, a title, a query."""
    from tastebench.build.form import form_faults, tidy_query
    from tastebench.recommenders.llm.answers import order_of, said
    from tastebench.recommenders.llm.grounding import Catalogue

    catalogue = Catalogue(["The Matrix (1999)", "Wake up!"], "letters", 0.5)

    def check(data: bytes) -> None:
        text = data.decode(errors="replace")
        said(text, "Yes", "No")
        order = order_of(text, 3)
        assert len(set(order.places)) == len(order.places) <= 3
        assert (catalogue.ground([text]).title < 2).all()
        form_faults(tidy_query(text), "stop", None)

    return check


@reader(REPLY)
def reply(folder: Path) -> Check:
    """What a server sends: an answer with log-probabilities, vectors, what was used."""
    from tastebench.lm.answers import read_answer, read_usage, read_vectors
    from tastebench.lm.attempts import send
    from tastebench.lm.spending import Usage
    from tastebench.recommenders.llm.answers import log_odds

    def check(data: bytes) -> None:
        value, _ = send(lambda: data, "sk-planted-0123456789")
        assert all(count >= 0 for count in read_usage(value, 3))
        for read in (lambda: read_vectors(value, 1), lambda: read_answer(value, Usage()).tokens):
            try:
                found = read()
            except ValueError:  # what the client turns into an error that names the server
                continue
            if isinstance(found, tuple):
                log_odds(found, "yes", "no")

    return check


@reader(b"")
def parquet(folder: Path) -> Check:
    """The footer of a Parquet file, which is read by hand before anything else is."""
    from polars.exceptions import ComputeError

    from tastebench.data.foreign import check_parquet

    def check(data: bytes) -> None:
        try:
            check_parquet(data + len(data).to_bytes(4, "little") + b"PAR1")
        except ComputeError:  # what the caller turns into an error that names the file
            return

    return check


def _table(folder: Path, name: str) -> Check:
    from tastebench.data.tables_io import read_table

    path = folder / name

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_table(path, bad_rows="drop")

    return check


@reader(CSV)
def csv(folder: Path) -> Check:
    """A CSV file of a user's."""
    return _table(folder, "a.csv")


@reader(LINES)
def json_lines(folder: Path) -> Check:
    """JSON Lines of a user's."""
    return _table(folder, "a.jsonl")


@reader(b"ndcg@10")
def names(folder: Path) -> Check:
    """A metric, a mapping of columns, the address of a model, a time to wait."""
    from tastebench.data.mapping import parse_map
    from tastebench.errors import TastebenchError
    from tastebench.lm.attempts import retry_after
    from tastebench.lm.endpoint import Endpoint
    from tastebench.metrics.grammar import parse

    def check(data: bytes) -> None:
        text = data.decode(errors="replace")
        retry_after({"retry-after": text})
        for read in (parse, parse_map, lambda text: Endpoint.parse(f"openai:{text}").address):
            try:
                read(text)
            except TastebenchError as error:
                assert error.where or error.fix, error

    return check


def main() -> int:
    """Searches until the time is over or an input breaks the reader."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="a folder for inputs that reach new lines")
    parser.add_argument("--folder", type=Path, help="where readers write; by default a new one")
    options = parser.parse_args()
    if options.folder is not None:
        _search(options)
    # The search ends its process without a chance to clean up.
    with tempfile.TemporaryDirectory() as folder:
        again = [sys.executable, *sys.argv, "--folder", folder]
        return subprocess.run(again, check=False).returncode  # noqa: S603 - this command


def _search(options: argparse.Namespace) -> NoReturn:
    import atheris

    logging.disable()
    make, seed = READERS[options.reader]
    corpus = options.corpus or options.folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "seed").write_bytes(seed or _footer(options.folder))
    with atheris.instrument_imports(include=["tastebench", "yaml"]):
        from tastebench.errors import TastebenchError

        check = make(options.folder)

    def once(data: bytes) -> None:
        try:
            check(data)
        except TastebenchError as error:
            assert error.what and (error.where or error.fix), error

    limits = [f"-max_total_time={options.seconds}", "-timeout=20", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *limits, "-max_len=4096", str(corpus)], once)
    atheris.Fuzz()
    raise AssertionError("the search does not come back")


def _footer(folder: Path) -> bytes:
    """The description of a small Parquet file, without its length and its mark."""
    import polars as pl

    path = folder / "a.parquet"
    pl.DataFrame({"a": [1, 2], "b": [["x"], []]}).write_parquet(path)
    content = path.read_bytes()
    return content[-8 - int.from_bytes(content[-8:-4], "little") : -8]


if __name__ == "__main__":
    sys.exit(main())
