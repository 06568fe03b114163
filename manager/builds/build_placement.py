"""Which node builds an image. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from manager.records.object_lookup import find_node, hostname_of
from manager.store.tables import View
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.node_pb2 import Node, NodeSpec, NodeStatus
from shoal.errors import InvalidInput, NotFound, Refused, Unavailable
from shoal.task_states import is_live


def choose_build_node(view: View, start: BuildStart, builds: Mapping[str, int]) -> str:
    """The node that has to build, else the one that built the name last, else the preferred one, else the least loaded.

    Args:
        builds: under way, by node id.
    Raises:
        NotFound, InvalidInput: `node` names none. Unavailable: it is not ready. Refused: no node fits.
    """
    if start.node:
        return _required(view, start.node)
    ready = [each for each in sorted(view.nodes) if _is_ready(view, each) and _has_platform(view, each, start.platform)]
    if not ready:
        platform = f" of platform {start.platform[:40]}" if start.platform else ""
        raise Refused(f"no node{platform} is ready to build")
    for node_id in (*_built_on(view, start.names), _preferred(view, start.preferred_node)):
        if node_id in ready:
            return node_id
    active = [each for each in ready if _is_active(view.nodes[each])] or ready
    return min(active, key=lambda each: (builds.get(each, 0), _running(view, each), each))


def _required(view: View, reference: str) -> str:
    node_id = find_node(view, reference).meta.id
    if not _is_ready(view, node_id):
        raise Unavailable(f"node {hostname_of(view, node_id)} is not ready")
    return node_id


def _built_on(view: View, names: Iterable[str]) -> Sequence[str]:
    """Nodes that built images of these names last, in the order of the names."""
    nodes = {each.name: each.built_on for each in view.images.values() if each.name}
    return [nodes[name] for name in names if nodes.get(name)]


def _preferred(view: View, reference: str) -> str:
    try:
        return find_node(view, reference).meta.id if reference else ""
    except (NotFound, InvalidInput):
        return ""


def _is_ready(view: View, node_id: str) -> bool:
    status = view.node_status.get(node_id)
    return status is not None and status.state == NodeStatus.READY


def _is_active(node: Node) -> bool:
    return node.spec.availability in (NodeSpec.AVAILABILITY_UNSPECIFIED, NodeSpec.ACTIVE)


def _has_platform(view: View, node_id: str, platform: str) -> bool:
    """Whether the node runs programs of a platform "linux/arm64/v8"; variants are the node's to judge."""
    has = view.nodes[node_id].spec.identity.platform
    system, _, rest = platform.partition("/")
    return not platform or (has.os, has.architecture) == (system, rest.partition("/")[0])


def _running(view: View, node_id: str) -> int:
    return sum(is_live(each, view.task_status.get(each.id)) for each in view.tasks_on(node_id).values())
