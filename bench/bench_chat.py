"""The chat under load: messages committed to the database, from send to the other side's socket.

Beside it, doing the same work on the same database and Redis, the peer: Socket.IO 4 with its Redis
adapter and mysql2 (`bench/socketio/server.js`). Both take turns, round by round, so that both see
the same machine; the table has the medians of the rounds. Open loop: a message counts from when it
was meant to be sent, so a server that stalls is not excused. The two people of a conversation are
on different servers when there are two. A run also checks what the figures are worth: nothing lost,
nothing doubled, every socket saw its conversation in order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bench.chat_load import Sockets, connect, load
from bench.chat_stack import ChatStack, Contender, Pairs, chat_stack, peer_is_here
from bench.common import cpu_seconds, save, say
from bench.data import sync_ms

FAULTS = ("lost", "doubled", "out of order", "errors")
MOST_SECONDS = {10: 6.0}  # few messages a second need longer to say something
T = TypeVar("T")


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On uvloop where it is, so that the driver leaves the cores to the servers."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


async def _measure(
    stack: ChatStack, contender: Contender, sockets: Sockets, *, rate: int, seconds: float
) -> dict[str, Any]:
    def used() -> dict[str, float]:
        return {
            "server CPU ms": cpu_seconds(contender.pids),
            "database CPU ms": cpu_seconds([stack.database.pid]),
            "Redis CPU ms": cpu_seconds([stack.redis.pid]),
            "driver CPU ms": time.process_time(),
        }

    before = used()
    found = await load(sockets, rate=rate, seconds=seconds)
    # The judgment after the load is the driver's and no server's, so it may be in its figure.
    after = used()
    cpu = {
        name: round((after[name] - before[name]) * 1000 / found["messages"], 3) for name in before
    }
    return {**found, **cpu}


async def _rounds(
    stack: ChatStack, rates: Sequence[int], *, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    everybody = [(one, await connect(one.client, one.ports, one.pairs)) for one in stack.contenders]
    for contender, sockets in everybody:  # warm, and until each runtime has compiled what it will
        await _measure(stack, contender, sockets, rate=max(rates), seconds=2)
    found: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for number in range(rounds):
        for rate in rates:
            # Who is first changes, so that nobody always follows the other.
            for contender, sockets in everybody if number % 2 == 0 else reversed(everybody):
                lasts = max(seconds, MOST_SECONDS.get(rate, 0))
                row = await _measure(stack, contender, sockets, rate=rate, seconds=lasts)
                found[rate, contender.name].append(row)
                say(
                    f"{len(contender.ports)} × {contender.name}, {rate}/s: "
                    f"p50 {row['p50 ms']} p99 {row['p99 ms']} CPU {row['server CPU ms']} "
                    + ", ".join(f"{row[name]} {name}" for name in FAULTS if row[name])
                )
    for _, sockets in everybody:
        sockets.close()
    return [_row(stack, rate, contender, found) for rate in rates for contender in stack.contenders]


def _row(
    stack: ChatStack,
    rate: int,
    contender: Contender,
    found: dict[tuple[int, str], list[dict[str, Any]]],
) -> dict[str, Any]:
    runs = found[rate, contender.name]

    def median(name: str) -> float:
        return round(statistics.median(run[name] for run in runs), 3)

    row = {"servers": len(contender.ports), "messages/s": rate, "server": contender.name}
    for name in ("p50 ms", "p99 ms", "ack p50 ms", "ack p99 ms"):
        row[name] = round(median(name), 1)
    for name in ("server CPU ms", "database CPU ms", "Redis CPU ms", "driver CPU ms"):
        row[name] = median(name)
    peers = found[rate, stack.contenders[-1].name]
    row["CPU ÷ peer"] = (
        round(_ratio(runs, peers), 2) if contender is not stack.contenders[-1] else ""
    )
    for name in FAULTS:
        row[name] = sum(run[name] for run in runs)
    return row


def _ratio(runs: Iterable[dict[str, Any]], peers: Iterable[dict[str, Any]]) -> float:
    """The median of the rounds' ratios: both of a round saw the same machine."""
    return statistics.median(
        run["server CPU ms"] / peer["server CPU ms"] for run, peer in zip(runs, peers, strict=True)
    )


# --- Sockets that only stay -----------------------------------------------------------------


def _memory(pids: Sequence[int]) -> int:
    """Kilobytes of memory in use by the processes (Linux)."""
    text = "".join(Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


FIRST = 2_000  # sockets whose time to connect has a target


async def _idle(contender: Contender, seconds: float) -> dict[str, Any]:
    """What sockets cost that only stay: time to connect, memory, CPU while nothing comes."""

    async def arrive(pairs: Pairs) -> tuple[Sockets, float]:
        begun = time.perf_counter()
        sockets = await connect(contender.client, contender.ports, pairs)
        return sockets, time.perf_counter() - begun

    before, cpu = _memory(contender.pids), cpu_seconds(contender.pids)
    first, took = await arrive(contender.pairs[: FIRST // 2])
    others, more = await arrive(contender.pairs[FIRST // 2 :])
    count = 2 * len(contender.pairs)
    connecting = cpu_seconds(contender.pids) - cpu
    cpu = cpu_seconds(contender.pids)
    await asyncio.sleep(seconds)
    row = {
        "server": contender.name,
        f"{min(FIRST, count):,} connected in s": round(took, 1),
        f"{count:,} connected in s": round(took + more, 1),
        "CPU ms a connect": round(connecting * 1000 / count, 2),
        "KB a socket": round((_memory(contender.pids) - before) / count, 1),
        "CPU % idle": round((cpu_seconds(contender.pids) - cpu) * 100 / seconds, 1),
    }
    for sockets in (first, others):
        sockets.close()
    return row


def idle(sockets: int, *, peer: bool) -> list[dict[str, Any]]:
    """On servers that had no sockets before."""
    with chat_stack(pairs=sockets // 2, peer=peer) as stack:
        return [_run(partial(_idle, contender, 15)) for contender in stack.contenders]


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bench_chat", description=__doc__)
    parser.add_argument("--rates", default="10,1000,2000")
    parser.add_argument("--seconds", type=float, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=100, help="of people, two sockets each")
    parser.add_argument("--servers", default="1,2")
    parser.add_argument("--idle", type=int, default=5_000, help="idle sockets; 0 leaves them out")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    asked = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # servers inherit it
    rates = [int(rate) for rate in asked.rates.split(",")]
    peer = not asked.alone and peer_is_here()
    begun, rows, load_before = time.monotonic(), [], os.getloadavg()[0]
    for servers in (int(number) for number in asked.servers.split(",")):
        with chat_stack(pairs=asked.pairs, servers=servers, peer=peer) as stack:
            rows += _run(lambda: _rounds(stack, rates, rounds=asked.rounds, seconds=asked.seconds))
    facts = {
        "rounds": asked.rounds,
        "seconds of each run": asked.seconds,
        "fsync ms": sync_ms(),
        "load before and after": [round(load_before, 1), round(os.getloadavg()[0], 1)],
    }
    save("chat", rows, **facts, minutes=round((time.monotonic() - begun) / 60, 1))
    if asked.idle:
        save("chat_idle", idle(asked.idle, peer=peer))
    return 0 if _is_whole(rows) else 1


def _is_whole(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether our servers lost, doubled and reordered nothing."""
    faults = [
        row for row in rows if row["server"] == "clinic" and any(row[name] for name in FAULTS)
    ]
    for row in faults:
        say(f"FAULT at {row['messages/s']}/s: {row}")
    return not faults


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
