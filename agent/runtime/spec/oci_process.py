"""The `process` object of an OCI runtime spec (runtime-spec 1.0.2, config.md, "Process"). Pure."""

from collections.abc import Collection, Sequence
from typing import Any

from agent.runtime.confinement.apparmor import profile_for
from agent.runtime.spec.capability_sets import resolve_capabilities
from agent.runtime.spec.user_lookup import ContainerUser
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import ImageConfig
from shoal.api.v1.container_pb2 import ContainerSpec, Ulimit
from shoal.errors import Fault, InvalidInput

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OPEN_FILES, _MAX_OPEN_FILES = 1024, 524_288
_UNLIMITED = 2**64 - 1
_RLIMITS = frozenset(
    (
        *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
        *("rtprio", "rttime", "sigpending", "stack"),
    )
)


def process_section(
    request: ContainerRequest,
    user: ContainerUser,
    *,
    max_open_files: int,
    available: Collection[str],
    has_apparmor: bool = False,
) -> dict[str, Any]:
    """The process: command, user, privileges and limits.

    Args:
        max_open_files: the hard limit of this host. available: capabilities that it can grant.
        has_apparmor: the host supports AppArmor profiles.
    Raises:
        InvalidInput: no command, an unknown capability or limit, an unavailable AppArmor profile.
    """
    spec = request.spec
    section = {
        "terminal": spec.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(command_line(spec, request.image.config)),
        "env": list(environment(spec, request.image.config, hostname=hostname(request), home=user.home)),
        "cwd": spec.working_dir or request.image.config.working_dir or "/",
        "capabilities": _capability_sets(spec, user, available),
        "rlimits": _rlimits(spec.ulimits, max_open_files),
        "noNewPrivileges": spec.no_new_privileges,
        # Always set: otherwise it would be the agent's, which the kernel should kill last.
        "oomScoreAdj": spec.oom_score_adj,
    }
    profile = profile_for(spec, is_supported=has_apparmor)
    return section | {"apparmorProfile": profile} if profile else section


def hostname(request: ContainerRequest) -> str:
    """The spec's, else the task's name, truncated to the limit of gethostname(2)."""
    return request.spec.hostname or request.name.replace(".", "-")[:63].rstrip(".-")


def command_line(spec: ContainerSpec, config: ImageConfig) -> tuple[str, ...]:
    """Entrypoint, then command. An entrypoint of the spec's own discards the image's command; one of a single empty
    word is none, in place of the image's (`docker run --entrypoint ""`).

    Raises:
        InvalidInput: there is neither.
    """
    own = tuple(spec.entrypoint)
    entrypoint = () if own == ("",) else own or config.entrypoint
    command = tuple(spec.command) or (() if own else config.command)
    if not entrypoint + command:
        raise InvalidInput([Fault("spec.command", "no command: set one in the spec or use an image that has one")])
    return entrypoint + command


def environment(spec: ContainerSpec, config: ImageConfig, *, hostname: str, home: str) -> tuple[str, ...]:
    """NAME=value: defaults, then the image's, then the spec's; each name once, at its first position."""
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if spec.tty:
        values["TERM"] = "xterm"
    for entry in (*config.env, *spec.env):
        name, equals, value = entry.partition("=")
        if equals and name:
            values[name] = value
    values.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in values.items())


def _capability_sets(spec: ContainerSpec, user: ContainerUser, available: Collection[str]) -> dict[str, list[str]]:
    """Users other than root have them only in the bounding set, as after execve(2)."""
    names = list(resolve_capabilities(spec.cap_add, spec.cap_drop, privileged=spec.privileged, available=available))
    held = ("bounding", "effective", "permitted") if user.uid == 0 else ("bounding",)
    return dict.fromkeys(held, names)


def _rlimits(ulimits: Sequence[Ulimit], max_open_files: int) -> list[dict[str, Any]]:
    faults = [
        Fault(f"spec.ulimits[{place}].name", f"unknown resource limit {limit.name!r}")
        for place, limit in enumerate(ulimits)
        if limit.name not in _RLIMITS
    ]
    if faults:
        raise InvalidInput(faults)
    hard = min(_MAX_OPEN_FILES, max_open_files)
    by_type = {"RLIMIT_NOFILE": {"type": "RLIMIT_NOFILE", "soft": min(_OPEN_FILES, hard), "hard": hard}}
    for limit in ulimits:
        kind = f"RLIMIT_{limit.name.upper()}"
        by_type[kind] = {"type": kind, "soft": _bound(limit.soft), "hard": _bound(limit.hard)}
    return list(by_type.values())


def _bound(value: int) -> int:
    return _UNLIMITED if value < 0 else value
