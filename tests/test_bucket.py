"""STORAGE_URL: files in a store that speaks S3, and what happens when it is away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import User
from chat.attachments import remove_unsent
from chat.models import Attachment, Conversation, Event
from clinic import env
from clinic.env import Bucket
from clinic.outage import StoreAway
from clinic.uploads.bucket import BucketStorage
from clinic.uploads.models import StoredChunk
from clinic.uploads.orphans import remove_orphans
from clinic.uploads.storage import DatabaseStorage
from tests import files
from tests.bucket import KEY, NAME, SECRET, BucketServer
from tests.cast import signed_in
from tests.chat.clinic import say
from tests.chat.wire import make_conversation, make_doctor_user
from tests.servers import free_port
from tests.site import Site

pytestmark = pytest.mark.once

ACCEPTABLE_SECONDS = 20  # until a person reads that the file cannot be taken


def use(settings: Any, place: Bucket) -> BucketStorage:
    chosen = {"BACKEND": "clinic.uploads.bucket.BucketStorage", "OPTIONS": {"place": place}}
    settings.STORAGES = settings.STORAGES | {"uploads": chosen}
    storage = storages["uploads"]
    assert isinstance(storage, BucketStorage)
    return storage


@pytest.fixture
def store(settings: Any, bucket_server: BucketServer) -> BucketStorage:
    return use(settings, bucket_server.place(prefix=f"test-{uuid4()}"))


@pytest.fixture
def talk(alice: User) -> Conversation:
    return make_conversation(alice, make_doctor_user())


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def photo() -> SimpleUploadedFile:
    return SimpleUploadedFile("wound.jpg", files.jpeg(), content_type="image/jpeg")


# --- The address -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "place"),
    [
        (
            "s3://k:s@store.example.org/files",
            Bucket("https://store.example.org", "files", "", "k", "s", "us-east-1"),
        ),
        (
            "s3://k%40y:s%2F%2B@10.0.0.5:9000/files/clinic/one?region=eu-west-1&tls=0",
            Bucket("http://10.0.0.5:9000", "files", "clinic/one", "k@y", "s/+", "eu-west-1"),
        ),
    ],
)
def test_the_address_of_a_store(monkeypatch: pytest.MonkeyPatch, url: str, place: Bucket) -> None:
    monkeypatch.setenv("STORAGE_URL", url)
    assert env.bucket("STORAGE_URL") == place


def test_the_address_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "url").write_text("s3://k:s@store.example.org/files\n")
    monkeypatch.setenv("STORAGE_URL_FILE", str(tmp_path / "url"))
    found = env.bucket("STORAGE_URL")
    assert found is not None and found.bucket == "files"


# --- Files -----------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 10 * 1024 * 1024])
def test_what_is_stored_comes_back(store: BucketStorage, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    store.save("ab/one", ContentFile(data))
    with store.open("ab/one") as file:
        assert file.size == size
        pieces = list(file.chunks())
    assert b"".join(pieces) == data
    assert all(len(piece) <= 256 * 1024 for piece in pieces)
    assert store.size("ab/one") == size and store.exists("ab/one")


def test_what_is_not_there_is_not_found(store: BucketStorage) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("ab/none")
    assert not store.exists("ab/none")
    store.delete("ab/none")


def test_s29_a_stored_file_has_no_address_and_says_nothing_about_itself(
    store: BucketStorage, bucket_server: BucketServer, talk: Conversation, alice: User
) -> None:
    with pytest.raises(ValueError, match="no address"):
        store.url("ab/one")
    answer = signed_in(alice).post(f"/messages/{talk.public_id}/attachments/", {"file": photo()})
    assert answer.status_code == 201
    row = Attachment.objects.get()
    names = bucket_server.names(f"{store.location}/")
    assert names == {f"{store.location}/{name}" for name in (row.stored_as, row.thumbnail_as)}
    kept = bucket_server.client().get_object(Bucket=NAME, Key=sorted(names)[0])
    assert kept["ContentType"] == "application/octet-stream" and kept["Metadata"] == {}
    assert "ContentDisposition" not in kept
    assert not StoredChunk.objects.exists()


def test_s30_a_file_of_the_store_goes_out_through_the_check_alone(
    store: BucketStorage, talk: Conversation, alice: User, charlie: User
) -> None:
    alices = signed_in(alice)
    where = f"/messages/{talk.public_id}/"
    sent = alices.post(where, {"client_id": str(uuid4()), "body": "", "file": photo()})
    assert sent.status_code == 302
    row = Attachment.objects.get()
    address = f"/messages/attachments/{row.public_id}/"
    answer = alices.get(address)
    assert answer.status_code == 200
    data = body(answer)
    assert len(data) == row.size == int(answer["Content-Length"])
    assert answer["Content-Disposition"].startswith("attachment")
    assert "Location" not in answer and "127.0.0.1" not in str(answer.headers)
    assert signed_in(charlie).get(address).status_code == 404
    store.delete(row.stored_as)
    assert alices.get(address).status_code == 404


def test_files_from_before_the_store_are_still_there(
    store: BucketStorage, talk: Conversation, alice: User, settings: Any
) -> None:
    after = settings.STORAGES
    before = {"BACKEND": "clinic.uploads.storage.DatabaseStorage"}
    settings.STORAGES = after | {"uploads": before}
    client = signed_in(alice)
    where = f"/messages/{talk.public_id}/attachments/"
    for _ in range(2):
        assert client.post(where, {"file": photo()}).status_code == 201
    settings.STORAGES = after
    kept, removed = Attachment.objects.order_by("pk")
    say(talk, alice, "", now=timezone.now(), attachment=kept.public_id)
    answer = client.get(f"/messages/attachments/{kept.public_id}/")
    assert answer.status_code == 200 and len(body(answer)) == kept.size
    assert remove_unsent(now=timezone.now() + timedelta(days=2)) == 1
    assert not DatabaseStorage().exists(removed.stored_as)
    assert DatabaseStorage().exists(kept.stored_as)


# --- A store that is away ---------------------------------------------------------------------
@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(2)
        for one in held:
            one.close()


@pytest.fixture(params=["nobody listens", "nobody answers", "no bucket"])
def away(request: pytest.FixtureRequest, settings: Any, bucket_server: BucketServer) -> Any:
    """A store that cannot be used."""
    if request.param == "no bucket":
        return use(settings, Bucket(bucket_server.endpoint, "other", "", KEY, SECRET, "us-east-1"))
    silent = request.param == "nobody answers"
    port = request.getfixturevalue("silent_port") if silent else free_port()
    return use(settings, Bucket(f"http://127.0.0.1:{port}", NAME, "", KEY, SECRET, "us-east-1"))


def test_an_upload_without_a_store_is_refused_with_a_sentence_and_leaves_nothing(
    away: BucketStorage, talk: Conversation, alice: User
) -> None:
    client = signed_in(alice)
    where = f"/messages/{talk.public_id}/"
    begun = time.monotonic()
    answer = client.post(f"{where}attachments/", {"file": photo()})
    assert time.monotonic() - begun < ACCEPTABLE_SECONDS
    assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
    assert answer.json()["code"] == "unavailable" and answer.json()["retry_after_ms"] > 0
    assert "Send it again in a few minutes" in answer.json()["detail"]
    words = {"client_id": str(uuid4()), "body": "Look at this", "file": photo()}
    page = client.post(where, words)  # without a script: what was typed is still there
    assert page.status_code == 503
    text = page.content.decode()
    assert "Send it again in a few minutes" in text and "Look at this" in text
    assert not Attachment.objects.exists() and not Event.objects.exists()
    assert not StoredChunk.objects.exists()


def test_a_file_that_cannot_be_had_just_now_is_503_and_not_gone(
    store: BucketStorage, talk: Conversation, alice: User, settings: Any
) -> None:
    client = signed_in(alice)
    where = f"/messages/{talk.public_id}/"
    client.post(where, {"client_id": str(uuid4()), "body": "", "file": photo()})
    row = Attachment.objects.get()
    address = f"/messages/attachments/{row.public_id}/"
    use(settings, Bucket(f"http://127.0.0.1:{free_port()}", NAME, "", KEY, SECRET, "us-east-1"))
    for path in (address, f"{address}?thumbnail=1"):
        answer = client.get(path)
        assert answer.status_code == 503 and int(answer["Retry-After"]) > 0
    assert client.get(where).status_code == 200  # the messages are still there


def test_what_a_store_kept_though_its_answer_was_lost_is_removed_by_the_nightly_job(
    store: BucketStorage, talk: Conversation, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BucketStorage._save

    def lose_the_answer(self: BucketStorage, name: str, content: Any) -> str:
        real(self, name, content)
        raise StoreAway("timed out")

    def lose(self: BucketStorage, name: str) -> None:
        raise StoreAway("timed out")

    monkeypatch.setattr(BucketStorage, "_save", lose_the_answer)
    monkeypatch.setattr(BucketStorage, "delete", lose)
    where = f"/messages/{talk.public_id}/attachments/"
    assert signed_in(alice).post(where, {"file": photo()}).status_code == 503
    assert not Attachment.objects.exists()
    assert len(list(store.names_before(timezone.now() + timedelta(minutes=1)))) == 1
    monkeypatch.undo()
    assert remove_orphans(now=timezone.now() + timedelta(hours=23)) == 0
    assert remove_orphans(now=timezone.now() + timedelta(days=1, minutes=1)) == 1
    assert not list(store.names_before(timezone.now() + timedelta(minutes=1)))


def test_the_nightly_job_waits_for_a_store_that_is_away(away: BucketStorage, db: None) -> None:
    assert remove_orphans(now=timezone.now()) == 0


# --- The whole site -----------------------------------------------------------------------------
@pytest.mark.slow
def test_a_site_with_storage_url_keeps_files_there(bucket_server: BucketServer) -> None:
    before = bucket_server.names()
    with Site(STORAGE_URL=bucket_server.url, worker=False) as site:
        site.shell(
            "from accounts.models import User\n"
            "from chat.attachments import store\n"
            "from chat.models import Conversation\n"
            "from django.core.files.uploadedfile import SimpleUploadedFile\n"
            "from django.utils import timezone\n"
            "from tests import files\n"
            "talk = Conversation.objects.exclude(patient__account=None).first()\n"
            "store(conversation=talk, by=talk.patient.account, now=timezone.now(),\n"
            "      upload=SimpleUploadedFile('a.jpg', files.jpeg()))\n"
        )
        chunks = site.shell(
            "from clinic.uploads.models import StoredChunk; print(StoredChunk.objects.count())"
        )
    assert len(bucket_server.names() - before) == 2
    assert chunks == "0"
