"""`make test-next`: how the suite does on the newest Django with Python 3.13. Reports, never fails.

So that the next long-term release is no surprise. Only the embedded part is run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from tools import environments
from tools.environments import ROOT, say
from tools.suite import NEEDS_COMPILER

WANTED = "3.13"


def find_python() -> str | None:
    """A Python 3.13 on PATH, also one that pyenv keeps without having it switched on."""
    name = f"python{WANTED}"
    if (path := shutil.which(name)) and _runs(path):
        return path
    if shutil.which("pyenv") is None:
        return None
    prefix = subprocess.run(
        ["pyenv", "prefix", WANTED], capture_output=True, text=True
    ).stdout.strip()
    path = f"{prefix}/bin/{name}"
    return path if prefix and _runs(path) else None


def _runs(path: str) -> bool:
    try:
        return subprocess.run([path, "-c", "pass"], capture_output=True).returncode == 0
    except OSError:
        return False


def main() -> None:
    python = find_python()
    if python is None:
        say(f"No Python {WANTED} on this machine, so nothing was tried.")
        return
    try:
        tests = environments.ensure(
            ROOT / ".venv-next",
            ROOT / "requirements" / "next.txt",
            python=python,
            without=(NEEDS_COMPILER,),
        )
    except SystemExit as error:
        say(f"The newest Django could not be installed: {error}")
        return
    arguments = [argument for argument in sys.argv[1:] if argument != "--"]
    done = subprocess.run(
        [
            *(str(tests), "-m", "pytest", "-n", "2", "-m", "not server and not browser"),
            *("-q", "-W", "default", "-p", "no:cacheprovider", *arguments),
        ],
        cwd=ROOT,
        env=environments.embedded_environment(),
        stdin=subprocess.DEVNULL,
    )
    said = "passes" if done.returncode == 0 else "does not pass yet (reported, not a failure)"
    version = subprocess.run(
        [str(tests), "-m", "django", "--version"], capture_output=True, text=True
    ).stdout.strip()
    say(f"Django {version}, Python {WANTED}: the suite {said}.")


if __name__ == "__main__":
    main()
