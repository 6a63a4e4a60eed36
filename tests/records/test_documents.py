"""Documents of a record: who may send and open them, what is refused, and what never comes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.core.files.storage import Storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import AuditEvent
from clinic.bodies import limit_for
from clinic.uploads import keeping
from clinic.uploads.refusals import UploadRefused
from records.documents import open_document, readable_documents, remove_unfinished, store
from records.entries import retract
from records.models import Document
from records.refusals import (
    AlreadyRecorded,
    NotInRecord,
    NotYourPatient,
    RecordRefused,
    TooLong,
)
from tests import files
from tests.cast import make_carer, make_patient_user
from tests.records.ward import NOW, Ward, refused, trail

PLACES: dict[str, dict[str, Any]] = {
    "folder": {"BACKEND": "clinic.uploads.storage.FolderStorage"},
    "database": {"BACKEND": "clinic.uploads.storage.DatabaseStorage"},
}


@pytest.fixture(params=["folder", "database"])
def place(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Storage:
    chosen = dict(PLACES[request.param])
    if request.param == "folder":
        chosen["OPTIONS"] = {"location": tmp_path / "uploads"}
    settings.STORAGES = settings.STORAGES | {"uploads": chosen}
    return storages["uploads"]


def send(ward: Ward, data: bytes | None = None, name: str = "letter.pdf", **more: Any) -> Document:
    upload = SimpleUploadedFile(name, files.pdf() if data is None else data)
    facts: dict[str, Any] = {"title": "Letter", "by": ward.by, "now": NOW}
    return store(patient=ward.patient, upload=upload, **(facts | more))


def kept_bytes(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_document_is_kept_and_opened(records: Ward, place: Storage) -> None:
    document = send(records)
    assert (document.title, document.name, document.kept_at) == ("Letter", "letter.pdf", NOW)
    assert document.stored_as != document.name and "letter" not in document.stored_as
    with open_document(document=document, by=records.by, now=NOW) as file:
        assert b"".join(file.chunks()) == files.pdf()
    assert trail(records.patient) == ["document.stored", "document.opened"]


def test_a_picture_has_a_small_one(records: Ward, place: Storage) -> None:
    document = send(records, files.photo(), "arm.jpg", title="")
    assert document.title == "arm.jpg"
    with open_document(document=document, by=records.by, now=NOW, thumbnail=True) as file:
        small = b"".join(file.chunks())
    assert small.startswith(b"\xff\xd8") and len(small) < document.size


def test_patients_send_their_own_and_open_without_a_row(records: Ward, place: Storage) -> None:
    document = send(records, by=records.owner, by_patient=True)
    assert document.by_patient
    open_document(document=document, by=records.owner, now=NOW).close()
    assert trail(records.patient) == ["document.stored"]
    open_document(document=document, by=records.by, now=NOW).close()
    assert trail(records.patient) == ["document.stored", "document.opened"]


def test_s15_nobody_else_sends_or_opens(records: Ward, uploads: Path) -> None:
    carer = make_patient_user("carl@example.org", name="Carl Ames")
    row = make_carer(carer, records.patient)
    for by, by_patient in [
        (records.stranger, False),
        (records.stranger, True),
        (records.owner, False),
        (records.by, True),
        (carer, True),
        (carer, False),
    ]:
        with refused(NotYourPatient, records.patient, "document.stored"):
            send(records, by=by, by_patient=by_patient)
    document = send(records)
    for by in (records.stranger, carer):
        with refused(NotInRecord, records.patient, "document.opened"):
            open_document(document=document, by=by, now=NOW)
        assert not readable_documents(by, NOW).exists()
    row.may_read_record, row.agreed_at = True, NOW
    row.save()
    assert send(records, title="From Carl", by=carer, by_patient=True).by_patient
    open_document(document=document, by=carer, now=NOW).close()
    assert trail(records.patient)[-1] == "document.opened"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("letter.pdf", files.png()),
        ("photo.png", files.pdf()),
        ("page.html", b"<!doctype html><script>alert(1)</script>"),
        ("image.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("files.zip", files.archive()),
        ("photo.png", files.png() + files.archive()),
        ("letter.pdf", files.pdf(catalog=b"/OpenAction << /S /JavaScript /JS (x) >>")),
        ("letter.pdf", files.pdf()[:40]),
        ("bomb.png", files.png_of_size(60_000, 60_000)),
        ("bomb.jpg", files.jpeg_of_size(60_000, 60_000)),
        ("empty.pdf", b""),
        ("large.pdf", b"x" * (site.UPLOAD_MAX_BYTES + 1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_s29_what_is_not_what_it_says_is_refused_and_audited(
    records: Ward, uploads: Path, name: str, data: bytes
) -> None:
    with pytest.raises(UploadRefused) as caught:
        send(records, data, name)
    assert caught.value.message and caught.value.status in {413, 422}
    assert not Document.objects.exists() and not kept_bytes(uploads)
    assert trail(records.patient) == ["document.stored.refused"]
    detail = AuditEvent.objects.get(patient=records.patient).detail
    assert detail == f"upload {caught.value.status}"


def test_s29_the_record_has_large_forms_and_nothing_else_has() -> None:
    some = "0198b3ac-0000-7000-8000-000000000000"
    for path in (f"/admin/charts/{some}/documents/", "/record/documents/"):
        assert limit_for("POST", path, 1) == site.MAX_UPLOAD_BODY_BYTES
        assert limit_for("POST", path, 200 * 1024**2) < 200 * 1024**2
        assert limit_for("GET", path, 1) == site.MAX_BODY_BYTES
    for path in (
        f"/admin/charts/{some}/",
        f"/record/documents/{some}/",
        "/admin/charts/x/documents/",
    ):
        assert limit_for("POST", path, 1) == site.MAX_BODY_BYTES


def test_the_same_file_is_kept_once_under_one_title(records: Ward, place: Storage) -> None:
    first = send(records)
    with refused(AlreadyRecorded, records.patient, "document.stored"):
        send(records)
    assert send(records, title="Another title").pk != first.pk
    retract(entry=first, why="Wrong", by=records.by, now=NOW)
    assert send(records).pk != first.pk


def test_a_title_has_an_end(records: Ward, uploads: Path) -> None:
    with refused(TooLong, records.patient, "document.stored"):
        send(records, title="x" * 121)


def test_a_day_and_a_minute_have_limits(records: Ward, uploads: Path, settings: Any) -> None:
    settings.UPLOADS_PER_DAY, settings.UPLOADS_PER_MINUTE = 2, 100
    for number in range(2):
        send(records, title=f"Letter {number}")
    with pytest.raises(UploadRefused) as caught:
        send(records, title="Letter 2")
    assert caught.value.status == 429
    assert trail(records.patient)[-1] == "document.stored.refused"
    tomorrow = NOW + timedelta(days=1, seconds=1)
    send(records, title="Letter 2", now=tomorrow)
    settings.UPLOADS_PER_MINUTE = 1
    with pytest.raises(UploadRefused):
        send(records, title="Letter 3", now=tomorrow)


# --- What never comes ---------------------------------------------------------------------------


def test_bytes_that_cannot_be_stored_leave_nothing(
    records: Ward, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: Any, **_options: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(type(keeping.uploads()), "_save", fails)
    with pytest.raises(OSError, match="full"):
        send(records)
    assert not Document.objects.exists()
    assert trail(records.patient) == []


def test_a_row_whose_bytes_never_came_is_seen_by_nobody_and_goes(
    records: Ward, place: Storage
) -> None:
    document = send(records, files.photo(), "arm.jpg")
    Document.objects.filter(pk=document.pk).update(kept_at=None)  # as after kill -9
    for by in (records.by, records.owner):
        assert not readable_documents(by, NOW).exists()
        with pytest.raises(RecordRefused):
            open_document(document=document, by=by, now=NOW)
    assert remove_unfinished(now=NOW + timedelta(hours=23)) == 0
    assert remove_unfinished(now=NOW + timedelta(hours=25)) == 1
    assert not Document.objects.exists()
    assert not place.exists(document.stored_as) and not place.exists(document.thumbnail_as)


def test_a_kept_document_is_never_removed(records: Ward, place: Storage) -> None:
    document = send(records)
    assert remove_unfinished(now=NOW + timedelta(days=999)) == 0
    assert place.exists(document.stored_as)
    jobs = {function for _name, function, _seconds in site.REGULAR_JOBS}
    assert f"{remove_unfinished.__module__}.{remove_unfinished.__name__}" in jobs
