"""`make mutants`: changes the modules that decide who reads what, bit by bit, and runs the tests.

A change that no test notices is a condition that nobody holds ("survived"). Takes some minutes, so
it is no part of the suite; run it after each change of these modules. Exits 1 when one survived.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tools import environments
from tools.environments import ROOT, say
from tools.suite import suite_python

MODULES = ["records/access.py", "appointments/care.py"]
TESTS = ["tests/records/test_access.py"]
# Tables straight from the models: half the time of a run is migrating.
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "--no-migrations"]
SECONDS = 180  # a mutant that takes longer is noticed
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "var", "staticfiles", "node_modules", "__pycache__"
)

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
SWAPPED = {"filter": "exclude", "exclude": "filter"}
# Calls in a chain that narrow what is found: leaving one out must be noticed.
NARROWING = {"filter", "exclude", "current", "none", "running"}

Change = Callable[[ast.AST], str]


def changes_of(node: ast.AST) -> Iterator[Change]:
    """What can be done to one node; each does it in place and says what it was."""
    if isinstance(node, ast.Compare):
        for at, operator in enumerate(node.ops):
            if type(operator) in COMPARISONS:
                yield _compare(at)
    elif isinstance(node, ast.BoolOp):
        yield _other_bool
        for at in range(len(node.values)):
            yield _drop_operand(at)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield _other_operator
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _no_not
    elif isinstance(node, ast.IfExp):
        yield _always(True)
        yield _always(False)
    elif isinstance(node, ast.Constant) and not isinstance(node.value, str):
        yield _other_constant
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in SWAPPED:
            yield _swap_filter
        if node.func.attr in NARROWING:
            yield _leave_out
        if node.func.attr in {"filter", "exclude", "update"}:
            for at in range(len(node.keywords)):
                yield _drop_keyword(at)


def _compare(at: int) -> Change:
    def change(node: ast.AST) -> str:
        assert isinstance(node, ast.Compare)  # noqa: S101
        node.ops[at] = COMPARISONS[type(node.ops[at])]()
        return "another comparison"

    return change


def _other_bool(node: ast.AST) -> str:
    assert isinstance(node, ast.BoolOp)  # noqa: S101
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return "and for or"


def _drop_operand(at: int) -> Change:
    def change(node: ast.AST) -> str:
        assert isinstance(node, ast.BoolOp)  # noqa: S101
        dropped = node.values.pop(at)
        if len(node.values) == 1:
            node.values.append(node.values[0])
        return f"without {ast.unparse(dropped)!r}"

    return change


def _other_operator(node: ast.AST) -> str:
    assert isinstance(node, ast.BinOp)  # noqa: S101
    node.op = OPERATORS[type(node.op)]()
    return "another operator"


def _no_not(node: ast.AST) -> str:
    assert isinstance(node, ast.UnaryOp)  # noqa: S101
    node.operand = ast.UnaryOp(ast.Not(), node.operand)
    return "without not"


def _always(value: bool) -> Change:
    def change(node: ast.AST) -> str:
        assert isinstance(node, ast.IfExp)  # noqa: S101
        node.test = ast.Constant(value)
        return f"always {value}"

    return change


def _other_constant(node: ast.AST) -> str:
    assert isinstance(node, ast.Constant)  # noqa: S101
    before = node.value
    if isinstance(before, bool):
        node.value = not before
    elif isinstance(before, int):
        node.value = before + 1
    elif before is None:
        node.value = 0
    return f"{node.value!r} for {before!r}"


def _swap_filter(node: ast.AST) -> str:
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)  # noqa: S101
    before, node.func.attr = node.func.attr, SWAPPED[node.func.attr]
    return f"{node.func.attr} for {before}"


def _leave_out(node: ast.AST) -> str:
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)  # noqa: S101
    before = node.func.attr
    node.func.attr, node.args, node.keywords = "all", [], []
    return f"without .{before}()"


def _drop_keyword(at: int) -> Change:
    def change(node: ast.AST) -> str:
        assert isinstance(node, ast.Call)  # noqa: S101
        dropped = node.keywords.pop(at)
        return f"without {dropped.arg}="

    return change


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Every changed version of a module: line, what was changed, and its text."""
    tree = ast.parse(source)
    annotations = {
        id(part)
        for node in ast.walk(tree)
        for field in ("annotation", "returns")
        if isinstance(getattr(node, field, None), ast.AST)
        for part in ast.walk(getattr(node, field))
    }
    places = [node for node in ast.walk(tree) if id(node) not in annotations]
    for at, node in enumerate(ast.walk(tree)):
        if node not in places:
            continue
        for number, _change in enumerate(changes_of(node)):
            other = copy.deepcopy(tree)
            target = list(ast.walk(other))[at]
            what = list(changes_of(target))[number](target)
            ast.fix_missing_locations(other)
            text = ast.unparse(other)
            if text != ast.unparse(tree):
                yield getattr(node, "lineno", 0), what, text


def noticed(python: str, copy_of_project: Path) -> bool:
    """Whether the tests fail in this copy."""
    environment = environments.embedded_environment(
        DATABASE_URL=f"sqlite:///{copy_of_project}/var/mutants.sqlite3", DEBUG="1"
    )
    try:
        done = subprocess.run(
            [python, "-m", "pytest", *TESTS, *OPTIONS],
            cwd=copy_of_project,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    python, _ = suite_python()
    todo = [
        (module, line, what, text)
        for module in MODULES
        for line, what, text in mutants((ROOT / module).read_text())
    ]
    survived: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        copies: Queue[Path] = Queue()
        for number in range(options.jobs):
            where = Path(scratch, str(number))
            shutil.copytree(ROOT, where, ignore=LEFT_OUT)
            (where / "var").mkdir()
            copies.put(where)
        first = copies.get()
        if noticed(python, first):
            say("The tests fail without any change; put that right first.")
            return 1
        copies.put(first)

        def try_one(mutant: tuple[str, int, str, str]) -> tuple[str, bool]:
            module, line, what, text = mutant
            where = copies.get()
            (where / module).write_text(text)
            try:
                return f"{module}:{line}: {what}", noticed(python, where)
            finally:
                shutil.copy(ROOT / module, where / module)
                copies.put(where)

        with ThreadPoolExecutor(options.jobs) as pool:
            for number, (name, found) in enumerate(pool.map(try_one, todo), 1):
                say(f"{number:3}/{len(todo)} {'noticed ' if found else 'SURVIVED'} {name}")
                if not found:
                    survived.append(name)
    say(f"{len(todo)} mutants, {len(survived)} survived.")
    for name in survived:
        say(f"  {name}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
