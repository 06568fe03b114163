"""RUN: a container on an overlay of the layers below, to its end."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.build.frames import ProgramSettings
from agent.build.program.results import Layers
from agent.build.program.root_mount import mounted_for_writing, opened
from agent.build.program.running.mount_points import mount_points
from agent.build.program.running.oci_run import OnOutput, run_container
from agent.build.program.running.run_mount_sources import RunMounts
from agent.build.program.running.run_spec import encode_spec, run_spec
from agent.build.program.workspace import Workspace
from agent.runtime.confinement.compiled_filters import FilterCache
from agent.runtime.rootfs.mounted_files import mount_etc_files
from agent.runtime.rootfs.overlay_mount import read_in_root
from agent.runtime.spec.oci_spec import HostFacts
from agent.runtime.spec.user_lookup import ContainerUser, resolve_user
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.dockerfile.evaluation.build_steps import RunAction
from shoal.errors import Fault, InvalidInput, Refused


class StepFailed(Refused):
    """A command ended with another exit code than 0.

    Attributes:
        exit_code: of it.
    """

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class BuildNetwork:
    """The network that the commands of a build share.

    Attributes:
        namespace: path of the namespace.
        files: of /etc, by path in the container.
    """

    namespace: str
    files: Mapping[str, bytes]


FindNetwork = Callable[[str], Awaitable[BuildNetwork]]
"""The network of a mode: "default", "none", "host"."""


class RunSteps:
    """Executes RUN. For one event loop.

    Args:
        host: facts that specs depend on.
        filters: compiled seccomp filters.
        find_network: makes the network of the build at its first call.
    """

    def __init__(
        self,
        *,
        settings: ProgramSettings,
        start: BuildStart,
        workspace: Workspace,
        host: HostFacts,
        filters: FilterCache,
        find_network: FindNetwork,
    ) -> None:
        self._settings = settings
        self._start = start
        self._workspace = workspace
        self._host = host
        self._filters = filters
        self._find_network = find_network
        self._count = 0

    async def run(self, action: RunAction, below: Layers, mounts: RunMounts, on_output: OnOutput) -> Path:
        """Run a command; the directory of its layer, as of `Workspace.new_layer`.

        Raises:
            StepFailed: it ended with an error. InvalidInput: its user or directory is none.
        """
        self._count += 1
        name = f"build-{self._settings.build_id}-{self._count}"
        network = await self._find_network(self._mode(action))
        layer = self._workspace.new_layer()
        with ExitStack() as stack:
            lower = (*below.lower, Path(self._settings.base))
            root = stack.enter_context(mounted_for_writing(lower, layer))
            descriptor = stack.enter_context(opened(root))
            prepared = await mounts.prepare(stack, descriptor)
            stack.enter_context(mount_points(descriptor, prepared.directories, prepared.files))
            bundle = self._bundle(name)
            spec = self._spec(action, name, root, bundle, network, prepared.sections, prepared.variables)
            bundle.joinpath("config.json").write_text(encode_spec(spec))
            code = await run_container(self._settings.oci_program, self._state(), bundle, name, on_output)
        if code:
            command = _quoted(" ".join(action.arguments))
            raise StepFailed(f"process {command} did not complete successfully: exit code: {code}", code)
        return layer

    def _mode(self, action: RunAction) -> str:
        return action.network if action.network != "default" else self._start.network or "default"

    def _state(self) -> Path:
        return Path(self._settings.run) / "state"

    def _bundle(self, name: str) -> Path:
        bundle = Path(self._settings.run) / name
        bundle.mkdir(mode=0o700)
        bundle.joinpath("files").mkdir()
        return bundle

    def _spec(
        self,
        action: RunAction,
        name: str,
        root: Path,
        bundle: Path,
        network: BuildNetwork,
        sections: Sequence[Mapping[str, Any]],
        variables: Mapping[str, str],
    ) -> Mapping[str, Any]:
        spec = run_spec(
            action,
            self._start,
            name=name,
            root=root,
            cgroup=f"{self._settings.cgroup_parent}/{name}",
            user=_user(action.user, root),
            etc_files=mount_etc_files(bundle / "files", network.files),
            mounts=sections,
            secrets=variables,
            network=network.namespace,
            host=self._host,
        )
        self._filters.apply(spec, "")
        return spec


def _quoted(command: str) -> str:
    """As BuildKit shows it."""
    return json.dumps(command, ensure_ascii=False)


def _user(user: str, root: Path) -> ContainerUser:
    try:
        return resolve_user(user, (), passwd=read_in_root(root, "/etc/passwd"), group=read_in_root(root, "/etc/group"))
    except InvalidInput as error:
        raise InvalidInput([Fault("USER", fault.message) for fault in error.faults]) from error
