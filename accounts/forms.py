"""The forms of signing up, signing in, and keeping one's own facts."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.internal.flows.signup import prevent_enumeration
from allauth.account.models import EmailAddress
from django import forms
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.backends import account_with
from accounts.fields import BirthDateField, NameField, PhoneField, TimeZoneField
from accounts.languages import SPOKEN_LANGUAGES
from accounts.models import Relation, Role, User
from accounts.signup import AddressTaken, register

# allauth looks a new account up four times before it mails the code; undoing a savepoint takes one
# statement more than keeping it. A test compares both ways statement by statement.
QUESTIONS_ABOUT_NEW_ACCOUNT = 3

PASSWORD_HINT = _("At least 8 characters. Several words with spaces work well.")


def _terms_label() -> str:
    return format_html(
        gettext(
            'I accept the <a href="{}">terms of use</a> and the <a href="{}">privacy notice</a>'
        ),
        reverse("terms"),
        reverse("privacy"),
    )


def tidy(field: forms.Field, *, label: Any, hint: Any = "", missing: Any = None) -> None:
    """Gives a field that allauth made our wording; a placeholder is no label."""
    field.label, field.help_text = label, hint
    field.widget.attrs.pop("placeholder", None)
    if missing is not None:
        field.error_messages["required"] = missing


class SignInForm(allauth_forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(
            self.fields["login"],
            label=_("E-mail address"),
            missing=_("Enter your e-mail address."),
        )
        self.fields["login"].widget.attrs["autocomplete"] = "username"
        tidy(self.fields["password"], label=_("Password"), missing=_("Enter your password."))


class AccountSignupForm(allauth_forms.SignupForm):
    """The part of signing up that patients and doctors share.

    A subclass sets ``role``, adds fields, lists all in ``field_order``, and stores what else the
    account needs in `complete`. The flow (mailed code, `next`, no enumeration) is allauth's, run by
    `accounts.views.AccountSignupView`.

    For an address that has an account already the same work is done and rolled back, so that
    neither the page nor its time tells; hence `complete` may only write to the database.
    """

    role = Role.PATIENT

    name = NameField(help_text=_("As on your insurance card or ID"))
    phone = PhoneField(required=False)
    accept = forms.BooleanField(
        label=lazy(_terms_label, str)(),
        error_messages={"required": _("Accept the terms and the privacy notice to sign up.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(
            self.fields["email"],
            label=_("E-mail address"),
            hint=_("We send a code to it, and later what concerns your visits"),
            missing=_("Enter your e-mail address."),
        )
        tidy(
            self.fields["password1"],
            label=_("Password"),
            hint=PASSWORD_HINT,
            missing=_("Choose a password."),
        )

    def clean(self) -> dict[str, Any]:
        facts: dict[str, Any] = super().clean()
        if "password1" in facts:  # allauth compares it with the address only
            owner = User(email=facts.get("email", ""), name=facts.get("name", ""))
            try:
                validate_password(facts["password1"], owner)
            except forms.ValidationError as error:
                self.add_error("password1", error)
        return facts

    def complete(self, user: User, now: datetime) -> None:
        """Stores what else belongs to the new account, in the same transaction."""

    def facts(self) -> dict[str, Any]:
        """What `accounts.signup.register` takes from this form besides the address."""
        return {
            "password": self.cleaned_data["password1"],
            "name": self.cleaned_data["name"],
            "phone": self.cleaned_data["phone"],
            "role": self.role,
        }

    def _store(self, email: str, now: datetime) -> User:
        user = register(email=email, now=now, **self.facts())
        self.complete(user, now)
        return user

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            return self._store(self.cleaned_data["email"], timezone.now())

    def _rehearse(self) -> None:
        """The work of signing up, with an address nobody has, undone at its end."""
        with transaction.atomic():
            user = self._store(f"{secrets.token_hex(16)}@example.invalid", timezone.now())
            transaction.set_rollback(True)
        for _question in range(QUESTIONS_ABOUT_NEW_ACCOUNT):
            EmailAddress.objects.filter(user_id=user.pk, email=user.email).exists()

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        if self.account_already_exists:
            self._rehearse()
        else:
            try:
                return self.save(request), None
            except AddressTaken:  # by somebody who was a moment faster
                pass
        return None, prevent_enumeration(request, email=self.cleaned_data["email"])


class PatientSignupForm(AccountSignupForm):
    birth_date = BirthDateField()
    time_zone = TimeZoneField(
        label=_("Your time zone"),
        help_text=_("If it is not the clinic's, we show visits in both"),
    )

    field_order = ["name", "birth_date", "email", "phone", "time_zone", "password1", "accept"]

    def facts(self) -> dict[str, Any]:
        return super().facts() | {
            "birth_date": self.cleaned_data["birth_date"],
            "time_zone": self.cleaned_data["time_zone"],
        }


class ChangePasswordForm(allauth_forms.ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["password2"]
        tidy(
            self.fields["oldpassword"],
            label=_("Current password"),
            missing=_("Enter your current password."),
        )
        tidy(
            self.fields["password1"],
            label=_("New password"),
            hint=PASSWORD_HINT,
            missing=_("Choose a new password."),
        )


class NewPasswordForm(allauth_forms.ResetPasswordKeyForm):
    """After the mailed code: the new password, once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["password2"]
        tidy(
            self.fields["password1"],
            label=_("New password"),
            hint=PASSWORD_HINT,
            missing=_("Choose a new password."),
        )


class ResetPasswordForm(allauth_forms.ResetPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(
            self.fields["email"],
            label=_("E-mail address"),
            missing=_("Enter your e-mail address."),
        )

    def clean_email(self) -> str:
        address = str(self.cleaned_data["email"]).lower()
        user = account_with(address)
        self.users = [user] if user is not None and user.is_active else []
        return address


class _CodeWording:
    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(
            self.fields["code"],
            label=_("Code"),
            hint=_("From the mail we have just sent. Upper or lower case does not matter."),
            missing=_("Enter the code from the mail."),
        )


class ConfirmAddressForm(_CodeWording, allauth_forms.ConfirmEmailVerificationCodeForm):
    pass


class ConfirmResetForm(_CodeWording, allauth_forms.ConfirmPasswordResetCodeForm):
    pass


class NewAddressForm(allauth_forms.AddEmailForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(
            self.fields["email"],
            label=_("New e-mail address"),
            hint=_("We send a code to it. Until you enter the code, the old one stays."),
            missing=_("Enter the new e-mail address."),
        )


class ReauthenticateForm(allauth_forms.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(self.fields["password"], label=_("Password"), missing=_("Enter your password."))


class ProfileForm(forms.Form):
    name = NameField()
    phone = PhoneField(required=False)
    time_zone = TimeZoneField(
        label=_("Your time zone"),
        help_text=_("If it is not the clinic's, we show visits in both"),
    )
    language = forms.ChoiceField(label=_("Language you prefer in visits"), choices=SPOKEN_LANGUAGES)


class PersonForm(forms.Form):
    """Somebody in the user's care who has no chart here yet."""

    name = NameField(help_text=_("As on the insurance card or ID"))
    birth_date = BirthDateField()
    relation = forms.ChoiceField(
        label=_("Who is it?"),
        choices=Relation.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Choose who it is.")},
    )


class LinkChartForm(forms.Form):
    code = forms.CharField(
        label=_("Code from reception"),
        max_length=40,
        help_text=_("10 letters and numbers. Spaces and dashes do not matter."),
        error_messages={"required": _("Enter the code that reception gave you.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class TermsForm(forms.Form):
    accept = forms.BooleanField(
        label=lazy(_terms_label, str)(),
        error_messages={"required": _("Accept the terms and the privacy notice to go on.")},
    )
