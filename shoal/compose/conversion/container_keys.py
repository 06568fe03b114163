"""Convert the keys of a Compose service to a container spec, one function per group of keys."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shoal.api.v1.container_pb2 import ContainerSpec, Hook, Ulimit
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.compose.conversion import health_keys, host_config_keys
from shoal.compose.reading.canonical_forms import as_host_list, as_mapping
from shoal.compose.reading.env_file import read_env_file
from shoal.compose.reading.file_reader import FileReader, read_text
from shoal.compose.reading.scalar_values import (
    command_words,
    duration_ms,
    parse_bool,
    parse_int,
    parse_size,
    scalar_text,
    string_list,
    string_mapping,
)
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.errors import InvalidInput, NotFound
from shoal.spec_parsers.mount_parser import parse_tmpfs
from shoal.spec_parsers.security_options import apply_security_option

Value = Any
Setter = Callable[[ServiceSpec, Value], None]


def _field(field: str, parse: Callable[[Value], Any] = scalar_text) -> Setter:
    return lambda spec, value: setattr(spec.task.container, field, parse(value))


def _list_field(field: str, parse: Callable[[Value], list[str]] = string_list) -> Setter:
    return lambda spec, value: getattr(spec.task.container, field).extend(parse(value))


def _labels(spec: ServiceSpec, value: Value) -> None:
    spec.task.container.labels.update(string_mapping(value))


def _sysctls(spec: ServiceSpec, value: Value) -> None:
    spec.task.container.sysctls.update(string_mapping(value))


def _hosts(spec: ServiceSpec, value: Value) -> None:
    for entry in as_host_list(value):
        name, sign, address = entry.partition("=")
        spec.task.container.extra_hosts.append(f"{name}:{address.strip('[]')}" if sign else name)


def _ulimits(spec: ServiceSpec, value: Mapping[str, Value]) -> None:
    for name, limit in value.items():
        both = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
        spec.task.container.ulimits.append(
            Ulimit(name=name, soft=parse_int(both.get("soft", both.get("hard"))), hard=parse_int(both.get("hard")))
        )


def _hook(value: Mapping[str, Value]) -> Hook:
    """One entry of `post_start` or `pre_stop`."""
    return Hook(
        command=command_words(value.get("command")),
        user=scalar_text(value.get("user") or ""),
        working_dir=scalar_text(value.get("working_dir") or ""),
        env=[f"{name}={text}" for name, text in string_mapping(value.get("environment") or {}).items()],
        privileged=parse_bool(value.get("privileged") or False),
    )


def _tmpfs(spec: ServiceSpec, value: Value) -> None:
    for entry in string_list(value):
        spec.task.container.mounts.append(parse_tmpfs(entry))


def security(
    container: ContainerSpec,
    options: Value,
    directory: Path,
    files: FileReader,
    fault: Callable[[YamlPath, str], None],
) -> None:
    """`security_opt`; the path of a seccomp profile begins at the file's directory."""

    def profile(path: str) -> str:
        try:
            return read_text(directory / files.expand(path), files)
        except NotFound as error:
            raise InvalidInput(str(error)) from None

    for index, option in enumerate(string_list(options)):
        try:
            apply_security_option(container, option, profile)
        except InvalidInput as error:
            fault(("security_opt", index), str(error))


SETTERS: Mapping[str, Setter] = {
    "image": _field("image"),
    "command": _list_field("command", command_words),
    "entrypoint": _list_field("entrypoint", command_words),
    "labels": _labels,
    "hostname": _field("hostname"),
    "container_name": _field("name"),
    "user": _field("user"),
    "group_add": _list_field("groups"),
    "working_dir": _field("working_dir"),
    "read_only": _field("read_only", parse_bool),
    "tty": _field("tty", parse_bool),
    "stop_signal": _field("stop_signal"),
    "stop_grace_period": _field("stop_grace_ms", duration_ms),
    "x-drain-timeout": _field("drain_ms", duration_ms),
    "cap_add": _list_field("cap_add"),
    "cap_drop": _list_field("cap_drop"),
    "privileged": _field("privileged", parse_bool),
    "runtime": _field("runtime"),
    "sysctls": _sysctls,
    "ulimits": _ulimits,
    "shm_size": _field("shm_bytes", parse_size),
    "tmpfs": _tmpfs,
    "extra_hosts": _hosts,
    "dns": lambda spec, value: spec.task.container.dns.nameservers.extend(string_list(value)),
    "dns_search": lambda spec, value: spec.task.container.dns.search.extend(string_list(value)),
    "dns_opt": lambda spec, value: spec.task.container.dns.options.extend(string_list(value)),
    "oom_score_adj": _field("oom_score_adj", parse_int),
    "healthcheck": health_keys.healthcheck,
    "x-healthcheck": health_keys.x_healthcheck,
    "post_start": lambda spec, value: spec.task.container.post_start.extend(map(_hook, value)),
    "pre_stop": lambda spec, value: spec.task.container.pre_stop.extend(map(_hook, value)),
    **host_config_keys.SETTERS,
}


def label_files(container: ContainerSpec, service: Mapping[str, Value], directory: Path, files: FileReader) -> None:
    """`label_file`: labels that are neither in `labels` nor in a later file."""
    for entry in reversed(_as_list(service.get("label_file"))):
        for name, text in read_env_file(directory / str(entry), {}, files).items():
            if name not in container.labels:
                container.labels[name] = text or ""


def environment(
    container: ContainerSpec,
    service: Mapping[str, Value],
    variables: Mapping[str, str],
    directory: Path,
    files: FileReader,
) -> None:
    """`env_file`, then `environment` over it; a name without value takes that of the caller's environment, if set."""
    values: dict[str, str] = {}
    for entry in _as_list(service.get("env_file")):
        settings = entry if isinstance(entry, dict) else {"path": entry}
        if settings.get("format") not in (None, "raw"):
            raise InvalidInput(f"env_file: unknown format {settings['format']!r}; omit it or use raw")
        path, required = directory / str(settings["path"]), parse_bool(settings.get("required", True))
        found = read_env_file(path, variables, files, required=required, raw=settings.get("format") == "raw")
        values.update((name, text) for name, text in found.items() if text is not None)
    for name, value in as_mapping(service.get("environment") or {}).items():
        if value is not None:
            values[name] = scalar_text(value)
        elif name in variables:
            values[name] = variables[name]
        else:
            values.pop(name, None)  # it is unset, whatever is in a file
    container.env.extend(f"{name}={value}" for name, value in values.items())


def _as_list(value: Value) -> list[Value]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
