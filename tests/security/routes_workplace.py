"""Rows of the workplace: its own buttons, and the admin's pages of every model.

A model's pages are named by what each of the staff gets, in the order doctor (of the visit), other,
reception, administrator; who is no staff is sent to the sign-in, whatever the address.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from accounts.models import AuditEvent
from appointments.emergency import open_in_emergency
from appointments.models import Appointment
from clinic.jobs.models import OutgoingMail, RegularJob
from tests.appointments.desk import NOW
from tests.security.row import Row
from tests.security.world import World

OUTSIDE = "302 302 302 302 "
STAFF = f"{OUTSIDE}200 200 200 200"
NO_FORM = f"{OUTSIDE}405 405 405 405"
NOT_FOUND = f"{OUTSIDE}404 404 404 404"
FORBIDDEN = "403 403 403 403"
ADMINISTRATOR = "403 403 403 200"

SITE = [
    Row("admin/", STAFF, NO_FORM),
    Row("admin/login/", "302 404 404 404 302 302 302 302", "302 404 404 404 302 302 302 302"),
    Row("admin/logout/", NO_FORM, STAFF, changes="doctor other reception administrator"),
    Row("admin/password_change/", "302", "302"),
    Row("admin/password_change/done/", STAFF, NO_FORM),
    Row("admin/autocomplete/", f"{OUTSIDE}{FORBIDDEN}", NO_FORM),
    Row("admin/jsi18n/", STAFF, NO_FORM),
    Row("admin/status/", f"{OUTSIDE}404 404 404 200", NO_FORM),
    Row("admin/r/<path:content_type_id>/<path:object_id>/", NOT_FOUND, NOT_FOUND,
        address="/admin/r/1/1/"),
    Row("admin/(?P<url>.*)$", NOT_FOUND, NOT_FOUND, address="/admin/no-such-page/"),
    # An app's page leads to the front page; of an app without a page for the role there is none.
    Row(
        "admin/^(?P<app_label>django_tasks_database|accounts|directory|appointments|chat|jobs)/$",
        f"{OUTSIDE}404 404 404 302", f"{OUTSIDE}404 404 404 302", address="/admin/jobs/",
    ),
]  # fmt: skip


def _begun(world: World) -> str:
    """The address of the button at the visit, which began a moment ago."""
    begun = NOW - timedelta(minutes=5)
    Appointment.objects.filter(pk=world.visit.pk).update(
        starts_at=begun, ends_at=begun + timedelta(minutes=30),
        occupied_until=begun + timedelta(minutes=30),
    )  # fmt: skip
    return f"/admin/visits/{world.visit.public_id}/status/"


BUTTONS = [
    Row(
        "admin/visits/<uuid:public_id>/status/",
        NO_FORM,
        f"{OUTSIDE}302 404 302 404",
        address=_begun,
        form={"action": "arrived"},
        changes="doctor reception",
    )
]


def _emergency(world: World) -> str:
    """Charlie's record, which the other doctor opened in an emergency."""
    chart = world.users["charlie"].chart
    open_in_emergency(
        doctor=world.other_desk.doctor, patient=chart, reason="Found unconscious on the ward",
        by=world.users["other"], now=NOW,
    )  # fmt: skip
    return f"/admin/emergencies/{chart.public_id}/"


EMERGENCIES = [
    Row("admin/emergencies/", f"{OUTSIDE}404 404 404 200", NO_FORM),
    Row("admin/emergencies/<uuid:public_id>/", f"{OUTSIDE}404 404 404 200", NO_FORM,
        address=_emergency, audited="administrator"),
]  # fmt: skip


def model(
    name: str,
    pk: Callable[[World], Any],
    *,
    seen: str = ADMINISTRATOR,  # the list
    shown: str = "",  # the page of the row; as the list unless it says otherwise
    sent: str = FORBIDDEN,  # its form, filled in wrongly
    added: str = FORBIDDEN,  # the form for a new row, filled in wrongly
    history: str = "",  # as the page of the row unless it says otherwise
    deleted: str = "",  # whose form for deleting is taken
) -> list[Row]:
    def at(part: str) -> Callable[[World], str]:
        return lambda world: f"/admin/{name}/{pk(world)}/{part}"

    shown = shown or seen
    row = f"admin/{name}/<path:object_id>/"
    may_delete = ADMINISTRATOR if deleted else FORBIDDEN
    return [
        Row(
            f"admin/{name}/",
            OUTSIDE + seen,
            OUTSIDE + seen,
            # What the list is about is made before anything is compared.
            address=lambda world: f"/admin/{name}/" if pk(world) else "",
            form=lambda world: {
                "action": "delete_selected",
                "_selected_action": [pk(world)],
                "index": "0",
                "form-TOTAL_FORMS": "1",
                "form-INITIAL_FORMS": "1",
                "form-0-id": pk(world),
                "_save": "Save",
            },
        ),
        Row(f"admin/{name}/add/", OUTSIDE + added, OUTSIDE + added, form={"name": ""}),
        Row(f"{row}history/", OUTSIDE + (history or shown), OUTSIDE + (history or shown),
            address=at("history/")),
        Row(f"{row}delete/", OUTSIDE + may_delete, OUTSIDE + may_delete.replace("200", "302"),
            address=at("delete/"), form={"post": "yes"}, changes=deleted),
        Row(f"{row}change/", OUTSIDE + shown, OUTSIDE + sent, address=at("change/"),
            form={"name": "", "status": "done"}),
        Row(row, "302", "302", address=at("")),
    ]  # fmt: skip


def _a_job(_world: World) -> str:
    job, _made = RegularJob.objects.get_or_create(name="prune_holds", defaults={"due_at": NOW})
    return str(job.pk)


def _a_task(_world: World) -> Any:
    from django_tasks_db.models import DBTaskResult

    return DBTaskResult.objects.order_by("enqueued_at").values_list("pk", flat=True)[0]


# Visits and patients have pages of their own, to which the admin's lead those who know them.
KNOWN = {"seen": "200 200 200 403", "shown": "302 302 302 403", "history": "200 302 200 302"}

MODELS = [
    *model("accounts/user", lambda w: w.users["alice"].pk, sent=ADMINISTRATOR, added=ADMINISTRATOR),
    *model("accounts/patient", lambda w: w.users["alice"].chart.pk, **KNOWN),
    *model("accounts/auditevent", lambda w: AuditEvent.objects.order_by("pk")[0].pk),
    *model("appointments/appointment", lambda w: w.visit.pk, **KNOWN),
    *model(
        "directory/hospital",
        lambda w: w.desk.hospital.pk,
        seen="403 403 200 200",
        sent="403 403 200 200",
        added=ADMINISTRATOR,
        history="302 302 200 200",
    ),
    *model(
        "directory/doctor",
        lambda w: w.desk.doctor.pk,
        seen="200 200 200 200",
        shown="200 302 200 200",
        sent="200 302 200 200",
        added=ADMINISTRATOR,
    ),
    *model(
        "directory/specialty",
        lambda w: w.desk.doctor.specialties.get().pk,
        sent=ADMINISTRATOR,
        added=ADMINISTRATOR,
        deleted="administrator",
    ),
    *model("chat/conversation", lambda w: w.talk.pk),
    *model("jobs/outgoingmail", lambda w: OutgoingMail.objects.order_by("pk")[0].pk),
    *model("jobs/regularjob", _a_job),
    *model("django_tasks_database/dbtaskresult", _a_task),
]

WORKPLACE = [*SITE, *BUTTONS, *EMERGENCIES, *MODELS]
