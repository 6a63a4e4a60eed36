"""The cache on Redis, made so that Redis may go away at any moment.

While it is away, nothing is cached, and what is *counted* (sign-in limits and the like) goes to
the database: a limit that vanished with Redis would invite whoever can stop Redis, and one that
refused everybody would close the clinic. After a failure Redis is left alone for two seconds, so
that a host that does not answer costs one timeout and not one per key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

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


class RedisWithFallback(BaseCache):
    """Redis; without it, counts in the cache "counts" and nothing else."""

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._redis: RedisCache[Any] = RedisCache(location, params)
        self._rest_until = 0.0

    def _try(self, call: Callable[[BaseCache], T], *, key: str, otherwise: T) -> T:
        if time.monotonic() >= self._rest_until:
            try:
                return call(self._redis)
            except FAILURES as error:
                self._rest_until = time.monotonic() + REST_SECONDS
                log.warning("redis_unavailable", error=type(error).__name__)
        return call(caches["counts"]) if key.startswith(COUNTED) else otherwise

    def answers(self) -> bool:
        """Whether Redis itself answers right now (for /readyz)."""
        try:
            self._redis.get("readyz")
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

    def get_many(self, keys: Any, version: int | None = None) -> dict[str, Any]:
        wanted = list(keys)
        return self._try(
            lambda cache: cache.get_many(wanted, version), key="", otherwise=dict[str, Any]()
        )

    def set_many(
        self, data: dict[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[str]:
        self._try(lambda cache: cache.set_many(data, timeout, version), key="", otherwise=[])
        return []

    def clear(self) -> None:
        """Clears Redis; what is counted in the database stays until it expires."""
        self._try(lambda cache: cache.clear(), key="", otherwise=None)

    def close(self, **kwargs: Any) -> None:
        self._redis.close(**kwargs)
