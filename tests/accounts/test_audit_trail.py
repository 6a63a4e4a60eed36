"""SECURITY 37: what the trail's checks find, and that they find nothing in a sound one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts import anchors, audit
from accounts.anchors import SETTLED_AFTER, add_anchor, verify_anchors
from accounts.audit import chain_hash, hashed_fields, record, record_refusal, verify_chain
from accounts.models import AuditAnchor, AuditEvent, Patient, User
from tests.cast import make_patient

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
LATER = NOW + SETTLED_AFTER


@pytest.fixture
def trail(alice: User, bob: User) -> Patient:
    """Four rows of Alice, one of Bob, two of nobody; anchored."""
    AuditEvent.objects.all().delete()
    Patient.objects.update(audit_head="", audit_count=0)
    patient = alice.chart
    record("sign_in", actor=alice, now=NOW)
    for number in range(4):
        record("record.viewed", actor=bob, patient=patient, detail=str(number), now=NOW)
    record("record.viewed", actor=alice, patient=bob.chart, now=NOW)
    record("doctor.approved", actor=bob, subject=bob, now=NOW)
    assert add_anchor(now=LATER) is not None
    return patient


def check(*options: str) -> tuple[bool, str]:
    """Whether the command found nothing, and what it said."""
    out = StringIO()
    try:
        call_command("check_audit", *options, stdout=out, stderr=StringIO())
    except CommandError as error:
        return error.returncode != 1, out.getvalue()
    return True, out.getvalue()


def raw(sql: str, *values: Any) -> None:
    """As somebody who writes to the database by hand."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


# --- Chains ---------------------------------------------------------------------------------
def test_s37_a_sound_trail_has_no_fault(trail: Patient) -> None:
    sound, said = check()
    assert sound and "chains checked: no fault found" in said
    assert verify_chain(trail) == []
    assert verify_anchors() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actor", "somebody@example.org"),
        ("actor_id", 999),
        ("action", "record.exported"),
        ("detail", "changed"),
        ("object_id", "x"),
        ("address", "198.51.100.7"),
        ("request_id", "x"),
        ("at", "2026-11-22 15:00:00"),
    ],
)
def test_s37_an_edited_row_is_named(trail: Patient, field: str, value: Any) -> None:
    raw(
        f"UPDATE accounts_auditevent SET {field} = %s WHERE patient_id = %s AND number = 2",  # noqa: S608
        value,
        trail.pk,
    )
    sound, said = check()
    assert not sound
    assert f"patient {trail.public_id}: row 2: edited" in said


@pytest.mark.parametrize("number", [1, 2, 3])
def test_s37_a_removed_row_is_named(trail: Patient, number: int) -> None:
    raw("DELETE FROM accounts_auditevent WHERE patient_id = %s AND number = %s", trail.pk, number)
    sound, said = check()
    assert not sound
    assert f"patient {trail.public_id}: row {number}: missing" in said


def test_s37_the_last_row_and_the_whole_chain_are_missed_too(trail: Patient, bob: User) -> None:
    raw("DELETE FROM accounts_auditevent WHERE patient_id = %s AND number = 4", trail.pk)
    sound, said = check()
    assert not sound
    assert f"patient {trail.public_id}: row 4: the end of the chain is missing" in said
    raw("DELETE FROM accounts_auditevent WHERE patient_id = %s", bob.chart.pk)
    assert f"patient {bob.chart.public_id}: row 1: the end" in check()[1]


def test_s37_an_edited_row_with_a_new_hash_breaks_the_chain(trail: Patient) -> None:
    row = AuditEvent.objects.get(patient=trail, number=2)
    row.detail = "changed"
    row.hash = chain_hash(row.previous_hash, hashed_fields(row))
    row.save()
    assert [(f.number, f.what) for f in verify_chain(trail)] == [
        (3, "does not follow the row before it")
    ]


def rewrite(patient: Patient, keep: int) -> None:
    """All that somebody with every right can do to a chain: cut it and mend its end."""
    rows = list(AuditEvent.objects.filter(patient=patient).order_by("number"))
    for row in rows[keep:]:
        row.delete()
    Patient.objects.filter(pk=patient.pk).update(audit_head=rows[keep - 1].hash, audit_count=keep)


def test_s37_a_chain_that_was_cut_and_mended_is_found_by_the_anchor(trail: Patient) -> None:
    rewrite(trail, 3)
    assert verify_chain(trail) == []  # the chain alone cannot know
    sound, said = check()
    assert not sound
    assert "covers 7 rows, 6 are there" in said


def test_s37_rows_that_come_while_the_check_runs_are_no_fault(
    trail: Patient, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = audit.events_of

    def with_one_more(patient_id: int) -> Any:
        record("record.viewed", actor=bob, patient=trail, now=NOW)
        return rows(patient_id)

    monkeypatch.setattr(audit, "events_of", with_one_more)
    assert verify_chain(trail) == []


def test_s37_a_chain_never_forks(trail: Patient) -> None:
    row = AuditEvent.objects.get(patient=trail, number=2)
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


# --- Anchors --------------------------------------------------------------------------------
def test_s37_a_row_of_no_patient_is_held_by_the_anchor(trail: Patient) -> None:
    row = AuditEvent.objects.get(action="doctor.approved")
    raw("UPDATE accounts_auditevent SET actor = 'x' WHERE id = %s", row.pk)
    assert f"row {row.pk} was edited" in check()[1]
    row.actor = "x"
    row.hash = chain_hash("", hashed_fields(row))
    row.save()
    assert "a row it covers was changed" in check()[1]
    row.delete()
    assert "covers 7 rows, 6 are there" in check()[1]


def test_s37_a_row_slipped_in_among_old_ones_is_found(trail: Patient, bob: User) -> None:
    old = AuditEvent.objects.get(action="doctor.approved")
    AuditEvent.objects.filter(pk=old.pk).delete()
    for pk in (old.pk, old.pk + 1):
        old.pk = pk
        old.save(force_insert=True)
    last = AuditAnchor.objects.get()
    AuditAnchor.objects.filter(pk=last.pk).update(last_id=old.pk)
    assert "covers 7 rows, 8 are there" in check()[1]


def test_s37_a_row_not_anchored_yet_is_looked_at_as_well(trail: Patient, bob: User) -> None:
    row = record("sign_in", actor=bob, now=LATER)
    assert check()[0]
    raw("UPDATE accounts_auditevent SET address = '198.51.100.7' WHERE id = %s", row.pk)
    assert f"row {row.pk} was edited" in check()[1]


def test_s37_an_anchor_is_chained_to_the_one_before(trail: Patient, bob: User) -> None:
    record("sign_in", actor=bob, now=LATER)
    second = add_anchor(now=LATER + SETTLED_AFTER)
    assert second is not None and second.count == 1
    first = AuditAnchor.objects.order_by("last_id")[0]
    assert second.previous_digest == first.digest
    raw("UPDATE accounts_auditanchor SET digest = 'f' WHERE id = %s", first.pk)
    said = check()[1]
    assert "a row it covers was changed" in said
    assert "does not follow the anchor before it" in said


def test_rows_settle_before_they_are_anchored(trail: Patient, bob: User) -> None:
    assert add_anchor(now=LATER) is None  # nothing new
    record("sign_in", actor=bob, now=NOW)
    record("sign_in", actor=bob, now=NOW + timedelta(minutes=1))
    found = add_anchor(now=LATER)
    assert found is not None and found.count == 1
    assert add_anchor(now=LATER + timedelta(minutes=1)) is not None
    assert check()[0]


def test_two_anchors_never_follow_the_same_one(trail: Patient, bob: User) -> None:
    first = AuditAnchor.objects.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        AuditAnchor.objects.create(
            at=NOW, first_id=98, last_id=99, count=1, previous_digest="", digest="x"
        )
    assert AuditAnchor.objects.get() == first


def test_of_two_workers_at_once_one_stores_an_anchor(
    trail: Patient, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock holds the second one back: it has read the same end of the chain of anchors."""
    record("sign_in", actor=bob, now=LATER)
    now = LATER + SETTLED_AFTER
    read = anchors.rows_after

    def while_another_is_faster(pk: int, *, until: int | None = None) -> Any:
        rows = list(read(pk, until=until))
        monkeypatch.setattr(anchors, "rows_after", read)
        assert add_anchor(now=now) is not None
        return rows

    monkeypatch.setattr(anchors, "rows_after", while_another_is_faster)
    assert add_anchor(now=now) is None
    assert AuditAnchor.objects.count() == 2
    assert check()[0]


def test_rows_that_no_anchor_comes_for_are_a_fault(trail: Patient, bob: User) -> None:
    record("sign_in", actor=bob, now=NOW + timedelta(days=1))
    record("sign_in", actor=bob, now=NOW + timedelta(days=2, hours=23))
    assert check()[0]  # a day's anchor may be late
    record("sign_in", actor=bob, now=NOW + timedelta(days=3))
    sound, said = check()
    assert not sound and "rows since 2026-11-24 are in no anchor" in said
    add_anchor(now=NOW + timedelta(days=3, hours=7))
    assert check()[0]


def test_a_trail_without_any_anchor_is_a_fault(bob: User) -> None:
    AuditEvent.objects.all().delete()
    record("sign_in", actor=bob, now=NOW)
    record("sign_in", actor=bob, now=NOW + timedelta(days=9))
    assert "are in no anchor" in check()[1]


# --- The command ----------------------------------------------------------------------------
def test_the_command_looks_at_one_patient_or_at_recent_ones(trail: Patient, bob: User) -> None:
    raw("UPDATE accounts_auditevent SET detail = 'x' WHERE patient_id = %s", bob.chart.pk)
    assert check(f"--patient={trail.public_id}") == (True, "1 chains checked: no fault found.\n")
    assert not check(f"--patient={bob.chart.public_id}")[0]
    assert check("--since=2026-11-24")[0]
    assert not check("--since=2026-11-23")[0]
    with pytest.raises(CommandError, match="no patient with this id"):
        call_command("check_audit", "--patient=01890000-0000-7000-8000-000000000000")


def test_the_command_reads_a_page_at_a_time(
    trail: Patient, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE", 3)
    monkeypatch.setattr(anchors, "PAGE", 3)
    for number in range(7):
        record("record.viewed", actor=bob, patient=trail, detail=str(number), now=NOW)
    with CaptureQueriesContext(connection) as queries:
        assert check()[0]
    reads = [q["sql"] for q in queries if "FROM" in q["sql"] and "auditevent" in q["sql"]]
    assert all("LIMIT" in sql for sql in reads), reads
    assert verify_chain(trail) == []
    raw("UPDATE accounts_auditevent SET detail = 'x' WHERE number = 10")
    assert [fault.number for fault in verify_chain(trail)] == [10]


def test_s37_nothing_in_the_product_changes_or_prunes_the_trail() -> None:
    """The tables that no database user of the application may change, by name, and the models."""
    assert {"accounts_auditevent", "accounts_auditanchor"} <= set(settings.AUDIT_TABLES)
    names = connection.introspection.table_names()
    assert set(settings.AUDIT_TABLES) <= set(names)


def test_s37_a_refusal_takes_the_moment_it_is_given(alice: User) -> None:
    row = record_refusal("record.viewed", actor=alice, patient=alice.chart, reason="x", now=NOW)
    assert (row.at, row.action, row.detail) == (NOW, "record.viewed.refused", "x")
    assert make_patient().audit_count == 0
