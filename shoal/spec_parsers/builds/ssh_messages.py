"""Messages of the SSH agent protocol (draft-ietf-sshm-ssh-agent), as far as builds may send them. Pure.

A build may list keys and have something signed; it may not add, remove or lock keys.
"""

LENGTH_BYTES = 4
MAX_MESSAGE_BYTES = 256 << 10
"""OpenSSH's own bound."""
FAILURE = b"\x05"
_LIST_KEYS, _SIGN = 11, 13


def may_send(message: bytes) -> bool:
    """Whether a build may send this to an agent."""
    return 0 < len(message) <= MAX_MESSAGE_BYTES and message[0] in (_LIST_KEYS, _SIGN)


def with_length(message: bytes) -> bytes:
    """As it is on a socket."""
    return len(message).to_bytes(LENGTH_BYTES, "big") + message
