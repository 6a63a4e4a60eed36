"""Takes the second factor of an account away, for when no other administrator can."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import second_factor
from accounts.models import User


class Command(BaseCommand):
    help = (
        "Removes all second factors of an account, signs it out everywhere, mails its owner and "
        "writes it into the audit trail. Be sure that it is this person who asks."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--reason", required=True, help="how you know who asks")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=options["email"].lower()).first()
        if user is None:
            raise CommandError("There is no account with this address.")
        try:
            second_factor.reset(user=user, by=None, reason=options["reason"], now=timezone.now())
        except second_factor.Refused as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write("Done. The next sign-in asks for a new second factor.")
