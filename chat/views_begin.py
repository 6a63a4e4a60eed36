"""Beginning a conversation: from a visit, from the doctor's page, or from the list of whom one may
write to."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_http_methods

from accounts.models import Patient, Role, User
from appointments.care import has_care_of
from appointments.models import Appointment, CareRelation
from appointments.refusals import Refusal
from chat.edges import person
from chat.models import Conversation
from chat.opening import open_conversation
from chat.refusals import NotYours
from chat.sending import Problem, problem_json, wants_json
from clinic.directory.models import Doctor, Hospital

CHOICES = 100  # of each kind; who has more looks them up from the visit


@dataclass(frozen=True)
class Choice:
    """Somebody whom the reader may write to, for one patient."""

    patient: Patient
    name: str
    line: str
    doctor: str = ""  # slug
    hospital: str = ""  # slug


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@cache_control(no_store=True, private=True)
def conversation_new(request: HttpRequest) -> HttpResponse:
    """POST ``doctor`` or ``hospital`` (slug), ``patient``, and ``appointment`` or ``reference``.

    GET ``patient``: a doctor comes from that patient's chart.
    """
    now, user = timezone.now(), person(request)
    if request.method != "POST":
        doctor = Doctor.objects.filter(user=user).first() if "patient" in request.GET else None
        if doctor is not None:
            return _from_chart(request, user, doctor, now)
        return _page(request, user, now)
    try:
        conversation = _open(request, user, now)
    except Refusal as refusal:
        if wants_json(request):
            return problem_json(Problem(_code(refusal), refusal.message))
        return _page(request, user, now, refusal)
    if wants_json(request):
        return JsonResponse({"conversation": str(conversation.public_id)})
    return redirect("conversation", public_id=conversation.public_id)


def _from_chart(request: HttpRequest, user: User, doctor: Doctor, now: datetime) -> HttpResponse:
    """The doctor's conversation with this patient, or the button that begins it."""
    try:
        patient = _patient(request.GET["patient"], user, now)
        if not has_care_of(doctor_id=doctor.pk, patient_id=patient.pk, now=now):
            raise NotYours  # an emergency opens the record and begins nothing that lasts
    except NotYours as refusal:
        return _page(request, user, now, refusal)
    known = Conversation.objects.visible_to(user).filter(patient=patient, doctor=doctor).first()
    if known is not None:
        return redirect("conversation", public_id=known.public_id)
    return _page(request, user, now, only=Choice(patient, patient.name, "", doctor=doctor.slug))


def _code(refusal: Refusal) -> str:
    return "not_found" if refusal.status == HTTPStatus.NOT_FOUND else "forbidden"


def _open(request: HttpRequest, user: User, now: datetime) -> Conversation:
    given = request.POST
    visit = _visit(given.get("appointment", ""), given.get("reference", ""), user, now)
    patient = visit.patient if visit else _patient(given.get("patient", ""), user, now)
    doctor = Doctor.objects.select_related("user").filter(slug=given.get("doctor") or "").first()
    hospital = Hospital.objects.filter(slug=given.get("hospital") or "").first()
    if visit is not None and doctor is None and hospital is None:
        if user.role == Role.RECEPTION:
            hospital = visit.hospital
        else:
            doctor = visit.doctor
    if doctor is not None:
        hospital = visit.hospital if visit else _where(doctor, patient)
    if hospital is None:
        raise NotYours
    return open_conversation(
        patient=patient, doctor=doctor, hospital=hospital, by=user, now=now, appointment=visit
    )


def _visit(public_id: str, reference: str, user: User, now: datetime) -> Appointment | None:
    """The visit that a form names, among those ``user`` may know of. Raises `NotYours`."""
    if not public_id and not reference:
        return None
    known = Appointment.objects.visible_to(user, now)
    if user.role == Role.RECEPTION:
        known = known | Appointment.objects.filter(hospital__staff__user=user)
    parts = known.distinct().select_related("patient", "hospital", "doctor__user")
    try:
        found = (
            parts.filter(public_id=uuid.UUID(public_id)).first()
            if public_id
            else parts.filter(reference=reference.strip().upper()).first()
        )
    except ValueError:
        found = None
    if found is None:
        raise NotYours
    return found


def _patient(public_id: str, user: User, now: datetime) -> Patient:
    """For whom ``user`` writes: the only chart in their care, or the chosen one."""
    mine = Patient.objects.messages_of(user, now).current()
    if user.role == Role.DOCTOR:
        running = CareRelation.objects.running(now).filter(doctor__user=user)
        mine = mine | Patient.objects.filter(pk__in=running.values("patient"))
    if user.role == Role.RECEPTION:
        visits = Appointment.objects.filter(hospital__staff__user=user)
        mine = mine | Patient.objects.filter(pk__in=visits.values("patient"))
    if not public_id:
        charts = list(Patient.objects.messages_of(user, now).current()[:2])
        if len(charts) == 1:
            return charts[0]
        raise NotYours
    try:
        found = mine.filter(public_id=uuid.UUID(public_id)).first()
    except ValueError:
        found = None
    if found is None:
        raise NotYours
    return found


def _where(doctor: Doctor, patient: Patient) -> Hospital | None:
    """Where the two meet: the place of the latest visit, or of the doctor's first offer."""
    visits = Appointment.objects.filter(doctor=doctor, patient=patient).select_related("hospital")
    visit = visits.order_by("-starts_at").first()
    if visit is not None:
        return visit.hospital
    return Hospital.objects.filter(services__doctor=doctor).order_by("services__position").first()


def _page(
    request: HttpRequest,
    user: User,
    now: datetime,
    refusal: Refusal | None = None,
    only: Choice | None = None,
) -> HttpResponse:
    """``only``: the one to write to is chosen already."""
    context: dict[str, object] = {
        "choices": [only] if only else _choices(user, now),
        "is_reception": user.role == Role.RECEPTION,
        "is_doctor": user.role == Role.DOCTOR and only is None,
        "reference": request.POST.get("reference", ""),
    }
    status = HTTPStatus.OK
    if refusal is not None:
        context |= {"problems": [(refusal.message, "")], "has_errors": True}
        status = HTTPStatus(refusal.status)
    return render(request, "chat/new.html", context, status=status)


def _choices(user: User, now: datetime) -> list[Choice]:
    """The doctors in whose care the reader's people are, and the hospitals they have visits at."""
    charts = {chart.pk: chart for chart in Patient.objects.messages_of(user, now).current()}

    def line(patient: Patient) -> str:
        own = patient.account_id == user.pk
        return "" if own else _("for %(name)s") % {"name": patient.name}

    relations = (
        CareRelation.objects.running(now)
        .filter(patient__in=charts, doctor__user__is_active=True)
        .order_by("patient", "doctor__name")
        .values_list("patient", "doctor__name", "doctor__slug")
        .distinct()[:CHOICES]
    )
    hospitals = (
        Hospital.objects.filter(
            appointments__patient__in=charts,
            staff__user__is_active=True,
            staff__user__role=Role.RECEPTION,
        )
        .order_by("appointments__patient", "name")
        .values_list("appointments__patient", "name", "slug")
        .distinct()[:CHOICES]
    )
    return [
        Choice(charts[pk], f"Dr. {name}", line(charts[pk]), doctor=slug)
        for pk, name, slug in relations
    ] + [
        Choice(
            charts[pk], _("Reception, %(place)s") % {"place": name}, line(charts[pk]), hospital=slug
        )
        for pk, name, slug in hospitals
    ]
