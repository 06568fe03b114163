"""What makes `depends_on` valid: services that exist, no circle, conditions that can come to hold. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from manager.control_api import bounds
from manager.control_api.given_up import given_up
from manager.planner.dependencies import GOALS
from manager.planner.modes import is_job
from manager.store.tables import View
from shoal.api.v1.service_pb2 import Dependency, JobRun, RestartPolicy, Service, ServiceSpec
from shoal.errors import Fault
from shoal.network_modes import provider_of


def dependency_faults(view: View, specs: Sequence[ServiceSpec]) -> list[list[Fault]]:
    """The faults of each of the specs, which are submitted together; paths begin at the spec's fields."""
    known = {service.spec.name: service.spec for service in view.services.values()}
    known.update((spec.name, spec) for spec in specs)
    return [list(_faults(spec, known)) for spec in specs]


def dependency_warnings(view: View, specs: Sequence[ServiceSpec]) -> Iterator[str]:
    """Conditions that may never hold though nothing is wrong with the specs."""
    coming = {spec.name: spec for spec in specs}
    for spec in specs:
        for dependency in spec.depends_on:
            present = view.service_named(dependency.service)
            other = coming.get(dependency.service) or (present.spec if present is not None else None)
            if other is None or dependency.condition != Dependency.HEALTHY:
                continue
            if not other.task.container.HasField("healthcheck"):
                yield (
                    f"{spec.name} waits for {other.name} to be healthy, which has no healthcheck: unless its image "
                    "has one, it waits for ever"
                )


def _faults(spec: ServiceSpec, known: Mapping[str, ServiceSpec]) -> Iterator[Fault]:
    if len(spec.depends_on) > bounds.DEPENDENCIES:
        yield Fault("depends_on", f"names {len(spec.depends_on)} services; at most {bounds.DEPENDENCIES} are allowed")
        return
    named: set[str] = set()
    for index, dependency in enumerate(spec.depends_on):
        path = f"depends_on[{index}]"
        if dependency.condition not in Dependency.Condition.values():
            yield Fault(
                f"{path}.condition", "must be service_started, service_healthy or service_completed_successfully"
            )
        if dependency.service in named:
            yield Fault(f"{path}.service", f'"{dependency.service}" is there twice')
        named.add(dependency.service)
        other = known.get(dependency.service)
        if other is None and not dependency.optional:
            yield Fault(f"{path}.service", f'there is no service "{dependency.service}"')
        elif other is not None and dependency.condition == Dependency.COMPLETED and _never_ends(other):
            yield Fault(
                f"{path}.condition",
                f'"{other.name}" never completes: it is started again whenever it ends; make it a job, or set its '
                "restart condition to none or on-failure",
            )
    if circle := _circle(spec.name, known):
        yield Fault("depends_on", f"dependency cycle: {' → '.join(circle)}")


def _never_ends(spec: ServiceSpec) -> bool:
    runs_on = spec.WhichOneof("mode") in (None, "replicated", "global")
    return runs_on and spec.task.restart.condition in (RestartPolicy.CONDITION_UNSPECIFIED, RestartPolicy.ANY)


def _circle(start: str, known: Mapping[str, ServiceSpec]) -> list[str]:
    """The services from `start` back to it; empty when no way leads back."""
    came_from: dict[str, str] = {}
    ahead = [start]
    while ahead:
        name = ahead.pop()
        spec = known.get(name)
        for other in _awaited(spec) if spec is not None else ():
            if other == start:
                return [*_way(start, name, came_from), start]
            if other not in came_from:
                came_from[other] = name
                ahead.append(other)
    return []


def _awaited(spec: ServiceSpec) -> Iterator[str]:
    """The services that one waits for: those that it says, and that whose network it shares."""
    yield from (dependency.service for dependency in spec.depends_on)
    provider = provider_of(spec.task)
    if provider and provider != spec.name:
        yield provider


def _way(start: str, end: str, came_from: Mapping[str, str]) -> list[str]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def failed_dependency(view: View, service: Service, *, now_ms: int, above: frozenset[str] = frozenset()) -> str:
    """`waits for migrate to complete, which has failed`: what the service waits for, itself or through others, and will
    not come about; else empty.

    Args:
        now_ms: milliseconds since the Unix epoch.
        above: names of services that wait for this one.
    """
    status = view.service_status.get(service.meta.id)
    if status is not None and status.released_revision == service.task_revision:
        return ""
    for dependency in service.spec.depends_on:
        other = view.service_named(dependency.service)
        if other is None or other.spec.name in above:
            continue
        if _has_failed(view, other, now_ms):
            return f"waits for {other.spec.name} to {GOALS.get(dependency.condition, 'start')}, which has failed"
        if found := failed_dependency(view, other, now_ms=now_ms, above=above | {service.spec.name}):
            return found
    return ""


def _has_failed(view: View, service: Service, now_ms: int) -> bool:
    """The job's run has failed, or one of the service's slots gets no further task."""
    if not is_job(service.spec):
        return bool(given_up(view, service, now_ms=now_ms))
    status = view.service_status.get(service.meta.id)
    newest = status.runs[-1] if status is not None and status.runs else None
    return newest is not None and newest.state == JobRun.FAILED and newest.revision >= service.task_revision
