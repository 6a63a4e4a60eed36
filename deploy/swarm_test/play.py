"""One whole run: builds, deploys, loads, breaks, judges, measures. Everything in one folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.swarm_test import images, scaling
from deploy.swarm_test.authority import Authority
from deploy.swarm_test.browser import Site
from deploy.swarm_test.crowd import Crowd, wait_until
from deploy.swarm_test.faults import SERVED, Fault, Scene
from deploy.swarm_test.judge import always, blame, judge
from deploy.swarm_test.ledger import Ledger
from deploy.swarm_test.mail import PORT, Mailbox
from deploy.swarm_test.nodes import (
    HUB,
    HUB_ADDRESS,
    SUBNET,
    Cluster,
    Engine,
    in_namespace,
    run,
)
from deploy.swarm_test.records import percentile
from deploy.swarm_test.stack import ROOT, Stack, StackFailed
from deploy.swarm_test.verdict import Check, Row, as_json, exit_code, markdown

FOLDER = Path("/var/tmp/clinic-stack-test")  # noqa: S108  (root's own, named in the ledger)
RESULTS = ROOT / "deploy" / "results"
NODES = ("n1", "n2", "n3")
HOST = "clinic.example.org"
PEOPLE, SOCKETS = 50, 200
PAGE_PAUSE = 2.0  # seconds that a person looks at a page
PACE = 10.0  # seconds between the messages of one device
BOOKERS, SLOTS = 500, 3500
SAMPLE = ("--doctors", "200", "--patients", "100", "--appointments", "2000")
VISITOR_ADDRESSES = range(100, 250)
WARM_SECONDS, QUIET_SECONDS = 15.0, 25.0
ALWAYS = "always"

SETTINGS = {
    "MYSQL_CPUS": "2",
    "PUBLIC_URL": f"https://{HOST}",
    "SERVER_NAMES": HOST,
    "ALLOWED_HOSTS": HOST,
    "WEB_REPLICAS": "2",
    "WS_REPLICAS": "2",
    "MYSQL_BUFFER": "512M",
    "BACKUP_EVERY": "60",
    "EMAIL_URL": f"smtp://{HUB_ADDRESS}:{PORT}",
}


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    say(f"{what} …")
    begun = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - begun:.0f} s")


class Play:
    def __init__(self, ledger: Ledger, *, keep: bool) -> None:
        self.ledger = ledger
        self.keep = keep
        self.cluster = Cluster(ledger, FOLDER / "nodes", NODES, keep=keep)
        self.authority = Authority(FOLDER / "authority", HOST)
        self.mailbox = Mailbox()
        self.stack = Stack(self.cluster, dict(SETTINGS))
        self.world: dict[str, Any] = {}
        self.rows: list[Row] = []
        self.facts: dict[str, Any] = {}
        self.backup_key = FOLDER / "backup.key"

    # --- Before -------------------------------------------------------------------------------

    def build(self) -> None:
        builder = Engine("build", FOLDER / "builder")
        before = len(self.ledger.entries)
        with step("Building the images"):
            builder.start(self.ledger)
            names = images.build(builder, ROOT, FOLDER / "roots", self.ledger)
        with step("Three nodes and their Swarm"):
            after = len(self.ledger.entries)
            self.cluster.make_network()
            for number in VISITOR_ADDRESSES:
                address = f"{SUBNET}.{number}/24"
                run(*in_namespace(HUB), "ip", "address", "add", address, "dev", "switch")
            self.cluster.start()
            self.cluster.form()
        with step("Loading the images into every engine"):
            images.distribute(builder, self.cluster.nodes, names, FOLDER / "images.tar")
            self.ledger.undo(first=before, last=after)

    def deploy(self) -> None:
        with step("Deploying the stack"):
            self.install()
            self.stack.wait_until_whole([*SERVED, "mysql", "redis", "backup"], 180)
        with step("Sample data and people"):
            web = self.stack.task("web")
            sample = ("python", "manage.py", "sample_data", "--yes-this-is-not-real", *SAMPLE)
            web.run(*sample, seconds=300)
            self.world = self._inside("people.py", str(SOCKETS), str(BOOKERS), str(SLOTS))
            (FOLDER / "world.json").write_text(json.dumps(self.world))

    def install(self) -> None:
        """As docs/operations.md says it: settings, a pair of keys for the backups, one command."""
        made = self.stack.docker(
            *("run", "--rm", "--network", "none", "--entrypoint", "age-keygen"),
            f"clinic-backup:{images.FIRST}",
        )
        self.backup_key.touch(0o600)
        self.backup_key.write_text(made + "\n")
        public = next(word for word in made.split() if word.startswith("age1"))
        certificate, key = self.authority.sign("first")
        self.stack.operate(
            *("init", "--mysql", "n1", "--backup", "n2", "--edge", ",".join(NODES)),
            *("--tag", images.FIRST),
            BACKUP_RECIPIENTS=public,
            TLS_CERTIFICATE=str(certificate),
            TLS_KEY=str(key),
        )

    def _inside(self, program: str, *arguments: str) -> Any:
        text = (ROOT / "deploy" / "swarm_test" / "inside" / program).read_text()
        said = self.stack.task("web").run("python", "-", *arguments, given=text, seconds=300)
        return json.loads(said.splitlines()[-1])

    # --- Under load ---------------------------------------------------------------------------

    def crowd(self, *, people: int) -> Crowd:
        site = Site(
            HOST,
            443,
            tuple(node.address for node in self.cluster.nodes),
            self.authority.context(),
            self.world["cookie"],
            self.world["csrf_cookie"],
        )
        crowd = Crowd(
            site,
            self.world,
            namespace=HUB,
            places=[f"{SUBNET}.{number}" for number in VISITOR_ADDRESSES],
            people=people,
            page_pause=PAGE_PAUSE,
            pace=PACE,
        )
        crowd.also(self.mailbox.serve(HUB_ADDRESS))
        return crowd

    def break_everything(self, faults: Sequence[Fault]) -> None:
        crowd = self.crowd(people=PEOPLE)
        try:
            crowd.start()
            baseline = self._quiet(crowd)
            for fault in faults:
                self._play(fault, crowd, baseline)
            with step("Comparing with the database"):
                self._judge(crowd)
        finally:
            crowd.stop()

    def _quiet(self, crowd: Crowd) -> float:
        """p99 of a page in ms while nothing breaks."""
        if not wait_until(lambda: crowd.up == len(crowd.devices), 60):
            raise StackFailed(f"only {crowd.up} sockets are up: {self._why(crowd)}")
        time.sleep(WARM_SECONDS)
        begun = time.monotonic()
        time.sleep(QUIET_SECONDS)
        seen = crowd.records.between(begun, time.monotonic())
        wrong = [one.wrong for one in seen if one.wrong]
        if wrong or not seen:
            raise StackFailed(f"errors before anything broke: {wrong[:5]} of {len(seen)}")
        pages = [one.ms for one in seen if one.kind in {"page", "static"}]
        p99 = percentile(pages, 99)
        sent = sum(len(device.acknowledged) for device in crowd.devices)
        self.facts["quiet"] = {
            "requests/s": round(len(seen) / QUIET_SECONDS, 1),
            "page p50 ms": round(percentile(pages, 50), 1),
            "page p99 ms": round(p99, 1),
            "messages so far": sent,
        }
        say(f"Quiet: {self.facts['quiet']}")
        return p99

    def _why(self, crowd: Crowd) -> str:
        wrongs = [what for device in crowd.devices for what in device.journal.wrongs]
        return f"{dict(crowd.counts())} {wrongs[:3]} {crowd.broken[:3]}"

    def _play(self, fault: Fault, crowd: Crowd, baseline: float) -> None:
        row = Row(fault.name, fault.expected, begun=time.monotonic())
        scene = Scene(
            self.cluster, self.stack, crowd, row, self.authority, self.backup_key, baseline
        )
        try:
            row.checks = fault.play(scene)
            self.stack.wait_until_whole([*SERVED, "mysql", "redis"], 120)
        except Exception as error:
            row.failed = f"{type(error).__name__}: {str(error)[:1500]}"
            crowd.resume_writing()
            wait_until(lambda: self.stack.is_whole([*SERVED, "mysql", "redis"]), 120, every=1.0)
        row.ended = time.monotonic()
        seen = crowd.records.between(row.begun, row.ended)
        row.errors = sum(bool(one.wrong) for one in seen)
        row.acknowledged = sum(
            row.begun <= booking.acknowledged <= row.ended
            for booking in list(crowd.records.bookings.values())
        ) + sum(
            row.begun <= at <= row.ended
            for device in crowd.devices
            for at, _ in list(device.acknowledged.values())
        )
        kinds = Counter(f"{one.kind} {one.status or one.wrong[:50]}" for one in seen if one.wrong)
        row.notes += [f"{times} × {what}" for what, times in kinds.most_common(4)]
        self.rows.append(row)
        say(
            f"{fault.name}: {row.errors} errors of {len(seen)} requests, "
            f"{row.acknowledged} acknowledged, {row.recovery:.1f} s, "
            f"{'so far met' if row.is_met else row.missed} {row.notes}"
        )

    def _judge(self, crowd: Crowd) -> None:
        row = Row(ALWAYS, "0 lost, 0 doubles, 0 reordered, 0 audit gaps", begun=time.monotonic())
        answered = crowd.pause_writing()
        if not answered:
            row.notes.append(f"not answered: {crowd.unanswered()}")
        level = wait_until(crowd.is_level, 60)
        time.sleep(2)  # what comes twice may come late
        truth = self._inside("truth.py")
        judgment = judge(list(crowd.records.bookings.values()), crowd.devices, self.world, truth)
        blame(self.rows, judgment)
        row.checks = [
            Check("everything begun was answered", float(answered), least=1),
            Check("every device has everything", float(level), least=1),
            *always(judgment, truth),
            Check("mails sent twice", self.mailbox.doubled, most=0),
            Check("errors of the driver itself", len(crowd.broken), most=0),
        ]
        row.acknowledged = judgment.bookings + judgment.messages
        row.lost = len(judgment.lost)
        row.notes += [
            f"{judgment.bookings} bookings, {judgment.messages} messages, "
            f"{truth['audit_rows']} audit rows, {sum(list(self.mailbox.seen.values()))} mails",
            *(item.what for item in judgment.lost[:3]),
            *judgment.wrong_bookings[:3],
            *judgment.history[:3],
            *truth["broken_chains"][:3],
            *truth["check_bookings"].splitlines()[:3],
            *crowd.broken[:3],
        ]
        row.ended = time.monotonic()
        self.rows.append(row)

    # --- After --------------------------------------------------------------------------------

    def scale(self) -> list[dict[str, Any]]:
        with step("Scaling: 1, 2 and 4 replicas"):
            crowd = self.crowd(people=0)
            crowd.may_write = False
            try:
                crowd.start()
                return scaling.measure(self.stack, crowd, self.world)
            finally:
                crowd.stop()

    def report(self, asked: Sequence[str], scaled: list[dict[str, Any]], seconds: float) -> int:
        code = exit_code(self.rows, [*asked, ALWAYS])
        facts = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": {
                "cores": os.cpu_count(),
                "kernel": platform.release(),
                "nodes": len(NODES),
                "people": PEOPLE,
                "sockets": SOCKETS,
            },
            "seconds": round(seconds),
            **self.facts,
        }
        print(markdown(self.rows))
        RESULTS.mkdir(parents=True, exist_ok=True)
        _write("faults.json", as_json(self.rows, **facts))
        (RESULTS / "faults.md").write_text(
            f"# Faults under load\n\n`make stack-test` at {facts['at']}, commit {facts['commit']}, "
            f"{facts['machine']['cores']} cores, {round(seconds / 60)} minutes; {PEOPLE} people on "
            f"pages and {SOCKETS} sockets.\n\n{markdown(self.rows)}\n"
        )
        if scaled:
            _write("scaling.json", {**facts, "rows": scaled})
        return code


def _write(name: str, what: dict[str, Any]) -> None:
    (RESULTS / name).write_text(json.dumps(what, indent=2, ensure_ascii=False, default=str) + "\n")
    say(f"Written to deploy/results/{name}")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip()
