"""Flags of `shoal run` that set one value. Most are those of services, under Docker's names."""

from collections.abc import Iterable

from cli.flags.container.container_draft import Apply, ContainerDraft, ContainerFlag, of_spec, refuse
from cli.flags.health_options import HEALTH_OPTIONS
from cli.flags.host_config_options import HOST_CONFIG_OPTIONS, UNSUPPORTED
from cli.flags.value_options import VALUE_OPTIONS, ValueOption
from shoal.errors import InvalidInput
from shoal.networks.network_modes import CONTAINER
from shoal.spec_parsers.container_restart import parse_reschedule, parse_restart
from shoal.spec_parsers.gpu_requests import request_gpus
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_bytes, parse_nano_cpus

_SHARED: dict[str, ValueOption] = {
    option.flag: option for option in (*VALUE_OPTIONS, *HOST_CONFIG_OPTIONS, *HEALTH_OPTIONS)
}
_SHORT = {"--cpu-shares": ("-c",), "--hostname": ("-h",), "--interactive": ("-i",)}
"""One-letter names that services do not have."""


def _shared(*flags: str) -> Iterable[ContainerFlag]:
    for flag in flags:
        option = _SHARED[flag]
        short = (option.short,) if option.short else _SHORT.get(flag, ())
        yield ContainerFlag(flag, option.metavar, option.help, of_spec(option.apply), short)


def _name(draft: ContainerDraft, value: str) -> None:
    draft.request.name = value


def _node(draft: ContainerDraft, value: str) -> None:
    draft.request.node = value


def _adopt(draft: ContainerDraft, value: str) -> None:
    draft.request.adopt = value


def _restart(draft: ContainerDraft, value: str) -> None:
    draft.request.definition.restart.CopyFrom(parse_restart(value))


def _reschedule(draft: ContainerDraft, value: str) -> None:
    draft.request.definition.reschedule = parse_reschedule(value)


def _auto_remove(draft: ContainerDraft, value: str) -> None:
    draft.request.definition.auto_remove = value == "true"


def _publish_all(draft: ContainerDraft, value: str) -> None:
    draft.publishes_all = value == "true"


def _cpus(draft: ContainerDraft, value: str) -> None:
    draft.spec.task.limits.nano_cpus = parse_nano_cpus(value)


def _memory(draft: ContainerDraft, value: str) -> None:
    draft.spec.task.limits.memory_bytes = parse_bytes(value)


def _pids(draft: ContainerDraft, value: str) -> None:
    draft.spec.task.limits.pids = -1 if value in ("-1", "0") else parse_count(value)


def _entrypoint(draft: ContainerDraft, value: str) -> None:
    """One word, as Docker has it. An empty one takes the image's away."""
    draft.spec.task.container.entrypoint[:] = [value]


def _stop_timeout(draft: ContainerDraft, value: str) -> None:
    draft.spec.task.container.stop_grace_ms = -1 if value == "-1" else 1000 * parse_count(value)


def _volume_driver(draft: ContainerDraft, value: str) -> None:
    draft.volume_driver = value


def _platform(draft: ContainerDraft, value: str) -> None:
    """A node of this platform: programs of others are not emulated."""
    os, *rest = value.lower().split("/")
    if not (os and 1 <= len(rest) <= 2 and all(rest)):
        raise InvalidInput(f"{value!r} must be in the form OS/ARCH[/VARIANT], such as linux/arm64")
    constraints = draft.spec.task.placement.constraints
    constraints.extend((f"node.platform.os == {os}", f"node.platform.arch == {rest[0]}"))


def _address(draft: ContainerDraft, value: str) -> None:
    draft.address = value


def _address6(draft: ContainerDraft, value: str) -> None:
    draft.address6 = value


def _mac(draft: ContainerDraft, value: str) -> None:
    draft.set_mac(value)


def _cgroup_namespace(_: ContainerDraft, value: str) -> None:
    if value not in ("", "private"):
        raise InvalidInput(f"{value!r} is not supported: {UNSUPPORTED['--cgroupns']}")


def _isolation(_: ContainerDraft, value: str) -> None:
    if value not in ("", "default"):
        raise InvalidInput(f"{value!r} is not supported: it only applies to Windows")


def _namespace(flag: str, own: tuple[str, ...], joined: str = "") -> ContainerFlag:
    """A namespace of its own, which Docker has several words for, or the node's.

    Args:
        joined: field of the container that has another one's, "container:NAME".
    """
    shared = _SHARED[flag]

    def apply(draft: ContainerDraft, value: str) -> None:
        if joined and value.startswith(CONTAINER) and value != CONTAINER:
            setattr(draft.spec.task.container, joined, value.removeprefix(CONTAINER))
        else:
            shared.apply(draft.spec, "private" if value in own else value)

    text = f"{shared.help[:-1]}, or container:NAME." if joined else shared.help
    return ContainerFlag(flag, "MODE", text, apply)


def _ignore(_: ContainerDraft, __: str) -> None:
    """Nothing."""


_WINDOWS = "it only applies to Windows"
_REAL_TIME = "the kernel's real-time scheduling of cgroups is not available to containers"
REFUSED: dict[str, tuple[str, str]] = {
    "--cgroup-parent": ("NAME", "containers run in cgroups managed by Shoal; use --cpus and --memory"),
    "--cpu-count": ("NUMBER", _WINDOWS),
    "--cpu-percent": ("NUMBER", _WINDOWS),
    "--cpu-rt-period": ("MICROSECONDS", _REAL_TIME),
    "--cpu-rt-runtime": ("MICROSECONDS", _REAL_TIME),
    "--io-maxbandwidth": ("SIZE", _WINDOWS),
    "--io-maxiops": ("NUMBER", _WINDOWS),
    "--kernel-memory": ("SIZE", "Linux has no such limit any more; use --memory"),
    "--link-local-ip": ("ADDRESS", "networks are routed; request a fixed address with --ip"),
    "--storage-opt": ("OPTION", UNSUPPORTED["--storage-opt"]),
    "--use-api-socket": ("", "the socket is one of a host; mount it with --volume and --node"),
}
"""Flags that Docker has and Shoal does not honour: what stands for the value, and why."""
_REPEATABLE_REFUSED = ("--link-local-ip", "--storage-opt")


def _refusal(flag: str) -> ContainerFlag:
    metavar, why = REFUSED[flag]
    refused = refuse(why)

    def apply(draft: ContainerDraft, value: str) -> None:
        if value != "false":
            refused(draft, value)

    return ContainerFlag(flag, metavar, f"Not supported: {why}.", apply, repeatable=flag in _REPEATABLE_REFUSED)


def _flag(flag: str, metavar: str, text: str, apply: Apply, *others: str, completes: str = "") -> ContainerFlag:
    return ContainerFlag(flag, metavar, text, apply, others, completes=completes)


CONTAINER_VALUES: tuple[ContainerFlag, ...] = (
    _flag("--name", "NAME", "Name of the container, unique in the cluster (default: two words).", _name),
    _flag("--node", "NODE", "Node to run it on (default: chosen by the cluster).", _node, completes="node"),
    _flag("--reschedule", "WHEN", "When its node is lost: stay (default) or on-node-failure.", _reschedule),
    _flag("--adopt", "ID", "Use the files that a node keeps of a container that the cluster has lost.", _adopt),
    _flag("--restart", "POLICY", "Restart policy: no (default), on-failure[:N], always, unless-stopped.", _restart),
    _flag("--rm", "", "Remove the container and its anonymous volumes when it exits.", _auto_remove),
    _flag("--publish-all", "", "Publish all exposed ports to ports that the cluster chooses.", _publish_all, "-P"),
    _flag("--cpus", "CPUS", "Limit CPUs, such as 0.5.", _cpus),
    _flag("--memory", "SIZE", "Limit memory, such as 64M.", _memory, "-m"),
    _flag("--pids-limit", "NUMBER", "Limit processes and threads; -1 = unlimited.", _pids),
    _flag("--entrypoint", "PROGRAM", 'Override the entrypoint of the image; "" = none.', _entrypoint),
    _flag("--stop-timeout", "SECONDS", "Time to wait before SIGKILL (default 10); -1 = forever.", _stop_timeout),
    _flag("--gpus", "GPUS", "GPUs to reserve: a number, or device=NAME.", of_spec(request_gpus)),
    _flag("--volume-driver", "DRIVER", "Driver of volumes named by --volume.", _volume_driver, completes="driver"),
    _flag("--platform", "OS/ARCH", "Run on a node of this platform.", _platform),
    _flag("--ip", "ADDRESS", "IPv4 address on the first network.", _address),
    _flag("--ip6", "ADDRESS", "IPv6 address on the first network.", _address6),
    _flag("--mac-address", "ADDRESS", "MAC address, such as 02:42:ac:11:00:02.", _mac),
    _flag("--cgroupns", "MODE", "Cgroup namespace: private.", _cgroup_namespace),
    _flag("--isolation", "MODE", "Isolation technology: default.", _isolation),
    _namespace("--pid", ("", "private"), "pid_container"),
    _namespace("--ipc", ("", "private", "shareable"), "ipc_container"),
    _namespace("--uts", ("", "private")),
    *_shared("--user", "--workdir", "--hostname", "--domainname", "--userns", "--stop-signal", "--shm-size"),
    *_shared("--runtime"),
    *_shared("--read-only", "--tty", "--interactive", "--privileged", "--init", "--log-driver"),
    *_shared("--cpu-shares", "--cpu-period", "--cpu-quota", "--cpuset-cpus", "--cpuset-mems", "--blkio-weight"),
    *_shared("--memory-swap", "--memory-swappiness", "--memory-reservation", "--oom-kill-disable", "--oom-score-adj"),
    *_shared("--reserve-cpu", "--reserve-memory"),
    *_shared(*(option.flag for option in HEALTH_OPTIONS)),
    _flag("--disable-content-trust", "", "Has no effect: images are not signed.", _ignore),
    *map(_refusal, REFUSED),
)
