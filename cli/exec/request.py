"""The first message of the call: what is to be run, and how. Pure, but for reading files of variables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cli.flags.env_file import entries_of
from shoal.api.v1.streams_pb2 import ExecStart, TerminalSize
from shoal.errors import Fault, InvalidInput

_WORDS = {"task": "TASK", "args": "COMMAND", "env": "--env", "user": "--user", "working_dir": "--workdir"}
"""What a field of `ExecStart` is called on the command line."""

_FIELD = re.compile(r"(?:.*\.)?(\w+)(?:\[\d+\])?")


@dataclass(frozen=True)
class Flags:
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


def start_of(flags: Flags, *, here: Mapping[str, str], size: TerminalSize, typed: bool) -> ExecStart:
    """The message of the flags.

    Args:
        here: this process's environment.
        size: of the local terminal.
        typed: standard input is a terminal.
    Raises:
        InvalidInput: with everything that is wrong with them.
    """
    faults: list[Fault] = []
    if flags.interactive and flags.tty and not flags.detach and not typed:
        advice = "leave out -t, so that the program reads what comes in"
        faults.append(Fault("--tty", f"the input device is not a terminal; {advice}"))
    entries = [*_entries_of(flags.env_file, faults), *flags.env]
    faults += [
        Fault("--env", f"{each!r} has no name; write it like NAME=value")
        for each in entries
        if not each.partition("=")[0]
    ]
    if faults:
        raise InvalidInput(faults)
    return _message(flags, variables(entries, here, terminal=flags.tty), size)


def variables(entries: Iterable[str], here: Mapping[str, str], *, terminal: bool) -> list[str]:
    """The entries with their values, of each name the last; a name alone that has no value here is left out.

    Args:
        terminal: the program is given one, and has to know of what kind it is.
    """
    found = {"TERM": here["TERM"]} if terminal and "TERM" in here else {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if sign or name in here:
            found[name] = value if sign else here[name]
    return [f"{name}={value}" for name, value in found.items()]


def in_flags(faults: Iterable[Fault]) -> list[Fault]:
    """The manager's faults by the words of the command line; one of another field keeps its path."""
    return [Fault(_word(fault.path), fault.message) for fault in faults]


def _word(path: str) -> str:
    match = _FIELD.fullmatch(path)
    return _WORDS.get(match[1], path) if match else path


def _entries_of(paths: Iterable[str], faults: list[Fault]) -> list[str]:
    entries: list[str] = []
    for path in paths:
        try:
            entries += entries_of(path)
        except InvalidInput as error:
            faults += error.faults
    return entries


def _message(flags: Flags, env: Sequence[str], size: TerminalSize) -> ExecStart:
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
        raise InvalidInput(f"{error.object!r} is not UTF-8 text") from None
