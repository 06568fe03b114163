"""Builds the container request from a task and its prepared inputs. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, MountedFile
from agent.worker.sandbox import NO_SANDBOX, Sandbox
from agent.worker.startup.allocated_resources import cdi_devices, with_generic_resources
from agent.worker.startup.etc_files import etc_files
from agent.worker.startup.link_variables import link_variables
from agent.worker.startup.task_inputs import TaskInputs
from shoal import task_states
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.service_pb2 import ServiceRevision
from shoal.api.v1.task_pb2 import Task
from shoal.errors import InvalidInput
from shoal.networks.network_modes import HOST, NONE, mode_of
from shoal.spec_templates import NodeValues, expand_container, fill_in, values_of


def container_request(
    task: Task,
    revision: ServiceRevision,
    *,
    node: NodeValues,
    image: Image,
    sandbox: Sandbox,
    inputs: TaskInputs,
    host_resolv_conf: str,
    pool_address: Callable[[str], str] = lambda _: "",
) -> ContainerRequest:
    """The request, with the spec's templates expanded for this task and node.

    Args:
        pool_address: of containers in the node's own pool, by their ids.
    Raises:
        InvalidInput: a template that cannot be expanded, or that results in an invalid value.
    """
    template, values = revision.spec.task, values_of(revision, task, node)
    spec = with_generic_resources(expand_container(template.container, values), task)
    name = task_states.task_name(revision.spec.name, task)
    own = sandbox if sandbox is not NO_SANDBOX else None
    shared = sandbox.shared
    if shared is not None:
        spec = _with_hostname(spec, shared.hostname, shared.domainname)
    elif task.container_id and mode_of(template) == HOST and not spec.hostname:
        spec = _with_hostname(spec, node.hostname, spec.domainname)  # as with Docker
    if own is not None and "" in own.addresses and spec.links:
        spec = _with_env(spec, link_variables(revision.spec.name, spec.links, pool_address))
    files = shared.files if shared else etc_files(spec, name, own, host_resolv_conf, node_address=node.address)
    return ContainerRequest(
        task_id=task.id,
        name=name,
        spec=spec,
        limits=template.limits,
        log=template.log,
        image=image,
        netns_fd=sandbox.netns_fd if mode_of(template) != NONE else None,
        etc_files=files,
        mounted_files=tuple(_filled_in(each, values) if each.template else each for each in inputs.mounted_files),
        volumes=inputs.volumes,
        cdi_devices=cdi_devices(task),
        shares_network=shared is not None,
        container_id=task.container_id,
        volatile=is_volatile(task),
        pid_task_id=task.pid_task_id,
        ipc_task_id=task.ipc_task_id,
    )


def _filled_in(file: MountedFile, values: Mapping[str, str]) -> MountedFile:
    """A template with its placeholders filled in. The content is never part of a message.

    Raises:
        InvalidInput: it has others, or is no text.
    """
    try:
        content = fill_in(file.content.decode(), values).encode()
    except (InvalidInput, UnicodeDecodeError):
        raise InvalidInput(f"the template at {file.path} cannot be filled in") from None
    return replace(file, content=content, template=False)


def is_volatile(task: Task) -> bool:
    """Whether its root file system need not survive a crash of the host."""
    return not task.container_id or task.auto_remove


def _with_env(spec: ContainerSpec, variables: Iterable[str]) -> ContainerSpec:
    """The spec with further variables; its own ones win."""
    made = ContainerSpec()
    made.CopyFrom(spec)
    del made.env[:]
    made.env.extend([*variables, *spec.env])
    return made


def _with_hostname(spec: ContainerSpec, hostname: str, domainname: str) -> ContainerSpec:
    """The spec with other names, such as those of the container whose network it shares."""
    made = ContainerSpec()
    made.CopyFrom(spec)
    made.hostname, made.domainname = hostname, domainname
    return made
