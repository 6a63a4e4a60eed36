"""Documents: taken in by what they are, handed out as downloads that can do nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.files.uploadedfile import SimpleUploadedFile

from records.documents import PAGE_COUNTS_FOR
from records.models import Document
from tests.appointments.desk import NOW
from tests.cast import signed_in
from tests.files import HTML, SVG, jpeg, pdf
from tests.records.pages.ward import Ward
from tests.security.world import ended
from tests.test_headers import CSP_OF_FILES, assert_safe

pytestmark = pytest.mark.django_db


def upload(ward: Ward, name: str, data: bytes, title: str = "Letter") -> Any:
    return ward.post("chart_documents", title=title, file=SimpleUploadedFile(name, data))


def test_a_document_is_stored_listed_and_downloaded(ward: Ward) -> None:
    assert upload(ward, "letter.pdf", pdf()).status_code == 302
    document = Document.objects.get()
    page = ward.get("chart_documents").content.decode()
    path = ward.address("chart_document", document.public_id)
    assert f'href="{path}"' in page
    assert "letter.pdf" in page
    before = len(ward.trail())
    answer: Any = ward.client.get(path)
    assert b"".join(answer.streaming_content) == pdf()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="letter.pdf"'
    assert answer.headers["Content-Type"] == "application/pdf"
    assert "no-store" in answer.headers["Cache-Control"]
    assert_safe(answer, CSP_OF_FILES)
    ended(answer)
    assert ward.trail()[before:] == ["document.opened"]


def test_a_picture_has_a_small_one_made_here(ward: Ward) -> None:
    upload(ward, "arm.jpg", jpeg(), "Left arm")
    document = Document.objects.get()
    path = ward.address("chart_document_thumbnail", document.public_id)
    assert f'src="{path}"' in ward.get("chart_documents").content.decode()
    answer: Any = ward.client.get(path)
    data = b"".join(answer.streaming_content)
    assert data[:3] == b"\xff\xd8\xff"
    assert len(data) < document.size
    assert_safe(answer, CSP_OF_FILES)
    ended(answer)
    upload(ward, "letter.pdf", pdf())
    letter = Document.objects.get(name="letter.pdf")
    assert ward.get("chart_document_thumbnail", letter.public_id).status_code == 404


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("page.html", HTML, 422),
        ("picture.svg", SVG, 422),
        ("letter.pdf", HTML, 422),
        ("photo.jpg", pdf(), 422),
        ("cut.pdf", pdf()[:60], 422),
        ("empty.pdf", b"", 422),
        ("program.pdf", pdf(catalog=b"/OpenAction<</S/JavaScript>>"), 422),
    ],
)
def test_s29_what_is_no_letter_and_no_photo_is_refused_at_its_field(
    ward: Ward, name: str, data: bytes, status: int
) -> None:
    answer = upload(ward, name, data)
    page = answer.content.decode()
    assert answer.status_code == status
    assert 'id="id_file_error"' in page
    assert 'value="Letter"' in page
    assert not Document.objects.exists()


def test_a_document_needs_a_title_and_a_file(ward: Ward) -> None:
    assert ward.post("chart_documents", title="Letter").status_code == 422
    assert upload(ward, "letter.pdf", pdf(), title="").status_code == 422
    assert not Document.objects.exists()


def test_the_same_file_twice_is_refused(ward: Ward) -> None:
    upload(ward, "letter.pdf", pdf())
    assert upload(ward, "letter.pdf", pdf()).status_code == 409
    assert Document.objects.count() == 1


def test_s30_a_document_is_found_under_its_own_chart_only(ward: Ward) -> None:
    upload(ward, "letter.pdf", pdf())
    document = Document.objects.get()
    for name in ("chart_document", "chart_document_thumbnail"):
        path = ward.address(name, document.public_id)
        assert signed_in(ward.colleague).get(path).status_code == 404
        assert "record.viewed.refused" in ward.trail()


def test_s37_a_small_picture_belongs_to_its_page_and_else_has_a_row_of_its_own(ward: Ward) -> None:
    upload(ward, "arm.jpg", jpeg(), "Left arm")
    path = ward.address("chart_document_thumbnail", Document.objects.get().public_id)
    before = len(ward.trail())
    ended(ward.client.get(path))  # an address from an older page
    assert ward.trail()[before:] == ["document.opened"]

    ward.get("chart_documents")
    for _each in range(3):
        assert ended(ward.client.get(path)).status_code == 200
    assert ward.trail()[before + 1 :] == ["record.viewed"]

    with time_machine.travel(NOW + PAGE_COUNTS_FOR + timedelta(seconds=1), tick=False):
        ended(signed_in(ward.doctor).get(path))
    assert ward.trail()[before + 2 :] == ["document.opened"]


def test_s37_the_page_of_a_colleague_does_not_count_for_ones_own_look(ward: Ward) -> None:
    upload(ward, "arm.jpg", jpeg(), "Left arm")
    path = ward.address("chart_document_thumbnail", Document.objects.get().public_id)
    ward.get("chart_documents")
    assert signed_in(ward.colleague).get(path).status_code == 404
    assert ward.trail()[-1] == "record.viewed.refused"
