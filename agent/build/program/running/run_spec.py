"""The OCI runtime spec of a RUN. Pure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.runtime.spec.oci_spec import HOST_NETWORK, HostFacts, oci_spec
from agent.runtime.spec.user_lookup import ContainerUser
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, ImageConfig
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig
from shoal.dockerfile.evaluation.build_steps import RunAction

HOSTNAME = "buildkitsandbox"
"""BuildKit's: programs that put it into their results make the same ones."""

_NO_IMAGE = Image("", "", ImageConfig(), ())


def run_spec(
    action: RunAction,
    start: BuildStart,
    *,
    name: str,
    root: Path,
    cgroup: str,
    user: ContainerUser,
    etc_files: Mapping[str, Path],
    mounts: Sequence[Mapping[str, Any]],
    secrets: Mapping[str, str],
    network: str,
    host: HostFacts,
) -> dict[str, Any]:
    """The whole config.json.

    Args:
        mounts: of `--mount`.
        secrets: variables that have secrets.
        network: path of a network namespace; "host"; "none".
    Raises:
        InvalidInput: a limit that the host does not support.
    """
    request = container_request(action, start, name=name, secrets=secrets, host_network=network == "host")
    spec = oci_spec(request, user=user, rootfs=root, cgroup=cgroup, etc_files=etc_files, host=host)
    if network not in ("host", "none"):
        _join_network(spec, network)
    spec["process"]["env"] = [each for each in spec["process"]["env"] if not each.startswith("HOSTNAME=")]
    spec["mounts"] += mounts
    return spec


def container_request(
    action: RunAction, start: BuildStart, *, name: str, secrets: Mapping[str, str], host_network: bool
) -> ContainerRequest:
    """A RUN in the terms of containers."""
    variables = {**dict(action.proxies), **dict(action.environment), **secrets}
    spec = ContainerSpec(
        command=action.arguments,
        env=[f"{key}={value}" for key, value in variables.items()],
        working_dir=action.directory,
        hostname=HOSTNAME,
        privileged=action.security == "insecure",
        shm_bytes=start.shm_bytes,
        ulimits=start.ulimits,
    )
    spec.cpu.CopyFrom(start.cpu)
    if start.memory_swap_bytes:
        spec.memory.swap_bytes = start.memory_swap_bytes
    limits = Resources(memory_bytes=start.memory_bytes)
    netns = HOST_NETWORK if host_network else None
    return ContainerRequest(name, name, spec, limits, LogConfig(), _NO_IMAGE, netns, {})


def _join_network(spec: dict[str, Any], path: str) -> None:
    for namespace in spec["linux"]["namespaces"]:
        if namespace["type"] == "network":
            namespace["path"] = path


def encode_spec(spec: Mapping[str, Any]) -> str:
    """As config.json has it."""
    return json.dumps(spec)
