"""`tastebench build`: artefacts that runs use: codes, questions, queries, language models."""

from __future__ import annotations

import typer

from tastebench.cli import build_codes, build_lm, build_queries, build_questions

EXAMPLES = """Examples:

  tastebench build codes -d my-shop -e minilm --method rk-means

  tastebench build codes -d my-shop -e minilm --page codes.html

  tastebench build queries -d my-shop --reviews reviews.csv --model openai:gpt-4o-mini --dry-run

  tastebench build questions -d my-shop --language zh

  tastebench build lm -d my-shop -o ./my-lm
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    verbs = typer.Typer(help="Make artefacts: codes, queries, questions, a language model.")
    verbs.command("codes", epilog=build_codes.EXAMPLES)(build_codes.codes)
    verbs.command("queries", epilog=build_queries.EXAMPLES)(build_queries.queries)
    verbs.command("questions", epilog=build_questions.EXAMPLES)(build_questions.questions)
    verbs.command("lm", epilog=build_lm.EXAMPLES)(build_lm.lm)
    app.add_typer(verbs, name="build", no_args_is_help=True, epilog=EXAMPLES)
