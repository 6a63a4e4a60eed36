"""Virtual environments made from the pinned requirements, and remade only when those change.

Runs on the system's Python before anything is installed, so it uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "clinic-stamp"  # inside the environment, so that deleting it deletes the stamp


def say(text: str) -> None:
    print(text, flush=True)


def python_in(venv: Path) -> Path:
    return venv / "bin" / "python"


def stamp_for(requirements: Path, *, python: str, without: Iterable[str]) -> str:
    """What an environment made from ``requirements`` carries: it changes when the pins do."""
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version)"], check=True, capture_output=True, text=True
    ).stdout
    parts = [version, requirements.read_text(), *sorted(without)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def leave_out(requirements: str, names: Iterable[str]) -> str:
    """The pinned requirements less the named packages, each with its lines of hashes."""
    for name in names:
        requirements = re.sub(
            rf"^{re.escape(name)}==.*(?:\n[ \t].*)*\n", "", requirements, flags=re.MULTILINE
        )
    return requirements


def is_ready(
    venv: Path, requirements: Path, *, python: str = sys.executable, without: Iterable[str] = ()
) -> bool:
    stamp = venv / STAMP
    return (
        python_in(venv).exists()
        and stamp.exists()
        and stamp.read_text() == stamp_for(requirements, python=python, without=without)
    )


def ensure(
    venv: Path,
    requirements: Path,
    *,
    python: str = sys.executable,
    wheels_only: bool = False,
    without: Iterable[str] = (),
) -> Path:
    """The environment's Python, after building the environment when its pins changed.

    ``wheels_only`` refuses packages that would need a compiler. Raises ``SystemExit`` with a
    sentence when Python or pip cannot do it.
    """
    without = tuple(without)
    if is_ready(venv, requirements, python=python, without=without):
        return python_in(venv)
    say(f"Installing the pinned packages into {venv.name} …")
    made = subprocess.run(
        [python, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True
    )
    if made.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        raise SystemExit(
            f"{python} could not make a virtual environment. On Debian or Ubuntu install the "
            f"package python3-venv and try again.\n{(made.stdout + made.stderr).strip()}"
        )
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / requirements.name
        pinned.write_text(leave_out(requirements.read_text(), without))
        command = [
            *(str(python_in(venv)), "-m", "pip", "install", "--quiet", "--no-input"),
            *("--disable-pip-version-check", "--no-deps", "--require-hashes", "-r", str(pinned)),
        ]
        if wheels_only:
            command += ["--only-binary", ":all:"]
        installed = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if installed.returncode:
        reasons = installed.stderr.decode(errors="replace").splitlines()[-30:]
        raise SystemExit(
            f"The packages of {requirements.relative_to(ROOT)} could not be installed. Check the "
            "connection to the package index and try again.\n" + "\n".join(reasons)
        )
    (venv / STAMP).write_text(stamp_for(requirements, python=python, without=without))
    return python_in(venv)


def embedded_environment(**more: str) -> dict[str, str]:
    """This process's environment less every setting that would point away from the default."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in {"DATABASE_URL", "MIGRATE_DATABASE_URL", "REDIS_URL"}
    }
    return {**kept, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "clinic.settings", **more}
