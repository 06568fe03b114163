"""Other managers, for what only they know of nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shoal.api.v1.dispatcher_pb2 import NodeApplied
from shoal.errors import Unavailable


@dataclass
class FakeManagers:
    """Tells what it was given, by the manager's address; of any other address that it does not answer."""

    responses: dict[str, list[NodeApplied]] = field(default_factory=dict)
    requests: list[tuple[str, list[str]]] = field(default_factory=list)

    async def applied(self, address: str, node_ids: Sequence[str]) -> Sequence[NodeApplied]:
        self.requests.append((address, list(node_ids)))
        if address not in self.responses:
            raise Unavailable(f"no response from {address}")
        return self.responses[address]
