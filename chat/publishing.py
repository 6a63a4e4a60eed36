"""Telling the socket servers what web processes, workers and commands have stored. Synchronous.

Call after the commit. With Redis it is one pipelined publish on a kept connection; without, the
sockets are in this process, and the message goes to its hub's loop. What does not arrive is found
by the hubs' next look at the database, so a failure here loses nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from channels.layers import get_channel_layer
from django.conf import settings

from chat import names
from chat.log import Entry
from chat.marks import Moved

SECONDS = 0.5  # how long Redis may take
REST_SECONDS = 2.0  # after a failure it is left alone, so that it costs one timeout

logger = structlog.get_logger("chat.publishing")

FROM_NOWHERE = ""  # no server has delivered it yet


def publish(entries: Sequence[Entry]) -> bool:
    """Sends the events of entries to everybody who takes part. False when Redis is away."""
    return _send([names.event_message(entry) for entry in entries if entry.audience])


def publish_to_users(
    user_ids: Iterable[int], frame: dict[str, Any], *, may_drop: bool = False
) -> bool:
    """Sends a frame without a number (marks, typing, presence) to users' sockets."""
    return _send([names.frame_message(list(user_ids), frame, may_drop=may_drop)])


def publish_moved(moved: Iterable[Moved]) -> bool:
    """Tells everybody concerned about marks that moved (`chat.marks.mark_all`)."""
    return _send([names.frame_message(one.to, one.frame) for one in moved])


def access_changed(user_ids: Iterable[int]) -> bool:
    """Makes the servers with sockets of these users look at once at what they may see."""
    return _send([names.access_message(list(user_ids))])


def _send(messages: Sequence[names.Message]) -> bool:
    if not messages:
        return True
    return (_send_by_redis if settings.REDIS_URLS else _send_here)(messages)


def _send_here(messages: Sequence[names.Message]) -> bool:
    from chat.hub import running_hub

    hub = running_hub()
    if hub is not None and hub.loop.is_running():
        asyncio.run_coroutine_threadsafe(hub.link.publish(messages, FROM_NOWHERE), hub.loop)
    return True  # without a hub here there is no socket here


class _Redis:
    """Kept connections, one pool for each address."""

    def __init__(self, urls: Sequence[str]) -> None:
        import redis

        self.away: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self.clients = [
            redis.Redis.from_url(
                url,
                socket_timeout=SECONDS,
                socket_connect_timeout=SECONDS,
                socket_keepalive=True,
                health_check_interval=15,
            )
            for url in urls
        ]
        self.rest_until = 0.0


_lock = threading.Lock()
_kept: dict[tuple[str, ...], _Redis] = {}


def _redis() -> _Redis:
    urls = tuple(settings.REDIS_URLS)
    with _lock:
        if urls not in _kept:
            _kept[urls] = _Redis(urls)
        return _kept[urls]


def _send_by_redis(
    messages: Sequence[names.Message], clock: Callable[[], float] | None = None
) -> bool:
    import time

    from chat.layer import group_channel, one_on_each, shard_of

    now = (clock or time.monotonic)()
    kept = _redis()
    if now < kept.rest_until:
        return False
    serialize = get_channel_layer().serialize
    shards = len(kept.clients)
    by_shard: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
    groups = one_on_each(names.SERVERS, shards)
    for group, packet in names.packets(messages, FROM_NOWHERE, groups):
        channel = group_channel(group)
        by_shard[shard_of(channel, shards)].append((channel, serialize(packet)))
    try:
        for shard, some in by_shard.items():
            with kept.clients[shard].pipeline(transaction=False) as pipeline:
                for channel, data in some:
                    pipeline.publish(channel, data)
                pipeline.execute()
    except kept.away as error:
        kept.rest_until = now + REST_SECONDS
        logger.warning("chat_publish_failed", error=type(error).__name__)
        return False
    return True
