"""A runtime in memory, for tests of what stands above it. It passes the same contract suite as the real one."""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count

from agent.health.exec_pool import ExecResult
from agent.worker.container_runtime import ContainerRequest, Exit, OnExit, Running
from agent.worker.interfaces import Image, MountSource
from agent.worker.root_origin import UNKNOWN_ORIGIN, RootOrigin
from agent.worker.sandbox import Sandbox, SharedNamespace
from shoal.api.v1.container_pb2 import ContainerSpec, Hook
from shoal.api.v1.meta_pb2 import Resources
from shoal.errors import AlreadyExists, Fault, InvalidInput, NotFound, Refused, Unavailable
from shoal.signal_names import signal_number


@dataclass(frozen=True)
class Behaviour:
    """How a program behaves.

    Attributes:
        exits_with: at once with this code; None: it runs on.
        on_signal: exit code by signal name; a signal that is not named is ignored, but SIGKILL gives 137.
        missing: there is no such program in the image.
    """

    exits_with: int | None = None
    on_signal: Mapping[str, int] = field(default_factory=dict)
    missing: bool = False


class FakeRuntime:
    """Containers that are only remembered.

    Args:
        behaviours: by command line; any other command runs on until SIGKILL.
    """

    def __init__(
        self, on_exit: OnExit, clock: Callable[[], int], behaviours: Mapping[tuple[str, ...], Behaviour] | None = None
    ) -> None:
        self._on_exit = on_exit
        self._clock = clock
        self._behaviours = behaviours or {}
        self._pids = count(1000)
        self.containers: dict[str, Running | Exit] = {}
        self.requests: dict[str, ContainerRequest] = {}
        self.signals: list[tuple[str, str]] = []
        self.hooks_hang = True
        self.hooks: list[tuple[str, tuple[str, ...]]] = []
        self.logs_kept: set[str] = set()
        self.expected_starts = 0
        self.start_error: Exception | None = None
        self.starts_tried = 0
        self.remove_error: Exception | None = None
        self.roots: dict[str, str] = {}
        self.origins: dict[str, RootOrigin] = {}
        self.volatile_roots: set[str] = set()
        self.recorded_volumes: dict[str, frozenset[str]] = {}
        self.not_started: list[tuple[str, str]] = []
        self.root_error: Exception | None = None
        self.paused: set[str] = set()
        self.limits: list[tuple[str, int]] = []
        self.limits_error: Exception | None = None
        self.addresses: dict[str, tuple[str, ...]] = {}

    def expect_start(self) -> None:
        """As `Runtime.expect_start`."""
        self.expected_starts += 1

    async def start(self, request: ContainerRequest) -> Running:
        """As `Runtime.start`."""
        self.starts_tried += 1
        if self.start_error is not None:
            raise self.start_error
        if request.task_id in self.containers:
            raise AlreadyExists(f"task {request.task_id} already has a container; remove it first")
        if request.container_id and request.container_id not in self.roots:
            raise Unavailable(f"container {request.container_id} has no root file system on this host")
        behaviour = self._behaviour(request)
        if behaviour.missing:
            name = request.spec.command[0]
            raise InvalidInput([Fault("spec.command", f"{name}: no such file in the image")])
        running = Running(next(self._pids), self._clock())
        self.containers[request.task_id], self.requests[request.task_id] = running, request
        if behaviour.exits_with is not None:
            self.end(request.task_id, behaviour.exits_with)
        return running

    async def signal(self, task_id: str, signal: str) -> None:
        """As `Runtime.signal`."""
        if signal_number(signal) is None:
            raise InvalidInput(f"unknown signal {signal!r}; use a name such as SIGTERM")
        self.signals.append((task_id, signal))
        self.paused.discard(task_id)
        if isinstance(self.containers.get(task_id), Running):
            codes = {**self._behaviour(self.requests[task_id]).on_signal, "SIGKILL": 137}
            code = next((code for name, code in codes.items() if signal_number(name) == signal_number(signal)), None)
            if code is not None:
                self.end(task_id, code)

    async def set_paused(self, task_id: str, paused: bool, *, briefly: bool = False) -> None:
        """As `Runtime.set_paused`."""
        del briefly
        if not isinstance(self.containers.get(task_id), Running):
            raise NotFound(f"task {task_id} is not running")
        if (task_id in self.paused) == paused:
            raise Refused(f"task {task_id} is {'already' if paused else 'not'} paused")
        self.paused ^= {task_id}

    async def is_paused(self, task_id: str) -> bool:
        """As `Runtime.is_paused`."""
        return task_id in self.paused

    async def set_limits(self, task_id: str, spec: ContainerSpec, limits: Resources) -> None:
        """As `Runtime.set_limits`."""
        del spec
        if not isinstance(self.containers.get(task_id), Running):
            raise NotFound(f"task {task_id} is not running")
        if self.limits_error is not None:
            raise self.limits_error
        self.limits.append((task_id, limits.memory_bytes))

    async def join_network(self, task_id: str) -> Sandbox:
        """As `Runtime.join_network`; the descriptor is of /dev/null."""
        if not isinstance(self.containers.get(task_id), Running):
            raise NotFound(f"task {task_id} is not running")
        request = self.requests[task_id]
        names = SharedNamespace(request.spec.hostname, request.spec.domainname, request.etc_files)
        return Sandbox(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), {}, "", shared=names)

    async def open_network(self, task_id: str) -> int:
        """As `Runtime.open_network`; the descriptor is of /dev/null."""
        if not isinstance(self.containers.get(task_id), Running):
            raise NotFound(f"task {task_id} is not running")
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    async def set_addresses(self, task_id: str, addresses: Collection[str]) -> None:
        """As `Runtime.set_addresses`."""
        self.addresses[task_id] = tuple(addresses)

    async def run_hook(self, task_id: str, hook: Hook) -> ExecResult:
        """As `Runtime.run_hook`: `exit N` ends with that code, `hang` never."""
        if not isinstance(self.containers.get(task_id), Running):
            raise NotFound(f"task {task_id} is not running")
        self.hooks.append((task_id, tuple(hook.command)))
        if hook.command[0] == "hang" and self.hooks_hang:
            await asyncio.Event().wait()
        if hook.command[0] == "exit":
            return ExecResult(int(hook.command[1]), b"one line\nits last words\n")
        return ExecResult(0, b"")

    async def remove(self, task_id: str, *, keep_logs: bool) -> None:
        """As `Runtime.remove`."""
        if self.remove_error is not None:
            raise self.remove_error
        if isinstance(self.containers.get(task_id), Running):
            self.end(task_id, 137)
        self.containers.pop(task_id, None)
        self.requests.pop(task_id, None)
        if keep_logs:
            self.logs_kept.add(task_id)
        else:
            self.logs_kept.discard(task_id)

    async def recover(self) -> Mapping[str, Running | Exit]:
        """As `Runtime.recover`."""
        return dict(self.containers)

    def kept_roots(self) -> Mapping[str, str]:
        """As `Runtime.kept_roots`."""
        return dict(self.roots)

    def root_origins(self) -> Mapping[str, RootOrigin]:
        """As `Runtime.root_origins`."""
        return {each: self.origins.get(each, UNKNOWN_ORIGIN) for each in self.roots}

    async def set_root_origin(self, container_id: str, origin: RootOrigin) -> None:
        """As `Runtime.set_root_origin`."""
        if self.root_error is not None:
            raise self.root_error
        if container_id in self.roots:
            self.origins[container_id] = origin

    async def make_root(
        self, container_id: str, image: Image, *, volatile: bool, origin: RootOrigin = UNKNOWN_ORIGIN
    ) -> None:
        """As `Runtime.make_root`."""
        if self.root_error is not None:
            raise self.root_error
        if container_id not in self.roots:
            self.origins[container_id] = origin
        if self.roots.setdefault(container_id, image.digest) != image.digest:
            raise Refused(f"the root file system of container {container_id} is on image {self.roots[container_id]}")
        if volatile:
            self.volatile_roots.add(container_id)

    async def record_volumes(
        self, container_id: str, image: Image, spec: ContainerSpec, volumes: Mapping[str, MountSource]
    ) -> None:
        """As `Runtime.record_volumes`."""
        del image, spec
        self.recorded_volumes[container_id] = frozenset(volumes)

    def never_started(self, container_id: str, reason: str) -> None:
        """As `Runtime.never_started`."""
        self.not_started.append((container_id, reason))

    async def remove_root(self, container_id: str) -> None:
        """As `Runtime.remove_root`."""
        if self.root_error is not None:
            raise self.root_error
        if any(self.requests[task_id].container_id == container_id for task_id in self.containers):
            raise Unavailable(f"container {container_id} is still in use")
        self.roots.pop(container_id, None)
        self.origins.pop(container_id, None)

    def end(self, task_id: str, code: int, *, oom_killed: bool = False) -> None:
        """End a running container from the test, as the kernel would."""
        end = Exit(code, oom_killed, self._clock())
        self.paused.discard(task_id)
        self.containers[task_id] = end
        self._on_exit(task_id, end)

    def _behaviour(self, request: ContainerRequest) -> Behaviour:
        return self._behaviours.get(tuple(request.spec.command), Behaviour())
