"""Backups and the way back, as jobs on the node that keeps them."""

from __future__ import annotations

import argparse
import secrets as randomness
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.tool import release
from deploy.tool.docker import Problem, docker, inspect
from deploy.tool.jobs import run_job, service_name
from deploy.tool.settings import Settings

JOB = "backup_job"
KEY = "/run/secrets/restore_key"


def run(settings: Settings, asked: argparse.Namespace) -> str:
    return run_job(settings, JOB, [asked.what])


@contextmanager
def private_key(settings: Settings, key: Path) -> Iterator[list[str]]:
    """The private key as a secret of one job, gone when the job is over."""
    try:
        text = key.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(
            f"{key} cannot be read. Name the file with the private key of age."
        ) from error
    if "AGE-SECRET-KEY-" not in text and "PRIVATE KEY" not in text:
        raise Problem(f"{key} holds no private key of age (a line AGE-SECRET-KEY-…).")
    name = f"{settings.stack}_restore_key_{randomness.token_hex(4)}"
    docker("secret", "create", name, "-", text=text)
    job = service_name(settings, JOB)
    mounted = f"source={name},target=restore_key,uid=10002,gid=10002,mode=0400"
    try:
        docker("service", "update", "--detach", "--secret-add", mounted, job)
        yield []
    finally:
        docker("service", "update", "--detach", "--secret-rm", name, job)
        _remove_secret(name)


def _remove_secret(name: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            docker("secret", "rm", name)
        except Problem:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def restore(settings: Settings, *, key: Path, at: str | None, sure: bool) -> str:
    """Checks everything first; only then the site is stopped, restored and started again."""
    arguments = ["restore", "--key", KEY, *(["--at", at] if at else [])]
    with private_key(settings, key):
        print(run_job(settings, JOB, [*arguments, "--check-only"]), flush=True)
        if not sure and not _agreed():
            raise Problem("Nothing was changed.")
        counts = _stop_site(settings)
        try:
            print(run_job(settings, JOB, arguments), flush=True)
            print(release.migrate(settings), flush=True)
        except Problem as problem:
            raise Problem(
                f"{problem}\n\nThe database may hold a part of the backup, so the site stays "
                "stopped. Empty the database (DROP DATABASE clinic; CREATE DATABASE clinic) and "
                "run this again, or start the site with `deploy/stack scale "
                + " ".join(
                    f"{name}={number}" for name, number in counts.items() if name != "backup"
                )
                + "`."
            ) from problem
        _scale(settings, counts)
    print(release.manage(settings, "check_bookings"), flush=True)
    return (
        "The site runs on the restored database. Change the value in `chat_epoch`, take a full "
        "backup (`deploy/stack backup`), and tell people who booked after the moment above."
    )


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise Problem("Give --yes to restore without being asked.")
    return input("Type restore to begin: ").strip() == "restore"


def _stop_site(settings: Settings) -> dict[str, int]:
    counts = {}
    for service in (*release.APP_SERVICES, "backup"):
        state = inspect("service", service_name(settings, service))
        if state is not None:
            counts[service] = state["Spec"]["Mode"]["Replicated"]["Replicas"]
    _scale(settings, dict.fromkeys(counts, 0))
    return counts


def _scale(settings: Settings, counts: dict[str, int]) -> None:
    begun = time.time()
    docker(
        *("service", "scale", "--detach"),
        *(f"{service_name(settings, name)}={number}" for name, number in counts.items()),
    )
    release.settle(settings, begun=begun)


def drill(settings: Settings, *, key: Path) -> str:
    """Restores beside the running site, lets the site's own checks look, and removes it again."""
    with private_key(settings, key):
        said = run_job(settings, JOB, ["drill", "--key", KEY])
    print(said, flush=True)
    passed: list[str] = []
    try:
        print(release.manage(settings, "check_restored"), flush=True)
        release.manage(settings, "record_check", "restore_drill", "--ok")
        passed = ["--passed"]
    except Problem:
        release.manage(settings, "record_check", "restore_drill", "--failed")
        raise
    finally:
        run_job(settings, JOB, ["drill-end", *passed])
    return "The drill is passed: the newest backup restores, and the checks agree."
