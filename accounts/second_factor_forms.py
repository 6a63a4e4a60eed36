"""The forms of the second factor: allauth's, in our words, with what it leaves to chance closed."""

from __future__ import annotations

from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as base_forms
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp_forms
from allauth.mfa.totp.internal.auth import generate_totp_secret
from allauth.mfa.webauthn import forms as webauthn_forms
from cryptography.fernet import InvalidToken
from django import forms
from django.core import signing
from django.utils.translation import gettext_lazy as _

from accounts import second_factor
from accounts.forms import tidy

# What a made-up passkey answer can break in the parser; allauth catches some of them.
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)

SEAL = "accounts.second_factor.secret"
SEALED_FOR = 3600  # seconds that the page with the QR code may stay open


def _tidy_code(field: forms.Field, *, label: Any, hint: Any) -> None:
    tidy(field, label=label, hint=hint, missing=_("Enter the code."))
    field.widget.attrs |= {"autocomplete": "one-time-code", "spellcheck": "false"}


class _OneCode(base_forms.BaseAuthenticateForm):
    """A code from the app or a recovery code; each works once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _tidy_code(
            self.fields["code"],
            label=_("Code"),
            hint=_("6 digits from your authenticator app, or one of your recovery codes"),
        )

    def clean_code(self) -> str:
        try:
            code = str(super().clean_code())
        except InvalidToken as error:  # stored with a key nobody has any more
            raise get_adapter().validation_error("incorrect_code") from error
        is_app = self.authenticator.type == Authenticator.Type.TOTP
        if is_app and not second_factor.use_up(self.authenticator, code):
            raise get_adapter().validation_error("incorrect_code")
        return code


class CodeForm(_OneCode, base_forms.AuthenticateForm):
    pass


class CodeAgainForm(_OneCode, base_forms.ReauthenticateForm):
    pass


class AddAppForm(totp_forms.ActivateTOTPForm):
    """Adds an authenticator app. The new secret travels in the form, sealed for its owner, so that
    showing the page writes nothing."""

    sealed = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.user = kwargs.pop("user")
        forms.Form.__init__(self, *args, **kwargs)  # allauth's own keeps the secret in the session
        _tidy_code(
            self.fields["code"],
            label=_("Code from the app"),
            hint=_("6 digits. A new code comes every 30 seconds."),
        )
        sent = self._sent()
        self.is_stale = self.is_bound and sent is None
        self.secret = sent or generate_totp_secret()
        sealed = signing.dumps([self.user.pk, self.secret], salt=SEAL)
        self.fields["sealed"].initial = sealed
        if self.is_stale:
            self.data: Any = self.data.copy()
            self.data["sealed"] = sealed

    def _sent(self) -> str | None:
        if not self.is_bound:
            return None
        try:
            owner, secret = signing.loads(
                self.data.get("sealed", ""), salt=SEAL, max_age=SEALED_FOR
            )
        except (signing.BadSignature, ValueError, TypeError):
            return None
        return str(secret) if owner == self.user.pk else None

    def clean_code(self) -> str:
        if self.is_stale:
            raise forms.ValidationError(
                _("The page was open too long. Remove the entry in your app and scan the new code.")
            )
        return str(super().clean_code())


class AddPasskeyForm(webauthn_forms.AddWebAuthnForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        tidy(
            self.fields["name"],
            label=_("A name for it"),
            hint=_("So that you can tell your passkeys apart, for example “My phone”"),
        )
        name = self.fields["name"]
        name.widget.attrs["maxlength"] = 60
        self.fields["credential"].required = True

    def clean_name(self) -> str:
        return str(super().clean_name())[:60]

    def clean(self) -> dict[str, Any]:
        try:
            return dict(super().clean())
        except forms.ValidationError:
            raise
        except MALFORMED as error:
            raise get_adapter().validation_error("incorrect_code") from error


class RenamePasskeyForm(webauthn_forms.EditWebAuthnForm):
    name = forms.CharField(
        label=_("Name"), max_length=60, error_messages={"required": _("Enter a name.")}
    )


class _CarefulPasskey(webauthn_forms.AuthenticateWebAuthnForm):
    def clean_credential(self) -> Authenticator:
        try:
            return super().clean_credential()
        except forms.ValidationError:
            raise
        except MALFORMED as error:
            raise get_adapter().validation_error("incorrect_code") from error


class PasskeyForm(_CarefulPasskey):
    pass


class PasskeyAgainForm(_CarefulPasskey, webauthn_forms.ReauthenticateWebAuthnForm):
    pass
