"""Placement: preferences, affinities, generic resources, priority."""

from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import Affinity, Preference, ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.repeated_fields import remove_matching
from shoal.spec_parsers.units import parse_duration_ms

_BINPACK = ("cpus", "memory", "load")


def parse_preference(text: str) -> Preference:
    """`spread=KEY` or `binpack[=cpus|memory|load]`, with `,weight=N` perhaps.

    Raises:
        InvalidInput: it has another form.
    """
    first, options = _options(text, ("weight",))
    kind, _, value = first.partition("=")
    weight = parse_count(options.get("weight", "0"), 1000, key="weight")
    if kind == "spread" and value:
        return Preference(spread=value, weight=weight)
    if kind == "binpack" and (value or "load") in _BINPACK:
        return Preference(binpack=value or "load", weight=weight)
    raise InvalidInput(
        f"{text!r} must be in the form spread=KEY or binpack=cpus|memory|load, optionally followed by ,weight=N"
    )


def add_preference(spec: ServiceSpec, text: str) -> None:
    """A spread without a weight is Docker's: the first one before the second."""
    preference = parse_preference(text)
    placement = spec.task.placement
    if preference.spread and not preference.weight:
        if preference.spread not in placement.spread:
            placement.spread.append(preference.spread)
        return
    remove_matching(placement.preferences, lambda each: is_same_preference(each, preference))
    placement.preferences.append(preference)


def is_same_preference(one: Preference, other: Preference) -> bool:
    """Whether both prefer the same, with whatever weights."""
    return (one.spread, one.binpack) == (other.spread, other.binpack)


def parse_affinity(text: str) -> Affinity:
    """`service==NAME` or `service!=NAME`, with `,weight=N` (preferred, not required) and `,topology-key=KEY` perhaps.

    Raises:
        InvalidInput: it has another form.
    """
    first, options = _options(text, ("weight", "topology-key"))
    for sign, anti in (("==", False), ("!=", True)):
        subject, found, name = (part.strip() for part in first.partition(sign))
        if found and subject == "service" and name:
            weight = parse_count(options.get("weight", "0"), 1000, key="weight")
            return Affinity(service=name, anti=anti, weight=weight, topology_key=options.get("topology-key", ""))
    raise InvalidInput(f"{text!r} must be in the form service==NAME or service!=NAME[,weight=N][,topology-key=KEY]")


def add_affinity(spec: ServiceSpec, text: str) -> None:
    """A later one about the same service and key replaces an earlier one."""
    affinity = parse_affinity(text)
    remove_matching(
        spec.task.placement.affinities,
        lambda each: (each.service, each.topology_key) == (affinity.service, affinity.topology_key),
    )
    spec.task.placement.affinities.append(affinity)


def add_generic(spec: ServiceSpec, text: str) -> None:
    """`KIND=NUMBER`."""
    kind, _, number = text.partition("=")
    if not kind or not number:
        raise InvalidInput(f"{text!r} must be in the form KIND=NUMBER")
    found = GenericResource(kind=kind, count=parse_count(number, 1000))
    release_generic(spec, kind)
    spec.task.reservations.generic_resources.append(found)


def release_generic(spec: ServiceSpec, kind: str) -> bool:
    """Reserve none of this kind; whether any were reserved."""
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
    spec.priority = sign * parse_count(digits, 1000)


def _options(text: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    first, *rest = text.split(",")
    options: dict[str, str] = {}
    for part in rest:
        key, sign, value = part.strip().partition("=")
        if not sign or key not in known:
            raise InvalidInput(f"{part!r} in {text!r} must be one of {', '.join(f'{each}=…' for each in known)}")
        options[key] = value
    return first.strip(), options
