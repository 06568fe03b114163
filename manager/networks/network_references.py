"""References from services to networks: names resolved to IDs, static addresses checked."""

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

from manager.records.object_lookup import find_network
from manager.store.tables import View
from manager.validation.other_services import UNCHANGED, OtherServices
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import NetworkAttachment, ServiceSpec
from shoal.errors import Fault, NotFound, Refused, ShoalError
from shoal.networks.network_modes import is_mode
from shoal.networks.published_ports import MESH_NETWORK

SubmittedNetworks = Mapping[str, Network]
"""Networks that the request creates or changes, by name."""


def resolve(
    spec: ServiceSpec, view: View, submitted: SubmittedNetworks, others: OtherServices = UNCHANGED
) -> list[Fault]:
    """Replace names with IDs, in the spec itself."""
    faults: list[Fault] = []
    attached: dict[str, str] = {}
    for index, attachment in enumerate(spec.task.networks):
        if is_mode(attachment.network):
            continue
        path = f"task.networks[{index}]"
        try:
            network = submitted.get(attachment.network) or _find_usable(view, attachment.network)
        except ShoalError as error:
            faults.append(Fault(f"{path}.network", str(error)))
            continue
        identifier = network.meta.id
        if identifier in attached:
            same = attached[identifier] == attachment.network
            text = "is attached twice" if same else f'and "{attached[identifier]}" are the same network'
            faults.append(Fault(f"{path}.network", f'"{attachment.network}" {text}; remove one of them'))
        attached[identifier] = attachment.network
        attachment.network = identifier
        faults += _address_faults(f"{path}.address", attachment, network)
        faults += _address6_faults(f"{path}.address6", attachment, network)
        for other in others.specs(view, spec.name) if attachment.address or attachment.address6 else ():
            faults += _address_conflicts(path, attachment, network, other)
    return faults


def _address_conflicts(
    path: str, attachment: NetworkAttachment, network: Network, other: ServiceSpec
) -> Iterator[Fault]:
    """Addresses that another service requests; its attachments have the name of the network, or its ID."""
    for occupied in other.task.networks:
        if occupied.network in (network.meta.id, network.spec.name):
            for field in ("address", "address6"):
                requested = getattr(attachment, field)
                if requested and requested == getattr(occupied, field):
                    yield Fault(f"{path}.{field}", f'{requested} is already requested by service "{other.name}"')


def _find_usable(view: View, reference: str) -> Network:
    network = find_network(view, reference)
    if network.meta.id == MESH_NETWORK:
        raise Refused(f'network "{reference}" is reserved for the routing mesh; to attach tasks to it, publish a port')
    if network.removing:
        raise NotFound(f'network "{network.spec.name}" is being removed')
    return network


def _address_faults(path: str, attachment: NetworkAttachment, network: Network) -> Iterator[Fault]:
    """Only one service may request an address, and only if the user has chosen the subnet."""
    try:
        address = IPv4Address(attachment.address)
    except AddressValueError:  # none is requested, or the fault is reported elsewhere
        return
    name = network.spec.name
    if not network.spec.subnet:
        yield Fault(
            path,
            f'network "{name}" has no user-defined subnet; static addresses require one: recreate it with a subnet',
        )
        return
    subnet = IPv4Network(network.spec.subnet)
    reserved = {network.spec.gateway: "the gateway"}
    reserved |= {held: f'reserved as "{what}"' for what, held in network.spec.aux_addresses.items()}
    if address not in subnet:
        yield Fault(path, f'{address} is not in {subnet}, the subnet of network "{name}"')
    elif address in (subnet[0], subnet[1], subnet[-1]):
        yield Fault(
            path, f"{address} cannot be assigned: the first two addresses and the last one of {subnet} are reserved"
        )
    elif str(address) in reserved:
        yield Fault(path, f'{address} cannot be assigned: it is {reserved[str(address)]} of network "{name}"')


def _address6_faults(path: str, attachment: NetworkAttachment, network: Network) -> Iterator[Fault]:
    """The same for IPv6."""
    try:
        address = IPv6Address(attachment.address6)
    except AddressValueError:  # none is requested, or the fault is reported elsewhere
        return
    name = network.spec.name
    if not network.spec.ipv6:
        yield Fault(path, f'network "{name}" does not have IPv6 enabled; recreate it with --ipv6')
        return
    if not network.spec.subnet6:
        yield Fault(
            path,
            f'network "{name}" has no user-defined IPv6 subnet; static '
            "addresses require one: recreate it with --ipv6 --subnet",
        )
        return
    subnet = IPv6Network(network.spec.subnet6)
    reserved = {network.spec.gateway6: "the gateway"}
    reserved |= {held: f'reserved as "{what}"' for what, held in network.spec.aux_addresses6.items()}
    held = {IPv6Address(text): why for text, why in reserved.items() if text}
    if address not in subnet:
        yield Fault(path, f'{address} is not in {subnet}, the IPv6 subnet of network "{name}"')
    elif address in (subnet[0], subnet[1]):
        yield Fault(path, f"{address} cannot be assigned: the first two addresses of {subnet} are reserved")
    elif address in held:
        yield Fault(path, f'{address} cannot be assigned: it is {held[address]} of network "{name}"')
