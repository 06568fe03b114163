"""Whether nodes have the OCI runtime that a container requests. Pure."""

from collections.abc import Iterator

from manager.store.tables import View
from manager.validation.text_rules import join_names
from shoal.errors import Fault
from shoal.oci_runtimes import RUNTIMES, runtimes_of


def check_runtime(path: str, runtime: str, view: View) -> Iterator[Fault]:
    """A runtime that no node has. Where some have it, containers run there."""
    if not runtime:
        return
    nodes = [status.description for node_id, status in view.node_status.items() if node_id in view.nodes]
    found = {name for node in nodes for name in runtimes_of(node)}
    if runtime not in (found or RUNTIMES):
        available = join_names(sorted(found or RUNTIMES))
        yield Fault(path, f'runtime "{runtime[:80]}" not found on any node; available: {available}')
