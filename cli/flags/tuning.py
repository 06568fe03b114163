"""Flags of the rarer settings of a container. Names and forms are those of `docker service create` and `docker run`."""

from cli.flags.block_io import weigh
from cli.flags.cdi import release_device, reserve_device
from cli.flags.entries import drop
from cli.flags.logs import set_log_driver
from cli.flags.numbers import count
from cli.flags.scalars import Apply, Scalar, choice
from cli.render.failure import warn
from cli.render.units import parse_bytes
from shoal.api.v1.container_pb2 import Device, HostNamespaces
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.cdi_names import split
from shoal.errors import InvalidInput

MODES = {"private": 0, "host": 1}
REFUSED = {
    "--cgroup-parent": "every container has its own cgroup below Shoal's; give --limit-cpu and --limit-memory",
    "--cgroupns": "every container has a cgroup namespace of its own",
    "--credential-spec": "it is for Windows",
    "--isolation": "it is for Windows",
    "--mac-address": "networks are routed, so nobody sees a container's; ask for an address by --network name=…,ip=…",
    "--runtime": "the node chooses its OCI runtime",
    "--storage-opt": "the size of a root file system cannot be bound; mount a volume or a tmpfs",
}
"""Flags that Docker has and Shoal does not honour, and why."""
MEANINGLESS = {
    "--with-registry-auth": "each node has its own credentials (`shoal-agent run --registries-file`)",
}
"""Switches that Docker has and that change nothing here, and why; they are warned of."""


def parse_device(text: str) -> Device:
    """A device in "/dev/ttyUSB0[:/dev/tty0][:rwm]".

    Raises:
        InvalidInput: it does not begin with a path.
    """
    source, *rest = text.split(":")
    if not source.startswith("/") or len(rest) > 2:
        raise InvalidInput(f"{text!r} is not of the form /dev/source[:/dev/target][:rwm], or vendor.com/class=name")
    target = rest.pop(0) if rest and rest[0].startswith("/") else ""
    return Device(source=source, target=target, permissions=rest[0] if rest else "")


def add_device(spec: ServiceSpec, text: str) -> None:
    """Give the container a device; a later one takes the place of an earlier one with the same source.

    One of the Container Device Interface (`nvidia.com/gpu=0`) is reserved on the node by its name.
    """
    if (named := split(text)) is not None:
        reserve_device(spec, *named)
        return
    device = parse_device(text)
    drop(spec.task.container.devices, lambda other: other.source == device.source)
    spec.task.container.devices.append(device)


def remove_device(spec: ServiceSpec, source: str) -> None:
    """Take a device away.

    Raises:
        InvalidInput: it was not there.
    """
    if (named := split(source)) is not None:
        found = release_device(spec, *named)
    else:
        found = drop(spec.task.container.devices, lambda device: device.source == source)
    if not found:
        raise InvalidInput(f"--device-rm: there is no {source!r}")


def set_swap(spec: ServiceSpec, text: str) -> None:
    """Memory and swap together, "-1" for no bound on swap."""
    spec.task.container.memory.swap_bytes = -1 if text == "-1" else parse_bytes(text)


def share(spec: ServiceSpec, namespace: str, mode: str) -> None:
    """Have a namespace of the node's ("host") or one of its own.

    Raises:
        InvalidInput: another mode; sharing with containers is not possible across nodes.
    """
    shared: HostNamespaces = spec.task.container.host_namespaces
    setattr(shared, namespace, choice(namespace, mode, MODES) == 1)


def _sharing(namespace: str) -> Apply:
    return lambda spec, value: share(spec, namespace, value)


def users_of_host(_: ServiceSpec, mode: str) -> None:
    """Containers have the node's user ids anyway; nothing else is possible."""
    if mode != "host":
        raise InvalidInput(f"{mode!r} is not supported; containers have the node's user ids (host)")


def _cpu(field: str, most: int = 10**12) -> Apply:
    return lambda spec, value: setattr(spec.task.container.cpu, field, count(field, value, most))


def _cpuset(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container.cpu, field, value)


def _swappiness(spec: ServiceSpec, value: str) -> None:
    memory = spec.task.container.memory
    if value == "-1":
        memory.ClearField("swappiness")
    else:
        memory.swappiness = count("--memory-swappiness", value, 100)


def _soft_limit(spec: ServiceSpec, value: str) -> None:
    spec.task.container.memory.reservation_bytes = parse_bytes(value)


def _no_oom_kill(spec: ServiceSpec, value: str) -> None:
    spec.task.container.memory.oom_kill_disable = value == "true"


def _oom_score(spec: ServiceSpec, value: str) -> None:
    try:
        spec.task.container.oom_score_adj = int(value)
    except ValueError:
        raise InvalidInput(f"--oom-score-adj: {value!r} is not a number from -1000 to 1000") from None


def _flag(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container, field, value == "true")


def _refuse(flag: str, why: str) -> Apply:
    def apply(_: ServiceSpec, __: str) -> None:
        raise InvalidInput(f"{flag} is not supported: {why}")

    return apply


def _pass_over(flag: str, why: str) -> Apply:
    def apply(_: ServiceSpec, value: str) -> None:
        if value == "true":
            warn(f"{flag} changes nothing: {why}")

    return apply


def _domain(spec: ServiceSpec, value: str) -> None:
    spec.task.container.domainname = value


TUNING_SCALARS = (
    Scalar("--init", "", "Run an init as process 1: it reaps zombies and passes signals on.", _flag("init")),
    Scalar("--interactive", "", "Keep standard input open.", _flag("stdin_open")),
    Scalar("--domainname", "NAME", "NIS domain name in the container.", _domain),
    Scalar("--pid", "MODE", "Namespace of processes: private or host.", _sharing("pid")),
    Scalar("--ipc", "MODE", "Namespace of shared memory: private or host.", _sharing("ipc")),
    Scalar("--uts", "MODE", "Namespace of the host name: private or host.", _sharing("uts")),
    Scalar("--userns", "MODE", "Namespace of users: host.", users_of_host),
    Scalar("--cpuset-cpus", "LIST", "CPUs that it may run on, like 0-2,7.", _cpuset("cpuset_cpus")),
    Scalar("--cpuset-mems", "LIST", "Memory nodes that it may use.", _cpuset("cpuset_mems")),
    Scalar("--cpu-shares", "WEIGHT", "Weight against others when CPUs are busy (1024).", _cpu("shares")),
    Scalar("--cpu-period", "MICROSECONDS", "Period of the CPU limit (100000).", _cpu("period_us")),
    Scalar("--cpu-quota", "MICROSECONDS", "CPU time in each period.", _cpu("quota_us")),
    Scalar("--memory-swap", "SIZE", "Memory and swap together; -1 = unlimited swap.", set_swap),
    Scalar("--memory-swappiness", "NUMBER", "0 to 100; -1 for the node's.", _swappiness),
    Scalar("--memory-reservation", "SIZE", "Memory that it keeps while others run short.", _soft_limit),
    Scalar("--oom-kill-disable", "", "Let processes wait for memory in place of killing them.", _no_oom_kill),
    Scalar("--oom-score-adj", "NUMBER", "-1000 to 1000: who is killed first when the node runs short.", _oom_score),
    Scalar("--blkio-weight", "NUMBER", "10 to 1000: weight against others when block devices are busy.", weigh),
    Scalar("--log-driver", "DRIVER", "Keep a log on the node (local, json-file) or none (none).", set_log_driver),
    *(Scalar(flag, "VALUE", f"Not supported: {why}.", _refuse(flag, why)) for flag, why in REFUSED.items()),
    *(Scalar(flag, "", f"Changes nothing: {why}.", _pass_over(flag, why)) for flag, why in MEANINGLESS.items()),
)
