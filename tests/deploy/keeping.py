"""Servers that write binary logs, keys of age, and folders of kept files, for tests of backups."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.keep.store import Piece, Store
from tests.mysql import ROOT_VARIABLE, MySQL
from tests.servers import MariaDB, find

DATABASE = "clinic"


class LoggedMariaDB(MariaDB):
    """As the stack's server: with binary logs."""

    def __init__(self, number: int = 7) -> None:
        super().__init__()
        self.number = number  # tells two of them apart, as the UUID of MySQL's

    def command(self) -> list[str]:
        plain = [part for part in super().command() if part != "--skip-log-bin"]
        logs = ["--log-bin=binlog", f"--server-id={self.number}", "--binlog-format=ROW"]
        return [*plain, *logs]

    def zones(self) -> str:
        return "SELECT 1"


class LoggedMySQL(MySQL):
    def command(self) -> list[str]:
        plain = [part for part in super().command() if part != "--skip-log-bin"]
        gtids = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"]
        return [*plain, "--log-bin=binlog", "--server-id=1", *gtids]

    def zones(self) -> str:
        return "SELECT 1"


def mysql_root() -> Path | None:
    root = os.environ.get(ROOT_VARIABLE)
    return Path(root) if root else None


@dataclass
class Keys:
    key: Path
    recipients: Path


def make_keys(folder: Path) -> Keys:
    find("age")
    find("zstd")
    keys = Keys(folder / "right.key", folder / "recipients")
    subprocess.run(["age-keygen", "-o", str(keys.key)], check=True, capture_output=True)
    (public,) = [line for line in keys.key.read_text().splitlines() if "public key" in line]
    keys.recipients.write_text(public.rpartition(" ")[2] + "\n")
    return keys


def environment(server: MariaDB, folder: Path, keys: Keys) -> dict[str, str]:
    """What `deploy/backup` reads."""
    login = {"USER": server.user, "PASSWORD": server.password}
    return {
        "PATH": os.environ["PATH"],
        "BACKUP_TARGET": str(folder),
        "BACKUP_HOST": "127.0.0.1",
        "BACKUP_PORT": str(server.port),
        "BACKUP_RECIPIENTS_FILE": str(keys.recipients),
        **{f"{who}_{name}": login[name] for who in ("BACKUP", "RESTORE") for name in login},
    }


def encrypted(store: Store, keys: Keys, content: str, **about: object) -> Piece:
    """A piece with this content, as `deploy/backup` writes them."""
    draft = store.draft(str(about["name"]))
    packed = subprocess.run(["zstd", "-q", "-c"], input=content.encode(), capture_output=True)
    with draft.open("wb") as file:
        subprocess.run(
            ["age", "--encrypt", "--recipients-file", str(keys.recipients)],
            input=packed.stdout,
            stdout=file,
            check=True,
        )
    return store.keep(draft, **about)


def pretended(store: Store, name: str, **about: object) -> Piece:
    """A piece whose content nobody reads."""
    draft = store.draft(name)
    draft.write_bytes(name.encode())
    return store.keep(draft, name=name, **about)
