"""`manage.py check_bookings`: is any time given twice, any hold missing or left over?"""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from appointments.checker import find_faults
from appointments.models import Appointment


class Command(BaseCommand):
    help = "Looks for overlapping visits, visits without holds and holds without a visit."

    def handle(self, *args: Any, **options: Any) -> None:
        faults = 0
        for fault in find_faults(timezone.now()):
            faults += 1
            self.stdout.write(f"{fault.kind}: {fault.what}")
        visits = Appointment.objects.active().count()
        if faults:
            raise CommandError(f"{faults} faults in {visits} visits.", returncode=1)
        self.stdout.write(f"No faults in {visits} visits.")
