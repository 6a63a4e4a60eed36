"""The project's own NGINX in front of test servers: real TLS, locations, limits and upstreams.

The files of `nginx/` are used as they are and `clinic-edge.sh` writes the rest, as in the image.
Changed are folders, ports and the list of replicas, which the image asks the engine's DNS for; and
what needs a newer NGINX or OpenSSL than Debian has: the directive `http2`, the hybrid key exchange.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.servers import SYSTEM_FOLDERS, Server, ServerFailed, find, free_port

ROOT = Path(__file__).resolve().parent.parent
NAME = "127.0.0.1"
NOBODY = 9  # a port where nothing listens
STOP_SECONDS = 20


def descendants(pid: int) -> Iterator[int]:
    """A process and everything it started (Linux)."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return
    for child in children:
        yield from descendants(int(child))


def memory_of(pid: int) -> int:
    """Bytes of memory that a process and everything it started has in use (Linux)."""
    total = 0
    for one in descendants(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except FileNotFoundError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process and everything it started has used (Linux)."""
    ticks = 0
    for one in descendants(pid):
        try:
            facts = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        ticks += sum(map(int, facts[11:15]))  # its own, and those of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")


class Edge(Server):
    """NGINX before ``web`` and ``ws``: ports of 127.0.0.1, set before it starts.

    ``limits``: settings of `clinic-edge.sh`, such as ``LIMIT_CONNECTIONS``.
    """

    name = "edge"
    ends_by = "TERM"  # its workers would outlive a master that was killed

    def __init__(self, **limits: str) -> None:
        super().__init__()
        self.plain_port = free_port()
        self.web: Sequence[int] = ()
        self.ws: Sequence[int] = ()
        self._limits = limits

    @property
    def origin(self) -> str:
        return f"https://{NAME}:{self.port}"

    @property
    def _configuration(self) -> Path:
        return self.folder / "clinic" / "nginx.conf"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    def tls(self) -> ssl.SSLContext:
        """What a client needs that trusts this edge, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def prepare(self) -> None:
        self._make_certificate()
        clinic, run, srv = (self.folder / name for name in ("clinic", "run", "srv"))
        for folder in (clinic, run, srv):
            folder.mkdir()
        for name in ("errors", "static"):
            (srv / name).symlink_to(ROOT / ("nginx/errors" if name == "errors" else "staticfiles"))
        for file in (ROOT / "nginx").glob("*.conf"):
            text = file.read_text()
            for old, new in self._changes().get(file.name, ()):
                text, found = re.subn(old, new, text)
                if not found:
                    raise ServerFailed(f"nginx/{file.name} has no {old!r} any more: see {__name__}")
            for old, new in (
                ("/etc/nginx/clinic/", f"{clinic}/"),
                ("/etc/nginx/extra.d/", f"{clinic}/extra.d/"),
                ("/run/edge", str(run)),
                ("/srv", str(srv)),
            ):
                text = text.replace(old, new)
            (clinic / file.name).write_text(text)
        self._run_entrypoint(run)

    def _changes(self) -> dict[str, list[tuple[str, str]]]:
        def replicas(ports: Sequence[int]) -> str:
            return "\n    ".join(
                f"server 127.0.0.1:{port} max_fails=1 fail_timeout=5s;" for port in ports
            )

        options = "resolve max_fails=1 fail_timeout=5s;"
        # As root its workers would be another user, who may not look into this folder.
        user = "user root;\n" if os.geteuid() == 0 else ""
        return {
            "nginx.conf": [("worker_processes auto;", f"{user}worker_processes auto;")],
            "servers.conf": [
                ("listen 8080", f"listen 127.0.0.1:{self.plain_port}"),
                ("listen 8443 ssl", f"listen 127.0.0.1:{self.port} ssl http2"),
                ("    http2 on;\n", ""),
            ],
            "tls.conf": [(r"\??X25519MLKEM768:", "")],
            "upstreams.conf": [
                (f"server web:8000 {options}", replicas(self.web or [NOBODY])),
                (f"server ws:8000 {options}", replicas(self.ws or [NOBODY])),
            ],
        }

    def _make_certificate(self) -> None:
        done = subprocess.run(
            [
                *(find("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={NAME}"),
                *("-addext", f"subjectAltName=IP:{NAME}"),
                *("-keyout", str(self.folder / "key.pem")),
                *("-out", str(self.certificate)),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"openssl made no certificate:\n{done.stderr}")

    def _run_entrypoint(self, run: Path) -> None:
        done = subprocess.run(
            ["/bin/sh", str(ROOT / "nginx" / "clinic-edge.sh")],
            env={
                "PATH": os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS]),
                "EDGE_FOLDER": str(run),
                "SERVER_NAMES": NAME,
                "HTTPS_PORT": str(self.port),
                "TLS_CERTIFICATE_FILE": str(self.certificate),
                "TLS_KEY_FILE": str(self.folder / "key.pem"),
                "NGINX_OPTIONS": f"-c {self._configuration}",
                **self._limits,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServerFailed(f"the edge was refused:\n{done.stderr}"[-3000:])

    def command(self) -> list[str]:
        return [find("nginx"), "-c", str(self._configuration), "-g", "daemon off;"]

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((NAME, self.port)) == 0

    def reload(self) -> None:
        """New workers with the configuration; the old ones keep their sockets for a while."""
        os.kill(self.pid, signal.SIGHUP)

    def kill(self) -> None:
        """SIGKILL for all of it: whoever was connected is cut off."""
        os.killpg(self.pid, signal.SIGKILL)
        super().kill()
        deadline = time.monotonic() + STOP_SECONDS
        while self.answers() and time.monotonic() < deadline:
            time.sleep(0.02)
        (self.folder / "run" / "nginx.pid").unlink(missing_ok=True)

    def memory(self) -> int:
        return memory_of(self.pid)
