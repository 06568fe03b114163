"""Flags of `service create` and `service update`, applied to a spec."""

import pytest

from cli.commands.common.relative_time import parse_time_ns
from cli.commands.service.create import default_name
from cli.commands.service.scale import parse_targets
from cli.flags.click_options import apply_flags
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.errors import InvalidInput
from shoal.networks.published_ports import describe_port
from shoal.spec_parsers.port_parser import parse_publish


def test_create_flags() -> None:
    spec = ServiceSpec(name="web")
    apply_flags(
        spec,
        {
            "replicas": "3",
            "network": ("front", "name=back,alias=db"),
            "publish": ("mode=host,target=80,published=8080",),
            "limit_memory": "64M",
            "limit_cpu": "0.5",
            "env": ("A=1", "B=2", "A=3"),
            "label": ("team=shop",),
            "read_only": True,
            "mount": ("type=bind,source=/srv,target=/data,readonly",),
            "stop_grace_period": "0",
            "drain_timeout": "1m",
        },
    )
    assert spec.replicated.replicas == 3
    assert [network.network for network in spec.task.networks] == ["front", "back"]
    assert list(spec.task.networks[1].aliases) == ["db"]
    assert spec.task.limits.memory_bytes == 64 << 20
    assert list(spec.task.container.env) == ["B=2", "A=3"]
    assert spec.task.container.read_only
    assert spec.task.container.mounts[0].read_only
    assert spec.task.container.HasField("stop_grace_ms")
    assert spec.task.container.drain_ms == 60_000


def test_update_flags_add_and_remove() -> None:
    spec = ServiceSpec(name="web")
    apply_flags(spec, {"env": ("A=1", "B=2"), "publish": ("mode=host,target=80",), "network": ("front",)})
    apply_flags(
        spec,
        {"env_rm": ("A",), "env_add": ("C=3",), "publish_rm": ("80",), "network_rm": ("front",), "read_only": False},
    )
    assert list(spec.task.container.env) == ["B=2", "C=3"]
    assert not spec.endpoint.ports
    assert not spec.task.networks


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("80", ["9000->81/tcp", "9001->82/tcp"]),
        ("80/udp", ["8080->80/tcp", "127.0.0.1:8081->80/tcp", "9000->81/tcp", "9001->82/tcp"]),
        ("8080:80", ["127.0.0.1:8081->80/tcp", "9000->81/tcp", "9001->82/tcp"]),
        ("8080:80/tcp", ["8080->80/udp", "127.0.0.1:8081->80/tcp", "9000->81/tcp", "9001->82/tcp"]),
        ("127.0.0.1:8081:80", ["8080->80/tcp", "8080->80/udp", "9000->81/tcp", "9001->82/tcp"]),
        ("9000-9001:81-82", ["8080->80/tcp", "8080->80/udp", "127.0.0.1:8081->80/tcp"]),
        ("target=80,protocol=udp", ["8080->80/tcp", "127.0.0.1:8081->80/tcp", "9000->81/tcp", "9001->82/tcp"]),
    ],
)
def test_a_port_that_is_removed_is_the_one_that_is_named(text: str, left: list[str]) -> None:
    spec = ServiceSpec(name="web")
    apply_flags(spec, {"publish": ("8080:80", "8080:80/udp", "127.0.0.1:8081:80", "9000-9001:81-82")})
    assert not apply_flags(spec, {"publish_rm": (text,)})
    assert [describe_port(port).removeprefix("*:") for port in spec.endpoint.ports] == left
    assert len(apply_flags(spec, {"publish_rm": (text,)})) == 1


def test_all_faults_at_once() -> None:
    faults = apply_flags(
        ServiceSpec(),
        {
            "limit_memory": "lots",
            "replicas": "-1",
            "publish": ("0",),
            "env_rm": ("A",),
            "restart_condition": "maybe",
        },
    )
    reported = [str(fault) for fault in faults]
    assert len(reported) == 5
    assert any(line.startswith("--limit-memory: 'lots' is not a valid size") for line in reported)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("", 0, 80, "TCP")]),
        ("8080:80", [("", 8080, 80, "TCP")]),
        ("8080:80/udp", [("", 8080, 80, "UDP")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 80, "TCP")]),
        ("[::1]:8080:80", [("::1", 8080, 80, "TCP")]),
        ("8000-8001:80", [("", 8000, 80, "TCP"), ("", 8001, 80, "TCP")]),
        ("8000-8001:80-81", [("", 8000, 80, "TCP"), ("", 8001, 81, "TCP")]),
        ("mode=host,target=80,protocol=sctp", [("", 0, 80, "SCTP")]),
        ("target=80,published=8080,host_ip=127.0.0.1", [("127.0.0.1", 8080, 80, "TCP")]),
    ],
)
def test_publish(text: str, expected: list[tuple[str, int, int, str]]) -> None:
    made = [
        (port.host_address, port.published, port.target, PublishedPort.Protocol.Name(port.protocol))
        for port in parse_publish(text)
    ]
    assert made == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0",
        "65536",
        "80/xxx",
        "8000-8002:80-81",
        "81-80",
        "mode=mesh,target=80",
        "target=80,traffic=remote",
        "8080:80,mode=host",
        "target=80,x=1",
        "mode=host",
    ],
)
def test_bad_publish(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_publish(text)


def test_one_of_a_range() -> None:
    (port,) = parse_publish("mode=host,published=8000-8009,target=80")
    assert (port.published, port.published_first, port.published_last) == (0, 8000, 8009)
    assert describe_port(port) == "*:8000-8009->80/tcp"


def test_describe_port() -> None:
    assert describe_port(parse_publish("127.0.0.1:8080:80/udp")[0]) == "127.0.0.1:8080->80/udp"


def test_scale_targets() -> None:
    assert [(each.service, each.replicas) for each in parse_targets(("web=3", "api=0"))] == [("web", 3), ("api", 0)]
    with pytest.raises(InvalidInput) as caught:
        parse_targets(("web", "api=x", "=3"))
    assert len(caught.value.faults) == 3


def test_default_name() -> None:
    assert default_name("registry:5000/team/hello:1@sha256:abc") == "hello"


def test_since() -> None:
    now = 10**18
    assert parse_time_ns("--since", "", now) == 0
    assert parse_time_ns("--since", "10m", now) == now - 600 * 10**9
    assert parse_time_ns("--since", "1970-01-01T00:00:01", now) == 10**9
    with pytest.raises(InvalidInput):
        parse_time_ns("--since", "yesterday", now)


def test_traffic_of_a_port_may_stay_on_the_node() -> None:
    for text in ("8080:80,traffic=local", "published=8080,target=80,traffic=local"):
        (port,) = parse_publish(text)
        assert (port.published, port.target, port.local_only, port.mode) == (8080, 80, True, PublishedPort.INGRESS)


def test_bounds_of_block_devices() -> None:
    spec = ServiceSpec()
    given = ("/dev/sda:1m", "/dev/sdb:2m", "/dev/sda:3m")
    apply_flags(spec, {"device_read_bps": given, "blkio_weight": "300", "blkio_weight_device": ("/dev/sda:10",)})
    bounds = spec.task.container.block_io
    assert {each.path: each.amount for each in bounds.read_bps} == {"/dev/sdb": 2 << 20, "/dev/sda": 3 << 20}
    assert (bounds.weight, bounds.weights[0].amount) == (300, 10)
    apply_flags(spec, {"device_read_bps_rm": ("/dev/sda",)})
    assert [each.path for each in bounds.read_bps] == ["/dev/sdb"]
    for text in ("/dev/sda", "sda:1m", "/dev/sda:fast"):
        assert len(apply_flags(spec, {"device_read_bps": (text,)})) == 1


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ({"no_healthcheck": True, "health_cmd": "true"}, "--no-healthcheck cannot be combined with --health-cmd"),
        (
            {"no_healthcheck": True, "health_interval": "5s"},
            "--no-healthcheck cannot be combined with --health-interval",
        ),
        ({"health_cmd": "true", "health_tcp": "80"}, "--health-cmd cannot be combined with --health-tcp"),
        ({"health_interval": "1ns"}, "--health-interval: '1ns' is too short; the minimum is 1ms"),
        ({"network": ("front", "name=front,alias=a")}, '--network: "front" is specified more than once'),
    ],
)
def test_flags_that_contradict_each_other_are_refused(given: dict[str, object], reported: str) -> None:
    (fault,) = apply_flags(ServiceSpec(), given)
    assert fault.message.startswith(reported)


def test_a_health_check_may_replace_one_that_is_switched_off() -> None:
    spec = ServiceSpec()
    assert not apply_flags(spec, {"no_healthcheck": True})
    assert not apply_flags(spec, {"health_cmd": "true"})
    assert not apply_flags(spec, {"no_healthcheck": None, "health_retries": "3"})
    assert not spec.task.container.healthcheck.disabled
