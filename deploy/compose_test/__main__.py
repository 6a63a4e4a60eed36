"""Runs docker-compose.yml for real, on a machine that is made for it, and writes what came of it.

`python -m deploy.compose_test` as root on Debian 12 with docker.io, docker-compose, debootstrap and
iproute2. Leaves nothing behind but deploy/results/compose.md and compose.json; exits 1 on any miss.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from deploy.compose_test.machine import (
    NAMESPACE,
    ROOT,
    Compose,
    Machine,
    build_stand_ins,
    make_network,
    newer_compose,
)
from deploy.compose_test.operating import Row
from deploy.compose_test.trial import Trial
from deploy.swarm_test.ledger import PATH as OTHERS
from deploy.swarm_test.ledger import Ledger, started_at

LEDGER = Path("/run/clinic-compose-test.json")
FOLDER = Path("/var/tmp/clinic-compose-test")  # noqa: S108  (root's own, named in the ledger)
RESULTS = ROOT / "deploy" / "results"
BUILT = ("setup", "nginx", "backup")  # the three images; the other services share them
VERSIONS = {"1": "docker-compose", "2": ""}


def main() -> int:
    asked = arguments()
    if os.geteuid() != 0:
        sys.exit("This test makes a network and starts an engine: run it as root.")
    for path in (OTHERS, LEDGER):
        runner = next((one for one in Ledger(path).entries if one["kind"] == "runner"), None)
        if runner and started_at(runner["pid"]) == runner["started"]:
            sys.exit(f"Another test runs (process {runner['pid']}). End it, or wait for it.")
    ledger = Ledger(LEDGER)
    ledger.undo()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    begun = time.monotonic()
    ledger.note("runner", pid=os.getpid(), started=started_at(os.getpid()))
    folder: Path = asked.folder
    if not asked.keep_images:
        ledger.note("folder", path=str(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        row = build(folder, ledger, asked)
        make_network(ledger)
        machine = Machine("one", folder / "engine", namespace=NAMESPACE)
        machine.start(ledger)
        compose = Compose(program(asked.compose, folder), machine, folder, {})
        trial = Trial(machine, compose, folder, ledger)
        trial.rows.append(row)
        try:
            trial.everything()
        finally:
            compose("--profile", "backup", "--profile", "monitoring", "down", "--volumes",
                    "--remove-orphans", check=False)  # fmt: skip
        return report(trial.rows, compose, time.monotonic() - begun)
    finally:
        ledger.undo()
        print(f"Ended after {(time.monotonic() - begun) / 60:.1f} minutes.", flush=True)


def build(folder: Path, ledger: Ledger, asked: argparse.Namespace) -> Row:
    """`docker compose build` on an engine that reaches packages; its images stay in the folder."""
    builder = Machine("one", folder / "engine")
    before = len(ledger.entries)
    builder.start(ledger)
    row = Row("`docker compose build`", "three images")
    begun = time.monotonic()
    done = folder / "built"
    if not done.exists():
        build_stand_ins(builder, folder / "roots", ledger)
        newer_compose(builder, folder)
        done.touch()
    network = folder / "network.yml"  # package servers are reached by the host's network only
    lines = "".join(f"  {name}: {{ build: {{ network: host }} }}\n" for name in BUILT)
    network.write_text(f"services:\n{lines}")
    compose = Compose(program(asked.compose, folder), builder, folder, {})
    profiles = ("--profile", "backup")
    compose(*profiles, "build", *BUILT, files=(network,), seconds=1800)
    sizes = builder.docker("images", "--format", "{{.Repository}} {{.Size}}").splitlines()
    row.found = ", ".join(sorted(line for line in sizes if line.startswith("clinic-")
                                 and "test" not in line))  # fmt: skip
    row.seconds, row.is_met = time.monotonic() - begun, row.found.count("clinic-") == len(BUILT)
    print(f"{row.what}: {row.found} ({row.seconds:.0f} s)", flush=True)
    ledger.undo(first=before)
    return row


def program(version: str, folder: Path) -> str:
    return VERSIONS[version] or str(folder / "compose")


def report(rows: list[Row], compose: Compose, seconds: float) -> int:
    version = compose("version", "--short").stdout.strip()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    missed = [row for row in rows if not row.is_met]
    facts = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "compose": version,
        "engine": compose.docker("version", "--format", "{{.Server.Version}}"),
        "seconds": round(seconds),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = f"compose-{version.lstrip('v').partition('.')[0]}"
    text = json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=2)
    (RESULTS / f"{name}.json").write_text(f"{text}\n")
    (RESULTS / f"{name}.md").write_text(
        f"# The installation on one machine\n\n`python -m deploy.compose_test` at {facts['at']}, "
        f"commit {commit}, Compose {version}, engine {facts['engine']}, "
        f"{round(seconds / 60)} minutes.\n\n{table(rows)}\n"
    )
    print(table(rows))
    return 1 if missed else 0


def table(rows: list[Row]) -> str:
    lines = ["| tried | expected | found | s | verdict |", "|---|---|---|---:|---|"]
    for row in rows:
        found = " ".join(row.found.replace("|", "\\|").split())
        verdict = "met" if row.is_met else "**MISSED**"
        lines.append(f"| {row.what} | {row.expected} | {found} | {row.seconds:.1f} | {verdict} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.compose_test", description=__doc__)
    parser.add_argument("--compose", choices=sorted(VERSIONS), default="2", help="which version")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where its engine keeps things")
    parser.add_argument(
        "--keep-images", action="store_true", help="leave the folder for another run"
    )
    return parser.parse_args()


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends as Ctrl-C does, so that everything is taken away."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
