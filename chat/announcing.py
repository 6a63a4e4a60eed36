"""Tells the people of a conversation what was committed, at once where that is possible.

Whoever misses it finds it by its number later, so a failure here fails nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from chat.log import Entry


def after_commit(entry: Entry) -> None:
    """Publishes ``entry`` when the surrounding transaction is committed."""
    transaction.on_commit(lambda: publish_now([entry]), robust=True)


def publish_now(entries: list[Entry]) -> bool:
    """Publishes what is committed; whether it went out live."""
    from chat.publishing import publish

    return publish(entries)


def look_again_after_commit(users: Iterable[int]) -> None:
    """Lets the sockets of these people look at once at what they may see."""
    from chat.publishing import access_changed

    known = list(users)
    transaction.on_commit(lambda: access_changed(known), robust=True)
