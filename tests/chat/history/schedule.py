"""What goes wrong in a history, and after how many messages: the same for the same seed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chat.history.crowd import Crowd
from tests.chat.history.stack import Stack

Break = Callable[[Stack, Crowd, random.Random], None]


def kill_a_server(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    server = chance.choice(stack.servers)
    server.kill()
    time.sleep(chance.uniform(0, 1))
    server.start()


def end_a_server(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    chance.choice(stack.servers).restart()


def pause_redis(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    os.kill(stack.redis.pid, signal.SIGSTOP)
    time.sleep(chance.uniform(1, 4))
    os.kill(stack.redis.pid, signal.SIGCONT)


def stop_redis(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    stack.redis.kill()
    time.sleep(chance.uniform(1, 4))
    stack.redis.start()


def flush_redis(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    stack.redis.ask("FLUSHALL")


def restart_mariadb(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    stack.database.restart()


def kill_mariadb(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    stack.database.kill()
    stack.database.start()


def reload_the_edge(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    """The old workers keep their sockets until NGINX's own limit ends them, 20 s later."""
    assert stack.edge is not None
    stack.edge.reload()


def kill_the_edge(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    """Everybody is cut off at once, with whatever was on its way."""
    assert stack.edge is not None
    stack.edge.kill()
    time.sleep(chance.uniform(0, 1))
    stack.edge.start()


def cut_connections(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    """A third of the devices lose the answer to the next thing they send."""
    for device in chance.sample(crowd.devices, len(crowd.devices) // 3):
        device.wants_cut = True


def stop_readers(stack: Stack, crowd: Crowd, chance: random.Random) -> None:
    for device in chance.sample(crowd.devices, 3):
        crowd.start(device.stop_reading(chance.uniform(3, 8)))


EVERY: tuple[Break, ...] = (
    kill_a_server,
    kill_a_server,
    end_a_server,
    pause_redis,
    stop_redis,
    flush_redis,
    restart_mariadb,
    kill_mariadb,
    cut_connections,
    cut_connections,
    stop_readers,
    reload_the_edge,
    kill_the_edge,
)


@dataclass(frozen=True)
class Step:
    after: int  # acknowledged acts
    do: Break


def schedule(seed: int, messages: int, what: Sequence[Break] = EVERY) -> list[Step]:
    """Each of ``what`` once, in a shuffled order, spread over the messages."""
    chance = random.Random(seed)
    order = list(what)
    chance.shuffle(order)
    between = messages // (len(order) + 1)
    return [Step(between * (number + 1), do) for number, do in enumerate(order)]
