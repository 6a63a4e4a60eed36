"""What the backup image runs: ``backup COMMAND``.

run       a dump every BACKUP_FULL_EVERY seconds, beside it binary logs every BACKUP_EVERY
full      a dump now, and the logs up to now
list      what is kept, and up to which moment it reaches
verify    checks every kept file; exits 1 when one is missing or damaged
restore   --key FILE [--at 'YYYY-MM-DD HH:MM:SS'] [--server ID] into the empty database
drill     --key FILE: restores into the database clinic_drill, which is left to be checked
drill-end drops clinic_drill; with --passed the drill is written down
alive     whether `run` goes on; for health checks
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from deploy.keep import restore as back
from deploy.keep import work
from deploy.keep.errors import BackupError
from deploy.keep.server import Login, Server
from deploy.keep.store import FULL, Store

HEARTBEAT = Path("/tmp/backup-heartbeat")  # noqa: S108  (memory of the container)
DUMP_HEARTBEAT = Path("/tmp/backup-dump-heartbeat")  # noqa: S108  (the same)
STUCK_SECONDS = 7200
STOP_SECONDS = 50.0  # a dump may end within the grace of its container
NEW_SECONDS = 15.0  # until an installation that is being made has tables
DATABASE_SECONDS = 300.0  # a server that was just started elsewhere
METRICS_PORT = 9101
DRILL = "clinic_drill"


def log(event: str, **more: Any) -> None:
    line = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **more}
    print(json.dumps(line), flush=True)


def seconds(name: str, default: float) -> float:
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise BackupError(f"{name} is {text!r}. Set it to a number above 0.")
    return value


class Settings:
    def __init__(self) -> None:
        self.store = Store(Path(os.environ.get("BACKUP_TARGET") or "/backups"))
        self.database = os.environ.get("BACKUP_DATABASE") or "clinic"
        self.recipients = Path(os.environ.get("BACKUP_RECIPIENTS_FILE") or "/run/backup_recipients")

        if given := os.environ.get("BACKUP_RECIPIENTS"):
            self.recipients = Path("/tmp/backup-recipients")  # noqa: S108  (public keys)
            self.recipients.write_text(given.replace(",", "\n") + "\n")

    def require_recipients(self) -> None:
        if not self.recipients.is_file() or not self.recipients.read_text().strip():
            raise BackupError(
                f"{self.recipients} holds no public key, so backups could not be encrypted. Set "
                "BACKUP_RECIPIENTS to the line of your key that begins with age1."
            )


def run(settings: Settings, asked: argparse.Namespace) -> int:
    settings.require_recipients()
    every, full_every = seconds("BACKUP_EVERY", 120), seconds("BACKUP_FULL_EVERY", 86_400)
    keep_days = seconds("BACKUP_KEEP_DAYS", 30)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    serve_metrics(settings.store)
    log("backup_started", every=every, full_every=full_every, keep_days=keep_days)

    def connect() -> Server:
        return Server(Login.read("BACKUP"))

    def take_dumps() -> None:
        while not stopping.is_set():
            DUMP_HEARTBEAT.touch()
            is_done = work.round_of_dumps(
                connect=connect,
                store=settings.store,
                database=settings.database,
                recipients=settings.recipients,
                full_every=full_every,
                keep_days=keep_days,
                log=log,
                goes_on=DUMP_HEARTBEAT.touch,
            )
            stopping.wait(every if is_done else min(every, NEW_SECONDS))

    # Beside each other: a dump and the check of all files take long, and logs go on meanwhile.
    dumps = threading.Thread(target=take_dumps, daemon=True)
    dumps.start()
    while not stopping.is_set():
        HEARTBEAT.touch()
        begun = time.monotonic()
        work.round_of_logs(
            connect=connect, store=settings.store, recipients=settings.recipients, log=log
        )
        stopping.wait(max(1.0, every - (time.monotonic() - begun)))
    dumps.join(STOP_SECONDS)
    log("backup_stopped")
    return 0


def serve_metrics(store: Store) -> None:
    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers: dict[str, tuple[str, Callable[[Any], str]]] = {
                "/metrics": ("text/plain; version=0.0.4", work.metrics),
                "/state": ("application/json", json.dumps),
            }
            if self.path not in answers:
                self.send_error(404)
                return
            kind, write = answers[self.path]
            body = write(store.state()).encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    port = int(os.environ.get("BACKUP_METRICS_PORT") or METRICS_PORT)
    server = ThreadingHTTPServer(("", port), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def full(settings: Settings, asked: argparse.Namespace) -> int:
    settings.require_recipients()
    server = Server(Login.read("BACKUP"))
    piece = work.full(
        server, settings.store, database=settings.database, recipients=settings.recipients
    )
    begun = time.time()
    work.ship_logs(server, settings.store, recipients=settings.recipients)
    settings.store.note(last_full=piece.until, last_log=begun, log_error="", dump_error="")
    print(f"{piece.name}: {piece.bytes} bytes, as of {back.spoken(piece.until)}.")
    return 0


def show(settings: Settings, asked: argparse.Namespace) -> int:
    pieces = settings.store.pieces()
    for piece in pieces:
        if piece.kind == FULL:
            print(f"{back.described(piece)}  {piece.name}")
    logs = len(pieces) - sum(piece.kind == FULL for piece in pieces)
    print(f"{logs} binary logs.")
    if any(piece.is_dump for piece in pieces):
        print(f"A restore reaches to {back.spoken(back.plan(settings.store, at=None).until)}.")
    return 0


def verify(settings: Settings, asked: argparse.Namespace) -> int:
    begun = time.time()
    found = work.verify(settings.store)
    settings.store.note(last_verified=begun, last_verified_all=begun, faults=found.faults)
    for fault in found.faults:
        print(fault)
    for note in found.notes:
        print(f"Note: {note}")
    if not found.faults:
        print(f"All {len(settings.store.pieces())} files are complete.")
    return 1 if found.faults else 0


def prepared(
    settings: Settings, server: Server, asked: argparse.Namespace, *, of: str | None = None
) -> back.Plan:
    """The plan, whose files are all complete, open with the key and drop nothing unasked."""
    if not asked.key.is_file():
        raise BackupError(f"{asked.key} is not there. Name the file with the private key.")
    at = back.moment(asked.at) if asked.at else None
    chosen = back.plan(settings.store, at=at, server=of)
    print(f"The dump is {back.described(chosen.dump)}.")
    print(f"{chosen.dump.name} and {len(chosen.logs)} logs: up to {back.spoken(chosen.until)}.")
    back.check(settings.store, chosen, key=asked.key)
    if not asked.with_drop:
        back.require_no_drop(
            server, settings.store, chosen, key=asked.key, database=settings.database
        )
    print("All files are complete and open with this key.", flush=True)
    return chosen


def restore(settings: Settings, asked: argparse.Namespace) -> int:
    server = Server(Login.read("RESTORE"))
    server.wait(DATABASE_SECONDS)
    chosen = prepared(settings, server, asked, of=asked.server)
    back.require_choice(
        settings.store, chosen, into=server.identity, asked=bool(asked.at or asked.server)
    )
    back.require_empty(server, settings.database)
    if asked.check_only:
        print("The database is empty: the restore can begin.")
        return 0
    begun = time.monotonic()
    back.restore(
        server,
        settings.store,
        chosen,
        key=asked.key,
        database=settings.database,
        into=settings.database,
        say=lambda text: print(text, flush=True),
    )
    settings.store.note(dump_wanted=time.time())
    print(f"Restored in {time.monotonic() - begun:.0f} s, up to {back.spoken(chosen.until)}.")
    return 0


def drill(settings: Settings, asked: argparse.Namespace) -> int:
    """Into a database of its own, none of which is logged: the next drill would replay it."""
    server = Server(Login.read("RESTORE"))
    chosen = prepared(settings, server, asked)
    remove_drill(server)
    server.ask(f"CREATE DATABASE {DRILL} CHARACTER SET utf8mb4", logged=False)
    begun = time.monotonic()
    try:
        back.restore(
            server,
            settings.store,
            chosen,
            key=asked.key,
            database=settings.database,
            into=DRILL,
            say=lambda text: print(text, flush=True),
        )
        tables, _ = server.size(DRILL)
    except BaseException:
        remove_drill(server)  # half a copy of the records is no use to anybody
        raise
    print(
        f"Restored {tables} tables into {DRILL} in {time.monotonic() - begun:.0f} s, up to "
        f"{back.spoken(chosen.until)}."
    )
    return 0


def remove_drill(server: Server) -> None:
    server.ask(f"DROP DATABASE IF EXISTS {DRILL}", logged=False)


def drill_end(settings: Settings, asked: argparse.Namespace) -> int:
    remove_drill(Server(Login.read("RESTORE")))
    if asked.passed:
        settings.store.note(last_drill=time.time())
    return 0


def alive(settings: Settings, asked: argparse.Namespace) -> int:
    try:
        oldest = min(path.stat().st_mtime for path in (HEARTBEAT, DUMP_HEARTBEAT))
        return 0 if time.time() - oldest < STUCK_SECONDS else 1
    except OSError:
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="backup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, function in (
        *(("run", run), ("full", full), ("list", show), ("verify", verify), ("alive", alive)),
        *(("restore", restore), ("drill", drill), ("drill-end", drill_end)),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=function)
        if name in {"restore", "drill"}:
            command.add_argument("--key", type=Path, required=True)
            command.add_argument("--at", help="a moment in UTC")
            command.set_defaults(with_drop=False)
            command.add_argument("--check-only", action="store_true", help="change nothing")
        if name == "restore":
            command.add_argument("--server", help="only what this one had; `list` names them")
            command.add_argument(
                "--with-drop", action="store_true", help="replay a DROP DATABASE too"
            )
        if name == "drill-end":
            command.add_argument("--passed", action="store_true")
    return top


def main() -> int:
    asked = parser().parse_args()
    try:
        code: int = asked.run(Settings(), asked)
    except BackupError as error:
        print(f"Backup: {error}", file=sys.stderr)
        return 1
    return code
