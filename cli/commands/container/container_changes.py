"""`shoal rename`, `shoal update`."""

from collections.abc import Iterable, Iterator, Mapping

import click

from cli.client import Client
from cli.commands.common.common_options import examples, pass_client
from cli.commands.common.for_each import for_each
from cli.commands.common.name_completion import names_of
from cli.commands.container.container_calls import containers
from cli.flags.fault_collector import FaultCollector
from shoal.api.v1.engine_pb2 import RenameContainerRequest, UpdateContainerRequest
from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.container_restart import parse_restart
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_bytes, parse_nano_cpus

UNSUPPORTED: Mapping[str, str] = {
    "--blkio-weight": "block IO weights cannot change; set it with `shoal create`",
    "--cpu-rt-period": "containers have no real-time processor time",
    "--cpu-rt-runtime": "containers have no real-time processor time",
    "--kernel-memory": "kernels no longer have this limit",
}
"""Flags of `docker update` that are not honoured, and why."""

_FLAG_OF_FIELD: Mapping[str, str] = {
    "limits.nano_cpus": "--cpus",
    "limits.memory_bytes": "--memory",
    "limits.pids": "--pids-limit",
    "container.cpu.cpuset_cpus": "--cpuset-cpus",
    "container.cpu.cpuset_mems": "--cpuset-mems",
    "container.cpu.shares": "--cpu-shares",
    "container.cpu.quota_us": "--cpu-quota",
    "container.cpu.period_us": "--cpu-period",
    "container.memory.swap_bytes": "--memory-swap",
    "container.memory.reservation_bytes": "--memory-reservation",
    "restart.condition": "--restart",
    "restart.max_attempts": "--restart",
    "auto_remove": "--restart",
}


@click.command("rename", epilog=examples("shoal rename db pg"))
@click.argument("container", metavar="CONTAINER", shell_complete=names_of("container"))
@click.argument("name", metavar="NEW_NAME")
@pass_client
def rename(client: Client, *, container: str, name: str) -> None:
    """Rename a container. Names are unique in the cluster."""
    client.call(containers(client).RenameContainer, RenameContainerRequest(container=container, name=name))


@click.command(
    "update",
    epilog=examples(
        "shoal update --memory 512M pg",
        "shoal update --cpus 1.5 --pids-limit 200 pg cache",
        "shoal update --restart unless-stopped pg",
    ),
)
@click.option("--cpu-period", metavar="MICROSECONDS", help="Limit CPU CFS (Completely Fair Scheduler) period.")
@click.option("--cpu-quota", metavar="MICROSECONDS", help="Limit CPU CFS (Completely Fair Scheduler) quota.")
@click.option("-c", "--cpu-shares", metavar="WEIGHT", help="CPU shares (relative weight).")
@click.option("--cpus", metavar="CPUS", help="Number of CPUs, such as 1.5.")
@click.option("--cpuset-cpus", metavar="LIST", help="CPUs in which to allow execution (0-3, 0,1).")
@click.option("--cpuset-mems", metavar="LIST", help="Memory nodes in which to allow execution (0-3, 0,1).")
@click.option("-m", "--memory", metavar="SIZE", help="Memory limit, such as 512M.")
@click.option("--memory-reservation", metavar="SIZE", help="Memory soft limit.")
@click.option("--memory-swap", metavar="SIZE", help="Limit of memory and swap together; -1 = unlimited swap.")
@click.option("--pids-limit", metavar="NUMBER", help="Limit processes and threads; -1 = unlimited.")
@click.option("--restart", metavar="POLICY", help="Restart policy: no, on-failure[:NUMBER], always or unless-stopped.")
@click.option("--blkio-weight", metavar="WEIGHT", help="Not supported: block IO weights cannot change.")
@click.option("--cpu-rt-period", metavar="MICROSECONDS", help="Not supported: containers have no real-time priority.")
@click.option("--cpu-rt-runtime", metavar="MICROSECONDS", help="Not supported: containers have no real-time priority.")
@click.option("--kernel-memory", metavar="SIZE", hidden=True, help="Not supported: kernels no longer have it.")
@click.argument("names", metavar="CONTAINER...", nargs=-1, required=True, shell_complete=names_of("container"))
@pass_client
def update(client: Client, *, names: tuple[str, ...], **given: str | None) -> None:
    """Update the limits and the restart policy of one or more containers, also while they run."""
    request = update_request(given)

    def update_one(name: str) -> None:
        request.container = name
        try:
            client.call(containers(client).UpdateContainer, request)
        except InvalidInput as error:
            raise InvalidInput(tuple(faults_by_flag(error.faults))) from error
        click.echo(name)

    for_each(names, update_one).exit_if_failed()


def update_request(given: Mapping[str, str | None]) -> UpdateContainerRequest:
    """The request of the flags, without the container's name.

    Args:
        given: values by click's names of the flags.
    Raises:
        InvalidInput: with all faults, or no flag was given.
    """
    flags = {f"--{name.replace('_', '-')}": value for name, value in given.items() if value is not None}
    if not flags:
        raise InvalidInput("nothing to update; specify at least one flag")
    request, collector = UpdateContainerRequest(), FaultCollector()
    for flag, value in flags.items():
        with collector.flag(flag):
            _apply(request, flag, value)
    collector.raise_faults()
    return request


def _apply(request: UpdateContainerRequest, flag: str, value: str) -> None:
    match flag:
        case "--cpus":
            request.limits.nano_cpus = parse_nano_cpus(value)
        case "--memory":
            request.limits.memory_bytes = parse_bytes(value)
        case "--pids-limit":
            request.limits.pids = -1 if value == "-1" else parse_count(value)
        case "--cpuset-cpus" | "--cpuset-mems":
            setattr(request.cpu, flag[2:].replace("-", "_"), value)
        case "--cpu-shares":
            request.cpu.shares = parse_count(value, 262_144)
        case "--cpu-quota":
            request.cpu.quota_us = parse_count(value, 10**9)
        case "--cpu-period":
            request.cpu.period_us = parse_count(value)
        case "--memory-swap":
            request.memory.swap_bytes = -1 if value == "-1" else parse_bytes(value)
        case "--memory-reservation":
            request.memory.reservation_bytes = parse_bytes(value)
        case "--restart":
            request.restart.CopyFrom(parse_restart(value))
        case _:
            raise InvalidInput(f"not supported: {UNSUPPORTED[flag]}")


def faults_by_flag(faults: Iterable[Fault]) -> Iterator[Fault]:
    """The manager's faults by the flags."""
    for fault in faults:
        yield Fault(_FLAG_OF_FIELD.get(fault.path.removeprefix("task."), fault.path), fault.message)
