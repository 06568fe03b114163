"""Validate a merged file: against the published JSON schema, and for keys that Shoal does not support.

No key is ignored silently: an unsupported key is an error that names it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

from shoal.compose.conversion import build_keys, volume_keys
from shoal.compose.conversion.host_config_keys import SETTERS
from shoal.compose.reading.yaml_tree import YamlPath

Findings = Iterator[tuple[YamlPath, str]]

_NAMED_SECTIONS = ("networks", "volumes", "secrets", "configs")
_NAME = re.compile(r"^[a-zA-Z0-9._-]+$|^x-")

_ANY: Mapping[str, Any] = {}
_FILE: Mapping[str, Any] = dict.fromkeys(("name", "external", "labels", "file", "environment", "template_driver"))

_UPDATE_KEYS: Mapping[str, Any] = dict.fromkeys(
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
            "runtime": None,
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
            "build": dict.fromkeys(build_keys.SUPPORTED),
            "platform": None,
            "label_file": None,
            "depends_on": None,
            "links": None,
            "restart": None,
            "scale": None,
            # Shoal's own, beside x-schedule; see OWN.
            "schedule": None,
            # Documents what the image listens on; every port can be reached on a network of the stack.
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
                "update_config": _UPDATE_KEYS,
                "rollback_config": _UPDATE_KEYS,
            },
        }
    },
    "volumes": {"*": {"name": None, "external": None, "labels": None, "driver": None, "driver_opts": None}},
    "secrets": {"*": _FILE},
    "configs": {"*": {**_FILE, "content": None}},
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
    "is not supported: real-time scheduling needs a budget in every parent cgroup and is missing in cgroup v2; "
    "use cpus, cpu_shares or cpuset"
)

UNSUPPORTED: Mapping[YamlPath, str] = {
    ("services", "external_links"): "is not supported: there are no containers outside the cluster",
    (
        "services",
        "volumes_from",
    ): "is not supported: tasks run on different nodes; mount the same volume in both services",
    ("services", "extends"): "is only supported in files",
    ("services", "provider"): "is not supported: Shoal only runs containers",
    (
        "services",
        "cgroup_parent",
    ): "is not supported: containers run in cgroups managed by Shoal; use deploy.resources.limits",
    ("services", "cpu_count"): "only applies to Windows; use deploy.resources.limits.cpus",
    ("services", "cpu_percent"): "only applies to Windows; use deploy.resources.limits.cpus",
    ("services", "cpu_rt_period"): f"{_REAL_TIME}",
    ("services", "cpu_rt_runtime"): f"{_REAL_TIME}",
    ("services", "credential_spec"): "only applies to Windows",
    ("services", "isolation"): "only applies to Windows",
    (
        "services",
        "mac_address",
    ): "is not supported: networks are routed; use ipv4_address or ipv6_address for a fixed address",
    ("services", "models"): "is not supported: Shoal only runs containers",
    (
        "services",
        "pull_refresh_after",
    ): "is not supported: images are pinned by digest on deployment; deploy again instead",
    (
        "services",
        "storage_opt",
    ): "is not supported: the size of the root filesystem cannot be limited; use a volume or tmpfs mount",
    ("services", "use_api_socket"): "is not supported: Shoal has no Docker Engine socket",
    ("secrets", "driver"): "is not supported: secrets are stored by the cluster",
    ("secrets", "driver_opts"): "is not supported: secrets are stored by the cluster",
    ("models",): "is not supported: Shoal only runs containers",
}
"""Keys that Compose has and Shoal does not support, by section and key, with what to do instead."""

NOT_IN_SCHEMA = {
    "pre_start": "is not supported: use a job with depends_on (service_completed_successfully)",
}
"""Keys that the specification's text has and its published schema has not yet, with what to do."""

NO_EFFECT = ("attach", "develop")
"""Keys of services that have a meaning for other tools, and none in a cluster."""


SHOAL_KEYS = ("schedule",)
"""Keys of services that Compose does not have, and Shoal has without `x-` too."""


@cache
def schema() -> Mapping[str, Any]:
    """The Compose Specification's schema, as published, with Shoal's own keys."""
    loaded: Mapping[str, Any] = json.loads(files("shoal.compose").joinpath("compose-spec.json").read_text())
    loaded["definitions"]["service"]["properties"].update({key: {} for key in SHOAL_KEYS})
    return loaded


def schema_faults(value: Mapping[str, Any]) -> Findings:
    """Where the value breaks the schema, in the order of the file."""
    validator = jsonschema.Draft7Validator(schema())
    for error in sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path]):
        nearest = jsonschema.exceptions.best_match([error]) or error
        path = tuple(nearest.absolute_path)
        if unknown := _unknown(nearest):
            yield from (((*path, key), NOT_IN_SCHEMA.get(key, f"unknown key {key!r}")) for key in unknown)
        else:
            yield path, _message(nearest)
    for section in _NAMED_SECTIONS:
        entries = value.get(section)
        for name in entries if isinstance(entries, dict) else ():
            if not _NAME.match(str(name)):  # the schema looks at none but well-formed names
                yield (section, name), f"{name!r} is not a valid name; use letters, digits, '.', '_' and '-'"


def _unknown(error: jsonschema.ValidationError) -> list[str]:
    """The keys that a mapping may not have, when that is the fault."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    allowed = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return [key for key in error.instance if key not in allowed and not str(key).startswith("x-")]


_BOUNDS = {"maximum": "too large; the maximum", "minimum": "too small; the minimum"}
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "null": "null",
}


def _message(error: jsonschema.ValidationError) -> str:
    if error.validator == "required" and isinstance(error.instance, dict):
        required: Any = error.validator_value
        missing = [str(key) for key in required if key not in error.instance]
        return f"{', '.join(f'`{key}`' for key in missing)} {'is' if len(missing) == 1 else 'are'} missing"
    if error.validator in _BOUNDS and isinstance(error.validator_value, int | float):
        return f"{_BOUNDS[str(error.validator)]} is {error.validator_value:,}"
    if error.validator == "enum" and isinstance(error.validator_value, list):
        return f"{error.instance!r} must be one of {', '.join(map(str, error.validator_value))}"
    if error.validator == "type":
        types = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"must be {' or '.join(_TYPES.get(str(each), str(each)) for each in types)}"
    return error.message if len(error.message) < 300 else f"{error.message[:300]} …"


def unsupported_keys(value: Any, known: Mapping[str, Any] = SUPPORTED, path: YamlPath = ()) -> Findings:
    """Keys that Compose has and Shoal does not honour yet. Extensions (`x-…`) may stand anywhere."""
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        name = str(key)
        if name.startswith("x-"):
            continue
        if "*" in known:
            yield from unsupported_keys(item, known["*"] or _ANY, (*path, name))
        elif name not in known:
            yield (*path, name), UNSUPPORTED.get((*path[:1], name), f"{name!r} is not supported")
        elif known[name] is not None:
            yield from unsupported_keys(item, known[name], (*path, name))


def ignored_keys(value: Mapping[str, Any]) -> Findings:
    """Keys that are accepted and have no effect."""
    services = value.get("services")
    for name, body in services.items() if isinstance(services, dict) else ():
        for key in NO_EFFECT:
            if isinstance(body, dict) and key in body:
                yield ("services", name, key), "has no effect in a cluster"
        entries = body.get("volumes") if isinstance(body, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if word := volume_keys.ignored_setting(entry):
                yield (
                    ("services", name, "volumes", index),
                    f"{word!r} has no effect: SELinux labels are not supported",
                )
