"""Flags of `service create` and `service update` that set one value. Names and forms are Docker's."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cli.flags.numbers import count
from cli.render.units import parse_bytes, parse_duration_ms, parse_nano_cpus
from shoal.api.v1.service_pb2 import Endpoint, RestartPolicy, ServiceSpec
from shoal.errors import InvalidInput

Apply = Callable[[ServiceSpec, str], None]


@dataclass(frozen=True)
class Scalar:
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


def choice(flag: str, value: str, choices: Mapping[str, int]) -> int:
    """The number of a named choice, or an error that names all."""
    if value not in choices:
        raise InvalidInput(f"{flag}: {value!r} is not one of {', '.join(choices)}")
    return choices[value]


def words(flag: str, text: str) -> list[str]:
    """Words as a shell would split them.

    Raises:
        InvalidInput: a quotation mark is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"{flag}: {text!r} cannot be split into words: {error}") from None


ENDPOINT_MODES = {"vip": Endpoint.VIP, "dnsrr": Endpoint.DNSRR}
CONDITIONS = {"none": RestartPolicy.NONE, "on-failure": RestartPolicy.ON_FAILURE, "any": RestartPolicy.ANY}


def _container(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container, field, value)


def _switch(field: str) -> Apply:
    return lambda spec, value: setattr(spec.task.container, field, value == "true")


def _limit_pids(spec: ServiceSpec, value: str) -> None:
    spec.task.limits.pids = -1 if value == "-1" else count("--limit-pids", value)


def _max_per_node(spec: ServiceSpec, value: str) -> None:
    spec.task.placement.max_per_node = count("--replicas-max-per-node", value)


def _attempts(spec: ServiceSpec, value: str) -> None:
    spec.task.restart.max_attempts = count("--restart-max-attempts", value)


def _restart_condition(spec: ServiceSpec, value: str) -> None:
    spec.task.restart.condition = RestartPolicy.Condition.ValueType(choice("--restart-condition", value, CONDITIONS))


def _entrypoint(spec: ServiceSpec, value: str) -> None:
    spec.task.container.entrypoint[:] = words("--entrypoint", value)


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
    spec.task.log.max_files = count("--log-max-files", value, 1000)


def _endpoint_mode(spec: ServiceSpec, value: str) -> None:
    spec.endpoint.mode = Endpoint.Mode.ValueType(choice("--endpoint-mode", value, ENDPOINT_MODES))


SCALARS = (
    Scalar("--endpoint-mode", "MODE", "The name leads to one address (vip) or to all tasks (dnsrr).", _endpoint_mode),
    Scalar("--limit-cpu", "CPUS", "Most CPU a task may use, like 0.5.", _set("limits", "nano_cpus", parse_nano_cpus)),
    Scalar("--limit-memory", "SIZE", "Most memory, like 64M.", _set("limits", "memory_bytes", parse_bytes)),
    Scalar("--limit-pids", "NUMBER", "Most processes and threads; -1 = unlimited.", _limit_pids),
    Scalar("--reserve-cpu", "CPUS", "CPU set aside on the node.", _set("reservations", "nano_cpus", parse_nano_cpus)),
    Scalar(
        "--reserve-memory", "SIZE", "Memory set aside on the node.", _set("reservations", "memory_bytes", parse_bytes)
    ),
    Scalar("--replicas-max-per-node", "NUMBER", "Most tasks on one node; 0 = unlimited.", _max_per_node),
    Scalar("--restart-condition", "WHEN", f"Restart when: {', '.join(CONDITIONS)}.", _restart_condition),
    Scalar("--restart-delay", "TIME", "Wait before a restart (5s).", _set("restart", "delay_ms", parse_duration_ms)),
    Scalar("--restart-max-attempts", "NUMBER", "Restarts before giving up; 0 = unlimited.", _attempts),
    Scalar(
        "--restart-window", "TIME", "Time in which attempts count.", _set("restart", "window_ms", parse_duration_ms)
    ),
    Scalar("--user", "USER[:GROUP]", "User that the container runs as.", _container("user"), "-u"),
    Scalar("--workdir", "PATH", "Working directory in the container.", _container("working_dir"), "-w"),
    Scalar("--hostname", "NAME", "Host name in the container.", _container("hostname")),
    Scalar("--stop-signal", "SIGNAL", "Signal that asks it to stop (SIGTERM).", _container("stop_signal")),
    Scalar("--stop-grace-period", "TIME", "Wait before SIGKILL (10s).", _stop_grace),
    Scalar("--drain-timeout", "TIME", "Longest wait for open connections before the stop signal (5s).", _drain),
    Scalar("--shm-size", "SIZE", "Size of /dev/shm (64M).", _shm),
    Scalar("--entrypoint", "COMMAND", "Replace the image's entrypoint.", _entrypoint),
    Scalar("--log-max-size", "SIZE", "Rotate the log at this size (10M).", _log_bytes),
    Scalar("--log-max-files", "NUMBER", "Log files kept (3).", _log_files),
    Scalar("--read-only", "", "Mount the root file system read-only.", _switch("read_only")),
    Scalar("--tty", "", "Give the container a terminal.", _switch("tty"), "-t"),
    Scalar("--privileged", "", "Give the container all capabilities and devices.", _switch("privileged")),
    Scalar("--no-new-privileges", "", "Set-user-ID programs gain nothing.", _switch("no_new_privileges")),
)
