"""Writing a note: the draft that saves itself, what is signed, and what is added to it later.

A draft that changed elsewhere in the meantime is never written over: both texts are shown (409),
and only the writer decides which one stays.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import kept_text
from accounts.audit import record
from accounts.models import User
from appointments.models import Appointment
from appointments.zones import time_words
from records.access import treated_by
from records.encounters import encounter_for
from records.forms import AmendForm, NoteForm
from records.models import Encounter, Note
from records.notes import amend, discard_draft, same_text, save_draft, sign, start_note
from records.refusals import RecordRefused, StaleDraft
from records.views_common import Sheet, chart_page, done, refused, sheet_of, told, zone_of

SAVE, REVIEW, DISCARD = "save", "review", "discard"


@require_POST
def note_start(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Begins, or goes on with, the doctor's own draft for a visit or another encounter."""
    sheet = sheet_of(request, public_id)
    try:
        encounter = _encounter(request, sheet)
        note = start_note(encounter=encounter, by=sheet.by, now=sheet.now)
    except RecordRefused as refusal:
        return told(request, sheet, refusal, "chart")
    return redirect(sheet.address("chart_note", note.public_id))


def _encounter(request: HttpRequest, sheet: Sheet) -> Encounter:
    if visit_id := _uuid(request.POST.get("appointment", "")):
        mine = Appointment.objects.handled_by(sheet.by).filter(patient=sheet.patient)
        visit = mine.filter(public_id=visit_id).first()
        if visit is not None:
            return encounter_for(appointment=visit, by=sheet.by, now=sheet.now)
    elif encounter_id := _uuid(request.POST.get("encounter", "")):
        known = Encounter.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
        found = known.filter(public_id=encounter_id).first()
        if found is not None:
            return found
    raise Http404


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _note(sheet: Sheet, note_id: uuid.UUID) -> Note:
    known = Note.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    parts = known.select_related("encounter__appointment__hospital", "encounter__doctor", "author")
    found = parts.filter(public_id=note_id).first()
    if found is None:
        raise Http404
    return found


def _opened(request: HttpRequest, public_id: uuid.UUID, note_id: uuid.UUID) -> tuple[Sheet, Note]:
    """The note in its chart, or alone: an own draft that is to be finished after the care ended."""
    user, now = cast(User, request.user), timezone.now()
    drafts = Note.objects.to_finish(user, now).exclude(patient__in=treated_by(user, now))
    parts = drafts.select_related("patient", "encounter__appointment__hospital", "author")
    found = parts.filter(public_id=note_id, patient__public_id=public_id).first()
    if found is None:
        sheet = sheet_of(request, public_id)
        return sheet, _note(sheet, note_id)
    if request.method != "POST":
        record("note.viewed", actor=user, patient=found.patient, subject=found, now=now)
    return Sheet(found.patient, user, now, zone_of(user), note_only=True), found


def note(request: HttpRequest, public_id: uuid.UUID, note_id: uuid.UUID) -> HttpResponse:
    """A draft with its form, or a signed note with what was added to it."""
    sheet, found = _opened(request, public_id, note_id)
    if request.method == "POST":
        return _post(request, sheet, found)
    typed = kept_text.kept_for(request).get("body", "")
    if typed and not same_text(typed, found.body):
        return _kept_page(request, sheet, found, typed)
    if found.is_signed:
        return _signed_page(request, sheet, found)
    form = NoteForm(initial={"body": found.body, "version": found.version})
    return _draft_page(request, sheet, found, form)


def _kept_page(request: HttpRequest, sheet: Sheet, found: Note, typed: str) -> HttpResponse:
    """The text that was sent after the sign-in had ended, to be looked at and saved.

    Where the note was saved or signed elsewhere since, both texts are shown.
    """
    if found.is_signed:
        return _signed_page(request, sheet, found, kept=typed)
    form = NoteForm(initial={"body": typed, "version": found.version})
    began_from = kept_text.kept_for(request).get("version", "")
    other = found if began_from != str(found.version) else None
    return _draft_page(request, sheet, found, form, other=other, kept=True)


def _draft_page(
    request: HttpRequest,
    sheet: Sheet,
    found: Note,
    form: NoteForm,
    *,
    status: int = HTTPStatus.OK,
    other: Note | None = None,
    kept: bool = False,
) -> HttpResponse:
    return chart_page(
        request,
        "records/note.html",
        sheet,
        title=_("Note"),
        status=status,
        note=found,
        form=form,
        other=other,
        kept=kept,
        saved=time_words((other or found).saved_at, sheet.zone),
        has_errors=other is not None,
    )


def _signed_page(
    request: HttpRequest,
    sheet: Sheet,
    found: Note,
    status: int = HTTPStatus.OK,
    title: str = "",
    **context: Any,
) -> HttpResponse:
    original = found.amends or found
    return chart_page(
        request,
        "records/note_signed.html",
        sheet,
        title=title or _("Signed note"),
        status=status,
        note=original,
        amendments=original.amendments.signed().order_by("signed_at", "pk"),
        is_own=original.author_id == sheet.by.pk,
        **context,
    )


def _post(request: HttpRequest, sheet: Sheet, found: Note) -> HttpResponse:
    """``action``: save (also by the script), review (what will be signed), or discard."""
    by_script = request.headers.get("Accept", "").startswith("application/json")
    form = NoteForm(request.POST)
    action = request.POST.get("action", SAVE)
    if action == DISCARD and not found.is_signed:
        return _discarded(request, sheet, found)
    if form.is_valid() and action == REVIEW and not form.cleaned_data["body"].strip():
        form.add_error("body", _("Write the note before you sign it."))
    if not form.is_valid():
        if by_script:
            faults = [str(text) for texts in form.errors.values() for text in texts]
            return JsonResponse({"message": " ".join(faults)}, status=422)
        return _draft_page(request, sheet, found, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    given = form.cleaned_data
    try:
        saved = save_draft(
            note=found, body=given["body"], version=given["version"], by=sheet.by, now=sheet.now
        )
    except StaleDraft as stale:
        return _stale(request, sheet, form, stale, by_script=by_script)
    except RecordRefused as refusal:
        return _refused(request, sheet, found, form, refusal, by_script=by_script)
    if "kept" in request.POST or same_text(kept_text.kept_for(request).get("body", ""), saved.body):
        kept_text.forget_here(request)  # it was on the page that was sent, or is what was stored
    clock = time_words(saved.saved_at, sheet.zone)
    if by_script:
        return JsonResponse({"version": saved.version, "saved": clock})
    if action == REVIEW:
        return redirect(sheet.address("chart_note_sign", saved.public_id))
    words = _("Draft saved %(time)s. It is not signed yet.") % {"time": clock}
    return done(request, sheet, words, "chart_note", saved.public_id)


def _discarded(request: HttpRequest, sheet: Sheet, found: Note) -> HttpResponse:
    try:
        discard_draft(note=found, by=sheet.by, now=sheet.now)
    except RecordRefused as refusal:
        return told(request, sheet, refusal, "chart")
    kept_text.forget_here(request)
    return done(request, sheet, _("The draft is discarded."), "chart")


def _stale(
    request: HttpRequest, sheet: Sheet, form: NoteForm, stale: StaleDraft, *, by_script: bool
) -> HttpResponse:
    """Shows both texts. The form now names the newer save, so that sending it again is a choice."""
    other = stale.current
    if by_script:
        facts = {"message": stale.message, "version": other.version, "body": other.body}
        return JsonResponse(facts, status=HTTPStatus.CONFLICT)
    typed = form.cleaned_data["body"]
    shown = NoteForm(initial={"body": typed, "version": other.version})
    return _draft_page(request, sheet, other, shown, status=HTTPStatus.CONFLICT, other=other)


def _refused(
    request: HttpRequest,
    sheet: Sheet,
    found: Note,
    form: NoteForm,
    refusal: RecordRefused,
    *,
    by_script: bool,
) -> HttpResponse:
    if refusal.status == HTTPStatus.NOT_FOUND:
        raise Http404
    if by_script:
        return JsonResponse({"message": refusal.message}, status=refusal.status)
    if found.is_signed or Note.objects.signed().filter(pk=found.pk).exists():
        problems = [(refusal.message, "")]
        signed = _note(sheet, found.public_id)
        return _signed_page(
            request, sheet, signed, int(refusal.status), problems=problems, has_errors=True
        )
    return _draft_page(request, sheet, found, form, status=refused(form, refusal, "body"))


def note_sign(request: HttpRequest, public_id: uuid.UUID, note_id: uuid.UUID) -> HttpResponse:
    """Shows what is about to be signed, and signs exactly that."""
    sheet, found = _opened(request, public_id, note_id)
    if request.method != "POST":
        form = NoteForm(initial={"body": found.body, "version": found.version})
        if found.is_signed or not found.body.strip():
            return redirect(sheet.address("chart_note", found.public_id))
        return _sign_page(request, sheet, found, form)
    form = NoteForm(request.POST)
    if not form.is_valid():
        return _draft_page(request, sheet, found, form, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    given = form.cleaned_data
    try:
        sign(note=found, body=given["body"], version=given["version"], by=sheet.by, now=sheet.now)
    except StaleDraft as stale:
        return _stale(request, sheet, form, stale, by_script=False)
    except RecordRefused as refusal:
        return _refused(request, sheet, found, form, refusal, by_script=False)
    return done(request, sheet, _("The note is signed."), "chart")


def _sign_page(request: HttpRequest, sheet: Sheet, found: Note, form: NoteForm) -> HttpResponse:
    return chart_page(
        request, "records/note_sign.html", sheet, title=_("Sign this note"), note=found, form=form
    )


def note_amend(request: HttpRequest, public_id: uuid.UUID, note_id: uuid.UUID) -> HttpResponse:
    """Adds to a signed note; the note itself stays as it was signed."""
    sheet = sheet_of(request, public_id)
    found = _note(sheet, note_id)
    if not found.is_signed:
        raise Http404
    found = found.amends or found
    typed = kept_text.kept_for(request).get("body", "") if request.method != "POST" else ""
    form = AmendForm(
        request.POST if request.method == "POST" else None, initial={"body": typed} if typed else {}
    )
    status: int = HTTPStatus.OK
    if form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                amend(note=found, body=form.cleaned_data["body"], by=sheet.by, now=sheet.now)
            except RecordRefused as refusal:
                status = refused(form, refusal)
            else:
                kept_text.forget_here(request)
                words = _("Your amendment is signed.")
                return done(request, sheet, words, "chart_note", found.public_id)
    title = _("Amend a note")
    return _signed_page(
        request, sheet, found, status, title, form=form, amending=True, not_saved=bool(typed)
    )
