"""Compose's requests for devices: `deploy.resources.reservations.devices`, and `gpus`.

They become reservations of kinds of the Container Device Interface, whose devices agents tell of by themselves.
"""

from collections.abc import Mapping
from typing import Any

from cli.compose.values import number, scalar, texts
from cli.flags.cdi import reserve_device, reserve_number
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.cdi_names import NVIDIA, split
from shoal.errors import InvalidInput

_KINDS = {"": NVIDIA, "nvidia": NVIDIA}
"""By the driver; for a GPU without one Docker's own is meant."""
_INSTEAD = "reserve it as generic_resources, or name it in `devices`: vendor.com/class=name"


def request_devices(spec: ServiceSpec, value: Any) -> None:
    """`deploy.resources.reservations.devices`."""
    for entry in value or ():
        _request(spec, entry, texts(entry.get("capabilities")))


def request_gpus(spec: ServiceSpec, value: Any) -> None:
    """`gpus`: a list of requests of GPUs.

    Raises:
        InvalidInput: "all" of a node, which differs from node to node.
    """
    if not isinstance(value, list):
        raise InvalidInput("nodes have different numbers of GPUs, so `all` reserves none; say `gpus: [{count: 1}]`")
    for entry in value:
        _request(spec, entry, [*texts(entry.get("capabilities")), "gpu"])


def _request(spec: ServiceSpec, entry: Mapping[str, Any], capabilities: list[str]) -> None:
    driver, named = scalar(entry.get("driver") or ""), texts(entry.get("device_ids"))
    if entry.get("options"):
        raise InvalidInput("options of a driver are not supported; a CDI device brings its own settings")
    if driver == "cdi":
        return _by_name(spec, named)
    if driver not in _KINDS or not (driver or "gpu" in capabilities):
        what = f"driver {driver!r}" if driver not in _KINDS else f"capabilities {', '.join(capabilities)}"
        raise InvalidInput(f"{what}: no kind of device is known for that; {_INSTEAD}")
    count = scalar(entry.get("count", "")) if "count" in entry else ""
    if named and count:
        raise InvalidInput("count and device_ids exclude each other")
    for name in named:
        reserve_device(spec, _KINDS[driver], name)
    if named:
        return None
    if not count.isdigit():
        raise InvalidInput("nodes have different numbers of devices, so `all` reserves none; say how many: `count: 1`")
    return reserve_number(spec, _KINDS[driver], number(entry["count"]))


def _by_name(spec: ServiceSpec, named: list[str]) -> None:
    for text in named:
        device = split(text)
        if device is None:
            raise InvalidInput(f"device_ids: {text!r} is not of the form vendor.com/class=name")
        reserve_device(spec, *device)
    if not named:
        raise InvalidInput("driver cdi: device_ids are needed, vendor.com/class=name")
