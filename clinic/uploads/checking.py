"""What is let in: photos and PDF files that are what their names say, and nothing besides.

A file is judged by its first bytes *and* by its name, which must agree. Pictures are decoded and
encoded anew, so nothing of the sent bytes remains, neither the place where a photo was taken nor
anything behind its end. What is a second kind of file as well (an archive or a page behind a
picture) is refused, since nobody makes such a file by accident.

A PDF is kept as it came. The checks of its content catch what an honest program wrote; someone who
hides things finds ways around them, so what protects readers is how files go out: as a download,
never shown inside the site.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from clinic.uploads import pictures
from clinic.uploads.names import clean_name, extension_of
from clinic.uploads.refusals import UploadRefused

PDF_END_WITHIN = 1024  # bytes from the end; readers look for %%EOF no further up
ZIP_END_WITHIN = 65_557  # the longest end record of an archive, its comment included


@dataclass(frozen=True)
class Kind:
    content_type: str
    extensions: tuple[str, ...]
    begins: re.Pattern[bytes]


JPEG = Kind(pictures.JPEG, ("jpg", "jpeg"), re.compile(rb"\xff\xd8\xff"))
PNG = Kind(pictures.PNG, ("png",), re.compile(rb"\x89PNG\r\n\x1a\n"))
WEBP = Kind(pictures.WEBP, ("webp",), re.compile(rb"RIFF....WEBP", re.DOTALL))
PDF = Kind("application/pdf", ("pdf",), re.compile(rb"%PDF-[12]\.\d"))
KINDS = [JPEG, PNG, WEBP, PDF]

# What a browser would take for a page, and what a server might run.
MARKUP = re.compile(rb"<(?:!doctype|html|script|svg|iframe|\?php)", re.IGNORECASE)
ACTIVE_PDF = re.compile(rb"/(?:JavaScript|Launch|EmbeddedFiles?|RichMedia)(?![A-Za-z])")
ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Checked:
    """A file as it is to be kept."""

    name: str
    content_type: str
    data: bytes
    width: int | None = None
    height: int | None = None
    thumbnail: bytes = b""  # a JPEG; empty when the file is no picture


def check(name: str, data: bytes, *, limit: int) -> Checked:
    """The file ``name`` with the bytes ``data`` as it may be kept; raises `UploadRefused`."""
    refuse_size(len(data), limit=limit)
    kind = _kind(clean_name(name), data)
    name = clean_name(name)
    if kind is PDF:
        _refuse_in_pdf(data)
        return Checked(name, kind.content_type, data)
    _refuse_in_picture(data)
    picture = pictures.anew(data, kind.content_type)
    return Checked(
        name, kind.content_type, picture.data, picture.width, picture.height, picture.thumbnail
    )


def refuse_size(size: int, *, limit: int) -> None:
    if size == 0:
        raise UploadRefused(_("This file is empty. Choose another one."))
    if size > limit:
        words = {"size": filesizeformat(size), "limit": filesizeformat(limit)}
        raise UploadRefused(
            _("This file has %(size)s; %(limit)s is the most. Choose a smaller one.") % words,
            status=413,
        )


def _kind(name: str, data: bytes) -> Kind:
    extension = extension_of(name)
    if extension in {"heic", "heif"}:
        raise UploadRefused(
            _("HEIC photos cannot be sent, because most computers cannot open them. On an iPhone "
              "choose Settings, Camera, Formats, Most Compatible; or save the photo as JPEG.")
        )  # fmt: skip
    named = next((kind for kind in KINDS if extension in kind.extensions), None)
    if named is None:
        raise UploadRefused(_("Only photos (JPEG, PNG or WebP) and PDF files can be sent."))
    if not named.begins.match(data):
        raise UploadRefused(
            _("What is in this file is not what its name says. Save it as JPEG, PNG, WebP or PDF "
              "and send that.")
        )  # fmt: skip
    return named


def _is_archive(data: bytes) -> bool:
    return b"PK\x05\x06" in data[-ZIP_END_WITHIN:] and b"PK\x01\x02" in data


def _refuse_in_picture(data: bytes) -> None:
    if _is_archive(data) or MARKUP.search(data) or b"%PDF-" in data:
        raise UploadRefused(
            _("There is something else in this photo besides the picture. Take a screenshot of it "
              "and send that.")
        )  # fmt: skip


def _refuse_in_pdf(data: bytes) -> None:
    if b"%%EOF" not in data[-PDF_END_WITHIN:]:
        raise UploadRefused(_("This PDF is damaged or cut off. Save it again, then send it."))
    plain = ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), data)
    ends = data[:PDF_END_WITHIN] + data[-PDF_END_WITHIN:]
    if _is_archive(data) or MARKUP.search(ends) or ACTIVE_PDF.search(plain):
        raise UploadRefused(
            _("This PDF holds programs or other files. Print it to a new PDF and send that.")
        )
