"""A wrong start of the edge ends with a sentence that says what to do, before a port is opened."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.deploy.edge import NAME, Edge, newest_nginx
from tests.edge import make_certificate, run_start
from tests.servers import free_port
from tools.edge import Addresses, lay_out, versions_of

pytestmark = pytest.mark.once


class Start:
    """A folder with everything right; a test takes one thing away."""

    def __init__(self, folder: Path) -> None:
        self.program = newest_nginx()
        self.main = lay_out(
            folder,
            Addresses(
                http=f"127.0.0.1:{free_port()}",
                https=f"127.0.0.1:{free_port()}",
                web=("127.0.0.1:9",),
                ws=("127.0.0.1:9",),
            ),
            versions=versions_of(self.program),
        )
        certificate, key = make_certificate(folder / "secrets", NAME)
        self.variables = {
            "EDGE_FOLDER": str(folder / "edge"),
            "TLS_CERTIFICATE_FILE": str(certificate),
            "TLS_KEY_FILE": str(key),
            "SERVER_NAMES": NAME,
        }

    def __call__(self, **changed: str) -> subprocess.CompletedProcess[str]:
        return run_start(self.program, self.main, **{**self.variables, **changed})

    def refusal(self, **changed: str) -> str:
        done = self(**changed)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("Clinic's edge cannot start: ")
        assert done.stderr.count("\n") == 1, "one sentence, not a tool's output"
        return done.stderr


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return Start(tmp_path)


def test_a_right_start_is_silent_and_can_be_repeated(start: Start) -> None:
    for _ in range(2):
        done = start()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERVER_NAMES", "", "SERVER_NAMES is not set. Set it to the names people type"),
        ("SERVER_NAMES", "https://clinic.example.org", "Write plain names such as"),
        ("SERVER_NAMES", "clinic.example.org;", "Write plain names such as"),
        ("SERVER_NAMES", "*.example.org", "Write plain names such as"),
        ("HTTPS_PORT", "https", "HTTPS_PORT is 'https'. Set it to a whole number from 1."),
        ("HTTPS_PORT", "0", "HTTPS_PORT is '0'."),
        ("LIMIT_PAGES", "100r/s", "LIMIT_PAGES is '100r/s'. Set it to a whole number from 1."),
        ("LIMIT_SIGN_IN", "-5", "LIMIT_SIGN_IN is '-5'."),
        ("LIMIT_BOOKING", "1.5", "LIMIT_BOOKING is '1.5'."),
        ("LIMIT_CONNECTIONS", "many", "LIMIT_CONNECTIONS is 'many'."),
        ("LIMIT_FILES", "1.5", "LIMIT_FILES is '1.5'."),
        ("CLINIC_NAME", 'A"; } evil', "CLINIC_NAME must not contain quotes"),
        ("CLINIC_NAME", "two\nlines", "CLINIC_NAME must not contain quotes"),
        ("CLINIC_NAME", "back\\slash", "CLINIC_NAME must not contain quotes"),
        ("EMERGENCY_NUMBER", "$host", "EMERGENCY_NUMBER must not contain quotes"),
    ],
)
def test_a_malformed_variable_is_named(start: Start, name: str, value: str, said: str) -> None:
    assert said in start.refusal(**{name: value})


@pytest.mark.parametrize("name", ["TLS_CERTIFICATE_FILE", "TLS_KEY_FILE"])
def test_a_missing_secret_is_named(start: Start, name: str) -> None:
    said = start.refusal(**{name: "/run/secrets/none"})
    assert "/run/secrets/none is missing or not readable" in said
    assert "deploy/stack secrets" in said


def test_a_key_of_another_certificate_is_refused(start: Start, tmp_path: Path) -> None:
    _, other = make_certificate(tmp_path / "other", NAME)
    said = start.refusal(TLS_KEY_FILE=str(other))
    assert "does not belong to the certificate" in said and "as a pair" in said
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize("name", ["TLS_CERTIFICATE_FILE", "TLS_KEY_FILE"])
def test_what_is_no_pem_file_is_refused(start: Start, tmp_path: Path, name: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("canary-not-a-certificate")
    said = start.refusal(**{name: str(wrong)})
    assert "is not a PEM file" in said and "canary" not in said


def test_what_cannot_be_started_leaves_what_runs_alone(edge: Edge, start: Start) -> None:
    start.refusal(TLS_KEY_FILE="/run/secrets/none")
    assert edge.get("/livez").status == 200


def test_the_systems_own_nginx_takes_the_configuration_too(system_edge: Edge) -> None:
    assert system_edge.get("/by-the-systems-own/").text == "from the site"
    assert system_edge.get("/", tls=False).status == 301
    assert system_edge.get("/", host="evil.example.org").status == 421
