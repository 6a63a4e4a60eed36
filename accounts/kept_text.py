"""What was typed into a page's form that was sent after its sign-in had ended.

Guarantee: the text is lost to nobody but its owner, and shown to nobody else. It stays on the
server, in a place of its own with a random name that only the browser's session knows, for an hour
at most; never in an address or a cookie. Only forms that registered themselves are kept, only with
the page's own token (the CSRF check stands before), and only when the form's owner is known from
what the address names: so nobody can fill the place with words of their own choosing about
something they do not know. It is given back on the same page to the same person, as text to look
at, never as something already saved.

Pages with their script lose nothing in the first place (`static/js/draft.js`); this is for those
without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils import timezone

LASTS = timedelta(hours=1)
PLACE = "kept_text"  # in the session: the name of the place
LONGEST = 30_000  # characters of one field; forms take less

# The key of the account to which a form belongs, from the parts of its address.
OwnerOf = Callable[..., int | None]


@dataclass(frozen=True)
class KeptForm:
    owner_of: OwnerOf
    fields: tuple[str, ...]


_forms: dict[str, KeptForm] = {}


def keep_form(view_name: str, *, owner_of: OwnerOf, fields: tuple[str, ...]) -> None:
    """Registers a form, by the name of its address, whose ``fields`` are kept, the text first."""
    _forms[view_name] = KeptForm(owner_of, fields)


def is_kept_form(request: HttpRequest) -> bool:
    """Whether this is such a form, sent by a person and not by a script."""
    if request.method != "POST" or request.headers.get("Accept") == "application/json":
        return False
    try:
        return resolve(request.path_info).view_name in _forms
    except Resolver404:
        return False


def keep(request: HttpRequest) -> bool:
    """Keeps what was typed, for a request that nobody is signed in for; whether it did."""
    match = request.resolver_match
    form = _forms.get(match.view_name) if match is not None else None
    if match is None or form is None or request.method != "POST":
        return False
    owner = form.owner_of(**match.kwargs)
    text = {name: request.POST.get(name, "")[:LONGEST] for name in form.fields}
    if owner is None or not text[form.fields[0]].strip():
        return False
    place = _store()()
    place["kept"] = {
        "owner": owner,
        "path": request.path_info,
        "text": text,
        "until": (timezone.now() + LASTS).timestamp(),
    }
    place.set_expiry(LASTS)
    place.save()
    request.session[PLACE] = place.session_key
    return True


def kept_for(request: HttpRequest) -> Mapping[str, str]:
    """What whoever is signed in typed into this page's form before; empty for nothing."""
    name = request.session.get(PLACE)
    if not isinstance(name, str):
        return {}
    kept = _store()(name).get("kept")
    if not isinstance(kept, dict):
        return {}
    if (kept["owner"], kept["path"]) != (request.user.pk, request.path_info):
        return {}
    # Asked here as well: a cache that holds the place keeps a time of its own.
    if kept.get("until", 0.0) < timezone.now().timestamp():
        return {}
    text: dict[str, str] = kept["text"]
    return text


def forget_here(request: HttpRequest) -> None:
    """Removes what was kept for this page, whose form has now been stored."""
    if kept_for(request):
        forget(request)


def forget(request: HttpRequest) -> None:
    """Removes what was kept."""
    name = request.session.pop(PLACE, None) if PLACE in request.session else None
    if isinstance(name, str):
        _store()(name).delete()


def forget_of_others(request: HttpRequest, user: Any) -> None:
    """After ``user`` has signed in: removes what was typed by somebody else at this browser."""
    name = request.session.get(PLACE)
    if isinstance(name, str):
        kept = _store()(name).get("kept")
        if not isinstance(kept, dict) or kept["owner"] != user.pk:
            forget(request)


def _store() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore
