"""A node as `docker node inspect` has it, over all that Shoal says of it."""

from cli.fields.whole import identity, whole
from cli.go_template.values import Record
from shoal.api.v1.control_pb2 import NodeView
from shoal.filters.nodes import availability_of, hostname_of, role_of, status_of


def node_fields(view: NodeView) -> Record:
    """The fields of a node."""
    about = view.status.description
    address = view.node.spec.identity.address or about.address
    resources = whole(about.resources) | {"NanoCPUs": about.resources.nano_cpus}
    engine = {"EngineVersion": about.agent_version, "Labels": dict(about.engine_labels)}
    platform = {"OS": about.platform.os, "Architecture": about.platform.architecture}
    described = {
        "Hostname": hostname_of(view),
        "Platform": Record(platform),
        "Resources": Record(resources),
        "Engine": Record(engine),
    }
    manager = {"Leader": False, "Reachability": "reachable", "Addr": address}
    is_manager = role_of(view) == "manager"
    return Record(
        whole(view)
        | identity(view.node.meta)
        | {
            "Spec": Record(
                whole(view.node.spec)
                | {"Name": hostname_of(view), "Role": role_of(view), "Availability": availability_of(view)}
            ),
            "Description": Record(whole(about) | described),
            "Status": Record(whole(view.status) | {"State": status_of(view), "Addr": address}),
            "ManagerStatus": Record(manager) if is_manager else None,
        }
    )
