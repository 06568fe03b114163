"""Validation of container specs. Pure: yields every fault."""

import re
from collections.abc import Iterator, Sequence

from manager.validation import bounds
from manager.validation.containers.container_tuning_rules import check_tuning
from manager.validation.containers.healthcheck_rules import check_health
from manager.validation.file_rules import check_references
from manager.validation.text_rules import (
    check_absolute,
    check_address,
    check_duration,
    check_hostname,
    check_labels,
    check_range,
    check_texts,
)
from manager.validation.volume_rules import check_volume_mount
from shoal import image_reference, spec_templates
from shoal.api.v1.container_pb2 import ContainerSpec, DnsConfig, Hook, Mount, Ulimit, VolumeOptions
from shoal.errors import Fault, InvalidInput
from shoal.signal_names import signal_number
from shoal.tmpfs_options import KNOWN, is_option

# fmt: off
# capabilities(7), Linux 6.1.
CAPABILITIES = frozenset(
    {
        "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN",
        "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE",
        "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE",
        "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN",
        "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO",
        "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM", "ALL",
    }
)
# setrlimit(2).
ULIMITS = frozenset(
    {
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    }
)
# fmt: on

_ENV_NAME = re.compile(r"[^=\x00-\x1f\x7f]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?")
PROPAGATIONS = ("slave", "rslave")
RECURSIONS = ("disabled", "writable", "readonly")
_SYSCTL = re.compile(r"[a-z0-9_]+(?:[./][a-zA-Z0-9_*-]+)+")
# Namespaced ones that Docker allows in containers.
_SYSCTLS = ("net.", "fs.mqueue.", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shm")


def check_container(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    """Every fault of a container spec, except whether the image exists."""
    yield from _check_image(f"{path}.image", spec.image)
    yield from _check_process(path, spec)
    yield from _check_identity(path, spec)
    yield from _check_rights(path, spec)
    for index, mount in enumerate(spec.mounts):
        yield from _check_mount(f"{path}.mounts[{index}]", mount)
    yield from _check_targets(f"{path}.mounts", spec)
    yield from check_references(path, spec)
    yield from check_health(f"{path}.healthcheck", spec.healthcheck)
    for moment, hooks in (("post_start", spec.post_start), ("pre_stop", spec.pre_stop)):
        yield from _check_hooks(f"{path}.{moment}", hooks)
    yield from check_tuning(path, spec)
    yield from _check_templates(path, spec)
    yield from _check_hosts(f"{path}.extra_hosts", spec)
    yield from _check_dns(f"{path}.dns", spec.dns)


def _check_image(path: str, image: str) -> Iterator[Fault]:
    if not image:
        yield Fault(path, "is required")
        return
    try:
        image_reference.parse(image)
    except InvalidInput as error:
        yield Fault(path, str(error))


def _check_process(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    yield from check_texts(f"{path}.entrypoint", spec.entrypoint)
    yield from check_texts(f"{path}.command", spec.command)
    yield from check_variables(f"{path}.env", spec.env)
    if spec.working_dir:
        yield from check_absolute(f"{path}.working_dir", spec.working_dir)
    if spec.stop_signal and signal_number(spec.stop_signal) is None:
        yield Fault(
            f"{path}.stop_signal",
            f'"{spec.stop_signal[:80]}" must be a signal such as SIGTERM, 15 or SIGRTMIN+3',
        )
    if spec.HasField("stop_grace_ms"):
        yield from check_duration(f"{path}.stop_grace_ms", spec.stop_grace_ms, bounds.GRACE_MS)
    if spec.HasField("drain_ms"):
        yield from check_duration(f"{path}.drain_ms", spec.drain_ms, bounds.GRACE_MS)


def _check_hooks(path: str, hooks: Sequence[Hook]) -> Iterator[Fault]:
    if len(hooks) > bounds.HOOKS:
        yield Fault(path, f"has {len(hooks)} hooks; the maximum is {bounds.HOOKS}")
        return
    for index, hook in enumerate(hooks):
        place = f"{path}[{index}]"
        if not hook.command or not hook.command[0]:
            yield Fault(f"{place}.command", "is required")
        yield from check_texts(f"{place}.command", hook.command)
        yield from check_variables(f"{place}.env", hook.env)
        yield from check_user(f"{place}.user", hook.user)
        if hook.working_dir:
            yield from check_absolute(f"{place}.working_dir", hook.working_dir)


def check_variables(path: str, entries: Sequence[str]) -> Iterator[Fault]:
    """Entries of an environment."""
    yield from check_texts(path, entries)
    for index, entry in enumerate(entries):
        name, equals, _ = entry.partition("=")
        if not equals or not _ENV_NAME.fullmatch(name):
            yield Fault(f"{path}[{index}]", f'"{entry[:80]}" must be in the form NAME=VALUE')


def check_user(path: str, user: str) -> Iterator[Fault]:
    """The user of a process; empty for the default of the image."""
    if user and not _USER.fullmatch(user):
        yield Fault(path, f'"{user[:80]}" must be in the form USER or USER:GROUP, names or numbers')


def _check_identity(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    yield from check_user(f"{path}.user", spec.user)
    for index, group in enumerate(spec.groups):
        if ":" in group or not _USER.fullmatch(group):
            yield Fault(f"{path}.groups[{index}]", f'"{group[:80]}" must be a group name or number')
    if spec.hostname and not spec_templates.has_placeholder(spec.hostname):
        yield from check_hostname(f"{path}.hostname", spec.hostname)
    yield from check_labels(f"{path}.labels", spec.labels)


def _check_rights(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    for field, names in (("cap_add", spec.cap_add), ("cap_drop", spec.cap_drop)):
        for index, name in enumerate(names):
            if name.upper().removeprefix("CAP_") not in CAPABILITIES:
                yield Fault(f"{path}.{field}[{index}]", f'"{name[:80]}" must be a capability such as NET_ADMIN, or ALL')
    for key, value in spec.sysctls.items():
        yield from _check_sysctl(f"{path}.sysctls", key, value)
    for index, ulimit in enumerate(spec.ulimits):
        yield from _check_ulimit(f"{path}.ulimits[{index}]", ulimit)
    yield from check_range(f"{path}.shm_bytes", spec.shm_bytes, 0, bounds.MEMORY_MAX_BYTES, "bytes")
    yield from check_range(f"{path}.oom_score_adj", spec.oom_score_adj, -1000, 1000)


def _check_sysctl(path: str, key: str, value: str) -> Iterator[Fault]:
    if not _SYSCTL.fullmatch(key):
        yield Fault(path, f'"{key[:80]}" must be a sysctl name such as net.ipv4.ip_forward')
    elif not key.replace("/", ".").startswith(_SYSCTLS):
        yield Fault(
            path, f'"{key[:80]}" is not namespaced; supported are net.*, fs.mqueue.* and the sysctls of kernel IPC'
        )
    elif "\n" in value or "\x00" in value:
        yield Fault(f"{path}.{key}", "must be a single line")


def _check_ulimit(path: str, ulimit: Ulimit) -> Iterator[Fault]:
    if ulimit.name not in ULIMITS:
        yield Fault(f"{path}.name", f'"{ulimit.name[:80]}" must be a ulimit such as nofile or nproc')
    for field, value in (("soft", ulimit.soft), ("hard", ulimit.hard)):
        if value < -1:
            yield Fault(f"{path}.{field}", f"{value} must be 0 or larger, or -1 for unlimited")
    if ulimit.hard != -1 and (ulimit.soft == -1 or ulimit.soft > ulimit.hard):
        yield Fault(f"{path}.soft", "must not exceed the hard limit")


def _check_mount(path: str, mount: Mount) -> Iterator[Fault]:
    yield from check_absolute(f"{path}.target", mount.target)
    if mount.target.rstrip("/") == "" and mount.target.startswith("/"):
        yield Fault(f"{path}.target", "must not be the root directory")
    if mount.type == Mount.BIND:
        yield from check_absolute(f"{path}.source", mount.source)
        if mount.tmpfs_bytes or mount.tmpfs_mode or mount.tmpfs_options:
            yield Fault(path, "size, mode and options are supported for tmpfs mounts only")
    elif mount.type == Mount.TMPFS:
        if mount.source:
            yield Fault(f"{path}.source", "is not supported for tmpfs mounts")
        yield from check_range(f"{path}.tmpfs_bytes", mount.tmpfs_bytes, 0, bounds.MEMORY_MAX_BYTES, "bytes")
        yield from check_range(f"{path}.tmpfs_mode", mount.tmpfs_mode, 0, 0o7777)
        for index, option in enumerate(mount.tmpfs_options):
            if not is_option(option):
                yield Fault(f"{path}.tmpfs_options[{index}]", f'"{option[:80]}" must be one of {", ".join(KNOWN)}')
    elif mount.type == Mount.VOLUME:
        yield from check_volume_mount(path, mount)
    else:
        yield Fault(f"{path}.type", "must be one of bind, tmpfs, volume")
    if mount.propagation and (mount.type != Mount.BIND or mount.propagation not in PROPAGATIONS):
        yield Fault(
            f"{path}.propagation", f"is supported for bind mounts only, and must be one of {', '.join(PROPAGATIONS)}"
        )
    yield from _check_recursion(f"{path}.recursive", mount)
    if mount.create_source and mount.type != Mount.BIND:
        yield Fault(f"{path}.create_source", "is supported for bind mounts only")
    if mount.type == Mount.BIND:
        yield from check_duration(f"{path}.volume.failover_after_ms", mount.volume.failover_after_ms)
    if (mount.shared or mount.volume.HasField("failover_after_ms")) and mount.type == Mount.TMPFS:
        yield Fault(path, "shared and failover-after are not supported for tmpfs mounts: each container has its own")
    if _is_of_volume(mount) and mount.type != Mount.VOLUME:
        yield Fault(f"{path}.volume", "is supported for volume mounts only")


def _is_of_volume(mount: Mount) -> bool:
    """Whether an option is set that only volumes have."""
    use = VolumeOptions()
    use.CopyFrom(mount.volume)
    use.ClearField("failover_after_ms")
    return bool(use.ListFields())


def _check_recursion(path: str, mount: Mount) -> Iterator[Fault]:
    if not mount.recursive:
        return
    if mount.type != Mount.BIND or mount.recursive not in RECURSIONS:
        yield Fault(path, f"is supported for bind mounts only, and must be one of {', '.join(RECURSIONS)}")
    elif mount.recursive != "disabled" and not mount.read_only:
        yield Fault(path, f'"{mount.recursive}" requires a read-only mount')
    elif mount.recursive == "readonly" and mount.propagation:
        yield Fault(
            path, '"readonly" is not supported with this propagation: later mounts would be writable; use rprivate'
        )


def _check_templates(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    for place, text in spec_templates.templates(spec):
        if why := spec_templates.template_fault(text):
            yield Fault(f"{path}.{place}", why)


def _check_targets(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, mount in enumerate(spec.mounts):
        target = mount.target.rstrip("/")
        if target in seen:
            yield Fault(f"{path}[{index}].target", f'"{mount.target[:80]}" is mounted twice')
        seen.add(target)


def _check_hosts(path: str, spec: ContainerSpec) -> Iterator[Fault]:
    for index, entry in enumerate(spec.extra_hosts):
        name, colon, address = entry.partition(":")
        if not colon:
            yield Fault(f"{path}[{index}]", f'"{entry[:80]}" must be in the form HOST:IP')
            continue
        yield from check_hostname(f"{path}[{index}]", name)
        if address != spec_templates.HOST_GATEWAY:
            yield from check_address(f"{path}[{index}]", address.strip("[]"))


def _check_dns(path: str, dns: DnsConfig) -> Iterator[Fault]:
    for index, address in enumerate(dns.nameservers):
        yield from check_address(f"{path}.nameservers[{index}]", address)
    for index, domain in enumerate(dns.search):
        if domain != ".":
            yield from check_hostname(f"{path}.search[{index}]", domain.rstrip("."))
    for index, option in enumerate(dns.options):
        if not option or len(option) > 63 or any(character.isspace() for character in option):
            yield Fault(f"{path}.options[{index}]", f'"{option[:80]}" must be a resolver option such as ndots:2')
