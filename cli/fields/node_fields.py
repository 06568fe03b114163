"""A node as `docker node inspect` has it, over all that Shoal says of it."""

from cli.fields.message_fields import all_fields, meta_fields
from cli.go_template.template_values import FieldRecord
from shoal.api.v1.control_pb2 import NodeView
from shoal.filters.node_filters import availability_of, hostname_of, role_of, status_of


def node_fields(view: NodeView) -> FieldRecord:
    """The fields of a node."""
    about = view.status.description
    address = view.node.spec.identity.address or about.address
    resources = all_fields(about.resources) | {"NanoCPUs": about.resources.nano_cpus}
    engine = {"EngineVersion": about.agent_version, "Labels": dict(about.engine_labels)}
    platform = {"OS": about.platform.os, "Architecture": about.platform.architecture}
    described = {
        "Hostname": hostname_of(view),
        "Platform": FieldRecord(platform),
        "Resources": FieldRecord(resources),
        "Engine": FieldRecord(engine),
    }
    manager = {"Leader": False, "Reachability": "reachable", "Addr": address}
    is_manager = role_of(view) == "manager"
    return FieldRecord(
        all_fields(view)
        | meta_fields(view.node.meta)
        | {
            "Spec": FieldRecord(
                all_fields(view.node.spec)
                | {"Name": hostname_of(view), "Role": role_of(view), "Availability": availability_of(view)}
            ),
            "Description": FieldRecord(all_fields(about) | described),
            "Status": FieldRecord(all_fields(view.status) | {"State": status_of(view), "Addr": address}),
            "ManagerStatus": FieldRecord(manager) if is_manager else None,
        }
    )
