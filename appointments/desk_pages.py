"""What the pages of reception share: who works there, for whom, and the frame of the admin."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.audit import record_refusal
from accounts.models import Patient, Role, User
from appointments import edges
from appointments.desk import handled, may_call_off, patients_at_desk, services_at_desk
from appointments.models import Appointment
from clinic.directory.models import Service


def staff_or_404(request: HttpRequest, *roles: str) -> User:
    """Who works at this desk; for everybody else its pages do not exist."""
    user = request.user
    wanted = set(roles) or {Role.RECEPTION, Role.DOCTOR}
    if not (isinstance(user, User) and user.is_active and user.is_staff and user.role in wanted):
        raise Http404
    return user


def patient_or_404(user: User, public_id: uuid.UUID | str | None) -> Patient:
    """A chart that ``user`` knows as staff; who asks for another leaves a trace in its trail."""
    wanted, now = _uuid(public_id), timezone.now()
    chart = patients_at_desk(user, now).filter(public_id=wanted).first()
    if chart is None:
        stranger = Patient.objects.filter(public_id=wanted).first()
        if stranger is not None:
            record_refusal(
                "chart.viewed", actor=user, patient=stranger, reason="not_found", now=now
            )
        raise Http404
    return chart


def service_or_404(user: User, code: str) -> Service:
    """Something that ``user`` may book, with its doctor and hospital."""
    service = services_at_desk(user).filter(code=code).first()
    if service is None:
        raise Http404
    return service


def visit_or_404(user: User, public_id: uuid.UUID) -> Appointment:
    """A visit that ``user`` handles."""
    visits = Appointment.objects.handled_by(user).with_parts()
    return edges.visit_or_404(visits, public_id=public_id, user=user)


@dataclass(frozen=True)
class HitVisit:
    """One line of the visits that a change of hours hits, as one user may see it."""

    visit: Appointment
    is_named: bool  # with its patient and service, or by its reference
    is_kept: bool  # another hospital decides about it


def hit_visits(user: User, visits: Sequence[Appointment]) -> list[HitVisit]:
    known, off = handled(user, visits), may_call_off(user, visits)
    return [HitVisit(visit, visit.pk in known, visit.pk not in off) for visit in visits]


def _uuid(text: uuid.UUID | str | None) -> uuid.UUID:
    try:
        return text if isinstance(text, uuid.UUID) else uuid.UUID(text or "")
    except ValueError as error:
        raise Http404 from error


def desk_page(
    request: HttpRequest,
    template: str,
    *,
    title: str,
    status: int = HTTPStatus.OK,
    problems: Any = (),
    **context: Any,
) -> HttpResponse:
    """A page in the frame of the admin; ``problems`` go into the error summary."""
    frame = admin.site.each_context(request)
    facts = {"title": title, "problems": list(problems), "has_errors": status >= 400}
    return render(request, template, frame | facts | context, status=status)
