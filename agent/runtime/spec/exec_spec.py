"""The `process` object of a user's program in a container (runtime-spec 1.0.2, config.md, "Process"). Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agent.runtime.spec.capability_sets import ALL
from agent.runtime.spec.user_lookup import ContainerUser
from shoal.api.v1.streams_pb2 import ExecStart

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""A shell's exit codes for a program that could not be executed (POSIX, 2.8.2)."""

_NOT_FOUND_TEXTS = ("not found in $path", "no such file or directory", "not found")


def has_terminal(request: ExecStart) -> bool:
    """Whether the program gets a terminal: one was requested, and the program is not detached."""
    return request.HasField("terminal") and not request.detach


def exec_process_section(
    own: Mapping[str, Any], request: ExecStart, *, user: ContainerUser | None, own_home: str, available: Collection[str]
) -> dict[str, Any]:
    """The container's own process with the requested changes: arguments, user, variables, directory, privileges.

    Args:
        own: the container's process.
        user: None: the container's own.
        own_home: the home directory of the container's own user; HOME is changed with the user if it has this value.
        available: capabilities that this host can grant.
    """
    process = dict(own) | {"args": list(request.args), "terminal": has_terminal(request)}
    more = list(request.env)
    if user is not None:
        process["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
        if f"HOME={own_home}" in own["env"]:
            more.insert(0, f"HOME={user.home}")
    if process["terminal"]:
        size = request.terminal
        process["consoleSize"] = {"height": size.rows, "width": size.columns}
        more.insert(0, "TERM=xterm")
    process["env"] = _variables(own["env"], more)
    process["cwd"] = request.working_dir or own["cwd"]
    bounding = own["capabilities"].get("bounding", ())
    if request.privileged:
        bounding = [name for name in ALL if name in available]
        process["noNewPrivileges"] = False
    # Users other than root have them only in the bounding set, as after execve(2).
    held = ("bounding", "effective", "permitted") if process["user"]["uid"] == 0 else ("bounding",)
    process["capabilities"] = {kind: list(bounding) for kind in held}
    return process


def exec_failure(message: str, program: str) -> tuple[int, str]:
    """Exit code and text for an OCI runtime's message about a program that it could not execute."""
    text = message if program in message else f"{program}: {message}"
    text = text.removeprefix("exec failed: ").removeprefix("unable to start container process: ")
    missing = any(each in text.lower() for each in _NOT_FOUND_TEXTS) and "chdir" not in text and "cwd" not in text
    return (NOT_FOUND if missing else NOT_EXECUTABLE), text


def _variables(own: Sequence[str], more: Sequence[str]) -> list[str]:
    """NAME=value, each name once, at its first position with its last value."""
    values: dict[str, str] = {}
    for entry in (*own, *more):
        name, _, value = entry.partition("=")
        values[name] = value
    return [f"{name}={value}" for name, value in values.items()]
