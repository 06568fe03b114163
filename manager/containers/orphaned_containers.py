"""Containers that nodes keep and the cluster has no record of: found by what their agents report. Pure.

They are there after a restore of an older backup: managers know nothing of the containers that are younger, and agents
delete nothing that managers have never known.
"""

from collections.abc import Iterable

from manager.records.object_lookup import hostname_of
from manager.store.tables import View
from shoal.api.v1.node_pb2 import OrphanedContainer
from shoal.container_ids import container_id
from shoal.errors import InvalidInput, NotFound


def find_orphan(view: View, reference: str, nodes: Iterable[str] | None = None) -> tuple[str, OrphanedContainer]:
    """The id of the node that keeps it, and what it reports.

    Args:
        reference: its id, or a beginning of it, in Shoal's form or in Docker's; or its name.
        nodes: ids of the nodes to look on; None: all.
    Raises:
        NotFound: no node keeps such a one. InvalidInput: several are meant.
    """
    among = view.nodes.keys() if nodes is None else nodes
    every = [
        (node_id, orphan)
        for node_id in among
        if (status := view.node_status.get(node_id)) is not None
        for orphan in status.orphaned_containers
        if orphan.id not in view.containers
    ]
    found = [each for each in every if _is_meant(each[1], reference)]
    if not reference or not found:
        raise NotFound(f'no node has reported an orphaned container "{reference}"')
    if len(found) > 1:
        places = ", ".join(f"{orphan.id} on {hostname_of(view, node_id)}" for node_id, orphan in found[:4])
        raise InvalidInput(
            f'orphaned container "{reference}" is ambiguous ({places}); use a longer beginning of the ID'
        )
    return found[0]


def _is_meant(orphan: OrphanedContainer, reference: str) -> bool:
    beginning = reference and (orphan.id.startswith(reference) or container_id(orphan.id).startswith(reference))
    return bool(beginning) or (bool(reference) and orphan.name == reference)
