"""Settings of an image that is committed from a container: those of its image, as the container has them. Pure.

moby's daemon/commit.go, `merge`: an image's ONBUILD is not passed on.
"""

import re
from collections.abc import Iterable
from typing import Any

from shoal.api.v1.container_pb2 import ContainerSpec, Healthcheck, Mount
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import ContainerDefinition

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_NS_PER_MS = 1_000_000
_PROTOCOLS = {PublishedPort.UDP: "udp", PublishedPort.SCTP: "sctp"}


def committed_settings(image: dict[str, Any], definition: ContainerDefinition) -> dict[str, Any]:
    """The `config` object for the new image.

    Args:
        image: that of the image below.
    """
    spec = definition.task.container
    settings = {key: value for key, value in image.items() if key != "OnBuild"}
    _set_commands(settings, spec)
    if spec.env:
        settings["Env"] = _merged_env([*(image.get("Env") or []), *spec.env])
    if labels := {**(image.get("Labels") or {}), **definition.labels, **spec.labels}:
        settings["Labels"] = labels
    if ports := {**(image.get("ExposedPorts") or {}), **_exposed(definition.ports)}:
        settings["ExposedPorts"] = ports
    if volumes := {**(image.get("Volumes") or {}), **_anonymous(spec.mounts)}:
        settings["Volumes"] = volumes
    given = {"User": spec.user, "WorkingDir": spec.working_dir, "StopSignal": spec.stop_signal}
    settings |= {key: value for key, value in given.items() if value}
    if check := _healthcheck(spec.healthcheck):
        settings["Healthcheck"] = {**(image.get("Healthcheck") or {}), **check}
    return settings


def command_line(settings: dict[str, Any]) -> str:
    """The command, as Docker's history shows it."""
    return " ".join(map(str, settings.get("Cmd") or ()))


def _set_commands(settings: dict[str, Any], spec: ContainerSpec) -> None:
    """An entrypoint of the container's own discards the image's command."""
    if spec.entrypoint:
        settings["Entrypoint"] = list(spec.entrypoint)
        settings.pop("Cmd", None)
    if spec.command:
        settings["Cmd"] = list(spec.command)


def _merged_env(lines: Iterable[str]) -> list[str]:
    return [f"{name}={value}" for name, value in dict(line.partition("=")[::2] for line in lines).items()]


def _exposed(ports: Iterable[PublishedPort]) -> dict[str, dict[str, str]]:
    return {f"{each.target}/{_PROTOCOLS.get(each.protocol, 'tcp')}": {} for each in ports}


def _anonymous(mounts: Iterable[Mount]) -> dict[str, dict[str, str]]:
    found = (each for each in mounts if each.type == Mount.VOLUME)
    return {each.target: {} for each in found if not each.source or _ANONYMOUS.fullmatch(each.volume.name)}


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    """In Docker's form; checks of agents' own kinds have none."""
    if check.disabled:
        return {"Test": ["NONE"]}
    given: dict[str, Any] = {
        "Test": list(check.test),
        "Interval": check.interval_ms * _NS_PER_MS,
        "Timeout": check.timeout_ms * _NS_PER_MS,
        "Retries": check.retries,
        "StartPeriod": check.start_period_ms * _NS_PER_MS,
        "StartInterval": check.start_interval_ms * _NS_PER_MS,
    }
    return {key: value for key, value in given.items() if value}
