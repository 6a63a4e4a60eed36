"""What each role may do in the admin. It is code, so a role means the same on every server.

A permission is a name such as "appointments.view_appointment"; which *rows* it reaches is decided
where they are looked up (`handled_by`, `known_to_reception`, `patients_of`). Nobody here may read a
record: records are no part of the admin's lists, and `records.access` alone decides about them.

`User.has_perm` answers from here and from nowhere else: neither `is_superuser` nor rows of groups
and permissions add anything (docs/adr/0010-roles-in-code.md).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    PATIENT = "patient", _("Patient")
    DOCTOR = "doctor", _("Doctor")
    RECEPTION = "reception", _("Reception")
    DIRECTORY = "directory", _("Directory manager")
    ADMINISTRATOR = "administrator", _("Administrator")


def _every(app: str, names: Iterable[str], acts: Iterable[str]) -> frozenset[str]:
    acts = list(acts)
    return frozenset(f"{app}.{act}_{model}" for model in names for act in acts)


_KEEP = ("view", "add", "change")

# Hospitals and doctors are never deleted: visits of years refer to them. They are unlisted and
# withdrawn instead.
_KEEP_DIRECTORY = (
    _every("directory", ("hospital", "doctor"), _KEEP)
    | _every("directory", ("specialty", "service", "doctorlanguage"), (*_KEEP, "delete"))
    | {"directory.approve_doctor"}
)

PERMISSIONS: dict[str, frozenset[str]] = {
    Role.PATIENT: frozenset(),
    # The own visits, the own patients, the own page and services.
    Role.DOCTOR: frozenset(
        {
            "appointments.view_appointment",
            "accounts.view_patient",
            "directory.view_doctor",
            "directory.change_doctor",
        }
    )
    | _every("directory", ("service",), _KEEP)
    | _every("directory", ("doctorlanguage",), (*_KEEP, "delete")),
    # Visits and contact data at the own hospitals, these hospitals, and the doctors there.
    Role.RECEPTION: frozenset(
        {
            "appointments.view_appointment",
            "accounts.view_patient",
            "directory.view_hospital",
            "directory.change_hospital",
            "directory.view_doctor",
            "directory.change_doctor",
            "directory.approve_doctor",
        }
    )
    | _every("directory", ("service",), _KEEP),
    Role.DIRECTORY: _KEEP_DIRECTORY,
    # Accounts, posts, the trail and the directory; no patient, no visit, no word that was written.
    Role.ADMINISTRATOR: _KEEP_DIRECTORY
    | _every("accounts", ("user",), _KEEP)
    | _every("directory", ("hospitalstaff",), (*_KEEP, "delete"))
    | {
        "accounts.view_auditevent",
        "chat.view_conversation",
        "jobs.view_outgoingmail",
        "jobs.view_regularjob",
        "django_tasks_database.view_dbtaskresult",
    },
}

# Who works here and so may open the admin. A doctor's account may once staff approved the doctor.
STAFF_ROLES = frozenset({Role.DOCTOR, Role.RECEPTION, Role.DIRECTORY, Role.ADMINISTRATOR})


def may(role: str, permission: str) -> bool:
    return permission in PERMISSIONS.get(role, frozenset())


def may_in_app(role: str, app: str) -> bool:
    return any(name.startswith(f"{app}.") for name in PERMISSIONS.get(role, ()))
