"""Invented clinics, doctors, patients and visits, to try the product with."""

from __future__ import annotations

import argparse
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import User
from appointments.models import Appointment
from appointments.sampling.sizes import ImpossibleSizes, Sizes
from appointments.sampling.store import PASSWORD, is_there, make_sample_data
from appointments.sampling.visits import NoRoomError
from clinic.directory.models import Doctor
from clinic.directory.reference import load_zip_codes
from clinic.progress import Progress

SHOWN_FROM = 5_000  # visits; fewer take a second or two


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} on")
        return int(text)

    return number


class Command(BaseCommand):
    help = (
        "Makes sample data: invented doctors, patients and visits relative to today. The same for "
        "the same numbers, seed and day. Does nothing when there is sample data already."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        sizes = Sizes()
        parser.add_argument("--doctors", type=_at_least(1), default=sizes.doctors)
        parser.add_argument(
            "--patients",
            type=_at_least(1),
            default=None,
            help=f"default {sizes.patients}, or one for every 20 appointments if that is more",
        )
        parser.add_argument("--appointments", type=_at_least(0), default=sizes.appointments)
        parser.add_argument("--seed", type=int, default=sizes.seed)
        parser.add_argument(
            "--yes-this-is-not-real",
            action="store_true",
            help="make sample data in production mode too, for example for a load test",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION and not options["yes_this_is_not_real"]:
            raise CommandError(
                "This is production mode (DATABASE_URL is set, DEBUG is not). Sample data has "
                "sign-ins with a known password and must not be mixed with real patients. If this "
                "site is for trying things out, add --yes-this-is-not-real."
            )
        if is_there():
            self.stdout.write(
                f"There is sample data already: {Doctor.objects.filter(is_sample=True).count():,} "
                f"doctors and {Appointment.objects.count():,} visits. Nothing was changed; to make "
                "it anew, begin with an empty database."
            )
            self._say_sign_ins()
            return
        appointments: int = options["appointments"]
        sizes = Sizes(
            doctors=options["doctors"],
            patients=options["patients"] or max(Sizes().patients, appointments // 20),
            appointments=appointments,
            seed=options["seed"],
        )
        clash = User.objects.filter(email__in=["admin@example.org", "patient1@example.org"])
        if clash.exists():
            raise CommandError(
                "There is an account under example.org with the address of a sample sign-in. "
                "Sample data needs a database without it."
            )
        self._make(sizes)
        self._say_sign_ins()

    def _make(self, sizes: Sizes) -> None:
        progress = Progress(self.stdout, "Visits", sizes.appointments)

        def report(what: str, done: int, total: int) -> None:
            if total >= SHOWN_FROM:
                progress.done(done)

        load_zip_codes()  # the search by distance needs them
        try:
            make_sample_data(sizes=sizes, now=timezone.now(), report=report)
        except ImpossibleSizes as error:
            raise CommandError(str(error)) from error
        except NoRoomError as error:
            raise CommandError(
                "That many visits do not fit into the doctors' hours. Ask for more --doctors and "
                "--patients, or fewer --appointments. Nothing was stored."
            ) from error
        if sizes.appointments >= SHOWN_FROM:
            progress.finish()
        self.stdout.write(
            f"Made {sizes.doctors:,} doctors (and 2 who wait for approval), {sizes.patients:,} "
            f"patients and {sizes.appointments:,} visits. All are invented. Sample visits have no "
            "rows in the audit trail, since nobody booked them."
        )

    def _say_sign_ins(self) -> None:
        doctors = User.objects.filter(email__regex=r"^doctor[0-9]+@example").count()
        patients = User.objects.filter(email__regex=r"^patient[0-9]+@example").count()
        self.stdout.write(
            f"Sign in as patient1@example.org (to patient{patients}), doctor1@example.org (to "
            f"doctor{doctors}), reception@example.org or admin@example.org with the password "
            f"{PASSWORD}"
        )
