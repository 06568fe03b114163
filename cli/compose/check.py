"""Whether a merged file is Compose (by the published JSON schema) and whether all of it can be honoured.

Nothing is dropped in silence: a key that Shoal does not support yet is a fault that names it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

from cli.compose import mounts
from cli.compose.tree import YamlPath
from cli.compose.tuning import SETTERS

Found = Iterator[tuple[YamlPath, str]]

_NAMED = ("networks", "volumes", "secrets", "configs")
_NAME = re.compile(r"^[a-zA-Z0-9._-]+$|^x-")

_ANY: Mapping[str, Any] = {}

_PACE: Mapping[str, Any] = dict.fromkeys(
    ("parallelism", "delay", "order", "monitor", "failure_action", "max_failure_ratio")
)

SUPPORTED: Mapping[str, Any] = {
    "name": None,
    # Obsolete in the specification, and without effect there too.
    "version": None,
    "services": {
        "*": {
            "image": None,
            "command": None,
            "entrypoint": None,
            "environment": None,
            "env_file": None,
            "ports": None,
            "networks": None,
            "network_mode": None,
            "labels": None,
            "hostname": None,
            "container_name": None,
            "user": None,
            "group_add": None,
            "working_dir": None,
            "read_only": None,
            "tty": None,
            "stop_signal": None,
            "stop_grace_period": None,
            "cap_add": None,
            "cap_drop": None,
            "privileged": None,
            "sysctls": None,
            "ulimits": None,
            "shm_size": None,
            "tmpfs": None,
            "volumes": None,
            "secrets": None,
            "configs": None,
            "extra_hosts": None,
            "dns": None,
            "dns_search": None,
            "dns_opt": None,
            "security_opt": None,
            "oom_score_adj": None,
            "healthcheck": None,
            "post_start": None,
            "pre_stop": None,
            **dict.fromkeys(SETTERS),
            "platform": None,
            "label_file": None,
            "depends_on": None,
            "links": None,
            "restart": None,
            "scale": None,
            # Shoal's own, beside x-schedule; see OWN.
            "schedule": None,
            # Says what the image listens on; every port may be reached on a network of the stack.
            "expose": None,
            # See NO_EFFECT.
            "attach": None,
            "develop": None,
            "logging": {"driver": None, "options": {"max-size": None, "max-file": None}},
            "deploy": {
                "mode": None,
                "endpoint_mode": None,
                "replicas": None,
                "labels": None,
                "resources": {
                    "limits": {"cpus": None, "memory": None, "pids": None},
                    "reservations": {
                        "cpus": None,
                        "memory": None,
                        "generic_resources": None,
                        "devices": None,
                    },
                },
                "placement": {"constraints": None, "preferences": None, "max_replicas_per_node": None},
                "restart_policy": {"condition": None, "delay": None, "max_attempts": None, "window": None},
                "update_config": _PACE,
                "rollback_config": _PACE,
            },
        }
    },
    "volumes": {"*": {"name": None, "external": None, "labels": None, "driver": None, "driver_opts": None}},
    "secrets": {"*": {"name": None, "external": None, "labels": None, "file": None, "environment": None}},
    "configs": {
        "*": {"name": None, "external": None, "labels": None, "file": None, "environment": None, "content": None}
    },
    "networks": {
        "*": {
            "name": None,
            "driver": None,
            "external": None,
            "driver_opts": None,
            "internal": None,
            "attachable": None,
            "enable_ipv4": None,
            "enable_ipv6": None,
            "labels": None,
            "ipam": None,
        }
    },
}
"""Keys that are honoured; `*` stands for a name, None for a key whose value the conversion checks itself."""


_REAL_TIME = (
    "real-time shares need a budget in every cgroup above, and kernels of cgroup version 2 have none; "
    "give cpus, cpu_shares or cpuset"
)

REFUSED: Mapping[YamlPath, str] = {
    ("services", "build"): "Shoal does not build images: build it, `shoal image push` it, and name it in `image`",
    ("services", "external_links"): "there are no containers outside of the cluster to link to; leave it out",
    ("services", "volumes_from"): "tasks may be on several nodes: give both services the same volume instead",
    ("services", "extends"): "is followed in files only",
    ("services", "provider"): "Shoal runs containers only",
    (
        "services",
        "cgroup_parent",
    ): "every container has its own cgroup below Shoal's; bound it by deploy.resources.limits",
    ("services", "cpu_count"): "is for Windows; give deploy.resources.limits.cpus",
    ("services", "cpu_percent"): "is for Windows; give deploy.resources.limits.cpus",
    ("services", "cpu_rt_period"): f"{_REAL_TIME}",
    ("services", "cpu_rt_runtime"): f"{_REAL_TIME}",
    ("services", "credential_spec"): "is for Windows",
    ("services", "isolation"): "is for Windows",
    (
        "services",
        "mac_address",
    ): "networks are routed and no frame leaves a container's link, so nobody sees the address; "
    "give ipv4_address or ipv6_address where a peer is to know the service",
    ("services", "models"): "Shoal runs containers only",
    ("services", "pull_refresh_after"): "an image is pinned by its digest when it is deployed; deploy again instead",
    (
        "services",
        "runtime",
    ): "the node chooses its OCI runtime (crun, else runc); send the service to nodes by a constraint",
    ("services", "storage_opt"): "the size of a root file system cannot be bound; mount a volume or a tmpfs",
    ("services", "use_api_socket"): "there is no Docker engine whose socket it could have",
    ("secrets", "driver"): "secrets are kept by the cluster alone",
    ("secrets", "driver_opts"): "secrets are kept by the cluster alone",
    ("secrets", "template_driver"): "contents are not templates; put values into variables instead",
    ("configs", "template_driver"): "contents are not templates; put values into variables instead",
    ("models",): "Shoal runs containers only",
}
"""What Compose has and a cluster cannot have, by section and key, with what to do."""

LATER = {
    "pre_start": "is not supported: let a job do it, which depends_on waits for (service_completed_successfully)",
}
"""Keys that the specification's text has and its published schema has not yet, with what to do."""

NO_EFFECT = ("attach", "develop")
"""Keys of services that say something to other tools, and nothing to a cluster."""


OWN = ("schedule",)
"""Keys of services that Compose does not have, and Shoal has without `x-` too."""


@cache
def schema() -> Mapping[str, Any]:
    """The Compose Specification's schema, as published, with Shoal's own keys."""
    loaded: Mapping[str, Any] = json.loads(files("cli.compose").joinpath("compose-spec.json").read_text())
    loaded["definitions"]["service"]["properties"].update({key: {} for key in OWN})
    return loaded


def schema_faults(value: Mapping[str, Any]) -> Found:
    """Where the value breaks the schema, in the order of the file."""
    validator = jsonschema.Draft7Validator(schema())
    for error in sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path]):
        nearest = jsonschema.exceptions.best_match([error]) or error
        path = tuple(nearest.absolute_path)
        if unknown := _unknown(nearest):
            yield from (
                ((*path, key), LATER.get(key, f"{key!r} is not a key that Compose has here")) for key in unknown
            )
        else:
            yield path, _words(nearest)
    for section in _NAMED:
        entries = value.get(section)
        for name in entries if isinstance(entries, dict) else ():
            if not _NAME.match(str(name)):  # the schema looks at none but well-formed names
                yield (section, name), f"{name!r} is not a name: use letters, digits, '.', '_' and '-'"


def _unknown(error: jsonschema.ValidationError) -> list[str]:
    """The keys that a mapping may not have, when that is the fault."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    allowed = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return [key for key in error.instance if key not in allowed and not str(key).startswith("x-")]


_BOUNDS = {"maximum": "too large; the maximum", "minimum": "too small; the minimum"}


def _words(error: jsonschema.ValidationError) -> str:
    if error.validator == "required" and isinstance(error.instance, dict):
        required: Any = error.validator_value
        missing = [str(key) for key in required if key not in error.instance]
        return f"{', '.join(f'`{key}`' for key in missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if error.validator in _BOUNDS and isinstance(error.validator_value, int | float):
        return f"{_BOUNDS[str(error.validator)]} is {error.validator_value:,}"
    return error.message if len(error.message) < 300 else f"{error.message[:300]} …"


def unsupported(value: Any, known: Mapping[str, Any] = SUPPORTED, path: YamlPath = ()) -> Found:
    """Keys that Compose has and Shoal does not honour yet. Extensions (`x-…`) may stand anywhere."""
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        name = str(key)
        if name.startswith("x-"):
            continue
        if "*" in known:
            yield from unsupported(item, known["*"] or _ANY, (*path, name))
        elif name not in known:
            yield (*path, name), REFUSED.get((*path[:1], name), f"{name!r} is not supported yet")
        elif known[name] is not None:
            yield from unsupported(item, known[name], (*path, name))


def without_effect(value: Mapping[str, Any]) -> Found:
    """Keys that are admitted though nothing follows from them."""
    services = value.get("services")
    for name, body in services.items() if isinstance(services, dict) else ():
        for key in NO_EFFECT:
            if isinstance(body, dict) and key in body:
                yield ("services", name, key), "has no effect on a cluster"
        entries = body.get("volumes") if isinstance(body, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if word := mounts.without_effect(entry):
                yield (
                    ("services", name, "volumes", index),
                    f"{word!r} has no effect: Shoal does not label what it mounts",
                )
