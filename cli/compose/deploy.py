"""`deploy`, `ports`, `networks` and `logging` of a Compose service, to the service schema."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cli.compose.device_requests import request_devices
from cli.compose.values import duration_ms, number, pairs, scalar, size, texts, truth
from cli.flags import modes
from cli.flags.logs import set_log_driver
from cli.flags.numbers import count
from cli.flags.placement import add_affinity, add_preference, set_cut_off, set_priority
from cli.flags.ports import from_long, from_short
from cli.flags.scalars import CONDITIONS, ENDPOINT_MODES, choice
from cli.flags.updates import ACTIONS, ORDERS, ROLLBACK_ACTIONS, parallelism, ratio
from cli.render.units import parse_nano_cpus
from shoal.api.v1.meta_pb2 import GenericResource, Resources
from shoal.api.v1.service_pb2 import Endpoint, RestartPolicy, ServiceSpec, UpdateConfig
from shoal.errors import InvalidInput

Value = Any
_LABEL = re.compile(r"((?!node\.|engine\.)[A-Za-z0-9][\w.-]*)\s*=\s*([^=~\s].*)")


def mode(spec: ServiceSpec, deploy: Mapping[str, Value]) -> None:
    """`mode` and `replicas`, and the extensions `x-max-concurrent` and `x-autoscale`."""
    modes.set_mode(spec, str(deploy.get("mode", "replicated")))
    if "replicas" in deploy:
        modes.set_replicas(spec, count("replicas", scalar(deploy["replicas"])))
    if "x-max-concurrent" in deploy:
        if spec.WhichOneof("mode") != "replicated_job":
            raise InvalidInput("x-max-concurrent is for the mode replicated-job")
        spec.replicated_job.max_concurrent = count("x-max-concurrent", scalar(deploy["x-max-concurrent"]))
    if "x-autoscale" in deploy:
        spec.autoscale.CopyFrom(modes.autoscale_of(_texts_of("x-autoscale", deploy["x-autoscale"])))


def platform(spec: ServiceSpec, value: str | None) -> None:
    """`platform`: `os[/arch]`, as constraints; which variant of an architecture is taken is the node's to choose."""
    if not value:
        return
    system, _, rest = value.partition("/")
    architecture, _, variant = rest.partition("/")
    if variant and (architecture, variant) != ("arm64", "v8"):  # which all of them are
        raise InvalidInput(f"{value!r}: the variant is the node's to choose; write {system}/{architecture}")
    constraints = spec.task.placement.constraints
    constraints.append(f"node.platform.os == {system}")
    if architecture:
        constraints.append(f"node.platform.arch == {architecture}")


def schedules(service: Mapping[str, Value]) -> list[str]:
    """The keys by which a service says when it runs; the second is for those who keep to Compose's own keys."""
    return [key for key in ("schedule", "x-schedule") if service.get(key) is not None]


def schedule(spec: ServiceSpec, service: Mapping[str, Value], key: str) -> None:
    """`schedule` or `x-schedule` of a service: a cron expression, or a mapping."""
    if schedules(service) != [key]:
        raise InvalidInput("schedule and x-schedule are the same; give one of them")
    value = service[key]
    fields = {"cron": value} if isinstance(value, str) else _texts_of(key, value)
    spec.schedule.CopyFrom(modes.schedule_of(fields))


def _texts_of(name: str, value: Value) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} is a mapping")
    return {str(key): scalar(item) for key, item in value.items()}


def labels(spec: ServiceSpec, value: Value) -> None:
    """Labels of the service."""
    spec.labels.update(pairs(value))


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
        nano_cpus=parse_nano_cpus(scalar(value["cpus"])) if "cpus" in value else 0,
        memory_bytes=size(value["memory"]) if "memory" in value else 0,
        pids=number(value["pids"]) if "pids" in value else 0,
        generic=_generic(value.get("generic_resources") or ()),
    )


def placement(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """`constraints`, `preferences`, `max_replicas_per_node`, and the extension `x-affinities`.

    A preference has the extensions `x-weight`, and `x-binpack` in place of `spread`.
    """
    spec.task.placement.constraints.extend(map(_constraint, texts(value.get("constraints"))))
    for preference in value.get("preferences") or []:
        add_preference(spec, _preference(preference))
    for affinity in value.get("x-affinities") or []:
        add_affinity(spec, str(affinity))
    spec.task.placement.max_per_node = number(value.get("max_replicas_per_node", 0))


def _constraint(text: str) -> str:
    """A label of the node may be meant by its name alone, as the specification's example has it: disktype=ssd."""
    match = _LABEL.fullmatch(text)
    return f"node.labels.{match[1]} == {match[2]}" if match is not None else text


def _preference(value: Mapping[str, Value]) -> str:
    """As the flag has it."""
    kinds = sorted(key for key in value if key in ("spread", "x-binpack") or not key.startswith("x-"))
    if kinds not in (["spread"], ["x-binpack"]):
        raise InvalidInput(f"preference {dict(value)!r} is none of: spread, x-binpack, each with x-weight")
    weight = f",weight={scalar(value['x-weight'])}" if "x-weight" in value else ""
    return f"{kinds[0].removeprefix('x-')}={scalar(value[kinds[0]])}{weight}"


def cut_off(spec: ServiceSpec, value: Value) -> None:
    """The extension `x-stop-when-cut-off`."""
    set_cut_off(spec, scalar(value))


def priority(spec: ServiceSpec, value: Value) -> None:
    """The extension `x-priority`."""
    set_priority(spec, scalar(value))


def _generic(value: Sequence[Mapping[str, Value]]) -> Iterator[GenericResource]:
    for entry in value:
        kind = entry.get("discrete_resource_spec") or {}
        yield GenericResource(kind=str(kind.get("kind", "")), count=number(kind.get("value", 0)))


def restart_policy(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """`condition`, `delay`, `max_attempts`, `window`."""
    restart = spec.task.restart
    if "condition" in value:
        number_of = choice("condition", str(value["condition"]), CONDITIONS)
        restart.condition = RestartPolicy.Condition.ValueType(number_of)
    if "delay" in value:
        restart.delay_ms = duration_ms(value["delay"])
    restart.max_attempts = number(value.get("max_attempts", 0))
    restart.window_ms = duration_ms(value.get("window", "0"))


def update_config(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """All keys of Compose, and the extensions `x-canary`, `x-auto-promote` and `x-progress-deadline`."""
    _pace(spec.update, value, ACTIONS)
    spec.update.canary = count("x-canary", scalar(value.get("x-canary", 0)))
    spec.update.auto_promote = truth(value.get("x-auto-promote", False))


def rollback_config(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """As `update_config`, without canaries."""
    spec.rollback.SetInParent()
    _pace(spec.rollback, value, ROLLBACK_ACTIONS)


def _pace(config: UpdateConfig, value: Mapping[str, Value], actions: Mapping[str, int]) -> None:
    config.parallelism = parallelism(scalar(value.get("parallelism", 1)))
    config.delay_ms = duration_ms(value.get("delay", "0"))
    if "order" in value:
        config.order = UpdateConfig.Order.ValueType(choice("order", str(value["order"]), ORDERS))
    if "failure_action" in value:
        action = choice("failure_action", str(value["failure_action"]), actions)
        config.failure_action = UpdateConfig.FailureAction.ValueType(action)
    if "monitor" in value:
        config.monitor_ms = duration_ms(value["monitor"])
    if "max_failure_ratio" in value:
        config.max_failure_ratio = ratio(scalar(value["max_failure_ratio"]))
    if "x-progress-deadline" in value:
        config.progress_deadline_ms = duration_ms(value["x-progress-deadline"])


def endpoint_mode(spec: ServiceSpec, value: Value) -> None:
    """`vip` or `dnsrr`."""
    spec.endpoint.mode = Endpoint.Mode.ValueType(choice("endpoint_mode", str(value), ENDPOINT_MODES))


SECTIONS = {
    "endpoint_mode": endpoint_mode,
    "labels": labels,
    "resources": resources,
    "placement": placement,
    "x-priority": priority,
    "x-stop-when-cut-off": cut_off,
    "restart_policy": restart_policy,
    "update_config": update_config,
    "rollback_config": rollback_config,
}


def port(spec: ServiceSpec, entry: Value) -> None:
    """One entry of `ports`, in its short or its long form."""
    if isinstance(entry, dict):
        fields = {key: scalar(value) for key, value in entry.items() if not _is_a_word_to_people(key)}
        fields |= {"traffic": scalar(entry["x-traffic"])} if "x-traffic" in entry else {}
        spec.endpoint.ports.extend(from_long(fields, scalar(entry.get("target", ""))))
    else:
        spec.endpoint.ports.extend(from_short(scalar(entry)))


def _is_a_word_to_people(key: str) -> bool:
    return key in ("name", "app_protocol") or key.startswith("x-")


def logging(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    """`driver` (json-file, local or none) and the bounds of rotation."""
    set_log_driver(spec, str(value.get("driver") or "local"))
    options = value.get("options") or {}
    if "max-size" in options:
        spec.task.log.max_bytes = size(options["max-size"])
    if "max-file" in options:
        spec.task.log.max_files = number(options["max-file"])
