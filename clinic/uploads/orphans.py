"""Removes stored files that no row names any more.

A file outside the database is removed after its row's transaction, so a server that dies between
the two, or a store that is away just then, leaves bytes that nobody finds. Files of the database go
with their rows' transaction and leave nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import structlog
from django.apps import apps
from django.db.models import Q
from django.utils import timezone

from clinic.logs import type_name
from clinic.uploads import keeping
from clinic.uploads.keeping import KEEP_UNFINISHED, REMOVED_AT_ONCE

FIELDS = {"stored_as", "thumbnail_as"}  # of every model that has files
AT_ONCE = 200

log = structlog.get_logger("clinic.uploads")


def remove_orphans(now: datetime | None = None) -> int:
    """Removes files of more than a day that no row names; returns how many."""
    names_before = getattr(keeping.uploads(), "names_before", None)
    if names_before is None:
        return 0
    removed = 0
    try:
        old = iter(names_before((now or timezone.now()) - KEEP_UNFINISHED))
        while removed < REMOVED_AT_ONCE and (names := list(islice(old, AT_ONCE))):
            for name in set(names) - set(_known(names)):
                keeping.uploads().delete(name)
                removed += 1
    except OSError as error:
        log.warning("orphans_not_removed", error=type_name(error))  # the next run goes on
    return removed


def _known(names: list[str]) -> Iterator[str]:
    for model in apps.get_models():
        if FIELDS.issubset(field.name for field in model._meta.get_fields()):
            rows = model._base_manager.filter(Q(stored_as__in=names) | Q(thumbnail_as__in=names))
            for pair in rows.values_list("stored_as", "thumbnail_as"):
                yield from pair
