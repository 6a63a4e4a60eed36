"""What every page of somebody signed in shows about messages: how many conversations have news."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from chat.unread import unread_conversations


def unread(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"unread_messages": 0}
    # Asked by the header only, so that what has none (a fragment, a mail) does not pay for it.
    return {"unread_messages": SimpleLazyObject(lambda: unread_conversations(user))}
