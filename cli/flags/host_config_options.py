"""Flags of what Docker has in HostConfig, as in `docker service create` and `docker run`."""

from cli.flags.block_io_options import set_weight
from cli.flags.value_options import Apply, ValueOption
from cli.render.error_lines import warn
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.cdi_names import split_name
from shoal.errors import InvalidInput
from shoal.spec_parsers.cdi_reservations import release_device
from shoal.spec_parsers.host_config import check_userns_mode, set_host_namespace, set_swap
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.log_drivers import set_log_driver
from shoal.spec_parsers.repeated_fields import remove_matching
from shoal.spec_parsers.units import parse_bytes

UNSUPPORTED = {
    "--cgroup-parent": "containers run in cgroups managed by Shoal; use --limit-cpu and --limit-memory",
    "--cgroupns": "containers always have a private cgroup namespace",
    "--credential-spec": "it only applies to Windows",
    "--isolation": "it only applies to Windows",
    "--mac-address": "networks are routed; request a fixed address with --network name=…,ip=…",
    "--storage-opt": "the size of the root filesystem cannot be limited; use a volume or tmpfs mount",
}
"""Flags that Docker has and Shoal does not honour, and why."""


NO_EFFECT = {
    "--with-registry-auth": "each node uses its own registry credentials (`shoal-agent run --registries-file`)",
}
"""Boolean flags that Docker has and that have no effect here, and why; they cause a warning."""


def remove_device(spec: ServiceSpec, source: str) -> None:
    """Take a device away.

    Raises:
        InvalidInput: it was not there.
    """
    if (named := split_name(source)) is not None:
        found = release_device(spec, *named)
    else:
        found = remove_matching(spec.task.container.devices, lambda device: device.source == source)
    if not found:
        raise InvalidInput(f"{source!r} not found")


def _sharing(namespace: str) -> Apply:
    return lambda spec, value: set_host_namespace(spec, namespace, value)


def _cpu(field: str, most: int = 10**12) -> Apply:
    return lambda spec, value: setattr(spec.task.container.cpu, field, parse_count(value, most))


def _cpuset(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container.cpu, field, value)


def _swappiness(spec: ServiceSpec, value: str) -> None:
    memory = spec.task.container.memory
    if value == "-1":
        memory.ClearField("swappiness")
    else:
        memory.swappiness = parse_count(value, 100)


def _soft_limit(spec: ServiceSpec, value: str) -> None:
    spec.task.container.memory.reservation_bytes = parse_bytes(value)


def _no_oom_kill(spec: ServiceSpec, value: str) -> None:
    spec.task.container.memory.oom_kill_disable = value == "true"


def _oom_score(spec: ServiceSpec, value: str) -> None:
    try:
        spec.task.container.oom_score_adj = int(value)
    except ValueError:
        raise InvalidInput(f"{value!r} must be an integer from -1000 to 1000") from None


def _flag(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container, field, value == "true")


def _unsupported(why: str) -> Apply:
    def apply(_: ServiceSpec, __: str) -> None:
        raise InvalidInput(f"not supported: {why}")

    return apply


def _ignore(flag: str, why: str) -> Apply:
    def apply(_: ServiceSpec, value: str) -> None:
        if value == "true":
            warn(f"{flag} has no effect: {why}")

    return apply


def _domain(spec: ServiceSpec, value: str) -> None:
    spec.task.container.domainname = value


HOST_CONFIG_OPTIONS = (
    ValueOption("--init", "", "Use an init inside the container to forward signals and reap processes.", _flag("init")),
    ValueOption("--interactive", "", "Keep STDIN open.", _flag("stdin_open")),
    ValueOption("--domainname", "NAME", "Container NIS domain name.", _domain),
    ValueOption("--pid", "MODE", "PID namespace: private or host.", _sharing("pid")),
    ValueOption("--ipc", "MODE", "IPC namespace: private or host.", _sharing("ipc")),
    ValueOption("--uts", "MODE", "UTS namespace: private or host.", _sharing("uts")),
    ValueOption("--userns", "MODE", "User namespace: host.", check_userns_mode),
    ValueOption("--cpuset-cpus", "LIST", "CPUs in which to allow execution, such as 0-2,7.", _cpuset("cpuset_cpus")),
    ValueOption("--cpuset-mems", "LIST", "Memory nodes (MEMs) in which to allow execution.", _cpuset("cpuset_mems")),
    ValueOption("--cpu-shares", "WEIGHT", "CPU shares (relative weight, default 1024).", _cpu("shares")),
    ValueOption("--cpu-period", "MICROSECONDS", "Limit CPU CFS period (default 100000).", _cpu("period_us")),
    ValueOption("--cpu-quota", "MICROSECONDS", "Limit CPU CFS quota.", _cpu("quota_us")),
    ValueOption("--memory-swap", "SIZE", "Limit memory plus swap; -1 = unlimited swap.", set_swap),
    ValueOption("--memory-swappiness", "NUMBER", "Memory swappiness, 0 to 100; -1 = the node's.", _swappiness),
    ValueOption("--memory-reservation", "SIZE", "Memory soft limit.", _soft_limit),
    ValueOption("--oom-kill-disable", "", "Disable the OOM killer.", _no_oom_kill),
    ValueOption("--oom-score-adj", "NUMBER", "OOM score adjustment, -1000 to 1000.", _oom_score),
    ValueOption("--blkio-weight", "NUMBER", "Block IO weight (relative), 10 to 1000.", set_weight),
    ValueOption("--log-driver", "DRIVER", "Logging driver: local, json-file or none.", set_log_driver),
    *(ValueOption(flag, "VALUE", f"Not supported: {why}.", _unsupported(why)) for flag, why in UNSUPPORTED.items()),
    *(ValueOption(flag, "", f"No effect: {why}.", _ignore(flag, why)) for flag, why in NO_EFFECT.items()),
)
