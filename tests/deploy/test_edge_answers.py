"""What the edge answers by itself: the way to HTTPS, foreign names, limits of size, its own pages.

Real NGINX with the project's configuration (edge.py); behind it replicas that note what arrives.
"""

from __future__ import annotations

import re
import socket

import pytest

from tests.deploy.edge import NAME, Answer, Edge, read_all, trusting
from tests.deploy.replicas import Replicas
from tests.test_headers import CSP, assert_safe

pytestmark = pytest.mark.once

MIB = 1024 * 1024
HSTS = "max-age=63072000; includeSubDomains; preload"


def assert_own_page(answer: Answer, status: int, *, tls: bool = True) -> None:
    """A page in the product's look, with every header, that names no server and no version."""
    assert answer.status == status
    assert answer["Content-Type"].startswith("text/html")
    assert '<link rel="stylesheet" href="/errors/error.css">' in answer.text
    assert "Harbour Health" in answer.text and "tel:911" in answer.text
    assert re.search(r"give this number: <span>[0-9a-f]{32}</span>", answer.text)
    assert answer["X-Request-ID"] in answer.text
    for inside in ("nginx", "127.0.0.", "upstream", "<!--#", "style=", "<script"):
        assert inside not in answer.text.lower(), inside
    assert_headers(answer, tls=tls)
    assert answer["Cache-Control"] == "no-store"


def assert_headers(answer: Answer, *, tls: bool = True) -> None:
    """All that SECURITY 35 names, each once."""

    names = [name.title() for name, _ in answer.headers if name.lower() != "set-cookie"]

    class Headers(dict[str, str]):
        headers = names

    assert_safe(Headers({name: answer[name] for name in names}), CSP)
    assert answer["Strict-Transport-Security"] == (HSTS if tls else "")
    assert answer["Server"] in {"", "nginx"}


# --- The way to HTTPS, and names that are not ours ------------------------------------------
def test_s35_plain_http_leads_to_https_on_the_public_port(edge: Edge) -> None:
    answer = edge.get("/doctors/?q=back%20pain", tls=False)
    assert answer.status == 301
    assert answer["Location"] == f"https://{NAME}:{edge.port}/doctors/?q=back%20pain"
    assert_headers(answer, tls=False)  # RFC 6797: no HSTS over plain HTTP
    posted = edge.ask("POST", "/accounts/login/", body=b"password=x", tls=False)
    assert posted.status == 301


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1", f"{NAME}.evil.example.org", ""])
def test_s35_a_name_that_is_not_ours_is_refused(
    edge: Edge, replicas: Replicas, host: str, tls: bool
) -> None:
    answer = edge.get("/foreign/name/", host=host, tls=tls)
    assert_own_page(answer, 421 if host else answer.status, tls=tls)
    assert answer.status in {400, 421}
    assert replicas.requests("/foreign/name/") == []


def test_a_second_name_of_ours_is_served(edge: Edge, replicas: Replicas) -> None:
    assert edge.get("/second/", host=f"www.{NAME}").status == 200
    (seen,) = replicas.requests("/second/")
    assert seen.all("host") == [f"www.{NAME}:{edge.port}"]


def test_plain_http_on_the_port_for_tls_leads_on_without_a_bare_page(edge: Edge) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), 10) as line:
        line.sendall(f"GET /x HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        answer = read_all(line)
    assert b" 301 " in answer.split(b"\r\n")[0]
    assert f"Location: https://{NAME}:{edge.port}/x\r\n".encode() in answer
    assert b"nginx/" not in answer


def test_http_2_is_spoken_by_those_who_can(edge: Edge, replicas: Replicas) -> None:
    context = trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority = f"{NAME}:{edge.port}".encode()
    path = b"/over-http-2/"
    head = b"\x82\x87" + b"\x04%c%s" % (len(path), path) + b"\x01%c%s" % (len(authority), authority)
    settings = b"\0\0\0\x04\0\0\0\0\0"
    with edge.line(context=context) as line:
        assert line.selected_alpn_protocol() == "h2"  # type: ignore[attr-defined]
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        line.sendall(len(head).to_bytes(3, "big") + b"\x01\x05\0\0\0\x01" + head)
        frames = line.makefile("rb")
        for _ in range(10):
            start = frames.read(9)
            content = frames.read(int.from_bytes(start[:3], "big"))
            if start[3] == 1:  # HEADERS
                break
    assert content[:1] == b"\x88"  # :status 200
    assert len(replicas.requests("/over-http-2/")) == 1
    assert edge.entry(path="/over-http-2")["protocol"] == "HTTP/2.0"


# --- Limits of size (SECURITY 32) -----------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/form/", 300 * 1024, 200),
        ("/form/", 300 * 1024 + 1, 413),
        ("/messages/7/", 11 * MIB, 200),
        ("/messages/7/", 11 * MIB + 1, 413),
        ("/admin/x/", MIB, 200),
        ("/ws/chat/", 300 * 1024 + 1, 413),
    ],
)
def test_s32_a_body_over_the_limit_of_its_address_never_reaches_the_site(
    edge: Edge, replicas: Replicas, path: str, size: int, status: int
) -> None:
    before = len(replicas.seen)
    answer = edge.ask("POST", path, body=b"x" * size)
    assert answer.status == status
    if status == 413:
        assert_own_page(answer, 413)
        assert len(replicas.seen) == before
    else:
        assert len(replicas.seen[-1].body) == size


def test_s32_a_body_without_a_length_has_the_same_limit(edge: Edge, replicas: Replicas) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    sent = {"Transfer-Encoding": "chunked"}
    small = edge.ask("POST", "/chunks/", body=chunk * 4 + b"0\r\n\r\n", headers=sent)
    assert small.status == 200
    (seen,) = replicas.requests("/chunks/")
    assert len(seen.body) == 4 * 0x4000
    large = edge.ask("POST", "/chunks/", body=chunk * 100 + b"0\r\n\r\n", headers=sent)
    assert_own_page(large, 413)
    assert len(replicas.requests("/chunks/")) == 1


@pytest.mark.parametrize("path", ["/", "/ws/chat/", "/static/x.css"])
def test_s32_a_head_over_the_limit_is_refused(edge: Edge, replicas: Replicas, path: str) -> None:
    before = len(replicas.seen)
    assert_own_page(edge.get(path, headers={"X-Long": "x" * 9000}), 431)
    many = {f"X-{number}": "x" * 4000 for number in range(12)}
    assert_own_page(edge.get(path, headers=many), 431)
    assert_own_page(edge.get(f"{path}?{'x' * 9000}"), 414)
    assert len(replicas.seen) == before


# --- Methods and addresses that are not for visitors (SECURITY 40) --------------------------
@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_a_method_nobody_needs_never_reaches_the_site(
    edge: Edge, replicas: Replicas, method: str
) -> None:
    before = len(replicas.seen)
    answer = edge.ask(method, "/")
    assert answer.status in {400, 405}
    assert_own_page(answer, answer.status)
    assert len(replicas.seen) == before


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/metrics/", "/metrics/x", "//metrics", "/./metrics", "/x/../metrics"),
        *("/%6detrics", "/readyz", "/readyz/", "/livez/", "/livez/x"),
    ],
)
def test_s40_metrics_and_health_details_are_not_reached_through_the_edge(
    edge: Edge, replicas: Replicas, path: str
) -> None:
    before = len(replicas.seen)
    assert_own_page(edge.get(path), 404)
    assert len(replicas.seen) == before


@pytest.mark.parametrize("path", ["/METRICS", "/metricsx"])
def test_s40_what_only_looks_alike_is_the_sites_to_answer(edge: Edge, path: str) -> None:
    assert edge.get(path).text == "from the site"


@pytest.mark.parametrize("tls", [False, True])
def test_s40_whether_the_edge_lives_is_all_it_tells(
    edge: Edge, replicas: Replicas, tls: bool
) -> None:
    before = len(replicas.seen)
    answer = edge.get("/livez", tls=tls)
    assert (answer.status, answer.text) == (200, "ok\n")
    assert_headers(answer, tls=tls)
    assert len(replicas.seen) == before


@pytest.mark.parametrize("path", ["/errors/404.html", "/errors/frame.html", "/errors/"])
def test_the_parts_of_error_pages_are_not_pages(edge: Edge, path: str) -> None:
    assert_own_page(edge.get(path), 404)


@pytest.mark.parametrize("path", ["/errors/error.css", "/errors/mark.svg"])
def test_s35_what_error_pages_load_is_there(edge: Edge, path: str) -> None:
    answer = edge.get(path)
    assert answer.status == 200
    assert_headers(answer)
    assert answer["Cache-Control"] == "public, max-age=300"


def test_a_certificates_client_is_answered_over_plain_http(edge: Edge) -> None:
    folder = edge.folder / "edge" / "acme" / ".well-known" / "acme-challenge"
    (folder / "token").write_text("the-answer")
    answer = edge.get("/.well-known/acme-challenge/token", tls=False)
    assert (answer.status, answer.text) == (200, "the-answer")
    assert_own_page(edge.get("/.well-known/acme-challenge/none", tls=False), 404, tls=False)
    escaped = edge.get("/.well-known/acme-challenge/../../../tls/key.pem", tls=False)
    assert "PRIVATE KEY" not in escaped.text


# --- Static files ---------------------------------------------------------------------------
def test_s35_static_files_come_from_the_edge_packed_and_for_a_year(
    system_edge: Edge, replicas: Replicas
) -> None:
    edge = system_edge
    folder = edge.folder / "srv" / "static" / "css"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.0123456789ab.css").write_text("body{margin:0}" * 200)
    (folder / "site.0123456789ab.css.gz").write_bytes(b"\x1f\x8bpacked-when-built")
    (folder / "plain.css").write_text("a{}")
    before = len(replicas.seen)

    packed = edge.get("/static/css/site.0123456789ab.css", headers={"Accept-Encoding": "gzip, br"})
    assert packed.status == 200
    assert packed["Content-Encoding"] == "gzip"
    assert packed.body == b"\x1f\x8bpacked-when-built"
    plain = edge.get("/static/css/site.0123456789ab.css")
    assert (plain["Content-Encoding"], len(plain.body)) == ("", 2800)
    for answer in (packed, plain):
        assert answer["Vary"] == "Accept-Encoding"
        assert answer["Content-Type"].startswith("text/css")
        assert answer["Cache-Control"] == "public, max-age=31536000, immutable"
        assert_headers(answer)
    unhashed = edge.get("/static/css/plain.css")
    assert unhashed["Cache-Control"] == "public, max-age=300"
    known = {"If-None-Match": plain["ETag"], "If-Modified-Since": plain["Last-Modified"]}
    again = edge.get("/static/css/site.0123456789ab.css", headers=known)
    assert (again.status, again.body) == (304, b"")
    assert_headers(again)
    assert len(replicas.seen) == before


def test_s35_a_refusal_about_a_file_has_the_headers(edge: Edge) -> None:
    (edge.folder / "srv" / "static").mkdir(exist_ok=True)
    (edge.folder / "srv" / "static" / "some.css").write_text("a{}")
    assert_own_page(edge.ask("POST", "/static/some.css"), 405)
    # Only programs ask such things, so no page is shown.
    for status, headers in ((200, {"Range": "bytes=99999-"}), (412, {"If-Match": '"x"'})):
        answer = edge.get("/static/some.css", headers=headers)
        assert answer.status == status
        assert_headers(answer)
        assert "<!--#" not in answer.text


def test_a_file_of_another_release_is_asked_for_at_every_replica(
    edge: Edge, replicas: Replicas
) -> None:
    assert edge.get("/static/css/of-the-next.aaaaaaaaaaaa.css").text == "from the site"
    assert len(replicas.requests("of-the-next")) == 1


@pytest.mark.parametrize(
    "path", ["/static/../errors/404.html", "/static/%2e%2e/nginx.conf", "/static../nginx.conf"]
)
def test_nothing_beside_the_static_files_is_given_out(edge: Edge, path: str) -> None:
    answer = edge.get(path)
    assert "worker_processes" not in answer.text and "<!--#" not in answer.text


# --- The log --------------------------------------------------------------------------------
def test_s38_the_access_log_is_json_without_queries_cookies_or_names(edge: Edge) -> None:
    canary = "Zanzibar-Canary-77"
    edge.get(
        f"/doctors/{canary}/?q={canary}",
        headers={
            "Cookie": f"session={canary}",
            "Referer": f"https://{NAME}/{canary}",
            "User-Agent": f'{canary} "quoted" \\x',
            "Authorization": f"Bearer {canary}",
        },
    )
    edge.get(f"/static/{canary[:3]}.css?q={canary}")
    edge.get(f"/{canary}%0a%22x/?{canary}", headers={"X-Request-ID": canary})
    edge.dialogue(f"GET /{canary} BROKEN\r\nHost: {canary}\r\n\r\n".encode())
    edge.get(f"/last/{canary}/?{canary}")
    entry = edge.entry(path="/last")
    assert {
        *("timestamp", "request_id", "address", "method", "path", "protocol", "tls", "status"),
        *("bytes_in", "bytes_out", "seconds", "upstream", "upstream_status", "limited"),
    } <= set(entry)
    assert entry["address"] == "127.0.0.1"
    assert edge.entry(path="/doctors")["status"] == 200
    assert canary not in edge.log.read_text()


def test_a_request_has_one_number_for_the_log_the_site_and_the_visitor(
    edge: Edge, replicas: Replicas
) -> None:
    answer = edge.get("/numbered/", headers={"X-Request-ID": "chosen-by-the-client"})
    (seen,) = replicas.requests("/numbered/")
    assert seen.all("x-request-id") == [answer["X-Request-ID"]]
    assert edge.entry(request_id=answer["X-Request-ID"])["path"] == "/numbered"
    assert answer["X-Request-ID"] != "chosen-by-the-client"
