"""Devices of the Container Device Interface, as flags and Compose files ask for them."""

from typing import Any

import pytest

from cli.flags.host_config_options import remove_device
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.conversion.device_requests import request_devices, request_gpus
from shoal.errors import InvalidInput
from shoal.spec_parsers.host_config import add_device


def reserved(spec: ServiceSpec) -> list[tuple[str, int, list[str]]]:
    return [(each.kind, each.count, list(each.names)) for each in spec.task.reservations.generic_resources]


def test_a_device_is_reserved_by_its_name_and_a_path_is_not() -> None:
    spec = ServiceSpec()
    for text in ("nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=0", "/dev/null"):
        add_device(spec, text)
    assert reserved(spec) == [("nvidia.com/gpu", 0, ["0", "1"])]
    assert [device.source for device in spec.task.container.devices] == ["/dev/null"]
    remove_device(spec, "nvidia.com/gpu=0")
    assert reserved(spec) == [("nvidia.com/gpu", 0, ["1"])]
    remove_device(spec, "nvidia.com/gpu=1")
    assert reserved(spec) == []
    with pytest.raises(InvalidInput, match="not found"):
        remove_device(spec, "nvidia.com/gpu=1")


@pytest.mark.parametrize("text", ["nvidia.com/gpu", "gpu=0", "nvidia.com/gpu=", "nvidia.com/=0"])
def test_half_a_name_is_no_device(text: str) -> None:
    with pytest.raises(InvalidInput, match="class=name"):
        add_device(ServiceSpec(), text)


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"capabilities": ["gpu"], "count": 2}, ("nvidia.com/gpu", 2, [])),
        ({"driver": "nvidia", "capabilities": ["gpu", "utility"], "count": "1"}, ("nvidia.com/gpu", 1, [])),
        ({"capabilities": ["gpu"], "device_ids": ["0", "GPU-3"]}, ("nvidia.com/gpu", 0, ["0", "GPU-3"])),
        ({"driver": "cdi", "capabilities": [], "device_ids": ["a.com/fpga=x"]}, ("a.com/fpga", 0, ["x"])),
    ],
)
def test_requests_become_reservations(entry: dict[str, Any], found: tuple[str, int, list[str]]) -> None:
    spec = ServiceSpec()
    request_devices(spec, [entry])
    assert reserved(spec) == [found]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"capabilities": ["tpu"], "count": 1}, "capabilities tpu is not supported"),
        ({"driver": "amd", "capabilities": ["gpu"], "count": 1}, "driver 'amd' is not supported"),
        ({"capabilities": ["gpu"]}, "count must be a number"),
        ({"capabilities": ["gpu"], "count": "all"}, "count must be a number"),
        ({"capabilities": ["gpu"], "count": 1, "device_ids": ["0"]}, "mutually exclusive"),
        ({"capabilities": ["gpu"], "count": 1, "options": {"a": "b"}}, "driver options are not supported"),
        ({"driver": "cdi", "capabilities": [], "device_ids": ["0"]}, "must be in the form vendor.com/class=name"),
        ({"driver": "cdi", "capabilities": []}, "device_ids is missing"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        request_devices(ServiceSpec(), [entry])


def test_gpus_by_number_and_not_by_name_beside_it() -> None:
    spec = ServiceSpec()
    request_gpus(spec, [{"count": 1}, {"driver": "nvidia", "count": 2}])
    assert reserved(spec) == [("nvidia.com/gpu", 3, [])]
    with pytest.raises(InvalidInput, match="not both"):
        add_device(spec, "nvidia.com/gpu=0")
    with pytest.raises(InvalidInput, match="`all` is not supported"):
        request_gpus(ServiceSpec(), "all")
