"""Convert `build` of a service: what is asked of a builder, and where the context is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os.path import normpath
from pathlib import Path
from typing import Any

from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.container_pb2 import Ulimit
from shoal.compose.reading.canonical_forms import as_host_list, as_mapping
from shoal.compose.reading.scalar_values import (
    parse_bool,
    parse_int,
    parse_size,
    scalar_text,
    string_list,
    string_mapping,
)
from shoal.compose.reading.yaml_tree import YamlPath
from shoal.errors import InvalidInput
from shoal.image_reference import parse
from shoal.spec_parsers.builds.build_caches import parse_cache
from shoal.spec_parsers.builds.build_inputs import (
    IMAGE_CONTEXT,
    SecretSource,
    is_remote,
    parse_build_network,
    parse_named_context,
)
from shoal.spec_parsers.extra_hosts import parse_extra_host

Fault = Callable[[YamlPath, str], None]

SERVICE_CONTEXT = "service:"
"""An additional context that is the image of another service."""


@dataclass(frozen=True)
class ServiceBuild:
    """How the image of a service is built.

    Attributes:
        service: its key in the file.
        start: without a Dockerfile; its first name is the image that the service runs.
        context: an absolute path, or an address.
        dockerfile: path from the context, or absolute; empty: the default.
        inline: the Dockerfile's text; empty: a file.
        secrets: where their values are; paths are absolute.
        directories: additional contexts that are paths, absolute.
        after: services whose images are built before.
        platforms: several, of which an index is made; else none, and `start` has the one.
        ssh: SSH agents, each as `ID` or `ID=SOCKET`.
    """

    service: str
    start: BuildStart
    context: str
    dockerfile: str = ""
    inline: str = ""
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    directories: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildScope:
    """What a `build` may refer to.

    Attributes:
        directory: that relative paths begin at.
        variables: for arguments without a value.
        secrets: the section of the file.
        image_of: the image of a service of the file; None where there is no such service.
    """

    directory: Path
    variables: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, Any]]
    image_of: Callable[[str], str | None]


def service_build(service: str, image: str, body: Mapping[str, Any], scope: BuildScope, fault: Fault) -> ServiceBuild:
    """The build of a service.

    Args:
        image: that the service runs.
        body: the service. fault: takes what is wrong, by the path below `build`.
    """
    given = body["build"]
    keys: Mapping[str, Any] = given if isinstance(given, Mapping) else {"context": given}
    converter = _Converter(scope, keys, fault)
    start = converter.start([image, *string_list(keys.get("tags"))])
    platforms = tuple(dict.fromkeys(each.lower() for each in string_list(keys.get("platforms"))))
    if not platforms and body.get("platform"):
        start.platform = str(body["platform"]).lower()
    if keys.get("dockerfile") and keys.get("dockerfile_inline"):
        fault(("dockerfile_inline",), "conflicts with dockerfile")
    return ServiceBuild(
        service,
        start,
        converter.context(),
        str(keys.get("dockerfile") or ""),
        str(keys.get("dockerfile_inline") or ""),
        converter.secrets(),
        converter.directories,
        tuple(converter.after),
        platforms if len(platforms) > 1 else (),
        tuple(_ssh_agents(keys.get("ssh"))),
    )


class _Converter:
    def __init__(self, scope: BuildScope, keys: Mapping[str, Any], fault: Fault) -> None:
        self._scope = scope
        self._keys = keys
        self._fault = fault
        self.directories: dict[str, str] = {}
        self.after: list[str] = []

    def context(self) -> str:
        text = str(self._keys.get("context") or ".")
        return text if is_remote(text) else self._path(text)

    def start(self, names: list[str]) -> BuildStart:
        start = BuildStart()
        for key, convert in _SETTERS.items():
            if self._keys.get(key) is not None:
                self._catch((key,), lambda key=key, convert=convert: convert(start, self._keys[key]))  # type: ignore[misc]
        for index, name in enumerate(names):
            self._catch(("tags", index - 1) if index else ("tags",), lambda name=name: _add_name(start, name))  # type: ignore[misc]
        for name, value in as_mapping(self._keys.get("args") or {}).items():
            found = self._scope.variables.get(name) if value is None else scalar_text(value)
            if found is not None:
                start.build_args[name] = found
        for name, value in as_mapping(self._keys.get("additional_contexts") or {}).items():
            self._catch(
                ("additional_contexts", name),
                lambda name=name, value=value: self._add_context(start, name, str(value or "")),  # type: ignore[misc]
            )
        return start

    def secrets(self) -> dict[str, SecretSource]:
        found: dict[str, SecretSource] = {}
        for index, entry in enumerate(self._keys.get("secrets") or []):
            self._catch(("secrets", index), lambda entry=entry: self._add_secret(found, entry))  # type: ignore[misc]
        return found

    def _add_secret(self, found: dict[str, SecretSource], entry: Any) -> None:
        named = entry if isinstance(entry, Mapping) else {"source": entry}
        source = str(named.get("source"))
        identifier = str(named.get("target") or source)
        defined = self._scope.secrets.get(source)
        if defined is None:
            raise InvalidInput(f"secret {source!r} is not defined")
        if defined.get("file"):
            found[identifier] = SecretSource(identifier, file=self._path(str(defined["file"])))
        elif defined.get("environment"):
            found[identifier] = SecretSource(identifier, variable=str(defined["environment"]))
        else:
            raise InvalidInput(
                f"secret {source!r} has no file and no environment: contents of the cluster's stay there"
            )

    def _add_context(self, start: BuildStart, name: str, source: str) -> None:
        if source.startswith(SERVICE_CONTEXT):
            service = source.removeprefix(SERVICE_CONTEXT)
            image = self._scope.image_of(service)
            if image is None:
                raise InvalidInput(f"service {service!r} is not defined")
            self.after.append(service)
            source = f"{IMAGE_CONTEXT}{image}"
        parsed = parse_named_context(f"{name}={source}")
        start.contexts[parsed.name] = "local" if parsed.is_directory else parsed.source
        if parsed.is_directory:
            self.directories[parsed.name] = self._path(parsed.source)

    def _path(self, text: str) -> str:
        return normpath(self._scope.directory / Path(text).expanduser())

    def _catch(self, path: YamlPath, action: Callable[[], None]) -> None:
        try:
            action()
        except InvalidInput as error:
            self._fault(path, str(error))


def _ssh_agents(value: Any) -> Iterator[str]:
    """A list, or a mapping of paths by their ids. A path that begins with ~ is in the home of who builds."""
    for name, path in as_mapping(value or {}).items():
        yield f"{name}={Path(str(path)).expanduser()}" if path else name


def default_image(stack: str, service: str) -> str:
    """The name of an image that is built and has none, as Compose names it."""
    return f"{stack}-{service}".lower()


def _add_name(start: BuildStart, text: str) -> None:
    reference = parse(text)
    if reference.digest:
        raise InvalidInput(f"{text!r} has a digest, which is known once the image is built; use a tag")
    if (name := str(reference.with_default_tag())) not in start.names:
        start.names.append(name)


def _network(start: BuildStart, value: Any) -> None:
    start.network = parse_build_network(str(value))


def _platforms(start: BuildStart, value: Any) -> None:
    platforms = {each.lower() for each in string_list(value)}
    start.platform = platforms.pop() if len(platforms) == 1 else ""


def _hosts(start: BuildStart, value: Any) -> None:
    start.extra_hosts.extend(parse_extra_host(each) for each in as_host_list(value))


def _ulimits(start: BuildStart, value: Mapping[str, Any]) -> None:
    for name, limit in value.items():
        both = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
        soft, hard = parse_int(both.get("soft", both.get("hard"))), parse_int(both.get("hard"))
        start.ulimits.append(Ulimit(name=name, soft=soft, hard=hard))


def _entitlements(start: BuildStart, value: Any) -> None:
    for each in string_list(value):
        if each not in ("network.host", "security.insecure"):
            raise InvalidInput(f"{each!r} is not supported; use network.host or security.insecure")
        start.entitlements.append(each)


def _caches(field_name: str, *, export: bool) -> Callable[[BuildStart, Any], None]:
    def convert(start: BuildStart, value: Any) -> None:
        getattr(start, field_name).extend(parse_cache(each, export=export) for each in string_list(value))

    return convert


def _field(name: str, convert: Callable[[Any], Any] = str) -> Callable[[BuildStart, Any], None]:
    return lambda start, value: setattr(start, name, convert(value))


def _only(*allowed: str, otherwise: str) -> Callable[[BuildStart, Any], None]:
    """A key that asks for what is done anyway, or for what cannot be done."""

    def check(_start: BuildStart, value: Any) -> None:
        if scalar_text(value).lower() not in allowed:
            raise InvalidInput(otherwise)

    return check


_SETTERS: Mapping[str, Callable[[BuildStart, Any], None]] = {
    "labels": lambda start, value: start.labels.update(string_mapping(value)),
    "cache_from": _caches("cache_from", export=False),
    "cache_to": _caches("cache_to", export=True),
    "no_cache": _field("no_cache", parse_bool),
    "pull": _field("pull", parse_bool),
    "target": _field("target"),
    "network": _network,
    "shm_size": _field("shm_bytes", parse_size),
    "extra_hosts": _hosts,
    "ulimits": _ulimits,
    "entitlements": _entitlements,
    "platforms": _platforms,
    "provenance": _only("false", otherwise="is not supported: attestations are not made"),
    "sbom": _only("false", otherwise="is not supported: software bills of materials are not made"),
    "privileged": _only("false", otherwise="is not supported for builds; use entitlements: [security.insecure]"),
    "isolation": _only("", "default", otherwise="other than default only applies to Windows"),
}

SUPPORTED = (
    "context",
    "dockerfile",
    "dockerfile_inline",
    "args",
    "additional_contexts",
    "secrets",
    "ssh",
    "tags",
    *_SETTERS,
)
"""All keys of the specification; what some of them may not have is refused by name."""
