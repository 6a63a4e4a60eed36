"""What a DocumentReference becomes: a note, when its file is a text, or a document."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from records.fhir import codes
from records.fhir.codes import Resource, moment
from records.fhir.reading import Entry, Parsed
from records.fhir.refusals import LeftOut
from records.fhir.taking import Fields, needed, refuse_status, who
from records.writing import says_something

NO_FILE = "without the file itself"


@dataclass(frozen=True)
class Inline:
    """The file of a DocumentReference, decoded."""

    content_type: str
    name: str
    data: bytes

    @property
    def is_note(self) -> bool:
        return self.content_type == codes.TEXT


def inline_file(resource: Resource) -> Inline:
    refuse_status(resource, taken=("current",))
    attachment = (resource.get("content") or [{}])[0].get("attachment") or {}
    if not attachment.get("data"):
        raise LeftOut(NO_FILE)
    try:
        data = base64.b64decode("".join(str(attachment["data"]).split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise LeftOut("a damaged file") from error
    content_type = str(attachment.get("contentType", "")).partition(";")[0].strip().lower()
    return Inline(content_type, str(attachment.get("title", "")), data)


def note(parsed: Parsed, entry: Entry, file: Inline) -> Fields:
    """A text is a signed note of somebody else's; what it is about is its encounter."""
    resource = entry.resource
    try:
        body = file.data.decode("utf-8").replace("\r\n", "\n").replace("\x00", "")
    except UnicodeDecodeError as error:
        raise LeftOut("a text that is not UTF-8") from error
    if not says_something(body):
        raise LeftOut("an empty text")
    signed = needed(moment(resource.get("date")))
    authors = [who(parsed, person, holder=resource) for person in resource.get("author", ())]
    return {
        "body": body,
        "signed_at": signed,
        "created_at": signed,
        "saved_at": signed,
        "signed_name": ", ".join(name for name in authors if name),
    }


def appended_to(parsed: Parsed, entry: Entry) -> Entry | None:
    """The entry that a note amends."""
    for relation in entry.resource.get("relatesTo", ()):
        if relation.get("code") == "appends":
            return parsed.need(relation.get("target"), holder=entry.resource)
    return None


def context_of(resource: Resource) -> Any:
    encounters = (resource.get("context") or {}).get("encounter") or [None]
    return encounters[0]
