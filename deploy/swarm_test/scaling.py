"""What one CPU second serves with 1, 2 and 4 replicas: the measured rows of the sizing table.

Everything shares this machine, so requests a second stop growing where its cores end; what a CPU
second of a service serves does not depend on that, and a bigger machine has more of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.swarm_test.browser import Browser, Unreached
from deploy.swarm_test.crowd import Crowd, wait_until
from deploy.swarm_test.ledger import CGROUPS
from deploy.swarm_test.records import percentile
from deploy.swarm_test.sockets import deliveries
from deploy.swarm_test.stack import Stack

REPLICAS = (1, 2, 4)
SECONDS = 15.0
WARM_SECONDS = 4.0
CLIENTS = 8
PACE = 2.0  # seconds between a device's messages: 200 devices send 100 a second
COUNTED = ("web", "ws", "nginx", "mysql", "redis")


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU seconds so far of each service's containers."""
    return {
        service: sum(_used(task.node.cgroup, task.container) for task in stack.tasks(service))
        for service in COUNTED
    }


def _used(cgroup: str, container: str) -> float:
    first = CGROUPS / "cpuacct" / cgroup.lstrip("/") / container / "cpuacct.usage"
    if first.exists():
        return int(first.read_text()) / 1e9
    second: Path = CGROUPS / cgroup.lstrip("/") / container / "cpu.stat"
    facts = dict(line.split() for line in second.read_text().splitlines())
    return int(facts["usage_usec"]) / 1e6


def measure(stack: Stack, crowd: Crowd, world: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each number of replicas; the crowd is quiet while pages are measured."""
    rows = []
    for replicas in REPLICAS:
        stack.operate("scale", f"web={replicas}", f"ws={replicas}")
        stack.wait_until_whole(["web", "ws"], 120)
        time.sleep(3)  # NGINX asks for names every second
        rows.append(
            {
                "replicas of web and ws": replicas,
                **_pages(stack, crowd, world),
                **_messages(stack, crowd),
            }
        )
    return rows


def _pages(stack: Stack, crowd: Crowd, world: Mapping[str, Any]) -> dict[str, Any]:
    crowd.may_write = False
    crowd.call(_ask(crowd, world, WARM_SECONDS))
    before = cpu_seconds(stack)
    begun = time.monotonic()
    times, wrong = crowd.call(_ask(crowd, world, SECONDS), seconds=SECONDS + 30)
    took = time.monotonic() - begun
    used = {name: seconds - before[name] for name, seconds in cpu_seconds(stack).items()}
    return {
        "requests/s": round(len(times) / took, 1),
        "requests per web CPU s": _rate(len(times), used["web"]),
        "requests per CPU s of all": _rate(len(times), sum(used.values())),
        "page p50 ms": round(percentile(times, 50) * 1000, 1),
        "page p99 ms": round(percentile(times, 99) * 1000, 1),
        "page errors": wrong,
    }


async def _ask(crowd: Crowd, world: Mapping[str, Any], seconds: float) -> tuple[list[float], int]:
    """Clients that ask one page after the other: the home page, a search, a doctor."""
    times: list[float] = []
    wrong = 0

    async def client(number: int) -> None:
        nonlocal wrong
        chance = random.Random(number)
        site = crowd.visitors.site
        browser = Browser(site, address=crowd.addresses[number], chance=chance)
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                path = chance.choice(
                    [
                        "/",
                        f"/doctors/?specialty={chance.choice(world['specialties'])}",
                        f"/doctors/{chance.choice(world['slugs'])}/",
                    ]
                )
                begun = time.monotonic()
                try:
                    answer = await browser.get(path)
                except Unreached:
                    wrong += 1
                    continue
                times.append(time.monotonic() - begun)
                wrong += answer.status != 200
        finally:
            browser.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return times, wrong


def _messages(stack: Stack, crowd: Crowd) -> dict[str, Any]:
    wait_until(lambda: crowd.up == len(crowd.devices), 60)
    pace, crowd.pace = crowd.pace, PACE
    crowd.may_write = True
    time.sleep(WARM_SECONDS)
    before = cpu_seconds(stack)
    begun = time.monotonic()
    time.sleep(SECONDS)
    ended = time.monotonic()
    used = {name: seconds - before[name] for name, seconds in cpu_seconds(stack).items()}
    crowd.may_write = False
    crowd.pace = pace
    wait_until(lambda: crowd.is_quiet, 30)
    time.sleep(1)
    made = [one for one in deliveries(crowd.devices) if begun <= one.acknowledged <= ended]
    return {
        "messages/s": round(len(made) / (ended - begun), 1),
        "messages per ws CPU s": _rate(len(made), used["ws"]),
        "messages per CPU s of all": _rate(len(made), sum(used.values())),
        "delivery p50 ms": round(percentile([one.seen - one.sent for one in made], 50) * 1000, 1),
        "delivery p99 ms": round(percentile([one.seen - one.sent for one in made], 99) * 1000, 1),
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds > 0 else 0.0
