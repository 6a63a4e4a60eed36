"""An authenticator app and a passkey for tests: real codes, real signatures."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client
from fido2.cose import ES256
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from accounts.models import User
from tests.accounts.helpers import sign_in
from tests.cast import PASSWORD

ADD_APP = "/accounts/2fa/totp/activate/"
ADD_PASSKEY = "/accounts/2fa/webauthn/add/"
ENTER = "/accounts/2fa/authenticate/"
STEP = 30


def code(secret: str, *, steps: int = 0) -> str:
    """What the app shows now, or ``steps`` of 30 seconds later."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // STEP + steps))


def confirm_password(client: Client) -> None:
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302


def add_app(client: Client) -> str:
    """Adds an app as a person does; returns the secret that its page shows."""
    confirm_password(client)
    page = client.get(ADD_APP).content.decode()
    [words] = re.findall(r"<strong>([A-Z2-7 ]{32,})</strong>", page)
    [sealed] = re.findall(r'name="sealed" value="([^"]+)"', page)
    secret = str(words).replace(" ", "")
    answer = client.post(ADD_APP, {"code": code(secret), "sealed": sealed})
    assert answer.status_code == 302, answer.content.decode()
    return secret


def sign_in_with_code(client: Client, user: User, typed: str) -> Any:
    assert sign_in(client, user.email, PASSWORD).headers["Location"] == ENTER
    return client.post(ENTER, {"code": typed})


class Passkey:
    """One key of one device."""

    origin = "https://testserver"

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.id = b"passkey-of-a-test"
        self._count = 0

    def _data(self, kind: str, challenge: str) -> CollectedClientData:
        return CollectedClientData.create(
            type=f"webauthn.{kind}", challenge=challenge, origin=self.origin
        )

    def created(self, options: dict[str, Any]) -> str:
        """The answer to `navigator.credentials.create`."""
        given = options["publicKey"]
        public = ES256.from_cryptography_key(self._key.public_key())  # type: ignore[no-untyped-call]
        credential = AttestedCredentialData.create(b"\0" * 16, self.id, public)
        flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV | AuthenticatorData.FLAG.AT
        data = AuthenticatorData.create(sha256(given["rp"]["id"].encode()), flags, 0, credential)
        return self._answer(
            clientDataJSON=bytes(self._data("create", given["challenge"])),
            attestationObject=bytes(AttestationObject.create("none", data, {})),
        )

    def shown(self, options: dict[str, Any]) -> str:
        """The answer to `navigator.credentials.get`."""
        given = options["publicKey"]
        self._count += 1
        flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV
        data = AuthenticatorData.create(sha256(given["rpId"].encode()), flags, self._count)
        client_data = self._data("get", given["challenge"])
        signed = bytes(data) + sha256(bytes(client_data))
        return self._answer(
            clientDataJSON=bytes(client_data),
            authenticatorData=bytes(data),
            signature=self._key.sign(signed, ec.ECDSA(hashes.SHA256())),
        )

    def _answer(self, **response: bytes) -> str:
        return json.dumps(
            {
                "id": websafe_encode(self.id),
                "rawId": websafe_encode(self.id),
                "type": "public-key",
                "response": {name: websafe_encode(value) for name, value in response.items()},
                "clientExtensionResults": {},
            }
        )


def options_on(page: str) -> dict[str, Any]:
    """What the page gives its script."""
    [found] = re.findall(r'<script id="passkey-options"[^>]*>(.*?)</script>', page, re.S)
    data: dict[str, Any] = json.loads(found)
    return dict(data.get("creation_options") or data["request_options"])


def add_passkey(client: Client, passkey: Passkey, name: str = "My phone") -> Any:
    confirm_password(client)
    options = options_on(client.get(ADD_PASSKEY).content.decode())
    return client.post(ADD_PASSKEY, {"name": name, "credential": passkey.created(options)})
