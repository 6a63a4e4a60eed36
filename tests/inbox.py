"""A real SMTP server that keeps what it accepts."""

from __future__ import annotations

import asyncio
import email
import email.policy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.servers import free_port


class Inbox:
    """What an SMTP server accepted, with ways to make it slow or unwilling."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.rcpt_answer = "250 OK"
        self.rcpt_seconds = 0.0
        self.data_seconds = 0.0  # between accepting a mail and saying so
        self.asked = threading.Event()  # a client waits for an answer

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        self.asked.set()
        await asyncio.sleep(self.rcpt_seconds)
        if self.rcpt_answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt_answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append(mail)
        self.asked.set()
        await asyncio.sleep(self.data_seconds)
        return "250 accepted"


@contextmanager
def accepting(inbox: Inbox) -> Iterator[Controller]:
    """The server on a port of its own, while the block runs."""
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()
