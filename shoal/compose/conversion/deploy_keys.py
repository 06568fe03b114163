"""Convert `deploy`, `ports` and `logging` of a Compose service to a service spec."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shoal.api.v1.meta_pb2 import GenericResource, Resources
from shoal.api.v1.service_pb2 import Endpoint, RestartPolicy, ServiceSpec, UpdateConfig
from shoal.compose.conversion.device_requests import request_devices
from shoal.compose.reading.scalar_values import (
    duration_ms,
    parse_bool,
    parse_int,
    parse_size,
    scalar_text,
    string_list,
    string_mapping,
)
from shoal.errors import InvalidInput
from shoal.spec_parsers import mode_parser
from shoal.spec_parsers.choices import ENDPOINT_MODES, RESTART_CONDITIONS, parse_choice
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.log_drivers import set_log_driver
from shoal.spec_parsers.placement_parser import add_affinity, add_preference, set_priority, set_stop_on_disconnect
from shoal.spec_parsers.port_parser import from_long, from_short
from shoal.spec_parsers.units import parse_nano_cpus
from shoal.spec_parsers.update_policies import ACTIONS, ORDERS, ROLLBACK_ACTIONS, parse_parallelism, parse_ratio

Value = Any
_LABEL = re.compile(r"((?!node\.|engine\.)[A-Za-z0-9][\w.-]*)\s*=\s*([^=~\s].*)")


def set_mode(spec: ServiceSpec, deploy: Mapping[str, Value]) -> None:
    """`mode` and `replicas`, and the extensions `x-max-concurrent` and `x-autoscale`."""
    mode_parser.set_mode(spec, str(deploy.get("mode", "replicated")))
    if "replicas" in deploy:
        mode_parser.set_replicas(spec, parse_count(scalar_text(deploy["replicas"]), key="replicas"))
    if "x-max-concurrent" in deploy:
        if spec.WhichOneof("mode") != "replicated_job":
            raise InvalidInput("x-max-concurrent can only be used with replicated-job mode")
        spec.replicated_job.max_concurrent = parse_count(
            scalar_text(deploy["x-max-concurrent"]), key="x-max-concurrent"
        )
    if "x-autoscale" in deploy:
        spec.autoscale.CopyFrom(mode_parser.autoscale_of(_string_mapping("x-autoscale", deploy["x-autoscale"])))


def set_platform(spec: ServiceSpec, value: str | None) -> None:
    """`platform`: `os[/arch]`, as constraints; the node chooses the variant of the architecture."""
    if not value:
        return
    system, _, rest = value.partition("/")
    architecture, _, variant = rest.partition("/")
    if variant and (architecture, variant) != ("arm64", "v8"):  # which all of them are
        raise InvalidInput(f"{value!r}: variants are not supported; use {system}/{architecture}")
    constraints = spec.task.placement.constraints
    constraints.append(f"node.platform.os == {system}")
    if architecture:
        constraints.append(f"node.platform.arch == {architecture}")


def schedule_keys(service: Mapping[str, Value]) -> list[str]:
    """The keys of a service's schedule; the second one is valid for other Compose tools, too."""
    return [key for key in ("schedule", "x-schedule") if service.get(key) is not None]


def set_schedule(spec: ServiceSpec, service: Mapping[str, Value], key: str) -> None:
    """`schedule` or `x-schedule` of a service: a cron expression, or a mapping."""
    if schedule_keys(service) != [key]:
        raise InvalidInput("schedule and x-schedule are mutually exclusive")
    value = service[key]
    fields = {"cron": value} if isinstance(value, str) else _string_mapping(key, value)
    spec.schedule.CopyFrom(mode_parser.schedule_of(fields))


def _string_mapping(name: str, value: Value) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} must be a mapping")
    return {str(key): scalar_text(item) for key, item in value.items()}


def labels(spec: ServiceSpec, value: Value) -> None:
    """Labels of the service."""
    spec.labels.update(string_mapping(value))


def resources(spec: ServiceSpec, value: Mapping[str, Mapping[str, Value]]) -> None:
    """`limits` and `reservations`."""
    if "limits" in value:
        spec.task.limits.MergeFrom(_amounts(value["limits"] or {}))
    if "reservations" in value:
        reserved = value["reservations"] or {}
        spec.task.reservations.MergeFrom(_amounts(reserved))
        request_devices(spec, reserved.get("devices"))


def _amounts(value: Mapping[str, Value]) -> Resources:
    return Resources(
        nano_cpus=parse_nano_cpus(scalar_text(value["cpus"])) if "cpus" in value else 0,
        memory_bytes=parse_size(value["memory"]) if "memory" in value else 0,
        pids=parse_int(value["pids"]) if "pids" in value else 0,
        generic_resources=_generic(value.get("generic_resources") or ()),
    )


def placement(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """`constraints`, `preferences`, `max_replicas_per_node`, and the extension `x-affinities`.

    A preference has the extensions `x-weight`, and `x-binpack` in place of `spread`.
    """
    spec.task.placement.constraints.extend(map(_constraint, string_list(value.get("constraints"))))
    for preference in value.get("preferences") or []:
        add_preference(spec, _preference(preference))
    for affinity in value.get("x-affinities") or []:
        add_affinity(spec, str(affinity))
    spec.task.placement.max_per_node = parse_int(value.get("max_replicas_per_node", 0))


def _constraint(text: str) -> str:
    """A node label may be given by its name alone, as in the specification's example: disktype=ssd."""
    match = _LABEL.fullmatch(text)
    return f"node.labels.{match[1]} == {match[2]}" if match is not None else text


def _preference(value: Mapping[str, Value]) -> str:
    """In the notation of the flag."""
    kinds = sorted(key for key in value if key in ("spread", "x-binpack") or not key.startswith("x-"))
    if kinds not in (["spread"], ["x-binpack"]):
        raise InvalidInput(f"preference {dict(value)!r} must have either spread or x-binpack, and optionally x-weight")
    weight = f",weight={scalar_text(value['x-weight'])}" if "x-weight" in value else ""
    return f"{kinds[0].removeprefix('x-')}={scalar_text(value[kinds[0]])}{weight}"


def stop_on_disconnect(spec: ServiceSpec, value: Value) -> None:
    """The extension `x-stop-on-disconnect`."""
    set_stop_on_disconnect(spec, scalar_text(value))


def priority(spec: ServiceSpec, value: Value) -> None:
    """The extension `x-priority`."""
    set_priority(spec, scalar_text(value))


def _generic(value: Sequence[Mapping[str, Value]]) -> Iterator[GenericResource]:
    for entry in value:
        kind = entry.get("discrete_resource_spec") or {}
        yield GenericResource(kind=str(kind.get("kind", "")), count=parse_int(kind.get("value", 0)))


def restart_policy(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """`condition`, `delay`, `max_attempts`, `window`."""
    restart = spec.task.restart
    if "condition" in value:
        number_of = parse_choice(str(value["condition"]), RESTART_CONDITIONS)
        restart.condition = RestartPolicy.Condition.ValueType(number_of)
    if "delay" in value:
        restart.delay_ms = duration_ms(value["delay"])
    restart.max_attempts = parse_int(value.get("max_attempts", 0))
    restart.window_ms = duration_ms(value.get("window", "0"))


def update_config(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """All keys of Compose, and the extensions `x-canary`, `x-auto-promote` and `x-progress-deadline`."""
    _update_settings(spec.update, value, ACTIONS)
    spec.update.canary = parse_count(scalar_text(value.get("x-canary", 0)))
    spec.update.auto_promote = parse_bool(value.get("x-auto-promote", False))


def rollback_config(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """As `update_config`, without canaries."""
    spec.rollback.SetInParent()
    _update_settings(spec.rollback, value, ROLLBACK_ACTIONS)


def _update_settings(config: UpdateConfig, value: Mapping[str, Value], actions: Mapping[str, int]) -> None:
    config.parallelism = parse_parallelism(scalar_text(value.get("parallelism", 1)))
    config.delay_ms = duration_ms(value.get("delay", "0"))
    if "order" in value:
        config.order = UpdateConfig.Order.ValueType(parse_choice(str(value["order"]), ORDERS))
    if "failure_action" in value:
        action = parse_choice(str(value["failure_action"]), actions)
        config.failure_action = UpdateConfig.FailureAction.ValueType(action)
    if "monitor" in value:
        config.monitor_ms = duration_ms(value["monitor"])
    if "max_failure_ratio" in value:
        config.max_failure_ratio = parse_ratio(scalar_text(value["max_failure_ratio"]))
    if "x-progress-deadline" in value:
        config.progress_deadline_ms = duration_ms(value["x-progress-deadline"])


def endpoint_mode(spec: ServiceSpec, value: Value) -> None:
    """`vip` or `dnsrr`."""
    spec.endpoint.mode = Endpoint.Mode.ValueType(parse_choice(str(value), ENDPOINT_MODES))


SECTIONS = {
    "endpoint_mode": endpoint_mode,
    "labels": labels,
    "resources": resources,
    "placement": placement,
    "x-priority": priority,
    "x-stop-on-disconnect": stop_on_disconnect,
    "restart_policy": restart_policy,
    "update_config": update_config,
    "rollback_config": rollback_config,
}


def add_port(spec: ServiceSpec, entry: Value) -> None:
    """One entry of `ports`, in its short or its long form."""
    if isinstance(entry, dict):
        fields = {key: scalar_text(value) for key, value in entry.items() if not _is_informational(key)}
        fields |= {"traffic": scalar_text(entry["x-traffic"])} if "x-traffic" in entry else {}
        spec.endpoint.ports.extend(from_long(fields, scalar_text(entry.get("target", ""))))
    else:
        spec.endpoint.ports.extend(from_short(scalar_text(entry)))


def _is_informational(key: str) -> bool:
    return key in ("name", "app_protocol") or key.startswith("x-")


def set_logging(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """`driver` (json-file, local or none) and the bounds of rotation."""
    set_log_driver(spec, str(value.get("driver") or "local"))
    options = value.get("options") or {}
    if "max-size" in options:
        spec.task.log.max_bytes = parse_size(options["max-size"])
    if "max-file" in options:
        spec.task.log.max_files = parse_int(options["max-file"])
