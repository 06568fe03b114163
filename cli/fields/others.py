"""Networks, volumes, secrets and configs as `docker … inspect` has them, over all that Shoal says of them."""

from cli.fields.whole import identity, whole
from cli.go_template.values import Record
from cli.render.tasks import state_name
from shoal.api.v1.control_pb2 import FileView, NetworkView, VolumeView
from shoal.overlay_encryption import is_encrypted


def network_fields(view: NetworkView) -> Record:
    """The fields of a network."""
    spec, given = view.network.spec, view.allocation
    pools = [
        Record({"Subnet": subnet, "Gateway": gateway, "IPRange": part})
        for subnet, gateway, part in (
            (given.subnet or spec.subnet, spec.gateway, spec.ip_range),
            (given.subnet6 or spec.subnet6, spec.gateway6, spec.ip_range6),
        )
        if subnet
    ]
    meta = identity(view.network.meta)
    endpoints = [Record(whole(each) | {"State": state_name(each.state)}) for each in view.endpoints]
    return Record(
        whole(view)
        | whole(spec)
        | meta
        | {
            "Id": meta["ID"],
            "Created": meta["CreatedAt"],
            "Scope": "swarm",
            "EnableIPv6": spec.ipv6,
            "Ingress": False,
            "Encrypted": is_encrypted(spec),
            "IPAM": Record({"Driver": "default", "Config": pools}),
            "Endpoints": endpoints,
        }
    )


def volume_fields(view: VolumeView) -> Record:
    """The fields of a volume."""
    driver = view.volume.spec.driver or "local"
    about = {"Driver": driver, "Scope": "local" if driver == "local" else "global", "Mountpoint": ""}
    return Record(whole(view) | whole(view.volume.spec) | identity(view.volume.meta) | about)


def file_fields(view: FileView) -> Record:
    """The fields of a secret or a config; a secret's `Data` is empty."""
    made = whole(view)
    return Record(made | identity(view.meta) | {"Spec": Record(whole(view.spec) | {"Data": made["Content"]})})
