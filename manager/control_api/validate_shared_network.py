"""What makes a service that shares the network of another service's tasks valid. Pure: yields every fault."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from manager.planner.modes import is_job
from manager.store.tables import View
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import Fault, Refused
from shoal.network_modes import SERVICE, provider_of

_PATH = "task.networks[0].network"


def check_shared_network(spec: ServiceSpec) -> Iterator[Fault]:
    """What such a service cannot have of its own, since the network, its names and its files are the other's."""
    provider = provider_of(spec.task)
    if not provider:
        if any(attachment.network == SERVICE for attachment in spec.task.networks):
            yield Fault(_PATH, f'"{SERVICE}" names no service; write {SERVICE}NAME')
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
            yield Fault(path, f'conflicting options: {what} and the network "{mode}"; set it at service "{provider}"')
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
                f'its tasks run where those of service "{provider}" do, whose network they share; set it there',
            )
    if is_job(spec):
        yield Fault("mode", f'a job cannot share the network of service "{provider}"; give it networks of its own')


def _is_of_network(name: str) -> bool:
    return name.replace("/", ".").startswith("net.")


def sharing_faults(view: View, specs: Sequence[ServiceSpec], going: Iterable[str] = ()) -> list[list[Fault]]:
    """The faults of each of the specs, which are submitted together, as to other services.

    Args:
        going: names of services that are removed with it.
    """
    known = {service.spec.name: service.spec for service in view.services.values()}
    for name in going:
        known.pop(name, None)
    known.update((spec.name, spec) for spec in specs)
    return [list(_faults(spec, known)) for spec in specs]


def _faults(spec: ServiceSpec, known: Mapping[str, ServiceSpec]) -> Iterator[Fault]:
    name = provider_of(spec.task)
    if not name:
        return
    provider = known.get(name)
    if name == spec.name:
        yield Fault(_PATH, "a service cannot share its own network; leave it out")
    elif provider is None:
        yield Fault(_PATH, f'there is no service "{name}"')
    elif other := provider_of(provider.task):
        yield Fault(
            _PATH, f'service "{name}" has no network of its own, it shares that of service "{other}"; name one that has'
        )
    elif is_job(provider):
        yield Fault(_PATH, f'service "{name}" is a job, whose tasks end; name a service that runs all the time')
    elif (spec.WhichOneof("mode") == "global") != (provider.WhichOneof("mode") == "global"):
        kinds = [each.WhichOneof("mode") or "replicated" for each in (spec, provider)]
        yield Fault(
            "mode", f'{kinds[0]}, and service "{name}", whose network it shares, is {kinds[1]}; make them the same'
        )
    followers = sorted(each.name for each in known.values() if provider_of(each.task) == spec.name != each.name)
    if followers:
        yield Fault(_PATH, f"its own network is shared by {', '.join(followers[:5])}; change or remove them first")


def check_not_shared(view: View, going: Iterable[str], staying: Iterable[str] = ()) -> None:
    """That services may be removed.

    Args:
        going: their names.
        staying: names of services that are known to share the network of none of them.
    Raises:
        Refused: services that stay share the network of one.
    """
    removed, known = set(going), set(staying)
    for service in sorted(view.services.values(), key=lambda service: service.spec.name):
        provider, name = provider_of(service.spec.task), service.spec.name
        if provider in removed and name not in removed and name not in known:
            raise Refused(
                f'the network of service "{provider}" is shared by service "{name}"; remove that one first, '
                f"or give it another network: shoal service update --network-rm {SERVICE}{provider} {name}"
            )
