"""Convert device requests: `deploy.resources.reservations.devices` and `gpus`.

They become reservations of kinds of the Container Device Interface, whose devices agents report by themselves.
"""

from collections.abc import Mapping
from typing import Any

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.cdi_names import NVIDIA, split_name
from shoal.compose.reading.scalar_values import parse_int, scalar_text, string_list
from shoal.errors import InvalidInput
from shoal.spec_parsers.cdi_reservations import reserve_device, reserve_number

_KIND_BY_DRIVER = {"": NVIDIA, "nvidia": NVIDIA}
"""By the driver; a GPU without one is Docker's default."""
_ALTERNATIVE = "use generic_resources, or a CDI device in `devices` (vendor.com/class=name)"


def request_devices(spec: ServiceSpec, value: Any) -> None:
    """`deploy.resources.reservations.devices`."""
    for entry in value or ():
        _request(spec, entry, string_list(entry.get("capabilities")))


def request_gpus(spec: ServiceSpec, value: Any) -> None:
    """`gpus`: a list of requests of GPUs.

    Raises:
        InvalidInput: "all" of a node, which differs from node to node.
    """
    if not isinstance(value, list):
        raise InvalidInput(
            "`all` is not supported because nodes have different numbers of GPUs; use `gpus: [{count: 1}]`"
        )
    for entry in value:
        _request(spec, entry, [*string_list(entry.get("capabilities")), "gpu"])


def _request(spec: ServiceSpec, entry: Mapping[str, Any], capabilities: list[str]) -> None:
    driver, named = scalar_text(entry.get("driver") or ""), string_list(entry.get("device_ids"))
    if entry.get("options"):
        raise InvalidInput("driver options are not supported; CDI devices define their own settings")
    if driver == "cdi":
        return _by_name(spec, named)
    if driver not in _KIND_BY_DRIVER or not (driver or "gpu" in capabilities):
        what = f"driver {driver!r}" if driver not in _KIND_BY_DRIVER else f"capabilities {', '.join(capabilities)}"
        raise InvalidInput(f"{what} is not supported; {_ALTERNATIVE}")
    count = scalar_text(entry.get("count", "")) if "count" in entry else ""
    if named and count:
        raise InvalidInput("count and device_ids are mutually exclusive")
    for name in named:
        reserve_device(spec, _KIND_BY_DRIVER[driver], name)
    if named:
        return None
    if not count.isdigit():
        raise InvalidInput("count must be a number, because nodes have different numbers of devices")
    return reserve_number(spec, _KIND_BY_DRIVER[driver], parse_int(entry["count"]))


def _by_name(spec: ServiceSpec, named: list[str]) -> None:
    for text in named:
        device = split_name(text)
        if device is None:
            raise InvalidInput(f"device_ids: {text!r} must be in the form vendor.com/class=name")
        reserve_device(spec, *device)
    if not named:
        raise InvalidInput("driver cdi: device_ids is missing (vendor.com/class=name)")
