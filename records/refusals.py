"""Why something about a record is not done, in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from appointments.refusals import Refusal

if TYPE_CHECKING:
    from records.models import Allergy, Note


class RecordRefused(Refusal):
    """``field`` names the input that the sentence is about, for the form that asked for it."""

    code = "refused"
    status = 422

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotYourPatient(RecordRefused):
    """The chart is not one of the person's own patients; nobody learns whether it exists."""

    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("There is no such patient among yours."))


class NotInRecord(RecordRefused):
    """The encounter, entry or draft is not part of this record, or is somebody else's draft."""

    code = "not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__(_("There is no such entry in this record."))


# --- Input ------------------------------------------------------------------------------------


class MissingWords(RecordRefused):
    code = "missing"


class TooLong(RecordRefused):
    code = "too_long"

    def __init__(self, limit: int, *, field: str) -> None:
        super().__init__(
            ngettext(
                "This may have %(limit)d character at most. Shorten it.",
                "This may have %(limit)d characters at most. Shorten it.",
                limit,
            )
            % {"limit": limit},
            field=field,
        )
        self.limit = limit


class NotPossible(RecordRefused):
    """A value that no patient has, or a moment that has not come."""

    code = "not_possible"


# --- Notes ------------------------------------------------------------------------------------


class AlreadySigned(RecordRefused):
    code = "already_signed"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            _("This note is signed already and cannot be changed. Write an amendment to it.")
        )


class NotSigned(RecordRefused):
    code = "not_signed"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("This note is still a draft. Sign it first, or change it."))


class StaleDraft(RecordRefused):
    """The draft was saved elsewhere since; ``current`` is what is stored."""

    code = "stale_draft"
    status = 409

    def __init__(self, current: Note) -> None:
        super().__init__(
            _("This note was changed in another window. Your text is still here: compare the two "
              "and save the one to keep.")
        )  # fmt: skip
        self.current = current


class DraftGone(RecordRefused):
    code = "draft_gone"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            _("This draft was discarded in another window. Start a new note for this text.")
        )


class EmptyNote(RecordRefused):
    code = "empty_note"

    def __init__(self) -> None:
        super().__init__(_("Write something before you sign."), field="body")


class NotTheAuthor(RecordRefused):
    """Amendments are the author's own; another doctor writes a note."""

    code = "not_the_author"

    def __init__(self, author: str) -> None:
        super().__init__(
            _("Only %(author)s, who signed this note, can amend it. Write a note of your own "
              "instead.") % {"author": author}
        )  # fmt: skip


# --- What is known about a patient --------------------------------------------------------------


class AllergyStands(RecordRefused):
    """``allergies`` are active, so "No known allergies" is not true."""

    code = "allergy_stands"
    status = 409

    def __init__(self, allergies: Sequence[Allergy]) -> None:
        super().__init__(
            _("An allergy is recorded: %(names)s. Mark it as entered in error or as no longer "
              "active first.") % {"names": _listed(allergies)}
        )  # fmt: skip
        self.allergies = list(allergies)


class AllergyMatch(RecordRefused):
    """The prescription may be one of the ``allergies``; it needs a typed reason."""

    code = "allergy_match"

    def __init__(self, allergies: Sequence[Allergy]) -> None:
        super().__init__(
            _("The patient is allergic to: %(names)s. Choose something else, or type why it is "
              "prescribed all the same.") % {"names": _listed(allergies)},
            field="despite_allergy",
        )  # fmt: skip
        self.allergies = list(allergies)


class AlreadyRecorded(RecordRefused):
    code = "already_recorded"
    status = 409

    def __init__(self, name: str, *, field: str = "name") -> None:
        super().__init__(_("“%(name)s” is in the record already.") % {"name": name}, field=field)


class NoLongerActive(RecordRefused):
    """What should be ended has ended already."""

    code = "no_longer_active"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("This has ended already. Reload the page to see what is stored."))


class AlreadyRetracted(RecordRefused):
    code = "already_retracted"
    status = 409

    def __init__(self) -> None:
        super().__init__(_("This is marked as entered in error already."))


class HasEntries(RecordRefused):
    """An encounter that something was written about stays."""

    code = "has_entries"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            _("Something was recorded in this encounter, so it stays. Mark the entries that are "
              "wrong as entered in error.")
        )  # fmt: skip


class NotHeld(RecordRefused):
    """Nothing is recorded about a visit that was cancelled."""

    code = "cancelled"
    status = 409

    def __init__(self) -> None:
        super().__init__(
            _("This visit was cancelled. Begin an encounter without a visit to record something.")
        )


def _listed(allergies: Sequence[Allergy]) -> str:
    return ", ".join(allergy.name for allergy in allergies)
