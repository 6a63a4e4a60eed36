"""What the test has put on this machine, written down at once, so that all of it is taken away.

The list is a file outside the test's own folder: a run that was killed with -9 is cleaned up by the
next one, or by ``--clean``. Only what stands in it is touched, processes by their id *and* the time
they were started at, because ids are given again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

PATH = Path("/run/clinic-stack-test.json")
CGROUPS = Path("/sys/fs/cgroup")
GONE_SECONDS = 20.0


class LeftBehind(Exception):
    """Something could not be removed; says what."""


def started_at(pid: int) -> str:
    """The kernel's mark of when a process was started; empty when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class Ledger:
    def __init__(self, path: Path = PATH) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def note(self, kind: str, **what: Any) -> None:
        self.entries.append({"kind": kind, **what})
        self._write()

    def note_process(self, pid: int) -> None:
        self.note("process", pid=pid, started=started_at(pid))

    def make_folder(self, path: str) -> None:
        """A folder that something is mounted on; removed at the end when it was not there."""
        if not Path(path).exists():
            self.note("empty folder", path=path)
            Path(path).mkdir(parents=True)

    def undo(self, *, first: int = 0, last: int | None = None) -> None:
        """Takes everything away, or the entries from ``first`` to before ``last``; newest first."""
        failed = []
        for entry in reversed(self.entries[first:last]):
            try:
                _UNDO[entry["kind"]](entry)
            except (OSError, LeftBehind, subprocess.CalledProcessError) as error:
                failed.append(f"{entry}: {error}")
                continue
            self.entries.remove(entry)
            self._write()
        if failed:
            raise LeftBehind("Could not be removed:\n" + "\n".join(failed))

    def _write(self) -> None:
        if not self.entries:
            self.path.unlink(missing_ok=True)
            return
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(self.entries, indent=1))
        draft.replace(self.path)


def end_process(pid: int, started: str) -> None:
    """Kills the process that was started then; another with the same id is left alone."""
    if not started or started_at(pid) != started:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_SECONDS
    while started_at(pid) == started:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise LeftBehind(f"process {pid} does not end")
        time.sleep(0.02)


def _end_process(entry: dict[str, Any]) -> None:
    end_process(entry["pid"], entry["started"])


def _delete_namespace(entry: dict[str, Any]) -> None:
    if Path("/run/netns", entry["name"]).exists():
        subprocess.run(["ip", "netns", "delete", entry["name"]], check=True, capture_output=True)


def _delete_folder(entry: dict[str, Any]) -> None:
    folder = Path(entry["path"]).resolve()
    below = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in below if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True, capture_output=True)
    if folder.exists():
        shutil.rmtree(folder)


def _delete_empty_folder(entry: dict[str, Any]) -> None:
    with suppress(OSError):  # gone, or somebody uses it by now
        Path(entry["path"]).rmdir()


def _delete_file(entry: dict[str, Any]) -> None:
    Path(entry["path"]).unlink(missing_ok=True)


def _delete_cgroup(entry: dict[str, Any]) -> None:
    """Control groups are folders that can only be removed one by one, and when nobody is in."""
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        tops = [CGROUPS / entry["name"], *CGROUPS.glob(f"*/{entry['name']}")]
        left = [top for top in tops if top.is_dir()]
        if not left:
            return
        for top in left:
            for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                top.rmdir()
        if time.monotonic() > deadline:
            raise LeftBehind(f"control group {left[0]}")
        time.sleep(0.1)


def _nothing(entry: dict[str, Any]) -> None:
    """The run itself is on the list so that a second one can see it."""


_UNDO = {
    "runner": _nothing,
    "process": _end_process,
    "namespace": _delete_namespace,
    "folder": _delete_folder,
    "empty folder": _delete_empty_folder,
    "file": _delete_file,
    "cgroup": _delete_cgroup,
}
