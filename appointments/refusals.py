"""Why something could not be done, in a sentence for people, with the status an edge answers.

A refusal is raised by a rule, after which nothing of the rule's transaction remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from appointments.models import Appointment


class Refusal(Exception):
    """``code`` for programs, ``message`` for people, ``status`` for HTTP, and free times."""

    code = "refused"
    status = 422

    def __init__(self, message: str, *, nearest: Sequence[datetime] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.nearest = list(nearest)


class NotOffered(Refusal):
    """The doctor offers no visit at this time, whoever asks."""

    def __init__(self, code: str, message: str, *, nearest: Sequence[datetime] = ()) -> None:
        super().__init__(message, nearest=nearest)
        self.code = code


class SlotTaken(Refusal):
    """Somebody else has the time."""

    code = "taken"
    status = 409

    def __init__(self, nearest: Sequence[datetime] = ()) -> None:
        super().__init__(_("That time has just been taken. Choose another time."), nearest=nearest)


class PatientBusy(Refusal):
    """The patient has another visit then; booking again with ``clash="replace"`` cancels it."""

    code = "patient_busy"
    status = 409

    def __init__(self, clashing: Appointment | None, nearest: Sequence[datetime] = ()) -> None:
        super().__init__(
            _("There is already another visit at this time. Keep it, or replace it with this one."),
            nearest=nearest,
        )
        self.clashing = clashing


class SecondVisit(Refusal):
    """The patient sees the same doctor within six days: keep, replace, or book both."""

    code = "second_visit"
    status = 409

    def __init__(self, existing: Appointment) -> None:
        super().__init__(
            _("There is already a visit with this doctor in the same week. "
              "Keep it, replace it with this one, or book both.")
        )  # fmt: skip
        self.existing = existing


class TooManyOpen(Refusal):
    code = "too_many_open"

    def __init__(self, limit: int) -> None:
        super().__init__(
            _("This patient has %(limit)d visits booked, which is the most at a time. "
              "Cancel one, or call the clinic.") % {"limit": limit}
        )  # fmt: skip
        self.limit = limit


class NotNewPatients(Refusal):
    code = "no_new_patients"

    def __init__(self) -> None:
        super().__init__(
            _("This doctor takes no new patients at the moment. Choose another doctor, or call "
              "the clinic if you have been here before.")
        )  # fmt: skip


class NotMovable(Refusal):
    """The visit was cancelled, has begun, or is over."""

    code = "not_movable"


class TooManyHolds(Refusal):
    code = "too_many_holds"
    status = 429

    def __init__(self) -> None:
        super().__init__(
            _("Too many times are being kept from your network right now. Wait ten minutes, or "
              "book without keeping the time first.")
        )  # fmt: skip
