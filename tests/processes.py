"""What a server uses of the machine, together with everything it started (Linux)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def _family(pid: int) -> Iterator[int]:
    """A process and everything it started."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return
    for child in children:
        yield from _family(int(child))


def memory_of(pid: int) -> int:
    """Bytes of memory in use."""
    total = 0
    for one in _family(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except FileNotFoundError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def cpu_of(pid: int) -> float:
    """Seconds of processor time used so far."""
    ticks = 0
    for one in _family(pid):
        try:
            facts = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += sum(map(int, facts[11:15]))  # its own, and those of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")
