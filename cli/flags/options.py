"""The flags as click options, and what was given of them applied to a spec. All faults are told at once."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from cli.flags.health import HEALTH_SCALARS, contradictions
from cli.flags.listings import LISTINGS, Listing, add_env_file
from cli.flags.modes import MODE_SCALARS
from cli.flags.networks import attached_twice
from cli.flags.placement import PLACEMENT_SCALARS
from cli.flags.scalars import SCALARS, Scalar
from cli.flags.tuning import TUNING_SCALARS
from cli.flags.updates import UPDATE_SCALARS
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, InvalidInput

Command = Callable[..., Any]
Complete = Callable[[click.Context, click.Parameter, str], list[str]]

ALL_SCALARS = (*MODE_SCALARS, *SCALARS, *HEALTH_SCALARS, *TUNING_SCALARS, *UPDATE_SCALARS, *PLACEMENT_SCALARS)


keep_tag_option = click.option(
    "--no-resolve-image", is_flag=True, help="Keep the image's tag: do not ask the registry for its digest."
)


def create_options(names_of: Callable[[str], Complete]) -> Callable[[Command], Command]:
    """Adds every flag of `service create` to a click command.

    Args:
        names_of: completes names of a noun.
    """

    def add(command: Command) -> Command:
        for listing in reversed(LISTINGS):
            flags = filter(None, (listing.short, listing.flag))
            command = _adding(flags, listing, names_of)(command)
        command = click.option("--env-file", multiple=True, metavar="FILE", help="Set variables from a file.")(command)
        return _scalar_options(command)

    return add


def update_options(names_of: Callable[[str], Complete]) -> Callable[[Command], Command]:
    """Adds every flag of `service update` to a click command.

    Args:
        names_of: completes names of a noun.
    """

    def add(command: Command) -> Command:
        for listing in reversed(LISTINGS):
            adds, removes = listing.update_flags
            command = click.option(removes, multiple=True, metavar="KEY", help=f"Undo what {adds} does.")(command)
            command = _adding([adds], listing, names_of)(command)
        return _scalar_options(command)

    return add


def _adding(
    flags: Iterable[str], listing: Listing, names_of: Callable[[str], Complete]
) -> Callable[[Command], Command]:
    complete = names_of(listing.noun) if listing.noun else None
    return click.option(*flags, multiple=True, metavar=listing.metavar, help=listing.help, shell_complete=complete)


def _scalar_options(command: Command) -> Command:
    for scalar in reversed(ALL_SCALARS):
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
    faults = [*contradictions(given), *attached_twice(given.get("network") or (), given.get("network_add") or ())]
    for listing in LISTINGS:
        for value in given.get(_name(listing.update_flags[1])) or ():
            _try(faults, listing.remove, spec, value, listing.update_flags[1])
    for path in given.get("env_file") or ():
        _try(faults, add_env_file, spec, path)
    for listing in LISTINGS:
        for flag in dict.fromkeys((listing.flag, listing.update_flags[0])):
            for value in given.get(_name(flag)) or ():
                _try(faults, listing.add, spec, value, flag)
    for scalar in ALL_SCALARS:
        if (value := given.get(_name(scalar.flag))) is not None:
            _try(faults, scalar.apply, spec, _text(scalar, value), scalar.flag)
    return faults


def _try(
    faults: list[Fault], change: Callable[[ServiceSpec, str], None], spec: ServiceSpec, value: str, flag: str = ""
) -> None:
    try:
        change(spec, value)
    except InvalidInput as error:
        prefix = "" if not flag or str(error).startswith("--") else f"{flag}: "
        faults.extend(Fault(fault.path, f"{prefix}{fault.message}") for fault in error.faults)


def _text(scalar: Scalar, value: object) -> str:
    return str(value) if scalar.metavar else str(value).lower()


def _name(flag: str) -> str:
    return flag[2:].replace("-", "_")
