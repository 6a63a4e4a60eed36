"""deploy/stack: installs, updates and keeps Clinic on a Docker Swarm.

Every step can be repeated. Settings are lines NAME=value in clinic.env (or --settings FILE), and
the environment goes before them; deploy/clinic.env.example lists them. docs/operations.md tells
what to do when something is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from deploy.tool import backups, before, cluster, pause, release, rotation, secrets
from deploy.tool.docker import Problem, docker, require_manager
from deploy.tool.jobs import service_name
from deploy.tool.settings import Settings


def say(text: str) -> None:
    print(text, flush=True)


def init(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    chosen = {role: _list(getattr(asked, role)) for role in cluster.LABELS}
    for line in cluster.label_nodes(chosen):
        say(line)
    cluster.set_heartbeat()
    for name in cluster.ensure_networks(settings):
        say(f"Network {name} made.")
    made = secrets.create_missing(settings)
    say(f"Secrets made: {', '.join(made)}." if made else "All secrets are there.")
    if asked.secrets_only:
        return
    deploy(settings, asked)
    if asked.administrator and not asked.no_migrate:
        say(release.manage(settings, "create_administrator", asked.administrator))


def deploy(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    pause.require_running(settings)
    if asked.tag:
        settings.use_tag(asked.tag)
    missing = [
        name
        for group in secrets.groups(settings).values()
        for name in group
        if name not in secrets.versions("secret", settings.stack)
    ]
    if missing:
        raise Problem(f"These secrets are missing: {', '.join(missing)}. Run `deploy/stack init`.")
    cluster.ensure_networks(settings)
    is_first = not rotation.is_running(settings, "web")
    if is_first:
        cluster.require_ports(settings)
        release.apply(settings)
    migrates = not getattr(asked, "no_migrate", False)
    if migrates:
        new = getattr(asked, "new_database", False)
        say(release.migrate(settings, new_database=new))
    if not is_first:
        release.apply(settings)
    say(status_line(settings))
    if not migrates:
        say(
            "The database was left as it is. Restore a backup into it with `deploy/stack restore`, "
            "or bring it to this release with `deploy/stack deploy`."
        )


def update(settings: Settings, asked: argparse.Namespace) -> None:
    release.require_deployed(settings)
    deploy(settings, asked)


def status_line(settings: Settings) -> str:
    states = release.service_states(settings)
    return "  ".join(f"{name} {state['Running']}" for name, state in sorted(states.items()))


def status(settings: Settings, asked: argparse.Namespace) -> None:
    release.require_deployed(settings)
    for name, state in sorted(release.service_states(settings).items()):
        update_state = (state.get("UpdateStatus") or {}).get("State", "")
        image = state["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].partition("@")[0]
        say(f"{name:12} {state['Running']:>8}  {image:32} {update_state}")
    say("")
    say(
        docker(
            *("stack", "ps", settings.stack, "--filter", "desired-state=running", "--format"),
            "table {{.Name}}\t{{.Node}}\t{{.CurrentState}}\t{{.Error}}",
        )
    )


def scale(settings: Settings, asked: argparse.Namespace) -> None:
    release.require_deployed(settings)
    pause.require_running(settings)
    wanted = {}
    for word in asked.services:
        service, _, number = word.partition("=")
        if service not in release.APP_SERVICES or not number.isdigit():
            raise Problem(f"{word!r}: write SERVICE=NUMBER with {', '.join(release.APP_SERVICES)}.")
        wanted[service] = number
    begun = time.time()
    docker(
        *("service", "scale", "--detach"),
        *(f"{service_name(settings, name)}={number}" for name, number in wanted.items()),
    )
    release.settle(settings, begun=begun)
    for name, number in wanted.items():
        setting = f"{name.upper()}_REPLICAS"
        if settings.get(setting) not in {"", number}:
            say(f"Set {setting}={number} in your settings, or the next update undoes it.")
    say(status_line(settings))


def roll_back(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    release.require_deployed(settings)
    pause.require_running(settings)
    named = [name for name in before.SERVICES if settings.get(name)]
    for line in release.rollback(settings):
        say(line)
    if named:
        say(f"Change {', '.join(named)} in your settings, or the next command undoes this.")


def handle_secrets(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    if asked.what == "create":
        made = secrets.create_missing(settings)
        say(f"Secrets made: {', '.join(made)}." if made else "All secrets are there.")
    elif asked.what == "rotate":
        if not asked.name:
            raise Problem(f"Say which one: {', '.join(secrets.groups(settings))}.")
        pause.require_running(settings)
        say(rotation.rotate(settings, asked.name))
    elif asked.what == "retire":
        pause.require_running(settings)
        say(rotation.retire(settings))
    else:
        for kind in ("secret", "config"):
            for name, numbers in sorted(secrets.versions(kind, settings.stack).items()):
                say(f"{name:24} {', '.join(f'v{number}' for number in numbers)}")


def backup(settings: Settings, asked: argparse.Namespace) -> None:
    say(backups.run(settings, asked))


def restore(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    say(
        backups.restore(
            settings,
            key=asked.key,
            options=backups.options(at=asked.at, server=asked.server, with_drop=asked.with_drop),
            sure=asked.yes,
        )
    )


def resume(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    release.require_deployed(settings)
    say(backups.resume(settings))


def drill(settings: Settings, asked: argparse.Namespace) -> None:
    settings.require_site()
    say(backups.drill(settings, key=asked.key))


def administrator(settings: Settings, asked: argparse.Namespace) -> None:
    release.require_deployed(settings)
    say(release.manage(settings, "create_administrator", asked.email))


def _list(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="deploy/stack", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    top.add_argument("--settings", type=Path, help="file of NAME=value lines (default: clinic.env)")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    first = commands.add_parser(
        "init", help="labels, networks, secrets, first deploy, administrator"
    )
    for role, text in (
        ("edge", "nodes with NGINX"),
        ("mysql", "MySQL's node"),
        ("backup", "backups' node"),
    ):
        first.add_argument(f"--{role}", metavar="NODES", help=text)
    first.add_argument("--administrator", metavar="EMAIL", help="first administrator; gets a mail")
    first.add_argument(
        "--no-migrate", action="store_true", help="leave the database empty, for a restore"
    )
    first.add_argument("--secrets-only", action="store_true", help="deploy nothing yet")
    first.set_defaults(run=init)

    for parts in (
        first,
        commands.add_parser("deploy", help="migrates, then deploys the stack file"),
    ):
        parts.add_argument("--tag", help="the release's images, such as 2026.11")
        parts.add_argument(
            "--new-database", action="store_true", help="begin anew although there are backups"
        )
    parts.set_defaults(run=deploy)

    newer = commands.add_parser(
        "update", help="migrates with the new image, then updates one by one"
    )
    newer.add_argument("tag")
    newer.set_defaults(run=update)

    commands.add_parser("status", help="what runs where").set_defaults(run=status)
    more = commands.add_parser("scale", help="more or fewer replicas: web=3 ws=2 worker=1")
    more.add_argument("services", nargs="+", metavar="SERVICE=NUMBER")
    more.set_defaults(run=scale)
    commands.add_parser("rollback", help="back to the release before").set_defaults(run=roll_back)

    kept = commands.add_parser("secrets", help="list | create | rotate NAME | retire")
    kept.add_argument("what", choices=["list", "create", "rotate", "retire"])
    kept.add_argument(
        "name", nargs="?", help=", ".join([*secrets.GROUPS, *secrets.MONITORING_GROUPS])
    )
    kept.set_defaults(run=handle_secrets)

    now = commands.add_parser("backup", help="a full backup now, or: list | verify")
    now.add_argument("what", nargs="?", choices=["full", "list", "verify"], default="full")
    now.set_defaults(run=backup)
    again = commands.add_parser("restore", help="a backup into the empty database")
    again.add_argument("--key", type=Path, required=True, help="file with the private key of age")
    again.add_argument("--at", help="a moment, such as '2026-11-25 14:03:00' (UTC); default: all")
    again.add_argument("--server", help="take the backups of this server; `backup list` names them")
    again.add_argument(
        "--with-drop", action="store_true", help="replay a DROP DATABASE that the logs hold"
    )
    again.add_argument("--yes", action="store_true", help="do not ask")
    again.set_defaults(run=restore)
    commands.add_parser(
        "resume", help="starts the site again after a restore that did not end"
    ).set_defaults(run=resume)
    trial = commands.add_parser(
        "drill", help="restores the newest backup beside the site and checks it"
    )
    trial.add_argument("--key", type=Path, required=True, help="file with the private key of age")
    trial.set_defaults(run=drill)
    person = commands.add_parser("administrator", help="makes an administrator, who gets a mail")
    person.add_argument("email")
    person.set_defaults(run=administrator)
    return top


def main() -> int:
    asked = parser().parse_args()
    try:
        require_manager()
        asked.run(Settings(asked.settings), asked)
    except Problem as problem:
        print(f"deploy/stack: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("deploy/stack: stopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    return 0
