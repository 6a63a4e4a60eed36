"""Base images made from Debian's packages, under the official names and tags that the stack uses.

No image registry is asked. What the images must be called is read from the files under test, so
that a new pin there needs no change here, and a base that nobody knows is refused with a sentence.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.swarm_test.ledger import Ledger
from deploy.swarm_test.nodes import DOCKER, Engine, NodeFailed, run

RECIPES = Path(__file__).parent / "bases"
SOURCES = Path("/etc/apt")
SUITES = {
    "debian": "sid",
    "mysql": "sid",
    "nginx": "sid",
    "python": "trixie",
    "redis": "trixie",
}
BUILD_SECONDS = 900.0
# Machines whose traffic is inspected have further authorities; the stand-ins trust what the
# machine trusts. The real Dockerfile knows nothing of it.
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
TRUST = "/usr/local/share/machine-authorities.crt"

_DEFAULT = re.compile(r"^ARG\s+\w+=(\S+:\S+)", re.MULTILINE)
_FROM = re.compile(r"^FROM\s+([^\s$]+:\S+)", re.MULTILINE)
_IMAGE = re.compile(r"^\s*image:\s*[\"']?(?:\$\{\w+:-)?([^\s\"'}$]+:[^\s\"'}$]+)", re.MULTILINE)


class UnknownBase(Exception):
    """The files under test name an official image that has no recipe here."""


@dataclass(frozen=True)
class Base:
    """``recipe``: which of the stand-ins; ``names``: the official names it goes under."""

    recipe: str
    names: tuple[str, ...]


def named_in(dockerfile: str, stack: str) -> list[str]:
    """The official images (no registry host, no own name) that a Dockerfile and a stack name."""
    found = [*_DEFAULT.findall(dockerfile), *_FROM.findall(dockerfile), *_IMAGE.findall(stack)]
    plain = [name.partition("@")[0] for name in found]
    return sorted({name for name in plain if "/" not in name and not name.startswith("clinic")})


def wanted(names: list[str]) -> list[Base]:
    by_recipe: dict[str, list[str]] = {}
    for name in names:
        recipe = name.partition(":")[0]
        if recipe not in SUITES:
            raise UnknownBase(
                f"{name} has no stand-in. Add deploy/swarm_test/bases/{recipe}.Dockerfile and its "
                "Debian release to SUITES in deploy/swarm_test/bases.py."
            )
        by_recipe.setdefault(recipe, []).append(name)
    return [Base(recipe, tuple(official)) for recipe, official in sorted(by_recipe.items())]


def mirror() -> str:
    """Where this machine gets Debian from; the images are made of the same."""
    for path in sorted([*SOURCES.glob("sources.list"), *SOURCES.glob("sources.list.d/*")]):
        for line in path.read_text().splitlines():
            found = re.match(
                r"(?:URIs:|deb\s+(?:\[[^]]*\]\s+)?)\s*(https?://\S*/debian/?)(?:\s|$)", line
            )
            if found:
                return found[1]
    raise NodeFailed("No Debian mirror is named in /etc/apt; this test needs Debian 12.")


def _import_suite(engine: Engine, suite: str, folder: Path) -> None:
    root = folder / suite
    run(
        *("nice", "debootstrap", "--variant=minbase", "--include=ca-certificates", suite),
        *(str(root), mirror()),
        seconds=BUILD_SECONDS,
    )
    for part in ("var/lib/apt/lists", "var/cache/apt/archives"):
        shutil.rmtree(root / part, ignore_errors=True)
        (root / part / "partial").mkdir(parents=True)
    # A mirror that lags behind must not fail the test.
    (root / "etc/apt/apt.conf.d/90lagging").write_text('Acquire::Check-Valid-Until "false";\n')
    if AUTHORITIES.exists():
        trust = root / TRUST.lstrip("/")
        trust.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(AUTHORITIES, trust)
    packed = subprocess.Popen(
        ["tar", "-C", str(root), "--numeric-owner", "-c", "."], stdout=subprocess.PIPE
    )
    done = subprocess.run(
        [
            *(DOCKER, "-H", engine.host, "import", "--change", f"ENV PIP_CERT={TRUST}"),
            *("-", f"clinic-test/{suite}"),
        ],
        stdin=packed.stdout,
        capture_output=True,
        text=True,
    )
    if packed.wait() or done.returncode:
        raise NodeFailed(f"{suite} could not be imported: {done.stderr}")
    shutil.rmtree(root)


def build_bases(engine: Engine, bases: list[Base], folder: Path, ledger: Ledger) -> None:
    """Builds every base on ``engine``, two at a time."""
    ledger.note("folder", path=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    suites = sorted({SUITES[base.recipe] for base in bases})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda suite: _import_suite(engine, suite, folder), suites))
        list(pool.map(lambda base: _build(engine, base), bases))


def _build(engine: Engine, base: Base) -> None:
    tags = [part for name in base.names for part in ("--tag", name)]
    engine.docker(
        *("build", "--network", "host", *tags),
        *("--file", str(RECIPES / f"{base.recipe}.Dockerfile"), str(RECIPES)),
        seconds=BUILD_SECONDS,
    )


def copy_images(source: Engine, target: Engine, names: list[str]) -> None:
    """`docker save | docker load`: what a registry would do."""
    saved = subprocess.Popen([DOCKER, "-H", source.host, "save", *names], stdout=subprocess.PIPE)
    done = subprocess.run(
        [DOCKER, "-H", target.host, "load"], stdin=saved.stdout, capture_output=True, text=True
    )
    if saved.wait() or done.returncode:
        raise NodeFailed(f"{target.name} could not load {names}: {done.stderr}")
