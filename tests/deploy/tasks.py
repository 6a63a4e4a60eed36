"""What a stack's containers run, as processes: ``deploy/entrypoint ROLE`` with secrets in files."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from deploy.tool.secrets import NO_STORE
from tests.servers import Server
from tests.site import _is_setting
from tools.environments import ROOT

SECRET_KEY = "a-key-for-tests-only-that-is-long-enough-to-be-accepted"
SECRETS = (
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"),
    "STORAGE_URL",
)


def container(folder: Path, role: str, **settings: str) -> dict[str, str]:
    """The environment of a container: no setting of this process's, secrets as files.

    ``NAME=""`` leaves a setting out.
    """
    facts = {
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{folder / 'none.sqlite3'}",
        "EMAIL_URL": "consolemail://",
        "STORAGE_URL": NO_STORE,
        "PUBLIC_URL": "https://clinic.example.org",
        "TRUSTED_PROXY_COUNT": "1",
        "WEB_WORKERS": "1",
        "DRAIN_SECONDS": "0",
        # Only gunicorn's processes share their numbers; elsewhere than a container's would be.
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics") if role == "web" else "",
        **settings,
    }
    kept = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    environment = {**kept, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "clinic.settings"}
    for name, value in facts.items():
        if not value:
            continue
        if name in SECRETS:
            path = folder / name.lower()
            path.write_text(value + "\n")
            environment[f"{name}_FILE"] = str(path)
        else:
            environment[name] = value
    return environment


def entrypoint(
    role: str, *arguments: str, environment: dict[str, str], seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs one task to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "entrypoint"), role, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


class Task(Server):
    """A task of ``web`` or ``ws`` on a private port."""

    def __init__(self, role: str, **settings: str) -> None:
        self.name = role
        super().__init__()
        self._settings = settings

    def command(self) -> list[str]:
        listen = {
            "web": ["--bind", f"127.0.0.1:{self.port}"],
            "ws": ["-b", "127.0.0.1", "-p", str(self.port), "--drain-seconds", "0"],
        }
        return [sys.executable, str(ROOT / "deploy/entrypoint"), self.name, *listen[self.name]]

    def environment(self) -> dict[str, str]:
        return container(self.folder, self.name, **self._settings)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def end(self) -> int:
        """SIGTERM; the code it ended with."""
        process = self._process
        assert process is not None
        process.terminate()
        return process.wait(30)
