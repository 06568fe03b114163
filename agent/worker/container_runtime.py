"""The interface of the runtime that the worker needs, and the values of starts and exits."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.health.exec_pool import ExecResult
from agent.worker.interfaces import Image, MountedFile, MountSource
from agent.worker.root_origin import UNKNOWN_ORIGIN, RootOrigin
from agent.worker.sandbox import Sandbox
from shoal.api.v1.container_pb2 import ContainerSpec, Hook
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig


@dataclass(frozen=True)
class ContainerRequest:
    """Everything that is needed to start a container.

    Attributes:
        task_id: names the container, its bundle, its cgroup.
        name: for the user, `web.3.<id>`; with dashes for dots the host name where the spec gives none (63 characters).
        limits: 0 in a field means no limit; pids 0 means the agent's default.
        netns_fd: network namespace to join; -1 for the node's own (`host`); None for a container without a network.
        etc_files: content of small files bound over the image's, by path in the container: /etc/hosts,
            /etc/resolv.conf, /etc/hostname.
        mounted_files: secrets and configs.
        volumes: by target, one for each mount of a volume in the spec.
        cdi_devices: devices of the Container Device Interface, kind and name.
        shares_network: the namespace is another container's, and its settings are that one's.
        pid_task_id, ipc_task_id: tasks on this host whose process and IPC namespaces it joins; empty: its own.
        container_id: the container whose root file system and log it uses, which `Runtime.make_root` has made; empty:
            they are the task's own and end with it.
        volatile: what it writes need not survive a crash of the host.
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
    container_id: str = ""
    volatile: bool = True
    pid_task_id: str = ""
    ipc_task_id: str = ""


@dataclass(frozen=True)
class Running:
    """A container whose first process is running."""

    pid: int
    started_ms: int


@dataclass(frozen=True)
class Exit:
    """How a container exited.

    Attributes:
        code: exit code of its first process; 128 + signal number if a signal killed it; 255 if it was lost.
        oom_killed: the kernel killed a process because of the memory limit.
        message: a line for the user with further details, else empty.
    """

    code: int
    oom_killed: bool
    at_ms: int
    message: str = ""


OnExit = Callable[[str, Exit], None]
"""Called from the event loop, once for each container that exits, with its task id."""


class Runtime(Protocol):
    """Containers on this host. They outlive this process."""

    def expect_start(self) -> None:
        """Announce an upcoming start, so that kernel work can begin early. Returns immediately."""
        ...

    async def start(self, request: ContainerRequest) -> Running:
        """Create the root file system, create and start the container. On an error nothing is left behind.

        Raises:
            InvalidInput: the spec and the image do not fit (no command, unknown user, program not found).
            NotFound: a container whose namespaces it joins is not running.
            Unavailable: the host failed; DiskFull: the disk is full; Exhausted: out of memory.
        """
        ...

    async def signal(self, task_id: str, signal: str) -> None:
        """Send a signal by name ("SIGTERM") to the first process, or to all ("SIGKILL"). No error if it has exited."""
        ...

    async def join_network(self, task_id: str) -> Sandbox:
        """The network of a running container, for another one to share; the caller closes its descriptor.

        Raises:
            NotFound: the container is not running. InvalidInput: its files of /etc cannot be shared.
        """
        ...

    async def open_network(self, task_id: str) -> int:
        """A descriptor of a running container's network namespace, which the caller closes.

        Raises:
            NotFound: the container is not running.
        """
        ...

    async def set_addresses(self, task_id: str, addresses: Collection[str]) -> None:
        """Put a running container's addresses into its /etc/hosts, in place of those that it had. Idempotent.

        Raises:
            NotFound: the container is not running. Unavailable: the file cannot be written.
        """
        ...

    async def run_hook(self, task_id: str, hook: Hook) -> ExecResult:
        """Run a program in a running container until it exits; on cancellation it gets SIGHUP, then SIGKILL.

        Raises:
            NotFound: the container has exited. InvalidInput: it has no such user or group.
            Exhausted: too many programs are running. Unavailable: the host failed.
        """
        ...

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        """Freeze a running container's processes, or let them continue.

        Args:
            briefly: if this process of the agent ends meanwhile, the next one lets them continue.
        Raises:
            NotFound: it is not running. Refused: it is paused already, or not paused. Unavailable: the kernel failed.
        """
        ...

    async def is_paused(self, task_id: str) -> bool:
        """Whether its processes are frozen. A signal lets them continue."""
        ...

    async def set_limits(self, task_id: str, spec: ContainerSpec, limits: Resources) -> None:
        """Change the limits of a running container: those of the request, and `cpu` and `memory` of the spec.

        Raises:
            NotFound: it is not running. InvalidInput: the host does not support one. Unavailable: the kernel refused.
        """
        ...

    async def remove(self, task_id: str, *, keep_logs: bool) -> None:
        """Kill remaining processes and delete the container, its cgroup, root file system and bundle. Idempotent.

        A root file system that `make_root` has made stays, with its log.
        """
        ...

    async def recover(self) -> Mapping[str, Running | Exit]:
        """All containers of this agent found on this host, by task id; exits of running ones are reported from now
        on. No root file system that `make_root` has made is removed."""
        ...

    def kept_roots(self) -> Mapping[str, str]:
        """The containers whose root file systems are kept on this host, with the digest of the image below each; empty
        if it is not known."""
        ...

    def root_origins(self) -> Mapping[str, RootOrigin]:
        """The containers whose root file systems are kept on this host, with the origin that is recorded of each."""
        ...

    async def set_root_origin(self, container_id: str, origin: RootOrigin) -> None:
        """Record another origin of a kept root file system, durably; nothing if it is gone.

        Raises:
            Unavailable: the disk failed; the old one holds.
        """
        ...

    async def make_root(
        self, container_id: str, image: Image, *, volatile: bool, origin: RootOrigin = UNKNOWN_ORIGIN
    ) -> None:
        """Make a container's root file system, which is kept until `remove_root`. Idempotent.

        When this returns, it survives any crash, also of the host; before, nothing of it does.

        Args:
            volatile: it need not survive a crash of the host.
            origin: recorded with it, where it is made now.
        Raises:
            Refused: there is one already, on another image. Unavailable: the disk failed; DiskFull: it is full.
        """
        ...

    async def record_volumes(
        self, container_id: str, image: Image, spec: ContainerSpec, volumes: Mapping[str, MountSource]
    ) -> None:
        """Note the volumes of a container that `make_root` has made, so that its files can be copied before its start.

        Args:
            spec: its mounts of volumes without a name are made.
            volumes: the named ones, by target.
        Raises:
            Unavailable: the disk failed; DiskFull: it is full.
        """
        ...

    def never_started(self, container_id: str, reason: str) -> None:
        """A container's run ended before its container was started: those who wait for its start are told why."""
        ...

    async def remove_root(self, container_id: str) -> None:
        """Delete a container's root file system, its anonymous volumes and its log. Idempotent.

        Raises:
            Unavailable: a task's container still uses it, or the host failed; a later call may succeed.
        """
        ...
