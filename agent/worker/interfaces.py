"""What the worker needs of images, network and runtime: the narrow interfaces, beside their one consumer."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.assignments.cluster_diff import ClusterDiff
from agent.health.exec_pool import ExecResult
from agent.worker.sandbox import Sandbox
from shoal.api.v1.container_pb2 import ContainerSpec, Healthcheck, Hook
from shoal.api.v1.dispatcher_pb2 import Assignments
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig, ServiceRevision
from shoal.api.v1.task_pb2 import Task

Report = Callable[[str], None]
"""Takes a line for the user on how far a long step is; called at most a few times a second, from the event loop."""


@dataclass(frozen=True)
class ImageConfig:
    """The `config` object of an OCI image configuration (image-spec, config.md), with empty where it has nothing."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True)
class Image:
    """An image that is on this host, unpacked.

    Attributes:
        reference: as it was asked for.
        digest: of the manifest for this platform, "sha256:…".
        layers: unpacked layers as overlayfs wants its lowerdir: the topmost first. At least one.
    """

    reference: str
    digest: str
    config: ImageConfig
    layers: tuple[Path, ...]


class Images(Protocol):
    """Images on this host."""

    @property
    def lacks_space(self) -> bool:
        """Whether one was refused of late for want of room on the disk, and would be again. Costs a system call."""
        ...

    async def ensure(self, reference: str, report: Report) -> Image:
        """The image, pulled and unpacked if it is not here yet. Concurrent calls share the work.

        Raises:
            NotFound: the registry has no such image, or none for this platform.
            Unauthenticated, PermissionDenied, Unavailable, Exhausted (disk full), InvalidInput (broken image).
        """
        ...

    async def collect_garbage(self, used: frozenset[str]) -> None:
        """Remove images whose digests are not in `used` and layers that nothing needs, when the disk runs short."""
        ...


@dataclass(frozen=True)
class Sockets:
    """What a container has open on its network. A port is the protocol's number (6 or 17) and the port's own.

    Attributes:
        reachable: where others reach a listener.
        loopback_only: where only the container itself does.
        connections: open TCP connections from elsewhere to those ports.
    """

    reachable: frozenset[tuple[int, int]] = frozenset()
    loopback_only: frozenset[tuple[int, int]] = frozenset()
    connections: int = 0


class Networks(Protocol):
    """The node's datapath and names."""

    @property
    def dns_ttl_seconds(self) -> float:
        """How long who asked for a name goes by the answer."""
        ...

    async def apply(self, change: ClusterDiff) -> None:
        """Bring routes, forwarding entries, policy and names from what was asked so far to this, by what differs alone.

        The first call says everything that there is. After an error the change has to be asked for again.
        """
        ...

    async def attach(self, task: Task, internal_only: bool = False, resolvers: Sequence[str] = ()) -> Sandbox:
        """A namespace with the task's addresses, routes, and its published ports. Idempotent for a task.

        Args:
            resolvers: addresses asked for names that are not the cluster's; none means the node's.
        Raises:
            Unavailable: the kernel refused. Refused: a port is taken on this host.
        """
        ...

    async def withdraw(self, task_id: str) -> None:
        """Lead no new client to the task by ports that it publishes on this node; connections go on. Idempotent.

        Raises:
            Unavailable: the kernel refused.
        """
        ...

    async def detach(self, task_id: str) -> None:
        """Withdraw ports, routes and links of a task. No error when there are none."""
        ...

    async def recover(self, live: Sequence[Task]) -> None:
        """After a start of the agent: adopt what belongs to `live`, remove whatever else carries our names."""
        ...

    async def sockets(self, pid: int) -> Sockets:
        """What the container of this process has open; nothing when it has ended.

        Raises:
            Unavailable: the kernel does not tell.
        """
        ...


@dataclass(frozen=True)
class MountedFile:
    """A secret or config for a container: a read-only file of its own, in memory.

    Attributes:
        path: absolute, in the container.
        mode: permission bits.
        executable: programs may be started from it.
    """

    path: str
    content: bytes = field(repr=False)
    uid: int
    gid: int
    mode: int
    executable: bool


@dataclass(frozen=True)
class MountSource:
    """A volume on this host, for one mount of a container.

    Attributes:
        data: its directory.
        options: `type`, `o` and `device` of mount(8), for what is to be mounted in place of `data`; else empty.
        subpath: relative; the directory in it that is wanted; empty for the whole.
        populate: fill it, where it is empty, from what the image has at the target.
        durable: it outlives the container, and so the host's crash.
    """

    data: Path
    options: Mapping[str, str]
    subpath: str
    populate: bool
    durable: bool = True


class ContentSource(Protocol):
    """Secrets and configs that managers have sent, in memory alone."""

    def apply(self, message: Assignments, revisions: Iterable[ServiceRevision]) -> None:
        """Keep what was sent, and of everything only what these revisions and this node's volumes need."""
        ...

    async def wait_for_files(self, container: ContainerSpec, report: Report) -> tuple[MountedFile, ...]:
        """A container's secrets and configs, once all have come; what is waited for is reported by its name."""
        ...


VolumePart = tuple[str, int]
"""Of a volume: its id, and the slot whose own part it is; 0 for its whole data."""


class Volumes(Protocol):
    """The volumes of this host."""

    async def prepare(self, container: ContainerSpec, slot: int, report: Report) -> Mapping[str, MountSource]:
        """The volumes of a task's container by target, once all are here; local ones that are not are made.

        Raises:
            Unavailable: the disk refuses. Refused: data of another volume lies there.
        """
        ...

    def apply(self, message: Assignments) -> None:
        """What managers say of volumes: which to bring, to let go of, or to delete once no container uses them."""
        ...

    async def run(self, in_use: Callable[[], Collection[VolumePart]], mounted: Callable[[], Collection[str]]) -> None:
        """Do it, until cancelled.

        Args:
            in_use: parts of volumes that containers have, or await.
            mounted: ids of volumes that containers have.
        """
        ...


@dataclass(frozen=True)
class ContainerRequest:
    """Everything that a start needs.

    Attributes:
        task_id: names the container, its bundle, its cgroup.
        name: for the user, `web.3.<id>`; with dashes for dots the host name where the spec gives none (63 characters).
        limits: 0 in a field means no limit; pids 0 means the agent's default.
        netns_fd: network namespace to join; None for a container without network of its own to come (`host`, -1: the
            node's own).
        etc_files: content of small files bound over the image's, by path in the container: /etc/hosts,
            /etc/resolv.conf, /etc/hostname.
        mounted_files: secrets and configs.
        volumes: by target, one for each mount of a volume in the spec.
        cdi_devices: devices of the Container Device Interface, kind and name.
        shares_network: the namespace is another container's, and its settings are that one's.
    """

    task_id: str
    name: str
    spec: ContainerSpec
    limits: Resources
    log: LogConfig
    image: Image
    netns_fd: int | None
    etc_files: Mapping[str, bytes]
    mounted_files: Sequence[MountedFile] = ()
    volumes: Mapping[str, MountSource] = field(default_factory=dict)
    cdi_devices: Sequence[tuple[str, str]] = ()
    shares_network: bool = False


@dataclass(frozen=True)
class Running:
    """A container whose first process runs."""

    pid: int
    started_ms: int


@dataclass(frozen=True)
class Exit:
    """How a container ended.

    Attributes:
        code: exit code of its first process; 128 + signal number when a signal ended it; 255 when it was lost.
        oom_killed: the kernel killed for its memory limit.
        message: a line for the user when there is more to say, else empty.
    """

    code: int
    oom_killed: bool
    at_ms: int
    message: str = ""


OnExit = Callable[[str, Exit], None]
"""Called from the event loop, once for each container that ends, with its task id."""


class Runtime(Protocol):
    """Containers on this host. They do not belong to this process: they outlive it."""

    def expect_start(self) -> None:
        """Announce an upcoming start, so that kernel work can begin early. Returns immediately."""
        ...

    async def start(self, request: ContainerRequest) -> Running:
        """Make the root file system, create and start. On an error nothing is left behind.

        Raises:
            InvalidInput: the spec and the image do not fit (no command, unknown user, program not found).
            Unavailable: the host refused; DiskFull: the disk has no room; Exhausted: memory.
        """
        ...

    async def signal(self, task_id: str, signal: str) -> None:
        """Send a signal by name ("SIGTERM") to the first process, or to all ("SIGKILL"). No error when it has ended."""
        ...

    async def join_network(self, task_id: str) -> Sandbox:
        """The network of a container that runs, for another one to share; the caller closes its descriptor.

        Raises:
            NotFound: the container does not run. InvalidInput: its files of /etc cannot be shared.
        """
        ...

    async def run_hook(self, task_id: str, hook: Hook) -> ExecResult:
        """Run a program in a container that runs, to its end; when cancelled, it is hung up on, then killed.

        Raises:
            NotFound: the container has ended. InvalidInput: it has no such user or group.
            Exhausted: too many programs run. Unavailable: the host refused.
        """
        ...

    async def remove(self, task_id: str, *, keep_logs: bool) -> None:
        """Kill what is left, delete the container, its cgroup, root file system and bundle. Idempotent."""
        ...

    async def recover(self) -> Mapping[str, Running | Exit]:
        """Every container of ours found on this host, by task id; exits of the running ones are told from now on."""
        ...
