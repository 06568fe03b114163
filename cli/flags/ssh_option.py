"""`--ssh`: which SSH agents of this machine a build may use."""

import stat
from collections.abc import Mapping
from pathlib import Path

from shoal.errors import InvalidInput

SOCKET_VARIABLE = "SSH_AUTH_SOCK"


def parse_ssh(text: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Id and socket of an agent in "default" or "id=SOCKET".

    Raises:
        InvalidInput: there is no such socket.
    """
    name, _, path = text.partition("=")
    path = path or environment.get(SOCKET_VARIABLE, "")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form ID or ID=SOCKET")
    if not path:
        raise InvalidInput(f"{text!r}: no SSH agent is running (${SOCKET_VARIABLE} is not set)")
    try:
        is_socket = stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError as error:
        raise InvalidInput(f"{text!r}: {path}: {error.strerror}") from None
    if not is_socket:
        raise InvalidInput(f"{text!r}: {path} is not a socket; add keys to an agent with ssh-add")
    return name, path
