"""Secrets and configs as versioned objects of the Swarm: NAME_v1, NAME_v2 …

An object never changes and cannot be read back. A new value is a new version; services move to it
one task after the other. What goes together is made together, as a group.
"""

from __future__ import annotations

import re
import secrets as randomness
import subprocess
import tempfile
from pathlib import Path

from deploy.tool import monitoring
from deploy.tool.docker import Problem, docker, inspect, names
from deploy.tool.settings import ROOT, Settings

# Which objects belong together, in the order they are made.
GROUPS: dict[str, tuple[str, ...]] = {
    "secret_key": ("secret_key",),
    "root": ("mysql_root_password",),
    "database": ("mysql_app_password", "database_url"),
    "migrate": ("mysql_migrate_password", "migrate_database_url"),
    "backup": ("mysql_backup_password",),
    "redis": ("redis_password", "redis_url"),
    "mail": ("email_url",),
    "storage": ("storage_url",),
    "tls": ("tls_certificate", "tls_key"),
}
# Of the monitoring, made when MONITORING=1.
MONITORING_GROUPS: dict[str, tuple[str, ...]] = {
    "alert_webhook": ("alert_webhook",),
    "watchdog_webhook": ("watchdog_webhook",),
    "grafana": ("grafana_password",),
}
NO_STORE = "\n"  # files go into the database; a secret cannot be empty
NOBODY = "http://127.0.0.1:9/nobody"  # without an address alerts stand in Alertmanager only
CONFIGS = ("mysql_users", "backup_recipients")
TLS_DAYS_LEFT = 1


def password() -> str:
    """32 random letters and digits: safe in an URL, in SQL and in a configuration file."""
    return "".join(
        randomness.choice("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789")
        for _ in range(32)
    )


def versions(kind: str, stack: str) -> dict[str, list[int]]:
    """The versions there are of each object, ascending."""
    found: dict[str, list[int]] = {}
    for name in names(kind):
        match = re.fullmatch(rf"{re.escape(stack)}_([a-z_]+)_v(\d+)", name)
        if match:
            found.setdefault(match.group(1), []).append(int(match.group(2)))
    return {name: sorted(numbers) for name, numbers in found.items()}


def create(kind: str, stack: str, name: str, value: str) -> int:
    """Makes the next version; returns its number."""
    number = (versions(kind, stack).get(name) or [0])[-1] + 1
    docker(kind, "create", f"{stack}_{name}_v{number}", "-", text=value)
    return number


def values_for(group: str, settings: Settings, folder: Path) -> dict[str, str]:
    """New values of a group: random ones, or what the operator gives."""
    if group == "secret_key":
        return {"secret_key": randomness.token_urlsafe(50)}
    if group == "root":
        return {"mysql_root_password": password()}
    if group == "backup":
        return {"mysql_backup_password": password()}
    if group in {"database", "migrate"}:
        new = password()
        user, first = (
            ("clinic", "mysql_app_password")
            if group == "database"
            else ("clinic_migrate", "mysql_migrate_password")
        )
        url = "database_url" if group == "database" else "migrate_database_url"
        # The client does not ask for TLS by itself, and the server refuses everything else.
        return {first: new, url: f"mysql://{user}:{new}@mysql:3306/clinic?ssl_mode=REQUIRED"}
    if group == "redis":
        new = password()
        return {"redis_password": new, "redis_url": f"redis://:{new}@redis:6379/0"}
    if group == "mail":
        url = settings.get("EMAIL_URL")
        if not url:
            raise Problem(
                "EMAIL_URL is not set, so no mail could be sent and nobody could sign up. Set "
                "EMAIL_URL=smtp+tls://USER:PASSWORD@HOST:587 (or consolemail:// to try it out)."
            )
        return {"email_url": url}
    if group == "storage":
        return {"storage_url": store(settings.get("STORAGE_URL"))}
    if group == "grafana":
        return {"grafana_password": password()}
    if group in MONITORING_GROUPS:
        return {group: webhook(settings.get(f"{group.upper()}_URL"), f"{group.upper()}_URL")}
    return certificate(settings, folder)


def store(url: str) -> str:
    if url and not url.startswith("s3://"):
        # The value is not repeated: it may hold a password.
        raise Problem(
            "STORAGE_URL does not begin with s3://. Write "
            "s3://KEY:SECRET@HOST/BUCKET?region=REGION, or leave it out to keep files in the "
            "database. Nothing was changed."
        )
    return url or NO_STORE


def webhook(url: str, name: str) -> str:
    if url and not url.startswith(("http://", "https://")):
        raise Problem(
            f"{name} is {url!r}. Set it to an address such as https://hooks.example.org/clinic, or "
            "leave it out."
        )
    return url or NOBODY


def certificate(settings: Settings, folder: Path) -> dict[str, str]:
    """The operator's certificate and key, checked as a pair, or a self-signed one."""
    certificate_file, key_file = settings.get("TLS_CERTIFICATE"), settings.get("TLS_KEY")
    if not certificate_file and not key_file:
        if settings.get("TLS_SELF_SIGNED") != "1":
            raise Problem(
                "There is no certificate. Set TLS_CERTIFICATE (with its chain) and TLS_KEY to PEM "
                "files, or TLS_SELF_SIGNED=1 to try it out with one that browsers warn about."
            )
        return self_signed(settings, folder)
    found = {}
    for name, setting, path in (
        ("tls_certificate", "TLS_CERTIFICATE", certificate_file),
        ("tls_key", "TLS_KEY", key_file),
    ):
        try:
            found[name] = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"{setting} is {path!r}, which cannot be read as a PEM file.") from error
    check_pair(found["tls_certificate"], found["tls_key"])
    check_names(found["tls_certificate"], settings.get("SERVER_NAMES").split())
    return found


def openssl(*arguments: str, text: str = "") -> str:
    try:
        done = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Problem(
            "openssl is not on this machine. Install it to check certificates."
        ) from error
    if done.returncode:
        raise Problem(done.stderr.strip() or done.stdout.strip() or "openssl failed")
    return done.stdout


def check_pair(certificate_text: str, key_text: str) -> None:
    try:
        of_certificate = openssl("x509", "-noout", "-pubkey", text=certificate_text)
    except Problem as problem:
        raise Problem("TLS_CERTIFICATE is no certificate in PEM form.") from problem
    try:
        of_key = openssl("pkey", "-pubout", "-passin", "pass:", text=key_text)
    except Problem as problem:
        raise Problem(
            "TLS_KEY is no private key in PEM form, or it asks for a password."
        ) from problem
    if of_certificate.strip() != of_key.strip():
        raise Problem(
            "TLS_KEY does not belong to the certificate in TLS_CERTIFICATE. Give the pair that was "
            "issued together. Nothing was changed."
        )
    try:
        openssl("x509", "-noout", "-checkend", str(TLS_DAYS_LEFT * 86_400), text=certificate_text)
    except Problem as problem:
        raise Problem(
            "The certificate in TLS_CERTIFICATE expires within a day, or has. Renew it first."
        ) from problem


def check_names(certificate_text: str, names: list[str]) -> None:
    """Every name that people type has to be in the certificate, or their browsers refuse it."""
    for name in names:
        # Since OpenSSL 3.2 a name that is missing is an error too; before, only the text says so.
        try:
            said = openssl("x509", "-noout", "-checkhost", name, text=certificate_text)
        except Problem as problem:
            said = str(problem)
        if "does match" not in said:
            raise Problem(
                f"The certificate in TLS_CERTIFICATE is not for {name}, so browsers would refuse "
                "it. Get one for all of SERVER_NAMES, or take the name out. Nothing was changed."
            )


def self_signed(settings: Settings, folder: Path) -> dict[str, str]:
    site_names = settings.get("SERVER_NAMES").split()
    key, made = folder / "key.pem", folder / "certificate.pem"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(made), "-days", "365", "-subj", f"/CN={site_names[0]}"),
        *("-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in site_names)),
    )
    return {"tls_certificate": made.read_text(), "tls_key": key.read_text()}


def create_group(group: str, settings: Settings) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        values = values_for(group, settings, Path(folder))
    for name, value in values.items():
        create("secret", settings.stack, name, value)
    return list(values)


def groups(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Those of this installation."""
    return {**GROUPS, **(MONITORING_GROUPS if monitoring.wanted(settings) else {})}


def create_missing(settings: Settings) -> list[str]:
    """Makes what is not there yet; returns the names. Halfway made groups are made anew."""
    made = []
    there = versions("secret", settings.stack)
    database_runs = inspect("service", f"{settings.stack}_mysql") is not None
    for group, parts in groups(settings).items():
        if all(part in there for part in parts):
            continue
        if database_runs and group in {"root", "database", "migrate", "backup"}:
            raise Problem(
                f"Secrets of {group} are missing while the database runs with earlier ones. Make "
                f"new ones with `deploy/stack secrets rotate {group}`."
            )
        made += create_group(group, settings)
    there = versions("config", settings.stack)
    if config_differs(settings, there):
        create("config", settings.stack, "mysql_users", users_script())
        made.append("mysql_users")
    if "backup_recipients" not in there:
        create("config", settings.stack, "backup_recipients", recipients(settings))
        made.append("backup_recipients")
    return made


def users_script() -> str:
    return (ROOT / "deploy" / "mysql" / "users.sh").read_text()


def config_differs(settings: Settings, there: dict[str, list[int]]) -> bool:
    """Whether the script that makes the database's users is not there yet.

    A later version of it is no reason to restart MySQL: it only runs on an empty volume.
    """
    return "mysql_users" not in there


def recipients(settings: Settings) -> str:
    given = settings.get("BACKUP_RECIPIENTS").replace(",", "\n").strip()
    if given:
        if not all(line.startswith(("age1", "ssh-")) for line in given.splitlines()):
            raise Problem(
                "BACKUP_RECIPIENTS holds something else than public keys of age (age1…). Never "
                "put the private key here."
            )
        return given + "\n"
    raise Problem(
        "BACKUP_RECIPIENTS is not set: backups are encrypted to a public key whose private key is "
        "kept elsewhere. Make a pair on another machine with `age-keygen -o clinic-backup.key` (or "
        "with `docker run --rm --entrypoint age-keygen clinic-backup:TAG`), keep the file in two "
        "safe places, and set BACKUP_RECIPIENTS to the line that begins with age1."
    )


def in_use(settings: Settings, service: str) -> dict[str, int]:
    """The versions that a running service has, by the name it mounts them under."""
    found = inspect("service", f"{settings.stack}_{service}")
    if found is None:
        return {}
    container = found["Spec"]["TaskTemplate"]["ContainerSpec"]
    result = {}
    for secret in container.get("Secrets") or []:
        version = re.search(r"_v(\d+)$", secret["SecretName"])
        if version:
            result[secret["File"]["Name"]] = int(version.group(1))
    return result


def version_environment(settings: Settings) -> dict[str, str]:
    """Which version of each object the stack file is to name: the newest, and for the secret key
    what runs now, because its change takes two steps (`rotate_secret_key`)."""
    there = versions("secret", settings.stack)
    configs = versions("config", settings.stack)
    chosen = {name: numbers[-1] for name, numbers in there.items() if name in _all_names()}
    chosen |= {name: numbers[-1] for name, numbers in configs.items() if name in CONFIGS}
    if "mysql_users" in chosen and (running := inspect("service", f"{settings.stack}_mysql")):
        for config in running["Spec"]["TaskTemplate"]["ContainerSpec"].get("Configs") or []:
            if match := re.search(r"_mysql_users_v(\d+)$", config["ConfigName"]):
                chosen["mysql_users"] = int(match.group(1))
    web = in_use(settings, "web")
    newest = (there.get("secret_key") or [1])[-1]
    chosen["secret_key"] = web.get("secret_key", newest)
    chosen["secret_key_fallbacks"] = web.get("secret_key_fallbacks", chosen["secret_key"])
    return {f"{name.upper()}_VERSION": str(number) for name, number in chosen.items()}


def _all_names() -> set[str]:
    return {part for parts in {**GROUPS, **MONITORING_GROUPS}.values() for part in parts}


def remove_unused(settings: Settings) -> list[str]:
    """Removes versions that no service names any more; Docker itself refuses those in use."""
    removed = []
    for kind in ("secret", "config"):
        for name, numbers in versions(kind, settings.stack).items():
            for number in numbers[:-1]:
                try:
                    docker(kind, "rm", f"{settings.stack}_{name}_v{number}")
                except Problem:
                    continue
                removed.append(f"{name} v{number}")
    return removed
