"""What a service's tasks require of a node, parsed from its spec once for a batch."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from manager.planner.ipam.ipv6_addresses import ipv6_pool
from manager.planner.spec.constraints import Constraint, parse, parse_key
from manager.planner.spec.mount_rules import describe_first, has_homes, is_exclusive, may_be_remote
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.api.v1.meta_pb2 import Platform
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.device_names import reported_name
from shoal.errors import InvalidInput
from shoal.networks.network_modes import cluster_networks, network_provider
from shoal.networks.overlay_encryption import is_encrypted
from shoal.networks.published_ports import MESH_NETWORK, is_mesh, mesh_ports

DEFAULT_WEIGHT = 100
"""Of a preference."""

NODE_KEY = "node.id"
"""The key of which every node has a value of its own."""


@dataclass(frozen=True)
class Requirements:
    """What one task of the service needs.

    Attributes:
        cpus: billionths of a CPU.
        memory: bytes.
        ports: those published on the task's own node.
        spread: keys over whose values tasks are spread, the first first.
        max_per_node: tasks of the service on a node; 0 means no bound.
        networks: ids.
        requested_addresses: pools (`AddressPool`) and the address of each that the task requests.
        generic: how many of each kind of generic resource.
        generic_names: which of them, where it requests them by name.
        devices: names of the devices that its container gets, as agents report them (`shoal.device_names`).
        runtime: OCI runtime that the node has to have; empty: any.
        platforms: operating systems and architectures that the image is for; empty: not known.
        weighted_spread: keys over whose values tasks are spread, with their weights.
        binpack: what nodes are to be full of, "cpus", "memory" or "load", with its weight.
        self_anti_affinity: keys over whose values no two of the service's tasks may be together.
        self_affinity: keys over whose values all of the service's tasks have to be together.
        soft_self_affinity: keys over whose values they should be together, with weights.
        priority: tasks of services with a lower one may be preempted.
        encrypted: it is on an encrypted network, which not every node's kernel supports.
        ipv6: it is on a network with IPv6; the mesh's network does not require it of a node.
        single_node: it mounts a volume that can be on one node at a time, so all of its tasks are there.
        exclusive_mount: a mount that no two tasks of a slot may have at once, "volume data"; empty when there is none.
        exclusive_remote: one of those that a task on another node may have as well.
        failover_after_ms: how long a successor waits for the end of a task that has it on a node that is down; None:
            until that is confirmed.
        is_bound: its tasks are bound to nodes by the data of their volumes, or by other tasks.
        shares_network: with tasks of another service: no two of a slot can listen at once.
        error: why no node can ever fit, empty when the spec is valid.
    """

    cpus: int
    memory: int
    ports: tuple[PublishedPort, ...]
    constraints: tuple[Constraint, ...]
    spread: tuple[str, ...]
    max_per_node: int
    networks: tuple[str, ...]
    error: str = ""
    requested_addresses: tuple[tuple[str, str], ...] = ()
    generic: Mapping[str, int] = field(default_factory=dict)
    generic_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    runtime: str = ""
    platforms: tuple[tuple[str, str], ...] = ()
    weighted_spread: tuple[tuple[str, int], ...] = ()
    binpack: tuple[tuple[str, int], ...] = ()
    priority: int = 0
    encrypted: bool = False
    ipv6: bool = False
    self_anti_affinity: tuple[str, ...] = ()
    self_affinity: tuple[str, ...] = ()
    soft_self_affinity: tuple[tuple[str, int], ...] = ()
    single_node: bool = False
    exclusive_mount: str = ""
    exclusive_remote: str = ""
    failover_after_ms: int | None = None
    is_bound: bool = False
    shares_network: bool = False

    @property
    def has_fixed_port(self) -> bool:
        """No two of its tasks fit on one node, so a successor cannot start there before its predecessor has ended."""
        return any(port.published for port in self.ports)

    @property
    def may_start_first(self) -> bool:
        """Whether a successor can start before its predecessor is stopped."""
        return not (self.has_fixed_port or self.single_node or self.exclusive_mount or self.shares_network)


def requirements_of(spec: ServiceSpec, networks: Mapping[str, Network] = MappingProxyType({})) -> Requirements:
    """Parse them from the spec. The API refuses an invalid one; what an old record has is reported as `error`.

    Args:
        networks: the cluster's, by id: some require of a node what not every node has.
    """
    template = spec.task
    constraints: tuple[Constraint, ...] = ()
    spread: tuple[str, ...] = ()
    problem = ""
    try:
        constraints = tuple(parse(text) for text in template.placement.constraints)
        spread = tuple(parse_key(text) for text in template.placement.spread)
        for preference in template.placement.preferences:
            parse_key(preference.spread or NODE_KEY)
        for affinity in template.placement.affinities:
            parse_key(affinity.topology_key or NODE_KEY)
    except InvalidInput as error:
        problem = f"placement: {error}"
    placement = template.placement
    weights = [(each, each.weight or DEFAULT_WEIGHT) for each in placement.preferences]
    own_affinities = [each for each in placement.affinities if each.service == spec.name]
    # A soft anti-affinity to itself is a weighted spread.
    spreading = [(each.topology_key or NODE_KEY, each.weight) for each in own_affinities if each.anti and each.weight]
    own = cluster_networks(template)
    mesh = [MESH_NETWORK] if mesh_ports(spec) else []
    mounts = template.container.mounts
    remote = [mount for mount in mounts if may_be_remote(mount)]
    return Requirements(
        cpus=template.reservations.nano_cpus,
        memory=template.reservations.memory_bytes,
        ports=tuple(port for port in spec.endpoint.ports if not is_mesh(port)),
        constraints=constraints,
        spread=spread,
        max_per_node=template.placement.max_per_node,
        networks=tuple(dict.fromkeys((*(attachment.network for attachment in own), *mesh))),
        error=problem,
        generic={each.kind: len(each.names) or each.count for each in template.reservations.generic_resources},
        generic_names={each.kind: tuple(each.names) for each in template.reservations.generic_resources if each.names},
        devices=_devices(template.container),
        runtime=template.container.runtime,
        platforms=tuple((each.os, each.architecture) for each in placement.platforms),
        weighted_spread=(*((each.spread, weight) for each, weight in weights if each.spread), *spreading),
        binpack=tuple((each.binpack, weight) for each, weight in weights if each.binpack),
        priority=spec.priority,
        single_node=any(mount.volume.single_node for mount in mounts),
        exclusive_mount=describe_first(mount for mount in mounts if is_exclusive(mount)),
        exclusive_remote=describe_first(remote),
        failover_after_ms=_failover_after_ms(remote),
        is_bound=has_homes(spec) or bool(network_provider(template)),
        shares_network=bool(network_provider(template)),
        self_anti_affinity=tuple(
            each.topology_key or NODE_KEY for each in own_affinities if each.anti and not each.weight
        ),
        self_affinity=tuple(
            each.topology_key or NODE_KEY for each in own_affinities if not each.anti and not each.weight
        ),
        soft_self_affinity=tuple(
            (each.topology_key or NODE_KEY, each.weight) for each in own_affinities if not each.anti and each.weight
        ),
        encrypted=any(
            is_encrypted(network.spec) for each in own if (network := networks.get(each.network)) is not None
        ),
        requested_addresses=(
            *((each.network, each.address) for each in own if each.address),
            *((ipv6_pool(each.network), each.address6) for each in own if each.address6),
        ),
        ipv6=any(network.spec.ipv6 for each in own if (network := networks.get(each.network)) is not None),
    )


def supports_platform(platforms: Collection[tuple[str, str]], node: Platform) -> bool:
    """Whether an image for these platforms may run on a node; yes while the node has reported none.

    Variants do not count: the agent chooses the best one of the image.
    """
    if not node.os or not node.architecture:
        return True
    return (node.os, node.architecture) in platforms


def _failover_after_ms(mounts: Iterable[Mount]) -> int | None:
    """The longest of the mounts; None when one of them has none."""
    times = [mount.volume.failover_after_ms if mount.volume.HasField("failover_after_ms") else None for mount in mounts]
    return max((each for each in times if each is not None), default=None) if None not in times else None


def _devices(container: ContainerSpec) -> tuple[str, ...]:
    if not container.devices and not container.HasField("block_io"):
        return ()
    return tuple(dict.fromkeys(name for path in _device_paths(container) if (name := reported_name(path))))


def _device_paths(container: ContainerSpec) -> Iterator[str]:
    """Devices without which no container starts: those that it gets, and those with weights and limits."""
    yield from (device.source for device in container.devices)
    io = container.block_io
    for limited in (io.weights, io.read_bps, io.write_bps, io.read_iops, io.write_iops):
        yield from (device.path for device in limited)
