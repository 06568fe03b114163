"""Every rule for what users send: the path of the fault, and that all faults are told at once."""

from collections.abc import Callable

import pytest

from manager.store.tables import Tables
from manager.validation.network_rules import check_network
from manager.validation.published_port_rules import port_warnings
from manager.validation.service_rules import check_service
from manager.validation.volume_rules import check_volume
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import PublishedPort, ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from tests.unit.manager_api.control_rig import spec_of

Edit = Callable[[ServiceSpec], object]
HOST = PublishedPort.HOST


def rich_spec() -> ServiceSpec:
    spec = spec_of()
    container = spec.task.container
    container.env.extend(["A=1", "B=", "C==x"])
    container.user, container.working_dir, container.stop_signal = "app:staff", "/srv", "SIGRTMIN+3"
    container.cap_add.extend(["NET_ADMIN", "cap_sys_time"])
    container.cap_drop.append("ALL")
    container.sysctls["net.ipv4.ip_forward"] = "1"
    container.ulimits.add(name="nofile", soft=1024, hard=-1)
    container.mounts.add(type=Mount.BIND, source="/data", target="/data")
    container.mounts.add(type=Mount.TMPFS, target="/tmp", tmpfs_bytes=1 << 20, tmpfs_mode=0o1777)
    container.extra_hosts.append("db:10.0.0.1")
    container.dns.nameservers.append("10.0.0.2")
    container.seccomp = "unconfined"
    container.apparmor = "/usr/bin/my web//worker"
    spec.task.limits.memory_bytes = 64 << 20
    spec.task.reservations.memory_bytes = 64 << 20
    spec.task.limits.nano_cpus = 500_000_000
    spec.task.placement.constraints.append("node.labels.disk == ssd")
    spec.task.placement.spread.append("node.labels.zone")
    spec.task.networks.add(network="front", aliases=["www"])
    spec.endpoint.ports.add(target=80, published=8080, mode=HOST)
    spec.endpoint.ports.add(target=80, published=8080, mode=HOST, protocol=PublishedPort.UDP)
    spec.labels["a.b"] = "c"
    return spec


def test_requests_of_clients_are_kept_up_to_64_kib() -> None:
    kept = bytes(64 * 1024)
    assert not list(check_network(NetworkSpec(name="n", engine_request=kept)))
    assert not list(check_volume(VolumeSpec(name="v", engine_request=kept), ()))
    for faults in (
        check_network(NetworkSpec(name="n", engine_request=kept + b"x")),
        check_volume(VolumeSpec(name="v", engine_request=kept + b"x"), ()),
    ):
        assert [fault.path for fault in faults] == ["engine_request"]


def test_a_rich_spec_is_valid() -> None:
    assert list(check_service(rich_spec())) == []


def limit_below_reservation(spec: ServiceSpec) -> None:
    spec.task.limits.memory_bytes = 8 << 20
    spec.task.reservations.memory_bytes = 16 << 20


BAD: dict[str, tuple[Edit, str]] = {
    "no name": (lambda s: setattr(s, "name", ""), "name"),
    "dot": (lambda s: setattr(s, "name", "web.1"), "name"),
    "long name": (lambda s: setattr(s, "name", "w" * 64), "name"),
    "outside its stack": (lambda s: setattr(s, "stack", "shop"), "name"),
    "label with blank": (lambda s: s.labels.update({"a b": "1"}), "labels"),
    "long request of a client": (lambda s: setattr(s, "engine_request", bytes(65_537)), "engine_request"),
    "large label": (lambda s: s.labels.update({"a": "x" * 5000}), "labels.a"),
    "many replicas": (lambda s: setattr(s.replicated, "replicas", 1_000_001), "replicated.replicas"),
    "no image": (lambda s: setattr(s.task.container, "image", ""), "task.container.image"),
    "bad image": (lambda s: setattr(s.task.container, "image", "A:b:c"), "task.container.image"),
    "bad env": (lambda s: s.task.container.env.append("NOVALUE"), "task.container.env[0]"),
    "nul in command": (lambda s: s.task.container.command.append("a\0"), "task.container.command[0]"),
    "relative dir": (lambda s: setattr(s.task.container, "working_dir", "srv"), "task.container.working_dir"),
    "bad signal": (lambda s: setattr(s.task.container, "stop_signal", "SIGFOO"), "task.container.stop_signal"),
    "negative grace": (lambda s: setattr(s.task.container, "stop_grace_ms", -1), "task.container.stop_grace_ms"),
    "negative drain": (lambda s: setattr(s.task.container, "drain_ms", -1), "task.container.drain_ms"),
    "bad user": (lambda s: setattr(s.task.container, "user", "a b"), "task.container.user"),
    "bad host name": (lambda s: setattr(s.task.container, "hostname", "-x"), "task.container.hostname"),
    "bad capability": (lambda s: s.task.container.cap_add.append("FLY"), "task.container.cap_add[0]"),
    "host's sysctl": (lambda s: s.task.container.sysctls.update({"vm.swappiness": "1"}), "task.container.sysctls"),
    "bad ulimit": (
        lambda s: s.task.container.ulimits.add(name="files", soft=1, hard=1),
        "task.container.ulimits[0].name",
    ),
    "soft above hard": (
        lambda s: s.task.container.ulimits.add(name="nofile", soft=2, hard=1),
        "task.container.ulimits[0].soft",
    ),
    "relative mount": (
        lambda s: s.task.container.mounts.add(type=Mount.BIND, source="/a", target="b"),
        "task.container.mounts[0].target",
    ),
    "mount over root": (
        lambda s: s.task.container.mounts.add(type=Mount.BIND, source="/a", target="/"),
        "task.container.mounts[0].target",
    ),
    "tmpfs with source": (
        lambda s: s.task.container.mounts.add(type=Mount.TMPFS, source="/a", target="/b"),
        "task.container.mounts[0].source",
    ),
    "unknown option of a tmpfs": (
        lambda s: s.task.container.mounts.add(type=Mount.TMPFS, target="/b", tmpfs_options=["exec", "size=1"]),
        "task.container.mounts[0].tmpfs_options[1]",
    ),
    "option of a tmpfs elsewhere": (
        lambda s: s.task.container.mounts.add(type=Mount.BIND, source="/a", target="/b", tmpfs_options=["exec"]),
        "task.container.mounts[0]",
    ),
    "weight of block devices": (
        lambda s: setattr(s.task.container.block_io, "weight", 9),
        "task.container.block_io.weight",
    ),
    "relative block device": (
        lambda s: s.task.container.block_io.read_bps.add(path="sda", amount=1),
        "task.container.block_io.read_bps[0].path",
    ),
    "no rate": (
        lambda s: s.task.container.block_io.write_iops.add(path="/dev/sda"),
        "task.container.block_io.write_iops[0].amount",
    ),
    "block device twice": (
        lambda s: [s.task.container.block_io.read_bps.add(path="/dev/sda", amount=n) for n in (1, 2)],
        "task.container.block_io.read_bps[1]",
    ),
    "pids below no bound": (lambda s: setattr(s.task.limits, "pids", -2), "task.limits.pids"),
    "no bound of pids reserved": (lambda s: setattr(s.task.reservations, "pids", -1), "task.reservations.pids"),
    "propagation to the host": (
        lambda s: s.task.container.mounts.add(type=Mount.BIND, source="/a", target="/b", propagation="rshared"),
        "task.container.mounts[0].propagation",
    ),
    "recursion that is none": (
        lambda s: s.task.container.mounts.add(type=Mount.BIND, source="/a", target="/b", recursive="enabled"),
        "task.container.mounts[0].recursive",
    ),
    "read-only below a mount that is not": (
        lambda s: s.task.container.mounts.add(type=Mount.BIND, source="/a", target="/b", recursive="readonly"),
        "task.container.mounts[0].recursive",
    ),
    "read-only whatever is mounted later": (
        lambda s: s.task.container.mounts.add(
            type=Mount.BIND, source="/a", target="/b", read_only=True, recursive="readonly", propagation="rslave"
        ),
        "task.container.mounts[0].recursive",
    ),
    "recursion of a volume": (
        lambda s: s.task.container.mounts.add(type=Mount.VOLUME, source="a", target="/b", recursive="disabled"),
        "task.container.mounts[0].recursive",
    ),
    "propagation of a tmpfs": (
        lambda s: s.task.container.mounts.add(type=Mount.TMPFS, target="/b", propagation="rslave"),
        "task.container.mounts[0].propagation",
    ),
    "mount of no type": (lambda s: s.task.container.mounts.add(target="/b"), "task.container.mounts[0].type"),
    "bad extra host": (lambda s: s.task.container.extra_hosts.append("db"), "task.container.extra_hosts[0]"),
    "bad resolver": (
        lambda s: s.task.container.dns.nameservers.append("dns.example"),
        "task.container.dns.nameservers[0]",
    ),
    "profile with a line": (lambda s: setattr(s.task.container, "apparmor", "a\nb"), "task.container.apparmor"),
    "profile of blanks": (lambda s: setattr(s.task.container, "apparmor", " a"), "task.container.apparmor"),
    "long profile": (lambda s: setattr(s.task.container, "apparmor", "a" * 256), "task.container.apparmor"),
    "action that is a list": (
        lambda s: setattr(s.task.container, "seccomp", '{"defaultAction": []}'),
        "task.container.seccomp.defaultAction",
    ),
    "action that is a mapping": (
        lambda s: setattr(
            s.task.container,
            "seccomp",
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x"], "action": {}}]}',
        ),
        "task.container.seccomp.syscalls[0].action",
    ),
    "unknown seccomp": (lambda s: setattr(s.task.container, "seccomp", "x"), "task.container.seccomp"),
    "oom score": (lambda s: setattr(s.task.container, "oom_score_adj", 1001), "task.container.oom_score_adj"),
    "little memory": (lambda s: setattr(s.task.limits, "memory_bytes", 1000), "task.limits.memory_bytes"),
    "negative CPU": (lambda s: setattr(s.task.reservations, "nano_cpus", -1), "task.reservations.nano_cpus"),
    "limit below reservation": (
        limit_below_reservation,
        "task.limits.memory_bytes",
    ),
    "cut off at once": (lambda s: setattr(s.task, "stop_on_disconnect_ms", 5), "task.stop_on_disconnect_ms"),
    "restart delay": (lambda s: setattr(s.task.restart, "delay_ms", -5), "task.restart.delay_ms"),
    "bad constraint": (
        lambda s: s.task.placement.constraints.append("node.colour = red"),
        "task.placement.constraints[0]",
    ),
    "bad spread": (lambda s: s.task.placement.spread.append("zone"), "task.placement.spread[0]"),
    "unnamed network": (lambda s: s.task.networks.add(), "task.networks[0].network"),
    "bad alias": (lambda s: s.task.networks.add(network="n", aliases=["a b"]), "task.networks[0].aliases[0]"),
    "small log": (lambda s: setattr(s.task.log, "max_bytes", 1), "task.log.max_bytes"),
    "a port and a range": (
        lambda s: s.endpoint.ports.add(target=80, published=80, published_first=80, published_last=81),
        "endpoint.ports[0].published",
    ),
    "a range that ends before it begins": (
        lambda s: s.endpoint.ports.add(target=80, published_first=81, published_last=80),
        "endpoint.ports[0].published",
    ),
    "a range of the planner's own": (
        lambda s: s.endpoint.ports.add(target=80, published_first=29000, published_last=30000, mode=HOST),
        "endpoint.ports[0].published",
    ),
    "a range that meets a port": (
        lambda s: [
            s.endpoint.ports.add(target=80, published_first=80, published_last=82),
            s.endpoint.ports.add(target=81, published=82),
        ],
        "endpoint.ports[0].published",
    ),
    "port 0": (lambda s: s.endpoint.ports.add(target=0, mode=HOST), "endpoint.ports[0].target"),
    "port 65536": (
        lambda s: s.endpoint.ports.add(target=1, published=65536, mode=HOST),
        "endpoint.ports[0].published",
    ),
    "local traffic in host mode": (
        lambda s: s.endpoint.ports.add(target=80, mode=HOST, local_only=True),
        "endpoint.ports[0].local_only",
    ),
    "bad endpoint mode": (lambda s: setattr(s.endpoint, "mode", 9), "endpoint.mode"),
    "published twice": (
        lambda s: [s.endpoint.ports.add(target=t, published=80, mode=HOST) for t in (80, 81)],
        "endpoint.ports[1].published",
    ),
    "parallelism": (lambda s: setattr(s.update, "parallelism", 2_000_000), "update.parallelism"),
    "too large": (lambda s: s.task.container.env.extend(["A=" + "x" * 100_000] * 6), ""),
}


@pytest.mark.parametrize("name", BAD)
def test_each_fault_has_its_path(name: str) -> None:
    edit, path = BAD[name]
    spec = spec_of()
    edit(spec)
    assert [fault.path for fault in check_service(spec)] == [path]


def test_all_faults_are_told_at_once() -> None:
    spec = spec_of()
    for edit, _ in BAD.values():
        if edit is not BAD["too large"][0]:
            edit(spec)
    faults = list(check_service(spec))
    assert len(faults) > 25
    assert all("\n" not in str(fault) for fault in faults)


def test_one_port_on_several_addresses() -> None:
    spec = spec_of()
    for address in ("10.0.0.1", "10.0.0.2"):
        spec.endpoint.ports.add(target=80, published=80, mode=HOST, host_address=address)
    assert list(check_service(spec)) == []
    spec.endpoint.ports.add(target=80, published=80, mode=HOST)
    assert [fault.path for fault in check_service(spec)] == ["endpoint.ports[2].published"]


def test_a_fixed_port_with_replicas_is_a_warning() -> None:
    spec = spec_of(replicas=3)
    spec.endpoint.ports.add(target=80, published=80, mode=HOST)
    assert len(list(port_warnings(spec, Tables()))) == 1
    spec.replicated.replicas = 1
    assert list(port_warnings(spec, Tables())) == []


def test_what_contradicts_itself_is_told() -> None:
    everywhere = spec_of()
    getattr(everywhere, "global").SetInParent()
    everywhere.task.placement.max_per_node = 1
    assert [fault.path for fault in check_service(everywhere)] == ["task.placement.max_per_node"]
    twice = spec_of()
    for _ in range(2):
        twice.endpoint.ports.add(target=80)
        twice.endpoint.ports.add(target=80, protocol=PublishedPort.UDP)
    assert [fault.path for fault in check_service(twice)] == ["endpoint.ports[2].target", "endpoint.ports[3].target"]
