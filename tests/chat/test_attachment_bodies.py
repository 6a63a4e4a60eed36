"""What a request with a file may weigh, and what real servers make of it (SECURITY 32)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from chat.models import Attachment, Conversation
from clinic.bodies import MARK, limit_for, limited_wsgi
from tests import files
from tests.cast import signed_in
from tests.chat.uploads import post, upload
from tests.servers import end_with_this_process, free_port
from tests.site import ROOT, Site


# --- Bodies (SECURITY 32) -------------------------------------------------------------------
def test_s32_only_the_addresses_that_take_a_file_have_the_larger_limit(
    settings: Any, talk: Conversation
) -> None:
    large, usual = settings.MAX_UPLOAD_BODY_BYTES, settings.MAX_BODY_BYTES
    ways_in = {"conversation", "conversation_attachments"}
    for name in ways_in:
        path = reverse(name, args=[talk.public_id])
        assert limit_for("POST", path, 1000) == large
        assert limit_for("POST", path, 0) == usual  # does not say how long it is
        assert limit_for("PUT", path, 1000) == usual
        assert limit_for("POST", f"{path}more/", 1000) == usual
    from chat.urls import urlpatterns

    for pattern in urlpatterns:
        if pattern.name not in ways_in:
            path = reverse(pattern.name, args=[talk.public_id] if ":" in str(pattern) else [])
            assert limit_for("POST", path, 1000) == usual, pattern.name


def test_s32_a_large_body_elsewhere_is_refused(alice: User, talk: Conversation) -> None:
    where = reverse("conversation_edit", args=[talk.public_id])
    answer = signed_in(alice).post(where, {"body": "x" * 300_000})
    assert answer.status_code == 413
    assert "shorten the text" in answer.content.decode()


@pytest.mark.parametrize("chunked", [False, True])
def test_s32_what_is_refused_was_read(settings: Any, *, chunked: bool) -> None:
    """Or NGINX, which still sends, finds the connection closed and says 502."""
    body = BytesIO(b"x" * (settings.MAX_BODY_BYTES + 100_000))
    marks: list[bool] = []

    def site(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        marks.append(environ[MARK])
        return []

    length = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    if not chunked:
        length = {"CONTENT_LENGTH": str(len(body.getvalue()))}
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/accounts/login/", "wsgi.input": body}
    limited_wsgi(site)(environ | length, lambda *_: None)
    assert marks == [True]
    assert body.tell() == len(body.getvalue())


def test_s32_a_long_text_does_not_come_in_as_if_it_were_a_file(
    alice: User, talk: Conversation
) -> None:
    where = reverse("conversation", args=[talk.public_id])
    answer = signed_in(alice).post(where, {"body": "x" * 300_000, "client_id": str(uuid4())})
    assert answer.status_code == 413


def test_s32_strangers_send_no_files_even_with_a_token(talk: Conversation) -> None:
    """Their bodies are not even read; the check of the form's token would have to."""
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrf"] = "t" * 32
    answer = post(client, talk, upload(data=b"x" * 1_000_000))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))


def test_s22_a_file_needs_the_forms_token(alice: User, talk: Conversation) -> None:
    assert post(signed_in(alice, enforce_csrf_checks=True), talk, upload()).status_code == 403
    assert not Attachment.objects.exists()


def test_s32_two_files_in_one_form_are_a_bad_request(alice: User, talk: Conversation) -> None:
    where = reverse("conversation_attachments", args=[talk.public_id])
    answer = signed_in(alice).post(where, {"file": [upload(), upload("two.jpg")]})
    assert answer.status_code == 400


def test_s32_uploads_touch_no_disk(settings: Any) -> None:
    assert settings.FILE_UPLOAD_HANDLERS == [
        "django.core.files.uploadhandler.MemoryFileUploadHandler"
    ]
    assert settings.FILE_UPLOAD_MAX_MEMORY_SIZE >= settings.MAX_UPLOAD_BODY_BYTES


# --- Over real servers ----------------------------------------------------------------------
BOUNDARY = "clinic-boundary"
TOKEN = "t" * 32

OPEN = """
from accounts.models import User
from chat.models import Conversation
patient = User.objects.get(email="patient1@example.org")
print(Conversation.objects.visible_to(patient).first().public_id)
"""
SESSION = """
from accounts.models import User
from tests.chat.wire import session_of
print(session_of(User.objects.get(email="patient1@example.org")))
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(worker=False) as running:
        yield running


@pytest.fixture(scope="module")
def gunicorn(site: Site) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        end_with_this_process(
            [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "clinic.wsgi"]
        ),
        cwd=ROOT,
        env=site.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    yield port
    process.terminate()
    process.wait(20)


def multipart(data: bytes, name: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n'
    middle = (
        f"\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; "
        f'name="file"; filename="{name}"\r\nContent-Type: application/pdf\r\n\r\n'
    )
    end = f"\r\n--{BOUNDARY}--\r\n"
    return head.encode() + TOKEN.encode() + middle.encode() + data + end.encode()


def say(port: int, talk: str, session: str, pieces: list[bytes], framing: str) -> bytes:
    head = (
        f"POST /messages/{talk}/attachments/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Accept: application/json\r\nCookie: csrf={TOKEN}; session={session}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n{framing}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.settimeout(60)
        answer = b""
        try:
            line.sendall(head.encode())
            for piece in pieces:
                line.sendall(piece)
        except OSError:
            pass
        try:
            while block := line.recv(65_536):
                answer += block
        except OSError:
            pass
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("server", ["daphne", "gunicorn"])
def test_s32_files_come_in_over_real_servers_and_larger_or_endless_ones_do_not(
    server: str, site: Site, gunicorn: int
) -> None:
    port = site.port if server == "daphne" else gunicorn
    talk, session = site.shell(OPEN), site.shell(SESSION)
    assert talk and talk != "None"

    def first_line(form: bytes, framing: str = "", who: str = session) -> bytes:
        pieces = [form]
        if framing:
            pieces = [b"%x\r\n%s\r\n" % (len(form), form), b"0\r\n\r\n"]
        framing = framing or f"Content-Length: {len(form)}"
        return say(port, talk, who, pieces, framing).split(b"\r\n")[0]

    data = os.urandom(9_000_000).replace(b"/", b" ")
    assert b" 201 " in first_line(multipart(files.pdf(data), "scan.pdf"))
    too_large = multipart(files.pdf(data + data[:1_600_000]), "scan.pdf")
    assert b" 413 " in first_line(too_large)
    chunked = "Transfer-Encoding: chunked"
    assert b" 413 " in first_line(multipart(files.pdf(data), "scan.pdf"), chunked)
    if server == "gunicorn":  # over ASGI Django takes a multipart form without length for empty
        assert b" 201 " in first_line(multipart(files.pdf(), "letter.pdf"), chunked)
    assert b" 302 " in first_line(multipart(files.pdf(data), "scan.pdf"), who="nobody")
    # A body that ends before its declared length is no file.
    cut = say(port, talk, session, [multipart(files.pdf(), "x.pdf")[:200]], "Content-Length: 200")
    assert cut.split(b"\r\n")[0].split()[1] in {b"400", b"422"}
