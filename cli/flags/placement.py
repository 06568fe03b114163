"""Flags of where tasks are placed: preferences, affinities, generic resources, priority."""

from cli.flags.entries import drop
from cli.flags.numbers import count
from cli.flags.scalars import Scalar
from cli.render.units import parse_duration_ms
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.api.v1.service_pb2 import Affinity, Preference, ServiceSpec
from shoal.errors import InvalidInput

_BINPACK = ("cpus", "memory", "load")


def parse_preference(text: str) -> Preference:
    """`spread=KEY` or `binpack[=cpus|memory|load]`, with `,weight=N` perhaps.

    Raises:
        InvalidInput: it has another form.
    """
    first, options = _options("--placement-pref", text, ("weight",))
    kind, _, value = first.partition("=")
    weight = count("--placement-pref: weight", options.get("weight", "0"), 1000)
    if kind == "spread" and value:
        return Preference(spread=value, weight=weight)
    if kind == "binpack" and (value or "load") in _BINPACK:
        return Preference(binpack=value or "load", weight=weight)
    raise InvalidInput(
        f"--placement-pref: {text!r} is not of the form spread=node.labels.zone or binpack=memory, "
        "each with ,weight=50 if need be"
    )


def add_preference(spec: ServiceSpec, text: str) -> None:
    """A spread without a weight is Docker's: the first one before the second."""
    preference = parse_preference(text)
    placement = spec.task.placement
    if preference.spread and not preference.weight:
        if preference.spread not in placement.spread:
            placement.spread.append(preference.spread)
        return
    drop(placement.preferences, lambda each: _is_same(each, preference))
    placement.preferences.append(preference)


def remove_preference(spec: ServiceSpec, text: str) -> None:
    """Take a preference away, by `spread=KEY` or `binpack[=…]`."""
    preference, placement = (
        parse_preference(text if "=" in text or text == "binpack" else f"spread={text}"),
        spec.task.placement,
    )
    found = drop(placement.preferences, lambda each: _is_same(each, preference))
    if preference.spread in placement.spread:
        placement.spread.remove(preference.spread)
    elif not found:
        raise InvalidInput(f"--placement-pref-rm: there is no {text!r}")


def _is_same(one: Preference, other: Preference) -> bool:
    return (one.spread, one.binpack) == (other.spread, other.binpack)


def parse_affinity(text: str) -> Affinity:
    """`service==NAME` or `service!=NAME`, with `,weight=N` (a wish only) and `,over=KEY` perhaps.

    Raises:
        InvalidInput: it has another form.
    """
    first, options = _options("--affinity", text, ("weight", "over"))
    for sign, anti in (("==", False), ("!=", True)):
        subject, found, name = (part.strip() for part in first.partition(sign))
        if found and subject == "service" and name:
            weight = count("--affinity: weight", options.get("weight", "0"), 1000)
            return Affinity(service=name, anti=anti, weight=weight, over=options.get("over", ""))
    raise InvalidInput(f"--affinity: {text!r} is not of the form service==db or service!=db[,weight=50][,over=KEY]")


def add_affinity(spec: ServiceSpec, text: str) -> None:
    """A later one about the same service and key replaces an earlier one."""
    affinity = parse_affinity(text)
    drop(spec.task.placement.affinities, lambda each: (each.service, each.over) == (affinity.service, affinity.over))
    spec.task.placement.affinities.append(affinity)


def remove_affinity(spec: ServiceSpec, name: str) -> None:
    """Take away what is said about a service."""
    if not drop(spec.task.placement.affinities, lambda each: each.service == name):
        raise InvalidInput(f"--affinity-rm: there is no affinity to {name!r}; name the service")


def add_generic(spec: ServiceSpec, text: str) -> None:
    """`KIND=NUMBER`."""
    kind, _, number = text.partition("=")
    if not kind or not number:
        raise InvalidInput(f"--generic-resource: {text!r} is not of the form gpu=2")
    found = GenericResource(kind=kind, count=count("--generic-resource", number, 1000))
    _drop_generic(spec, kind)
    spec.task.reservations.generic.append(found)


def remove_generic(spec: ServiceSpec, kind: str) -> None:
    """Reserve none of this kind any more."""
    if not _drop_generic(spec, kind):
        raise InvalidInput(f"--generic-resource-rm: nothing of {kind!r} is reserved")


def _drop_generic(spec: ServiceSpec, kind: str) -> bool:
    generic = spec.task.reservations.generic
    for place in reversed(range(len(generic))):
        if generic[place].kind == kind:
            del generic[place]
            return True
    return False


def set_cut_off(spec: ServiceSpec, value: str) -> None:
    """A time; 0 keeps the tasks."""
    spec.task.stop_when_cut_off_ms = parse_duration_ms(value)


def set_priority(spec: ServiceSpec, value: str) -> None:
    """-1000 to 1000."""
    sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
    spec.priority = sign * count("--priority", digits, 1000)


def _options(flag: str, text: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    first, *rest = text.split(",")
    options: dict[str, str] = {}
    for part in rest:
        key, sign, value = part.strip().partition("=")
        if not sign or key not in known:
            raise InvalidInput(f"{flag}: {part!r} in {text!r} is not one of {', '.join(f'{each}=…' for each in known)}")
        options[key] = value
    return first.strip(), options


PLACEMENT_SCALARS = (
    Scalar(
        "--stop-when-cut-off",
        "TIME",
        "Stop tasks on a node that has reached no manager for so long; 0 keeps them (0).",
        set_cut_off,
    ),
    Scalar("--priority", "NUMBER", "Tasks may displace those of services with a lower one (0).", set_priority),
)
