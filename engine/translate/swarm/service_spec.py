"""Specs of services: requests as specs, and specs as documents. Pure.

Docker's defaults hold for services that come this way where Shoal has others: a failed update pauses, tasks are watched
for 5 s, one is replaced at a time.
"""

from collections.abc import Mapping
from typing import Any

from engine.protocol.errors import ApiError
from engine.protocol.versions import ApiVersion
from engine.translate.containers.container_ports import PROTOCOLS
from engine.translate.fields import Fields
from engine.translate.kept_requests import as_sent, keep, read_kept
from engine.translate.object_ids import docker_id, network_reference
from engine.translate.stack_labels import stack_of_service, with_stack
from engine.translate.swarm.service_container import container_document, read_container
from engine.translate.swarm.service_resources import read_resources, resources_document
from engine.translate.swarm.swarm_objects import NS
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, RestartPolicy, ServiceSpec, TaskTemplate, UpdateConfig
from shoal.ids import is_id

DEFAULT_MONITOR_MS = 5000
DEFAULT_GRACE_MS = 10_000
MAX_REPLICAS = 1_000_000

JOB_MODES = ("replicated_job", "global_job")
_KEYS = ("Name", "Labels", "TaskTemplate", "Mode", "UpdateConfig", "RollbackConfig", "EndpointSpec")
_OPTIONAL = {"ContainerSpec": ("Init", "DNSConfig"), "Resources": ("Limits", "Reservations")}
"""What is told empty only where it was sent so."""
_SPREAD_KEYS = ("node.", "engine.labels.")
_CONDITIONS = {"": 0, "none": RestartPolicy.NONE, "on-failure": RestartPolicy.ON_FAILURE, "any": RestartPolicy.ANY}
_ACTIONS = {
    "": UpdateConfig.PAUSE,
    "pause": UpdateConfig.PAUSE,
    "continue": UpdateConfig.CONTINUE,
    "rollback": UpdateConfig.ROLLBACK,
}
_ORDERS = {"": UpdateConfig.STOP_FIRST, "stop-first": UpdateConfig.STOP_FIRST, "start-first": UpdateConfig.START_FIRST}
_PUBLISH_MODES = {"": PublishedPort.INGRESS, "ingress": PublishedPort.INGRESS, "host": PublishedPort.HOST}
_ENDPOINT_MODES = {"": Endpoint.VIP, "vip": Endpoint.VIP, "dnsrr": Endpoint.DNSRR}


def read_service(document: Mapping[str, Any], version: ApiVersion) -> ServiceSpec:
    """The spec of a request, which is kept in it.

    Args:
        version: of the API, by which it came.

    Raises:
        ApiError: 400, something is not valid or cannot be honoured.
    """
    body = Fields(document)
    spec = ServiceSpec(name=body.text("Name"), labels=body.text_map("Labels"))
    spec.stack = stack_of_service(spec.labels, spec.name)
    template = body.nested("TaskTemplate")
    _read_template(template, spec.task)
    networks = template.nested_list("Networks") or body.nested_list("Networks")
    for entry in networks:
        spec.task.networks.add(network=network_reference(entry.text("Target")), aliases=entry.texts("Aliases"))
    _read_mode(body.nested("Mode"), spec)
    if body.has("UpdateConfig") or spec.WhichOneof("mode") not in JOB_MODES:  # jobs are not updated
        _read_update(body.nested("UpdateConfig"), spec.update)
    if body.has("RollbackConfig"):
        _read_update(body.nested("RollbackConfig"), spec.rollback)
    _read_endpoint(body.nested("EndpointSpec"), spec.endpoint)
    spec.engine_request = keep(document, version)
    return spec


def service_spec_document(spec: ServiceSpec, *, defaults: bool) -> dict[str, Any]:
    """A spec, each part as a client has sent it while it still means what is in force.

    Args:
        defaults: fill in what is not set (`insertDefaults`).
    """
    kept = read_kept(spec.engine_request)
    if kept is None:
        return _of_spec(spec, defaults=defaults)
    sent = {key: value for key, value in kept[0].items() if key in _KEYS}
    has_update = bool(sent.get("UpdateConfig"))
    current = _of_spec(spec, defaults=defaults, has_update=has_update)
    try:
        then = _of_spec(read_service(*kept), defaults=defaults, has_update=has_update)
    except ApiError:
        return current
    document = _like_sent(as_sent(current, then, sent), sent)
    if (generic := _generic_of(sent)) and _generic_of(current) == _generic_of(then):
        document["TaskTemplate"]["Resources"]["Reservations"]["GenericResources"] = generic
    return document


def _of_spec(spec: ServiceSpec, *, defaults: bool, has_update: bool = False) -> dict[str, Any]:
    document: dict[str, Any] = {
        "Name": spec.name,
        "Labels": with_stack(spec.labels, spec.stack),
        "TaskTemplate": _template_document(spec.task, defaults=defaults),
        "Mode": _mode_document(spec),
    }
    defaults = defaults and spec.WhichOneof("mode") not in JOB_MODES
    if defaults or has_update or _update_document(spec.update) != _update_document(UpdateConfig()):
        document["UpdateConfig"] = _update_document(spec.update)
    if spec.HasField("rollback") or defaults:
        document["RollbackConfig"] = _update_document(spec.rollback)
    document["EndpointSpec"] = endpoint_document(spec.endpoint)
    return document


def _like_sent(document: dict[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Absent stays absent and a zero that Docker keeps stays zero; platforms are the client's own, if any."""
    template, sent_template = document["TaskTemplate"], sent.get("TaskTemplate") or {}
    for part, keys in _OPTIONAL.items():
        given = sent_template.get(part) or {}
        unsent = [key for key in keys if key not in given and not template[part].get(key)]
        template[part] = {key: value for key, value in template[part].items() if key not in unsent}
    if (sent_template.get("RestartPolicy") or {}).get("Window") == 0:
        template["RestartPolicy"] = {**template.get("RestartPolicy", {}), "Window": 0}
    platforms = (sent_template.get("Placement") or {}).get("Platforms")
    others = {key: value for key, value in template["Placement"].items() if key != "Platforms"}
    template["Placement"] = others | ({"Platforms": platforms} if platforms else {})
    return document


def _generic_of(document: Mapping[str, Any]) -> Any:
    """`GenericResources`; a list of names and counts is told as a whole or not at all."""
    resources = (document.get("TaskTemplate") or {}).get("Resources") or {}
    return (resources.get("Reservations") or {}).get("GenericResources")


def _template_document(task: TaskTemplate, *, defaults: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "ContainerSpec": _container_document(task, defaults=defaults),
        "Resources": resources_document(task),
    }
    if task.HasField("restart") or defaults:
        document["RestartPolicy"] = _restart_document(task.restart)
    document["Placement"] = _placement_document(task)
    if task.networks:
        document["Networks"] = [
            {"Target": docker_id(each.network) if is_id(each.network) else each.network}
            | ({"Aliases": list(each.aliases)} if each.aliases else {})
            for each in task.networks
        ]
    if task.HasField("log"):
        document["LogDriver"] = _log_document(task)
    return document | {"ForceUpdate": task.force_update, "Runtime": "container"}


def endpoint_document(endpoint: Endpoint) -> dict[str, Any]:
    """`EndpointSpec`."""
    document: dict[str, Any] = {"Mode": "dnsrr" if endpoint.mode == Endpoint.DNSRR else "vip"}
    return document | ({"Ports": [port_document(each) for each in endpoint.ports]} if endpoint.ports else {})


def port_document(port: PublishedPort) -> dict[str, Any]:
    """One published port."""
    protocol = next((name for name, number in PROTOCOLS.items() if number == port.protocol), "tcp")
    document: dict[str, Any] = {"Protocol": protocol, "TargetPort": port.target}
    document |= {"PublishedPort": port.published} if port.published else {}
    return document | {"PublishMode": "host" if port.mode == PublishedPort.HOST else "ingress"}


def _container_document(task: TaskTemplate, *, defaults: bool) -> dict[str, Any]:
    document = container_document(task.container)
    if defaults:
        document.setdefault("StopGracePeriod", DEFAULT_GRACE_MS * NS)
    return document


def _read_template(template: Fields, task: TaskTemplate) -> None:
    if template.text("Runtime") not in ("", "container") or template.has("PluginSpec"):
        raise template.invalid("Runtime", "only containers are supported")
    read_container(template.nested("ContainerSpec"), task.container)
    read_resources(template.nested("Resources"), task)
    if template.has("RestartPolicy"):
        _read_restart(template.nested("RestartPolicy"), task.restart)
    placement = template.nested("Placement")
    task.placement.constraints.extend(placement.texts("Constraints"))
    task.placement.max_per_node = placement.count("MaxReplicas")
    for entry in placement.nested_list("Preferences"):
        key = entry.nested("Spread").text("SpreadDescriptor")
        if key.startswith(_SPREAD_KEYS):  # Docker passes over all others
            task.placement.spread.append(key)
    task.force_update = template.count("ForceUpdate")
    _read_log(template.nested("LogDriver"), task)


def _read_restart(policy: Fields, restart: RestartPolicy) -> None:
    condition = policy.text("Condition")
    if condition not in _CONDITIONS:
        raise policy.invalid("Condition", f"invalid RestartCondition: {condition!r}")
    restart.condition = RestartPolicy.Condition.ValueType(_CONDITIONS[condition])
    if policy.has("Delay"):
        restart.delay_ms = policy.number("Delay") // NS
    restart.max_attempts = policy.count("MaxAttempts")
    restart.window_ms = policy.number("Window") // NS


def _read_log(driver: Fields, task: TaskTemplate) -> None:
    name = driver.text("Name")
    if name not in ("", "json-file", "local", "none"):
        raise driver.invalid("Name", f"logger: no log driver named '{name}' is registered")
    if name:
        task.log.disabled = name == "none"


def _read_mode(mode: Fields, spec: ServiceSpec) -> None:
    given = [key for key in ("Replicated", "Global", "ReplicatedJob", "GlobalJob") if mode.has(key)]
    if len(given) > 1:
        raise mode.invalid("Replicated", "must specify only one service mode")
    kind = given[0] if given else "Replicated"
    fields = mode.nested(kind)
    if kind == "Replicated":
        spec.replicated.replicas = fields.count("Replicas") if fields.has("Replicas") else 1
    elif kind == "Global":
        getattr(spec, "global").SetInParent()
    elif kind == "ReplicatedJob":
        spec.replicated_job.max_concurrent = fields.count("MaxConcurrent") or 1
        spec.replicated_job.total_completions = fields.count("TotalCompletions") or spec.replicated_job.max_concurrent
    else:
        spec.global_job.SetInParent()


def _read_update(fields: Fields, update: UpdateConfig) -> None:
    action, order = fields.text("FailureAction"), fields.text("Order")
    if action not in _ACTIONS:
        raise fields.invalid("FailureAction", f"unrecognized update failure action {action}")
    if order not in _ORDERS:
        raise fields.invalid("Order", f"unrecognized update order {order}")
    update.failure_action, update.order = _ACTIONS[action], _ORDERS[order]
    update.parallelism = fields.count("Parallelism") if fields.has("Parallelism") else 1
    if update.parallelism == 0:  # Docker's word for all at once
        update.parallelism = MAX_REPLICAS
    update.delay_ms = fields.number("Delay") // NS
    update.monitor_ms = fields.number("Monitor") // NS if fields.number("Monitor") else DEFAULT_MONITOR_MS
    ratio = fields.value("MaxFailureRatio") or 0
    if not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise fields.invalid("MaxFailureRatio", f"invalid maximum failure ratio {ratio}")
    update.max_failure_ratio = float(ratio)


def _read_endpoint(fields: Fields, endpoint: Endpoint) -> None:
    mode = fields.text("Mode")
    if mode not in _ENDPOINT_MODES:
        raise fields.invalid("Mode", f"invalid endpoint mode {mode!r}")
    endpoint.mode = _ENDPOINT_MODES[mode]
    for entry in fields.nested_list("Ports"):
        protocol, publish = entry.text("Protocol") or "tcp", entry.text("PublishMode")
        if protocol not in PROTOCOLS or publish not in _PUBLISH_MODES:
            raise entry.invalid("Protocol", f"invalid port: {protocol!r}, {publish!r}")
        endpoint.ports.add(
            protocol=PROTOCOLS[protocol],
            target=entry.count("TargetPort"),
            published=entry.count("PublishedPort"),
            mode=_PUBLISH_MODES[publish],
        )


def _mode_document(spec: ServiceSpec) -> dict[str, Any]:
    match spec.WhichOneof("mode"):
        case "global":
            return {"Global": {}}
        case "replicated_job":
            total = spec.replicated_job.total_completions or 1
            concurrent = spec.replicated_job.max_concurrent or total
            return {"ReplicatedJob": {"MaxConcurrent": concurrent, "TotalCompletions": total}}
        case "global_job":
            return {"GlobalJob": {}}
        case _:
            return {"Replicated": {"Replicas": spec.replicated.replicas}}


def _update_document(update: UpdateConfig) -> dict[str, Any]:
    actions = {UpdateConfig.PAUSE: "pause", UpdateConfig.CONTINUE: "continue", UpdateConfig.ROLLBACK: "rollback"}
    parallelism = 0 if update.parallelism >= MAX_REPLICAS else update.parallelism or 1
    document: dict[str, Any] = {"Parallelism": parallelism}
    document |= {"Delay": update.delay_ms * NS} if update.delay_ms else {}
    return document | {
        "FailureAction": actions.get(update.failure_action, "pause"),
        "Monitor": (update.monitor_ms if update.HasField("monitor_ms") else DEFAULT_MONITOR_MS) * NS,
        "MaxFailureRatio": update.max_failure_ratio,
        "Order": "start-first" if update.order == UpdateConfig.START_FIRST else "stop-first",
    }


def _restart_document(restart: RestartPolicy) -> dict[str, Any]:
    names = {RestartPolicy.NONE: "none", RestartPolicy.ON_FAILURE: "on-failure"}
    document: dict[str, Any] = {"Condition": names.get(restart.condition, "any")}
    document["Delay"] = (restart.delay_ms if restart.HasField("delay_ms") else 5000) * NS
    document["MaxAttempts"] = restart.max_attempts
    return document | ({"Window": restart.window_ms * NS} if restart.window_ms else {})


def _placement_document(task: TaskTemplate) -> dict[str, Any]:
    placement = task.placement
    document: dict[str, Any] = {"Constraints": list(placement.constraints)} if placement.constraints else {}
    if placement.spread:
        document["Preferences"] = [{"Spread": {"SpreadDescriptor": each}} for each in placement.spread]
    document |= {"MaxReplicas": placement.max_per_node} if placement.max_per_node else {}
    if placement.platforms:
        document["Platforms"] = [{"Architecture": each.architecture, "OS": each.os} for each in placement.platforms]
    return document


def _log_document(task: TaskTemplate) -> dict[str, Any]:
    return {"Name": "none" if task.log.disabled else "json-file"}
