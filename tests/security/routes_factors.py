"""Rows of the second factor's pages and of the list of sessions: everybody's own, nobody else's."""

from __future__ import annotations

from collections.abc import Callable

from accounts.models import SignIn
from tests.security.row import NOBODY, Row
from tests.security.world import World

SIGNED_IN = "302 200 200 200 200 200 200 200"
NO_FORM = "302 405 405 405 405 405 405 405"
NOTHING_THERE = "302 404 404 404 404 404 404 404"


def own(part: str, get: str, post: str, *, key: bool = False) -> Row:
    """Where the password is asked again first, everybody gets 302: nobody typed it just now."""
    route = f"accounts/2fa/{part}"
    return Row(route, get, post, address=f"/{route}".replace("<int:pk>", "1") if key else "")


def sign_in(world: World) -> str:
    """Alice's, in the browser in which she booked."""
    row = SignIn.objects.filter(user=world.users["alice"]).earliest("pk")
    return f"/accounts/sessions/{row.public_id}/end/"


def second_factor(who: str) -> Callable[[World], str]:
    return lambda world: f"/admin/accounts/{world.users[who].public_id}/second-factor/"


FACTORS = [
    # Only Alice is signed in somewhere else as well.
    Row("accounts/sessions/", SIGNED_IN, "302", changes="alice"),
    Row(
        "accounts/sessions/<uuid:public_id>/end/",
        "405",
        "302 302 404 404 404 404 404 404",
        address=sign_in,
        changes="alice",
        unknown=f"/accounts/sessions/{NOBODY}/end/",
    ),
    own("", SIGNED_IN, NO_FORM),
    own("authenticate/", "302", "302"),
    own("reauthenticate/", "302", "302"),
    own("totp/activate/", "302", "302"),
    own("totp/deactivate/", NOTHING_THERE, NOTHING_THERE),
    own("recovery-codes/", "302", NO_FORM),
    own("recovery-codes/generate/", "302", "302"),
    own("recovery-codes/download/", "302", "405"),
    own("webauthn/", SIGNED_IN, NO_FORM),
    own("webauthn/add/", "302", "302"),
    own("webauthn/reauthenticate/", "302", "302"),
    own("webauthn/keys/<int:pk>/remove/", "302", "302", key=True),
    own("webauthn/keys/<int:pk>/edit/", "302", "302", key=True),
    Row(
        "admin/accounts/<uuid:public_id>/second-factor/",
        "302 302 302 302 404 404 404 302",
        "302 302 302 302 404 404 404 302",
        address=second_factor("reception"),
        form={"reason": "Came to my desk with the badge"},
    ),
]
