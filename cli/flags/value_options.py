"""Flags of `service create` and `service update` that set one value. Names and forms are Docker's."""

from collections.abc import Callable
from dataclasses import dataclass

from shoal.api.v1.service_pb2 import Endpoint, RestartPolicy, ServiceSpec
from shoal.spec_parsers.choices import ENDPOINT_MODES, RESTART_CONDITIONS, parse_choice, split_command
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_bytes, parse_duration_ms, parse_nano_cpus

Apply = Callable[[ServiceSpec, str], None]


@dataclass(frozen=True)
class ValueOption:
    """A flag that sets one value of a spec.

    Attributes:
        flag: with its dashes.
        metavar: what stands for the value in the help; empty for a switch.
        apply: sets it; raises InvalidInput.
        short: one letter with its dash.
    """

    flag: str
    metavar: str
    help: str
    apply: Apply
    short: str = ""


def _container(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container, field, value)


def _switch(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container, field, value == "true")


def _limit_pids(spec: ServiceSpec, value: str) -> None:
    spec.task.limits.pids = -1 if value == "-1" else parse_count(value)


def _max_per_node(spec: ServiceSpec, value: str) -> None:
    spec.task.placement.max_per_node = parse_count(value)


def _attempts(spec: ServiceSpec, value: str) -> None:
    spec.task.restart.max_attempts = parse_count(value)


def _restart_condition(spec: ServiceSpec, value: str) -> None:
    spec.task.restart.condition = RestartPolicy.Condition.ValueType(parse_choice(value, RESTART_CONDITIONS))


def _entrypoint(spec: ServiceSpec, value: str) -> None:
    spec.task.container.entrypoint[:] = split_command(value)


def _set(path: str, field: str, parse: Callable[[str], int]) -> Apply:
    """Set a number in the part of the task template that `path` names."""
    return lambda spec, value: setattr(getattr(spec.task, path), field, parse(value))


def _stop_grace(spec: ServiceSpec, value: str) -> None:
    spec.task.container.stop_grace_ms = parse_duration_ms(value)


def _drain(spec: ServiceSpec, value: str) -> None:
    spec.task.container.drain_ms = parse_duration_ms(value)


def _shm(spec: ServiceSpec, value: str) -> None:
    spec.task.container.shm_bytes = parse_bytes(value)


def _log_bytes(spec: ServiceSpec, value: str) -> None:
    spec.task.log.max_bytes = parse_bytes(value)


def _log_files(spec: ServiceSpec, value: str) -> None:
    spec.task.log.max_files = parse_count(value, 1000)


def _endpoint_mode(spec: ServiceSpec, value: str) -> None:
    spec.endpoint.mode = Endpoint.Mode.ValueType(parse_choice(value, ENDPOINT_MODES))


VALUE_OPTIONS = (
    ValueOption(
        "--endpoint-mode", "MODE", "Endpoint mode: vip (virtual IP) or dnsrr (DNS round robin).", _endpoint_mode
    ),
    ValueOption("--limit-cpu", "CPUS", "Limit CPUs, such as 0.5.", _set("limits", "nano_cpus", parse_nano_cpus)),
    ValueOption("--limit-memory", "SIZE", "Limit memory, such as 64M.", _set("limits", "memory_bytes", parse_bytes)),
    ValueOption("--limit-pids", "NUMBER", "Limit processes and threads; -1 = unlimited.", _limit_pids),
    ValueOption("--reserve-cpu", "CPUS", "Reserve CPUs.", _set("reservations", "nano_cpus", parse_nano_cpus)),
    ValueOption("--reserve-memory", "SIZE", "Reserve memory.", _set("reservations", "memory_bytes", parse_bytes)),
    ValueOption("--replicas-max-per-node", "NUMBER", "Maximum number of tasks per node; 0 = unlimited.", _max_per_node),
    ValueOption(
        "--restart-condition", "WHEN", f"Restart on condition: {', '.join(RESTART_CONDITIONS)}.", _restart_condition
    ),
    ValueOption(
        "--restart-delay",
        "TIME",
        "Delay between restarts (default 5s).",
        _set("restart", "delay_ms", parse_duration_ms),
    ),
    ValueOption("--restart-max-attempts", "NUMBER", "Maximum number of restarts; 0 = unlimited.", _attempts),
    ValueOption(
        "--restart-window",
        "TIME",
        "Window used to evaluate the restart policy.",
        _set("restart", "window_ms", parse_duration_ms),
    ),
    ValueOption("--user", "USER[:GROUP]", "Username or UID.", _container("user"), "-u"),
    ValueOption("--workdir", "PATH", "Working directory inside the container.", _container("working_dir"), "-w"),
    ValueOption("--hostname", "NAME", "Container hostname.", _container("hostname")),
    ValueOption("--runtime", "NAME", "OCI runtime; tasks run on nodes that have it.", _container("runtime")),
    ValueOption(
        "--stop-signal", "SIGNAL", "Signal to stop the container (default SIGTERM).", _container("stop_signal")
    ),
    ValueOption("--stop-grace-period", "TIME", "Time to wait before SIGKILL (default 10s).", _stop_grace),
    ValueOption(
        "--drain-timeout",
        "TIME",
        "Maximum time to wait for open connections before the stop signal (default 5s).",
        _drain,
    ),
    ValueOption("--shm-size", "SIZE", "Size of /dev/shm (default 64M).", _shm),
    ValueOption("--entrypoint", "COMMAND", "Override the entrypoint of the image.", _entrypoint),
    ValueOption("--log-max-size", "SIZE", "Maximum size of a log file (default 10M).", _log_bytes),
    ValueOption("--log-max-files", "NUMBER", "Number of log files to keep (default 3).", _log_files),
    ValueOption("--read-only", "", "Mount the container's root filesystem as read only.", _switch("read_only")),
    ValueOption("--tty", "", "Allocate a pseudo-TTY.", _switch("tty"), "-t"),
    ValueOption("--privileged", "", "Give extended privileges to the container.", _switch("privileged")),
    ValueOption("--no-new-privileges", "", "Prevent processes from gaining privileges.", _switch("no_new_privileges")),
)
