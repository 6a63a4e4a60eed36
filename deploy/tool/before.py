"""Which images ran before the last update, written down where no later command loses them.

The Swarm keeps one earlier state of each service and overwrites it with every change, also one of
replicas or secrets. So an update writes the images it replaces into a label of the service
`migrate`, which has no tasks and therefore never goes back by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy.tool.docker import Problem

LABEL = "clinic.before"
# Which setting names the image of which services.
SERVICES = {
    "APP_IMAGE": ("web", "ws", "worker"),
    "NGINX_IMAGE": ("nginx",),
    "BACKUP_IMAGE": ("backup",),
}


def bare(image: str) -> str:
    """Without the digest that Docker adds to what was asked for."""
    return image.partition("@")[0]


def written(images: Mapping[str, str]) -> str:
    return " ".join(f"{name}={image}" for name, image in sorted(images.items()) if image)


def read(label: str) -> dict[str, str]:
    found = dict(word.split("=", 1) for word in label.split() if "=" in word)
    return {name: image for name, image in found.items() if name in SERVICES}


def to_write(
    *, running: Mapping[str, str], wanted: Mapping[str, str], label: str
) -> dict[str, str]:
    """What the label is to say after an update.

    ``running``: each service's image; ``wanted``: the images by setting; ``label``: what it says
    now. Where no image changes it goes on saying that. When an update ended halfway, so that web
    and ws run different releases, the one before is the one already written down.
    """
    changes = [
        service
        for name, services in SERVICES.items()
        for service in services
        if service in running and not _same(running[service], wanted.get(name, ""))
    ]
    app = {bare(running[name]) for name in SERVICES["APP_IMAGE"] if name in running}
    if not changes or (len(app) > 1 and label):
        return read(label)
    return {
        name: running[services[0]] for name, services in SERVICES.items() if services[0] in running
    }


def to_return_to(*, running: Mapping[str, str], label: str) -> dict[str, str]:
    """The images to go back to, by setting; raises ``Problem`` where that changes nothing."""
    before = read(label)
    if not before:
        raise Problem(
            "There is nothing to go back to: no update changed an image since this was installed."
        )
    if not moves(running, before):
        images = ", ".join(bare(image) for _, image in sorted(before.items()))
        raise Problem(
            f"Nothing was changed: everything runs what ran before the last update ({images}). "
            "Name an earlier release with `deploy/stack update TAG`."
        )
    return before


def moves(running: Mapping[str, str], to: Mapping[str, str]) -> list[str]:
    """What would change, as lines: service, from, to."""
    return [
        f"{service}: {bare(running[service])} → {bare(to[name])}"
        for name, services in SERVICES.items()
        for service in services
        if name in to and service in running and not _same(running[service], to[name])
    ]


def _same(running: str, wanted: str) -> bool:
    if not wanted:
        return True
    return running == wanted if "@" in wanted and "@" in running else bare(running) == bare(wanted)
