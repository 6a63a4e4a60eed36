"""The repository agrees with itself: pins, documents, commands, and what must never be in it."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tools.pins import HASH, compiled_files, unpinned

ROOT = Path(__file__).resolve().parent.parent
# Files of others, kept as they came.
VENDORED = ("static/vendor/", "LICENSE")
TARGETS = ["help", "run", "test", "test-next", "lint", "format", "bench", "stack-test"]
TARGETS += ["requirements"]
# Spelled in parts, or this file would find itself.
MACHINE_PATHS = [rf"(?<![\w.~-])/{name}/" for name in ("work", "root", "Users", "home")]
REGISTRY_HOSTS = ["pypi" + r"\.org", "python" + r"hosted\.org", "npmjs" + r"\.(?:org|com)"]
REGISTRY_HOSTS += ["deb" + r"\.debian\.org", "archive" + r"\.ubuntu\.com"]
EMAIL = re.compile(r"[\w.+-]+@((?:[\w-]+\.)+[a-z]{2,})\b", re.IGNORECASE)


@cache
def tracked() -> list[Path]:
    """Our own text files that git tracks and that are still there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    names = [name for name in listed.split("\0") if name and not name.startswith(VENDORED)]
    return [path for name in names if (path := ROOT / name).is_file() and _is_text(path)]


def _is_text(path: Path) -> bool:
    return b"\0" not in path.read_bytes()[:8192]


def _found(pattern: str) -> list[str]:
    compiled = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if compiled.search(line)
    ]


@pytest.mark.parametrize("path", compiled_files(), ids=lambda path: path.name)
def test_s40_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    text = path.read_text()
    assert len(HASH.findall(text)) > 0
    assert unpinned(text) == []


@pytest.mark.parametrize(
    "line", ["django", "django>=5", "django==5.2", "git+https://example.org/x.git", "-r base.in"]
)
def test_s40_a_requirement_without_version_or_hash_is_found(line: str) -> None:
    assert unpinned(f"{line}\n") == [line.split()[0]]


@pytest.mark.parametrize("pattern", MACHINE_PATHS + REGISTRY_HOSTS)
def test_no_machine_path_and_no_package_registry_is_named(pattern: str) -> None:
    assert _found(pattern) == []


def test_every_mail_address_is_an_invented_one() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked()
        for match in EMAIL.finditer(path.read_text(errors="replace"))
        if not re.fullmatch(r"(?:[\w-]+\.)*example\.org", match.group(1), re.IGNORECASE)
    ]
    assert wrong == []


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_the_target_and_says_what_it_does(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE)


def test_every_module_that_make_calls_is_there() -> None:
    modules = re.findall(r"-m (tools\.\w+)", (ROOT / "Makefile").read_text())
    assert modules
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_every_decision_has_its_three_parts() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert decisions
    for path in decisions:
        headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        missing = {"Context", "Decision", "Consequences"} - set(headings)
        assert not missing, f"{path.name} lacks {', '.join(sorted(missing))}"


def settings_read() -> set[str]:
    """The environment's names that clinic/settings.py asks clinic.env for."""
    tree = ast.parse((ROOT / "clinic" / "settings.py").read_text())
    return {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_operations_describes_every_setting() -> None:
    names = settings_read()
    assert {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} <= names
    described = set(re.findall(r"\b[A-Z][A-Z_]+\b", (ROOT / "docs" / "operations.md").read_text()))
    assert names - described == set()


def test_every_folder_of_tests_is_a_package() -> None:
    """Two test files of one name in folders that are none would hide each other."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
