"""Where somebody who works here can go: the header's links, by role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.roles import Role

Entry = tuple[str, str | Promise]

_MESSAGES: Entry = ("messages", _("Messages"))
_ACCOUNT: Entry = ("profile", _("Account"))
_HOURS: Entry = ("hours", _("Opening hours"))
_VISITS: Entry = ("admin:appointments_appointment_changelist", _("Visits"))
_DIRECTORY: tuple[Entry, ...] = (
    ("admin:directory_doctor_changelist", _("Doctors")),
    ("admin:directory_hospital_changelist", _("Hospitals")),
)
LINKS: dict[str, tuple[Entry, ...]] = {
    Role.DOCTOR: (
        ("admin:index", _("My day")),
        ("charts", _("Patients")),
        _VISITS,
        _MESSAGES,
        _HOURS,
        _ACCOUNT,
    ),
    Role.RECEPTION: (
        ("admin:index", _("Today")),
        ("desk_patients", _("Patients")),
        _VISITS,
        _MESSAGES,
        _HOURS,
        ("admin:directory_doctor_changelist", _("Doctors")),
        _ACCOUNT,
    ),
    Role.DIRECTORY: (
        ("admin:index", _("Overview")),
        *_DIRECTORY,
        ("admin:directory_specialty_changelist", _("Specialties")),
        _HOURS,
        _ACCOUNT,
    ),
    Role.ADMINISTRATOR: (
        ("admin:index", _("Overview")),
        *_DIRECTORY,
        _HOURS,
        ("admin:accounts_user_changelist", _("Accounts")),
        ("admin:accounts_auditevent_changelist", _("Audit trail")),
        _ACCOUNT,
    ),
}


@dataclass(frozen=True)
class Link:
    name: str
    text: str
    href: str
    current: str  # aria-current: "page" for this very page, "true" for one below it


def links_for(user: Any, request: HttpRequest | None) -> list[Link]:
    """The links of ``user``. One whose page is not part of this deployment is left out."""
    here = getattr(request, "path", "")
    found = []
    for name, text in LINKS.get(getattr(user, "role", ""), ()):
        try:
            href = reverse(name)
        except NoReverseMatch:
            continue
        below = here.startswith(href) and name != "admin:index"
        current = "page" if here == href else "true" if below else ""
        found.append(Link(name, str(text), href, current))
    return found
