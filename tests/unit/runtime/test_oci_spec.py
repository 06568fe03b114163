"""From requests to OCI runtime specs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.confinement.seccomp import load_profile, seccomp_section
from agent.runtime.spec.capability_sets import ALL, DEFAULT, capabilities_of, resolve_capabilities
from agent.runtime.spec.oci_block_io import block_io_section, device_numbers
from agent.runtime.spec.oci_process import command_line, environment
from agent.runtime.spec.oci_spec import HostFacts, oci_spec
from agent.runtime.spec.user_lookup import ContainerUser, resolve_user
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import Image, ImageConfig
from shoal.api.v1.container_pb2 import BlockIo, ContainerSpec, Mount, Ulimit
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import LogConfig
from shoal.errors import InvalidInput

HOST = HostFacts(
    machine="x86_64",
    kernel="6.1.0-18-amd64",
    agent_pid=7,
    swap_accounting=True,
    max_open_files=4096,
    capabilities=frozenset(ALL),
    profile=load_profile(),
)
ROOT = ContainerUser(0, 0, (), "/root")
RUNS = ImageConfig(command=("/run",))
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken\n"
GROUP = "root:x:0:\napp:x:1001:\naudio:x:29:app,x\n"


def spec_of(
    config: ImageConfig = RUNS,
    *,
    user: ContainerUser = ROOT,
    limits: Resources | None = None,
    netns_fd: int | None = None,
    host: HostFacts = HOST,
    **spec: Any,
) -> dict[str, Any]:
    image = Image("i", "sha256:0", config, (Path("/layer"),))
    container = ContainerSpec(**spec)
    request = ContainerRequest("t", "web.1.t", container, limits or Resources(), LogConfig(), image, netns_fd, {})
    return oci_spec(request, user=user, rootfs=Path("/r"), cgroup="/shoal/n/t", etc_files={}, host=host)


@pytest.mark.parametrize("score", [0, 500, -1000])
def test_how_soon_the_kernel_kills_it_is_never_left_to_what_it_would_inherit(score: int) -> None:
    assert spec_of(oom_score_adj=score)["process"]["oomScoreAdj"] == score


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        ([], [], ("/entry", "image")),
        ([], ["mine"], ("/entry", "mine")),
        (["/own"], [], ("/own",)),
        (["/own"], ["mine"], ("/own", "mine")),
        ([""], ["mine", ""], ("mine", "")),
    ],
)
def test_command_line_follows_dockers_rules(entrypoint: list[str], command: list[str], expected: tuple[str]) -> None:
    config = ImageConfig(entrypoint=("/entry",), command=("image",))
    assert command_line(ContainerSpec(entrypoint=entrypoint, command=command), config) == expected


def test_nothing_to_run_is_bad_input() -> None:
    with pytest.raises(InvalidInput, match=r"spec\.command"):
        command_line(ContainerSpec(), ImageConfig())


def test_later_environment_wins_and_home_is_the_users() -> None:
    spec, config = ContainerSpec(env=["A=2", "EMPTY="]), ImageConfig(env=("A=1", "PATH=/bin"))
    made = environment(spec, config, hostname="web", home="/home/app")
    assert made == ("PATH=/bin", "HOSTNAME=web", "A=2", "EMPTY=", "HOME=/home/app")


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", [], ContainerUser(0, 0, (), "/root")),
        ("app", [], ContainerUser(1000, 1001, (29,), "/home/app")),
        ("1000", ["50"], ContainerUser(1000, 1001, (29, 50), "/home/app")),
        ("app:audio", [], ContainerUser(1000, 29, (), "/home/app")),
        ("4242", ["audio"], ContainerUser(4242, 0, (29,), "/")),
        ("4242:4243", [], ContainerUser(4242, 4243, (), "/")),
    ],
)
def test_users_by_name_and_number(user: str, groups: list[str], expected: ContainerUser) -> None:
    assert resolve_user(user, groups, passwd=PASSWD, group=GROUP) == expected


@pytest.mark.parametrize("user", ["nobody", "app:nogroup", "-1", "99999999999"])
def test_unknown_users_are_bad_input(user: str) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.user: .* not found in the image's /etc/"):
        resolve_user(user, [], passwd=PASSWD, group=GROUP)


def capabilities(add: list[str], drop: list[str], *, privileged: bool = False) -> tuple[str, ...]:
    available = set(ALL) - {"CAP_SYS_BOOT"}
    return resolve_capabilities(add, drop, privileged=privileged, available=available)


def test_capabilities() -> None:
    assert set(capabilities([], [])) == DEFAULT == capabilities_of(0xA80425FB)
    assert set(capabilities([], [], privileged=True)) == set(ALL) - {"CAP_SYS_BOOT"}
    assert capabilities(["net_admin"], ["ALL"]) == ("CAP_NET_ADMIN",)
    assert set(capabilities(["ALL"], ["CAP_BPF"])) == set(ALL) - {"CAP_BPF", "CAP_SYS_BOOT"}
    with pytest.raises(InvalidInput, match=r"spec\.cap_add\[0\]: unknown Linux capability 'FLY'"):
        capabilities(["FLY"], [])


def test_other_users_than_root_hold_no_capability() -> None:
    made = spec_of(user=ContainerUser(1000, 1000, (), "/"))["process"]["capabilities"]
    assert set(made) == {"bounding"}


def test_limits() -> None:
    limits = Resources(nano_cpus=500_000_000, memory_bytes=64 << 20, pids=100)
    made = spec_of(limits=limits)["linux"]["resources"]
    assert made["cpu"] == {"quota": 50_000, "period": 100_000}
    assert made["memory"] == {"limit": 64 << 20, "swap": 64 << 20}
    assert made["pids"] == {"limit": 100}
    assert spec_of()["linux"]["resources"]["pids"] == {"limit": 4096}


@pytest.mark.parametrize(
    ("netns_fd", "expected"),
    [(None, [{"type": "network"}]), (-1, []), (12, [{"type": "network", "path": "/proc/7/fd/12"}])],
)
def test_network_namespace(netns_fd: int | None, expected: list[dict[str, str]]) -> None:
    namespaces = spec_of(netns_fd=netns_fd)["linux"]["namespaces"]
    assert [entry for entry in namespaces if entry["type"] == "network"] == expected
    assert {entry["type"] for entry in namespaces} >= {"pid", "ipc", "uts", "mount", "cgroup"}


def test_privileged_lifts_the_fences() -> None:
    linux = spec_of(privileged=True)["linux"]
    assert {"seccomp", "maskedPaths", "readonlyPaths"}.isdisjoint(linux)
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "seccomp" not in spec_of(seccomp="unconfined")["linux"]


def test_mounts_are_ordered_parents_first() -> None:
    mounts = [
        Mount(type=Mount.TMPFS, target="/data/cache", tmpfs_bytes=1024, tmpfs_mode=0o700),
        Mount(type=Mount.BIND, source="/srv", target="/data", read_only=True),
    ]
    made = spec_of(mounts=mounts)["mounts"][-2:]
    assert [entry["destination"] for entry in made] == ["/data", "/data/cache"]
    assert "rro" in made[0]["options"]
    assert {"mode=700", "size=1024"} <= set(made[1]["options"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["nosuid", "nodev", "noexec"]),
        (["exec", "uid=7", "gid=8"], ["nosuid", "nodev", "exec", "uid=7", "gid=8"]),
        (["noexec", "noatime"], ["nosuid", "nodev", "noexec", "noatime"]),
    ],
)
def test_options_of_memory(options: list[str], expected: list[str]) -> None:
    (made,) = spec_of(mounts=[Mount(type=Mount.TMPFS, target="/x", tmpfs_options=options)])["mounts"][-1:]
    assert made["options"] == [*expected, "rw", "mode=1777"]


def test_a_mount_that_follows_the_host() -> None:
    made = spec_of(mounts=[Mount(type=Mount.BIND, source="/s", target="/x", propagation="rslave")])
    assert made["mounts"][-1]["options"] == ["rbind", "rslave", "rw"]
    assert made["linux"]["rootfsPropagation"] == "rslave"
    assert "rootfsPropagation" not in spec_of()["linux"]


@pytest.mark.parametrize(
    ("recursive", "new_kernel", "expected"),
    [
        ("", True, ["rbind", "rprivate", "rro"]),
        ("", False, ["rbind", "rprivate", "ro"]),
        ("readonly", True, ["rbind", "rprivate", "rro"]),
        ("writable", True, ["rbind", "rprivate", "ro"]),
        ("disabled", True, ["bind", "private", "ro"]),
    ],
)
def test_a_read_only_mount_and_what_is_mounted_below_it(recursive: str, new_kernel: bool, expected: list[str]) -> None:
    host = replace(HOST, recursive_read_only=new_kernel)
    mount = Mount(type=Mount.BIND, source="/s", target="/x", read_only=True, recursive=recursive)
    assert spec_of(mounts=[mount], host=host)["mounts"][-1]["options"] == expected


def test_what_the_kernel_cannot_promise_is_told() -> None:
    mount = Mount(type=Mount.BIND, source="/s", target="/x", read_only=True, recursive="readonly")
    with pytest.raises(
        InvalidInput, match=r"spec\.mounts\[0\]\.recursive: recursive read-only mounts require Linux 5\.12"
    ):
        spec_of(mounts=[mount], host=replace(HOST, recursive_read_only=False))


def test_no_bound_on_processes() -> None:
    assert "pids" not in spec_of(limits=Resources(pids=-1))["linux"]["resources"]


def test_block_devices_by_number() -> None:
    desired = BlockIo(weight=300)
    desired.weights.add(path="/dev/sda", amount=400)
    desired.read_bps.add(path="/dev/sdb", amount=1024)
    desired.write_iops.add(path="/dev/sdb", amount=30)
    assert block_io_section(desired, {"/dev/sda": (8, 0), "/dev/sdb": (8, 16)}) == {
        "weight": 300,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 400}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 1024}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 30}],
    }
    assert block_io_section(BlockIo(), {}) == {}


def test_what_is_no_block_device_is_bad_input() -> None:
    desired = BlockIo()
    desired.read_bps.add(path="/dev/null", amount=1)
    desired.write_bps.add(path="/dev/nowhere", amount=1)
    with pytest.raises(InvalidInput) as reported:
        device_numbers(desired)
    assert [fault.path for fault in reported.value.faults] == [
        "spec.block_io.read_bps[0].path",
        "spec.block_io.write_bps[0].path",
    ]


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"mounts": [Mount(type=Mount.BIND, source="x", target="/x")]}, r"spec\.mounts\[0\]\.source"),
        ({"mounts": [Mount(type=Mount.TMPFS, target="/")]}, r"spec\.mounts\[0\]\.target"),
        ({"mounts": [Mount(target="/x")]}, r"spec\.mounts\[0\]\.type"),
        ({"ulimits": [Ulimit(name="nothing")]}, r"spec\.ulimits\[0\]\.name"),
        ({"sysctls": {"kernel.panic": "1"}}, r"spec\.sysctls\[kernel\.panic\]"),
        ({"seccomp": "other"}, r"spec\.seccomp"),
    ],
)
def test_bad_input_says_where(spec: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidInput, match=where):
        spec_of(**spec)


def test_ulimits() -> None:
    made = spec_of(ulimits=[Ulimit(name="core", soft=0, hard=-1)])["process"]["rlimits"]
    assert made == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
    ]


def test_seccomp_opens_with_capabilities_and_denies_the_rest() -> None:
    def allowed(*capabilities: str) -> set[str]:
        section = seccomp_section(load_profile(), machine="x86_64", capabilities=capabilities)
        rules = [rule for rule in section["syscalls"] if "args" not in rule and rule["action"] == "SCMP_ACT_ALLOW"]
        return {name for rule in rules for name in rule["names"]}

    assert {"read", "execve", "openat", "ptrace"} <= allowed()
    assert allowed().isdisjoint({"mount", "unshare", "keyctl", "io_uring_setup", "bpf", "clone", "clone3", "reboot"})
    assert {"mount", "clone3", "setns"} <= allowed("CAP_SYS_ADMIN")
    assert "reboot" in allowed("CAP_SYS_BOOT")
    assert "keyctl" not in allowed(*ALL)
