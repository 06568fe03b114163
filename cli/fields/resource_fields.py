"""Networks, volumes, secrets and configs as `docker … inspect` has them, over all that Shoal says of them."""

from cli.fields.message_fields import all_fields, meta_fields
from cli.go_template.template_values import FieldRecord
from cli.render.task_rows import state_name
from shoal.api.v1.control_pb2 import FileView, NetworkView, VolumeView
from shoal.networks.overlay_encryption import is_encrypted


def network_fields(view: NetworkView) -> FieldRecord:
    """The fields of a network."""
    spec, given = view.network.spec, view.allocation
    pools = [
        FieldRecord({"Subnet": subnet, "Gateway": gateway, "IPRange": part})
        for subnet, gateway, part in (
            (given.subnet or spec.subnet, spec.gateway, spec.ip_range),
            (given.subnet6 or spec.subnet6, spec.gateway6, spec.ip_range6),
        )
        if subnet
    ]
    meta = meta_fields(view.network.meta)
    endpoints = [FieldRecord(all_fields(each) | {"State": state_name(each.state)}) for each in view.endpoints]
    return FieldRecord(
        all_fields(view)
        | all_fields(spec)
        | meta
        | {
            "Id": meta["ID"],
            "Created": meta["CreatedAt"],
            "Scope": "swarm",
            "EnableIPv6": spec.ipv6,
            "Ingress": False,
            "Encrypted": is_encrypted(spec),
            "IPAM": FieldRecord({"Driver": "default", "Config": pools}),
            "Endpoints": endpoints,
        }
    )


def volume_fields(view: VolumeView) -> FieldRecord:
    """The fields of a volume."""
    driver = view.volume.spec.driver or "local"
    about = {"Driver": driver, "Scope": "local" if driver == "local" else "global", "Mountpoint": ""}
    return FieldRecord(all_fields(view) | all_fields(view.volume.spec) | meta_fields(view.volume.meta) | about)


def file_fields(view: FileView) -> FieldRecord:
    """The fields of a secret or a config; a secret's `Data` is empty."""
    made = all_fields(view)
    return FieldRecord(
        made | meta_fields(view.meta) | {"Spec": FieldRecord(all_fields(view.spec) | {"Data": made["Content"]})}
    )
