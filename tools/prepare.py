"""Brings the embedded database up to date: tables and sample data, each only when missing.

Runs inside the project's environment; one start of Django keeps the second `make run` quick.
"""

from __future__ import annotations

import sys

import django
from django.core.exceptions import ImproperlyConfigured


def main() -> None:
    try:
        django.setup()
    except ImproperlyConfigured as error:
        sys.exit(f"Clinic cannot start: {error}")

    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        print("Making the tables …", flush=True)
        call_command("migrate", interactive=False, verbosity=0)
    if not get_user_model().objects.exists():
        print("Making sample data …", flush=True)
        call_command("sample_data")


if __name__ == "__main__":
    main()
