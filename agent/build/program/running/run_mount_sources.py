"""`RUN --mount`: what is mounted, from where, and what of it is secret."""

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.build.cache_mounts import opened_cache
from agent.build.program.results import Layers, Result
from agent.build.program.root_mount import mounted_for_reading, opened
from agent.build.program.running.ssh_forwarding import SOCKET_VARIABLE, SshForwarding, default_target
from agent.build.program.workspace import Workspace
from agent.runtime.kernel.linux import MS_BIND, MS_NODEV, MS_NOSUID, mount, unmount
from agent.runtime.rootfs.overlay_mount import mount_overlay
from agent.safe_paths.system_calls import open_in_root
from agent.safe_paths.tree_copy import copy_tree
from shoal.dockerfile.evaluation.build_steps import SCRIPT_DIRECTORY, RunAction
from shoal.dockerfile.run_mounts import BindMount, CacheMount, RunMount, SecretMount, SshMount, TmpfsMount
from shoal.errors import NotFound
from shoal.threaded_call import in_thread

_SECRETS_BYTES = 64 << 20


@dataclass
class PreparedMounts:
    """Attributes:
    directories, files: mount points, absolute in the container.
    sections: of `mounts` in an OCI spec.
    variables: secrets in the environment.
    """

    directories: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    sections: list[Mapping[str, Any]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, target: str, source: Path, options: Sequence[str], *, is_file: bool) -> None:
        """One bind mount."""
        (self.files if is_file else self.directories).append(target)
        self.sections.append(
            {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "rprivate", *options]}
        )


class RunMounts:
    """The mounts of one RUN.

    Args:
        sources: results that bind mounts and caches have files from, one for each mount; None: nothing.
        secrets: by id.
        cache_root: `ProgramSettings.cache_mounts`. ssh_agents: of who builds.
    """

    def __init__(
        self,
        action: RunAction,
        sources: Sequence[Result | None],
        secrets: Mapping[str, bytes],
        workspace: Workspace,
        cache_root: Path,
        ssh_agents: SshForwarding,
    ) -> None:
        self._action = action
        self._sources = sources
        self._secrets = secrets
        self._workspace = workspace
        self._cache_root = cache_root
        self._ssh_agents = ssh_agents
        self._sockets = 0
        self._secret_directory: Path | None = None

    async def prepare(self, stack: ExitStack, root: int) -> PreparedMounts:
        """Make the sources, until the stack is closed.

        Raises:
            NotFound: a source, or a secret or an SSH agent that is required.
        """
        del root
        prepared = PreparedMounts()
        for each, source in zip(self._action.mounts, self._sources, strict=True):
            await self._add(stack, prepared, each.mount, source)
        for script in self._action.scripts:
            path = self._secret_file(stack, script.content.encode(), 0o755, (0, 0))
            prepared.add(f"{SCRIPT_DIRECTORY}/{script.name}", path, ["ro"], is_file=True)
            prepared.files.pop()  # below /dev, which is made for the container
        return prepared

    async def _add(self, stack: ExitStack, prepared: PreparedMounts, mount_: RunMount, source: Result | None) -> None:
        if isinstance(mount_, BindMount):
            self._bind(stack, prepared, mount_, source or Layers())
        elif isinstance(mount_, TmpfsMount):
            size = [f"size={mount_.size_bytes}"] if mount_.size_bytes else []
            prepared.directories.append(mount_.target)
            options = ["nosuid", "nodev", "mode=1777", *size]
            prepared.sections.append(
                {"destination": mount_.target, "type": "tmpfs", "source": "tmpfs", "options": options}
            )
        elif isinstance(mount_, SecretMount):
            self._secret(stack, prepared, mount_)
        elif isinstance(mount_, SshMount):
            await self._ssh(stack, prepared, mount_)
        elif isinstance(mount_, CacheMount):
            await self._cache(stack, prepared, mount_, source)

    def _bind(self, stack: ExitStack, prepared: PreparedMounts, mount_: BindMount, source: Result) -> None:
        directory = stack.enter_context(mounted_for_reading(source, self._workspace))
        if mount_.writable:
            directory = self._discarded(stack, directory)
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = open_in_root(descriptor, mount_.source, os.O_PATH)
        except OSError as error:
            raise NotFound(f"{mount_.source}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        try:
            path, is_file = self._bound(stack, found)
        finally:
            os.close(found)
        prepared.add(mount_.target, path, ["rw" if mount_.writable else "ro"], is_file=is_file)

    def _bound(self, stack: ExitStack, found: int) -> tuple[Path, bool]:
        """Where what a descriptor holds is mounted, so that a link on its path leads nowhere; whether it is a file.

        The OCI runtime is in a mount namespace of its own, in which descriptors of this one cannot be mounted.
        """
        path, is_file = self._workspace.new("bind"), not Path(f"/proc/self/fd/{found}").is_dir()
        if is_file:
            path = path / "file"
            path.touch()
        mount(f"/proc/self/fd/{found}", str(path), None, MS_BIND)
        stack.callback(unmount, path)
        return path, is_file

    async def _cache(
        self, stack: ExitStack, prepared: PreparedMounts, mount_: CacheMount, source: Result | None
    ) -> None:
        """A directory of this node; a locked one waits for the command that has it."""
        stop = threading.Event()

        def populate(directory: Path) -> None:
            if source is not None:
                self._copy_initial(mount_, source, directory)
            os.chown(directory, mount_.uid, mount_.gid)
            directory.chmod(mount_.mode)

        held = opened_cache(self._cache_root, mount_.cache_id, mount_.sharing, populate, stop.is_set)
        path = await in_thread(held.__enter__, on_cancel=stop.set)
        stack.push(held.__exit__)
        prepared.add(mount_.target, path, ["ro" if mount_.read_only else "rw"], is_file=False)

    def _copy_initial(self, mount_: CacheMount, source: Result, directory: Path) -> None:
        """What it has at first."""
        with mounted_for_reading(source, self._workspace) as root, opened(root) as descriptor:
            found = open_in_root(descriptor, mount_.source, os.O_RDONLY | os.O_DIRECTORY)
            target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                copy_tree(found, target)
            finally:
                os.close(found)
                os.close(target)

    def _discarded(self, stack: ExitStack, directory: Path) -> Path:
        """What is written goes to a layer that nobody keeps."""
        layer = self._workspace.new_layer()
        mount_overlay((directory,), layer, layer / "root")
        stack.callback(unmount, layer / "root")
        return layer / "root"

    def _secret(self, stack: ExitStack, prepared: PreparedMounts, mount_: SecretMount) -> None:
        value = self._secrets.get(mount_.secret_id)
        if value is None:
            if mount_.required:
                raise NotFound(f"secret {mount_.secret_id}: not found")
            return
        if mount_.variable:
            prepared.variables[mount_.variable] = value.decode("utf-8", "surrogateescape")
        if mount_.target:
            path = self._secret_file(stack, value, mount_.mode, (mount_.uid, mount_.gid))
            prepared.add(mount_.target, path, ["ro"], is_file=True)

    async def _ssh(self, stack: ExitStack, prepared: PreparedMounts, mount_: SshMount) -> None:
        """The first one is what programs look for."""
        if mount_.ssh_id not in self._ssh_agents.ids:
            if mount_.required:
                raise NotFound(f"SSH agent {mount_.ssh_id}: not found")
            return
        target = mount_.target or default_target(self._sockets)
        path = self._new_file(stack)
        await self._ssh_agents.open(mount_, path, stack)
        if not self._sockets:
            prepared.variables[SOCKET_VARIABLE] = target
        self._sockets += 1
        prepared.add(target, path, ["rw"], is_file=True)

    def _secret_file(self, stack: ExitStack, value: bytes, mode: int, owner: tuple[int, int]) -> Path:
        path = self._new_file(stack)
        with path.open("xb") as file:
            file.write(value)
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
        return path

    def _new_file(self, stack: ExitStack) -> Path:
        """A name on a tmpfs that ends with the command."""
        if self._secret_directory is None:
            self._secret_directory = self._workspace.new("secrets")
            options = f"mode=0700,size={_SECRETS_BYTES}"
            mount("shoal-secrets", str(self._secret_directory), "tmpfs", MS_NOSUID | MS_NODEV, options)
            stack.callback(unmount, self._secret_directory)
        return self._secret_directory / str(len(list(self._secret_directory.iterdir())))
