"""A node's list of managers, as it is after joining."""

from collections.abc import Sequence
from pathlib import Path

from agent.session.manager_list import ManagerList
from shoal.api.v1.cluster_pb2 import ManagerAddress


def manager_list(path: Path, addresses: Sequence[str], node_id: str = "n") -> ManagerList:
    """The managers' ids are their addresses, until a manager sends others; the first of them is tried first."""
    initial = [ManagerAddress(id=address, api_address=address) for address in addresses]
    made = ManagerList(path, node_id=node_id, initial=initial)
    made.prefer(addresses[0])
    return made
