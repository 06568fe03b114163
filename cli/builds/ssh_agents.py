"""SSH agents of this machine, or files of keys in their place, which answer commands of a build on its node."""

import socket
from collections.abc import Mapping

from cli.flags.ssh_option import is_socket
from shoal.api.v1.builds_pb2 import SshReply, SshRequest
from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.ssh_messages import LENGTH_BYTES, MAX_MESSAGE_BYTES, may_send, with_length

TIMEOUT_SECONDS = 60.0
"""Of one request: somebody may have to touch a key."""


def answer(agents: Mapping[str, str], request: SshRequest) -> SshReply:
    """What an agent says; what builds may not send, and what fails, is answered with nothing. Blocking.

    Args:
        agents: sockets, or files of keys ("KEY,KEY"), by id.
    """
    path = agents.get(request.id)
    if path is None or not may_send(request.message):
        return SshReply(number=request.number)
    try:
        reply = _exchange(path, request.message) if is_socket(path) else _by_keys(path, request.message)
    except (OSError, InvalidInput):
        return SshReply(number=request.number)
    return SshReply(number=request.number, message=reply)


def _by_keys(paths: str, message: bytes) -> bytes:
    """The files are read again each time: nothing keeps a private key."""
    from cli.flags.ssh_keys import answer_by_keys, load_keys, paths_of

    return answer_by_keys(load_keys(paths_of(paths)), message)


def _exchange(path: str, message: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.settimeout(TIMEOUT_SECONDS)
        agent.connect(path)
        agent.sendall(with_length(message))
        with agent.makefile("rb") as replies:
            size = int.from_bytes(replies.read(LENGTH_BYTES), "big")
            return replies.read(size) if size <= MAX_MESSAGE_BYTES else b""
