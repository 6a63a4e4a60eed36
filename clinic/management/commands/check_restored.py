from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from accounts.models import AuditEvent, Patient
from appointments.models import Appointment
from chat.models import Event


class Command(BaseCommand):
    help = (
        "After a restore drill: looks at the database that was restored beside the site's own, "
        "with the checks of visits and audit trail. Reads only; exits 1 when one finds faults."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--database", default="clinic_drill", help="name of the restored one")

    def handle(self, *args: Any, database: str, **options: Any) -> None:
        connection.close()
        connection.settings_dict["NAME"] = database
        for model in (Patient, Appointment, Event, AuditEvent):
            self.stdout.write(
                f"{model._meta.verbose_name_plural}: {model._default_manager.count():,}"
            )
        if Patient.objects.exists() and not AuditEvent.objects.exists():
            raise CommandError("The restored audit trail is empty: this is no backup of this site.")
        call_command("check_bookings", stdout=self.stdout)
        call_command("check_audit", stdout=self.stdout, stderr=self.stderr)
        self.stdout.write("The restored database is sound.")
