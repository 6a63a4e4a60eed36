from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from clinic.grants import GrantsFailed, grant_tables


class Command(BaseCommand):
    help = (
        "Gives the user of DATABASE_URL its rights on each table: rows only, and of the audit "
        "trail adding only. Runs as the user of MIGRATE_DATABASE_URL; can be repeated."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if "app" not in settings.DATABASES:
            raise GrantsFailed(
                "MIGRATE_DATABASE_URL is not set, so the site's own user is the one who migrates, "
                "and could change the audit trail. Make a second user and set "
                "MIGRATE_DATABASE_URL=mysql://USER:PASSWORD@HOST:3306/NAME."
            )
        if connections["default"].vendor != "mysql":
            self.stdout.write("SQLite knows no users: nothing to grant.")
            return
        count = grant_tables(
            admin=connections["default"],
            app=connections["app"],
            append_only=settings.AUDIT_TABLES,
        )
        self.stdout.write(
            f"Rights set on {count} tables; only added to: {', '.join(settings.AUDIT_TABLES)}."
        )
