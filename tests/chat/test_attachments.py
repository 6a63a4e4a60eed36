"""Files in conversations: who may send them, who gets them, how they go out, and when they go."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import connection
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, Carer, User
from chat import attachments
from chat.attachments import UploadRefused, open_bytes, remove_unsent, store, visible_attachments
from chat.frames import Delete, Send
from chat.log import Act, Entry, Refused, append
from chat.models import Attachment, Conversation, Event, Participant
from clinic.uploads import orphans
from clinic.uploads.models import StoredChunk
from clinic.uploads.orphans import remove_orphans
from clinic.uploads.storage import DatabaseStorage
from tests import files
from tests.bucket import BucketServer
from tests.cast import signed_in
from tests.chat.uploads import post, upload
from tests.chat.wire import make_conversation, make_doctor_user
from tests.test_headers import CSP_OF_FILES, assert_safe

NOW = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
PLACES = {
    "folder": {"BACKEND": "clinic.uploads.storage.FolderStorage"},
    "database": {"BACKEND": "clinic.uploads.storage.DatabaseStorage"},
    "bucket": {"BACKEND": "clinic.uploads.bucket.BucketStorage"},
}


@pytest.fixture(params=["folder", "database", "bucket"])
def place(request: pytest.FixtureRequest, settings: Any, tmp_path: Any) -> Storage:
    """Where uploads go: a folder as in the embedded default, the database, a bucket of S3."""
    chosen: dict[str, Any] = dict(PLACES[request.param])
    if request.param == "folder":
        chosen["OPTIONS"] = {"location": tmp_path / "uploads"}
    if request.param == "bucket":
        store: BucketServer = request.getfixturevalue("bucket_server")
        chosen["OPTIONS"] = {"place": store.place(prefix=tmp_path.name)}
    settings.STORAGES = settings.STORAGES | {"uploads": chosen}
    return storages["uploads"]


@pytest.fixture
def folder(settings: Any, tmp_path: Any) -> None:
    options = {"location": tmp_path / "uploads"}
    settings.STORAGES = settings.STORAGES | {"uploads": PLACES["folder"] | {"OPTIONS": options}}


def stored(talk: Conversation, by: User, now: datetime = NOW, **what: Any) -> Attachment:
    return store(conversation=talk, by=by, upload=upload(**what), now=now)


def sent(talk: Conversation, by: User, now: datetime = NOW, **what: Any) -> Attachment:
    """Uploaded and sent with a message."""
    file = stored(talk, by, now, **what)
    act = Act(by.pk, Send(talk.public_id, str(uuid4()), "Look", attachment=file.public_id))
    assert isinstance(append([act], now=now)[0], Entry)
    file.refresh_from_db()
    return file


def address(file: Attachment, *, thumbnail: bool = False) -> str:
    return reverse("attachment", args=[file.public_id]) + ("?thumbnail=1" if thumbnail else "")


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def status(client: Client, where: str, method: str = "get") -> int:
    answer = getattr(client, method)(where)
    if answer.streaming:
        body(answer)
    return int(answer.status_code)


# --- Taking in ------------------------------------------------------------------------------
def test_a_photo_is_stored_under_a_random_name_with_a_small_picture(
    talk: Conversation, alice: User, place: Storage
) -> None:
    file = stored(talk, alice)
    assert (file.name, file.content_type, file.width, file.height) == (
        *("wound.jpg", "image/jpeg", 640, 480),
    )
    assert "wound" not in file.stored_as + file.thumbnail_as
    assert file.stored_as != file.thumbnail_as
    assert len(file.stored_as) >= 40
    with open_bytes(file) as whole, open_bytes(file, thumbnail=True) as small:
        assert whole.size == file.size == len(whole.read())
        assert 0 < small.size < file.size


def test_a_pdf_has_no_small_picture(talk: Conversation, alice: User, place: Storage) -> None:
    file = stored(talk, alice, name="letter.pdf", data=files.pdf())
    assert (file.width, file.height, file.thumbnail_as) == (None, None, "")
    with open_bytes(file) as whole:
        assert whole.read() == files.pdf()
    with pytest.raises(FileNotFoundError):
        open_bytes(file, thumbnail=True)


def test_s29_what_is_refused_leaves_nothing(talk: Conversation, alice: User) -> None:
    for name, data in [("x.svg", files.SVG), ("x.pdf", files.HTML), ("x.jpg", b"")]:
        with pytest.raises(UploadRefused):
            stored(talk, alice, name=name, data=data)
    assert not Attachment.objects.exists()
    assert not StoredChunk.objects.exists()


def test_s29_too_large_is_refused_by_its_size_without_reading_it(
    talk: Conversation, alice: User, settings: Any
) -> None:
    settings.UPLOAD_MAX_BYTES = 100
    file = upload(data=b"x" * 101)
    with pytest.raises(UploadRefused) as caught:
        store(conversation=talk, by=alice, upload=file, now=NOW)
    assert caught.value.status == 413
    assert file.tell() == 0


def test_a_closed_conversation_takes_no_file(talk: Conversation, alice: User) -> None:
    talk.closed_at = NOW
    with pytest.raises(UploadRefused, match="closed") as caught:
        stored(talk, alice)
    assert caught.value.status == 409


def test_when_the_bytes_cannot_be_stored_nothing_stays(
    talk: Conversation, alice: User, place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = type(place).save
    saved: list[str] = []

    def fails_at_the_second(self: Storage, name: str, content: Any) -> str:
        if saved:
            raise OSError("no space left")
        saved.append(real(self, name, content))
        return saved[0]

    monkeypatch.setattr(type(place), "save", fails_at_the_second)
    with pytest.raises(OSError, match="no space left"):
        stored(talk, alice)
    assert not Attachment.objects.exists()
    assert not place.exists(saved[0])


def test_files_and_bytes_of_a_day_are_limited_for_each_person(
    talk: Conversation, alice: User, amara: User, settings: Any, folder: None
) -> None:
    settings.UPLOADS_PER_DAY = 2
    stored(talk, alice)
    stored(talk, alice)
    with pytest.raises(UploadRefused, match="one day") as caught:
        stored(talk, alice)
    assert caught.value.status == 429
    stored(talk, amara)
    stored(talk, alice, NOW + timedelta(days=1))
    settings.UPLOADS_PER_DAY, settings.UPLOAD_BYTES_PER_DAY = 100, 3 * len(files.jpeg()) // 2
    with pytest.raises(UploadRefused, match="one day"):
        stored(talk, amara)


def test_attempts_are_limited_though_they_are_refused(
    talk: Conversation, alice: User, settings: Any
) -> None:
    settings.UPLOADS_PER_MINUTE = 3
    for _ in range(3):
        with pytest.raises(UploadRefused, match="not what its name says"):
            stored(talk, alice, data=files.HTML)
    with pytest.raises(UploadRefused, match="too fast") as caught:
        stored(talk, alice)
    assert caught.value.status == 429


@pytest.mark.django_db(transaction=True)
def test_the_days_limit_holds_when_files_come_at_once(
    talk: Conversation, alice: User, settings: Any, folder: None
) -> None:
    settings.UPLOADS_PER_DAY = 3
    outcomes: list[str] = []

    def send() -> None:
        try:
            stored(talk, alice, data=files.jpeg((32, 32)))
            outcomes.append("stored")
        except UploadRefused:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["stored"] * 3
    assert Attachment.objects.count() == 3


# --- Over HTTP ------------------------------------------------------------------------------
def test_posting_a_file_answers_what_the_protocol_says_about_files(
    talk: Conversation, alice: User, place: Storage
) -> None:
    answer = post(signed_in(alice), talk, upload())
    file = Attachment.objects.get()
    assert answer.status_code == HTTPStatus.CREATED
    assert answer.json() == {
        "id": str(file.public_id),
        "name": "wound.jpg",
        "content_type": "image/jpeg",
        "size": file.size,
        "width": 640,
        "height": 480,
    }
    assert file.stored_as not in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("file", "status", "code", "words"),
    [
        (upload(data=files.HTML), 422, "bad_frame", "not what its name says"),
        (upload(data=b""), 422, "bad_frame", "empty"),
        ("", 422, "bad_frame", "Choose a file"),
        (upload("x.pdf", files.pdf(b"x" * 10 * 1024 * 1024)), 413, "too_long", "MB"),
        (upload("x.pdf", files.pdf(b"x" * 11 * 1024 * 1024)), 413, "too_long", "MB"),
    ],
)
def test_s29_a_refusal_is_an_error_of_the_protocol_with_a_sentence(
    talk: Conversation, alice: User, file: Any, status: int, code: str, words: str
) -> None:
    answer = post(signed_in(alice), talk, file)
    assert answer.status_code == status
    assert answer.json()["code"] == code
    assert words in answer.json()["detail"]
    assert not Attachment.objects.exists()


def test_without_a_script_file_and_text_go_together(
    talk: Conversation, alice: User, amara: User, folder: None
) -> None:
    where = reverse("conversation", args=[talk.public_id])
    form = {"body": "My wound", "client_id": str(uuid4()), "file": upload()}
    assert signed_in(alice).post(where, form).status_code == 302
    file = Attachment.objects.get()
    event = Event.objects.get(attachment=file)
    assert (event.body, file.sent_seq) == ("My wound", event.seq)
    page = signed_in(amara).get(where).content.decode()
    assert address(file) in page
    large = {**form, "client_id": str(uuid4()), "file": upload(data=b"x" * 11 * 1024 * 1024)}
    answer = signed_in(alice).post(where, large)
    assert answer.status_code == 413
    assert "10.0\xa0MB" in answer.content.decode()


def test_sent_files_are_listed_newest_first(
    talk: Conversation, alice: User, amara: User, folder: None, django_assert_num_queries: Any
) -> None:
    first, second = sent(talk, alice), sent(talk, alice, name="second.jpg")
    stored(talk, alice, name="unsent.jpg")
    client = signed_in(amara)
    where = reverse("conversation_attachments", args=[talk.public_id])
    listed = client.get(where).json()
    assert second.sent_seq
    assert [(row["id"], row["seq"]) for row in listed["attachments"]] == [
        (str(second.public_id), second.sent_seq),
        (str(first.public_id), first.sent_seq),
    ]
    assert listed["more"] is False
    earlier = client.get(where, {"before": second.sent_seq}).json()["attachments"]
    assert [row["name"] for row in earlier] == ["wound.jpg"]


# --- Who gets a file, and how (SECURITY 30) -------------------------------------------------
def test_s30_a_file_goes_out_as_a_download_that_can_do_nothing(
    talk: Conversation, alice: User, amara: User, place: Storage
) -> None:
    file = sent(talk, alice, name='Fuß "links"\r\nX-Evil: 1; a.jpg')
    answer = signed_in(amara).get(address(file))
    with open_bytes(file) as whole:
        assert body(answer) == whole.read()
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["Content-Length"] == str(file.size)
    assert answer["Content-Disposition"].startswith("attachment; filename*=utf-8''Fu%C3%9F")
    assert "X-Evil" not in answer.headers
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert_safe(answer, CSP_OF_FILES)
    assert answer["Cache-Control"] == "no-store, private"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"


def test_s30_only_the_small_picture_is_shown_in_place(
    talk: Conversation, alice: User, amara: User, place: Storage
) -> None:
    client = signed_in(amara)
    answer = client.get(address(sent(talk, alice), thumbnail=True))
    assert body(answer).startswith(b"\xff\xd8\xff")
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["Content-Disposition"] == "inline"
    assert_safe(answer, CSP_OF_FILES)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store, private"
    letter = sent(talk, alice, name="letter.pdf", data=files.pdf())
    assert status(client, address(letter, thumbnail=True)) == 404


def test_s30_only_who_takes_part_gets_a_file(
    talk: Conversation, alice: User, bob: User, charlie: User, amara: User, folder: None
) -> None:
    """Bob cares for Alice. Charlie and another doctor have nothing to do with her."""
    stranger = make_doctor_user("other@example.org", "Olga Other")
    theirs = make_conversation(charlie, stranger)
    file, unsent = sent(talk, alice), stored(talk, alice)
    listing = reverse("conversation_attachments", args=[talk.public_id])
    expected = {
        # who: (sent file, unsent file, list, may upload)
        alice: (200, 200, 200, 201),
        bob: (200, 404, 200, 201),
        amara: (200, 404, 200, 201),
        charlie: (404, 404, 404, 404),
        stranger: (404, 404, 404, 404),
        None: (302, 302, 302, 302),
    }
    for who, (whole, own, files_of, uploading) in expected.items():
        client = signed_in(who) if who else Client()
        found = {
            "sent": status(client, address(file)),
            "sent, thumbnail": status(client, address(file, thumbnail=True)),
            "sent, head": status(client, address(file), "head"),
            "unsent": status(client, address(unsent)),
            "unsent, thumbnail": status(client, address(unsent, thumbnail=True)),
            "list": client.get(listing).status_code,
            "upload": post(client, talk, upload()).status_code,
            "post to a file": status(client, address(file), "post"),
        }
        assert found == {
            "sent": whole,
            "sent, thumbnail": whole,
            "sent, head": whole,
            "unsent": own,
            "unsent, thumbnail": own,
            "list": files_of,
            "upload": uploading,
            "post to a file": 405,
        }, who
    assert status(signed_in(charlie), address(sent(theirs, charlie))) == 200


def test_s30_who_is_no_longer_in_a_conversation_no_longer_gets_its_files(
    talk: Conversation, alice: User, bob: User, folder: None
) -> None:
    colleague = make_doctor_user("colleague@example.org", "Cora Colleague")
    row = Participant.objects.create(conversation=talk, user=colleague, added_at=NOW)
    own = sent(talk, colleague)
    of_bob = sent(talk, bob)
    assert status(signed_in(colleague), address(own)) == 200
    Participant.objects.filter(pk=row.pk).update(removed_at=NOW + timedelta(hours=1))
    Carer.objects.filter(user=bob).update(until=NOW)
    assert status(signed_in(colleague), address(own)) == 404
    assert status(signed_in(bob), address(of_bob)) == 404
    assert status(signed_in(alice), address(of_bob)) == 200


def test_s30_a_file_goes_with_its_message(
    talk: Conversation, alice: User, amara: User, folder: None
) -> None:
    file = sent(talk, alice)
    assert file.sent_seq
    act = Act(alice.pk, Delete(talk.public_id, str(uuid4()), file.sent_seq))
    assert isinstance(append([act], now=NOW)[0], Entry)
    for who in (alice, amara):
        assert status(signed_in(who), address(file)) == 404
        assert status(signed_in(who), address(file, thumbnail=True)) == 404
    with open_bytes(file) as whole:
        assert whole.read()  # the record keeps it
    remove_unsent(now=NOW + timedelta(days=30))
    assert Attachment.objects.filter(pk=file.pk).exists()


def test_s30_an_attachment_of_another_conversation_cannot_be_sent(
    talk: Conversation, alice: User, folder: None
) -> None:
    other = make_conversation(alice, make_doctor_user("other@example.org", "Olga Other"))
    file = stored(other, alice)
    act = Act(alice.pk, Send(talk.public_id, str(uuid4()), "x", attachment=file.public_id))
    refusal = append([act], now=NOW)[0]
    assert isinstance(refusal, Refused) and refusal.code == "not_found"
    assert not Event.objects.exists()


def test_s30_no_address_leads_to_a_file_around_the_check(
    talk: Conversation, alice: User, folder: None
) -> None:
    file = sent(talk, alice)
    client = signed_in(alice)
    for prefix in ("/", "/static/", "/media/", "/uploads/", "/var/uploads/", "/static/../var/"):
        assert client.get(f"{prefix}{file.stored_as}").status_code == 404


def test_s37_who_reads_somebody_elses_file_is_written_down_once(
    talk: Conversation, alice: User, amara: User, folder: None
) -> None:
    file = sent(talk, alice)
    before = AuditEvent.objects.count()
    status(signed_in(alice), address(file))
    status(signed_in(amara), address(file, thumbnail=True))
    assert AuditEvent.objects.count() == before
    status(signed_in(amara), address(file))
    row = AuditEvent.objects.get(action="attachment.read")
    assert (row.actor_id, row.patient_id, row.object_type, row.object_id) == (
        *(amara.pk, talk.patient_id, "attachment", str(file.public_id)),
    )
    assert "wound" not in row.detail


def test_a_file_whose_bytes_are_gone_is_not_found(
    talk: Conversation, alice: User, place: Storage
) -> None:
    file = sent(talk, alice)
    place.delete(file.stored_as)
    assert status(signed_in(alice), address(file)) == 404


def test_opening_a_file_costs_the_same_whatever_else_there_is(
    talk: Conversation, alice: User, folder: None, django_assert_max_num_queries: Any
) -> None:
    file = sent(talk, alice)
    for _ in range(3):
        sent(talk, alice)
    client = signed_in(alice)
    with django_assert_max_num_queries(4):  # session, account, terms, file
        body(client.get(address(file, thumbnail=True)))


@pytest.mark.django_db(transaction=True)
def test_over_asgi_a_file_goes_out_piece_by_piece(
    talk: Conversation, alice: User, place: Storage
) -> None:
    data = files.pdf(os.urandom(3_000_000).replace(b"/", b" "))
    file = sent(talk, alice, name="scan.pdf", data=data)
    client = AsyncClient()
    client.force_login(alice)

    async def fetch() -> tuple[int, list[bytes]]:
        answer: Any = await client.get(address(file))
        assert answer.is_async  # a gathered one would warn, and warnings fail tests
        return answer.status_code, [piece async for piece in answer.streaming_content]

    status, pieces = asyncio.run(fetch())
    assert status == 200
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 256 * 1024 < len(data)


# --- Removal --------------------------------------------------------------------------------
def test_a_file_that_no_message_took_is_removed_after_a_day(
    talk: Conversation, alice: User, place: Storage
) -> None:
    kept, unsent = sent(talk, alice), stored(talk, alice)
    assert remove_unsent(now=NOW + timedelta(days=1)) == 0
    assert remove_unsent(now=NOW + timedelta(days=1, seconds=1)) == 1
    assert remove_unsent(now=NOW + timedelta(days=1, seconds=1)) == 0
    assert list(Attachment.objects.all()) == [kept]
    for name in (unsent.stored_as, unsent.thumbnail_as):
        assert not place.exists(name)
    for name in (kept.stored_as, kept.thumbnail_as):
        assert place.exists(name)
    act = Act(alice.pk, Send(talk.public_id, str(uuid4()), "x", attachment=unsent.public_id))
    assert isinstance(append([act], now=NOW)[0], Refused)


def test_one_file_that_cannot_be_removed_does_not_keep_the_others(
    talk: Conversation, alice: User, place: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = stored(talk, alice), stored(talk, alice, NOW + timedelta(seconds=1))
    real = type(place).delete

    def delete(self: Storage, name: str) -> None:
        if name == stuck.stored_as:
            raise OSError("read-only")
        real(self, name)

    monkeypatch.setattr(type(place), "delete", delete)
    later = NOW + timedelta(days=2)
    assert remove_unsent(now=later) == 1
    assert not place.exists(other.stored_as)
    monkeypatch.undo()
    if isinstance(place, DatabaseStorage):
        assert list(Attachment.objects.all()) == [stuck]
        assert remove_unsent(now=later) == 1
    else:  # the row went first: what was left of the file is an orphan
        assert not Attachment.objects.exists()
        assert place.exists(stuck.stored_as)
        assert remove_orphans(now=timezone.now() + timedelta(days=2)) == 2
    assert not place.exists(stuck.stored_as)


def test_only_files_that_no_row_names_are_orphans(
    talk: Conversation, alice: User, place: Storage
) -> None:
    kept, unsent = sent(talk, alice), stored(talk, alice)
    place.save("ff/lost", ContentFile(b"of a server that died"))
    tomorrow = timezone.now() + timedelta(days=1, minutes=1)
    assert remove_orphans(now=timezone.now() + timedelta(hours=23)) == 0
    assert remove_orphans(now=tomorrow) == (0 if isinstance(place, DatabaseStorage) else 1)
    for file in (kept, unsent):
        assert place.exists(file.stored_as) and place.exists(file.thumbnail_as)
    assert isinstance(place, DatabaseStorage) or not place.exists("ff/lost")


@pytest.mark.django_db(transaction=True)
def test_a_file_that_is_sent_while_it_is_removed_is_either_sent_or_removed(
    talk: Conversation, alice: User, folder: None
) -> None:
    later = NOW + timedelta(days=2)
    for _ in range(12):
        file = stored(talk, alice, NOW, data=files.jpeg((16, 16)))
        outcome: list[Any] = []
        start = threading.Barrier(2)

        def send(file: Attachment = file, outcome: Any = outcome, start: Any = start) -> None:
            act = Act(alice.pk, Send(talk.public_id, str(uuid4()), "x", attachment=file.public_id))
            start.wait()
            try:
                outcome.extend(append([act], now=later))
            finally:
                connection.close()

        thread = threading.Thread(target=send)
        thread.start()
        start.wait()
        removed = remove_unsent(now=later)
        thread.join()
        was_sent = isinstance(outcome[0], Entry)
        assert was_sent != bool(removed)
        assert storages["uploads"].exists(file.stored_as) == was_sent
        assert Event.objects.filter(attachment=file).exists() == was_sent
        assert Attachment.objects.filter(pk=file.pk).exists() == was_sent


def test_the_removal_is_a_regular_job(settings: Any) -> None:
    functions = [function for _name, function, _seconds in settings.REGULAR_JOBS]
    assert f"{attachments.__name__}.{remove_unsent.__name__}" in functions
    assert f"{orphans.__name__}.{remove_orphans.__name__}" in functions


def test_a_disabled_account_sees_no_file(talk: Conversation, alice: User, folder: None) -> None:
    file = sent(talk, alice)
    assert list(visible_attachments(alice, NOW)) == [file]
    alice.is_active = False
    assert not visible_attachments(alice, NOW).exists()
