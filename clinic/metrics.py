"""What the site counts about itself, for Prometheus. Labels are codes, never people's words.

In one process (embedded, socket server, worker) the numbers live in memory. gunicorn's processes
share theirs through files in PROMETHEUS_MULTIPROC_DIR, a folder in memory that each start empties;
`exposition` adds them up whichever process is asked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

VISITS = Counter("clinic_visits", "Visits booked, moved and cancelled", ["what"])
REFUSALS = Counter(
    "clinic_refusals", "What was refused, by action and reason", ["action", "reason"]
)
RESPONSES = Counter(
    "clinic_responses", "Answers by status, those that a middleware gave included", ["status"]
)
MAILS = Counter("clinic_mails", "Attempts to send a mail, by outcome", ["outcome"])
MESSAGES = Counter("clinic_messages", "Events of conversations that were stored")
ACK_SECONDS = Histogram(
    "clinic_ack_seconds",
    "From a frame's arrival to its acknowledgement",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SOCKETS = Gauge("clinic_sockets", "Open sockets of this process", multiprocess_mode="livesum")

SHARED = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition() -> bytes:
    """All numbers in Prometheus' text format."""
    if not os.environ.get(SHARED):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def keep_of_process(folder: Path, pid: int) -> None:
    """Adds what an ended process has counted to one file for all ended ones, and removes its own.

    Each process has files of its own, which outlive it, since its numbers still count. Processes
    are renewed now and then: their files would fill the folder, which is in memory.
    """
    dead: Any = mark_process_dead  # the library has no types here
    files: Any = MmapedDict
    dead(pid, str(folder))
    for kind in ("counter", "histogram", "summary"):
        file = folder / f"{kind}_{pid}.db"
        if not file.exists():
            continue
        kept = files(str(folder / f"{kind}_ended.db"))
        for key, value, moment, _ in files.read_all_values_from_file(str(file)):
            kept.write_value(key, kept.read_value(key)[0] + value, moment)
        kept.close()
        file.unlink()
