"""What waits for the directory manager and the administrator, in a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django_tasks_db.models import DBTaskResult

from accounts.models import User
from accounts.roles import Role
from appointments.emergency import given_since
from clinic.directory.models import Doctor, DoctorQuerySet, Hospital, OpeningHours, Service
from clinic.jobs.models import OutgoingMail, RegularJob
from clinic.workplace.emergencies import RECENT
from clinic.workplace.status import unwell

APPROVALS_SHOWN = 10
COUNTED_TO = 1000  # nobody needs to know exactly how many thousand
OVERDUE_AFTER = timedelta(minutes=10)  # a worker that runs is never so far behind


@dataclass(frozen=True)
class Task:
    """Something to look at: how many, what, and where; with none it says that all is well."""

    count: int
    text: str
    href: str
    hint: str = ""


def upkeep_of(user: User, now: datetime) -> dict[str, Any]:
    context = approvals(Doctor.objects.all()) | {"tasks": _directory_tasks()}
    if user.role == Role.ADMINISTRATOR:
        context["people"] = _people_tasks()
        context["checks"] = _checks(now)
    return context


def approvals(doctors: DoctorQuerySet) -> dict[str, Any]:
    """Those of ``doctors`` who wait for approval, the longest first."""
    waiting = doctors.waiting_for_approval()
    return {
        "approvals": list(waiting.order_by("pk").prefetch_related("specialties")[:APPROVALS_SHOWN]),
        "approvals_count": _counted(waiting),
    }


def approvals_at(hospitals: list[Hospital]) -> dict[str, Any]:
    services = Service.objects.filter(hospital__in=hospitals).values("doctor_id")
    hours = OpeningHours.objects.filter(hospital__in=hospitals).values("doctor_id")
    return approvals(Doctor.objects.filter(Q(pk__in=services) | Q(pk__in=hours)))


def _counted(rows: Any) -> int:
    return int(rows.order_by()[:COUNTED_TO].count())


def _directory_tasks() -> list[Task]:
    doctors, hospitals = "admin:directory_doctor_changelist", "admin:directory_hospital_changelist"
    services = Service.objects.filter(doctor=OuterRef("pk"), is_active=True)
    hours = OpeningHours.objects.filter(doctor=OuterRef("pk"))
    public = Doctor.objects.public()
    return [
        Task(
            _counted(public.filter(~Exists(services))),
            _("Approved doctors without a service"),
            f"{reverse(doctors)}?lacks=services",
        ),
        Task(
            _counted(public.filter(~Exists(hours))),
            _("Approved doctors without opening hours"),
            f"{reverse(doctors)}?lacks=hours",
        ),
        Task(
            _counted(Hospital.objects.filter(time_zone_confirmed=False)),
            _("Hospitals whose time zone nobody confirmed"),
            f"{reverse(hospitals)}?time_zone_confirmed__exact=0",
            _("Opening hours are accepted once it is confirmed."),
        ),
    ]


def _people_tasks() -> list[Task]:
    nowhere = User.objects.filter(role=Role.RECEPTION, is_active=True, is_staff=True, posts=None)
    return [
        Task(
            _counted(nowhere),
            _("People of reception without a hospital"),
            f"{reverse('admin:accounts_user_changelist')}?role__exact=reception",
            _("Add them on the page of their hospital."),
        )
    ]


def _checks(now: datetime) -> list[Task]:
    late = RegularJob.objects.filter(due_at__lt=now - OVERDUE_AFTER)
    failed = RegularJob.objects.exclude(last_error="").filter(finished_at__gte=F("started_at"))
    jobs = reverse("admin:jobs_regularjob_changelist")
    return [
        Task(
            unwell(now),
            _("Backups and nightly checks that need you"),
            reverse("operator_status"),
            _("The page says what to do about each."),
        ),
        Task(
            _counted(given_since(now - RECENT)),
            _("Records opened in an emergency, in 30 days"),
            reverse("emergencies"),
            _("Look at each: who, whose record, and the typed reason."),
        ),
        Task(
            _counted(OutgoingMail.objects.filter(sent_at=None, failed_at__isnull=False)),
            _("Mails that could not be sent"),
            f"{reverse('admin:jobs_outgoingmail_changelist')}?failed_at__isempty=0",
        ),
        Task(_counted(late), _("Regular jobs that are overdue"), jobs),
        Task(_counted(failed), _("Regular jobs that failed last time"), jobs),
        Task(
            _counted(DBTaskResult.objects.filter(status="FAILED")),
            _("Tasks that failed"),
            f"{reverse('admin:django_tasks_database_dbtaskresult_changelist')}?status__exact=FAILED",
        ),
    ]
