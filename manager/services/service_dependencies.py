"""Validation of `depends_on`: services exist, no cycles, conditions that can be met. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from manager.planner.spec.dependency_goals import GOALS
from manager.planner.spec.problem_texts import WAITING_FOR
from manager.planner.spec.service_modes import is_job
from manager.services.exhausted_restarts import exhausted_slots
from manager.store.tables import View
from manager.validation import bounds
from shoal.api.v1.service_pb2 import Dependency, JobRun, RestartPolicy, Service, ServiceSpec
from shoal.errors import Fault
from shoal.networks.network_modes import network_provider


def dependency_faults(view: View, specs: Sequence[ServiceSpec]) -> list[list[Fault]]:
    """The faults of each of the specs, which are submitted together; paths begin at the spec's fields."""
    known = {service.spec.name: service.spec for service in view.services.values()}
    known.update((spec.name, spec) for spec in specs)
    return [list(_faults(spec, known)) for spec in specs]


def dependency_warnings(view: View, specs: Sequence[ServiceSpec]) -> Iterator[str]:
    """Conditions that may never be met although the specs are valid."""
    submitted = {spec.name: spec for spec in specs}
    for spec in specs:
        for dependency in spec.depends_on:
            present = view.service_named(dependency.service)
            other = submitted.get(dependency.service) or (present.spec if present is not None else None)
            if other is None or dependency.condition != Dependency.HEALTHY:
                continue
            if not other.task.container.HasField("healthcheck"):
                yield (
                    f"{spec.name} waits until {other.name} is healthy, but {other.name} has "
                    f"no health check: unless its image defines one, {spec.name} never starts"
                )


def _faults(spec: ServiceSpec, known: Mapping[str, ServiceSpec]) -> Iterator[Fault]:
    if len(spec.depends_on) > bounds.DEPENDENCIES:
        yield Fault("depends_on", f"has {len(spec.depends_on)} services; the maximum is {bounds.DEPENDENCIES}")
        return
    named: set[str] = set()
    for index, dependency in enumerate(spec.depends_on):
        path = f"depends_on[{index}]"
        if dependency.condition not in Dependency.Condition.values():
            yield Fault(
                f"{path}.condition", "must be one of service_started, service_healthy, service_completed_successfully"
            )
        if dependency.service in named:
            yield Fault(f"{path}.service", f'"{dependency.service}" is listed twice')
        named.add(dependency.service)
        other = known.get(dependency.service)
        if other is None and not dependency.optional:
            yield Fault(f"{path}.service", f'service "{dependency.service}" not found')
        elif other is not None and dependency.condition == Dependency.COMPLETED and _never_ends(other):
            yield Fault(
                f"{path}.condition",
                f'"{other.name}" never completes because it always restarts; make '
                "it a job, or set its restart condition to none or on-failure",
            )
    if cycle := _cycle(spec.name, known):
        yield Fault("depends_on", f"dependency cycle: {' → '.join(cycle)}")


def _never_ends(spec: ServiceSpec) -> bool:
    is_long_running = spec.WhichOneof("mode") in (None, "replicated", "global")
    return is_long_running and spec.task.restart.condition in (RestartPolicy.CONDITION_UNSPECIFIED, RestartPolicy.ANY)


def _cycle(start: str, known: Mapping[str, ServiceSpec]) -> list[str]:
    """A dependency cycle from `start` back to it; empty when there is none."""
    parents: dict[str, str] = {}
    pending = [start]
    while pending:
        name = pending.pop()
        spec = known.get(name)
        for other in _dependencies(spec) if spec is not None else ():
            if other == start:
                return [*_path(start, name, parents), start]
            if other not in parents:
                parents[other] = name
                pending.append(other)
    return []


def _dependencies(spec: ServiceSpec) -> Iterator[str]:
    """The services that a service waits for: those of `depends_on`, and the one whose network it shares."""
    yield from (dependency.service for dependency in spec.depends_on)
    provider = network_provider(spec.task)
    if provider and provider != spec.name:
        yield provider


def _path(start: str, end: str, parents: Mapping[str, str]) -> list[str]:
    path = [end]
    while path[-1] != start:
        path.append(parents[path[-1]])
    return path[::-1]


def failed_dependency(view: View, service: Service, *, now_ms: int, dependents: frozenset[str] = frozenset()) -> str:
    """`waiting for migrate to complete, which has failed`: a condition that the service waits for, directly or through
    others, and that will never be met; else empty.

    Args:
        now_ms: milliseconds since the Unix epoch.
        dependents: names of services that wait for this one.
    """
    status = view.service_status.get(service.meta.id)
    if status is not None and status.unblocked_revision == service.task_revision:
        return ""
    for dependency in service.spec.depends_on:
        other = view.service_named(dependency.service)
        if other is None or other.spec.name in dependents:
            continue
        if _has_failed(view, other, now_ms):
            return f"{WAITING_FOR}{other.spec.name} to {GOALS.get(dependency.condition, 'start')}, which has failed"
        if found := failed_dependency(view, other, now_ms=now_ms, dependents=dependents | {service.spec.name}):
            return found
    return ""


def _has_failed(view: View, service: Service, now_ms: int) -> bool:
    """Whether the job's run has failed, or a slot of the service gets no further task."""
    if not is_job(service.spec):
        return bool(exhausted_slots(view, service, now_ms=now_ms))
    status = view.service_status.get(service.meta.id)
    newest = status.runs[-1] if status is not None and status.runs else None
    return newest is not None and newest.state == JobRun.FAILED and newest.revision >= service.task_revision
