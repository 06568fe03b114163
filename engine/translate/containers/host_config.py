"""`HostConfig` of a creation request, apart from limits, mounts, ports and networks: and a definition's. Pure."""

from typing import Any

from engine.protocol.errors import bad_request
from engine.protocol.versions import CGROUP_NAMESPACE_PRIVATE, IPC_MODE_PRIVATE, ApiVersion
from engine.translate.containers.container_networks import CONTAINER
from engine.translate.fields import Fields
from engine.translate.object_ids import digits, reference
from shoal.api.v1.service_pb2 import TaskTemplate
from shoal.api.v1.standalone_pb2 import ContainerDefinition, ContainerRestart
from shoal.errors import InvalidInput
from shoal.protected_paths import MASKED_PATHS, READ_ONLY_PATHS
from shoal.spec_parsers.log_drivers import DRIVERS, NONE
from shoal.spec_parsers.security_options import apply_security_option
from shoal.spec_parsers.units import parse_bytes

DEFAULT_SHM_BYTES = 64 << 20
DEFAULT_LOG_DRIVER = "json-file"
DEFAULT_RUNTIME = "runc"
DEFAULT_RUNTIMES = ("", DEFAULT_RUNTIME, "io.containerd.runc.v2")
"""Names of Docker's default runtime: here they mean the node's choice."""

_RESTARTS = {
    "": ContainerRestart.NO,
    "no": ContainerRestart.NO,
    "on-failure": ContainerRestart.ON_FAILURE,
    "always": ContainerRestart.ALWAYS,
    "unless-stopped": ContainerRestart.UNLESS_STOPPED,
}
_RESTART_NAMES = {number: name for name, number in _RESTARTS.items()} | {0: "no"}
_NAMESPACES = {"PidMode": "pid", "IpcMode": "ipc", "UTSMode": "uts"}
_JOINABLE = {"PidMode": "pid_container", "IpcMode": "ipc_container"}
_OWN_NAMESPACES = {"PidMode": ("", "private"), "IpcMode": ("", "private", "shareable"), "UTSMode": ("",)}


def read_host(host: Fields, definition: ContainerDefinition) -> None:
    """Put what `HostConfig` says into a definition.

    Raises:
        ApiError: 400, something cannot be honoured; the text names it.
    """
    container = definition.task.container
    definition.auto_remove = host.boolean("AutoRemove")
    definition.restart.CopyFrom(read_restart(host.nested("RestartPolicy")))
    if definition.auto_remove and definition.restart.condition != ContainerRestart.NO:
        raise host.invalid("RestartPolicy", "can't create 'AutoRemove' container with restart policy")
    container.runtime = "" if host.text("Runtime") in DEFAULT_RUNTIMES else host.text("Runtime")
    container.privileged = host.boolean("Privileged")
    container.read_only = host.boolean("ReadonlyRootfs")
    container.init = host.boolean("Init")
    container.cap_add.extend(host.texts("CapAdd"))
    container.cap_drop.extend(host.texts("CapDrop"))
    container.groups.extend(host.texts("GroupAdd"))
    container.oom_score_adj = _oom_score(host)
    shm = host.number("ShmSize")
    if shm < 0:
        raise host.invalid("ShmSize", "SHM size can not be less than 0")
    container.shm_bytes = 0 if shm == DEFAULT_SHM_BYTES else shm
    container.sysctls.update(host.text_map("Sysctls"))
    container.annotations.update(host.text_map("Annotations"))
    container.dns.nameservers.extend(host.texts("Dns"))
    container.dns.search.extend(host.texts("DnsSearch"))
    container.dns.options.extend(host.texts("DnsOptions"))
    container.extra_hosts.extend(_extra_host(host, text) for text in host.texts("ExtraHosts"))
    _read_namespaces(host, definition)
    _read_security(host, definition.task)
    _read_log(host, definition.task)
    _refuse_others(host)


def host_document(definition: ContainerDefinition, version: ApiVersion) -> dict[str, Any]:
    """The keys of `HostConfig` that `read_host` reads, of a definition; what is unset has Docker's default."""
    container = definition.task.container
    namespaces = container.host_namespaces
    return {
        "ContainerIDFile": "",
        "LogConfig": _log_document(definition.task),
        "RestartPolicy": restart_document(definition.restart),
        "AutoRemove": definition.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": [0, 0],
        "CapAdd": list(container.cap_add) or None,
        "CapDrop": list(container.cap_drop) or None,
        "CgroupnsMode": "private" if version >= CGROUP_NAMESPACE_PRIVATE else "host",
        "Dns": list(container.dns.nameservers),
        "DnsOptions": list(container.dns.options),
        "DnsSearch": list(container.dns.search),
        "ExtraHosts": list(container.extra_hosts) or None,
        "GroupAdd": list(container.groups) or None,
        "IpcMode": _joined(container.ipc_container)
        or ("host" if namespaces.ipc else "private" if version >= IPC_MODE_PRIVATE else "shareable"),
        "Cgroup": "",
        "Links": [f"/{link}" if not link.startswith("/") else link for link in definition.links] or None,
        "OomScoreAdj": container.oom_score_adj,
        "PidMode": _joined(container.pid_container) or ("host" if namespaces.pid else ""),
        "Privileged": container.privileged,
        "PublishAllPorts": False,
        "ReadonlyRootfs": container.read_only,
        "SecurityOpt": _security_document(definition.task),
        "UTSMode": "host" if namespaces.uts else "",
        "UsernsMode": "",
        "ShmSize": container.shm_bytes or DEFAULT_SHM_BYTES,
        "Runtime": container.runtime or DEFAULT_RUNTIME,
        "Isolation": "",
        "MaskedPaths": [] if _has_open_paths(definition) else list(MASKED_PATHS),
        "ReadonlyPaths": [] if _has_open_paths(definition) else list(READ_ONLY_PATHS),
        **({"Sysctls": dict(container.sysctls)} if container.sysctls else {}),
        **({"Annotations": dict(container.annotations)} if container.annotations else {}),
        **({"Init": True} if container.init else {}),
    }


def read_restart(policy: Fields) -> ContainerRestart:
    """A restart policy.

    Raises:
        ApiError: 400, there is none of that name, or a count where none is possible.
    """
    name, count = policy.text("Name"), policy.number("MaximumRetryCount")
    if name not in _RESTARTS:
        raise policy.invalid(
            "Name",
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'",
        )
    if count < 0:
        raise policy.invalid("MaximumRetryCount", "invalid restart policy: maximum retry count cannot be negative")
    if count and name != "on-failure":
        raise policy.invalid(
            "MaximumRetryCount", "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    return ContainerRestart(condition=_RESTARTS[name], max_attempts=count)


def restart_document(restart: ContainerRestart) -> dict[str, Any]:
    """`RestartPolicy` of a definition."""
    return {"Name": _RESTART_NAMES.get(restart.condition, "no"), "MaximumRetryCount": restart.max_attempts}


def volumes_from(host: Fields) -> list[tuple[str, bool]]:
    """Containers whose mounts are taken over, and whether only to read.

    Raises:
        ApiError: 400, a mode there is not.
    """
    found = []
    for text in host.texts("VolumesFrom"):
        name, _, mode = text.partition(":")
        if not name or mode not in ("", "ro", "rw", "z", "Z"):
            raise host.invalid("VolumesFrom", f"invalid volumesFrom specification: {text}")
        found.append((reference(name), mode == "ro"))
    return found


def _read_namespaces(host: Fields, definition: ContainerDefinition) -> None:
    for key, field in _NAMESPACES.items():
        mode = host.text(key)
        if mode.startswith(CONTAINER) and mode != CONTAINER and key in _JOINABLE:
            setattr(definition.task.container, _JOINABLE[key], reference(mode.removeprefix(CONTAINER)))
            continue
        if mode != "host" and mode not in _OWN_NAMESPACES[key]:
            raise host.invalid(key, f"invalid mode: {mode}")
        setattr(definition.task.container.host_namespaces, field, mode == "host")
    if host.text("CgroupnsMode") not in ("", "private"):
        raise host.invalid("CgroupnsMode", "host is not supported: containers have cgroup namespaces of their own")
    if host.text("UsernsMode") not in ("", "host"):
        raise host.invalid("UsernsMode", "is not supported: user ids are not remapped; use host")


def _joined(container: str) -> str:
    """The mode of a namespace of another container; empty without one."""
    return CONTAINER + digits(container) if container else ""


def _read_security(host: Fields, task: TaskTemplate) -> None:
    container = task.container
    for option in host.texts("SecurityOpt"):
        try:
            apply_security_option(container, option, lambda profile: profile)
        except InvalidInput as error:
            raise host.invalid("SecurityOpt", str(error)) from None
    masked, readonly = host.value("MaskedPaths"), host.value("ReadonlyPaths")
    for key, paths, default in (("MaskedPaths", masked, MASKED_PATHS), ("ReadonlyPaths", readonly, READ_ONLY_PATHS)):
        if paths and sorted(host.texts(key)) != sorted(default):
            raise host.invalid(key, "only the default paths or none are supported")
    if masked == [] and readonly == [] and not container.privileged:  # of a privileged one they are open anyway
        container.unmasked_paths = True


def _security_document(task: TaskTemplate) -> list[str] | None:
    container = task.container
    options = ["no-new-privileges"] if container.no_new_privileges else []
    options += [f"apparmor={container.apparmor}"] if container.apparmor else []
    options += [f"seccomp={container.seccomp}"] if container.seccomp else []
    return options or None


def _has_open_paths(definition: ContainerDefinition) -> bool:
    return definition.task.container.unmasked_paths or definition.task.container.privileged


def _read_log(host: Fields, task: TaskTemplate) -> None:
    log = host.nested("LogConfig")
    driver, options = log.text("Type") or DEFAULT_LOG_DRIVER, log.text_map("Config")
    if driver not in DRIVERS:
        raise bad_request(f"logger: no log driver named '{driver}' is registered")
    task.log.SetInParent()
    task.log.disabled = driver == NONE
    for name, value in options.items():
        if name == "max-size":
            task.log.max_bytes = _size(log, value)
        elif name == "max-file":
            if not (value.isascii() and value.isdigit() and 0 < int(value[:6]) < 1 << 31):
                raise log.invalid("Config", f"invalid value for max-file: {value!r}")
            task.log.max_files = int(value)
        elif name not in ("mode", "max-buffer-size", "compress"):
            raise log.invalid("Config", f"unknown log opt '{name}' for {driver} log driver")


def _log_document(task: TaskTemplate) -> dict[str, Any]:
    options: dict[str, str] = {"max-size": str(task.log.max_bytes)} if task.log.max_bytes else {}
    options |= {"max-file": str(task.log.max_files)} if task.log.max_files else {}
    return {"Type": NONE if task.log.disabled else DEFAULT_LOG_DRIVER, "Config": options}


def _refuse_others(host: Fields) -> None:
    if host.text("Isolation").lower() not in ("", "default"):
        raise host.invalid("Isolation", f"Invalid isolation: {host.text('Isolation')!r} - linux only supports default")
    if host.text("Cgroup"):
        raise host.invalid("Cgroup", "is not supported")
    if host.text_map("StorageOpt"):
        raise host.invalid("StorageOpt", "--storage-opt is not supported: root file systems have no quota of their own")


def _oom_score(host: Fields) -> int:
    score = host.number("OomScoreAdj")
    if not -1000 <= score <= 1000:
        raise host.invalid("OomScoreAdj", f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    return score


def _extra_host(host: Fields, text: str) -> str:
    name, sign, address = text.partition("=" if "=" in text.partition(":")[0] else ":")
    if not (name and sign and address):
        raise host.invalid("ExtraHosts", f'bad format for add-host: "{text}"')
    return f"{name}:{address.removeprefix('[').removesuffix(']')}"


def _size(log: Fields, text: str) -> int:
    try:
        return parse_bytes(text)
    except InvalidInput as error:
        raise log.invalid("Config", f"invalid value for max-size: {error}") from None
