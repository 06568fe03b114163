"""The service `Containers`, as commands call it."""

from typing import TYPE_CHECKING

from cli.client import Client

if TYPE_CHECKING:
    from shoal.api.v1.engine_pb2_grpc import ContainersStub

LONG_SECONDS = 365 * 86_400.0
"""Of calls that take as long as a program does: a stop without a bound, a removal."""
SIZE_SECONDS = 40.0
"""For nodes to count what is on their disks."""


def containers(client: Client) -> "ContainersStub":
    """The stub of the service, for `client.call(containers(client).StopContainer, …)`."""
    from shoal.api.v1.engine_pb2_grpc import ContainersStub

    return ContainersStub(client.channel)
