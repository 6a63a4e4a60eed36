"""The channel layer on Redis: Channels' own pub/sub layer, with publishes that travel together.

The original awaits one publish after the other under a lock; here those that wait go out in one
pipeline, in their order. A Redis that does not answer costs a bounded time, and its absence is one
line in the log and not a traceback a second. Several Redis addresses share the groups.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from typing import Any

import structlog
from channels_redis.pubsub import (
    RedisPubSubChannelLayer,
    RedisPubSubLoopLayer,
    RedisSingleShardConnection,
)
from channels_redis.utils import _consistent_hash, _wrap_close, create_pool, decode_hosts
from redis import asyncio as aioredis
from redis.exceptions import RedisError

PREFIX = "clinic"
PUBLISH_SECONDS = 1.0  # a publish that takes longer has failed
CONNECT_SECONDS = 1.0
RETRY_SECONDS = 0.5
MOST_AT_ONCE = 500  # publishes in one pipeline

logger = structlog.get_logger("chat.layer")

# What a Redis that is away looks like.
AWAY = (RedisError, OSError, asyncio.TimeoutError)


def group_channel(group: str) -> str:
    """Where a group is published, as `RedisPubSubLoopLayer` names it."""
    return f"{PREFIX}__group__{group}"


def shard_of(channel: str, shards: int) -> int:
    """Which of several Redis addresses carries a channel."""
    return _consistent_hash(channel, shards)


@cache
def one_on_each(name: str, shards: int) -> tuple[str, ...]:
    """Groups called ``name`` and a number, such that each of the Redis addresses carries one."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < shards:
        group = f"{name}.{number}"
        found.setdefault(shard_of(group_channel(group), shards), group)
        number += 1
    return tuple(found.values())


def host_settings(url: str) -> dict[str, Any]:
    """Settings of redis-py for one address, spelled out because its defaults change: an idle
    subscription must not be cut (no read timeout), and a dead one must be noticed."""
    return {
        "address": url,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }


class PipelinedShard(RedisSingleShardConnection):
    def __init__(self, host: dict[str, Any], channel_layer: Any) -> None:
        super().__init__(host, channel_layer)
        self._publisher: aioredis.Redis | None = None
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def publish(self, channel: str, message: bytes) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((channel, message, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush_waiting())
        await done

    async def _flush_waiting(self) -> None:
        try:
            while self._waiting:
                # Whoever gave up waiting has told so: sent late, it would only be a burden.
                waiting = [one for one in self._waiting if not one[2].done()]
                batch, self._waiting = waiting[:MOST_AT_ONCE], waiting[MOST_AT_ONCE:]
                if not batch:
                    return
                error: BaseException | None = None
                try:
                    async with asyncio.timeout(PUBLISH_SECONDS):
                        await self._publish_all(batch)
                except AWAY as failure:
                    error = failure
                    batch, self._waiting = batch + self._waiting, []
                    await self._drop_publisher()
                for _, _, done in batch:
                    if done.done():
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)
        finally:
            self._flusher = None

    async def _publish_all(self, batch: list[tuple[str, bytes, asyncio.Future[None]]]) -> None:
        if self._publisher is None:
            host = {**self.host, "socket_timeout": PUBLISH_SECONDS}
            self._publisher = aioredis.Redis(connection_pool=create_pool(host))
        if len(batch) == 1:
            await self._publisher.publish(batch[0][0], batch[0][1])
            return
        async with self._publisher.pipeline(transaction=False) as pipeline:
            for channel, message, _ in batch:
                pipeline.publish(channel, message)
            await pipeline.execute()

    async def _drop_publisher(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            with suppress(*AWAY):
                await publisher.aclose(close_connection_pool=True)

    async def flush(self) -> None:
        await self._drop_publisher()
        await super().flush()

    async def _do_receiving(self) -> None:
        away = False
        while True:
            try:
                if not (self._pubsub and self._pubsub.subscribed):
                    await asyncio.sleep(0.1)
                    continue
                message = await self._pubsub.get_message(
                    ignore_subscribe_messages=True, timeout=1.0
                )
                if away:
                    away = False
                    logger.info("redis_back")
                self._receive_message(message)
            except AWAY as error:
                if not away:
                    away = True
                    logger.warning("redis_away", error=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)


class PipelinedLoopLayer(RedisPubSubLoopLayer):
    def __init__(self, hosts: list[Any] | None = None, **options: Any) -> None:
        super().__init__(hosts=hosts, **options)
        self._shards = [PipelinedShard(host, self) for host in decode_hosts(hosts)]


class PipelinedLayer(RedisPubSubChannelLayer):
    """Named in CHANNEL_LAYERS where REDIS_URL is set."""

    def _get_layer(self) -> PipelinedLoopLayer:
        loop = asyncio.get_running_loop()
        layer = self._layers.get(loop)
        if layer is None:
            layer = PipelinedLoopLayer(*self._args, **self._kwargs, channel_layer=self)
            self._layers[loop] = layer
            _wrap_close(self, loop)
        return layer

    def one_on_each(self, name: str) -> tuple[str, ...]:
        return one_on_each(name, len(self._get_layer()._shards))
