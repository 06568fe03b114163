"""What a container runs: `Config` of a creation request and the process part of a container's spec. Pure."""

from collections.abc import Sequence
from typing import Any

from engine.translate.containers.health_config import health_document, read_health
from engine.translate.fields import Fields
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.signal_names import signal_number


def read_process(config: Fields, container: ContainerSpec, environment: Sequence[str]) -> None:
    """Put what `Config` says of the process into a spec.

    Args:
        environment: `Env` without hints for the placement.
    Raises:
        ApiError: 400, it is not valid.
    """
    container.entrypoint.extend(_entrypoint(config))
    container.command.extend(config.texts("Cmd"))
    container.env.extend(_environment(config, environment))
    container.working_dir = config.text("WorkingDir")
    container.user = config.text("User")
    container.hostname = config.text("Hostname")
    container.domainname = config.text("Domainname")
    container.tty = config.boolean("Tty")
    container.stdin_open = config.boolean("OpenStdin")
    container.stdin_once = config.boolean("StdinOnce") and container.stdin_open
    container.stop_signal = _signal(config)
    if config.has("StopTimeout"):
        seconds = config.number("StopTimeout")
        if seconds < 0:
            raise config.invalid("StopTimeout", "-1 (never SIGKILL) is not supported; specify a number of seconds")
        container.stop_grace_ms = seconds * 1000
    if config.has("Healthcheck"):
        read_health(config.nested("Healthcheck"), container)


def process_document(container: ContainerSpec) -> dict[str, Any]:
    """The keys of `Config` that `read_process` reads, of a spec. What is unset is as Docker tells it."""
    document: dict[str, Any] = {
        "Hostname": container.hostname,
        "Domainname": container.domainname,
        "User": container.user,
        "Tty": container.tty,
        "OpenStdin": container.stdin_open,
        "StdinOnce": container.stdin_once,
        "Env": list(container.env) or None,
        "Cmd": list(container.command) or None,
        "WorkingDir": container.working_dir,
        "Entrypoint": list(container.entrypoint) or None,
    }
    if container.stop_signal:
        document["StopSignal"] = container.stop_signal
    if container.HasField("stop_grace_ms"):
        document["StopTimeout"] = container.stop_grace_ms // 1000
    if container.HasField("healthcheck"):
        document["Healthcheck"] = health_document(container.healthcheck)
    return document


def _entrypoint(config: Fields) -> list[str]:
    """An empty list means the image's, as no list; a list of an empty word takes the image's away."""
    return config.texts("Entrypoint")


def _environment(config: Fields, entries: Sequence[str]) -> list[str]:
    found = []
    for entry in entries:
        name, sign, _ = entry.partition("=")
        if not name:
            raise config.invalid("Env", f"invalid environment variable: {entry}")
        if sign:  # a name alone takes a variable of the image away; there is no such notation in a spec
            found.append(entry)
    return found


def _signal(config: Fields) -> str:
    text = config.text("StopSignal")
    if text and signal_number(text) is None:
        raise config.invalid("StopSignal", f"Invalid signal: {text}")
    return text
