"""The query of `POST /build` as what a build is asked for. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.protocol.errors import bad_request, not_implemented
from engine.protocol.parameters import boolean, integer
from engine.protocol.registry_auth import parse_auth_config, registry_domain
from engine.translate.fields import MAX_LIST, Fields
from shoal.api.v1.builds_pb2 import BuildStart, RegistryCredentials
from shoal.api.v1.container_pb2 import Ulimit
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.extra_hosts import parse_extra_host

BUILDKIT_VERSION = "2"
"""Of the request: a client whose session has the contexts."""
_NETWORKS = {"": "", "default": "", "bridge": "", "nat": "", "none": "none", "host": "host"}
_SESSION = "client-session"


@dataclass(frozen=True)
class BuildRequest:
    """A build, and how its progress is reported.

    Attributes:
        quiet: only the id of the image is reported.
        removes: intermediate containers are reported to be removed.
        removes_always: those of a step that failed, too.
        network: name or id of a network that has to be found; empty: `start` says it.
    """

    start: BuildStart
    quiet: bool
    removes: bool
    removes_always: bool
    network: str


class BuildQuery:
    """Parameters of one request.

    Args:
        values: of each parameter, in their order.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        found = self._values.get(name)
        return found[0] if found else ""

    def texts(self, name: str) -> list[str]:
        return [each for each in self._values.get(name, ()) if each]

    def boolean(self, name: str, *, default: bool = False) -> bool:
        return boolean(self.text(name)) if self._values.get(name) else default

    def integer(self, name: str) -> int:
        return integer(name, self.text(name)) if self.text(name) else 0

    def json(self, name: str, kind: type, empty: Any) -> Any:
        """A parameter that is JSON. Raises ApiError: 400, it is not of the kind."""
        text = self.text(name)
        if not text:
            return empty
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"error reading {name}: {error}") from None
        if found is None:
            return empty
        if not isinstance(found, kind):
            raise bad_request(f"error reading {name}: must be a JSON {'object' if kind is dict else 'array'}")
        sized: Any = found
        if len(sized) > MAX_LIST:
            raise bad_request(f"error reading {name}: too many entries; the maximum is {MAX_LIST:,}")
        return sized


def read_build(query: BuildQuery, registry_config: str = "", *, in_session: bool = False) -> BuildRequest:
    """The build that a request asks for.

    Args:
        registry_config: the header `X-Registry-Config`.
        in_session: the client has a session of BuildKit; what is there and where results go is not read here.
    Raises:
        ApiError: 400, something is not valid; 501, it cannot be honoured.
    """
    _check_supported(query)
    if not in_session:
        _check_classic(query)
    start = BuildStart(
        dockerfile=query.text("dockerfile"),
        names=list(dict.fromkeys(_name(each) for each in query.texts("t"))),
        target=query.text("target"),
        build_args=_build_args(query),
        labels=_text_map(query, "labels"),
        platform=_platform(query.text("platform")),
        no_cache=query.boolean("nocache"),
        pull=query.boolean("pull"),
        extra_hosts=_extra_hosts(query),
        cache_from=_texts(query, "cachefrom"),
        remote_context="" if in_session else query.text("remote"),
        ulimits=_ulimits(query),
        credentials=_credentials(registry_config),
    )
    _set_limits(start, query)
    mode = query.text("networkmode")
    if mode.startswith("container:"):
        raise not_implemented("building in the network of a container is not supported; use a network, host or none")
    start.network = _NETWORKS.get(mode, "")
    return BuildRequest(
        start,
        quiet=query.boolean("q"),
        removes=query.boolean("rm", default=True) or query.boolean("forcerm"),
        removes_always=query.boolean("forcerm"),
        network="" if mode in _NETWORKS else mode,
    )


def _check_supported(query: BuildQuery) -> None:
    if query.boolean("squash"):
        raise bad_request("squash is only supported with experimental mode")
    if query.text("isolation") not in ("", "default"):
        raise bad_request(f'invalid isolation "{query.text("isolation")}": only default is supported on linux')
    if query.text("cgroupparent"):
        raise not_implemented("cgroupparent is not supported: cgroups are managed by the cluster's nodes")
    if query.texts("securityopt"):
        raise not_implemented("securityopt is not supported for builds")


def _check_classic(query: BuildQuery) -> None:
    if query.text("version") not in ("", "1"):
        raise bad_request(f"invalid builder version: {query.text('version')[:20]}")
    if query.text("remote") == _SESSION or query.text("session"):
        raise bad_request(f"builds in a session are of version {BUILDKIT_VERSION}")
    if query.json("outputs", list, []):
        raise bad_request("outputs are not supported by the classic builder")


def _name(text: str) -> str:
    try:
        reference = parse(text)
    except InvalidInput as error:
        raise bad_request(f'invalid tag "{text}": invalid reference format: {error}') from None
    if reference.digest:
        raise bad_request(f'invalid tag "{text}": refusing to create a tag with a digest reference')
    return str(reference.with_default_tag())


def _build_args(query: BuildQuery) -> dict[str, str]:
    """Without those that are null: the client has no value for them."""
    found = query.json("buildargs", dict, {})
    return {name: value for name, value in found.items() if _checked("buildargs", value) is not None}


def _text_map(query: BuildQuery, name: str) -> dict[str, str]:
    return {key: _checked(name, value) or "" for key, value in query.json(name, dict, {}).items()}


def _texts(query: BuildQuery, name: str) -> list[str]:
    return [_checked(name, each) or "" for each in query.json(name, list, [])]


def _checked(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise bad_request(f"error reading {name}: values must be strings")
    return value


def _platform(text: str) -> str:
    if not text:
        return ""
    parts = text.lower().split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise bad_request(f'"{text}": unknown operating system or architecture: invalid argument')
    return "/".join(parts)


def _extra_hosts(query: BuildQuery) -> list[str]:
    try:
        return [parse_extra_host(each) for each in query.texts("extrahosts")]
    except InvalidInput as error:
        raise bad_request(f"invalid extrahosts: {error}") from None


def _ulimits(query: BuildQuery) -> list[Ulimit]:
    found = []
    for each in query.json("ulimits", list, []):
        if not isinstance(each, dict):
            raise bad_request("error reading ulimits: must be objects")
        fields = Fields(each, "ulimits")
        found.append(Ulimit(name=fields.text("Name"), soft=fields.number("Soft"), hard=fields.number("Hard")))
    return found


def _set_limits(start: BuildStart, query: BuildQuery) -> None:
    """Limits of each RUN; what is 0 or absent is none."""
    start.memory_bytes = _natural(query, "memory")
    start.memory_swap_bytes = max(-1, query.integer("memswap"))
    start.shm_bytes = _natural(query, "shmsize")
    start.cpu.cpuset_cpus = query.text("cpusetcpus")
    start.cpu.cpuset_mems = query.text("cpusetmems")
    start.cpu.shares = _natural(query, "cpushares")
    start.cpu.period_us = _natural(query, "cpuperiod")
    start.cpu.quota_us = max(0, query.integer("cpuquota"))


def _natural(query: BuildQuery, name: str) -> int:
    number = query.integer(name)
    if number < 0:
        raise bad_request(f'invalid value for "{name}": {number} is negative')
    return number


def _credentials(header: str) -> dict[str, RegistryCredentials]:
    return {
        registry_domain(server): RegistryCredentials(
            username=auth.username, password=auth.password, identity_token=auth.identity_token
        )
        for server, auth in parse_auth_config(header).items()
        if not auth.is_empty
    }
