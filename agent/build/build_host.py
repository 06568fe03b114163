"""What a build needs of its host beside its program: directories, images, a network, removal of what is left."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from agent.build.build_cache import BuildCache
from agent.build.frames import NewLayer, ProgramSettings
from agent.build.kept_contexts import sweep_contexts
from agent.runtime.confinement.compiled_filters import compiled_for
from agent.runtime.container_paths import ContainerPaths
from agent.runtime.kernel.cgroup_layout import parse_layout
from agent.safe_paths.mountinfo import read_mountinfo
from agent.worker.interfaces import Image, Report
from agent.worker.sandbox import NetworkOptions, Sandbox
from shoal.api.v1.task_pb2 import Task
from shoal.errors import Unavailable
from shoal.tree_removal import delete_trees

PROGRAMS = ("crun", "runc")
_log = logging.getLogger(__name__)


@cache
def _compiled_for(program: str) -> str:
    """It runs the program, which takes as long as a step of a build."""
    return compiled_for(Path(program))


class BuildImages(Protocol):
    """`agent.images.image_store.ImageStore` is one."""

    @property
    def temporary(self) -> Path:
        """For files that do not outlive a crash."""
        ...

    async def ensure(self, reference: str, report: Report) -> Image:
        """As `Images.ensure`."""
        ...

    def documents(self, digest: str) -> tuple[bytes, bytes]:
        """As `ImageStore.documents`."""
        ...

    def hold_layers(self, diff_ids: Iterable[str]) -> None:
        """As `ImageStore.hold_layers`."""
        ...

    def release_layers(self, diff_ids: Iterable[str]) -> None:
        """As `ImageStore.release_layers`."""
        ...

    def layer_directory(self, diff_id: str) -> Path | None:
        """As `ImageStore.layer_directory`."""
        ...

    async def adopt_layers(self, layers: Mapping[str, Path]) -> None:
        """As `ImageStore.adopt_layers`."""
        ...


class SandboxNetworks(Protocol):
    """`agent.network.node_network.NodeNetwork` is one."""

    async def attach(self, task: Task, options: NetworkOptions = ...) -> Sandbox:
        """As `Networks.attach`."""
        ...

    async def detach(self, task_id: str) -> None:
        """As `Networks.detach`."""
        ...


class TaskSandboxes(Protocol):
    """`agent.worker.shared.build_sandboxes.BuildSandboxes` is one."""

    def use(self, task_id: str) -> None:
        """As `BuildSandboxes.use`."""
        ...

    def open(self, task_id: str) -> Sandbox:
        """As `BuildSandboxes.open`."""
        ...

    def end(self, task_id: str) -> bool:
        """As `BuildSandboxes.end`."""
        ...


@dataclass(frozen=True)
class BuildHost:
    """Attributes:
    sandboxes: networks of the cluster that managers have made for builds.
    paths: of the runtime. cgroup_parent: absolute name.
    platform: system, architecture, variant.
    resolv_conf: the host's. has_apparmor: it supports AppArmor, and the default profile is loaded.
    address: of the node, for `host-gateway`.
    """

    images: BuildImages
    cache: BuildCache
    networks: SandboxNetworks
    sandboxes: TaskSandboxes
    paths: ContainerPaths
    cgroup_parent: str
    registries_file: Path
    platform: tuple[str, str, str]
    resolv_conf: Callable[[], str]
    has_apparmor: bool = False
    address: str = ""

    def make_directories(self, build_id: str, repository: str) -> ProgramSettings:
        """The directories of a build, and what its program is told. Blocking.

        Raises:
            Unavailable: the host has no OCI runtime, or the disk fails.
        """
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise Unavailable("no OCI runtime found; install crun or runc")
        try:
            self.paths.create_base()
            self._work(build_id).mkdir(mode=0o700)
            run = self._run(build_id)
            (run / "state").mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error
        hybrid = parse_layout(read_mountinfo()).hybrid_mount
        return ProgramSettings(
            build_id=build_id,
            work=str(self._work(build_id)),
            base=str(self.paths.base),
            filters=str(self.paths.filters),
            filter_environment=_compiled_for(program),
            oci_program=program,
            cgroup_parent=self.cgroup_parent,
            hidden_mount=str(hybrid) if hybrid is not None and program.endswith("crun") else "",
            cache_mounts=str(self.cache.mounts),
            contexts=str(self.cache.contexts),
            run=str(run),
            registries_file=str(self.registries_file),
            image_repository=repository,
            platform=self.platform,
            cpus=os.cpu_count() or 1,
            resolv_conf=self.resolv_conf(),
            has_apparmor=self.has_apparmor,
            node_address=self.address,
        )

    def clear(self) -> None:
        """Remove what builds of an earlier process of the agent have left, as far as it can be. Blocking."""
        try:
            delete_trees(self.paths.run / "builds", *self.images.temporary.glob("build-*"))
        except Unavailable as error:
            _log.warning("could not delete all files of earlier builds: %s", error)

    def remove(self, build_id: str) -> None:
        """What is left of a build whose program has ended. Blocking. Raises Unavailable."""
        for directory in parse_layout(read_mountinfo()).directories(self.cgroup_parent):
            for path in directory.glob(f"build-{build_id}-*"):
                with suppress(OSError):
                    path.rmdir()
        delete_trees(self._run(build_id), self._work(build_id))
        sweep_contexts(self.cache.contexts)

    async def adopt(self, layers: Sequence[NewLayer]) -> None:
        """Keep layers of a build as those of images, and find them again. Raises Unavailable, Exhausted."""
        await self.images.adopt_layers({each.diff_id: Path(each.directory) for each in layers if each.directory})
        self.cache.add(layers)

    def _work(self, build_id: str) -> Path:
        return self.images.temporary / f"build-{build_id}"

    def _run(self, build_id: str) -> Path:
        return self.paths.run / "builds" / build_id
