"""Flags of containers as click options, and a container of those that were given. All errors are reported at once."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from cli.flags.container.container_draft import ContainerDraft, ContainerFlag
from cli.flags.container.container_lists import CONTAINER_LISTS, apply_network_settings, apply_volume_driver
from cli.flags.container.container_values import CONTAINER_VALUES
from cli.flags.fault_collector import FaultCollector
from cli.flags.health_options import health_conflicts
from shoal.errors import Fault, InvalidInput

Command = Callable[..., Any]
Complete = Callable[[click.Context, click.Parameter, str], list[str]]

FLAGS = (*CONTAINER_LISTS, *CONTAINER_VALUES)


def container_options(completer: Callable[[str], Complete]) -> Callable[[Command], Command]:
    """Adds every flag of a container to a click command.

    Args:
        completer: completes names of a noun.
    """

    def add(command: Command) -> Command:
        for flag in sorted(FLAGS, key=lambda each: each.flag, reverse=True):
            command = _option(flag, completer)(command)
        return command

    return add


def _option(flag: ContainerFlag, completer: Callable[[str], Complete]) -> Callable[[Command], Command]:
    names = (*flag.others, flag.flag, flag.parameter)
    complete = completer(flag.completes) if flag.completes else None
    if not flag.metavar:
        return click.option(*names, is_flag=True, default=None, help=flag.help)
    return click.option(*names, metavar=flag.metavar, help=flag.help, multiple=flag.repeatable, shell_complete=complete)


def draft_of(given: Mapping[str, Any]) -> tuple[ContainerDraft, list[Fault]]:
    """A container of the flags that were given, by click's names ("memory", "cap_add").

    Returns:
        The draft, with what is right; and the faults of every flag.
    """
    draft, collector = ContainerDraft(), FaultCollector()
    collector.faults += health_conflicts(given)
    for flag in FLAGS:
        value = given.get(flag.parameter)
        for text in (value or ()) if flag.repeatable else () if value is None else (value,):
            with collector.flag(flag.flag):
                if not is_text(str(text)):
                    raise InvalidInput(f"{text!r} is not valid UTF-8")
                flag.apply(draft, text if flag.metavar else str(text).lower())
    apply_volume_driver(draft)
    try:
        apply_network_settings(draft)
    except InvalidInput as error:
        collector.faults += error.faults
    return draft, collector.faults


def is_text(word: str) -> bool:
    """Whether a word of the command line can be sent: bytes that are no UTF-8 cannot."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
