"""Validation of services that share another service's network. Pure: yields every error."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from manager.planner.spec.service_modes import is_job
from manager.store.tables import View
from manager.validation.text_rules import join_names
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, Refused
from shoal.networks.network_modes import SERVICE, network_provider

_PATH = "task.networks[0].network"


def check_shared_network(spec: ServiceSpec) -> Iterator[Fault]:
    """Settings that must be made on the other service, which owns the network, its names and its files."""
    provider = network_provider(spec.task)
    if not provider:
        if any(attachment.network == SERVICE for attachment in spec.task.networks):
            yield Fault(_PATH, f'"{SERVICE}" must be followed by a service name: {SERVICE}NAME')
        return
    container, placement = spec.task.container, spec.task.placement
    conflicts = (
        ("endpoint.ports", spec.endpoint.ports, "published ports"),
        ("task.container.hostname", container.hostname, "hostname"),
        ("task.container.domainname", container.domainname, "domain name"),
        ("task.container.dns", container.dns.ByteSize(), "dns"),
        ("task.container.extra_hosts", container.extra_hosts, "extra hosts"),
        ("task.container.sysctls", any(map(_is_of_network, container.sysctls)), "sysctls net.*"),
    )
    for path, given, what in conflicts:
        if given:
            mode = f"{SERVICE}{provider}"
            yield Fault(path, f'{what} cannot be combined with network "{mode}"; configure it on service "{provider}"')
    bound = {
        "spread": len(placement.spread),
        "preferences": len(placement.preferences),
        "affinities": len(placement.affinities),
        "max_per_node": placement.max_per_node,
    }
    for field, number in bound.items():
        if number:
            yield Fault(
                f"task.placement.{field}",
                "is not supported with a shared network: tasks run "
                f'where those of service "{provider}" run; set it there',
            )
    if is_job(spec):
        yield Fault("mode", f'a job cannot share the network of service "{provider}"; attach its own networks')


def _is_of_network(name: str) -> bool:
    return name.replace("/", ".").startswith("net.")


def sharing_faults(view: View, specs: Sequence[ServiceSpec], removed: Iterable[str] = ()) -> list[list[Fault]]:
    """The faults of each of the specs, which are submitted together, with respect to other services.

    Args:
        removed: names of services that are removed in the same request.
    """
    known = {service.spec.name: service.spec for service in view.services.values()}
    for name in removed:
        known.pop(name, None)
    known.update((spec.name, spec) for spec in specs)
    return [list(_faults(spec, known)) for spec in specs]


def _faults(spec: ServiceSpec, known: Mapping[str, ServiceSpec]) -> Iterator[Fault]:
    name = network_provider(spec.task)
    if not name:
        return
    provider = known.get(name)
    if name == spec.name:
        yield Fault(_PATH, "a service cannot share its own network; remove it")
    elif provider is None:
        yield Fault(_PATH, f'service "{name}" not found')
    elif other := network_provider(provider.task):
        yield Fault(
            _PATH, f'service "{name}" itself shares the network of service "{other}"; name service "{other}" instead'
        )
    elif is_job(provider):
        yield Fault(_PATH, f'service "{name}" is a job; a network can be shared with long-running services only')
    elif (spec.WhichOneof("mode") == "global") != (provider.WhichOneof("mode") == "global"):
        modes = [each.WhichOneof("mode") or "replicated" for each in (spec, provider)]
        yield Fault(
            "mode",
            f'is {modes[0]}, but service "{name}", whose network it shares, is {modes[1]}; both must be the same',
        )
    followers = sorted(each.name for each in known.values() if network_provider(each.task) == spec.name != each.name)
    if followers:
        yield Fault(
            _PATH, f"the network of this service is shared by {join_names(followers)}; update or remove them first"
        )


def check_not_shared(view: View, removed_names: Iterable[str], kept_names: Iterable[str] = ()) -> None:
    """Check that services may be removed.

    Args:
        removed_names: their names.
        kept_names: names of services that are known to share the network of none of them.
    Raises:
        Refused: a service that remains shares the network of one of them.
    """
    removed, known = set(removed_names), set(kept_names)
    for service in sorted(view.services.values(), key=lambda service: service.spec.name):
        provider, name = network_provider(service.spec.task), service.spec.name
        if provider in removed and name not in removed and name not in known:
            raise Refused(
                f'the network of service "{provider}" is shared by service "{name}"; remove that service '
                f"first, or detach it: `shoal service update --network-rm {SERVICE}{provider} {name}`"
            )
