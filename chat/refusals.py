"""Why something about a conversation is not done, in sentences for people."""

from __future__ import annotations

from django.utils.translation import gettext as _

from appointments.refusals import Refusal


class NotYours(Refusal):
    """Nobody learns from this whether a patient, doctor or visit exists."""

    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("We found nobody of that name whom you can write to or for."))


class NotInCare(Refusal):
    """The doctor and the patient have nothing to do with each other (any more)."""

    code = "forbidden"
    status = 403

    def __init__(self, doctor: str) -> None:
        super().__init__(
            _("Messages are for patients of %(doctor)s. Book a visit first, then you can write.")
            % {"doctor": doctor}
        )


class NobodyAnswers(Refusal):
    """A message there would be read by nobody."""

    code = "forbidden"
    status = 403

    def __init__(self, place: str, phone: str) -> None:
        words = {"place": place, "phone": phone}
        super().__init__(
            _("Nobody answers messages at %(place)s yet. Call %(phone)s.") % words
            if phone
            else _("Nobody answers messages at %(place)s yet.") % words
        )


class NotVisited(Refusal):
    """Reception writes to people who have or had a visit at its own hospital."""

    code = "forbidden"
    status = 403

    def __init__(self, place: str) -> None:
        super().__init__(
            _("This patient has no visit at %(place)s, so you cannot write to them from there.")
            % {"place": place}
        )


class NotForPatients(Refusal):
    """What the clinic's side alone may do."""

    code = "forbidden"
    status = 403

    def __init__(self) -> None:
        super().__init__(_("Only the clinic can do this. Write a message and ask for it."))


class NoColleague(Refusal):
    """Somebody who cannot be added or is not there to be removed."""

    code = "forbidden"
    status = 422
