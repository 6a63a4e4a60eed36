"""The numbered log: what is taken, under which number, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from chat import log, sight
from chat.access import members_of
from chat.frames import Delete, Edit, Send
from chat.history import events_after
from chat.log import Act, Entry, Refused
from chat.marks import Mark, mark, mark_all
from chat.models import Attachment, Conversation, Event, Participant
from clinic.directory.models import HospitalStaff
from tests.chat.wire import make_conversation, make_doctor_user

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()


def _send(talk: Conversation, body: str = "Hello", **fields: object) -> Send:
    return replace(Send(talk.public_id, str(uuid4()), body), **fields)  # type: ignore[arg-type]


def _append(*acts: tuple[User, Send | Edit | Delete]) -> list[log.Outcome]:
    return log.append([Act(user.pk, what) for user, what in acts], now=NOW)


def _one(user: User, what: Send | Edit | Delete) -> log.Outcome:
    return _append((user, what))[0]


def _code(outcome: log.Outcome) -> str:
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def _seq(outcome: log.Outcome) -> int:
    assert isinstance(outcome, Entry), outcome
    return outcome.seq


def test_numbers_count_from_one_without_holes_in_each_conversation(
    talk: Conversation, alice: User, amara: User, charlie: User
) -> None:
    other = make_conversation(charlie)
    found = _append(
        (alice, _send(talk)),
        (charlie, _send(other)),
        (amara, _send(talk)),
        (charlie, _send(talk)),  # not his
        (alice, _send(talk)),
    )
    assert [_seq(found[0]), _seq(found[1]), _seq(found[2]), _seq(found[4])] == [1, 1, 2, 3]
    assert _code(found[3]) == "not_found"
    talk.refresh_from_db()
    assert talk.last_seq == 3 and Event.objects.filter(conversation=talk).count() == 3
    entry = found[0]
    assert isinstance(entry, Entry) and set(entry.audience) == {alice.pk, amara.pk}


def test_a_refusal_leaves_no_hole(talk: Conversation, alice: User) -> None:
    found = _append((alice, _send(talk)), (alice, _send(talk, reply_to=77)), (alice, _send(talk)))
    assert [_seq(found[0]), _seq(found[2])] == [1, 2] and _code(found[1]) == "not_found"


def test_the_same_client_id_is_the_same_event(talk: Conversation, alice: User, amara: User) -> None:
    what = _send(talk)
    twice = _append((alice, what), (alice, what))  # in one batch
    assert [_seq(one) for one in twice] == [1, 1]
    again = _one(alice, what)
    assert isinstance(again, Entry) and again.seq == 1 and not again.is_new
    assert again.audience  # so that it can be published again
    assert _code(_one(alice, replace(what, body="Other"))) == "conflict"
    delete = Delete(talk.public_id, what.client_id, 1)
    assert _code(_one(alice, delete)) == "conflict"
    assert _seq(_one(amara, what)) == 2  # ids are per sender
    assert Event.objects.count() == 2


def test_a_client_id_of_another_conversation_is_a_conflict(talk: Conversation, alice: User) -> None:
    other = make_conversation(alice)
    what = _send(talk)
    _one(alice, what)
    assert _code(_one(alice, replace(what, conversation=other.public_id))) == "conflict"


def test_edits_and_deletions_have_their_rules(talk: Conversation, alice: User, amara: User) -> None:
    place = talk.public_id
    _one(alice, _send(talk, "helo"))
    edit = Edit(place, str(uuid4()), 1, "hello")
    assert _code(_one(amara, edit)) == "forbidden"
    assert _seq(_one(alice, edit)) == 2 == _seq(_one(alice, edit))
    assert _code(_one(alice, Edit(place, str(uuid4()), 2, "x"))) == "not_found"  # an edit's number
    assert _code(_one(alice, Edit(place, str(uuid4()), 9, "x"))) == "not_found"
    delete = Delete(place, str(uuid4()), 1)
    assert _code(_one(amara, delete)) == "forbidden"
    assert _seq(_one(alice, delete)) == 3 == _seq(_one(alice, delete))
    assert _code(_one(alice, Delete(place, str(uuid4()), 1))) == "conflict"
    assert _code(_one(alice, Edit(place, str(uuid4()), 1, "x"))) == "conflict"
    original = Event.objects.get(seq=1)
    assert original.body == "helo"  # the record keeps it


def test_a_message_may_be_changed_for_15_minutes_to_the_second(
    talk: Conversation, alice: User
) -> None:
    _one(alice, _send(talk))
    edit = Edit(talk.public_id, str(uuid4()), 1, "x")

    def late(by: timedelta) -> log.Outcome:
        return log.append(
            [Act(alice.pk, replace(edit, client_id=str(uuid4())))],
            now=NOW + timedelta(minutes=15) + by,
        )[0]

    assert _seq(late(timedelta(0))) == 2
    assert _code(late(timedelta(seconds=1))) == "forbidden"


def test_a_closed_conversation_takes_no_act_but_knows_what_it_took(
    talk: Conversation, alice: User
) -> None:
    what = _send(talk)
    _one(alice, what)
    Conversation.objects.filter(pk=talk.pk).update(closed_at=NOW)
    assert _code(_one(alice, _send(talk))) == "closed"
    assert _code(_one(alice, Delete(talk.public_id, str(uuid4()), 1))) == "closed"
    assert _seq(_one(alice, what)) == 1


def test_a_file_is_sent_once_by_who_uploaded_it_where_it_was_uploaded(
    talk: Conversation, alice: User, amara: User
) -> None:
    def upload(where: Conversation, by: User) -> UUID:
        return Attachment.objects.create(
            conversation=where,
            uploaded_by=by,
            name="rash.jpg",
            content_type="image/jpeg",
            size=10,
            stored_as=uuid4().hex,
        ).public_id

    other = make_conversation(alice)
    for file in (upload(other, alice), upload(talk, amara), uuid4()):
        assert _code(_one(alice, _send(talk, attachment=file))) == "not_found"
    mine = upload(talk, alice)
    found = _append(
        (alice, _send(talk, "", attachment=mine)), (alice, _send(talk, "", attachment=mine))
    )
    assert _seq(found[0]) == 1 and _code(found[1]) == "conflict"
    assert Attachment.objects.get(public_id=mine).sent_seq == 1


def test_a_batch_costs_the_same_queries_with_1_and_with_20_acts(
    talk: Conversation, alice: User, django_assert_max_num_queries: object
) -> None:
    for size in (1, 20):
        with django_assert_max_num_queries(14):  # type: ignore[operator]
            _append(*((alice, _send(talk)) for _ in range(size)))


def test_who_waits_for_an_answer_is_known(talk: Conversation, alice: User, amara: User) -> None:
    _one(alice, _send(talk))
    talk.refresh_from_db()
    assert talk.waiting_since is not None
    _one(amara, _send(talk))
    talk.refresh_from_db()
    assert talk.waiting_since is None


def test_what_was_deleted_is_not_in_the_history(talk: Conversation, alice: User) -> None:
    _append((alice, _send(talk, "secret")), (alice, _send(talk, "kept")))
    _one(alice, Edit(talk.public_id, str(uuid4()), 1, "secret too"))
    _one(alice, Delete(talk.public_id, str(uuid4()), 1))
    entries, more = events_after(talk, after=0, limit=100)
    assert not more
    assert [(entry.kind, entry.body) for entry in entries] == [
        ("message", ""),
        ("message", "kept"),
        ("edited", ""),
        ("deleted", ""),
    ]
    # Also when the deletion itself is not in this piece.
    entries, more = events_after(talk, after=0, limit=1)
    assert more and entries[0].body == ""


def test_marks_never_fall_and_end_with_the_log(
    talk: Conversation, alice: User, charlie: User
) -> None:
    _append(*((alice, _send(talk)) for _ in range(5)))
    assert mark(talk, alice.pk, read=3, now=NOW)
    assert not mark(talk, alice.pk, read=2, delivered=3, now=NOW)
    assert mark(talk, alice.pk, read=99, now=NOW)
    row = Participant.objects.get(user=alice)
    assert (row.read_seq, row.delivered_seq) == (5, 5)
    assert not mark(talk, charlie.pk, read=1, now=NOW)  # takes no part
    assert mark_all([Mark(uuid4(), alice.pk, read=1)], now=NOW) == []


def test_both_ways_of_asking_who_takes_part_agree(
    alice: User, bob: User, charlie: User, reception: User, administrator: User
) -> None:
    amara, peer = make_doctor_user(), make_doctor_user("ines@example.org", "Ines Roy")
    talks = [
        make_conversation(alice, amara),
        make_conversation(charlie, amara),
        make_conversation(alice),
        make_conversation(charlie),
    ]
    HospitalStaff.objects.create(hospital=talks[2].hospital, user=reception)
    Participant.objects.create(conversation=talks[1], user=peer, added_at=NOW, added_by=amara)
    Participant.objects.create(
        conversation=talks[0], user=peer, added_at=NOW, removed_at=NOW, added_by=amara
    )
    Participant.objects.create(conversation=talks[3], user=charlie, read_seq=1)
    users = [alice, bob, charlie, reception, administrator, amara, peer]

    def agree() -> None:
        members = members_of([talk.pk for talk in talks], timezone.now())
        places = sight.places_of([user.pk for user in users], timezone.now())
        for user in users:
            user.refresh_from_db()
            by_members = {pk for pk, found in members.items() if user.pk in found}
            by_places = {place.pk for place in places[user.pk]}
            asked = Conversation.objects.visible_to(user)
            assert by_places == by_members == {row.pk for row in asked}, user

    agree()
    assert len(sight.places_of([bob.pk], NOW)[bob.pk]) == 2  # cares for Alice
    User.objects.filter(pk__in=[bob.pk, peer.pk]).update(is_active=False)
    agree()


def test_a_look_at_many_costs_as_many_queries_as_at_one(
    alice: User, bob: User, charlie: User, django_assert_max_num_queries: object
) -> None:
    make_conversation(alice)
    make_conversation(charlie)
    for users in ([alice.pk], [alice.pk, bob.pk, charlie.pk]):
        with django_assert_max_num_queries(16):  # type: ignore[operator]
            sight.welcomes(users)
        with django_assert_max_num_queries(10):  # type: ignore[operator]
            sight.look([(pk, frozenset(), frozenset()) for pk in users])
