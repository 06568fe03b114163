"""Every flag of `docker run` says something about the container, or is refused by name."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from google.protobuf import text_format

from cli.commands.container.create import create
from cli.commands.container.run import run
from cli.flags.container.container_draft import ContainerDraft
from cli.flags.container.container_fault_flags import _FLAGS, faults_by_container_flag
from cli.flags.container.container_options import FLAGS, draft_of
from cli.flags.container.container_values import REFUSED
from shoal.errors import Fault

_LINES = (Path(__file__).parent / "docker_run_flags.txt").read_text().splitlines()
DOCKER = [name for line in _LINES if not line.startswith("#") for name in line.split()]

SAMPLES: dict[str, tuple[str, str]] = {
    "--add-host": ("db:192.0.2.7", 'extra_hosts: "db:192.0.2.7"'),
    "--annotation": ("a=b", 'annotations { key: "a" value: "b" }'),
    "--blkio-weight": ("300", "block_io { weight: 300 }"),
    "--blkio-weight-device": ("/dev/sda:200", 'weights { path: "/dev/sda" amount: 200 }'),
    "--cap-add": ("NET_ADMIN", 'cap_add: "NET_ADMIN"'),
    "--cap-drop": ("CHOWN", 'cap_drop: "CHOWN"'),
    "--cgroupns": ("private", ""),
    "--cpu-period": ("50000", "cpu { period_us: 50000 }"),
    "--cpu-quota": ("20000", "cpu { quota_us: 20000 }"),
    "--cpu-shares": ("512", "cpu { shares: 512 }"),
    "--cpus": ("1.5", "limits { nano_cpus: 1500000000 }"),
    "--cpuset-cpus": ("0-1", 'cpuset_cpus: "0-1"'),
    "--cpuset-mems": ("0", 'cpuset_mems: "0"'),
    "--device": ("/dev/fuse:/dev/fuse:rw", 'devices { source: "/dev/fuse" target: "/dev/fuse" permissions: "rw" }'),
    "--device-cgroup-rule": ("c 10:200 rwm", 'device_cgroup_rules: "c 10:200 rwm"'),
    "--device-read-bps": ("/dev/sda:1m", 'read_bps { path: "/dev/sda" amount: 1048576 }'),
    "--device-read-iops": ("/dev/sda:10", 'read_iops { path: "/dev/sda" amount: 10 }'),
    "--device-write-bps": ("/dev/sda:1k", 'write_bps { path: "/dev/sda" amount: 1024 }'),
    "--device-write-iops": ("/dev/sda:10", 'write_iops { path: "/dev/sda" amount: 10 }'),
    "--disable-content-trust": ("", ""),
    "--dns": ("192.0.2.53", 'dns { nameservers: "192.0.2.53" }'),
    "--dns-option": ("ndots:2", 'dns { options: "ndots:2" }'),
    "--dns-search": ("example.org", 'dns { search: "example.org" }'),
    "--domainname": ("example.org", 'domainname: "example.org"'),
    "--entrypoint": ("/bin/sh -c", 'entrypoint: "/bin/sh -c"'),
    "--env": ("A=1", 'env: "A=1"'),
    "--expose": ("80", ""),
    "--gpus": ("2", 'generic_resources { kind: "nvidia.com/gpu" count: 2 }'),
    "--group-add": ("audio", 'groups: "audio"'),
    "--health-cmd": ("true", 'test: "CMD-SHELL" test: "true"'),
    "--health-interval": ("5s", "interval_ms: 5000"),
    "--health-retries": ("4", "retries: 4"),
    "--health-start-interval": ("1s", "start_interval_ms: 1000"),
    "--health-start-period": ("1m", "start_period_ms: 60000"),
    "--health-timeout": ("2s", "timeout_ms: 2000"),
    "--hostname": ("work", 'hostname: "work"'),
    "--init": ("", "init: true"),
    "--interactive": ("", "stdin_open: true"),
    "--ipc": ("host", "host_namespaces { ipc: true }"),
    "--isolation": ("default", ""),
    "--label": ("a=b", 'labels { key: "a" value: "b" }'),
    "--link": ("db:database", 'links: "db:database"'),
    "--log-driver": ("none", "log { disabled: true }"),
    "--log-opt": ("max-size=1m", "log { max_bytes: 1048576 }"),
    "--mac-address": ("02:42:AC:11:00:02", 'mac_address: "02:42:ac:11:00:02"'),
    "--memory": ("64M", "limits { memory_bytes: 67108864 }"),
    "--memory-reservation": ("32M", "reservation_bytes: 33554432"),
    "--memory-swap": ("-1", "swap_bytes: -1"),
    "--memory-swappiness": ("10", "swappiness: 10"),
    "--mount": ("type=tmpfs,target=/t", 'mounts { type: TMPFS target: "/t" }'),
    "--name": ("db", 'name: "db"'),
    "--network": ("name=front,alias=db", 'networks { network: "front" aliases: "db" }'),
    "--no-healthcheck": ("", "healthcheck { disabled: true }"),
    "--oom-kill-disable": ("", "oom_kill_disable: true"),
    "--oom-score-adj": ("-5", "oom_score_adj: -5"),
    "--pid": ("host", "host_namespaces { pid: true }"),
    "--pids-limit": ("0", "limits { pids: -1 }"),
    "--platform": ("linux/arm64/v8", 'constraints: "node.platform.arch == arm64"'),
    "--privileged": ("", "privileged: true"),
    "--publish": ("127.0.0.1:8080:80/udp", 'target: 80 published: 8080 mode: INGRESS host_address: "127.0.0.1"'),
    "--publish-all": ("", ""),
    "--read-only": ("", "read_only: true"),
    "--restart": ("on-failure:3", "restart { condition: ON_FAILURE max_attempts: 3 }"),
    "--rm": ("", "auto_remove: true"),
    "--security-opt": ("no-new-privileges", "no_new_privileges: true"),
    "--shm-size": ("1G", "shm_bytes: 1073741824"),
    "--runtime": ("crun", 'runtime: "crun"'),
    "--stop-signal": ("SIGINT", 'stop_signal: "SIGINT"'),
    "--stop-timeout": ("3", "stop_grace_ms: 3000"),
    "--sysctl": ("net.core.somaxconn=9", 'sysctls { key: "net.core.somaxconn" value: "9" }'),
    "--tmpfs": ("/run:size=1m", 'mounts { type: TMPFS target: "/run" tmpfs_bytes: 1048576 }'),
    "--tty": ("", "tty: true"),
    "--ulimit": ("nofile=10:20", 'ulimits { name: "nofile" soft: 10 hard: 20 }'),
    "--user": ("1000:1000", 'user: "1000:1000"'),
    "--userns": ("host", ""),
    "--uts": ("host", "host_namespaces { uts: true }"),
    "--volume": ("data:/data:ro", 'mounts { type: VOLUME source: "data" target: "/data" read_only: true'),
    "--volume-driver": ("nfs", ""),
    "--volumes-from": ("db:ro", ""),
    "--workdir": ("/srv", 'working_dir: "/srv"'),
}  # fmt: skip
"""A value of each flag, and what it puts into the request; empty: nothing by itself."""

OF_PLACEMENT = {
    "--constraint": ("node.hostname == h1", 'constraints: "node.hostname == h1"'),
    "--node": ("h2", 'node: "h2"'),
    "--reschedule": ("on-node-failure", "reschedule: ON_NODE_FAILURE"),
    "--reserve-cpu": ("0.5", "reservations { nano_cpus: 500000000 }"),
    "--reserve-memory": ("64M", "reservations { memory_bytes: 67108864 }"),
}
"""Flags that Docker does not have."""

OF_FIRST_NETWORK = {
    "--network-alias": ("db", 'networks { network: "front" aliases: "db" }'),
    "--ip": ("10.0.0.7", 'networks { network: "front" address: "10.0.0.7" }'),
    "--ip6": ("fd00::7", 'networks { network: "front" address6: "fd00::7" }'),
}
OF_FILES = {"--env-file", "--label-file"}
OF_COMMANDS = {"--attach", "--cidfile", "--detach", "--detach-keys", "--help", "--pull", "--quiet", "--sig-proxy"}
"""How the command itself behaves; `test_run` has them."""


def parsed(*words: str) -> tuple[ContainerDraft, list[str]]:
    """The draft of a command line, and its faults as they are shown."""
    context = run.make_context("run", [*words, "image"])
    draft, faults = draft_of(context.params)
    return draft, [str(fault) for fault in faults]


def request_text(draft: ContainerDraft) -> str:
    return text_format.MessageToString(draft.finished(), as_one_line=True)


def words_of(flag: str, value: str) -> Sequence[str]:
    return (flag, value) if value else (flag,)


def flags(command: click.Command) -> set[str]:
    return {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}


def test_run_and_create_have_all_flags_of_docker() -> None:
    assert set(DOCKER) - flags(run) - {"--help"} == set()
    assert set(DOCKER) - flags(create) == {"--help", "--detach", "-d", "--detach-keys", "--sig-proxy"}


def test_every_flag_of_docker_is_one_of_these() -> None:
    known = {*SAMPLES, *OF_FIRST_NETWORK, *OF_FILES, *OF_COMMANDS, *REFUSED}
    assert {flag for flag in DOCKER if flag.startswith("--")} == known


@pytest.mark.parametrize("flag", [*SAMPLES, *OF_PLACEMENT])
def test_what_a_flag_says_is_in_the_request(flag: str) -> None:
    value, expected = (SAMPLES | OF_PLACEMENT)[flag]
    draft, faults = parsed(*words_of(flag, value))
    assert faults == []
    assert expected in request_text(draft)


@pytest.mark.parametrize("flag", OF_FIRST_NETWORK)
def test_settings_of_the_first_network(flag: str) -> None:
    value, expected = OF_FIRST_NETWORK[flag]
    draft, faults = parsed("--network", "front", "--network", "back", flag, value)
    assert faults == []
    assert expected in request_text(draft)
    assert parsed(flag, value)[1] == ["--network-alias, --ip and --ip6 need --network NAME"]


def test_an_address_that_is_given_twice() -> None:
    _, faults = parsed("--network", "name=front,ip=10.0.0.6", "--ip", "10.0.0.7")
    assert faults == ["--ip cannot be combined with the same option of --network front"]


@pytest.mark.parametrize("flag", REFUSED)
def test_what_is_not_honoured_is_named(flag: str) -> None:
    _, (fault,) = parsed(*words_of(flag, "1" if REFUSED[flag][0] else ""))
    assert fault.startswith(f"{flag}: not supported: ")


BAD = [
    ("--cgroupns", "host"), ("--isolation", "hyperv"), ("--restart", "sometimes"), ("--restart", "always:3"),
    ("--reschedule", "never"), ("--memory", "much"), ("--cpus", "two"), ("--pids-limit", "-2"),
    ("--stop-timeout", "-2"), ("--gpus", "all"), ("--gpus", "device=0,count=1"), ("--platform", "linux"),
    ("--volume", "a:/b:odd"), ("--tmpfs", "/t:odd"), ("--volumes-from", "db:x"), ("--link", ":x"), ("--link", "a:"),
    ("--add-host", "db"), ("--add-host", "db:300.1.1.1"), ("--env", "=1"), ("--label", "=1"), ("--expose", "1:2"),
    ("--publish", "x"), ("--network", "name=a,gw-priority=1"), ("--network", "alias=x"),
    ("--network", "mac-address=02:42:ac:11:00:02"),
    ("--ipc", "none-such"), ("--pid", "x"), ("--uts", "x"), ("--userns", "x"), ("--security-opt", "label=x"),
    ("--log-driver", "syslog"), ("--ulimit", "nofile"), ("--sysctl", "=1"), ("--blkio-weight", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "value"), BAD)
def test_a_fault_is_one_line_that_begins_with_the_flag(flag: str, value: str) -> None:
    _, (fault,) = parsed(f"{flag}={value}")
    assert fault.startswith(f"{flag}: ")
    assert "\n" not in fault


def test_faults_of_all_flags_are_told_at_once() -> None:
    _, faults = parsed(*itertools.chain(*((f"{flag}={value}",) for flag, value in BAD)))
    assert {fault.partition(":")[0] for fault in faults} == {flag for flag, _ in BAD}


def test_short_names_and_older_names() -> None:
    draft, faults = parsed("-itP", "-m64M", "-hwork", "-c8", "--net=front")
    assert faults == []
    text = request_text(draft)
    assert draft.publishes_all
    for part in ("stdin_open: true", "tty: true", "memory_bytes: 67108864", 'hostname: "work"', "shares: 8", '"front"'):
        assert part in text


def test_variables_without_a_value_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERE", "x")
    monkeypatch.delenv("NOWHERE", raising=False)
    (tmp_path / "env").write_text("# comment\nHERE\nB=2\nNOWHERE\n")
    (tmp_path / "labels").write_text("a=b\nc\n")
    draft, faults = parsed(
        "--env-file", f"{tmp_path}/env", "-e", "NOWHERE", "-e", "B=3", "--label-file", f"{tmp_path}/labels"
    )
    assert faults == []
    assert list(draft.spec.task.container.env) == ["HERE=x", "B=3"]
    assert dict(draft.spec.labels) == {"a": "b", "c": ""}


def test_paths_of_volumes_begin_at_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    draft, _ = parsed("-v", "./a/../b:/b", "-v", "/cache", "--volume-driver", "nfs")
    bind, anonymous = draft.spec.task.container.mounts
    assert (bind.source, bind.create_source) == (f"{tmp_path}/b", True)
    assert (anonymous.source, anonymous.volume.driver) == ("", "nfs")


def test_a_range_for_one_port_is_a_choice() -> None:
    draft, _ = parsed("-p", "8000-8010:80")
    (port,) = draft.spec.endpoint.ports
    assert (port.published, port.published_first, port.published_last) == (0, 8000, 8010)


def test_namespaces_of_other_containers() -> None:
    draft, faults = parsed("--pid", "container:db", "--ipc", "container:db", "--network", "container:db")
    assert faults == []
    container = draft.spec.task.container
    assert (container.pid_container, container.ipc_container) == ("db", "db")
    assert draft.spec.task.networks[0].network == "container:db"
    assert [fault.partition(":")[0] for fault in parsed("--pid", "container:", "--uts", "container:db")[1]] == [
        "--pid",
        "--uts",
    ]


def test_a_container_has_one_mac_address() -> None:
    draft, faults = parsed("--network", "name=front,mac-address=02:42:ac:11:00:02,alias=db", "--network", "back")
    assert faults == []
    assert draft.spec.task.container.mac_address == "02:42:ac:11:00:02"
    assert list(draft.spec.task.networks[0].aliases) == ["db"]
    _, (fault,) = parsed("--network", "name=front,mac-address=02:42:ac:11:00:02", "--mac-address", "02:42:ac:11:00:03")
    assert fault.startswith("--mac-address: ")


def test_a_stop_that_never_kills() -> None:
    draft, _ = parsed("--stop-timeout", "-1")
    assert draft.spec.task.container.stop_grace_ms == -1


def test_an_empty_entrypoint_is_kept_as_one() -> None:
    draft, _ = parsed("--entrypoint", "")
    assert list(draft.spec.task.container.entrypoint) == [""]


def test_switches_take_values_of_go() -> None:
    from cli.boolean_flags import normalize_switches

    context = click.Context(run)
    words = normalize_switches(run, ["--rm=false", "--init=1", "--sig-proxy=false", "image", "--rm=x"], context)
    assert words == ["--init", "--no-sig-proxy", "image", "--rm=x"]


def test_faults_of_the_manager_are_told_by_flag() -> None:
    reported = faults_by_container_flag(
        [
            Fault("task.container.mounts[2].target", "must be absolute"),
            Fault("ports[0].published", "is taken"),
            Fault("task.limits.memory_bytes", "is less than task.reservations.memory_bytes"),
            Fault("task.container.healthcheck.interval_ms", "is too short"),
            Fault("node", "not found"),
            Fault("task.unheard_of", "is odd"),
        ]
    )
    paths = ["--volume", "--publish", "--memory", "--health-interval", "--node", "task.unheard_of"]
    assert [fault.path for fault in reported] == paths


def test_every_flag_that_is_told_is_one() -> None:
    assert {flag for flag in _FLAGS.values() if flag.startswith("--")} - flags(run) == set()


def test_help_texts_are_sentences() -> None:
    assert [flag.flag for flag in FLAGS if not flag.help.endswith(".")] == []
