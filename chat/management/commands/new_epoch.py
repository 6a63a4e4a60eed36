"""`manage.py new_epoch`: tells every open page that the database was restored."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.core.management.base import BaseCommand

from chat.sight import renew_epoch


class Command(BaseCommand):
    help = (
        "Run after a restore, before the site starts: open pages read their conversations anew, "
        "and nothing that was computed from the lost rows stays in the cache."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        epoch = renew_epoch()
        cache.clear()
        self.stdout.write(f"The database has the epoch {epoch} now, and the cache is empty.")
