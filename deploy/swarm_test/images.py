"""The real images of the Dockerfile, further releases of them for updates, and one that is bad."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.swarm_test.bases import build_bases, named_in, wanted
from deploy.swarm_test.ledger import Ledger
from deploy.swarm_test.nodes import DOCKER, Engine, NodeFailed

TARGETS = ("app", "nginx", "backup")
FIRST, NEXT, BAD = "1", ("2", "3", "4"), "bad"
BUILD_SECONDS = 900.0
# It starts, migrates and answers pages; only what its health check asks is wrong.
BREAK = 'sed -i \'s/return _answer("ok")/return _answer("ill", 500)/\' /app/clinic/health.py'


def names(tag: str) -> list[str]:
    return [f"clinic-{target}:{tag}" for target in TARGETS]


def build(engine: Engine, root: Path, folder: Path, ledger: Ledger) -> list[str]:
    """Builds everything on ``engine``; the names of all images that a node needs."""
    dockerfile = root / "deploy" / "Dockerfile"
    stack = (root / "docker-stack.yml").read_text()
    bases = wanted(named_in(dockerfile.read_text(), stack))
    build_bases(engine, bases, folder, ledger)
    for target in TARGETS:
        engine.docker(
            *("build", "--network", "host", "--file", str(dockerfile), "--target", target),
            *("--tag", f"clinic-{target}:{FIRST}", str(root)),
            seconds=BUILD_SECONDS,
        )
    for tag in NEXT:
        for target in TARGETS:
            _derive(engine, target, tag, f"LABEL release={tag}")
    checked = "! grep -q '_answer(\"ok\")' /app/clinic/health.py"
    _derive(engine, "app", BAD, f"USER root\nRUN {BREAK} && {checked}\nUSER 10001:10001")
    for target in TARGETS[1:]:
        engine.docker("tag", f"clinic-{target}:{FIRST}", f"clinic-{target}:{BAD}")
    run_on_nodes = [
        name for base in bases for name in base.names if name.split(":")[0] in {"mysql", "redis"}
    ]
    return run_on_nodes + [name for tag in (FIRST, *NEXT, BAD) for name in names(tag)]


def _derive(engine: Engine, target: str, tag: str, lines: str) -> None:
    done = subprocess.run(
        [
            DOCKER,
            "-H",
            engine.host,
            "build",
            "--network",
            "none",
            "--tag",
            f"clinic-{target}:{tag}",
            "-",
        ],
        input=f"FROM clinic-{target}:{FIRST}\n{lines}\n",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise NodeFailed(f"clinic-{target}:{tag}: {done.stderr[-2000:]}")


def distribute(source: Engine, targets: list[Engine], images: list[str], archive: Path) -> None:
    """What a registry would do: saved once, loaded into every engine, two at a time."""
    source.docker("save", "--output", str(archive), *images, seconds=300)
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda engine: engine.docker(
                    "load", "--quiet", "--input", str(archive), seconds=600
                ),
                targets,
            )
        )
    archive.unlink()
