"""A query of the ORM that is built once and asked many times with other keys.

Building a query costs Django more than MariaDB needs to answer it: a batch of messages spent most
of its time there. Here the SQL of a query set is kept for each number of keys, rounded up to powers
of two so that there are few; the query set stays the one place that says what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

MOST_KEYS = 256
# Stands for the moment that is asked about; no row knows this date.
MOMENT = datetime(1871, 3, 14, 15, 9, 26, tzinfo=UTC)

Key = int | UUID | str


class Compiled:
    """``build`` makes the query set, a ``values_list``, of some keys and a moment.

    What it compares with the keys or the moment must be these values as they are. Rows come as the
    database gives them: `as_uuid` and `as_moment` read the two types that differ between databases.
    """

    def __init__(
        self,
        build: Callable[[Sequence[Any], datetime], QuerySet[Any, Any]],
        *,
        kind: type[Key] = int,
    ) -> None:
        self._build = build
        self._kind = kind
        self._kept: dict[tuple[str, int], tuple[str, list[Any]]] = {}

    def rows(self, keys: Sequence[Key], now: datetime) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), MOST_KEYS):
            yield from self._some(keys[start : start + MOST_KEYS], now)

    def _some(self, keys: Sequence[Key], now: datetime) -> Sequence[tuple[Any, ...]]:
        size = 1 << (len(keys) - 1).bit_length()
        place = (connection.alias + connection.vendor, size)
        kept = self._kept.get(place)
        if kept is None:
            kept = self._kept[place] = self._compile(size)
        sql, holes = kept
        last = len(keys) - 1
        given = [_parameter(key) for key in keys]
        moment = connection.ops.adapt_datetimefield_value(now)
        with connection.cursor() as cursor:
            cursor.execute(
                sql,
                [
                    given[min(hole, last)]  # the last key fills what is left of the power of two
                    if type(hole) is int
                    else moment
                    if hole is MOMENT
                    else hole[0]
                    for hole in holes
                ],
            )
            return cursor.fetchall()

    def _compile(self, size: int) -> tuple[str, list[Any]]:
        """The SQL, and of each parameter the number of its key, `MOMENT`, or its value."""
        # Keys that are no row's, so that they are found again among the parameters.
        marks = [_mark(self._kind, number) for number in range(size)]
        query = self._build(marks, MOMENT).query
        sql, parameters = query.get_compiler(connection=connection).as_sql()
        where = dict(zip((str(_parameter(mark)) for mark in marks), count(), strict=False))
        moment = str(connection.ops.adapt_datetimefield_value(MOMENT))
        holes = [
            where.get(str(value), MOMENT if str(value) == moment else (value,))
            for value in parameters
        ]
        return sql, holes


def _mark(kind: type[Key], number: int) -> Any:
    if kind is UUID:
        return UUID(int=(7 << 100) + number)
    return f"no key {number}" if kind is str else -(10**15) - number


def _parameter(key: Key) -> Any:
    if isinstance(key, UUID):
        return key if connection.features.has_native_uuid_field else key.hex
    return key


def as_uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def as_moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
