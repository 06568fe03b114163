"""What is odd about a node though it works: compared with the others. Pure."""

from collections import Counter
from collections.abc import Iterator

from manager.store.tables import View


def node_warnings(view: View, node_id: str) -> Iterator[str]:
    """One line each, for the user."""
    status = view.node_status.get(node_id)
    if status is None or not status.description.underlay_mtu:
        return
    own = status.description.underlay_mtu
    mtus = Counter(
        each.description.underlay_mtu
        for other, each in view.node_status.items()
        if other in view.nodes and each.description.underlay_mtu
    )
    usual, holders = max(mtus.items(), key=lambda item: (item[1], item[0]))
    if own != usual:
        others = "the other has" if len(view.nodes) == 2 else f"{holders} of {mtus.total()} nodes have"
        yield f"MTU {own} on the interface of {status.description.address}; {others} {usual}"
