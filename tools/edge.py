"""The edge's configuration as its image has it, laid out under a folder of one's own.

For the tests, which start the real NGINX on it, and for the linters of ``make lint``. Folders,
addresses and the resolver are put in place of the image's; nothing else is changed, except that an
NGINX older than the stack's is spared what it does not know yet (``LATER``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.environments import ROOT

SOURCE = ROOT / "nginx"
# The folders of the image (deploy/Dockerfile) and what stands for them.
FOLDERS = {
    "/etc/nginx/clinic": "clinic",
    "/etc/nginx/extra.d": "extra.d",
    "/run/edge": "edge",
    "/srv": "srv",
}
MIME_TYPES = ("/etc/nginx/mime.types", "/usr/local/etc/nginx/mime.types")


# (what brought it, since when, what stands in our files, what an older one understands)
LATER = [
    ("nginx", (1, 25, 1), r"(listen \S+ ssl)( default_server)?;\n    http2 on;", r"\1 http2\2;"),
    ("nginx", (1, 27, 3), r"^(    server \S+) resolve", r"\1"),
    ("nginx", (1, 27, 3), r"^resolver.*\n", ""),
    ("gzip_static", (1, 0, 0), r"^ *gzip_static on;\n", ""),
    ("OpenSSL", (3, 3, 0), r"\?X25519MLKEM768:", ""),
]
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Addresses:
    """What differs from the image, and the image's own; ``web`` and ``ws`` are replicas."""

    http: str = "8080"
    https: str = "8443"
    resolver: str = "127.0.0.11"
    web: tuple[str, ...] = ("web:8000",)
    ws: tuple[str, ...] = ("ws:8000",)


IMAGE = Addresses()
NEWEST = {"nginx": (1, 30, 5), "OpenSSL": (3, 5, 0), "gzip_static": (1, 0, 0)}


def versions_of(program: str) -> dict[str, Version]:
    """Of an NGINX and of the OpenSSL it was built with; what it has not is 0.0.0."""
    said = subprocess.run([program, "-V"], capture_output=True, text=True).stderr
    found: dict[str, Version] = dict.fromkeys(NEWEST, (0, 0, 0))
    for name in ("nginx", "OpenSSL"):
        if match := re.search(rf"{name}[/ ](\d+)\.(\d+)\.(\d+)", said):
            found[name] = (int(match[1]), int(match[2]), int(match[3]))
    if "http_gzip_static_module" in said:
        found["gzip_static"] = (1, 0, 0)
    return found


def replaced(text: str, old: str, new: str) -> str:
    """A replacement that must find something, so that a changed file is no silent surprise."""
    if old not in text:
        raise RuntimeError(f"{old!r} is not in the edge's configuration any more")
    return text.replace(old, new)


def with_replicas(text: str, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """The line of the one name becomes a line for each address."""
    [name] = old
    found = re.search(rf"^ *server {re.escape(name)} .*\n", text, flags=re.MULTILINE)
    if not found:
        raise RuntimeError(f"{name!r} is not among the edge's upstreams any more")
    return text.replace(found[0], "".join(found[0].replace(name, address) for address in new))


def for_versions(text: str, versions: dict[str, Version]) -> str:
    for name, since, ours, older in LATER:
        if versions[name] < since:
            text = re.sub(ours, older, text, flags=re.MULTILINE)
    return text


def lay_out(
    folder: Path,
    addresses: Addresses = IMAGE,
    *,
    versions: dict[str, Version] = NEWEST,
    user: str = "",
) -> Path:
    """Writes the configuration under ``folder``; returns nginx.conf. What ``clinic-edge.sh`` adds
    at each start comes into ``folder/edge``. ``user`` names whom a master run by root becomes."""
    texts = {path.name: path.read_text() for path in SOURCE.glob("*.conf")}
    servers, upstreams = texts["servers.conf"], texts["upstreams.conf"]
    servers = replaced(servers, f"listen {IMAGE.http}", f"listen {addresses.http}")
    texts["servers.conf"] = replaced(servers, f"listen {IMAGE.https}", f"listen {addresses.https}")
    upstreams = replaced(upstreams, IMAGE.resolver, addresses.resolver)
    upstreams = with_replicas(upstreams, IMAGE.web, addresses.web)
    texts["upstreams.conf"] = with_replicas(upstreams, IMAGE.ws, addresses.ws)
    main = replaced(texts["nginx.conf"], "/etc/nginx/mime.types", str(folder / "mime.types"))
    texts["nginx.conf"] = f"user {user};\n{main}" if user else main

    for name in FOLDERS.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        for there, here in FOLDERS.items():
            text = text.replace(f"{there}/", f"{folder / here}/")
            text = text.replace(f"{there};", f"{folder / here};")
        place = folder if name == "nginx.conf" else folder / "clinic"
        (place / name).write_text(for_versions(text, versions))
    shutil.copytree(SOURCE / "errors", folder / "srv" / "errors", dirs_exist_ok=True)
    mime_types = next((path for path in map(Path, MIME_TYPES) if path.is_file()), None)
    kinds = mime_types.read_text() if mime_types else "types { text/html html; text/css css; }\n"
    (folder / "mime.types").write_text(kinds)
    return folder / "nginx.conf"


# What `clinic-edge.sh` writes, for a look at the files without a certificate and without NGINX.
SITE = """
map "" $public_port { default ""; }
map "" $clinic_name { default "Harbour Health"; }
map "" $emergency_number { default "911"; }
limit_req_zone $page_key zone=pages:10m rate=100r/s;
limit_req_zone $sign_in_key zone=sign_in:10m rate=5r/s;
limit_req_zone $booking_key zone=booking:10m rate=20r/s;
limit_conn_zone $client_network zone=connections:10m;
"""

CONNECTIONS = """
limit_conn connections 1000;
limit_conn files 18;
limit_conn files_of 9;
limit_conn forms 100;
"""


def as_started(folder: Path) -> Path:
    """The whole configuration of the image, as it is once `clinic-edge.sh` was there."""
    main = lay_out(folder)
    (folder / "edge" / "site.conf").write_text(SITE)
    (folder / "edge" / "names.conf").write_text("server_name clinic.example.org;\n")
    (folder / "edge" / "connections.conf").write_text(CONNECTIONS)
    return main


def gixy(main: Path) -> int:
    """0 when gixy finds nothing at all."""
    program = Path(sys.executable).parent / "gixy"
    return subprocess.run([str(program), str(main)], stdin=subprocess.DEVNULL).returncode


def lint() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return gixy(as_started(Path(folder)))


if __name__ == "__main__":
    sys.exit(lint())
