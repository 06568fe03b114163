"""Convert `depends_on`, `links`, `restart` and `scale`."""

from collections.abc import Mapping
from typing import Any

from shoal.api.v1.service_pb2 import Dependency, RestartPolicy, ServiceSpec
from shoal.compose.faults import FaultReporter
from shoal.compose.reading.scalar_values import parse_bool, parse_int
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import parse_choice

CONDITIONS = {
    "service_started": Dependency.STARTED,
    "service_healthy": Dependency.HEALTHY,
    "service_completed_successfully": Dependency.COMPLETED,
}

_RESTARTS = {
    "no": RestartPolicy.NONE,
    "always": RestartPolicy.ANY,
    "unless-stopped": RestartPolicy.ANY,
    "on-failure": RestartPolicy.ON_FAILURE,
}


def connect_services(
    specs: Mapping[str, ServiceSpec], name: str, body: Mapping[str, Any], report: FaultReporter
) -> None:
    """The dependencies of the service `name`, and the aliases by which it knows other services.

    Args:
        specs: all services of the file, by their names in it.
    """
    waits = body.get("depends_on") or {}
    for other in waits:
        settings = waits[other] if isinstance(waits, dict) else {}
        path: YamlPath = ("services", name, "depends_on", other if isinstance(waits, dict) else waits.index(other))
        report.catch(path, lambda other=other, settings=settings: _add_dependency(specs, name, other, settings or {}))  # type: ignore[misc]
    for index, link in enumerate(body.get("links") or []):
        report.catch(("services", name, "links", index), lambda link=link: _add_link(specs, name, str(link)))  # type: ignore[misc]
    if isinstance(waits, dict | list) and (cycle := _find_cycle(specs, name)):
        report.add(("services", name, "depends_on"), f"dependency cycle: {' → '.join(cycle)}")


def qualify_affinities(specs: Mapping[str, ServiceSpec]) -> None:
    """Affinities to services of the file name them as the cluster does."""
    for spec in specs.values():
        for affinity in spec.task.placement.affinities:
            if affinity.service in specs:
                affinity.service = specs[affinity.service].name


def _add_dependency(specs: Mapping[str, ServiceSpec], name: str, other: str, settings: Mapping[str, Any]) -> None:
    required = parse_bool(settings.get("required", True))
    if other not in specs:
        if required:
            raise InvalidInput(f"service {other!r} is not defined")
        return
    condition = parse_choice(str(settings.get("condition", "service_started")), CONDITIONS, key="condition")
    specs[name].depends_on.add(
        service=specs[other].name,
        condition=Dependency.Condition.ValueType(condition),
        optional=not required,
        restart=parse_bool(settings.get("restart", False)),
    )


def _add_link(specs: Mapping[str, ServiceSpec], name: str, link: str) -> None:
    other, _, alias = link.partition(":")
    if other not in specs:
        raise InvalidInput(f"service {other!r} is not defined")
    if all(dependency.service != specs[other].name for dependency in specs[name].depends_on):
        specs[name].depends_on.add(service=specs[other].name, condition=Dependency.STARTED)
    if alias and alias != other:
        if alias in specs:
            raise InvalidInput(f"alias {alias!r} is the name of another service")
        for attachment in specs[other].task.networks:
            if alias not in attachment.aliases:
                attachment.aliases.append(alias)


def _find_cycle(specs: Mapping[str, ServiceSpec], start: str) -> list[str]:
    """Names from `start` back to it over dependencies so far; a cycle is reported once, at its last service."""
    short = {spec.name: name for name, spec in specs.items()}
    chains = [[start]]
    seen = set()
    while chains:
        chain = chains.pop()
        for dependency in specs[chain[-1]].depends_on:
            other = short[dependency.service]
            if other == start:
                return [*chain, start]
            if other not in seen:
                seen.add(other)
                chains.append([*chain, other])
    return []


def set_restart(spec: ServiceSpec, value: Any) -> None:
    """`no`, `always`, `unless-stopped`, `on-failure` and `on-failure:3`; `deploy.restart_policy` comes after it."""
    if value is None:
        return
    text = "no" if value is False else str(value)
    name, sign, attempts = text.partition(":")
    spec.task.restart.condition = RestartPolicy.Condition.ValueType(parse_choice(name, _RESTARTS))
    if sign:
        if name != "on-failure":
            raise InvalidInput(f"{text!r}: only on-failure accepts a maximum number of attempts")
        spec.task.restart.max_attempts = parse_int(attempts)


def set_scale(spec: ServiceSpec, body: Mapping[str, Any]) -> None:
    """`scale`, which has to agree with `deploy.replicas`."""
    if body.get("scale") is None:
        return
    scale = parse_int(body["scale"])
    replicas = (body.get("deploy") or {}).get("replicas")
    if replicas is not None and parse_int(replicas) != scale:
        raise InvalidInput(f"{scale} conflicts with deploy.replicas ({replicas})")
    if spec.WhichOneof("mode") != "replicated":
        raise InvalidInput("can only be used with replicated mode")
    spec.replicated.replicas = scale


def convert_jobs(services: Mapping[str, Any], specs: Mapping[str, ServiceSpec], report: FaultReporter) -> None:
    """A service that another one waits for to complete is a job, unless the file sets its mode."""
    short = {spec.name: name for name, spec in specs.items()}
    jobs = {
        dependency.service
        for spec in specs.values()
        for dependency in spec.depends_on
        if dependency.condition == Dependency.COMPLETED
    }
    for full in sorted(jobs):
        spec, body = specs[short[full]], services[short[full]] or {}
        if spec.WhichOneof("mode") != "replicated" or "mode" in (body.get("deploy") or {}):
            continue
        if spec.task.restart.condition == RestartPolicy.ANY:
            report.add(
                ("services", short[full], "restart"),
                "must be no or on-failure, because another service depends on this one to complete",
            )
        if spec.task.restart.condition == RestartPolicy.CONDITION_UNSPECIFIED:
            spec.task.restart.condition = RestartPolicy.NONE
        spec.replicated_job.total_completions = spec.replicated.replicas
        spec.ClearField("update")
        spec.ClearField("rollback")
