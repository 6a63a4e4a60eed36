"""Files as a person chooses them, and the request that sends one."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from chat.models import Conversation
from tests import files


def upload(name: str = "wound.jpg", data: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, files.jpeg() if data is None else data)


def post(client: Client, talk: Conversation, file: Any, **options: Any) -> Any:
    where = reverse("conversation_attachments", args=[talk.public_id])
    return client.post(where, {"file": file}, headers={"accept": "application/json"}, **options)
