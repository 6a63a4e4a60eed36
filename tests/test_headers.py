"""SECURITY 35 and 32: every answer has the headers, whatever its status, and bodies are bounded."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import FileResponse, HttpRequest, HttpResponse
from django.templatetags.static import static
from django.test import Client, override_settings
from django.urls import path

from clinic import urls
from tests.servers import end_with_this_process, free_port
from tests.site import ROOT, Site


def answer_with(request: HttpRequest, status: int) -> HttpResponse:
    return HttpResponse("…", status=status)


def refuse(request: HttpRequest, kind: str) -> HttpResponse:
    raise {
        "400": BadRequest("bad"),
        "suspicious": SuspiciousOperation("odd"),
        "403": PermissionDenied("no"),
        "500": RuntimeError("broken"),
    }[kind]


def read_form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{len(request.POST.get('text', ''))} characters")


def a_file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(__file__, "rb"))


urlpatterns = [
    *urls.urlpatterns,
    path("status/<int:status>/", answer_with),
    path("refuse/<str:kind>/", refuse),
    path("form/", read_form),
    path("file/", a_file),
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500

CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}


# A file that somebody sent: it runs and loads nothing, whatever it turns out to be.
CSP_OF_FILES = {
    "sandbox": "",
    "default-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "form-action": "'none'",
}


def assert_safe(answer: Any, expected: dict[str, str] = CSP) -> None:
    policy = {
        name: value
        for part in answer["Content-Security-Policy"].split(";")
        for name, _, value in [part.strip().partition(" ")]
    }
    assert {name: policy.get(name) for name in expected} == expected
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    assert "camera=()" in answer["Permissions-Policy"]
    repeated = [
        name for name, count in Counter(map(str.lower, answer.headers)).items() if count > 1
    ]
    assert repeated == []


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


pytestmark = [pytest.mark.urls("tests.test_headers"), pytest.mark.django_db]


@pytest.mark.parametrize(
    "status", [200, 201, 204, 302, 304, 400, 403, 404, 405, 409, 422, 429, 500]
)
def test_s35_an_answer_of_any_status_has_the_headers(client: Client, status: int) -> None:
    answer = client.get(f"/status/{status}/")
    assert answer.status_code == status
    assert_safe(answer)


@pytest.mark.parametrize(
    ("kind", "status"), [("400", 400), ("suspicious", 400), ("403", 403), ("500", 500)]
)
def test_s35_an_error_page_has_the_headers_and_says_nothing_inside(
    client: Client, kind: str, status: int
) -> None:
    answer = client.get(f"/refuse/{kind}/")
    assert answer.status_code == status
    assert_safe(answer)
    text = answer.content.decode()
    for inside in ("Traceback", "RuntimeError", "broken", "odd", "test_headers"):
        assert inside not in text
    assert "<h1" in text


def test_s35_a_page_that_is_not_there_has_the_headers(client: Client) -> None:
    answer = client.get("/no/such/page/")
    assert answer.status_code == 404
    assert_safe(answer)


def test_s35_a_wrong_method_has_the_headers(client: Client) -> None:
    answer = client.post("/livez")
    assert answer.status_code == 405
    assert_safe(answer)


def test_s35_a_host_that_is_not_ours_has_the_headers(client: Client) -> None:
    answer = client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert_safe(answer)


def test_s35_a_form_without_its_token_has_the_headers_and_a_page_of_ours() -> None:
    answer = Client(enforce_csrf_checks=True).post("/form/", {"text": "x"})
    assert answer.status_code == 403
    assert_safe(answer)
    assert "load the page again" in answer.content.decode()


def test_s35_files_have_the_headers(client: Client) -> None:
    sent = client.get("/file/")
    assert sent.status_code == 200
    assert_safe(sent)
    sent.close()
    served = client.get(static("css/site.css"))
    assert served.status_code == 200, "run manage.py collectstatic for production mode"
    assert served["Content-Type"].startswith("text/css")
    assert_safe(served)
    served.close()
    missing = client.get("/static/no-such-file.css")
    assert missing.status_code == 404
    assert_safe(missing)


@override_settings(SECURE_SSL_REDIRECT=True)
def test_s35_the_way_to_https_has_the_headers(client: Client) -> None:
    answer = client.get("/", headers={"host": "localhost"})
    assert answer.status_code == 301
    assert answer["Location"] == "https://localhost/"
    assert_safe(answer)


@override_settings(SECURE_HSTS_SECONDS=63_072_000, SECURE_HSTS_INCLUDE_SUBDOMAINS=True)
@pytest.mark.parametrize("address", ["/status/200/", "/refuse/500/", "/no/such/page/"])
def test_s35_over_https_browsers_are_told_to_stay_for_two_years(
    client: Client, address: str
) -> None:
    answer = client.get(address, secure=True)
    policy = answer["Strict-Transport-Security"]
    assert policy.startswith("max-age=63072000; includeSubDomains")
    assert "Strict-Transport-Security" not in client.get(address)


# --- Bodies (SECURITY 32) -------------------------------------------------------------------
def test_s32_a_form_over_the_limit_is_refused_before_it_is_read(
    client: Client, settings: Any
) -> None:
    answer = client.post("/form/", {"text": "x" * (settings.MAX_BODY_BYTES + 1)})
    assert answer.status_code == 413
    assert_safe(answer)
    assert "shorten the text" in answer.content.decode()
    assert client.post("/form/", {"text": "x" * 1000}).content == b"1000 characters"


def test_s32_a_form_over_djangos_own_limit_says_the_same(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100  # less than MAX_BODY_BYTES, as with uploads
    answer = client.post("/form/", {"text": "x" * 500})
    assert answer.status_code == 413
    assert_safe(answer)


@pytest.mark.parametrize("name", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "x"])
def test_s32_a_compressed_body_is_a_bad_request(client: Client, name: str) -> None:
    bomb = gzip.compress(b"text=" + b"x" * 50_000_000)
    answer = client.generic(
        "POST",
        "/form/",
        bomb,
        content_type="application/x-www-form-urlencoded",
        headers={"Content-Encoding": name},
    )
    assert answer.status_code == 400
    assert_safe(answer)


def test_s32_parts_in_base64_cost_no_more_than_their_length(client: Client) -> None:
    head = (
        b'--b\r\nContent-Disposition: form-data; name="text"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )

    def seconds(data: bytes) -> float:
        begun = time.perf_counter()
        body = head + data + b"\r\n--b--\r\n"
        answer = client.generic("POST", "/form/", body, "multipart/form-data; boundary=b")
        assert answer.status_code in {200, 400, 413}
        return time.perf_counter() - begun

    plain = b"eHh4" * 50_000
    spread = b"e" + b" " * 199_998 + b"Hh4"  # CVE-2026-33033: white space between the characters
    usual = min(seconds(plain) for _ in range(3))
    assert min(seconds(spread) for _ in range(3)) < 10 * usual + 0.05
    assert client.generic(
        "POST", "/form/", head + b"eHh4" * 70_000 + b"\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    ).status_code == 413  # fmt: skip


def test_s32_too_many_fields_are_a_bad_request(client: Client, settings: Any) -> None:
    fields = {f"f{number}": "x" for number in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1)}
    answer = client.post("/form/", fields)
    assert answer.status_code == 400
    assert_safe(answer)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(sample=None, worker=False) as running:
        yield running


@pytest.fixture(scope="module")
def gunicorn(site: Site) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "clinic.wsgi"]
    process = subprocess.Popen(
        end_with_this_process(command),
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


def talk(port: int, head: str, pieces: list[bytes]) -> bytes:
    """What a server answers to raw bytes; a server may end the talk before all is sent."""
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.settimeout(20)
        try:
            line.sendall(head.replace("\n", "\r\n").encode())
            for piece in pieces:
                line.sendall(piece)
        except OSError:
            pass
        answer = b""
        try:
            while block := line.recv(65536):
                answer += block
        except OSError:
            pass
        return answer


TOKEN = "t" * 32


def chunked(size: int) -> list[bytes]:
    """A form of at least ``size`` bytes with the token that the cookie of CHUNKED asks for."""
    form = f"csrfmiddlewaretoken={TOKEN}&text=".encode()
    parts = [form, *[b"x" * 16_384] * (size // 16_384 + 1)]
    return [*(b"%x\r\n%s\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]


CHUNKED = f"""POST /accounts/login/ HTTP/1.1
Host: 127.0.0.1
Connection: close
Cookie: csrf={TOKEN}
Content-Type: application/x-www-form-urlencoded
Transfer-Encoding: chunked

"""


@pytest.mark.slow
@pytest.mark.parametrize("server", ["daphne", "gunicorn"])
def test_s32_a_body_without_a_length_is_counted_while_it_comes(
    server: str, site: Site, gunicorn: int
) -> None:
    port = site.port if server == "daphne" else gunicorn
    small = talk(port, CHUNKED, chunked(64 * 1024))
    # The form was read: its token was found. An empty one is refused with 403.
    assert b" 422 " in small.split(b"\r\n")[0]
    assert b" 403 " in talk(port, CHUNKED, [b"0\r\n\r\n"]).split(b"\r\n")[0]
    large = talk(port, CHUNKED, chunked(4 * 1024 * 1024))
    assert b" 413 " in large.split(b"\r\n")[0]
    assert b"content-security-policy" in large.lower()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["daphne", "gunicorn"])
def test_s32_a_length_over_the_limit_is_refused(server: str, site: Site, gunicorn: int) -> None:
    port = site.port if server == "daphne" else gunicorn
    size = 1024 * 1024
    head = CHUNKED.replace("Transfer-Encoding: chunked", f"Content-Length: {size}")
    answer = talk(port, head, [b"x" * size])
    assert b" 413 " in answer.split(b"\r\n")[0]


@pytest.mark.slow
def test_s35_headers_are_there_over_real_servers_and_each_once(site: Site, gunicorn: int) -> None:
    for port in (site.port, gunicorn):
        for address in ("/livez", "/no/such/page/", "/static/css/site.css", "/accounts/login/"):
            answer = talk(
                port, f"GET {address} HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n", []
            )
            lines = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")[1:]
            names = Counter(line.partition(b":")[0] for line in lines)
            del names[b"set-cookie"]
            assert names[b"content-security-policy"] == 1, address
            assert [name for name, count in names.items() if count > 1] == [], address
