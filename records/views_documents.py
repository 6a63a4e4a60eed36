"""Documents of a record: taken in, listed, and handed out as downloads that can do nothing."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from clinic.uploads.refusals import UploadRefused
from clinic.uploads.serving import download, thumbnail
from records.documents import open_document, store
from records.forms import DocumentForm
from records.models import Document
from records.refusals import RecordRefused
from records.views_common import chart_page, done, refused, sheet_of
from records.views_facts import entry_or_404

PER_PAGE = 50


def documents(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The files of a record, newest first; the form takes one in."""
    sheet = sheet_of(request, public_id)
    form, status = DocumentForm(), int(HTTPStatus.OK)
    if request.method == "POST":
        form = DocumentForm(request.POST, request.FILES)
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if form.is_valid():
            given = form.cleaned_data
            try:
                store(
                    patient=sheet.patient,
                    upload=given["file"],
                    title=given["title"],
                    by=sheet.by,
                    now=sheet.now,
                )
            except (UploadRefused, RecordRefused) as refusal:
                status = _refused(form, refusal)
            else:
                return done(request, sheet, _("The document is in the record."), "chart_documents")
    known = Document.objects.visible_to(sheet.by, sheet.now).filter(patient=sheet.patient)
    newest = known.select_related("recorded_by", "retracted_by").order_by("-recorded_at", "-pk")
    page = Paginator(newest, PER_PAGE).get_page(request.GET.get("page"))
    return chart_page(
        request,
        "records/documents.html",
        sheet,
        title=_("Documents"),
        section="documents",
        status=status,
        form=form,
        page_obj=page,
    )


def _refused(form: DocumentForm, refusal: UploadRefused | RecordRefused) -> int:
    if isinstance(refusal, RecordRefused):
        return refused(form, refusal)
    form.add_error("file", refusal.message)
    return int(refusal.status)


@require_safe
def document(request: HttpRequest, public_id: uuid.UUID, entry_id: uuid.UUID) -> HttpResponseBase:
    """One file as a download; the rule writes down who took it."""
    sheet = sheet_of(request, public_id, quiet=True)
    found = entry_or_404(Document, sheet, entry_id)
    try:
        file = open_document(document=found, by=sheet.by, now=sheet.now)
    except FileNotFoundError as error:
        raise Http404 from error
    return download(request, file, name=found.name, content_type=found.content_type)


@require_safe
def document_thumbnail(
    request: HttpRequest, public_id: uuid.UUID, entry_id: uuid.UUID
) -> HttpResponseBase:
    """The small picture beside a file in the list."""
    sheet = sheet_of(request, public_id, quiet=True)
    found = entry_or_404(Document, sheet, entry_id)
    if not found.thumbnail_as:
        raise Http404
    try:
        file = open_document(document=found, by=sheet.by, now=sheet.now, thumbnail=True)
    except FileNotFoundError as error:
        raise Http404 from error
    return thumbnail(request, file)
