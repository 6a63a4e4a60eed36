"""One function per fault: break it, measure, and say what was expected (docs/operations.md).

Each returns the checks of its row; the runner adds errors, what was acknowledged, and times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.swarm_test import images
from deploy.swarm_test.authority import Authority
from deploy.swarm_test.crowd import Crowd, wait_until
from deploy.swarm_test.nodes import Cluster
from deploy.swarm_test.records import Request, errors, last_error_after, moves, percentile
from deploy.swarm_test.sockets import deliveries
from deploy.swarm_test.stack import NAME, Stack, StackFailed, Task
from deploy.swarm_test.verdict import Check, Row

APP = ("web", "ws", "worker")
SERVED = ("nginx", *APP)
SETTLE_SECONDS = 4.0  # after a fault, for errors that come late
MOST_SECONDS = 120.0
UPDATE_SECONDS = 240.0
LEAVING = "4012"  # a socket server's close code when it leaves


@dataclass
class Scene:
    """What a fault has to do with."""

    cluster: Cluster
    stack: Stack
    crowd: Crowd
    row: Row
    authority: Authority
    backup_key: Path
    baseline_p99: float  # milliseconds of a GET while nothing breaks

    @property
    def begun(self) -> float:
        return self.row.begun

    # --- Breaking -----------------------------------------------------------------------------

    def breaks_now(self) -> float:
        """The row's clock starts when it breaks, not while the fault is prepared."""
        self.row.begun = time.monotonic()
        return self.row.begun

    def recovered(self, seconds: float) -> None:
        self.row.recovery = max(self.row.recovery, seconds)

    def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        time.sleep(seconds)

    # --- Measuring ----------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        return self.crowd.records.between(self.begun, time.monotonic())

    def wrong(self, *, writes: bool | None = None, statuses: tuple[int, ...] = ()) -> int:
        """Errors so far; of writes or reads alone, leaving out some statuses."""
        return sum(
            (writes is None or one.is_write == writes) and one.status not in statuses
            for one in errors(self.requests)
        )

    def errors_stopped(self) -> float:
        return last_error_after(self.requests, self.begun)

    def in_flight(self) -> int:
        """Writes that were under way at the moment it broke."""
        return sum(
            one.is_write and one.begun <= self.begun + 0.5 and one.ended >= self.begun - 0.5
            for one in self.requests
        )

    def whole_again(self, *services: str, most: float = MOST_SECONDS) -> float:
        """Seconds from the fault until every replica runs; what is not by then is not a number."""
        if wait_until(lambda: self.stack.is_whole(services), most, every=0.3):
            seconds = time.monotonic() - self.begun
            self.recovered(seconds)
            return seconds
        self.row.notes.append(f"not whole after {most:.0f} s")
        return float("nan")

    def replaced(self, old: Task, *, most: float = MOST_SECONDS) -> float:
        """Seconds until the task that was killed is gone from the Swarm's list and all run."""
        if not wait_until(
            lambda: (
                old.id not in {task.id for task in self.stack.tasks(old.service, anywhere=True)}
            ),
            most,
            every=0.3,
        ):
            self.row.notes.append("the Swarm did not notice")
            return float("nan")
        return self.whole_again(old.service, most=most)

    def sockets_back(self) -> float:
        """p95 of the seconds that sockets were away."""
        away = [one for one in self.crowd.records.away if one.back >= self.begun]
        return percentile([one.back - max(one.lost, self.begun) for one in away], 95)

    def everybody_up(self, seconds: float = 60.0) -> bool:
        return wait_until(lambda: self.crowd.up == len(self.crowd.devices), seconds)

    def slowest_delivery(self, until: float | None = None) -> float:
        """Seconds from the commit's acknowledgment to the last device, of messages since then."""
        end = until or time.monotonic()
        late = [
            one.seen - one.acknowledged
            for one in deliveries(self.crowd.devices)
            if self.begun <= one.acknowledged <= end
        ]
        return max(late, default=0.0)

    def slowest_ack(self) -> float:
        return max(
            (
                one.acknowledged - one.sent
                for one in deliveries(self.crowd.devices)
                if self.begun <= one.sent
            ),
            default=0.0,
        )

    def looks(self) -> list[Request]:
        """Pages and files that people only looked at, and got."""
        return [one for one in self.requests if one.kind in {"page", "static"} and not one.wrong]

    def p99(self) -> float:
        return percentile([one.ms for one in self.looks()], 99)


# --- Tasks ------------------------------------------------------------------------------------


def kill_web(scene: Scene) -> list[Check]:
    task = scene.stack.task("web")
    scene.breaks_now()
    task.kill()
    back = scene.replaced(task)
    scene.settle()
    return [
        Check("GET errors", scene.wrong(writes=False), most=0),
        Check(
            "write errors beyond those in flight",
            scene.wrong(writes=True) - scene.in_flight(),
            most=0,
        ),
        Check("s until all run", back, most=20),
    ]


def kill_ws(scene: Scene) -> list[Check]:
    task = scene.stack.task("ws")
    scene.breaks_now()
    task.kill()
    back = scene.replaced(task)
    up = scene.everybody_up()
    scene.settle()
    scene.recovered(scene.sockets_back())
    return [
        Check("page errors", scene.wrong(), most=0),
        Check("s until sockets are back, p95", scene.sockets_back(), most=5),
        Check("s until all run", back, most=20),
        Check("all sockets are back", float(up), least=1),
    ]


def stop_nginx(scene: Scene) -> list[Check]:
    """As an update or a drained node stops it: the signal of the image, then the grace period."""
    task = scene.stack.task("nginx")
    scene.breaks_now()
    task.node.docker("stop", "--time", "60", task.container, seconds=90)
    back = scene.replaced(task)
    up = scene.everybody_up()
    scene.settle()
    return [
        Check("errors", scene.wrong(), most=0),
        Check("s until all run", back, most=45),
        Check("all sockets are back", float(up), least=1),
    ]


def _sockets_on(scene: Scene, task: Task) -> int:
    return sum(one.is_up and one.edge == task.node.address for one in scene.crowd.devices)


def kill_nginx(scene: Scene) -> list[Check]:
    task = max(scene.stack.tasks("nginx"), key=lambda one: _sockets_on(scene, one))
    under_way = _sockets_on(scene, task)
    scene.breaks_now()
    task.kill()
    back = scene.replaced(task)
    up = scene.everybody_up()
    scene.settle()
    scene.row.notes.append(f"{under_way} sockets were on it")
    flying = sum(
        one.begun <= scene.begun + 0.5 and one.ended >= scene.begun - 0.5 for one in scene.requests
    )
    return [
        Check("errors beyond those in flight", scene.wrong() - flying, most=0),
        Check("s until errors stop", scene.errors_stopped(), most=3),
        Check("s until all run", back, most=20),
        Check("all sockets are back", float(up), least=1),
    ]


def kill_worker(scene: Scene) -> list[Check]:
    task = scene.stack.task("worker")
    scene.breaks_now()
    task.kill()
    back = scene.replaced(task)
    scene.settle()
    return [
        Check("errors", scene.wrong(), most=0),
        Check("s until all run", back, most=20),
    ]


# --- Redis ------------------------------------------------------------------------------------

REDIS_AWAY_SECONDS = 12.0
SIGN_INS = 6


def kill_redis(scene: Scene) -> list[Check]:
    """kill -9, and no new one for some seconds."""
    task = scene.stack.task("redis")
    scene.breaks_now()
    task.kill()
    scene.stack.docker("service", "scale", "--detach", f"{_name('redis')}=0")
    time.sleep(REDIS_AWAY_SECONDS)
    signed_in = _sign_in(scene)
    scene.stack.docker("service", "scale", "--detach", f"{_name('redis')}=1")
    if not wait_until(lambda: scene.stack.is_whole(["redis"]), 60, every=0.2):
        raise StackFailed("Redis did not come back")
    back = time.monotonic()
    live = _live_again(scene, back)
    scene.settle()
    scene.recovered(live)
    return [
        Check("page and booking errors", scene.wrong(), most=0),
        Check("sign-ins meanwhile that failed", signed_in, most=0),
        Check("slowest ack, s", scene.slowest_ack(), most=5),
        Check("slowest delivery, s", scene.slowest_delivery(), most=5),
        Check("s until live after Redis is back", live, most=10),
    ]


def flush_redis(scene: Scene) -> list[Check]:
    task = scene.stack.task("redis")
    scene.breaks_now()
    _in_redis(scene, task, "FLUSHALL")
    scene.settle(8)
    return [
        Check("errors", scene.wrong(), most=0),
        Check("slowest delivery, s", scene.slowest_delivery(), most=5),
    ]


def _in_redis(scene: Scene, task: Task, command: str) -> None:
    script = (
        "f=$(ls /run/secrets/*redis_password* 2>/dev/null | head -1); "
        'if [ -n "$f" ]; then REDISCLI_AUTH=$(cat "$f"); export REDISCLI_AUTH; fi; '
        f"redis-cli {command}"
    )
    said = task.run("sh", "-c", script)
    if "OK" not in said:
        raise StackFailed(f"Redis said {said}")


def _sign_in(scene: Scene) -> int:
    """Sign-ins with a password now; how many failed."""
    before = len(scene.crowd.records.requests)
    visitors = scene.crowd.visitors
    scene.crowd.call(visitors.sign_in_now(SIGN_INS, scene.crowd.addresses[0]))
    made = [one for one in scene.crowd.records.requests[before:] if one.kind == "sign-in"]
    return len(errors(made)) + max(0, SIGN_INS - len(made))


def _live_again(scene: Scene, back: float) -> float:
    """Seconds from ``back`` until the acks say that messages go out live again."""

    def last_not_live() -> float:
        times = [
            at
            for device in scene.crowd.devices
            for at, live in list(device.acknowledged.values())
            if at >= back and not live
        ]
        return max(times, default=back)

    time.sleep(12)
    return last_not_live() - back


def _name(service: str) -> str:
    return f"{NAME}_{service}"


# --- MySQL ------------------------------------------------------------------------------------


def restart_mysql(scene: Scene) -> list[Check]:
    return _mysql(scene, "TERM")


def kill_mysql(scene: Scene) -> list[Check]:
    return _mysql(scene, "KILL")


def _mysql(scene: Scene, signal: str) -> list[Check]:
    task = scene.stack.task("mysql")
    before = scene.stack.containers(APP)
    scene.breaks_now()
    task.signal(signal)
    ready_at = _mysql_answers(scene, task)
    ready = ready_at - scene.begun
    scene.replaced(task)
    wait_until(lambda: time.monotonic() - _last_error(scene) > 6, 60)
    up = scene.everybody_up()
    recovery = max(0.0, _last_error(scene) - ready_at)
    scene.row.recovery = recovery
    scene.row.notes.append(f"the database was ready after {ready:.1f} s")
    tracebacks = sum("traceback" in one.wrong or "without" in one.wrong for one in scene.requests)
    return [
        Check("errors that are not a 503 page", scene.wrong(statuses=(503,)), most=0),
        Check("tracebacks, or no Retry-After", tracebacks, most=0),
        Check("s until the last error after it was ready", recovery, most=10),
        Check("app tasks restarted", float(scene.stack.containers(APP) != before), most=0),
        Check("all sockets are up", float(up), least=1),
    ]


def _mysql_answers(scene: Scene, old: Task) -> float:
    """When the new server takes connections, whatever the Swarm thinks by then."""
    found: list[float] = []

    def answers() -> bool:
        for task in scene.stack.tasks("mysql", anywhere=True):
            if task.container in {"", old.container}:
                continue
            command = (
                "mysqladmin",
                "--no-defaults",
                "--socket=/var/run/mysqld/mysqld.sock",
                "ping",
            )
            said = task.node.docker("exec", task.container, *command, check=False)
            # Without its password it is refused, by a server that runs.
            if "is alive" in said or task.node.docker(
                *("exec", task.container, "sh", "-c", f"{' '.join(command)} 2>&1 | grep Access"),
                check=False,
            ):
                found.append(time.monotonic())
                return True
        return False

    if not wait_until(answers, MOST_SECONDS, every=0.2):
        raise StackFailed("MySQL does not come back")
    return found[0]


def _last_error(scene: Scene) -> float:
    return max((one.ended for one in errors(scene.requests)), default=0.0)


# --- Updates ----------------------------------------------------------------------------------


def three_updates(scene: Scene) -> list[Check]:
    """Whole releases, edges included. A leaving socket server says so by 4012; other moves are of
    the edge that a socket came through, and there are as many edges as nodes."""
    scene.breaks_now()
    by_servers = by_edges = 0
    for number in images.NEXT:
        began = time.monotonic()
        scene.stack.operate("update", number)
        scene.stack.wait_until_whole(SERVED, UPDATE_SECONDS)
        scene.settle(8)  # the old tasks drain
        away = [one for one in scene.crowd.records.away if one.back >= began]
        told = [one for one in away if one.why == LEAVING]
        by_servers = max([by_servers, *moves(told).values()])
        by_edges = max([by_edges, *moves([one for one in away if one.why != LEAVING]).values()])
        scene.row.notes.append(f"update {number}: {time.monotonic() - began:.0f} s")
    looks = scene.looks()
    slow = [one for one in looks if one.ms > 2 * scene.baseline_p99]
    scene.row.notes.append(
        f"of {len(looks)} pages {len(slow)} took more than twice the quiet p99, "
        f"{sum(one.connected for one in slow)} of them with a new connection (of "
        f"{sum(one.connected for one in looks)})"
    )
    return [
        Check("errors", scene.wrong(), most=0),
        Check("p99 against quiet times", scene.p99() / scene.baseline_p99, most=2),
        Check("moves of a socket, by socket servers, in one update", by_servers, most=2),
        Check("and by edges", by_edges, most=len(scene.cluster.nodes)),
        Check("sockets up", float(scene.everybody_up()), least=1),
    ]


def bad_image(scene: Scene) -> list[Check]:
    before = scene.stack.image("web")
    scene.breaks_now()
    done = scene.stack.operate("update", images.BAD, check=False)
    scene.stack.wait_until_whole(SERVED, UPDATE_SECONDS)
    scene.recovered(time.monotonic() - scene.begun)
    scene.settle()
    scene.row.notes.append(f"deploy/stack said: {(done.stdout + done.stderr).strip()[-160:]}")
    return [
        Check("errors", scene.wrong(), most=0),
        Check("the command fails", done.returncode, least=1),
        Check("the image is the one before", float(scene.stack.image("web") == before), least=1),
    ]


# --- Nodes ------------------------------------------------------------------------------------


def _worker_node(scene: Scene) -> str:
    """Of the nodes with neither the database nor the operator's engine, the one with most tasks."""
    taken = {scene.stack.task("mysql").node.name, scene.cluster.manager.name}
    tasks = [task.node.name for name in (*APP, "redis") for task in scene.stack.tasks(name)]
    return max(
        (node.name for node in scene.cluster.nodes if node.name not in taken), key=tasks.count
    )


def lose_node(scene: Scene) -> list[Check]:
    node = scene.cluster.node(_worker_node(scene))
    on_it = {task.id for name in APP for task in scene.stack.tasks(name) if task.node is node}
    scene.breaks_now()
    node.pull_the_plug()
    elsewhere = float("nan")
    if wait_until(lambda: _runs_without(scene, node.name), MOST_SECONDS, every=0.5):
        elsewhere = time.monotonic() - scene.begun
    scene.recovered(elsewhere)
    scene.settle(8)
    stopped = scene.errors_stopped()
    lost_errors = scene.wrong()
    node.start(scene.cluster.ledger)
    scene.cluster.wait_until_ready()
    scene.whole_again(*SERVED, "redis")
    up = scene.everybody_up()
    scene.row.recovery = elsewhere
    scene.row.notes.append(f"{len(on_it)} app tasks and an edge were on {node.name}")
    return [
        Check("s until errors stop", stopped, most=10),
        Check("s until its tasks run elsewhere", elsewhere, most=30),
        Check("errors after it came back", scene.wrong() - lost_errors, most=0),
        Check("all sockets are back", float(up), least=1),
    ]


def _runs_without(scene: Scene, name: str) -> bool:
    """Whether the app and Redis run with all replicas on the other nodes."""
    for service in (*APP, "redis"):
        tasks = [task for task in scene.stack.tasks(service) if task.node.name != name]
        if len(tasks) < scene.stack.replicas(service)[1]:
            return False
    return True


def cut_off(scene: Scene) -> list[Check]:
    scene.cluster.wait_until_ready()  # a node that was lost before votes again
    node = scene.cluster.node(_worker_node(scene))
    database = scene.stack.task("mysql").container
    scene.breaks_now()
    node.cut_off()
    elsewhere = float("nan")
    if wait_until(lambda: _runs_without(scene, node.name), MOST_SECONDS, every=0.5):
        elsewhere = time.monotonic() - scene.begun
    scene.settle(8)
    stopped = scene.errors_stopped()
    cut_errors = scene.wrong()
    node.connect()
    scene.cluster.wait_until_ready()
    scene.whole_again(*SERVED, "redis")
    up = scene.everybody_up()
    scene.settle(8)
    scene.row.recovery = elsewhere
    return [
        Check("s until errors stop", stopped, most=10),
        Check("s until its tasks run elsewhere", elsewhere, most=30),
        Check("errors after it came back", scene.wrong() - cut_errors, most=0),
        Check(
            "the database is the same",
            float(scene.stack.task("mysql").container == database),
            least=1,
        ),
        Check("all sockets are back", float(up), least=1),
    ]


DATABASE_AWAY_SECONDS = 15.0


def lose_database_node(scene: Scene) -> list[Check]:
    """Its power goes and comes back, and the disk with it: the database waits for its own node.

    Until the connections to it are given up, requests wait; from then on they are refused at once.
    """
    scene.cluster.wait_until_ready()
    old = scene.stack.task("mysql")
    node = old.node
    elsewhere = {
        task.container
        for service in APP
        for task in scene.stack.tasks(service)
        if task.node is not node
    }
    scene.breaks_now()
    node.pull_the_plug()
    time.sleep(DATABASE_AWAY_SECONDS)
    node.start(scene.cluster.ledger)
    ready_at = _mysql_answers(scene, old)
    scene.cluster.wait_until_ready()
    scene.whole_again(*SERVED, "mysql", "redis")
    wait_until(lambda: time.monotonic() - _last_error(scene) > 6, 60)
    up = scene.everybody_up()
    after = {task.container for service in APP for task in scene.stack.tasks(service)}
    unclear = [one for one in errors(scene.requests) if one.status != 503]
    recovery = max(0.0, _last_error(scene) - ready_at)
    scene.row.recovery = recovery
    scene.row.notes.append(
        f"the database was ready after {ready_at - scene.begun:.1f} s, {len(unclear)} errors "
        "were no 503 page"
    )
    return [
        Check("s until all errors are 503 pages", last_error_after(unclear, scene.begun), most=20),
        Check("s until the last error after it was ready", recovery, most=10),
        Check("it is on its node", float(scene.stack.task("mysql").node is node), least=1),
        Check("app tasks elsewhere restarted", len(elsewhere - after), most=0),
        Check("all sockets are up", float(up), least=1),
    ]


@dataclass(frozen=True)
class Fault:
    name: str
    play: Callable[[Scene], list[Check]]
    expected: str
