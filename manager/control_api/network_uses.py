"""The networks that a service refers to: ids in place of names, and addresses that are the network's and free."""

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

from manager.control_api.lookup import find_network
from manager.control_api.neighbours import ALONE, Neighbours
from manager.store.tables import View
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.errors import Fault, NotFound, Refused, ShoalError
from shoal.network_modes import is_mode
from shoal.published_ports import MESH_NETWORK

Coming = Mapping[str, Network]
"""Networks that the same call makes or changes, by name."""


def resolve(spec: ServiceSpec, view: View, coming: Coming, neighbours: Neighbours = ALONE) -> list[Fault]:
    """Puts ids in place of names, in the spec itself."""
    faults: list[Fault] = []
    taken: dict[str, str] = {}
    for index, attachment in enumerate(spec.task.networks):
        if is_mode(attachment.network):
            continue
        path = f"task.networks[{index}]"
        try:
            network = coming.get(attachment.network) or _usable(view, attachment.network)
        except ShoalError as error:
            faults.append(Fault(f"{path}.network", str(error)))
            continue
        identifier = network.meta.id
        if identifier in taken:
            same = taken[identifier] == attachment.network
            text = "is attached twice" if same else f'and "{taken[identifier]}" are the same network'
            faults.append(Fault(f"{path}.network", f'"{attachment.network}" {text}; leave one of them out'))
        taken[identifier] = attachment.network
        attachment.network = identifier
        faults += _address_faults(f"{path}.address", attachment, network)
        faults += _address6_faults(f"{path}.address6", attachment, network)
        for other in neighbours.specs(view, spec.name) if attachment.address or attachment.address6 else ():
            faults += _taken(path, attachment, network, other)
    return faults


def _taken(path: str, attachment: NetworkAttachment, network: Network, other: ServiceSpec) -> Iterator[Fault]:
    """Addresses that another service asks for, whose attachments name the network or its id."""
    for theirs in other.task.networks:
        if theirs.network in (network.meta.id, network.spec.name):
            for field in ("address", "address6"):
                wanted = getattr(attachment, field)
                if wanted and wanted == getattr(theirs, field):
                    yield Fault(f"{path}.{field}", f'{wanted} is asked for by service "{other.name}" already')


def _usable(view: View, reference: str) -> Network:
    network = find_network(view, reference)
    if network.meta.id == MESH_NETWORK:
        raise Refused(f'network "{reference}" is the routing mesh\'s own; publish a port to have tasks on it')
    if network.removing:
        raise NotFound(f'network "{network.spec.name}" is being removed')
    return network


def _address_faults(path: str, attachment: NetworkAttachment, network: Network) -> Iterator[Fault]:
    """Only one service may ask for an address, and only where the user has chosen the subnet."""
    try:
        address = IPv4Address(attachment.address)
    except AddressValueError:  # none is asked for, or it is told already
        return
    name = network.spec.name
    if not network.spec.subnet:
        yield Fault(path, f'network "{name}" was made without a subnet; make it with one, so that its addresses stay')
        return
    subnet = IPv4Network(network.spec.subnet)
    kept = {network.spec.gateway: "its gateway"}
    kept |= {held: f'kept back as "{what}"' for what, held in network.spec.reserved.items()}
    if address not in subnet:
        yield Fault(path, f'{address} is not in {subnet}, the subnet of network "{name}"')
    elif address in (subnet[0], subnet[1], subnet[-1]):
        yield Fault(path, f"{address} is not for tasks: the first two and the last address of {subnet} are not")
    elif str(address) in kept:
        yield Fault(path, f'{address} is not for tasks of network "{name}": it is {kept[str(address)]}')


def _address6_faults(path: str, attachment: NetworkAttachment, network: Network) -> Iterator[Fault]:
    """The same of IPv6."""
    try:
        address = IPv6Address(attachment.address6)
    except AddressValueError:  # none is asked for, or it is told already
        return
    name = network.spec.name
    if not network.spec.ipv6:
        yield Fault(path, f'network "{name}" has no IPv6; make it with ipv6')
        return
    if not network.spec.subnet6:
        yield Fault(path, f'network "{name}" was made without an IPv6 subnet; make it with one, so that addresses stay')
        return
    subnet = IPv6Network(network.spec.subnet6)
    kept = {network.spec.gateway6: "its gateway"}
    kept |= {held: f'kept back as "{what}"' for what, held in network.spec.reserved6.items()}
    held = {IPv6Address(text): why for text, why in kept.items() if text}
    if address not in subnet:
        yield Fault(path, f'{address} is not in {subnet}, the IPv6 subnet of network "{name}"')
    elif address in (subnet[0], subnet[1]):
        yield Fault(path, f"{address} is not for tasks: the first two addresses of {subnet} are not")
    elif address in held:
        yield Fault(path, f'{address} is not for tasks of network "{name}": it is {held[address]}')
