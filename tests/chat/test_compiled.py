"""A kept query answers as the query set does, for any number of keys."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Carer, Role, User
from chat import names
from chat.access import Part, members_of
from chat.compiled import MOST_KEYS, Compiled, as_moment, as_uuid
from chat.models import Conversation
from clinic.directory.models import HospitalStaff
from tests.cast import make_account, make_patient_user
from tests.chat.wire import make_conversation

NOW = timezone.now()
AS_THEY_ARE = Compiled(
    lambda keys, now: (
        Conversation.objects.filter(public_id__in=keys, created_at__lte=now)
        .order_by("pk")
        .values_list("pk", "public_id", "created_at", "closed_at")
    ),
    kind=UUID,
)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_it_answers_as_the_query_set_does(count: int) -> None:
    talks = [
        make_conversation(make_patient_user(f"p{at}@example.org", name=f"Patient {at}"))
        for at in range(count)
    ]
    keys = [talk.public_id for talk in talks]
    for now, expected in ((timezone.now(), talks), (NOW - timedelta(days=1), [])):
        found = [
            (pk, as_uuid(public_id), as_moment(created), as_moment(closed))
            for pk, public_id, created, closed in AS_THEY_ARE.rows(keys, now)
        ]
        assert found == [(one.pk, one.public_id, one.created_at, None) for one in expected]


@pytest.mark.django_db
def test_many_keys_are_asked_in_parts_and_unknown_ones_find_nothing() -> None:
    talk = make_conversation(make_patient_user("p@example.org", name="Patient"))
    keys = [*range(10**9, 10**9 + 2 * MOST_KEYS), talk.pk]
    by_key = Compiled(lambda pks, _: Conversation.objects.filter(pk__in=pks).values_list("pk"))
    with CaptureQueriesContext(connection) as asked:
        assert list(by_key.rows(keys, NOW)) == [(talk.pk,)]
    assert len(asked) == 3


@pytest.mark.django_db
def test_members_take_one_query_and_the_first_part_counts(
    talk: Conversation, alice: User, amara: User, charlie: User
) -> None:
    Carer.objects.create(user=charlie, patient=alice.chart, since=NOW - timedelta(days=1))
    Carer.objects.create(user=alice, patient=alice.chart, since=NOW - timedelta(days=1))
    desk = make_conversation(charlie)
    rosa = make_account("rosa@example.org", role=Role.RECEPTION)
    HospitalStaff.objects.create(hospital=desk.hospital, user=rosa)
    others = [
        make_conversation(make_patient_user(f"p{at}@example.org", name=f"Patient {at}"), amara)
        for at in range(9)
    ]
    with CaptureQueriesContext(connection) as asked:
        found = members_of([talk.pk, desk.pk, *(one.pk for one in others)], NOW)
    assert len(asked) == 1
    assert {pk: one.part for pk, one in found[talk.pk].items()} == {
        alice.pk: Part.PATIENT,
        amara.pk: Part.DOCTOR,
        charlie.pk: Part.CARER,
    }
    assert found[desk.pk][rosa.pk].part == Part.RECEPTION
    assert found[talk.pk][amara.pk].name.startswith("Dr. ")


def test_packets_keep_the_order_of_a_conversation_and_have_a_size() -> None:
    text = "x" * 50_000
    told = [
        (key, {"type": names.EVENT, "seq": at, "text": text}) for at in range(9) for key in (4, 5)
    ]
    packets = list(names.packets(told, "here", ["even", "odd"]))
    assert len(packets) > 4
    for group in ("even", "odd"):
        seqs = [m["seq"] for name, packet in packets if name == group for m in packet["messages"]]
        assert seqs == list(range(9))
    for _, packet in packets:
        assert packet["origin"] == "here"
        assert sum(len(m["text"]) for m in packet["messages"]) <= names.MOST_LETTERS
