from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts.models import User
from clinic.links import absolute


class Command(BaseCommand):
    help = (
        "Makes the first administrator, without a password, and sends a mail to that address that "
        "says how to choose one. Can be repeated: an administrator who exists gets the mail again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        from allauth.account.models import EmailAddress

        email = User.objects.normalize_email(email).lower()
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is not an e-mail address.") from error
        with transaction.atomic():
            user = User.objects.filter(email=email).first()
            if user is None:
                user = User.objects.create_superuser(email, None, name=name)
                self.stdout.write(f"{email} is an administrator now.")
            elif not (user.is_superuser and user.is_active):
                raise CommandError(
                    f"{email} has an account that is no administrator's. Take another address, or "
                    "let an administrator change that account."
                )
            EmailAddress.objects.update_or_create(
                user=user, email=email, defaults={"verified": True, "primary": True}
            )
        try:
            send_mail(
                f"{settings.CLINIC_NAME}: your administrator account",
                "You are an administrator of this site. Choose your password here:\n\n"
                f"{absolute('/accounts/password/reset/')}\n\n"
                "This mail also shows that the site can send mails.\n",
                None,
                [email],
            )
        except OSError as error:
            raise CommandError(
                f"The account is there, but the mail could not be sent ({type(error).__name__}). "
                "Check EMAIL_URL and run this command again."
            ) from error
        self.stdout.write("A mail is on its way; choose the password by the link in it.")
