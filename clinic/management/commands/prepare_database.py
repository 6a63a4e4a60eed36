from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DataError, IntegrityError, connection
from django.db import Error as DatabaseError
from django.db.migrations.executor import MigrationExecutor

from clinic import env, lost
from clinic.directory.models import Doctor

LOCK = "clinic-prepare-database"
WAIT_SECONDS = 120
LOCK_SECONDS = 1800


def what_failed(error: DatabaseError) -> str:
    """Names the migration and the database's reason, unless that could quote somebody's data."""
    code = str(error.args[0]) if error.args else type(error).__name__
    if len(error.args) > 1 and not isinstance(error, IntegrityError | DataError):
        code += f": {error.args[1]}"
    try:
        executor = MigrationExecutor(connection)
        (first, _), *_ = executor.migration_plan(executor.loader.graph.leaf_nodes())
        failed = f"The migration {first.app_label}.{first.name}"
    except DatabaseError:  # the server is away, which `code` says
        failed = "A migration"
    return (
        f"{failed} failed (error {code}). Those before it are done and stay, and the release that "
        "runs works with them. MySQL also keeps what this one did before it failed: look at what "
        "it changes, put it right, and run this again."
    )


class Command(BaseCommand):
    help = (
        "Brings the database to this release: waits for it, takes a lock, so that of several at "
        "once one does the work, migrates, loads reference data and sets rights. Can be repeated. "
        "SAMPLE_DATA=1 fills an empty database with invented doctors, patients and visits."
    )
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--wait", type=int, default=WAIT_SECONDS, help="Seconds to wait for the database."
        )
        parser.add_argument(
            "--new-database",
            action="store_true",
            help="Begin with an empty database although there are backups of one.",
        )

    def handle(self, *args: Any, wait: int, new_database: bool, **options: Any) -> None:
        self.wait_for_database(wait)
        with self.alone():
            if not new_database and (reason := lost.why_not_to_migrate()):
                raise CommandError(reason)
            try:
                call_command("migrate", interactive=False, verbosity=1, stdout=self.stdout)
            except DatabaseError as error:
                raise CommandError(what_failed(error)) from error
            call_command("load_reference_data", stdout=self.stdout)
            if env.flag("SAMPLE_DATA", False) and not Doctor.objects.exists():
                call_command("sample_data", "--yes-this-is-not-real", stdout=self.stdout)
            if "app" in settings.DATABASES:
                call_command("database_grants", stdout=self.stdout)
        self.stdout.write("The database is ready for this release.")

    def wait_for_database(self, seconds: int) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                connection.ensure_connection()
            except DatabaseError as error:
                if time.monotonic() > deadline:
                    code = error.args[0] if error.args else type(error).__name__
                    raise CommandError(
                        f"The database did not answer within {seconds} s (error {code}). Look "
                        "whether it runs and whether MIGRATE_DATABASE_URL names its host, user "
                        "and password. Nothing was changed."
                    ) from error
                connection.close()
                time.sleep(1)
            else:
                return

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A named lock of the server: it ends with the connection, also when this is killed."""
        if connection.vendor != "mysql":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", [LOCK])
            if cursor.fetchone()[0] != 1:
                self.stdout.write("Another one prepares the database; waiting for it …")
                cursor.execute("SELECT GET_LOCK(%s, %s)", [LOCK, LOCK_SECONDS])
                if cursor.fetchone()[0] != 1:
                    raise CommandError(
                        f"Somebody else has been preparing the database for {LOCK_SECONDS} s. See "
                        "what it does (SHOW PROCESSLIST), end it, and start this again."
                    )
        try:
            yield
        finally:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT RELEASE_LOCK(%s)", [LOCK])
            except DatabaseError:  # the lock went with the connection
                connection.close()
