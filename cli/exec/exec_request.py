"""The first message of an exec call. Pure, except for reading environment files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cli.flags.docker_env_file import read_env_file
from cli.flags.fault_collector import faults_of_flag
from shoal.api.v1.streams_pb2 import ExecStart, TerminalSize
from shoal.errors import Fault, InvalidInput

_OPTION_OF_FIELD = {
    "task": "CONTAINER",
    "args": "COMMAND",
    "env": "--env",
    "user": "--user",
    "working_dir": "--workdir",
}
"""What a field of `ExecStart` is called on the command line."""

_FIELD = re.compile(r"(?:.*\.)?(\w+)(?:\[\d+\])?")


@dataclass(frozen=True)
class ExecOptions:
    """What was typed; fields are named as click names them.

    Attributes:
        program: the program and its arguments.
        env: "NAME=value", or "NAME" for the value that it has here.
    """

    task: str
    program: Sequence[str]
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    env: Sequence[str] = ()
    env_file: Sequence[str] = ()
    user: str = ""
    workdir: str = ""
    privileged: bool = False


def exec_start(
    flags: ExecOptions, *, environment: Mapping[str, str], size: TerminalSize, stdin_is_terminal: bool
) -> ExecStart:
    """The message of the flags.

    Args:
        environment: this process's environment.
        size: of the local terminal.
        stdin_is_terminal: standard input is a terminal.
    Raises:
        InvalidInput: with everything that is wrong with them.
    """
    faults: list[Fault] = []
    if flags.interactive and flags.tty and not flags.detach and not stdin_is_terminal:
        advice = "omit --tty to pipe input to the command"
        faults.append(Fault("--tty", f"the input device is not a terminal; {advice}"))
    entries = [*_read_env_files(flags.env_file, faults), *flags.env]
    faults += [
        Fault("--env", f"{each!r} must be in the form NAME[=VALUE]") for each in entries if not each.partition("=")[0]
    ]
    if faults:
        raise InvalidInput(faults)
    return _message(flags, variables(entries, environment, terminal=flags.tty), size)


def variables(entries: Iterable[str], environment: Mapping[str, str], *, terminal: bool) -> list[str]:
    """The entries with their values, of each name the last; a name alone that has no value here is left out.

    Args:
        terminal: the program is given one, and has to know of what kind it is.
    """
    found = {"TERM": environment["TERM"]} if terminal and "TERM" in environment else {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if sign or name in environment:
            found[name] = value if sign else environment[name]
    return [f"{name}={value}" for name, value in found.items()]


def faults_by_option(faults: Iterable[Fault]) -> list[Fault]:
    """The manager's faults by the words of the command line; one of another field keeps its path."""
    return [Fault(_option(fault.path), fault.message) for fault in faults]


def _option(path: str) -> str:
    match = _FIELD.fullmatch(path)
    return _OPTION_OF_FIELD.get(match[1], path) if match else path


def _read_env_files(paths: Iterable[str], faults: list[Fault]) -> list[str]:
    entries: list[str] = []
    for path in paths:
        try:
            entries += read_env_file(path)
        except InvalidInput as error:
            faults += faults_of_flag("--env-file", error)
    return entries


def _message(flags: ExecOptions, env: Sequence[str], size: TerminalSize) -> ExecStart:
    try:
        return ExecStart(
            task=flags.task,
            args=flags.program,
            env=env,
            user=flags.user,
            working_dir=flags.workdir,
            privileged=flags.privileged,
            stdin=flags.interactive and not flags.detach,
            terminal=size if flags.tty else None,
            detach=flags.detach,
        )
    except UnicodeEncodeError as error:  # bytes of the command line or of a variable, as Python carries them
        raise InvalidInput(f"{error.object!r} is not valid UTF-8") from None
