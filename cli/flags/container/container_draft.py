"""A container as flags describe it, before a manager is asked for anything."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from shoal.api.v1.engine_pb2 import CreateContainerRequest
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.errors import InvalidInput


@dataclass
class ContainerDraft:
    """What the flags have said so far.

    Attributes:
        request: name, node, and what of the definition services do not have.
        spec: the rest of the definition, in the form of a service's spec: tables of flags are shared.
        environment: this process's, for variables without a value.
        exposed: ports of `--expose`.
        publishes_all: `--publish-all`.
        volumes_from: "CONTAINER[:ro|:rw]".
        volume_driver: of volumes that `--volume` names.
        aliases, address, address6: on the first network.
    """

    request: CreateContainerRequest = field(default_factory=CreateContainerRequest)
    spec: ServiceSpec = field(default_factory=ServiceSpec)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    exposed: list[PublishedPort] = field(default_factory=list)
    publishes_all: bool = False
    volumes_from: list[str] = field(default_factory=list)
    volume_driver: str = ""
    aliases: list[str] = field(default_factory=list)
    address: str = ""
    address6: str = ""

    def set_mac(self, address: str) -> None:
        """The MAC address of its link, of which it has one.

        Raises:
            InvalidInput: it has another one already.
        """
        container, address = self.spec.task.container, address.lower().replace("-", ":")
        if container.mac_address not in ("", address):
            raise InvalidInput(
                f"{address!r}: a container has one MAC address, and {container.mac_address} is given too"
            )
        container.mac_address = address

    def finished(self) -> CreateContainerRequest:
        """The request with all that was said."""
        definition = self.request.definition
        definition.task.CopyFrom(self.spec.task)
        definition.labels.update(self.spec.labels)
        definition.ports.extend(self.spec.endpoint.ports)
        return self.request


Apply = Callable[[ContainerDraft, str], None]
"""Sets a value, or adds one; raises InvalidInput."""


@dataclass(frozen=True)
class ContainerFlag:
    """A flag of `shoal run` that says something about the container.

    Attributes:
        flag: with its dashes; errors name it.
        metavar: what stands for the value in the help; empty for a switch, which is applied as "true" or "false".
        others: further names: one letter with its dash, names of earlier versions of Docker.
        completes: whose names its values are, for completion.
    """

    flag: str
    metavar: str
    help: str
    apply: Apply
    others: tuple[str, ...] = ()
    repeatable: bool = False
    completes: str = ""

    @property
    def parameter(self) -> str:
        """Click's name of it."""
        return self.flag[2:].replace("-", "_")


def of_spec(apply: Callable[[ServiceSpec, str], None]) -> Apply:
    """A change of a service's spec, for a container."""
    return lambda draft, value: apply(draft.spec, value)


def refuse(why: str) -> Apply:
    """Not supported."""

    def apply(_: ContainerDraft, __: str) -> None:
        raise InvalidInput(f"not supported: {why}")

    return apply
