"""What is known about a patient: allergies, conditions, and taking back what was an error."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any, TypeVar

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from records.allergies import end_allergy, record_allergy, state_no_known_allergies
from records.conditions import add_condition, find_categories, resolve_condition
from records.entries import retract
from records.forms import NO_CATEGORY, AllergyForm, ConditionForm, RetractForm, at_midnight
from records.models import (
    Allergy,
    Condition,
    Document,
    Encounter,
    Entry,
    IcdCategory,
    Medication,
    Observation,
    Prescription,
)
from records.refusals import RecordRefused
from records.views_common import Sheet, chart_page, done, refused, sheet_of, told

# What can be marked as an error: the word in its address, and the page that lists it.
KINDS: dict[str, tuple[type[Entry], str]] = {
    "encounter": (Encounter, "chart"),
    "allergy": (Allergy, "chart_allergies"),
    "condition": (Condition, "chart_conditions"),
    "medication": (Medication, "chart_medications"),
    "prescription": (Prescription, "chart_medications"),
    "observation": (Observation, "chart_measurements"),
    "document": (Document, "chart_documents"),
}


AnyEntry = TypeVar("AnyEntry", bound=Entry)


def entry_or_404(kind: type[AnyEntry], sheet: Sheet, entry_id: uuid.UUID) -> AnyEntry:
    """One entry of this chart; of another chart there is none."""
    known = kind.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    found: AnyEntry | None = known.filter(public_id=entry_id).first()  # type: ignore[assignment]
    if found is None:
        raise Http404
    return found


def allergies(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """``action``: add an allergy, or none: the patient was asked and knows of none."""
    sheet = sheet_of(request, public_id)
    form = AllergyForm()
    status: int = HTTPStatus.OK
    problems: list[tuple[str, str]] = []
    if request.method == "POST" and request.POST.get("action") == "none":
        try:
            state_no_known_allergies(patient=sheet.patient, by=sheet.by, now=sheet.now)
        except RecordRefused as refusal:
            problems, status = [(refusal.message, "")], int(refusal.status)
        else:
            return done(request, sheet, _("No known allergies: written down."), "chart_allergies")
    elif request.method == "POST":
        form = AllergyForm(request.POST)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                record_allergy(
                    patient=sheet.patient, by=sheet.by, now=sheet.now, **form.cleaned_data
                )
            except RecordRefused as refusal:
                status = refused(form, refusal)
            else:
                return done(request, sheet, _("The allergy is recorded."), "chart_allergies")
    known = Allergy.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    return chart_page(
        request,
        "records/allergies.html",
        sheet,
        title=_("Allergies"),
        section="allergies",
        status=status,
        form=form,
        problems=problems,
        has_errors=bool(problems),
        entries=known.order_by("retracted_at", "-recorded_at").select_related("retracted_by"),
    )


def conditions(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """``action``: find the categories for the words, or add. What is looked for stays out of
    addresses, since it says what somebody has."""
    sheet = sheet_of(request, public_id)
    form, status, found = ConditionForm(), int(HTTPStatus.OK), None
    if request.method == "POST":
        found = list(find_categories(request.POST.get("text", "")[:250]))
        if request.POST.get("action") == "find":
            form = ConditionForm(initial=_typed(request), categories=found)
        else:
            form = ConditionForm(request.POST, categories=_with_picked(request, found))
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            if form.is_valid():
                try:
                    _add_condition(sheet, form.cleaned_data)
                except RecordRefused as refusal:
                    status = refused(form, refusal)
                else:
                    return done(request, sheet, _("The condition is recorded."), "chart_conditions")
    known = Condition.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    return chart_page(
        request,
        "records/conditions.html",
        sheet,
        title=_("Conditions"),
        section="conditions",
        status=status,
        form=form,
        found=found,
        entries=known.select_related("retracted_by").order_by(
            "retracted_at", "abated_at", "-onset_at", "-recorded_at"
        ),
    )


def _typed(request: HttpRequest) -> dict[str, Any]:
    """What stood in the form when the categories were looked up."""
    onset = [request.POST.get(f"onset_{part}", "") for part in ("month", "day", "year")]
    return {"text": request.POST.get("text", ""), "onset": onset, "category": NO_CATEGORY}


def _with_picked(request: HttpRequest, found: list[IcdCategory]) -> list[IcdCategory]:
    """The categories found for the words, and the picked one if the words were changed since."""
    picked = request.POST.get("category", "")
    if any(each.code == picked for each in found):
        return found
    return [*IcdCategory.objects.filter(code=picked), *found]


def _add_condition(sheet: Sheet, given: dict[str, Any]) -> None:
    code = given["category"]
    category = None
    if code and code != NO_CATEGORY:
        category = IcdCategory.objects.get(code=code)
    add_condition(
        patient=sheet.patient,
        category=category,
        text=given["text"],
        onset_at=at_midnight(given["onset"], sheet.zone),
        encounter=None,
        by=sheet.by,
        now=sheet.now,
    )


@require_POST
def allergy_end(request: HttpRequest, public_id: uuid.UUID, entry_id: uuid.UUID) -> HttpResponse:
    """The patient has this allergy no longer; having it noted was no error."""
    sheet = sheet_of(request, public_id)
    allergy = entry_or_404(Allergy, sheet, entry_id)
    try:
        end_allergy(allergy=allergy, by=sheet.by, now=sheet.now)
    except RecordRefused as refusal:
        return told(request, sheet, refusal, "chart_allergies")
    words = _("%(name)s is marked as no longer active.") % {"name": allergy.name}
    return done(request, sheet, words, "chart_allergies")


@require_POST
def condition_resolve(
    request: HttpRequest, public_id: uuid.UUID, entry_id: uuid.UUID
) -> HttpResponse:
    sheet = sheet_of(request, public_id)
    condition = entry_or_404(Condition, sheet, entry_id)
    try:
        resolve_condition(condition=condition, by=sheet.by, now=sheet.now)
    except RecordRefused as refusal:
        return told(request, sheet, refusal, "chart_conditions")
    words = _("%(name)s is marked as resolved.") % {"name": condition.name}
    return done(request, sheet, words, "chart_conditions")


def entry_retract(
    request: HttpRequest, public_id: uuid.UUID, kind: str, entry_id: uuid.UUID
) -> HttpResponse:
    """Marks an entry as entered in error, with the reason; it stays in the record."""
    if kind not in KINDS:
        raise Http404
    sheet = sheet_of(request, public_id)
    model, page = KINDS[kind]
    entry = entry_or_404(model, sheet, entry_id)
    form = RetractForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                retract(entry=entry, why=form.cleaned_data["why"], by=sheet.by, now=sheet.now)
            except RecordRefused as refusal:
                status = refused(form, refusal)
            else:
                return done(request, sheet, _("Marked as entered in error."), page)
    return chart_page(
        request,
        "records/retract.html",
        sheet,
        title=_("Mark as entered in error"),
        status=status,
        form=form,
        entry=entry,
        kind=model._meta.verbose_name,
        back=sheet.address(page),
    )
