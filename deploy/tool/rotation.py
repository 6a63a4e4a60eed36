"""New secrets for old ones, without a sign-out or a failed request where that is possible."""

from __future__ import annotations

from pathlib import Path

from deploy.tool import release, secrets
from deploy.tool.docker import Problem, docker, inspect
from deploy.tool.jobs import service_name
from deploy.tool.settings import Settings


def rotate(settings: Settings, group: str) -> str:
    if group == "grafana":
        raise Problem(
            "Grafana reads its password at its first start and keeps it in its volume: change it "
            "in Grafana, under the administrator's profile."
        )
    known = secrets.groups(settings)
    if group not in known:
        raise Problem(f"There is no secret {group!r}. Choose of {', '.join(known)}.")
    release.require_deployed(settings)
    if group == "secret_key":
        return _secret_key(settings)
    if group in {"database", "migrate", "backup"}:
        return _database_user(settings, group)
    if group == "root":
        raise Problem(
            "MySQL's root password is only used inside its container. Change it there: `docker "
            "exec -it CONTAINER mysql -uroot -p`, then ALTER USER 'root'@'localhost' …"
        )
    secrets.create_group(group, settings)
    release.apply(settings)
    removed = secrets.remove_unused(settings)
    return f"{group} is rotated. Removed: {', '.join(removed) or 'nothing'}."


def _secret_key(settings: Settings) -> str:
    """Two updates: first everybody accepts the new key, then everybody signs with it. In one, a
    page of an old replica would not know the session that a new one just signed."""
    web = secrets.in_use(settings, "web")
    current = web.get("secret_key", 1)
    there = secrets.versions("secret", settings.stack)["secret_key"]
    new = there[-1]
    if new == current:
        new = secrets.create(
            "secret",
            settings.stack,
            "secret_key",
            secrets.values_for("secret_key", settings, Path())["secret_key"],
        )
    release.apply(settings, SECRET_KEY_VERSION=str(current), SECRET_KEY_FALLBACKS_VERSION=str(new))
    release.apply(settings, SECRET_KEY_VERSION=str(new), SECRET_KEY_FALLBACKS_VERSION=str(current))
    return (
        f"The secret key is version {new}; what version {current} signed stays valid. In two "
        "weeks, when those sessions are over, run `deploy/stack secrets retire`."
    )


def retire(settings: Settings) -> str:
    """Ends the validity of what the earlier key signed."""
    release.require_deployed(settings)
    current = secrets.in_use(settings, "web").get("secret_key", 1)
    release.apply(
        settings, SECRET_KEY_VERSION=str(current), SECRET_KEY_FALLBACKS_VERSION=str(current)
    )
    removed = secrets.remove_unused(settings)
    return f"Only version {current} of the secret key is valid. Removed: {', '.join(removed)}."


def local_container(settings: Settings, service: str) -> str:
    name = service_name(settings, service)
    found = docker(
        "ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={name}"
    ).split()
    if not found:
        where = docker(
            "service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", name
        )
        raise Problem(
            f"{name} runs on {where or 'no node'}, not here. Run this there, or set "
            "DOCKER_HOST=ssh://THAT-NODE (it must be a manager)."
        )
    return found[0]


def _database_user(settings: Settings, group: str) -> str:
    """MySQL accepts both passwords until all services use the new one."""
    container = local_container(settings, "mysql")
    with_values = secrets.values_for(group, settings, Path())
    password_name = next(name for name in with_values if name.endswith("_password"))
    # The script reads files: the new password travels through the input into memory, the root
    # password is already in the container.
    script = (
        "set -e; umask 077; folder=$(mktemp -d -p /tmp); trap 'rm -rf \"$folder\"' EXIT; "
        f'cat > "$folder/{password_name}"; '
        'cp /run/secrets/mysql_root_password "$folder/"; '
        'ROTATING=1 USERS_FOLDER="$folder" bash /docker-entrypoint-initdb.d/users.sh'
    )
    docker(
        "exec", "--interactive", container, "bash", "-c", script, text=with_values[password_name]
    )
    for name, value in with_values.items():
        secrets.create("secret", settings.stack, name, value)
    release.apply(settings)
    removed = secrets.remove_unused(settings)
    user = {"database": "clinic", "migrate": "clinic_migrate", "backup": "clinic_backup"}[group]
    return (
        f"The password of {user} is new; the earlier one works until `ALTER USER '{user}'@'%' "
        f"DISCARD OLD PASSWORD`. Removed: {', '.join(removed) or 'nothing'}."
    )


def is_running(settings: Settings, service: str) -> bool:
    return inspect("service", service_name(settings, service)) is not None
