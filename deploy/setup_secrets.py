"""First start of docker-compose.yml: makes the secrets and a self-signed certificate.

Each container sees only the folder of secrets that it needs, with its own user as the owner. What
is there is never changed, so that this can run at every start. Runs as root inside its container,
because it gives files away; nothing else does.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path("/secrets")
OWNERS = {
    "app": 10001,
    "migrate": 10001,
    "mysql": 999,
    "redis": 999,
    "tls": 101,
    "backup": 10002,
    "restore": 10002,
    "alerts": 65534,
    "grafana": 472,
}
CERTIFICATE_DAYS = 365
# Whom Alertmanager tells until it is told (the discard port): its own page shows the alerts.
NOBODY = "http://127.0.0.1:9/"


def write(folder: str, name: str, value: str) -> None:
    path = ROOT / folder / name
    draft = path.with_suffix(".new")
    draft.touch(mode=0o400)
    draft.write_text(value)
    os.chown(draft, OWNERS[folder], OWNERS[folder])
    draft.replace(path)


def password() -> str:
    return secrets.token_urlsafe(32).replace("-", "x").replace("_", "y")


def make_secrets() -> bool:
    """Makes all of them, or none: one that is missing beside others is the operator's to bring."""
    wanted = [
        *(("app", name) for name in ("secret_key", "database_url", "redis_url")),
        ("migrate", "migrate_database_url"),
        *(("mysql", f"mysql_{user}_password") for user in ("root", "app", "migrate", "backup")),
        ("redis", "redis_password"),
        ("backup", "mysql_backup_password"),
    ]
    there = [(folder, name) for folder, name in wanted if (ROOT / folder / name).exists()]
    if len(there) == len(wanted):
        return False
    if there:
        missing = [f"{folder}/{name}" for folder, name in wanted if (folder, name) not in there]
        sys.exit(
            f"Clinic cannot start: the secrets {', '.join(missing)} are gone while others are "
            "there, and the database knows only the old ones. Bring them back from a copy of the "
            "volumes, or remove all volumes to begin anew (docker compose down --volumes)."
        )
    app, migrate, backup, redis = (password() for _ in range(4))
    write("app", "secret_key", secrets.token_urlsafe(50))
    write("app", "database_url", f"mysql://clinic:{app}@mysql:3306/clinic?ssl_mode=REQUIRED")
    write("app", "redis_url", f"redis://:{redis}@redis:6379/0")
    write(
        "migrate",
        "migrate_database_url",
        f"mysql://clinic_migrate:{migrate}@mysql:3306/clinic?ssl_mode=REQUIRED",
    )
    write("mysql", "mysql_root_password", password())
    write("mysql", "mysql_app_password", app)
    write("mysql", "mysql_migrate_password", migrate)
    write("mysql", "mysql_backup_password", backup)
    write("backup", "mysql_backup_password", backup)
    write("redis", "redis_password", redis)
    return True


def make_copies() -> None:
    """What is derived from the others, and what only the monitoring needs."""
    restore, migrate = (ROOT / folder / "mysql_migrate_password" for folder in ("restore", "mysql"))
    if not restore.exists() or restore.read_text() != migrate.read_text():
        write("restore", "mysql_migrate_password", migrate.read_text())
    if not (ROOT / "grafana" / "grafana_password").exists():
        write("grafana", "grafana_password", password())
    for name in ("alert_webhook", "watchdog_webhook"):
        given = os.environ.get(f"{name.upper()}_URL", "").strip()
        if given and not given.startswith(("http://", "https://")):
            sys.exit(
                f"{name.upper()}_URL is {given!r}. Set it to an address such as "
                "https://hooks.example.org/clinic, or leave it out."
            )
        if given or not (ROOT / "alerts" / name).exists():
            write("alerts", name, given or NOBODY)


def alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_certificate(names: list[str]) -> bool:
    """A self-signed one, for trying it out. Put your own in its place in the volume."""
    if (ROOT / "tls" / "tls_certificate").exists():
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([alternative_name(name) for name in names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    write(
        "tls",
        "tls_key",
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
    write("tls", "tls_certificate", certificate.public_bytes(serialization.Encoding.PEM).decode())
    return True


def main() -> None:
    for folder, owner in OWNERS.items():
        path = ROOT / folder
        path.mkdir(exist_ok=True)
        os.chown(path, owner, owner)
        path.chmod(0o500)
    if make_secrets():
        print("Secrets made.")
    make_copies()
    if make_certificate(os.environ.get("SERVER_NAMES", "localhost").split()):
        print("A self-signed certificate made: browsers will warn about it.")


if __name__ == "__main__":
    main()
