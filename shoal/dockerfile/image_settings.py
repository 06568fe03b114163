"""Instructions that change an image's configuration and no file. Pure. OCI image-spec, config.md, with Docker's
`Healthcheck`, `OnBuild` and `Shell`; Dockerfile reference.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shoal.dockerfile.expansion import Expander
from shoal.dockerfile.exposed_ports import parse_ports
from shoal.dockerfile.instructions import (
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Variable,
    Volume,
    Workdir,
)
from shoal.errors import InvalidInput
from shoal.signal_names import signal_number

Settings = dict[str, Any]
"""The `config` object of an image's configuration."""

DEFAULT_SHELL = ("/bin/sh", "-c")
_NANOSECONDS = 1_000_000
_MAX_SIGNAL = 40


def copy_settings(settings: Mapping[str, Any]) -> Settings:
    """A copy to be changed: instructions replace values of the settings, and leave the old ones as they are."""
    return dict(settings)


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The variables of an image, whoever wrote it; the last value of each counts."""
    listed = settings.get("Env")
    texts = listed if isinstance(listed, list) else []
    return dict(text.partition("=")[::2] for text in texts if isinstance(text, str))


def texts_of(settings: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts, such as `OnBuild`; empty if it is none."""
    listed = settings.get(key)
    return tuple(text for text in listed if isinstance(text, str)) if isinstance(listed, list) else ()


def shell_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What runs commands in shell form."""
    return texts_of(settings, "Shell") or DEFAULT_SHELL


def command_words(command: Command, settings: Mapping[str, Any]) -> list[str]:
    """The words of a command; of one in shell form its text after those of the shell."""
    if not command.is_shell:
        return list(command.words)
    return [*shell_of(settings), *command.words] if any(command.words) else []


def directory_of(settings: Mapping[str, Any]) -> str:
    """The working directory, absolute and clean."""
    directory = settings.get("WorkingDir")
    return absolute_path("/", directory) if isinstance(directory, str) else "/"


def absolute_path(directory: str, path: str) -> str:
    """A clean path that is relative to a directory unless it is absolute; it does not lead out of the root."""
    return "/" + posixpath.normpath(posixpath.join("/", directory, path)).lstrip("/")


def apply_setting(settings: Settings, instruction: Instruction, expander: Expander) -> None:
    """Change the settings as an instruction says.

    Raises:
        InvalidInput: a value is none once its variables are replaced, or the instruction changes no configuration.
    """
    apply = _APPLY.get(type(instruction))
    if apply is None:
        raise InvalidInput("changes no configuration")
    apply(settings, instruction, expander)


def expand_pairs(variables: Iterable[Variable], expander: Expander) -> dict[str, str]:
    """Names and values of ENV and LABEL. Raises InvalidInput: a name is empty."""
    pairs = {expander.word(each.name): expander.word(each.value or "") for each in variables}
    if "" in pairs:
        raise InvalidInput("names can not be blank")
    return pairs


def set_environment(settings: Settings, pairs: Mapping[str, str]) -> None:
    """Set variables; those that exist keep their places."""
    settings["Env"] = [f"{name}={value}" for name, value in (environment_of(settings) | dict(pairs)).items()]


def _env(settings: Settings, instruction: Env, expander: Expander) -> None:
    set_environment(settings, expand_pairs(instruction.variables, expander))


def _label(settings: Settings, instruction: Label, expander: Expander) -> None:
    settings["Labels"] = _object(settings, "Labels") | expand_pairs(instruction.variables, expander)


def _cmd(settings: Settings, instruction: Cmd, _expander: Expander) -> None:
    settings["Cmd"] = command_words(instruction.command, settings)


def _entrypoint(settings: Settings, instruction: Entrypoint, _expander: Expander) -> None:
    settings["Entrypoint"] = command_words(instruction.command, settings)


def _shell(settings: Settings, instruction: Shell, _expander: Expander) -> None:
    settings["Shell"] = list(instruction.words)


def _user(settings: Settings, instruction: User, expander: Expander) -> None:
    settings["User"] = _required(expander.word(instruction.user), "user")


def _workdir(settings: Settings, instruction: Workdir, expander: Expander) -> None:
    path = _required(expander.word(instruction.path), "path")
    settings["WorkingDir"] = absolute_path(directory_of(settings), path)


def _expose(settings: Settings, instruction: Expose, expander: Expander) -> None:
    words = [word for text in instruction.ports for word in expander.words(text)]
    settings["ExposedPorts"] = _object(settings, "ExposedPorts") | {
        port: {} for word in words for port in parse_ports(word)
    }


def _volume(settings: Settings, instruction: Volume, expander: Expander) -> None:
    paths = [_required(expander.word(path), "path") for path in instruction.paths]
    settings["Volumes"] = _object(settings, "Volumes") | {path: {} for path in paths}


def _stop_signal(settings: Settings, instruction: StopSignal, expander: Expander) -> None:
    signal = expander.word(instruction.signal)
    if signal_number(signal) is None:
        raise InvalidInput(f"invalid signal: {signal[:_MAX_SIGNAL]}")
    settings["StopSignal"] = signal


def _healthcheck(settings: Settings, instruction: Healthcheck, _expander: Expander) -> None:
    command = instruction.command
    if command is None:
        settings["Healthcheck"] = {"Test": ["NONE"]}
        return
    times = {
        "Interval": instruction.interval_ms * _NANOSECONDS,
        "Timeout": instruction.timeout_ms * _NANOSECONDS,
        "StartPeriod": instruction.start_period_ms * _NANOSECONDS,
        "StartInterval": instruction.start_interval_ms * _NANOSECONDS,
        "Retries": instruction.retries,
    }
    test = ["CMD-SHELL" if command.is_shell else "CMD", *command.words]
    settings["Healthcheck"] = {"Test": test, **{key: value for key, value in times.items() if value}}


def _on_build(settings: Settings, instruction: OnBuild, _expander: Expander) -> None:
    settings["OnBuild"] = [*texts_of(settings, "OnBuild"), instruction.instruction]


def _object(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = settings.get(key)
    return dict(found) if isinstance(found, dict) else {}


def _required(value: str, kind: str) -> str:
    if not value.strip():
        raise InvalidInput(f"the {kind} is empty once its variables are replaced")
    return value


_APPLY: Mapping[type[Instruction], Callable[[Settings, Any, Expander], None]] = {
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    OnBuild: _on_build,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}
