"""What a client gives BuildKit's Dockerfile frontend, as what a build is asked for. Pure.

moby/buildkit, frontend/dockerui (config.go, context.go) has the names of the options.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.buildkit.translation.capabilities import HOST_GATEWAY_ADDRESS
from engine.buildkit.translation.definitions import image_of
from engine.buildkit.translation.exporters import ResultOptions
from engine.buildkit.v1.control_pb2 import CacheOptionsEntry, SolveRequest
from engine.buildkit.v1.ops_pb2 import Definition
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.api.v1.container_pb2 import Ulimit
from shoal.errors import InvalidInput
from shoal.spec_parsers.builds.csv_fields import csv_words
from shoal.spec_parsers.extra_hosts import GATEWAY

FRONTEND = "dockerfile.v0"
_BY_IMAGE = "gateway.v0"
_CHECK = "frontend.lint"
_SYNTAX = "build-arg:BUILDKIT_SYNTAX"
_LOCAL, _INPUT = "local:", "input:"
_NETWORKS = {"": "", "sandbox": "", "default": "", "none": "none", "host": "host"}
_NUMBERS = {"memory": "memory_bytes", "memswap": "memory_swap_bytes", "shm-size": "shm_bytes"}
_CPU_NUMBERS = {"cpushares": "shares", "cpuperiod": "period_us", "cpuquota": "quota_us"}
_CPU_SETS = {"cpusetcpus": "cpuset_cpus", "cpusetmems": "cpuset_mems"}
_REFUSED = {
    "cgroup-parent": "cgroup-parent is not supported: cgroups are managed by the cluster's nodes",
    "hostname": "a host name for commands is not supported",
}
_ULIMIT_MAX = 20
_SHOWN = 80


@dataclass(frozen=True)
class FrontendOptions:
    """A build of a client of BuildKit.

    Attributes:
        start: without the Dockerfile, secrets and credentials.
        file_name: of the Dockerfile.
        dockerfile_directory, context_directory: their names in the session; the Dockerfile may be in the remote
            context; empty: it is there. Without a context directory the context is remote, or an upload.
        upload: address of an archive that the client uploads in the place of a context.
        directories: names in the session of named contexts.
        sessions: of directories that another session than the request's has.
    """

    start: BuildStart
    file_name: str
    dockerfile_directory: str
    context_directory: str
    upload: str
    directories: Mapping[str, str]
    sessions: Mapping[str, str]


def read_options(
    frontend: str,
    options: Mapping[str, str],
    inputs: Mapping[str, Definition],
    request: SolveRequest,
    result: ResultOptions,
) -> FrontendOptions:
    """The build that a frontend is called for.

    Args:
        options, inputs: of the call.
        request: the solve that it belongs to.
    Raises:
        InvalidInput: something is not valid, or not served.
    """
    _check_frontend(frontend, options)
    start = BuildStart(
        target=options.get("target", ""),
        build_args=_with_prefix(options, "build-arg:"),
        labels=_with_prefix(options, "label:"),
        platform=_platform(options),
        pull=options.get("image-resolve-mode") == "pull",
        extra_hosts=_extra_hosts(options.get("add-hosts", "")),
        ulimits=_ulimits(options.get("ulimit", "")),
        cache_from=[_cache_text(each) for each in _imports(options)],
        cache_to=[_cache_text(each) for each in request.cache.exports],
        entitlements=[each.partition("=")[0] for each in request.entitlements],
        check_only=options.get("requestid", "") == _CHECK,
    )
    _set_cache_choice(start, options)
    _set_limits(start, options)
    _set_result(start, result)
    contexts, directories = _contexts(options, inputs)
    start.contexts.update(contexts)
    address = options.get("context", "")
    upload = address if address.startswith("http://buildkit-session/") else ""
    is_remote = not upload and ("://" in address or address.startswith("git@"))
    if is_remote:
        start.remote_context = _with_subdirectory(address, options.get("contextsubdir", ""))
    elif "context" in inputs:
        raise InvalidInput("a build context of LLB is not supported; give a directory, an archive or an address")
    is_local = not is_remote and not upload
    return FrontendOptions(
        start=start,
        file_name=options.get("filename") or "Dockerfile",
        dockerfile_directory=options.get("dockerfilekey", "dockerfile" if is_local else ""),
        context_directory=(options.get("contextkey", "context")) if is_local else "",
        upload=upload,
        directories=directories,
        sessions=_with_prefix(options, "local-sessionid:"),
    )


def _check_frontend(frontend: str, options: Mapping[str, str]) -> None:
    by_syntax = frontend == _BY_IMAGE and _SYNTAX in options  # the node looks at which one
    if frontend != FRONTEND and not by_syntax:
        raise InvalidInput(f"frontend {frontend[:_SHOWN]!r} is not supported; use {FRONTEND}")
    asked = options.get("requestid", "")
    if asked not in ("", _CHECK):
        raise InvalidInput(f"subrequest {asked[:_SHOWN]!r} is not supported; {_CHECK} is")
    for key, value in options.items():
        if key in _REFUSED and value:
            raise InvalidInput(_REFUSED[key])
        if key.startswith("attest:") and value not in ("disabled=true", "false"):
            raise InvalidInput(f"{key.removeprefix('attest:')[:_SHOWN]} is not supported: images have no attestations")
    if options.get("multi-platform", "") in ("true", "1"):
        raise InvalidInput("an index of several platforms is not supported; build for one platform")


def _with_prefix(options: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)}


def _platform(options: Mapping[str, str]) -> str:
    text = options.get("platform", "").lower()
    if "," in text:
        raise InvalidInput("several platforms of one build are not supported; build for each of them")
    if text and not 2 <= len([each for each in text.split("/") if each]) <= 3:
        raise InvalidInput(f'"{text[:_SHOWN]}": unknown operating system or architecture: invalid argument')
    return text.partition("(")[0]


def _extra_hosts(text: str) -> list[str]:
    found = []
    for each in csv_words(text) if text else ():
        name, sign, address = each.partition("=")
        if not sign:
            raise InvalidInput(f"failed to parse additional hosts: invalid key-value pair {each[:_SHOWN]}")
        found.append(f"{name}:{GATEWAY if address == HOST_GATEWAY_ADDRESS else address}")
    return found


def _ulimits(text: str) -> list[Ulimit]:
    found = []
    for each in csv_words(text) if text else ():
        name, _, limits = each.partition("=")
        soft, _, hard = limits.partition(":")
        try:
            found.append(Ulimit(name=name, soft=_limit(soft), hard=_limit(hard or soft)))
        except ValueError:
            raise InvalidInput(f"failed to parse ulimit: {each[:_SHOWN]!r}") from None
    return found


def _limit(text: str) -> int:
    if len(text) > _ULIMIT_MAX:
        raise ValueError(text)
    return int(text)


def _imports(options: Mapping[str, str]) -> Iterable[CacheOptionsEntry]:
    text = options.get("cache-imports", "")
    try:
        found = json.loads(text) if text else []
        for each in found:
            yield CacheOptionsEntry(type=each.get("Type", ""), attrs=each.get("Attrs") or {})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"failed to unmarshal cache-imports: {error}") from None
    for name in filter(None, options.get("cache-from", "").split(",")):
        yield CacheOptionsEntry(type="registry", attrs={"ref": name})


def _cache_text(entry: CacheOptionsEntry) -> str:
    """As `--cache-from` and `--cache-to` have it."""
    words = [f"type={entry.type}", *(f"{key}={value}" for key, value in sorted(entry.attrs.items()))]
    return ",".join(f'"{each}"' if "," in each else each for each in words)


def _set_cache_choice(start: BuildStart, options: Mapping[str, str]) -> None:
    stages = [each for each in options.get("no-cache", "").split(",") if each]
    start.no_cache = "no-cache" in options and not stages
    start.no_cache_stages.extend(stages)


def _set_limits(start: BuildStart, options: Mapping[str, str]) -> None:
    """Of each RUN."""
    network = options.get("force-network-mode", "")
    if network not in _NETWORKS:
        raise InvalidInput(f"invalid netmode {network[:_SHOWN]}")
    start.network = _NETWORKS[network]
    for key, field in _NUMBERS.items():
        setattr(start, field, _number(options, key))
    for key, field in _CPU_NUMBERS.items():
        setattr(start.cpu, field, _number(options, key))
    for key, field in _CPU_SETS.items():
        setattr(start.cpu, field, options.get(key, ""))


def _number(options: Mapping[str, str], key: str) -> int:
    text = options.get(key, "") or "0"
    digits = text.removeprefix("-") if key == "memswap" else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < _ULIMIT_MAX - 1):
        raise InvalidInput(f"invalid {key} value: {text[:_SHOWN]}")
    return max(-1, int(text))


def _set_result(start: BuildStart, result: ResultOptions) -> None:
    start.output = result.output
    start.names.extend(result.names)
    start.push.extend(result.names if result.is_pushed else ())
    start.media_types = result.media_types
    start.compression = result.compression
    start.compression_level = result.compression_level


def _contexts(options: Mapping[str, str], inputs: Mapping[str, Definition]) -> tuple[dict[str, str], dict[str, str]]:
    """Named contexts, and the directories of the session that some of them are."""
    contexts: dict[str, str] = {}
    directories: dict[str, str] = {}
    for name, value in _with_prefix(options, "context:").items():
        if value.startswith(_LOCAL):
            contexts[name], directories[name] = "local", value.removeprefix(_LOCAL)
        elif value.startswith(_INPUT):
            definition = inputs.get(value.removeprefix(_INPUT))
            contexts[name] = image_of(definition, name)
        elif value.startswith("oci-layout:"):
            raise InvalidInput(f"context {name[:_SHOWN]}: oci-layout is not supported; use docker-image://")
        else:
            contexts[name] = value
    return contexts, directories


def _with_subdirectory(address: str, directory: str) -> str:
    if not directory:
        return address
    base, _, reference = address.partition("#")
    return f"{base}#{reference.partition(':')[0]}:{directory}"
