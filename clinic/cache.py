"""The cache on Redis, made so that Redis may go away at any moment.

While it is away, nothing is cached, and what is *counted* (sign-in limits and the like) goes to
the database: a limit that vanished with Redis would invite whoever can stop Redis, and one that
refused everybody would close the clinic. After a failure Redis is left alone for two seconds, so
that a host that does not answer costs one timeout and not one per key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from zlib import crc32

import structlog
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django_redis.cache import RedisCache
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

log = structlog.get_logger("clinic.cache")

COUNTED = ("allauth", "limit:")  # keys that start so are kept in the database while Redis is away
REST_SECONDS = 2.0
FAILURES = (ConnectionInterrupted, RedisError, OSError)

T = TypeVar("T")


class Away(Exception):
    """A Redis that does not answer, or did not a moment ago."""


class Shard:
    """One Redis, and until when it is left alone."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        self.redis: RedisCache[Any] = RedisCache(location, params)
        self.rest_until = 0.0

    def ask(self, call: Callable[[BaseCache], T]) -> T:
        """What Redis answers; raises `Away` while it is away or left alone."""
        if time.monotonic() < self.rest_until:
            raise Away
        try:
            return call(self.redis)
        except FAILURES as error:
            self.rest_until = time.monotonic() + REST_SECONDS
            log.warning("redis_unavailable", error=type(error).__name__)
            raise Away from error


class RedisWithFallback(BaseCache):
    """One Redis or several that share the keys; without the one that is asked for a key, what is
    counted goes to the cache "counts" and nothing else is kept.

    The keys are shared out here, because django-redis takes further addresses for read replicas,
    and its client for shards warns of itself.
    """

    def __init__(self, location: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(params)
        addresses = [location] if isinstance(location, str) else location
        self._shards = [Shard(address, params) for address in addresses]

    def _shard_of(self, key: str) -> Shard:
        return self._shards[crc32(str(key).encode()) % len(self._shards)]

    def _try(self, call: Callable[[BaseCache], T], *, key: str, otherwise: T) -> T:
        try:
            return self._shard_of(key).ask(call)
        except Away:
            return call(caches["counts"]) if key.startswith(COUNTED) else otherwise

    def answers(self) -> bool:
        """Whether every Redis answers right now (for /readyz)."""
        try:
            for shard in self._shards:
                shard.redis.get("readyz")
        except FAILURES:
            return False
        return True

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return self._try(
            lambda cache: cache.add(key, value, timeout, version), key=key, otherwise=False
        )

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._try(lambda cache: cache.get(key, default, version), key=key, otherwise=default)

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._try(lambda cache: cache.set(key, value, timeout, version), key=key, otherwise=None)

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._try(lambda cache: cache.touch(key, timeout, version), key=key, otherwise=False)

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._try(lambda cache: cache.delete(key, version), key=key, otherwise=False))

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """As Django says, a key that is not there raises ValueError; so does one kept nowhere."""
        found = self._try(lambda cache: cache.incr(key, delta, version), key=key, otherwise=None)
        if found is None:
            raise ValueError(f"Key {key!r} not found")
        return found

    def _by_shard(self, keys: Iterable[str]) -> dict[Shard, list[str]]:
        found: dict[Shard, list[str]] = {}
        for key in keys:
            found.setdefault(self._shard_of(key), []).append(key)
        return found

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for shard, wanted in self._by_shard(keys).items():
            with suppress(Away):
                found |= shard.ask(partial(_get_many, keys=wanted, version=version))
        return found

    def set_many(
        self, data: dict[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        for shard, keys in self._by_shard(data).items():
            part = {key: data[key] for key in keys}
            with suppress(Away):
                shard.ask(partial(_set_many, data=part, timeout=timeout, version=version))
        return []

    def clear(self) -> None:
        """Clears Redis; what is counted in the database stays until it expires."""
        for shard in self._shards:
            with suppress(Away):
                shard.ask(lambda cache: cache.clear())

    def close(self, **kwargs: Any) -> None:
        for shard in self._shards:
            shard.redis.close(**kwargs)


def _get_many(cache: BaseCache, *, keys: list[str], version: int | None) -> dict[str, Any]:
    return cache.get_many(keys, version=version)


def _set_many(
    cache: BaseCache, *, data: dict[str, Any], timeout: Any, version: int | None
) -> list[Any]:
    return cache.set_many(data, timeout, version)
