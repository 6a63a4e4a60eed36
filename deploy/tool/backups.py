"""Backups and the way back, as jobs on the node that keeps them."""

from __future__ import annotations

import argparse
import secrets as randomness
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.tool import pause, release
from deploy.tool.docker import Problem, docker, inspect
from deploy.tool.jobs import run_job, service_name
from deploy.tool.settings import Settings

JOB = "backup_job"
KEY = "/run/secrets/restore_key"
Step = Callable[..., str]  # runs a job with these arguments; returns what it printed


def run(settings: Settings, asked: argparse.Namespace) -> str:
    return run_job(settings, JOB, [asked.what])


@contextmanager
def private_key(settings: Settings, key: Path) -> Iterator[None]:
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
    job = service_name(settings, JOB)
    left = left_over(inspect("service", job))
    docker("secret", "create", name, "-", text=text)
    mounted = f"source={name},target=restore_key,uid=10002,gid=10002,mode=0400"
    try:
        removals = [word for old in left for word in ("--secret-rm", old)]
        docker("service", "update", "--detach", *removals, "--secret-add", mounted, job)
        yield
    finally:
        docker("service", "update", "--detach", "--secret-rm", name, job)
        for one in (name, *left):
            _remove_secret(one)


def left_over(job: dict[str, Any] | None) -> list[str]:
    """Keys that an earlier run, ended by force, left in the job."""
    container = (job or {}).get("Spec", {}).get("TaskTemplate", {}).get("ContainerSpec", {})
    return [
        secret["SecretName"]
        for secret in container.get("Secrets") or []
        if secret["File"]["Name"] == "restore_key"
    ]


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


def options(*, at: str | None, server: str | None, with_drop: bool) -> list[str]:
    return [
        *(["--at", at] if at else []),
        *(["--server", server] if server else []),
        *(["--with-drop"] if with_drop else []),
    ]


def restore(settings: Settings, *, key: Path, options: list[str], sure: bool) -> str:
    """Checks everything first; only then the site is stopped, restored and started again."""
    with private_key(settings, key):
        restore_steps(
            options,
            job=lambda *words: run_job(settings, JOB, list(words)),
            agreed=lambda: sure or _agreed(),
            stop=lambda: pause.stop(settings),
            bring_up_to_date=lambda: _bring_up_to_date(settings),
            start=lambda: pause.start(settings),
        )
    print(release.manage(settings, "check_bookings"), flush=True)
    return (
        "The site runs on the restored database, and the backup service takes a new dump of it "
        "now. Tell people who booked after the moment above."
    )


def restore_steps(
    options: list[str],
    *,
    job: Step,
    agreed: Callable[[], bool],
    stop: Callable[[], None],
    bring_up_to_date: Callable[[], None],
    start: Callable[[], None],
) -> None:
    """The order of a restore. The site starts only when all before it went well."""
    arguments = ["restore", "--key", KEY, *options]
    print(job(*arguments, "--check-only"), flush=True)
    if not agreed():
        raise Problem("Nothing was changed.")
    try:
        stop()
        print(job(*arguments), flush=True)
    except Problem as problem:
        raise Problem(
            f"{problem}\n\nThe database may hold a part of the backup, so the site and the backups "
            "stay stopped. Empty the database (DROP DATABASE clinic; CREATE DATABASE clinic) and "
            "run this again; or start the site on the database as it is with `deploy/stack resume`."
        ) from problem
    try:
        bring_up_to_date()
        start()
    except Problem as problem:
        raise Problem(
            f"{problem}\n\nThe database is restored. Put right what is said above, and start the "
            "site with `deploy/stack resume`."
        ) from problem


def _bring_up_to_date(settings: Settings) -> None:
    """This release's tables, and open pages that forget what the database does not know."""
    print(release.migrate(settings), flush=True)
    print(release.manage(settings, "new_epoch"), flush=True)


def resume(settings: Settings) -> str:
    _bring_up_to_date(settings)
    pause.start(settings)
    return "The site and its backups run."


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise Problem("Give --yes to restore without being asked.")
    return input("Type restore to begin: ").strip() == "restore"


def drill(settings: Settings, *, key: Path) -> str:
    """Restores beside the running site, lets the site's own checks look, and removes it again."""
    with private_key(settings, key):
        drill_steps(
            job=lambda *words: run_job(settings, JOB, list(words)),
            manage=lambda *words: release.manage(settings, *words),
        )
    return "The drill is passed: the newest backup restores, and the checks agree."


def drill_steps(*, job: Step, manage: Step) -> None:
    """Whatever fails, it is written down and no copy of the records stays."""
    passed: list[str] = []
    try:
        print(job("drill", "--key", KEY), flush=True)
        print(manage("check_restored"), flush=True)
        passed = ["--passed"]
    finally:
        try:
            job("drill-end", *passed)
        except Problem:
            passed = []
            raise
        finally:
            manage("record_check", "restore_drill", "--ok" if passed else "--failed")
