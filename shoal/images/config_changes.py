"""Instructions of a Dockerfile that change a configuration (`--change` of `import` and `commit`). Pure.

Dockerfile reference; those of moby's `BuildFromConfig`, which `docker commit --change` uses.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shoal.errors import Fault, InvalidInput
from shoal.spec_parsers.units import parse_duration_ms

Settings = dict[str, Any]
"""The `config` object of an image's configuration (OCI image-spec, config.md)."""

_SHELL = ["/bin/sh", "-c"]
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(/(?:tcp|udp|sctp))?")
_MAX_PORT = 65535


def apply_changes(settings: Mapping[str, Any], changes: Sequence[str]) -> Settings:
    """The settings with all changes, in their order; `settings` stays as it is.

    Raises:
        InvalidInput: with every fault.
    """
    changed: Settings = json.loads(json.dumps(dict(settings)))
    faults = []
    for change in changes:
        instruction, _, rest = change.strip().partition(" ")
        apply = _INSTRUCTIONS.get(instruction.upper())
        if apply is None:
            text = f"unknown or unsupported instruction {instruction[:40]!r}; use one of {', '.join(_INSTRUCTIONS)}"
            faults.append(Fault("--change", text))
            continue
        try:
            apply(changed, rest.strip())
        except (InvalidInput, ValueError) as error:
            faults.append(Fault("--change", f"{instruction.upper()}: {error}"))
    if faults:
        raise InvalidInput(faults)
    return changed


def _command(key: str) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, text: str) -> None:
        settings[key] = _words_or_shell(text)

    return apply


def _words_or_shell(text: str) -> list[str]:
    """The exec form, a JSON list of texts, or else the shell form."""
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if isinstance(words, list) and all(isinstance(each, str) for each in words):
        return words
    return [*_SHELL, text] if text else []


def _environment(settings: Settings, text: str) -> None:
    known = dict(each.partition("=")[::2] for each in settings.get("Env") or [])
    settings["Env"] = [f"{key}={value}" for key, value in (known | _pairs(text)).items()]


def _labels(settings: Settings, text: str) -> None:
    settings["Labels"] = {**(settings.get("Labels") or {}), **_pairs(text)}


def _pairs(text: str) -> dict[str, str]:
    """`KEY=VALUE …`, with quotes as a shell's; or `KEY VALUE`, the older form."""
    words = shlex.split(text)
    if words and "=" not in words[0]:
        key, _, value = text.partition(" ")
        words = [f"{key}={value.strip()}"]
    pairs = [each.partition("=") for each in words]
    if not pairs or any(not sign or not key for key, sign, _ in pairs):
        raise InvalidInput(f"{text[:80]!r} must be in the form KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _ports(settings: Settings, text: str) -> None:
    ports = dict(settings.get("ExposedPorts") or {})
    for word in text.split():
        found = _PORT.fullmatch(word.lower())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if found is None or not 0 < first <= last <= _MAX_PORT:
            raise InvalidInput(f"{word[:40]!r} must be a port or a range of ports, with /tcp, /udp or /sctp")
        ports |= {f"{port}{found[3] or '/tcp'}": {} for port in range(first, last + 1)}
    settings["ExposedPorts"] = ports


def _volumes(settings: Settings, text: str) -> None:
    words = _words_or_shell(text) if text.startswith("[") else text.split()
    if not words:
        raise InvalidInput("needs at least one path")
    settings["Volumes"] = {**(settings.get("Volumes") or {}), **{word: {} for word in words}}


def _text(key: str) -> Callable[[Settings, str], None]:
    def apply(settings: Settings, text: str) -> None:
        if not text:
            raise InvalidInput("needs a value")
        settings[key] = text

    return apply


def _directory(settings: Settings, text: str) -> None:
    if not text:
        raise InvalidInput("needs a path")
    settings["WorkingDir"] = posixpath.normpath(posixpath.join("/", settings.get("WorkingDir") or "/", text))


def _on_build(settings: Settings, text: str) -> None:
    if not text:
        raise InvalidInput("needs an instruction")
    settings["OnBuild"] = [*(settings.get("OnBuild") or []), text]


_HEALTH_TIMES = {
    "--interval": "Interval",
    "--timeout": "Timeout",
    "--start-period": "StartPeriod",
    "--start-interval": "StartInterval",
}


def _health(settings: Settings, text: str) -> None:
    check: dict[str, Any] = {}
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        name, _, value = flag.partition("=")
        if name == "--retries":
            check["Retries"] = int(value)
        elif name in _HEALTH_TIMES:
            check[_HEALTH_TIMES[name]] = parse_duration_ms(value) * 1_000_000
        else:
            raise InvalidInput(f"unknown flag {name[:40]}")
        text = text.strip()
    kind, _, command = text.partition(" ")
    if kind.upper() == "NONE":
        settings["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD" or not command.strip():
        raise InvalidInput("must be NONE, or CMD with a command")
    words = _words_or_shell(command.strip())
    test = ["CMD-SHELL", command.strip()] if words[:2] == _SHELL else ["CMD", *words]
    settings["Healthcheck"] = {"Test": test, **check}


_INSTRUCTIONS: Mapping[str, Callable[[Settings, str], None]] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _command("Entrypoint"),
    "ENV": _environment,
    "EXPOSE": _ports,
    "HEALTHCHECK": _health,
    "LABEL": _labels,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _text("StopSignal"),
    "USER": _text("User"),
    "VOLUME": _volumes,
    "WORKDIR": _directory,
}
