"""The published ports of a container, as Docker writes them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from shoal.api.v1.engine_pb2 import ContainerView
from shoal.container_states import ACTIVE, state_text
from shoal.networks.published_ports import bracketed, protocol_name


@dataclass(frozen=True)
class PortBinding:
    """A published port: of every node where `host_address` is empty."""

    host_address: str
    published: int
    target: int
    protocol: int

    @property
    def published_text(self) -> str:
        """ "0.0.0.0:8080"."""
        return f"{_host(self.host_address)}:{self.published}"


def port_bindings(view: ContainerView) -> list[PortBinding]:
    """The published ports of a container that runs, by port."""
    if state_text(view) not in ACTIVE:
        return []
    mesh = (
        PortBinding(each.host_address, each.published, each.target, each.protocol) for each in view.status.mesh_ports
    )
    own = (PortBinding(each.host_address, each.published, each.target, each.protocol) for each in view.task.ports)
    return sorted({*mesh, *own}, key=lambda each: (each.target, each.protocol, each.host_address, each.published))


def ports_text(view: ContainerView) -> str:
    """ "0.0.0.0:8080->80/tcp, 0.0.0.0:9000-9002->9000-9002/tcp": neighbours are written as a range."""
    bindings = enumerate(port_bindings(view))
    groups = groupby(bindings, key=lambda at: _range_key(at[0], at[1]))
    return ", ".join(_range_text([each for _, each in group]) for _, group in groups)


def _range_key(index: int, each: PortBinding) -> tuple[str, int, int, int]:
    """The same for neighbours: both numbers go up with the index."""
    return each.host_address, each.protocol, each.published - index, each.target - index


def _range_text(group: Sequence[PortBinding]) -> str:
    first, last = group[0], group[-1]
    published, target = _span(first.published, last.published), _span(first.target, last.target)
    return f"{_host(first.host_address)}:{published}->{target}/{protocol_name(first.protocol)}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _host(address: str) -> str:
    return bracketed(address) if address else "0.0.0.0"  # noqa: S104  (shown, not bound)
