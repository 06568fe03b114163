"""The flags as click options, and their application to a spec. All errors are reported at once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from cli.flags.fault_collector import faults_of_flag
from cli.flags.health_options import HEALTH_OPTIONS, health_conflicts
from cli.flags.host_config_options import HOST_CONFIG_OPTIONS
from cli.flags.mode_options import MODE_OPTIONS
from cli.flags.network_options import duplicate_attachments
from cli.flags.placement_options import PLACEMENT_OPTIONS
from cli.flags.repeatable_options import REPEATABLE_OPTIONS, RepeatableOption, add_env_file
from cli.flags.update_options import UPDATE_OPTIONS
from cli.flags.value_options import VALUE_OPTIONS, ValueOption
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, InvalidInput

Command = Callable[..., Any]
Complete = Callable[[click.Context, click.Parameter, str], list[str]]

ALL_VALUE_OPTIONS = (
    *MODE_OPTIONS,
    *VALUE_OPTIONS,
    *HEALTH_OPTIONS,
    *HOST_CONFIG_OPTIONS,
    *UPDATE_OPTIONS,
    *PLACEMENT_OPTIONS,
)


no_resolve_image_option = click.option(
    "--no-resolve-image", is_flag=True, help="Do not query the registry to resolve the image digest."
)


def create_options(completer: Callable[[str], Complete]) -> Callable[[Command], Command]:
    """Adds every flag of `service create` to a click command.

    Args:
        completer: completes names of a noun.
    """

    def add(command: Command) -> Command:
        for listing in reversed(REPEATABLE_OPTIONS):
            flags = filter(None, (listing.short, listing.flag))
            command = _repeatable_option(flags, listing, completer)(command)
        command = click.option(
            "--env-file", multiple=True, metavar="FILE", help="Read in a file of environment variables."
        )(command)
        return _scalar_options(command)

    return add


def update_options(completer: Callable[[str], Complete]) -> Callable[[Command], Command]:
    """Adds every flag of `service update` to a click command.

    Args:
        completer: completes names of a noun.
    """

    def add(command: Command) -> Command:
        for listing in reversed(REPEATABLE_OPTIONS):
            adds, removes = listing.update_flags
            command = click.option(removes, multiple=True, metavar="KEY", help=f"Remove a value added by {adds}.")(
                command
            )
            command = _repeatable_option([adds], listing, completer)(command)
        return _scalar_options(command)

    return add


def _repeatable_option(
    flags: Iterable[str], listing: RepeatableOption, names_of: Callable[[str], Complete]
) -> Callable[[Command], Command]:
    complete = names_of(listing.completes) if listing.completes else None
    return click.option(*flags, multiple=True, metavar=listing.metavar, help=listing.help, shell_complete=complete)


def _scalar_options(command: Command) -> Command:
    for scalar in reversed(ALL_VALUE_OPTIONS):
        short = (scalar.short,) if scalar.short else ()
        if scalar.metavar:
            command = click.option(*short, scalar.flag, metavar=scalar.metavar, help=scalar.help)(command)
        else:
            switch = f"{scalar.flag}/--no-{scalar.flag[2:]}" if "no-" not in scalar.flag else scalar.flag
            command = click.option(*short, switch, is_flag=True, default=None, help=scalar.help)(command)
    return command


def apply_flags(spec: ServiceSpec, given: Mapping[str, Any]) -> list[Fault]:
    """Apply the flags that were given, by click's names ("limit_cpu", "env_add"), removals first.

    Returns:
        The faults of every flag; the spec has what the others say, so that the manager can judge the rest.
    """
    faults = [
        *health_conflicts(given),
        *duplicate_attachments(given.get("network") or (), given.get("network_add") or ()),
    ]
    for listing in REPEATABLE_OPTIONS:
        for value in given.get(_name(listing.update_flags[1])) or ():
            _apply(faults, listing.remove, spec, value, listing.update_flags[1])
    for path in given.get("env_file") or ():
        _apply(faults, add_env_file, spec, path, "--env-file")
    for listing in REPEATABLE_OPTIONS:
        for flag in dict.fromkeys((listing.flag, listing.update_flags[0])):
            for value in given.get(_name(flag)) or ():
                _apply(faults, listing.add, spec, value, flag)
    for scalar in ALL_VALUE_OPTIONS:
        if (value := given.get(_name(scalar.flag))) is not None:
            _apply(faults, scalar.apply, spec, _text(scalar, value), scalar.flag)
    return faults


def _apply(
    faults: list[Fault], change: Callable[[ServiceSpec, str], None], spec: ServiceSpec, value: str, flag: str
) -> None:
    try:
        change(spec, value)
    except InvalidInput as error:
        faults.extend(faults_of_flag(flag, error))


def _text(scalar: ValueOption, value: object) -> str:
    return str(value) if scalar.metavar else str(value).lower()


def _name(flag: str) -> str:
    return flag[2:].replace("-", "_")
