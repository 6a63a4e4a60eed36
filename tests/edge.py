"""The project's own NGINX in front of test servers: real TLS, locations, limits and upstreams.

Its files are laid out as `make lint` reads them (tools/edge.py), and `clinic-edge.sh` writes the
rest, as in the image. What is asked of it as such is in tests/deploy.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.processes import memory_of
from tests.servers import Server, ServerFailed, find, free_port
from tools.edge import Addresses, lay_out, versions_of
from tools.environments import ROOT

NAME = "127.0.0.1"
NOBODY = (9,)  # a port where nothing listens
STOP_SECONDS = 20


def make_certificate(folder: Path, name: str, *, days: int = 30) -> tuple[Path, Path]:
    """A self-signed certificate for a host name or an address, and its key, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    kind = "IP" if name == NAME else "DNS"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", str(key), "-out", str(certificate), "-days", str(days)),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def nginx_command(program: str, main: Path) -> list[str]:
    return [program, "-p", str(main.parent), "-c", str(main), "-e", "stderr"]


def run_start(program: str, main: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`clinic-edge.sh` with the variables of a container and no others."""
    programs = main.parent / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "nginx").unlink(missing_ok=True)
    (programs / "nginx").symlink_to(program)
    options = " ".join(nginx_command(program, main)[1:])
    return subprocess.run(
        ["sh", str(ROOT / "nginx" / "clinic-edge.sh")],
        env={"PATH": f"{programs}:/usr/bin:/bin", "NGINX_OPTIONS": options, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def master_user() -> str:
    """Whom the workers run as: another user may not look into a test's folder."""
    return "root" if os.geteuid() == 0 else ""


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
        self._program = ""

    @property
    def origin(self) -> str:
        return f"https://{NAME}:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "secrets" / f"{NAME}.pem"

    def tls(self) -> ssl.SSLContext:
        """What a client needs that trusts this edge, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def prepare(self) -> None:
        self._program = find("nginx")

        def at(ports: Sequence[int]) -> tuple[str, ...]:
            return tuple(f"{NAME}:{port}" for port in ports)

        main = lay_out(
            self.folder,
            Addresses(
                http=f"{NAME}:{self.plain_port}",
                https=f"{NAME}:{self.port}",
                web=at(self.web or NOBODY),
                ws=at(self.ws or NOBODY),
            ),
            versions=versions_of(self._program),
            user=master_user(),
        )
        (self.folder / "srv" / "static").symlink_to(ROOT / "staticfiles")
        certificate, key = make_certificate(self.folder / "secrets", NAME)
        done = run_start(
            self._program,
            main,
            EDGE_FOLDER=str(self.folder / "edge"),
            SERVER_NAMES=NAME,
            HTTPS_PORT=str(self.port),
            TLS_CERTIFICATE_FILE=str(certificate),
            TLS_KEY_FILE=str(key),
            **self._limits,
        )
        if done.returncode:
            raise ServerFailed(f"the edge was refused:\n{done.stderr}"[-3000:])

    def command(self) -> list[str]:
        return [*nginx_command(self._program, self.folder / "nginx.conf"), "-g", "daemon off;"]

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
        (self.folder / "edge" / "nginx.pid").unlink(missing_ok=True)

    def memory(self) -> int:
        return memory_of(self.pid)
