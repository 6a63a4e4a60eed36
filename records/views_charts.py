"""A doctor's own patients, the chart of one of them, and meetings without a booked visit."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.audit import record
from accounts.models import Patient, User
from appointments.models import Appointment, CareRelation, Status
from appointments.zones import local
from records.access import treated_by
from records.charts import NoteThread, TimelineItem, timeline
from records.encounters import begin
from records.forms import ChartSearchForm, EncounterForm
from records.models import Encounter, Entry, Note
from records.notes import start_note
from records.refusals import RecordRefused
from records.views_common import (
    Sheet,
    chart_page,
    doctor_or_404,
    refused,
    sheet_of,
    visits_today,
    zone_of,
)

PER_PAGE = 50
FOUND = 50  # hits of a search; who has more types more
DRAFTS = 20


def charts(request: HttpRequest) -> HttpResponse:
    """The doctor's own patients by name. A search is a POST: names belong in no address."""
    user, now = doctor_or_404(request), timezone.now()
    mine = _with_visits(treated_by(user, now), user, now)
    form = ChartSearchForm(request.POST if request.method == "POST" else None)
    status, page, found = HTTPStatus.OK, None, None
    if form.is_bound and form.is_valid():
        found = list(_search(mine, form.cleaned_data)[: FOUND + 1])
        record("chart.searched", actor=user, detail=f"{len(found)} found", now=now)
    elif form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    if found is None:
        page = Paginator(mine.order_by("name", "birth_date", "pk"), PER_PAGE).get_page(
            request.GET.get("page")
        )
    shown = list(page) if page is not None else (found or [])[:FOUND]
    zone = zone_of(user)
    today = local(now, zone).date()
    context = {
        **admin.site.each_context(request),
        "title": _("Patients"),
        "form": form,
        "rows": [(patient, patient.age(today)) for patient in shown],
        "emergency": _emergency_until(user, shown, now),
        "page_obj": page,
        "searched": found is not None,
        "found": None if found is None else len(shown),
        "more": found is not None and len(found) > FOUND,
        "drafts": _drafts(user, now),
        "zone": zone,
    }
    return render(request, "records/charts.html", context, status=status)


def _with_visits(mine: QuerySet[Patient], user: User, now: datetime) -> QuerySet[Patient]:
    visits = Appointment.objects.filter(patient=OuterRef("pk"), doctor__user=user).active()
    return mine.annotate(
        next_visit=Subquery(
            visits.filter(starts_at__gte=now).order_by("starts_at").values("starts_at")[:1]
        ),
        last_visit=Subquery(
            visits.filter(starts_at__lt=now)
            .exclude(status=Status.NO_SHOW)
            .order_by("-starts_at")
            .values("starts_at")[:1]
        ),
    )


def _search(mine: QuerySet[Patient], wanted: dict[str, Any]) -> QuerySet[Patient]:
    for word in wanted["name"].split():
        mine = mine.filter(name__icontains=word)
    if wanted["birth_date"]:
        mine = mine.filter(birth_date=wanted["birth_date"])
    return mine.order_by("name", "birth_date", "pk")


def _emergency_until(user: User, shown: list[Patient], now: datetime) -> dict[int, datetime]:
    """When emergency access ends, of the patients that nothing else makes the doctor's own."""
    running = CareRelation.objects.running(now).filter(doctor__user=user, patient__in=shown)
    regular = set(running.exclude(why=CareRelation.Why.EMERGENCY).values_list("patient", flat=True))
    ends = running.filter(why=CareRelation.Why.EMERGENCY).values_list("patient", "until")
    return {patient: until for patient, until in ends if until and patient not in regular}


def _drafts(user: User, now: datetime) -> list[Note]:
    mine = Note.objects.to_finish(user, now)
    return list(mine.select_related("patient", "encounter").order_by("-saved_at")[:DRAFTS])


@require_safe
def chart(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The record's timeline, newest first, ``?before=`` a moment for what is older."""
    sheet = sheet_of(request, public_id)
    before = _moment(request.GET.get("before", ""))
    visits = visits_today(sheet)
    page = timeline(sheet.patient, by=sheet.by, now=sheet.now, before=before)
    return chart_page(
        request,
        "records/timeline.html",
        sheet,
        title=sheet.patient.name,
        section="timeline",
        before=before,
        visits=visits if before is None else [],
        cards=cards_of(page.items, sheet.zone),
        next_before=page.next_before,
    )


@dataclass
class Card:
    """An encounter, or what else was recorded on one day; ``is_first`` of its day."""

    at: datetime
    encounter: Encounter | None
    notes: list[NoteThread]
    entries: list[Entry]
    is_first: bool


def cards_of(items: Iterable[TimelineItem], zone: str) -> list[Card]:
    """The items of a timeline with the small entries of one day side by side in one card."""
    cards: list[Card] = []
    for item in items:
        last = cards[-1] if cards else None
        same_day = last is not None and local(last.at, zone).date() == local(item.at, zone).date()
        if last is not None and same_day and not item.encounter and not last.encounter:
            last.entries.extend(item.entries)
        else:
            cards.append(
                Card(item.at, item.encounter, item.notes, list(item.entries), not same_day)
            )
    return cards


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def encounter_new(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Begins a meeting without a booked visit, such as a phone call, and its note."""
    sheet = sheet_of(request, public_id)
    form = EncounterForm(request.POST if request.method == "POST" else None)
    status: int = HTTPStatus.OK
    if form.is_bound:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            try:
                return _begun(sheet, form.cleaned_data)
            except RecordRefused as refusal:
                status = refused(form, refusal)
    return chart_page(
        request,
        "records/encounter_new.html",
        sheet,
        title=_("Record a phone call or other contact"),
        status=status,
        form=form,
    )


def _begun(sheet: Sheet, given: dict[str, Any]) -> HttpResponse:
    encounter = begin(
        patient=sheet.patient,
        kind=Encounter.Kind(given["kind"]),
        title=given["title"],
        by=sheet.by,
        now=sheet.now,
    )
    note = start_note(encounter=encounter, by=sheet.by, now=sheet.now)
    return redirect(sheet.address("chart_note", note.public_id))
