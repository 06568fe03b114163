"""Texts that Docker's clients compare: where managers and agents say the same in other words. Pure."""

import re
from http import HTTPStatus

from engine.protocol.errors import ApiError, conflict
from shoal.errors import AlreadyExists, Refused, ShoalError

_NOT_FOUND = re.compile(
    r"no such file in the image|executable file not found|no such file or directory|not found in \$PATH", re.IGNORECASE
)
_NOT_EXECUTABLE = re.compile(r"not executable|permission denied|exec format error", re.IGNORECASE)
_DIRECTORY = re.compile(r"is a directory", re.IGNORECASE)
_PROGRAM = re.compile(r"spec\.\w+: (?P<program>.+): (?:no such file in the image|not executable|is a directory)$")
_PORT_TAKEN = re.compile(r"\bport\b.*\b(taken|in use|published|listens)\b", re.IGNORECASE)
_NO_NETWORK = re.compile(r"network .*not found", re.IGNORECASE)

CODE_NOT_STARTED, CODE_NOT_EXECUTABLE, CODE_NOT_FOUND = 125, 126, 127


def start_failure(error: ShoalError) -> ShoalError:
    """Why a container does not start, so that the docker CLI finds the exit code (125, 126, 127) in it."""
    text = str(error)
    if not isinstance(error, Refused):
        return error
    if _NOT_FOUND.search(text):
        return _not_executed(text, "executable file not found in $PATH")
    if _DIRECTORY.search(text):
        return _not_executed(text, "is a directory")
    if _NOT_EXECUTABLE.search(text):
        return _not_executed(text, "permission denied")
    if _PORT_TAKEN.search(text):
        return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, _with(text, "port is already allocated"))
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, text)


def start_failure_code(text: str) -> int:
    """The exit code of a run that could not be started, by what was said of it."""
    if _NOT_FOUND.search(text):
        return CODE_NOT_FOUND
    return CODE_NOT_EXECUTABLE if _NOT_EXECUTABLE.search(text) or _DIRECTORY.search(text) else CODE_NOT_STARTED


def exec_failure(program: str, code: int, text: str) -> str:
    """What a client reads of an exec that could not be run."""
    reason = "executable file not found in $PATH" if code == CODE_NOT_FOUND else "permission denied"
    if code not in (CODE_NOT_EXECUTABLE, CODE_NOT_FOUND):
        reason = text
    return (
        f'OCI runtime exec failed: exec failed: unable to start container process: exec: "{program}": {reason}: unknown'
    )


def name_taken(error: AlreadyExists, name: str, owner: str) -> ApiError:
    """409 of a container's name.

    Args:
        owner: id of the container that has it, 64 digits; empty where it is not known.
    """
    if not owner:
        return conflict(str(error))
    return conflict(
        f'Conflict. The container name "/{name.removeprefix("/")}" is already in use by container "{owner}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


def not_running(identifier: str) -> ApiError:
    """409 of what needs a running container."""
    return conflict(f"container {identifier} is not running")


def _not_executed(text: str, reason: str) -> ApiError:
    """As Docker's runtime says it, where the program's name is known."""
    found = _PROGRAM.search(text)
    if found is None:
        return ApiError(HTTPStatus.BAD_REQUEST, _with(text, reason))
    failed = "failed to create task for container: OCI runtime create failed: unable to start container process"
    return ApiError(HTTPStatus.BAD_REQUEST, f'{failed}: exec: "{found["program"]}": {reason}: unknown')


def _with(text: str, words: str) -> str:
    return text if words in text else f"{text}: {words}"
