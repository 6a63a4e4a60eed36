"""What is tried on the one machine, step by step; each leaves a row, and none stops the others."""

from __future__ import annotations

import json

from deploy.compose_test.machine import ROOT
from deploy.compose_test.operating import Operator, Row, last_line, published, require
from deploy.compose_test.visit import HTTP_PORT, ORIGIN, talk
from deploy.swarm_test.authority import Authority
from deploy.swarm_test.crowd import wait_until
from deploy.swarm_test.visitors import PASSWORD, STYLE

SERVED = ("web", "ws", "worker", "nginx", "mysql", "redis")
PATIENT = "patient1@example.org"
PEOPLE = ROOT / "deploy" / "swarm_test" / "inside" / "people.py"
DENIED = 1142  # ER_TABLEACCESS_DENIED_ERROR


class Trial(Operator):
    def everything(self) -> list[Row]:
        self.install()
        self.reach()
        self.use()
        self.repeat()
        self.break_things()
        self.refuse()
        self.keep()
        self.watch()
        self.lose_power()
        return self.rows

    # --- Installing ---------------------------------------------------------------------------

    def install(self) -> None:
        with self.row("`docker compose up` with SAMPLE_DATA=1", "everything runs") as row:
            # Compose 2 stops what depends on a container whose settings change, so they stay.
            self.compose.settings = {"SAMPLE_DATA": "1"}
            self.compose("up", "--detach")
            self._wait_until_up(SERVED)
            row.found = f"{len(SERVED)} services run, setup and migrate ended with 0"
            for service in ("setup", "migrate"):
                code = self._ended(service)
                require(code == 0, f"{service} ended with {code}")
        with self.row("secrets", "made once, in no log and in no container's settings") as row:
            values = self._secret_values()
            spoken = self.compose("logs", "--no-color").stdout
            spoken += "".join(json.dumps(self.compose.state(service)) for service in SERVED)
            told = [name for name, value in values.items() if value in spoken]
            require(len(values) >= 10 and not told, f"{len(values)} made, {told} told")
            row.found = f"{len(values)} looked for, 0 found"
        with self.row("the database's rights", "the site adds to the audit trail only") as row:
            facts = self._facts()
            found = {name: facts[name] for name in ("deletes_audit", "changes_tables", "tls")}
            row.found = f"{facts['migrations']} migrations, {facts['doctors']} doctors, {found}"
            require(found["deletes_audit"] == found["changes_tables"] == DENIED, row.found)
            require(facts["doctors"] > 0 and facts["tls"].startswith("TLS"), row.found)

    def reach(self) -> None:
        with self.row("TLS", "checks against the made certificate; HTTP leads to it") as row:
            self._trust(self._file("tls", "tls_certificate"))
            page = self.browser.get("/")
            require(page.status == 200, f"the first page is {page.status}")
            secured = page.headers.get("strict-transport-security", "")
            require("max-age" in secured, "no HSTS")
            plain = self.browser.plain(HTTP_PORT, "/doctors/")
            where = plain.headers.get("location", "")
            require(plain.status == 301 and where == f"{ORIGIN}/doctors/", f"HTTP: {where}")
            row.found = f"200 over TLS, 301 from HTTP, HSTS {secured.partition(';')[0]}"
        with self.row("static files", "from NGINX, compressed, kept for ever") as row:
            style = STYLE.search(self.browser.get("/").text)
            require(style is not None, "no style sheet is named")
            answer = self.browser.get(style[1] if style else "", **{"Accept-Encoding": "gzip"})
            kept = answer.headers.get("cache-control", "")
            row.found = f"{answer.status}, {answer.headers.get('content-encoding')}, {kept}"
            require(
                answer.status == 200
                and answer.headers.get("content-encoding") == "gzip"
                and "immutable" in kept,
                row.found,
            )
        with self.row("/metrics and /readyz", "hidden from outside") as row:
            states = [self.browser.get(path).status for path in ("/metrics", "/readyz", "/livez")]
            row.found = f"{states}"
            require(states == [404, 404, 200], row.found)

        with self.row("a balancer's addresses", "NGINX accepts the additional file") as row:
            lines = "set_real_ip_from 10.0.0.0/16; real_ip_header X-Forwarded-For;"
            file = self.folder / "real_ip.conf"
            file.write_text(f"{lines} real_ip_recursive on;\n")
            done = self.compose(
                *("run", "--rm", "-T", "--no-deps"),
                *("--volume", f"{file}:/etc/nginx/extra.d/real_ip.conf:ro", "nginx", "nginx", "-t"),
            )
            row.found = last_line(done.stdout + done.stderr)
            require("successful" in row.found, row.found)

    def use(self) -> None:
        with self.row("people", "sample data can be used") as row:
            self.world = self.compose.python(PEOPLE.read_text(), "2", "5", "40")
            row.found = f"{len(self.world['slots'])} free times"
            require(len(self.world["slots"]) >= 20, row.found)
        with self.row("sign-in", "a sample patient with a password") as row:
            require(self.browser.sign_in(PATIENT, PASSWORD), "was not signed in")
            row.found = "signed in through the form"
        with self.row("booking", "a visit, and its mail goes out") as row:
            before = self._facts()["sent"]
            self._book()
            sent = wait_until(lambda: self._facts()["sent"] > before, 60, every=2.0)
            facts = self._facts()
            row.found = f"booked; {facts['sent'] - before} mails went out"
            require(sent and not facts["jobs_failed"], f"{row.found}; {facts['jobs_failed']}")
        with self.row("a socket", "what one device sends comes to another") as row:
            row.seconds = talk(self.inside, self.browser.context, self.world["devices"])
            row.found = "acknowledged, and seen by the other device"

    # --- Repeating and breaking ---------------------------------------------------------------

    def repeat(self) -> None:
        with self.row("`up` once more", "changes nothing, doubles no sample") as row:
            before, facts = {one: self.compose.container(one) for one in SERVED}, self._facts()
            values = self._secret_values()
            self.compose("up", "--detach")
            after, now = {one: self.compose.container(one) for one in SERVED}, self._facts()
            moved = [one for one in SERVED if before[one] != after[one]]
            same = all(facts[name] == now[name] for name in ("doctors", "migrations"))
            row.found = f"made anew: {moved or 'nothing'}"
            require(same and values == self._secret_values() and not moved, row.found)
            self._require_visit()
        with self.row("an administrator", "is made, and the mail goes out") as row:
            said = self.compose(
                *("run", "--rm", "-T", "migrate", "manage", "create_administrator"),
                "you@clinic.example.org",
            ).stdout
            require("is an administrator now" in said and "/accounts/password/" in said, said)
            row.found = "made by the command of the file's head"

    def break_things(self) -> None:
        with self.row("`restart web`", "back by itself") as row:
            self.compose("restart", "web")
            row.found = f"{self._back('web'):.1f} s until the visit's page answered"
        for service in SERVED:
            with self.row(f"kill -9 of {service}", "back by itself, nothing lost") as row:
                started = self.compose.state(service)["State"]["StartedAt"]
                self.compose.kill(service)
                row.seconds = self._back(service, after=started)
                row.found = "the visit is there"

    def refuse(self) -> None:
        with self.row("a malformed EMAIL_URL", "a sentence, and the site goes on") as row:
            done = self.compose("run", "--rm", "-T", "--no-deps", "-e", "EMAIL_URL=nonsense://",
                                "web", check=False)  # fmt: skip
            row.found = last_line(done.stdout + done.stderr)
            require(done.returncode == 1 and "EMAIL_URL" in row.found, row.found)
            self._require_visit()
        with self.row("a missing secret", "`up` stops with a sentence, the site goes on") as row:
            value = self._file("app", "redis_url")
            self._setup("rm /secrets/app/redis_url")
            try:
                done = self.compose("up", "--detach", check=False)
                said = self.compose("logs", "--no-color", "setup").stdout
                row.found = last_line([line for line in said.splitlines() if "gone" in line])
                require(done.returncode != 0 and "app/redis_url" in said, f"{done}")
                self._require_visit()
            finally:
                self._setup(
                    "umask 077; cat >/secrets/app/redis_url"
                    " && chown 10001:10001 /secrets/app/redis_url",
                    value,
                )
            self.compose("up", "--detach")
        with self.row("a certificate of one's own", "is served after the documented steps") as row:
            authority = Authority(self.folder / "authority", "localhost")
            certificate, key = authority.sign("own")
            self._put_certificate(certificate.read_text(), key.read_text())
            self.compose("restart", "nginx")
            self.browser.context = authority.context()
            self._back("nginx")
            row.found = "checked against the new authority"
        with self.row("a key of another certificate", "a sentence, nothing changes") as row:
            kept = self._file("tls", "tls_key")
            self._setup("cat >/secrets/tls/tls_key", authority.sign("other")[1].read_text())
            done = self.compose("run", "--rm", "-T", "--no-deps", "nginx", check=False)
            self._setup("cat >/secrets/tls/tls_key", kept)
            row.found = last_line(
                [line for line in (done.stdout + done.stderr).splitlines() if "edge" in line]
            )
            require(done.returncode == 1 and "does not belong" in row.found, row.found)
            self._require_visit()

    # --- Keeping ------------------------------------------------------------------------------

    def keep(self) -> None:
        with self.row("`down` and `up`", "everything is there, nobody is signed out") as row:
            self.compose("down")
            self.compose("up", "--detach")
            row.found = f"{self._back('nginx'):.1f} s after `up`"
        with self.row("backups", "encrypted, noted for the status page") as row:
            made = self.compose.docker(
                *("run", "--rm", "--network", "none", "--entrypoint", "age-keygen"),
                "clinic-backup:latest",
            )
            self.key = made + "\n"
            public = next(word for word in made.split() if word.startswith("age1"))
            self.compose.settings = {**self.compose.settings, "BACKUP_RECIPIENTS": public}
            self.compose("--profile", "backup", "up", "--detach", "backup")
            noted = wait_until(lambda: self._facts()["checks"].get("backup"), 150, every=3.0)
            row.found = f"{self._facts()['checks'].get('backup')}"
            require(noted and self._facts()["checks"]["backup"][0] is True, row.found)
        with self.row("a restore drill", "the newest backup restores, and the checks agree") as row:
            said = self._restore("drill", "--key", "/tmp/key")  # noqa: S108  (in the container)
            said += self.compose("run", "--rm", "-T", "migrate", "manage", "check_restored").stdout
            said += self._restore("drill-end", "--passed")
            self.compose("run", "--rm", "-T", "migrate", "manage", "record_check",
                         "restore_drill", "--ok")  # fmt: skip
            row.found = next(line for line in said.splitlines() if line.startswith("Restored"))
        with self.row("the wrong key", "a sentence, nothing changes") as row:
            other = self.compose.docker(
                *("run", "--rm", "--network", "none", "--entrypoint", "age-keygen"),
                "clinic-backup:latest",
            )
            done = self._restore("drill", "--key", "/tmp/key", key=other, check=False)  # noqa: S108
            row.found = last_line(done)
            require("does not open" in done, row.found)
        with self.row("the database's volume lost", "a restore brings every visit back") as row:
            self._book()
            self._restore("full")
            self.compose("--profile", "backup", "down")
            self.compose.docker("volume", "rm", "clinic_mysql")
            self.compose("up", "--detach", "mysql")
            said = self._restore("restore", "--key", "/tmp/key")  # noqa: S108
            self.compose("up", "--detach")
            row.found = next(line for line in said.splitlines() if line.startswith("Restored"))
            self._back("nginx")
            audit = self.compose("exec", "-T", "web", "python", "manage.py", "check_audit")
            bookings = self.compose("exec", "-T", "web", "python", "manage.py", "check_bookings")
            row.found += f" {last_line(audit.stdout)} {last_line(bookings.stdout)}"

    def watch(self) -> None:
        with self.row("the monitoring profile", "Prometheus reads every process") as row:
            self.compose("--profile", "monitoring", "up", "--detach", "prometheus", "alertmanager")
            up = wait_until(lambda: len(self._read()) == 4, 90, every=3.0)
            row.found = f"up: {sorted(self._read())}"
            require(up, row.found)
        with self.row("its alerts", "come to Alertmanager") as row:
            told = wait_until(lambda: "Watchdog" in self._alerts(), 120, every=3.0)
            row.found = f"{sorted(self._alerts())}"
            require(told, row.found)
        with self.row("ports", "only NGINX's lead outside this machine") as row:
            profiles = [
                word for name in ("tools", "monitoring", "backup") for word in ("--profile", name)
            ]
            text = self.compose(*profiles, "config").stdout
            outside = published(text)
            row.found = f"published to all: {outside}"
            require(outside == {"nginx"}, row.found)

    def lose_power(self) -> None:
        with self.row("the machine loses power", "all is back when it starts, by itself") as row:
            self._book()
            self.machine.pull_the_plug()
            self.machine.start(self.ledger)
            row.seconds = self._back("nginx")
            self._wait_until_up(SERVED)
            row.found = "the visit that was booked just before is there"
