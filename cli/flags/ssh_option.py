"""`--ssh`: which SSH agents or keys of this machine a build may use."""

import stat
from collections.abc import Mapping
from pathlib import Path

from shoal.errors import InvalidInput

SOCKET_VARIABLE = "SSH_AUTH_SOCK"


def is_socket(path: str) -> bool:
    """Whether an agent may listen there."""
    try:
        return stat.S_ISSOCK(Path(path).stat().st_mode)
    except OSError:
        return False


def parse_ssh(text: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Id and socket of an agent in "default" or "id=SOCKET", or id and files of private keys in "id=KEY,KEY".

    Raises:
        InvalidInput: there is no such socket, or one of the files is no key.
    """
    name, _, path = text.partition("=")
    path = path or environment.get(SOCKET_VARIABLE, "")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form ID, ID=SOCKET or ID=KEY")
    if not path:
        raise InvalidInput(f"{text!r}: no SSH agent is running (${SOCKET_VARIABLE} is not set)")
    if not is_socket(path):
        from cli.flags.ssh_keys import load_keys, paths_of

        try:
            load_keys(paths_of(path))
        except InvalidInput as error:
            raise InvalidInput(f"{text!r}: {error}") from None
    return name, path
