"""Who is signing in."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.http import HttpRequest

from accounts.models import User


def account_with(address: str) -> User | None:
    """The account with exactly this e-mail address, in one query whether there is one or not.

    Compared again in Python: to MySQL's collation josé@ and jose@ are the same, and a code for one
    person's account must never go to the other's mailbox.
    """
    address = address.lower()
    found = User.objects.filter(email=address).first()
    return found if found is not None and found.email == address else None


# The account that came along with the sign-in of the session (accounts.middleware.WhoAsks).
came_along: ContextVar[User | None] = ContextVar("came_along", default=None)


class ByAddress(AuthenticationBackend):
    """Signs in by e-mail address and password; hashes once for every attempt.

    allauth's own backend asks the database once more for an address that it does not know.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        address, password = credentials.get("email"), credentials.get("password")
        if not address or not password:
            return None
        user = account_with(address)
        if user is None:
            User().set_password(password)  # takes as long as a check
            return None
        if not user.check_password(password):
            return None
        if not self.user_can_authenticate(user):
            self._stash_user(user)  # allauth then shows the page for closed accounts
            return None
        return user

    def get_user(self, user_id: int) -> User | None:
        """The account of a session; without a query when it was read with its sign-in."""
        user = came_along.get()
        if user is not None and user.pk == user_id:
            return user if self.user_can_authenticate(user) else None
        found: User | None = super().get_user(user_id)
        return found
