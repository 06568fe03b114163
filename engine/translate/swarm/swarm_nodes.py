"""Nodes as the swarm side has them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.translate.fields import Fields
from engine.translate.swarm.swarm_objects import meta_document
from engine.translate.system import LOG_DRIVERS, MACHINES, NETWORK_DRIVERS, VOLUME_DRIVERS
from shoal.api.v1.control_pb2 import ManagerView, NodeView
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.node_states import node_state

_AVAILABILITIES = {
    "active": NodeSpec.ACTIVE,
    "pause": NodeSpec.PAUSE,
    "drain": NodeSpec.DRAIN,
}
_AVAILABILITY_NAMES = {int(number): name for name, number in _AVAILABILITIES.items()} | {0: "active"}
_STATES = {"restarting": "disconnected"}
"""Docker's words for states of nodes, where they differ."""


def node_document(
    view: NodeView, managers: Sequence[ManagerView], *, engine_version: str, tls: Mapping[str, str]
) -> dict[str, Any]:
    """`GET /nodes/{id}`. Nodes with a manager on their host are managers.

    Args:
        tls: `TLSInfo` of the cluster.
    """
    identity, description = view.node.spec.identity, view.status.description
    manager = _manager_of(view, managers)
    architecture = description.platform.architecture or identity.platform.architecture
    document = meta_document(view.node.meta) | {
        "Spec": {
            "Labels": dict(view.node.spec.labels),
            "Role": "manager" if manager is not None else "worker",
            "Availability": _AVAILABILITY_NAMES.get(view.node.spec.availability, "active"),
        },
        "Description": {
            "Hostname": identity.hostname or description.hostname,
            "Platform": {
                "Architecture": MACHINES.get(architecture, architecture),
                "OS": description.platform.os or "linux",
            },
            "Resources": {
                "NanoCPUs": description.resources.nano_cpus,
                "MemoryBytes": description.resources.memory_bytes,
            },
            "Engine": {
                "EngineVersion": engine_version,
                **({"Labels": dict(identity.engine_labels)} if identity.engine_labels else {}),
                "Plugins": _plugins(),
            },
            "TLSInfo": dict(tls),
        },
        "Status": {
            "State": _STATES.get(state := node_state(view.status), state),
            **({"Message": view.status.message} if view.status.message else {}),
            "Addr": identity.address or description.address,
        },
    }
    if manager is not None:
        document["ManagerStatus"] = {
            **({"Leader": True} if manager.leader else {}),
            "Reachability": "reachable" if manager.alive else "unreachable",
            "Addr": manager.manager.api_address,
        }
    return document


def read_node_spec(document: Mapping[str, Any], current: NodeSpec, *, role: str) -> NodeSpec:
    """The spec of an update, on top of what is there.

    Args:
        role: of the node as it is: it cannot be changed.
    Raises:
        ApiError: 400, something is not valid.
    """
    body, spec = Fields(document), NodeSpec()
    spec.CopyFrom(current)
    availability = body.text("Availability") or "active"
    if availability not in _AVAILABILITIES:
        raise body.invalid("Availability", f"invalid Availability: {availability!r}")
    if body.text("Role") not in ("", role):
        raise body.invalid("Role", "roles of nodes cannot be changed: a manager is a program of its own")
    spec.availability = _AVAILABILITIES[availability]
    spec.labels.clear()
    spec.labels.update(body.text_map("Labels"))
    return spec


def matches(document: Mapping[str, Any], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether a node's document fits the filters of `list`."""
    return all(any(_fits(document, key, value) for value in values) for key, values in filters.items() if values)


def _fits(document: Mapping[str, Any], key: str, value: str) -> bool:
    match key:
        case "id":
            return str(document["ID"]).startswith(value)
        case "name":
            return str(document["Description"]["Hostname"]).startswith(value)
        case "role":
            return bool(document["Spec"]["Role"] == value)
        case "membership":
            return value == "accepted"
        case _:
            labels = document["Spec"]["Labels"]
            if key == "label":
                labels = document["Description"]["Engine"].get("Labels", {})
            name, sign, text = value.partition("=")
            return name in labels and (not sign or labels[name] == text)


def _manager_of(view: NodeView, managers: Sequence[ManagerView]) -> ManagerView | None:
    identifier = view.status.colocated_manager_id
    return next((each for each in managers if identifier and each.manager.id == identifier), None)


def _plugins() -> list[dict[str, str]]:
    plugins = {"Log": LOG_DRIVERS, "Network": NETWORK_DRIVERS, "Volume": VOLUME_DRIVERS}
    return [{"Type": kind, "Name": name} for kind, names in plugins.items() for name in names]
