"""Mails of the embedded default, readable in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend

LINE = "─" * 72


def readable(message: EmailMessage) -> str:
    """To, subject, the text part, and the names of what is attached."""
    names = [
        part.filename if hasattr(part, "filename") else part[0]
        for part in message.attachments
        if not hasattr(part, "get_payload")
    ]
    attached = [f"Attached: {', '.join(str(name) for name in names)}"] if names else []
    head = [f"Mail to:  {', '.join(message.recipients())}", f"Subject:  {message.subject}"]
    return "\n".join([LINE, *head, *attached, "", str(message.body).rstrip(), LINE, ""])


class ReadableConsoleBackend(EmailBackend):
    """Writes text parts only, where Django's own console backend dumps the whole MIME source."""

    def write_message(self, message: EmailMessage) -> None:
        self.stream.write(readable(message))

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        with self._lock:
            for message in email_messages:
                message.message()  # refuses header injection, as every other backend does
                self.write_message(message)
            self.stream.flush()
        return len(email_messages)
