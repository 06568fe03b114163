"""Opens a container's root file system for the agent, of a running container or of one that is stopped.

A running one is reached through its first process, with its volumes and everything else that it has mounted. The files
of a stopped one, which is kept, are mounted for as long as someone uses them, in a mount namespace that nothing else is
in, with its volumes. As long as one is open, no run of that container starts: two mounts of one upper
directory would not see each other's changes. So a start ends those uses after some seconds.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths, ContainerRecord
from agent.runtime.container_table import ContainerTable
from agent.runtime.kernel.linux import CLONE_FS, MS_BIND, MS_RDONLY, MS_REMOUNT, mount, unshare
from agent.runtime.kernel.processes import open_pidfd, wait_pidfd
from agent.runtime.live.stopped_mounts import mount_volumes_of_stopped
from agent.runtime.rootfs.access_record import read_access
from agent.runtime.rootfs.kept_roots import KeptRoot
from agent.runtime.rootfs.overlay_mount import mount_layers, mount_overlay, private_mounts, read_in_root
from agent.runtime.rootfs.root_locks import ShardedLocks
from agent.runtime.rootfs.volume_record import read_volumes
from agent.runtime.spec.user_lookup import resolve_user
from shoal.errors import Exhausted, InvalidInput, NotFound, Refused, Unavailable

MAX_OPEN = 16
"""Containers whose files are in use at once, on a node: each call takes a thread."""


SETTLE_SECONDS = 10.0
"""For a start or a removal in progress."""

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class OpenRoot:
    """A container's files while they are open.

    Attributes:
        root: descriptor (O_PATH) of its root directory. Only openat2(2) with it as root is safe.
        upper: what it has changed.
        layers: the directories below, the topmost first.
        user: user and group id of its program; None where they are not known.
        absent: where it has volumes and directories of the host that are not here while it does not run.
    """

    root: int
    upper: Path
    layers: tuple[Path, ...]
    user: tuple[int, int] | None = None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class RootFiles:
    """Where the files of a container are.

    Attributes:
        upper: what it has changed; layers: the directories below; none where they are not known.
    """

    upper: Path
    layers: tuple[Path, ...]


@dataclass
class _Mounted:
    """`namespace` keeps the mounts; `users` counts those who use them; `absent`: see `OpenRoot`."""

    root: int
    namespace: int
    absent: tuple[str, ...] = ()
    user: str | None = None
    users: int = 0


class RootAccess:
    """For one event loop; `close` it.

    Args:
        running: returns the record of a running container by its id or its task's; None if it does not run.
        kept: the roots that are kept, by container id.
    """

    def __init__(
        self,
        *,
        paths: ContainerPaths,
        containers: ContainerTable,
        running: Callable[[str], ContainerRecord | None],
        kept: Callable[[], dict[str, KeptRoot]],
    ) -> None:
        self._paths = paths
        self._containers = containers
        self._running = running
        self._kept = kept
        self._mounted: dict[str, _Mounted] = {}
        self._locks = ShardedLocks()
        self._open = 0
        self._host_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self._threads = ThreadPoolExecutor(2, "roots", initializer=unshare, initargs=(CLONE_FS,))

    def close(self) -> None:
        """Wait for mounts and unmounts in progress."""
        self._threads.shutdown()
        os.close(self._host_mounts)

    @asynccontextmanager
    async def open(self, own_id: str) -> AsyncGenerator[OpenRoot]:
        """The files of a container, until the end of the context.

        Raises:
            NotFound: this host has none of it. Refused: it is stopped and its image is not known.
            Exhausted: too many are in use. Unavailable: the host failed.
        """
        if self._open >= MAX_OPEN:
            raise Exhausted(f"too many containers' files are in use on this node ({self._open}); try again later")
        self._open += 1
        try:
            record = await self._settled(own_id)
            access = self._of_running(record) if record is not None else self._of_stopped(own_id)
            async with access as opened:
                yield opened
        finally:
            self._open -= 1

    def find(self, own_id: str) -> RootFiles | None:
        """Where its files are; None: this host has none of it. Nothing is opened."""
        if (record := self._running(own_id)) is not None:
            upper = self._paths.upper_of(record.task_id, record.container_id)
            return RootFiles(upper / "u", tuple(map(Path, record.layers)))
        if (kept := self._kept().get(own_id)) is not None:
            return RootFiles(self._paths.kept_root(own_id) / "u", tuple(map(Path, kept.layers)))
        return None

    @asynccontextmanager
    async def below(self, opened: OpenRoot) -> AsyncGenerator[int]:
        """A descriptor of what is below a container's changes: the merged layers of its image, read-only.

        Raises:
            Refused: they are not known. Unavailable: the host failed.
        """
        if not opened.layers:
            raise Refused("the image below this container is not known")
        loop = asyncio.get_running_loop()
        try:
            mounted = await self._in_thread(partial(self._mount_layers, opened.layers))
        except OSError as error:
            raise Unavailable(f"cannot mount the image's layers: {error.strerror}") from error
        try:
            yield mounted.root
        finally:
            await asyncio.shield(loop.run_in_executor(self._threads, _close, mounted))

    async def _settled(self, own_id: str) -> ContainerRecord | None:
        """The record of a running container; None if it does not run, and is not being started or removed either."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (record := self._running(own_id)) is None and self._containers.holder(own_id) is not None:
            if time.monotonic() > deadline:
                raise Unavailable(f"container {own_id} is being started or removed; try again")
            await asyncio.sleep(_POLL_SECONDS)
        return record

    @asynccontextmanager
    async def _of_running(self, record: ContainerRecord) -> AsyncGenerator[OpenRoot]:
        async with self._containers.copied(record.container_id):
            root = _open_root_of(record)
            try:
                upper = self._paths.upper_of(record.task_id, record.container_id)
                user = self._user_of(record)
                yield OpenRoot(root, upper / "u", tuple(map(Path, record.layers)), user)
            finally:
                os.close(root)

    def _user_of(self, record: ContainerRecord) -> tuple[int, int]:
        spec = json.loads((self._paths.bundle(record.task_id) / "config.json").read_bytes())
        return spec["process"]["user"]["uid"], spec["process"]["user"]["gid"]

    @asynccontextmanager
    async def _of_stopped(self, container_id: str) -> AsyncGenerator[OpenRoot]:
        kept = self._kept().get(container_id)
        if kept is None:
            raise NotFound(f"this host has no files of {container_id}: it is not running, and they are not kept")
        if not kept.layers:
            raise Refused(f"the image below container {container_id} is not known; start it first")
        async with self._containers.copied(container_id):
            mounted = await self._mount(container_id, kept)
            try:
                upper = self._paths.kept_root(container_id)
                layers = tuple(map(Path, kept.layers))
                yield OpenRoot(mounted.root, upper / "u", layers, _user_in(mounted), mounted.absent)
            finally:
                await asyncio.shield(self._unmount(container_id, mounted))

    async def _mount(self, container_id: str, kept: KeptRoot) -> _Mounted:
        async with self._locks.of(container_id):
            mounted = self._mounted.get(container_id)
            if mounted is None:
                try:
                    mounted = await self._in_thread(partial(self._mount_all, container_id, kept))
                except OSError as error:
                    raise Unavailable(f"cannot mount the files of {container_id}: {error.strerror}") from error
                self._mounted[container_id] = mounted
            mounted.users += 1
            return mounted

    async def _in_thread(self, mount: Callable[[], _Mounted]) -> _Mounted:
        """What it mounts; on cancellation nothing stays mounted."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, mount)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            if work.exception() is None:
                _close(work.result())
            raise

    async def _unmount(self, container_id: str, mounted: _Mounted) -> None:
        async with self._locks.of(container_id):
            mounted.users -= 1
            if not mounted.users:
                del self._mounted[container_id]
                # The last unmount syncs the disk.
                await asyncio.get_running_loop().run_in_executor(self._threads, _close, mounted)

    def _mount_all(self, container_id: str, kept: KeptRoot) -> _Mounted:
        point = self._paths.run / "roots" / container_id
        point.mkdir(mode=0o700, parents=True, exist_ok=True)
        upper = self._paths.kept_root(container_id)
        self._paths.create_base()
        access = read_access(upper)
        with private_mounts(self._host_mounts, hide=None):
            mount_overlay([*map(Path, kept.layers), self._paths.base], upper, point, volatile=False)
            root = os.open(point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                absent = mount_volumes_of_stopped(root, point, [*read_volumes(upper), *access.binds])
                if access.read_only:
                    mount("none", str(point), None, MS_BIND | MS_REMOUNT | MS_RDONLY)
                namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            except BaseException:
                os.close(root)
                raise
        return _Mounted(root, namespace, absent, access.user)

    def _mount_layers(self, layers: tuple[Path, ...]) -> _Mounted:
        point = self._paths.run / "roots" / "layers"  # of each namespace its own
        point.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._paths.create_base()
        with private_mounts(self._host_mounts, hide=None):
            mount_layers([*layers, self._paths.base], point)
            root = os.open(point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            return _Mounted(root, os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))


def _user_in(mounted: _Mounted) -> tuple[int, int] | None:
    """The user of a program that does not run, by the accounts that the container has now; None if it has none such."""
    if mounted.user is None:
        return None
    try:
        root = Path(f"/proc/self/fd/{mounted.root}")
        passwd, group = (read_in_root(root, path) for path in ("/etc/passwd", "/etc/group"))
        user = resolve_user(mounted.user, (), passwd=passwd, group=group)
    except InvalidInput:
        return None
    return user.uid, user.gid


def _open_root_of(record: ContainerRecord) -> int:
    """It may exit at any moment, and its number become another process's."""
    pidfd = open_pidfd(record.pid, record.pid_started)
    if pidfd is None:
        raise NotFound(f"task {record.task_id} is not running")
    try:
        root = os.open(f"/proc/{record.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if wait_pidfd(pidfd, 0):
            os.close(root)
            raise NotFound(f"task {record.task_id} is not running")
        return root
    except (FileNotFoundError, ProcessLookupError):
        raise NotFound(f"task {record.task_id} is not running") from None
    finally:
        os.close(pidfd)


def _close(mounted: _Mounted) -> None:
    os.close(mounted.root)
    os.close(mounted.namespace)
