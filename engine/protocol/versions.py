"""Versions of the API: which are served, and what changed with them that answers depend on. Pure."""

import re
from typing import NamedTuple, Self


class ApiVersion(NamedTuple):
    """A version, as it stands in a path without the `v`."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            ValueError: it is no version.
        """
        if _VERSION.fullmatch(text) is None:
            raise ValueError(f"{text!r} is no version of the API")
        numbers = [int(part) for part in text.split(".")]
        return cls(numbers[0], numbers[1] if len(numbers) > 1 else 0)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}")

NEWEST = ApiVersion(1, 50)
OLDEST = ApiVersion(1, 24)

# What answers depend on. Each name says what holds from its version on.
SECURITY_OPTIONS_AS_PAIRS = ApiVersion(1, 25)
"""SecurityOptions of `info` are `name=…`; before, the names alone. No ExecutionDriver."""
NO_IMAGE_FILTER_PARAMETER = ApiVersion(1, 41)
"""The list of images has no parameter `filter`; before, it is a name."""
BINARY_WEBSOCKETS = ApiVersion(1, 28)
"""Output by a WebSocket is in binary frames; before, in text."""
WAIT_CONDITIONS = ApiVersion(1, 30)
"""`wait` takes a condition, and sends its headers at once; before, it answers when the container has ended."""
IPC_MODE_PRIVATE = ApiVersion(1, 40)
"""IpcMode is `private` where it is not set; before, `shareable`."""
CGROUP_NAMESPACE_PRIVATE = ApiVersion(1, 41)
"""CgroupnsMode is `private` where it is not set; before, `host`."""
STOP_SIGNAL = ApiVersion(1, 42)
"""`stop` and `restart` take a signal."""
BUILD_CACHE_LISTED = ApiVersion(1, 42)
"""No BuilderSize in disk usage: the cache is listed."""
WEBSOCKET_STREAMS = ApiVersion(1, 42)
"""Clients of a WebSocket choose among a container's streams; before, they get all."""
STREAM_CONTENT_TYPE = ApiVersion(1, 42)
"""Streams of several outputs say so in their Content-Type."""
NO_DANGLING_NAMES = ApiVersion(1, 43)
"""Images without a name have no RepoTags; before, `<none>:<none>`."""
NETWORKS_AT_CREATION = ApiVersion(1, 44)
"""A container may be created with several networks; MacAddress is an endpoint's; no VirtualSize."""
NO_SHORT_ID_ALIAS = ApiVersion(1, 45)
"""Aliases do not contain the container's short id any more; DNSNames do."""
IMAGE_DESCRIPTORS = ApiVersion(1, 48)
"""Descriptor of images, EnableIPv4 of networks, GwPriority of endpoints."""
FIREWALL_BACKEND = ApiVersion(1, 49)
"""FirewallBackend in `info`; no `Expected` of commits, no facts of bridges' netfilter."""
SHORT_IMAGE_CONFIG = ApiVersion(1, 50)
"""The Config of images has only what the specification of images has."""


def unsupported(version: ApiVersion) -> str:
    """Why this version is not served, in Docker's words; empty if it is."""
    if version > NEWEST:
        return f"client version {version} is too new. Maximum supported API version is {NEWEST}"
    if version < OLDEST:
        return (
            f"client version {version} is too old. Minimum supported API version is {OLDEST}, "
            "please upgrade your client to a newer version"
        )
    return ""


def is_answered_in_json(version: ApiVersion) -> bool:
    """Whether errors are JSON; clients before 1.24 get plain text."""
    return version >= OLDEST
