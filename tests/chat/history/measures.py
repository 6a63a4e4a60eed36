"""What tests of faults measure while a crowd chats, and how they open further sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.chat.history.checker import faults
from tests.chat.history.client import Device
from tests.chat.history.crowd import Crowd, wait_until
from tests.chat.history.journal import Stored
from tests.chat.history.stack import Entrance, Stack

LEVEL_SECONDS = 15.0
MIB = 1024 * 1024


def percentile(values: Iterable[float], percent: float) -> float:
    ordered = sorted(values)
    assert ordered, "nothing was measured"
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def finish(stack: Stack, crowd: Crowd) -> None:
    """Waits until everything is written and everywhere."""
    assert wait_until(lambda: crowd.is_done, 90)
    assert wait_until(lambda: crowd.is_level(stack.heads()), LEVEL_SECONDS, every=0.3)


def check(stack: Stack, crowd: Crowd) -> None:
    stored = Stored(stack.events(), stack.heads(), stack.members(), [stack.marks()])
    assert faults(crowd.journals, stored) == []


def ack_seconds(
    devices: Iterable[Device], begun: float, ended: float, *, but: frozenset[str] = frozenset()
) -> list[float]:
    """From writing to the ack, of what was written between two moments, ``but`` some places."""
    found = []
    for device in devices:
        for conversation, acts in device.journal.wrote.items():
            if conversation in but:
                continue
            for act in acts:
                written = device.written[act.client_id]
                if begun <= written < ended:
                    found.append(device.acknowledged[act.client_id][0] - written)
    return found


def delivery_seconds(devices: list[Device], begun: float, ended: float) -> list[float]:
    """From writing to the event on each device of each participant, the writer's own included."""
    written = {
        client_id: at
        for device in devices
        for client_id, at in device.written.items()
        if begun <= at < ended
    }
    return [
        at - written[client_id]
        for device in devices
        for client_id, at in device.arrived.items()
        if client_id in written
    ]


async def open_socket(
    entrance: Entrance, session: str, *, port: int | None = None, **options: object
) -> ClientConnection:
    """A socket at ``port`` of the entrance, its first unless said."""
    return await connect(
        entrance.address(port or entrance.ports[0]),
        ssl=entrance.tls,
        origin=entrance.origin,  # type: ignore[arg-type]
        additional_headers={"Cookie": f"{entrance.cookie}={session}"},
        subprotocols=["clinic.chat.v1"],  # type: ignore[list-item]
        compression=None,
        ping_interval=None,
        open_timeout=30,
        close_timeout=1,
        proxy=None,
        **options,  # type: ignore[arg-type]
    )


async def close_code(connection: ClientConnection) -> int:
    """The close code that comes after whatever is still to be read."""
    try:
        while True:
            await asyncio.wait_for(connection.recv(), 30)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
