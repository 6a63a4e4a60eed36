"""The operator's settings: lines NAME=value in a file, overridden by the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from deploy.tool.docker import Problem

ROOT = Path(__file__).resolve().parents[2]
STACK_FILE = ROOT / "docker-stack.yml"
# Of docker-stack.yml: which names, what their values look like, and how to say it.
_SERVICE = "(?:NGINX|WEB|WS|WORKER|MYSQL|REDIS|BACKUP)"
RULES = (
    (rf"{_SERVICE}_REPLICAS", r"\d{1,3}", "a whole number from 0"),
    (
        r"HTTPS?_PORT|LIMIT_(?:PAGES|SIGN_IN|BOOKING|CONNECTIONS)|WEB_(?:WORKERS|THREADS)"
        r"|MYSQL_CONNECTIONS|BACKUP_(?:EVERY|FULL_EVERY|KEEP_DAYS)",
        r"[1-9]\d{0,8}",
        "a whole number from 1",
    ),
    (r"DRAIN_SECONDS", r"\d{1,3}(?:\.\d+)?", "a number of seconds, such as 6"),
    (rf"{_SERVICE}_CPUS", r"\d+(?:\.\d+)?", "a number of processors such as 0.5, or 0 for all"),
    (rf"{_SERVICE}_MEMORY|MYSQL_BUFFER", r"[1-9]\d*[kKmMgG]", "an amount such as 512M or 2G"),
)
LINE = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*)")


def read_file(path: Path) -> dict[str, str]:
    values = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise Problem(f"{path}, line {number}: write NAME=value, one a line.")
        value = match.group(2).strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[match.group(1)] = value
    return values


class Settings:
    """Values by name; ``stack`` is the stack's name."""

    def __init__(self, path: Path | None) -> None:
        if path is not None and not path.is_file():
            raise Problem(f"{path} is not there. Copy deploy/clinic.env.example and fill it in.")
        default = Path("clinic.env")
        chosen = path or (default if default.is_file() else None)
        self.values = read_file(chosen) if chosen else {}
        self.values |= {name: value for name, value in os.environ.items() if LINE.match(f"{name}=")}
        self.stack = self.get("STACK", "clinic")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.stack):
            raise Problem(f"STACK is {self.stack!r}. Use small letters, digits and hyphens.")

    def get(self, name: str, default: str = "") -> str:
        return self.values.get(name) or default

    def require_site(self) -> None:
        """Fills in what follows from PUBLIC_URL; refuses what would not work."""
        url = self.get("PUBLIC_URL")
        host = urlsplit(url).hostname or ""
        if urlsplit(url).scheme != "https" or not host:
            raise Problem(
                f"PUBLIC_URL is {url!r}. Set it to the address people type, such as "
                "https://clinic.example.org, in clinic.env or in the environment."
            )
        self.values.setdefault("SERVER_NAMES", self.get("ALLOWED_HOSTS", host).replace(",", " "))
        self.values.setdefault("ALLOWED_HOSTS", host)
        port = urlsplit(url).port
        if port:
            self.values.setdefault("HTTPS_PORT", str(port))
        self.require_numbers()

    def require_numbers(self) -> None:
        """Docker would refuse some of these halfway through, and others only in the container."""
        for names, form, words in RULES:
            for name, value in self.values.items():
                if value and re.fullmatch(names, name) and not re.fullmatch(form, value):
                    raise Problem(f"{name} is {value!r}. Set it to {words}. Nothing was changed.")

    def use_tag(self, tag: str) -> None:
        """Images of one release; each name may be set by hand instead."""
        for name, image in (
            ("APP_IMAGE", "clinic-app"),
            ("NGINX_IMAGE", "clinic-nginx"),
            ("BACKUP_IMAGE", "clinic-backup"),
        ):
            if not os.environ.get(name):
                base = self.get(name, f"{self.get('REGISTRY')}{image}").partition("@")[0]
                head, _, last = base.rpartition("/")
                base = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
                self.values[name] = f"{base}:{tag}"

    def environment(self) -> dict[str, str]:
        return {"STACK": self.stack, **self.values}
