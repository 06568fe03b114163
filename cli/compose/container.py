"""A Compose service's own keys, to the container schema. One function a group of keys."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cli.compose import health, tuning
from cli.compose.env_file import env_file
from cli.compose.forms import hosts, named
from cli.compose.tree import YamlPath
from cli.compose.values import duration_ms, number, pairs, scalar, size, texts, truth, words
from cli.flags.mounts import parse_tmpfs
from cli.flags.security import security_option
from shoal.api.v1.container_pb2 import ContainerSpec, Hook, Ulimit
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

Value = Any
Setter = Callable[[ServiceSpec, Value], None]


def _plain(field: str, parse: Callable[[Value], Any] = scalar) -> Setter:
    return lambda spec, value: setattr(spec.task.container, field, parse(value))


def _many(field: str, parse: Callable[[Value], list[str]] = texts) -> Setter:
    return lambda spec, value: getattr(spec.task.container, field).extend(parse(value))


def _labels(spec: ServiceSpec, value: Value) -> None:
    spec.task.container.labels.update(pairs(value))


def _sysctls(spec: ServiceSpec, value: Value) -> None:
    spec.task.container.sysctls.update(pairs(value))


def _hosts(spec: ServiceSpec, value: Value) -> None:
    for entry in hosts(value):
        name, sign, address = entry.partition("=")
        spec.task.container.extra_hosts.append(f"{name}:{address.strip('[]')}" if sign else name)


def _ulimits(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    for name, limit in value.items():
        both = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
        spec.task.container.ulimits.append(
            Ulimit(name=name, soft=number(both.get("soft", both.get("hard"))), hard=number(both.get("hard")))
        )


def _hook(value: Mapping[str, Value]) -> Hook:
    """One entry of `post_start` or `pre_stop`."""
    return Hook(
        command=words(value.get("command")),
        user=scalar(value.get("user") or ""),
        working_dir=scalar(value.get("working_dir") or ""),
        env=[f"{name}={text}" for name, text in pairs(value.get("environment") or {}).items()],
        privileged=truth(value.get("privileged") or False),
    )


def _tmpfs(spec: ServiceSpec, value: Value) -> None:
    for entry in texts(value):
        spec.task.container.mounts.append(parse_tmpfs(entry))


def security(container: ContainerSpec, options: Value, directory: Path, fault: Callable[[YamlPath, str], None]) -> None:
    """`security_opt`; the path of a seccomp profile begins at the file's directory."""
    for index, option in enumerate(texts(options)):
        try:
            security_option(container, option, directory)
        except InvalidInput as error:
            fault(("security_opt", index), str(error))


SETTERS: Mapping[str, Setter] = {
    "image": _plain("image"),
    "command": _many("command", words),
    "entrypoint": _many("entrypoint", words),
    "labels": _labels,
    "hostname": _plain("hostname"),
    "container_name": _plain("name"),
    "user": _plain("user"),
    "group_add": _many("groups"),
    "working_dir": _plain("working_dir"),
    "read_only": _plain("read_only", truth),
    "tty": _plain("tty", truth),
    "stop_signal": _plain("stop_signal"),
    "stop_grace_period": _plain("stop_grace_ms", duration_ms),
    "x-drain-timeout": _plain("drain_ms", duration_ms),
    "cap_add": _many("cap_add"),
    "cap_drop": _many("cap_drop"),
    "privileged": _plain("privileged", truth),
    "sysctls": _sysctls,
    "ulimits": _ulimits,
    "shm_size": _plain("shm_bytes", size),
    "tmpfs": _tmpfs,
    "extra_hosts": _hosts,
    "dns": lambda spec, value: spec.task.container.dns.nameservers.extend(texts(value)),
    "dns_search": lambda spec, value: spec.task.container.dns.search.extend(texts(value)),
    "dns_opt": lambda spec, value: spec.task.container.dns.options.extend(texts(value)),
    "oom_score_adj": _plain("oom_score_adj", number),
    "healthcheck": health.healthcheck,
    "x-healthcheck": health.extension,
    "post_start": lambda spec, value: spec.task.container.post_start.extend(map(_hook, value)),
    "pre_stop": lambda spec, value: spec.task.container.pre_stop.extend(map(_hook, value)),
    **tuning.SETTERS,
}


def label_files(container: ContainerSpec, service: Mapping[str, Value], directory: Path) -> None:
    """`label_file`: labels that neither `labels` nor a later file says otherwise."""
    for entry in reversed(_as_list(service.get("label_file"))):
        for name, text in env_file(directory / str(entry), {}).items():
            if name not in container.labels:
                container.labels[name] = text or ""


def environment(
    container: ContainerSpec, service: Mapping[str, Value], variables: Mapping[str, str], directory: Path
) -> None:
    """`env_file`, then `environment` over it; a name without value takes that of the caller's environment, if set."""
    values: dict[str, str] = {}
    for entry in _as_list(service.get("env_file")):
        settings = entry if isinstance(entry, dict) else {"path": entry}
        if settings.get("format") not in (None, "raw"):
            raise InvalidInput(f"env_file: format {settings['format']!r} is not one; leave it out, or say raw")
        path, required = directory / str(settings["path"]), truth(settings.get("required", True))
        found = env_file(path, variables, required=required, raw=settings.get("format") == "raw")
        values.update((name, text) for name, text in found.items() if text is not None)
    for name, value in named(service.get("environment") or {}).items():
        if value is not None:
            values[name] = scalar(value)
        elif name in variables:
            values[name] = variables[name]
        else:
            values.pop(name, None)  # it is unset, whatever a file says
    container.env.extend(f"{name}={value}" for name, value in values.items())


def _as_list(value: Value) -> list[Value]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
