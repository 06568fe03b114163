"""A container as documents of it show it, whatever it is of: one of a user's own, or a task of a service. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.protocol.go_times import NEVER, time_text
from engine.translate.containers.container_mounts import is_anonymous
from engine.translate.containers.container_ports import bound_ports
from engine.translate.images.image_facts import ImageFacts
from engine.translate.object_ids import docker_id
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.task_pb2 import TaskState, TaskStatus
from shoal.container_states import state_text

VOLUME_DIRECTORY = "/var/lib/shoal/agent/volumes"
"""Of an agent with the default state directory: what documents say of where a volume is."""

_HEALTH = {TaskStatus.STARTING: "starting", TaskStatus.HEALTHY: "healthy", TaskStatus.UNHEALTHY: "unhealthy"}
_ENDED = (TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED, TaskState.REJECTED)


@dataclass(frozen=True)
class NetworkFacts:
    """A network that a container is on.

    Attributes:
        prefix, prefix6: length of the subnet's prefix.
    """

    name: str
    id: str
    prefix: int = 0
    gateway: str = ""
    prefix6: int = 0
    gateway6: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What documents of a container need besides its own view.

    Attributes:
        networks: by id, and the node's own by their names.
        images: by the reference that a container has.
        links: further names of containers, "/web/db", by the id of the container that they lead to.
    """

    networks: Mapping[str, NetworkFacts] = field(default_factory=dict)
    images: Mapping[str, ImageFacts] = field(default_factory=dict)
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def network_names(self) -> dict[str, str]:
        return {identifier: each.name for identifier, each in self.networks.items()}

    def image_of(self, view: ContainerView) -> ImageFacts:
        return self.images.get(view.container.definition.task.container.image, ImageFacts())


def linked_names(views: Iterable[ContainerView]) -> dict[str, list[str]]:
    """Names that the links of containers give to others, "/web/db", by the id of the other one."""
    found: dict[str, list[str]] = {}
    for view in views:
        for link in view.container.definition.task.container.links:
            if link.container_id:
                found.setdefault(link.container_id, []).append(f"/{view.container.name}/{link.names[0]}")
    return found


def sizes_of(view: ContainerView) -> tuple[int, int]:
    """Bytes that the container has written, and of its whole root file system; 0 where its node has not told them."""
    return view.writable_bytes, view.writable_bytes + view.image_bytes


def identifier(view: ContainerView) -> str:
    """64 digits: of the container, or of the task of a service."""
    return docker_id(view.container.meta.id or view.task.id)


def is_of_service(view: ContainerView) -> bool:
    return not view.container.meta.id


def created_ms(view: ContainerView) -> int:
    return view.container.meta.created_at_ms or view.task.created_at_ms


def labels_of(view: ContainerView) -> dict[str, str]:
    """Its own, and of a service's task those by which Docker's clients know it."""
    definition = view.container.definition
    labels = {**definition.task.container.labels, **definition.labels}
    if is_of_service(view):
        name = view.container.name
        labels |= {
            "com.docker.swarm.node.id": view.node_id,
            "com.docker.swarm.service.id": view.task.service_id,
            "com.docker.swarm.service.name": name.partition(".")[0],
            "com.docker.swarm.task": "",
            "com.docker.swarm.task.id": view.task.id,
            "com.docker.swarm.task.name": name,
        }
    return labels


def state_document(view: ContainerView) -> dict[str, Any]:
    """`State` of `inspect`."""
    word, status = state_text(view), view.task_status
    active = word in ("running", "paused", "restarting")
    document: dict[str, Any] = {
        "Status": word,
        "Running": active,
        "Paused": word == "paused",
        "Restarting": word == "restarting",
        "OOMKilled": status.oom_killed and not active,
        "Dead": word == "dead",
        "Pid": status.pid if word in ("running", "paused") else 0,
        "ExitCode": 0 if word in ("running", "paused", "created") else status.exit_code,
        "Error": error_text(view, word),
        "StartedAt": time_text(started_ms(view)),
        "FinishedAt": time_text(finished_ms(view)) if word != "running" else NEVER,
    }
    if (health := health_document(view)) is not None:
        document["Health"] = health
    return document


def error_text(view: ContainerView, word: str) -> str:
    """Why it does not run, where that is known: its node is away, or the start was refused."""
    if view.node_down_since_ms:
        since = time_text(view.node_down_since_ms)
        return f"node {view.node_hostname or view.node_id} is down since {since}"
    if view.task_status.state == TaskState.REJECTED:
        return view.task_status.message
    return "; ".join(view.status.problems) if word == "created" else ""


def started_ms(view: ContainerView) -> int:
    """When its newest run began; 0: never."""
    return view.task_status.running_at_ms


def finished_ms(view: ContainerView) -> int:
    """When its newest run ended; 0: it has not."""
    return view.task_status.at_ms if view.task_status.state in _ENDED else 0


def health_document(view: ContainerView) -> dict[str, Any] | None:
    """`State.Health`; None where nothing is checked."""
    status = view.task_status
    if status.health not in _HEALTH:
        return None
    log = [{"Start": time_text(status.at_ms), "End": time_text(status.at_ms), "ExitCode": 0, "Output": ""}]
    log[0]["Output"] = status.health_output
    log[0]["ExitCode"] = 0 if status.health == TaskStatus.HEALTHY else 1
    return {"Status": _HEALTH[status.health], "FailingStreak": 0, "Log": log if status.health_output else []}


def ports_of(view: ContainerView) -> dict[str, list[dict[str, str]]]:
    """Where its published ports answer; none while it does not run."""
    if state_text(view) not in ("running", "paused"):
        return {}
    bound = bound_ports(view.container.definition.ports, mesh=view.status.mesh_ports, of_task=view.task.ports)
    return {text: bindings for text, bindings in bound.items() if bindings}


def mount_points(view: ContainerView) -> list[dict[str, Any]]:
    """`Mounts`, of `inspect` and of listings: not of tmpfs, unless it was a mount of its own."""
    return [_mount_point(mount) for mount in view.container.definition.task.container.mounts]


def _mount_point(mount: Mount) -> dict[str, Any]:
    target, writable = mount.target, not mount.read_only
    if mount.type == Mount.BIND:
        return {
            "Type": "bind",
            "Source": mount.source,
            "Destination": target,
            "Mode": "" if writable else "ro",
            "RW": writable,
            "Propagation": mount.propagation or "rprivate",
        }
    if mount.type == Mount.TMPFS:
        return {"Type": "tmpfs", "Source": "", "Destination": target, "Mode": "", "RW": writable, "Propagation": ""}
    name = mount.volume.name or mount.source
    return {
        "Type": "volume",
        "Name": name,
        "Source": f"{VOLUME_DIRECTORY}/{name}/_data",
        "Destination": target,
        "Driver": mount.volume.driver or "local",
        "Mode": "" if is_anonymous(mount) else "z",
        "RW": writable,
        "Propagation": "",
    }


def given_name(view: ContainerView) -> str:
    """The name that a service gives to its one task (Compose `container_name`); empty for all others."""
    return view.container.definition.task.container.name if is_of_service(view) else ""
