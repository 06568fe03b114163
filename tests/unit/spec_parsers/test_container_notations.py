"""Notations of `docker run`: values are read back, and any other text is a fault of one line."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.api.v1.standalone_pb2 import ContainerRestart
from shoal.errors import InvalidInput
from shoal.spec_parsers.container_restart import CONDITIONS, parse_reschedule, parse_restart
from shoal.spec_parsers.exposed_ports import parse_exposed, publish_all
from shoal.spec_parsers.extra_hosts import parse_extra_host
from shoal.spec_parsers.gpu_requests import request_gpus
from shoal.spec_parsers.network_attachments import UNSUPPORTED, parse_container_attachment
from shoal.spec_parsers.short_mounts import CONSISTENCY, parse_short_mount

NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
PATHS = st.from_regex(r"/[a-z0-9_./-]{1,20}", fullmatch=True)
PORTS = st.integers(1, 65535)
ODD = st.text(alphabet='ab01:/,=-.[]" \n', max_size=12) | st.text(max_size=8)

PARSERS: list[Callable[[str], object]] = [
    parse_restart,
    parse_reschedule,
    parse_exposed,
    parse_extra_host,
    parse_short_mount,
    parse_container_attachment,
    lambda text: request_gpus(ServiceSpec(), text),
]


@pytest.mark.parametrize("parse", PARSERS)
@given(text=ODD)
def test_any_text_is_read_or_is_a_fault(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except InvalidInput as error:
        assert all(fault.message for fault in error.faults)


@given(name=st.sampled_from(sorted(CONDITIONS)), number=st.none() | st.integers(0, 1_000_000))
def test_restart_policies(name: str, number: int | None) -> None:
    text = name if number is None else f"{name}:{number}"
    if number is not None and name != "on-failure":
        with pytest.raises(InvalidInput, match="with on-failure only"):
            parse_restart(text)
    else:
        expected = ContainerRestart(condition=CONDITIONS[name], max_attempts=number or 0)
        assert parse_restart(text) == expected


def test_no_restart_policy_is_that_of_none() -> None:
    assert parse_restart("") == ContainerRestart(condition=ContainerRestart.NO)


@given(
    name=NAMES, address=st.builds(IPv4Address, st.integers(0, 2**32 - 1)) | st.builds(IPv6Address, st.integers(0, 9))
)
def test_hosts(name: str, address: IPv4Address | IPv6Address) -> None:
    expected = f"{name}:{address}"
    forms = (f"{name}:{address}", f"{name}={address}", f"{name}:[{address}]", f"{name}=[{address}]")
    assert [parse_extra_host(text) for text in forms] == [expected] * 4
    assert parse_extra_host(f"{name}=host-gateway") == f"{name}:host-gateway"


@given(first=PORTS, count=st.integers(0, 20), protocol=st.sampled_from(["tcp", "udp", "sctp"]))
def test_exposed_ports(first: int, count: int, protocol: str) -> None:
    last = min(first + count, 65535)
    ports = parse_exposed(f"{first}-{last}/{protocol}")
    assert [port.target for port in ports] == list(range(first, last + 1))
    assert {port.protocol for port in ports} == {PublishedPort.Protocol.Value(protocol.upper())}
    assert all(port.published == 0 for port in ports)


@given(exposed=st.lists(PORTS, max_size=5), published=st.lists(PORTS, max_size=5))
def test_every_exposed_port_is_published_once(exposed: list[int], published: list[int]) -> None:
    given_ports = [PublishedPort(protocol=PublishedPort.TCP, target=port, published=port) for port in published]
    added = publish_all(given_ports, [port for number in exposed for port in parse_exposed(str(number))])
    assert sorted(port.target for port in added) == sorted(set(exposed) - set(published))


@given(
    source=NAMES | PATHS | st.just(""), target=PATHS, read_only=st.booleans(), more=st.sampled_from(["", "z", "cached"])
)
def test_short_mounts(source: str, target: str, read_only: bool, more: str) -> None:
    modes = ",".join(filter(None, ("ro" if read_only else "rw", more)))
    text = ":".join(filter(None, (source, target, modes if source else "")))
    mount = parse_short_mount(text, CONSISTENCY)
    assert (mount.source, mount.target) == (source, target)
    assert mount.type == (Mount.BIND if source.startswith("/") else Mount.VOLUME)
    assert mount.read_only == (read_only and bool(source))
    assert mount.create_source == source.startswith("/")


@given(number=st.integers(1, 1000))
def test_gpus_by_number(number: int) -> None:
    for text in (str(number), f"count={number}", f"driver=nvidia,count={number},capabilities=compute"):
        spec = ServiceSpec()
        request_gpus(spec, text)
        (reserved,) = spec.task.reservations.generic_resources
        assert (reserved.kind, reserved.count) == ("nvidia.com/gpu", number)


def test_gpus_by_name() -> None:
    spec = ServiceSpec()
    request_gpus(spec, '"device=0,GPU-1"')
    (reserved,) = spec.task.reservations.generic_resources
    assert list(reserved.names) == ["0", "GPU-1"]


def test_networks_of_containers() -> None:
    assert parse_container_attachment("container:db").network == "container:db"
    assert parse_container_attachment("default").network == "bridge"
    attachment = parse_container_attachment("name=front,alias=a,alias=b,ip=10.0.0.2,ip6=fd00:0::2")
    assert (attachment.network, list(attachment.aliases)) == ("front", ["a", "b"])
    assert (attachment.address, attachment.address6) == ("10.0.0.2", "fd00::2")


@pytest.mark.parametrize("key", UNSUPPORTED)
def test_options_of_networks_that_are_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidInput, match=f"{key} is not supported: "):
        parse_container_attachment(f"name=front,{key}=1")
