"""Tables for papers: what LaTeX would stumble over, and what a reader has to see."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastebench.board import Board, make_board
from tastebench.board.export import to_markdown
from tastebench.board.latex import escape, interval_of, row_of, to_latex
from tastebench.board.load import load, sort_out
from tastebench.board.published import get_published
from tastebench.board.tested import differences
from tastebench.cli import main
from tastebench.errors import UsageError
from tastebench.runs.record import Record

Make = Callable[..., Record]
HOSTILE = "a_b & 50% $x$ #1 {y} ^~ \\input{/etc/passwd}\n\x1b[2J--'' <|>`"


def tables(text: str) -> list[tuple[int, list[str]]]:
    """Columns that each `tabular` declares, and its rows; fails on what is not balanced."""
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    for name in ("table", "tabular"):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}")
    found = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL
    ):
        lines = [line.strip() for line in body.strip().splitlines()]
        rules = (r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule")
        assert all(line.endswith(r"\\") or line.startswith(rules) for line in lines)
        found.append((len(columns), [line for line in lines if line.endswith(r"\\")]))
    return found


def width(row: str) -> int:
    """Columns that a row fills."""
    spans = [int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans)


def rows_of(text: str) -> dict[str, list[str]]:
    """Name to cells of the first table."""
    _, rows = tables(text)[0]
    split = [re.split(r" (?<!\\)& ", row.removesuffix(r" \\")) for row in rows]
    return {cells[0]: cells[1:] for cells in split}


def test_every_row_has_every_column(tree_board: Board, wide_board: Board) -> None:
    for board in (tree_board, wide_board):
        ((columns, rows),) = tables(to_latex(board))
        assert {width(row) for row in rows} == {columns}
        assert columns == 1 + len(board.columns) + 2 + (board is wide_board)


def test_the_best_is_bold_and_the_second_underlined(tree_board: Board) -> None:
    rows = rows_of(to_latex(tree_board, interval="none"))
    column = [row.removeprefix(" ") for row in (rows[name][2] for name in ("minilm", "tfidf-svd"))]
    means = [tree_board.rows[i].scores["seqrec/shop/ndcg@10"].mean for i in (0, 1)]
    assert column == [f"\\textbf{{{means[0]:.4f}}}", f"\\underline{{{means[1]:.4f}}}"]
    # Nobody measured popularity in search.
    assert rows[r"\textit{popularity}"][:2] == ["--", "--"]
    # A ceiling stands below a rule and is never the best.
    text = to_latex(tree_board)
    assert text.index(r"\midrule", text.index("tfidf-svd &")) < text.index(r"\textit{oracle}")
    assert not any("textbf" in cell for cell in rows[r"\textit{oracle}"])


def test_intervals_as_one_likes(tree_board: Board) -> None:
    score = tree_board.rows[0].scores["cf/shop/ndcg@10"]
    assert score.low is not None and score.high is not None
    half = f"{(score.high - score.low) / 2:.4f}".removeprefix("0")
    cells = [rows_of(to_latex(tree_board, interval=i))["minilm"][3] for i in ("half", "ends")]  # type: ignore[arg-type]
    assert cells[0].endswith(f"{{\\scriptsize $\\pm$ {half}}}")
    assert cells[1].endswith(f"{{\\scriptsize [{score.low:.4f}, {score.high:.4f}]}}")
    with pytest.raises(UsageError, match="no interval is called 'halve': did you mean half"):
        interval_of("halve")


def test_marks_say_what_was_tested(tree: Path) -> None:
    loaded = load(tree)
    board = make_board(loaded)
    best = to_latex(board, differences(board, loaded))
    random = rows_of(best)[r"\textit{random}"]
    assert all(cell.endswith(r"$^{\dagger}$") for cell in random[:4])
    assert r"$^{\dagger}$ worse than the best of its column: $p<$ 0.05" in best
    assert "Holm over 16 comparisons" in best
    against = to_latex(board, differences(board, loaded, "tfidf-svd"))
    assert rows_of(against)["minilm"][2].endswith(r"$^{\uparrow}$")
    assert rows_of(against)[r"\textit{random}"][2].endswith(r"$^{\downarrow}$")
    assert r"$^{\uparrow}$ better, $^{\downarrow}$ worse than tfidf-svd" in against
    # The same in Markdown.
    markdown = to_markdown(board, differences(board, loaded, "tfidf-svd"))
    line = next(line for line in markdown.splitlines() if "| minilm" in line)
    assert line.count("**↑ ±") == 4
    assert "- ↑ better, ↓ worse than tfidf-svd: p \\< 0.05" in markdown
    assert "†" in to_markdown(board, differences(board, loaded))
    assert "†" not in to_markdown(board) and "dagger" not in to_latex(board)


def test_nothing_of_a_name_is_a_command(entries: Any, record: Make) -> None:
    records = [
        record(encoder=name, means={"ndcg@10": mean}, suite=HOSTILE, spec={"dataset": dataset})
        for name, mean in ((HOSTILE, 0.2), ("[x]", 0.1), ("*y", 0.1))
        for dataset in ("shop", HOSTILE)
    ]
    text = to_latex(make_board(sort_out(entries(*records))))
    for columns, rows in tables(text):
        assert {width(row) for row in rows} == {columns}
    shown = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("%"))
    assert "\\input" not in shown and "\x1b" not in text
    assert r"a\_b \& 50\% \$x\$ \#1 \{y\} \textasciicircum{}\textasciitilde{}" in shown
    assert re.search(r"\\label\{tab:[a-z0-9-]+\}", text)
    # A comment ends with its line, so a name's line break may not.
    assert not any(line.startswith("[2J") for line in text.splitlines())
    assert "{}[x] &" in shown and "{}*y &" in shown


def test_signs_that_join() -> None:
    assert escape("a--b---c ''d'' e-f ?`") == "a-{-}b-{-}{-}c '{'}d'{'} e-f ?{`}"
    assert row_of(["[a]", "[b]"]) == r"{}[a] & [b] \\"


def test_the_protocol_stands_in_comments(tree_board: Board) -> None:
    comments = [line.strip() for line in to_latex(tree_board).splitlines() if "%" in line[:3]]
    assert any("protocol seqrec000000" in line for line in comments)
    assert any("failed: " in line and "the file is gone" in line for line in comments)


def test_numbers_of_others_are_left_out(tree_board: Board) -> None:
    published = replace(tree_board, published=get_published("blair"))
    assert to_latex(published) == to_latex(tree_board)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--latex", "--csv"], "--json, --csv, --markdown and --latex exclude each other"),
        (["--baseline", "minilm"], "--baseline marks a table of --latex or --markdown"),
        (["--interval", "ends"], "--interval is of a table of --latex"),
        (["--latex", "--published", "blair"], "printed numbers are of others"),
        (["--latex", "--baseline", "minilmm"], "no row is called 'minilmm': did you mean minilm"),
        (["--latex", "--interval", "all"], "no interval is called 'all'"),
        (["--markdown", "--baseline", "best", "--compare", "lr"], "--compare shows a table of its"),
    ],
)
def test_what_does_not_go_together(
    tree: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["board", str(tree), *options]) == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""


def test_the_command_prints_a_table(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", str(tree), "--latex"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("% needs \\usepackage{booktabs}\n") and "dagger" in out
    assert main(["board", str(tree), "--latex", "--baseline", "none", "--task", "cf"]) == 0
    out = capsys.readouterr().out
    assert "dagger" not in out and tables(out)[0][0] == 2
    assert main(["board", str(tree), "--markdown", "--baseline", "tfidf-svd"]) == 0
    assert "**↑ ±" in capsys.readouterr().out
