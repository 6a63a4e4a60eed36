"""deploy/stack refuses wrong settings with a sentence, before anything of the Swarm is touched.

What a real Swarm answers is `make stack-test`'s to show; here is what is decided before.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.tool import cluster, secrets
from deploy.tool.docker import Problem
from deploy.tool.settings import Settings
from tests.deploy.edge import NAME
from tests.edge import make_certificate
from tools.environments import ROOT


def settings_with(folder: Path, *lines: str) -> Settings:
    file = folder / "clinic.env"
    file.write_text("\n".join(lines) + "\n")
    return Settings(file)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests."""
    for name in list(os.environ):
        if name.isupper() and name not in {"PATH", "HOME", "TMPDIR", "LANG"}:
            monkeypatch.delenv(name)


# --- The file of settings -------------------------------------------------------------------
def test_settings_are_read_as_people_write_them(tmp_path: Path) -> None:
    read = settings_with(
        tmp_path,
        "# ours",
        "",
        "export PUBLIC_URL=https://clinic.example.org:8443",
        'CLINIC_NAME="Harbour Health"',
        "EMERGENCY_NUMBER=911",
    )
    read.require_site()
    assert read.get("CLINIC_NAME") == "Harbour Health"
    assert read.get("SERVER_NAMES") == "clinic.example.org"
    assert read.get("HTTPS_PORT") == "8443"


@pytest.mark.parametrize("line", ["PUBLIC_URL", "public_url=x", "a b=c", "- PUBLIC_URL: x"])
def test_a_line_that_is_none_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(Problem, match=r"clinic\.env, line 2: write NAME=value, one a line\."):
        settings_with(tmp_path, "STACK=clinic", line)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"Copy deploy/clinic\.env\.example"):
        Settings(tmp_path / "none.env")


@pytest.mark.parametrize("stack", ["Clinic", "my clinic", "-x", "a_b", "x" * 40])
def test_a_stacks_name_that_docker_would_refuse_is_refused(tmp_path: Path, stack: str) -> None:
    with pytest.raises(Problem, match="Use small letters, digits and hyphens"):
        settings_with(tmp_path, f"STACK={stack}")


@pytest.mark.parametrize(
    "url", ["", "clinic.example.org", "http://clinic.example.org", "https://", "https:///x"]
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(Problem, match="Set it to the address people type"):
        settings_with(tmp_path, f"PUBLIC_URL={url}").require_site()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("WEB_REPLICAS", "two"), ("WS_REPLICAS", "-1"), ("LIMIT_PAGES", "0")),
        *(("DRAIN_SECONDS", "6s"), ("HTTPS_PORT", "https"), ("BACKUP_EVERY", "2m")),
        *(("WEB_MEMORY", "lots"), ("MYSQL_BUFFER", "1 GB"), ("WEB_CPUS", "half")),
    ],
)
def test_a_malformed_number_is_refused_before_anything_is_deployed(
    tmp_path: Path, name: str, value: str
) -> None:
    read = settings_with(tmp_path, f"PUBLIC_URL=https://{NAME}", f"{name}={value}")
    with pytest.raises(Problem, match=f"{name} is '{value}'"):
        read.require_site()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("WEB_REPLICAS", "0"), ("LIMIT_PAGES", "100"), ("DRAIN_SECONDS", "6.5")),
        *(("WEB_MEMORY", "1G"), ("MYSQL_BUFFER", "512M"), ("WEB_CPUS", "0.5"), ("WS_CPUS", "")),
    ],
)
def test_a_number_as_it_should_be_is_taken(tmp_path: Path, name: str, value: str) -> None:
    settings_with(tmp_path, f"PUBLIC_URL=https://{NAME}", f"{name}={value}").require_site()


# --- Certificates ---------------------------------------------------------------------------
def pair(folder: Path, name: str = NAME, days: int = 30) -> tuple[str, str]:
    certificate, key = make_certificate(folder, name, days=days)
    return certificate.read_text(), key.read_text()


def test_a_certificate_and_its_key_are_taken(tmp_path: Path) -> None:
    secrets.check_pair(*pair(tmp_path))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = pair(tmp_path / "a")
    _, key = pair(tmp_path / "b")
    with pytest.raises(Problem, match=r"does not belong to the certificate.*Nothing was changed"):
        secrets.check_pair(certificate, key)


def test_a_certificate_that_is_nearly_over_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"expires within a day, or has\. Renew it first"):
        secrets.check_pair(*pair(tmp_path, days=1))


def test_a_certificate_of_another_site_is_refused(tmp_path: Path) -> None:
    make_certificate(tmp_path, NAME)
    given = (f"TLS_CERTIFICATE={tmp_path / NAME}.pem", f"TLS_KEY={tmp_path / NAME}.key")
    ours = settings_with(tmp_path, f"PUBLIC_URL=https://{NAME}", *given)
    ours.require_site()
    assert set(secrets.values_for("tls", ours, tmp_path)) == {"tls_certificate", "tls_key"}
    theirs = settings_with(
        tmp_path, f"PUBLIC_URL=https://{NAME}", f"SERVER_NAMES={NAME} x.{NAME}", *given
    )
    theirs.require_site()
    with pytest.raises(Problem, match=rf"is not for x\.{NAME}, so browsers would refuse it"):
        secrets.values_for("tls", theirs, tmp_path)


def test_what_is_no_certificate_or_no_key_is_refused(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path)
    with pytest.raises(Problem, match="TLS_CERTIFICATE is no certificate in PEM form"):
        secrets.check_pair("canary", key)
    with pytest.raises(Problem, match="TLS_KEY is no private key in PEM form") as refused:
        secrets.check_pair(certificate, "canary")
    assert "canary" not in str(refused.value)


def test_a_self_signed_one_is_made_only_when_asked_for(tmp_path: Path) -> None:
    asked = settings_with(tmp_path, f"PUBLIC_URL=https://{NAME}", "TLS_SELF_SIGNED=1")
    asked.require_site()
    made = secrets.values_for("tls", asked, tmp_path)
    secrets.check_pair(made["tls_certificate"], made["tls_key"])
    silent = settings_with(tmp_path, f"PUBLIC_URL=https://{NAME}")
    with pytest.raises(Problem, match=r"There is no certificate\. Set TLS_CERTIFICATE"):
        secrets.values_for("tls", silent, tmp_path)


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    asked = settings_with(tmp_path, "TLS_CERTIFICATE=/none.pem", "TLS_KEY=/none.key")
    with pytest.raises(Problem, match=r"TLS_CERTIFICATE is '/none\.pem', which cannot be read"):
        secrets.values_for("tls", asked, tmp_path)


# --- Other secrets --------------------------------------------------------------------------
def test_without_a_mail_server_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="EMAIL_URL is not set, so no mail could be sent"):
        secrets.values_for("mail", settings_with(tmp_path, "STACK=clinic"), tmp_path)


def test_where_files_go_is_a_secret_too(tmp_path: Path) -> None:
    def made(*lines: str) -> dict[str, str]:
        return secrets.values_for("storage", settings_with(tmp_path, *lines), tmp_path)

    url = "s3://key:secret@s3.example.org/files"
    assert made(f"STORAGE_URL={url}") == {"storage_url": url}
    # Not empty, which Docker would refuse, and nothing once it is stripped.
    assert made("STACK=clinic") == {"storage_url": "\n"}
    with pytest.raises(Problem, match=r"STORAGE_URL does not begin with s3://") as refused:
        made("STORAGE_URL=https://key:canary@files.example.org")
    assert "canary" not in str(refused.value)


def test_a_private_key_is_no_recipient_of_backups(tmp_path: Path) -> None:
    asked = settings_with(tmp_path, "BACKUP_RECIPIENTS=AGE-SECRET-KEY-1CANARY")
    with pytest.raises(Problem, match="Never put the private key here") as refused:
        secrets.recipients(asked)
    assert "CANARY" not in str(refused.value)
    with pytest.raises(Problem, match="BACKUP_RECIPIENTS is not set"):
        secrets.recipients(settings_with(tmp_path, "STACK=clinic"))


@pytest.mark.parametrize("group", ["database", "migrate"])
def test_s36_sites_are_told_to_speak_tls_to_the_database(tmp_path: Path, group: str) -> None:
    values = secrets.values_for(group, settings_with(tmp_path, "STACK=clinic"), tmp_path)
    (url,) = (value for name, value in values.items() if name.endswith("_url"))
    assert url.endswith("?ssl_mode=REQUIRED")


def test_s39_passwords_are_long_random_and_safe_wherever_they_are_written() -> None:
    made = {secrets.password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) >= 32 and one.isalnum() and one.isascii() for one in made)


# --- Two stacks -----------------------------------------------------------------------------
def service(name: str, stack: str, *ports: int) -> dict[str, Any]:
    """As `docker service inspect` tells it."""
    published = [{"PublishedPort": port, "PublishMode": "host"} for port in ports]
    labels = {"com.docker.stack.namespace": stack} if stack else {}
    endpoint = {"Ports": published} if published else {}
    return {"Spec": {"Name": name, "Labels": labels, "EndpointSpec": endpoint}}


def test_a_second_stack_on_the_same_ports_is_seen_before_it_is_deployed() -> None:
    running = [
        service("clinic_nginx", "clinic", 80, 443),
        service("clinic_web", "clinic"),
        service("by-hand", "", 8080),
    ]
    assert cluster.who_holds(running, {80, 443}, stack="second") == {
        80: "clinic_nginx",
        443: "clinic_nginx",
    }
    assert cluster.who_holds(running, {80, 443}, stack="clinic") == {}  # deployed once more
    assert cluster.who_holds(running, {8080, 8443}, stack="second") == {8080: "by-hand"}
    assert cluster.who_holds([], {80, 443}, stack="clinic") == {}


# --- The command ----------------------------------------------------------------------------
def stack(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "deploy" / "stack"), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("command", [["init"], ["deploy"], ["status"], ["update", "2"]])
def test_without_docker_it_says_what_to_install(command: list[str]) -> None:
    done = stack(*command, DOCKER="/none/docker")
    assert done.returncode == 1
    assert done.stderr == (
        "deploy/stack: /none/docker is not on this machine. Install Docker, or set DOCKER to its "
        "path.\n"
    )


def test_it_explains_itself() -> None:
    done = stack("--help")
    assert done.returncode == 0
    for command in ("init", "deploy", "update", "rollback", "scale", "secrets", "restore", "drill"):
        assert command in done.stdout
