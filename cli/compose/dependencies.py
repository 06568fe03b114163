"""`depends_on`, `links`, `restart` and `scale`: what a service waits for, and what becomes of it when it ends."""

from collections.abc import Mapping
from typing import Any

from cli.compose.faults import Report
from cli.compose.tree import YamlPath
from cli.compose.values import number, truth
from cli.flags.scalars import choice
from shoal.api.v1.service_pb2 import Dependency, RestartPolicy, ServiceSpec
from shoal.errors import InvalidInput

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


def connect(specs: Mapping[str, ServiceSpec], name: str, body: Mapping[str, Any], report: Report) -> None:
    """What the service `name` waits for, and the names under which it knows others.

    Args:
        specs: all services of the file, by their names in it.
    """
    waits = body.get("depends_on") or {}
    for other in waits:
        settings = waits[other] if isinstance(waits, dict) else {}
        path: YamlPath = ("services", name, "depends_on", other if isinstance(waits, dict) else waits.index(other))
        report.attempt(path, lambda other=other, settings=settings: _wait(specs, name, other, settings or {}))  # type: ignore[misc]
    for index, link in enumerate(body.get("links") or []):
        report.attempt(("services", name, "links", index), lambda link=link: _link(specs, name, str(link)))  # type: ignore[misc]
    if isinstance(waits, dict | list) and (circle := _circle(specs, name)):
        report.add(("services", name, "depends_on"), f"dependency cycle: {' → '.join(circle)}")


def _wait(specs: Mapping[str, ServiceSpec], name: str, other: str, settings: Mapping[str, Any]) -> None:
    required = truth(settings.get("required", True))
    if other not in specs:
        if required:
            raise InvalidInput(f"there is no service {other!r}")
        return
    condition = choice("condition", str(settings.get("condition", "service_started")), CONDITIONS)
    specs[name].depends_on.add(
        service=specs[other].name,
        condition=Dependency.Condition.ValueType(condition),
        optional=not required,
        restart=truth(settings.get("restart", False)),
    )


def _link(specs: Mapping[str, ServiceSpec], name: str, link: str) -> None:
    other, _, alias = link.partition(":")
    if other not in specs:
        raise InvalidInput(f"there is no service {other!r}")
    if all(dependency.service != specs[other].name for dependency in specs[name].depends_on):
        specs[name].depends_on.add(service=specs[other].name, condition=Dependency.STARTED)
    if alias and alias != other:
        if alias in specs:
            raise InvalidInput(f"the alias {alias!r} is the name of another service")
        for attachment in specs[other].task.networks:
            if alias not in attachment.aliases:
                attachment.aliases.append(alias)


def _circle(specs: Mapping[str, ServiceSpec], start: str) -> list[str]:
    """Names from `start` back to it by what has been connected so far; a circle is told once, at its last service."""
    short = {spec.name: name for name, spec in specs.items()}
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for dependency in specs[way[-1]].depends_on:
            other = short[dependency.service]
            if other == start:
                return [*way, start]
            if other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []


def restart(spec: ServiceSpec, value: Any) -> None:
    """`no`, `always`, `unless-stopped`, `on-failure` and `on-failure:3`; `deploy.restart_policy` comes after it."""
    if value is None:
        return
    text = "no" if value is False else str(value)
    name, sign, attempts = text.partition(":")
    spec.task.restart.condition = RestartPolicy.Condition.ValueType(choice("restart", name, _RESTARTS))
    if sign:
        if name != "on-failure":
            raise InvalidInput(f"{text!r}: only on-failure takes a number of attempts")
        spec.task.restart.max_attempts = number(attempts)


def scale(spec: ServiceSpec, body: Mapping[str, Any]) -> None:
    """`scale`, which has to agree with `deploy.replicas`."""
    if body.get("scale") is None:
        return
    wanted = number(body["scale"])
    replicas = (body.get("deploy") or {}).get("replicas")
    if replicas is not None and number(replicas) != wanted:
        raise InvalidInput(f"{wanted} is not what deploy.replicas says, {replicas}")
    if spec.WhichOneof("mode") != "replicated":
        raise InvalidInput("only a replicated service has a scale")
    spec.replicated.replicas = wanted


def finish_jobs(services: Mapping[str, Any], specs: Mapping[str, ServiceSpec], report: Report) -> None:
    """A service that another one waits for to complete is a job, unless its file says how it runs."""
    short = {spec.name: name for name, spec in specs.items()}
    awaited = {
        dependency.service
        for spec in specs.values()
        for dependency in spec.depends_on
        if dependency.condition == Dependency.COMPLETED
    }
    for full in sorted(awaited):
        spec, body = specs[short[full]], services[short[full]] or {}
        if spec.WhichOneof("mode") != "replicated" or "mode" in (body.get("deploy") or {}):
            continue
        if spec.task.restart.condition == RestartPolicy.ANY:
            report.add(
                ("services", short[full], "restart"),
                "a service that another one waits for to complete must not be started again: say no or on-failure",
            )
        if spec.task.restart.condition == RestartPolicy.CONDITION_UNSPECIFIED:
            spec.task.restart.condition = RestartPolicy.NONE
        spec.replicated_job.total_completions = spec.replicated.replicas
        spec.ClearField("update")
        spec.ClearField("rollback")
