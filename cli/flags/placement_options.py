"""Flags of placement: those that set one value, and the removal of preferences, affinities and resources."""

from cli.flags.value_options import ValueOption
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.placement_parser import (
    is_same_preference,
    parse_preference,
    release_generic,
    set_priority,
    set_stop_on_disconnect,
)
from shoal.spec_parsers.repeated_fields import remove_matching


def remove_preference(spec: ServiceSpec, text: str) -> None:
    """Take a preference away, by `spread=KEY` or `binpack[=…]`."""
    preference, placement = (
        parse_preference(text if "=" in text or text == "binpack" else f"spread={text}"),
        spec.task.placement,
    )
    found = remove_matching(placement.preferences, lambda each: is_same_preference(each, preference))
    if preference.spread in placement.spread:
        placement.spread.remove(preference.spread)
    elif not found:
        raise InvalidInput(f"{text!r} not found")


def remove_affinity(spec: ServiceSpec, name: str) -> None:
    """Take away what is said about a service."""
    if not remove_matching(spec.task.placement.affinities, lambda each: each.service == name):
        raise InvalidInput(f"no affinity to service {name!r}")


def remove_generic(spec: ServiceSpec, kind: str) -> None:
    """Reserve none of this kind any more."""
    if not release_generic(spec, kind):
        raise InvalidInput(f"{kind!r} is not reserved")


PLACEMENT_OPTIONS = (
    ValueOption(
        "--stop-on-disconnect",
        "TIME",
        "Stop tasks on a node disconnected from all managers for this time; 0 = never (default 0).",
        set_stop_on_disconnect,
    ),
    ValueOption(
        "--priority",
        "NUMBER",
        "Scheduling priority, -1000 to 1000 (default 0); tasks can preempt those with a lower one.",
        set_priority,
    ),
)
