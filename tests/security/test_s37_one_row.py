"""SECURITY 37: what happens to a patient's data is one row of the trail: not none, not two.

Every row of the matrix of access is walked: each reading that it calls audited, and each form of
each role. `test_access.py` holds that other readings leave no row.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.db import transaction

from accounts.audit import verify_chain
from accounts.models import AuditEvent, Patient
from tests.security.routes import ROWS
from tests.security.row import Row
from tests.security.world import ROLES, World, ended

pytestmark = [pytest.mark.django_db, pytest.mark.once]

# One form that does two things, each with a name of its own.
TWO_ACTS = {
    "admin/charts/emergency/": {"emergency.search", "emergency.opened"},
    "admin/charts/<uuid:public_id>/encounters/new/": {"encounter.begun", "note.begun"},
    "admin/charts/<uuid:public_id>/notes/": {"encounter.begun", "note.begun"},
}


def may_be_silent(row: Row) -> bool:
    """Messages are counted in the conversation's own log; an account is no patient's data; the
    directory and its hours are about doctors."""
    # Who has no chart subscribes to nobody's visits.
    of_an_account = ("messages/", "accounts/", "appointments/calendar/", "appointments/reminders/")
    return row.route.startswith(of_an_account) or (
        row.route.startswith("admin/") and not is_of_a_patient(row)
    )


def is_of_a_patient(row: Row) -> bool:
    return row.route.startswith(("admin/charts/", "admin/visits/", "admin/patients/"))


def acts(world: World, row: Row, role: str, method: str) -> Iterator[AuditEvent]:
    """What one request adds about any patient; undone afterwards."""
    path, form = row.path(world), row.sent(world)
    cache.clear()
    client = world.client(role)
    point = transaction.savepoint()
    last = AuditEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    ended(client.get(path) if method == "get" else client.post(path, form))
    found = list(AuditEvent.objects.filter(pk__gt=last, patient__isnull=False).order_by("pk"))
    for patient in Patient.objects.filter(pk__in={event.patient_id for event in found}):
        assert verify_chain(patient) == []
    transaction.savepoint_rollback(point)
    yield from found


def test_s37_a_reading_that_is_audited_is_one_row_with_all_that_it_must_say(world: World) -> None:
    walked = 0
    for row in ROWS.values():
        for role in row.audited.split():
            found = list(acts(world, row, role, "get"))
            assert len(found) == 1, (row.name, role, [event.action for event in found])
            [event] = found
            assert event.actor_id == world.users[role].pk
            assert event.actor == world.users[role].email
            assert event.address == "127.0.0.1"
            assert event.request_id
            assert event.at.tzinfo is not None
            walked += 1
    assert walked > 40


def test_s37_a_form_is_one_row_whether_it_is_taken_or_refused(world: World) -> None:
    walked = 0
    for row in ROWS.values():
        if row.post == "405":
            continue
        for role in ROLES:
            found = list(acts(world, row, role, "post"))
            names = [event.action for event in found]
            assert len(set(names)) == len(names), (row.name, role, names)
            changes = role in row.changes.split()
            if changes and row.route in TWO_ACTS:
                assert set(names) == TWO_ACTS[row.route], (row.name, role)
            elif changes and not may_be_silent(row):
                assert len(names) == 1, (row.name, role, names)
            else:
                assert len(names) <= 1, (row.name, role, names)
            walked += len(names)
    assert walked > 80


def test_s37_messages_are_counted_in_their_own_log_and_nowhere_else(world: World) -> None:
    for row in ROWS.values():
        if row.route in {"messages/<uuid:public_id>/", "messages/<uuid:public_id>/edit/"}:
            for role in row.changes.split():
                assert list(acts(world, row, role, "post")) == []
