"""Other containers that a definition names: those whose namespaces it shares, and its links. Names become ids."""

from manager.containers.container_links import resolve_links
from manager.records.object_lookup import container_of_name
from manager.store.tables import View
from manager.tasks.exec_target import find_running
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.errors import Fault, NotFound, ShoalError
from shoal.networks.network_modes import CONTAINER, joined_container


def resolve_sharing(definition: ContainerDefinition, view: View) -> list[Fault]:
    """Put ids in place of names, in the definition itself, and its links as its node needs them."""
    template, faults = definition.task, list[Fault]()
    container = template.container
    if joined := joined_container(template):
        identifier = _resolve(view, joined, "task.networks[0].network", faults)
        template.networks[0].network = f"{CONTAINER}{identifier}"
    if container.pid_container:
        container.pid_container = _resolve(view, container.pid_container, "task.container.pid_container", faults)
    if container.ipc_container:
        container.ipc_container = _resolve(view, container.ipc_container, "task.container.ipc_container", faults)
    faults += resolve_links(definition, view)
    return faults


def _resolve(view: View, reference: str, path: str, faults: list[Fault]) -> str:
    """The id of a container, or of a service's running task; where there is none the reference, and a fault."""
    try:
        container = container_of_name(view, reference)
        return container.meta.id if container is not None else find_running(view, reference).id
    except NotFound:
        faults.append(Fault(path, f'container "{reference}" not found'))
    except ShoalError as error:
        faults.append(Fault(path, str(error)))
    return reference
