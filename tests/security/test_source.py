"""The source runs nothing that comes from elsewhere: read as a syntax tree, not as text."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tastebench"
FILES = sorted(SOURCE.rglob("*.py"))

RUNS_CODE = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.spawnv",
    "subprocess.getoutput", "subprocess.getstatusoutput", "code.interact", "runpy.run_path",
    "runpy.run_module", "torch.load", "torch.jit.load", "torch.hub.load", "joblib.load",
    "numpy.lib.npyio.NpzFile", "pandas.read_pickle", "yaml.unsafe_load", "yaml.full_load",
    "yaml.load", "yaml.load_all", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader",
}  # fmt: skip
"""Calls, and loaders, that run what they are given or can be made to."""
RUNS_ON_IMPORT = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve"}
"""Modules whose reading runs code."""
WRITES_ANYWHERE = {"extractall", "unpack_archive"}
"""Methods that unpack archives without a look at where it goes."""

# Between processes of its own multiprocessing pickles by itself: what they send each other comes
# from this program, and nothing that it wrote down is read so.


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Every dotted name in a file, with what it was imported as resolved."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            parts = []
            inner: ast.expr = node
            while isinstance(inner, ast.Attribute):
                parts.append(inner.attr)
                inner = inner.value
            if isinstance(inner, ast.Name):
                parts.append(known.get(inner.id, inner.id))
                name = ".".join(reversed(parts))
                yield name.replace("np.", "numpy.", 1) if name.startswith("np.") else name, node


def faults(tree: ast.AST) -> Iterator[str]:
    """What in a file may not be there."""
    for node in ast.walk(tree):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for module in modules:
            root = module.partition(".")[0]
            if root in RUNS_ON_IMPORT:
                yield f"line {node.lineno}: imports {module}"
        if isinstance(node, ast.Call):
            yield from _faults_of_call(node)
    for name, where in names(tree):
        if name in RUNS_CODE:
            yield f"line {where.lineno}: {name}"
        if name.rpartition(".")[2] in WRITES_ANYWHERE:
            yield f"line {where.lineno}: {name}"


def _faults_of_call(call: ast.Call) -> Iterator[str]:
    given = {k.arg: k.value for k in call.keywords if k.arg}
    for key in ("shell", "trust_remote_code", "allow_pickle"):
        value = given.get(key)
        if isinstance(value, ast.Constant) and value.value not in (False, None):
            yield f"line {call.lineno}: {key}={value.value}"
    for key in ("verify", "weights_only", "use_safetensors"):
        value = given.get(key)
        if isinstance(value, ast.Constant) and value.value is False:
            yield f"line {call.lineno}: {key}=False"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_runs_what_comes_from_elsewhere(path: Path) -> None:
    assert not list(faults(tree_of(path)))


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads as read",
        "import torch as t\nt.load(x)",
        "from torch import load",
        "from os import system as run\nrun('ls')",
        "eval(x)",
        "f = exec",
        "import yaml\nyaml.load(x, Loader=yaml.Loader)",
        "from yaml import unsafe_load as l\nl(x)",
        "import subprocess as s\ns.run(x, shell=True)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "Auto.from_pretrained(x, trust_remote_code=True)",
        "requests.get(x, verify=False)",
        "archive.extractall(x)",
    ],
)
def test_the_walk_finds_it(text: str) -> None:
    if text == "from torch import load":
        text += "\nload(x)"
    assert list(faults(ast.parse(text)))


def test_arrays_are_opened_without_objects() -> None:
    for path in FILES:
        tree = tree_of(path)
        found = {id(node): name for name, node in names(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and found.get(id(node.func)) == "numpy.load":
                given = {k.arg: k.value for k in node.keywords}
                value = given.get("allow_pickle")
                assert isinstance(value, ast.Constant), f"{path}, line {node.lineno}"
                assert value.value is False, f"{path}, line {node.lineno}"


def test_models_are_opened_from_safetensors_and_here_alone() -> None:
    """Every `from_pretrained` of the source names a folder and neither fetches nor trusts."""
    for path in FILES:
        if path.parts[-2] == "testing":
            continue  # makes the models that it opens
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "from_pretrained":
                continue
            given = {k.arg for k in node.keywords}
            spread = any(k.arg is None for k in node.keywords)  # **own: both are in it
            where = f"{path.relative_to(SOURCE)}, line {node.lineno}"
            assert spread or "local_files_only" in given, where
