"""Placement: preferences, affinities, generic resources, priority."""

from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import Affinity, Preference, ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import ValueOption
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.repeated_fields import remove_matching
from shoal.spec_parsers.units import parse_duration_ms

_BINPACK = ("cpus", "memory", "load")


def parse_preference(text: str) -> Preference:
    """`spread=KEY` or `binpack[=cpus|memory|load]`, with `,weight=N` perhaps.

    Raises:
        InvalidInput: it has another form.
    """
    first, options = _options("--placement-pref", text, ("weight",))
    kind, _, value = first.partition("=")
    weight = parse_count("--placement-pref: weight", options.get("weight", "0"), 1000)
    if kind == "spread" and value:
        return Preference(spread=value, weight=weight)
    if kind == "binpack" and (value or "load") in _BINPACK:
        return Preference(binpack=value or "load", weight=weight)
    raise InvalidInput(
        f"--placement-pref: {text!r} must be in the form spread=KEY or binpack=cpus|memory|load, "
        "optionally followed by ,weight=N"
    )


def add_preference(spec: ServiceSpec, text: str) -> None:
    """A spread without a weight is Docker's: the first one before the second."""
    preference = parse_preference(text)
    placement = spec.task.placement
    if preference.spread and not preference.weight:
        if preference.spread not in placement.spread:
            placement.spread.append(preference.spread)
        return
    remove_matching(placement.preferences, lambda each: _is_same(each, preference))
    placement.preferences.append(preference)


def remove_preference(spec: ServiceSpec, text: str) -> None:
    """Take a preference away, by `spread=KEY` or `binpack[=…]`."""
    preference, placement = (
        parse_preference(text if "=" in text or text == "binpack" else f"spread={text}"),
        spec.task.placement,
    )
    found = remove_matching(placement.preferences, lambda each: _is_same(each, preference))
    if preference.spread in placement.spread:
        placement.spread.remove(preference.spread)
    elif not found:
        raise InvalidInput(f"--placement-pref-rm: {text!r} not found")


def _is_same(one: Preference, other: Preference) -> bool:
    return (one.spread, one.binpack) == (other.spread, other.binpack)


def parse_affinity(text: str) -> Affinity:
    """`service==NAME` or `service!=NAME`, with `,weight=N` (a wish only) and `,over=KEY` perhaps.

    Raises:
        InvalidInput: it has another form.
    """
    first, options = _options("--affinity", text, ("weight", "topology-key"))
    for sign, anti in (("==", False), ("!=", True)):
        subject, found, name = (part.strip() for part in first.partition(sign))
        if found and subject == "service" and name:
            weight = parse_count("--affinity: weight", options.get("weight", "0"), 1000)
            return Affinity(service=name, anti=anti, weight=weight, topology_key=options.get("topology-key", ""))
    raise InvalidInput(
        f"--affinity: {text!r} must be in the form service==NAME or service!=NAME[,weight=N][,topology-key=KEY]"
    )


def add_affinity(spec: ServiceSpec, text: str) -> None:
    """A later one about the same service and key replaces an earlier one."""
    affinity = parse_affinity(text)
    remove_matching(
        spec.task.placement.affinities,
        lambda each: (each.service, each.topology_key) == (affinity.service, affinity.topology_key),
    )
    spec.task.placement.affinities.append(affinity)


def remove_affinity(spec: ServiceSpec, name: str) -> None:
    """Take away what is said about a service."""
    if not remove_matching(spec.task.placement.affinities, lambda each: each.service == name):
        raise InvalidInput(f"--affinity-rm: no affinity to service {name!r}")


def add_generic(spec: ServiceSpec, text: str) -> None:
    """`KIND=MAX_NUMBER`."""
    kind, _, number = text.partition("=")
    if not kind or not number:
        raise InvalidInput(f"--generic-resource: {text!r} must be in the form KIND=NUMBER")
    found = GenericResource(kind=kind, count=parse_count("--generic-resource", number, 1000))
    _drop_generic(spec, kind)
    spec.task.reservations.generic_resources.append(found)


def remove_generic(spec: ServiceSpec, kind: str) -> None:
    """Reserve none of this kind any more."""
    if not _drop_generic(spec, kind):
        raise InvalidInput(f"--generic-resource-rm: {kind!r} is not reserved")


def _drop_generic(spec: ServiceSpec, kind: str) -> bool:
    generic = spec.task.reservations.generic_resources
    for place in reversed(range(len(generic))):
        if generic[place].kind == kind:
            del generic[place]
            return True
    return False


def set_stop_on_disconnect(spec: ServiceSpec, value: str) -> None:
    """A time; 0 keeps the tasks."""
    spec.task.stop_on_disconnect_ms = parse_duration_ms(value)


def set_priority(spec: ServiceSpec, value: str) -> None:
    """-1000 to 1000."""
    sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
    spec.priority = sign * parse_count("--priority", digits, 1000)


def _options(flag: str, text: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    first, *rest = text.split(",")
    options: dict[str, str] = {}
    for part in rest:
        key, sign, value = part.strip().partition("=")
        if not sign or key not in known:
            raise InvalidInput(
                f"{flag}: {part!r} in {text!r} must be one of {', '.join(f'{each}=…' for each in known)}"
            )
        options[key] = value
    return first.strip(), options


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
