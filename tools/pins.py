"""`make requirements`: pins every requirements file anew, with hashes; ``--check`` only reads.

Each set is resolved for all platforms from Python 3.11 on, and each builds on the one below it, so
that the tests run what production runs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tools import environments
from tools.environments import ROOT, say

FOLDER = ROOT / "requirements"
# What each file is made from. The folder is the working folder, so that no path gets written down.
SETS: dict[str, list[str]] = {
    "tools.txt": ["tools.in"],
    "base.txt": ["base.in"],
    "../requirements.txt": ["server.in", "-c", "base.txt"],
    "test.txt": ["test.in", "-c", "../requirements.txt"],
    "scan.txt": ["scan.in"],
    # The newest Django against everything else as it is tested: next.in overrides base.in.
    "next.txt": ["test.in", "--overrides", "next.in", "--python-version", "3.13"],
}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def unpinned(text: str) -> list[str]:
    """The requirements in a compiled file that lack an exact version or a hash."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [
        line.split()[0]
        for line in lines
        if line
        and not line.startswith("#")
        and not (re.match(r"[\w.\[\],-]+==[\w.!+]+[\s;]", line) and HASH.search(line))
    ]


def compiled_files() -> list[Path]:
    return [(FOLDER / name).resolve() for name in SETS]


def check() -> int:
    problems = [
        f"{path.relative_to(ROOT)}: {name} has no exact version or no hash"
        for path in compiled_files()
        for name in unpinned(path.read_text())
    ]
    for problem in problems:
        say(problem)
    return 1 if problems else 0


def compile_all(arguments: list[str]) -> int:
    python = environments.ensure(ROOT / ".venv-tools", FOLDER / "tools.txt", wheels_only=True)
    for target, sources in SETS.items():
        command = [
            *(str(python.parent / "uv"), "pip", "compile", "--quiet", "--universal"),
            *("--generate-hashes", "--no-header", "--output-file", target, *sources),
        ]
        if "--python-version" not in sources:
            command += ["--python-version", "3.11"]
        say(f"Pinning {target.removeprefix('../')} …")
        done = subprocess.run([*command, *arguments], cwd=FOLDER, stdin=subprocess.DEVNULL)
        if done.returncode:
            return done.returncode
    return check()


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["--check"] else compile_all(sys.argv[1:]))
