"""What a request submits together with a service: references and conflicts are checked against it too."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from manager.validation.other_services import UNCHANGED, OtherServices
from shoal.api.v1.file_pb2 import File
from shoal.api.v1.network_pb2 import Network
from shoal.api.v1.volume_pb2 import Volume


@dataclass(frozen=True)
class Submitted:
    """What a request creates, changes or removes beside the service in question; nothing by default.

    Attributes:
        networks: created or changed networks, by name.
        files: created or changed secrets and configs, by "<kind>/<name>".
        volumes: created or changed volumes, by name.
        services: all other services as the request leaves them.
    """

    networks: Mapping[str, Network] = field(default_factory=dict)
    files: Mapping[str, File] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    services: OtherServices = UNCHANGED


NOTHING = Submitted()
"""For a request that concerns one service only."""
