"""Repeatable flags: `--env`, `--label`, `--publish` … For `update` they have the suffixes `-add` and `-rm`."""

from collections.abc import Callable, MutableMapping, MutableSequence
from dataclasses import dataclass

from cli.flags import block_io_options, dependency_options, file_options, placement_options
from cli.flags.capability_options import add_capability, drop_capability, reset_capability
from cli.flags.docker_env_file import read_env_file
from cli.flags.host_config_options import remove_device
from cli.flags.log_options import add_log_option, remove_log_option
from cli.flags.network_options import remove_network
from cli.flags.security_flag import add_security_option, remove_security_option
from shoal.api.v1.container_pb2 import Ulimit
from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers import host_config, placement_parser, security_options
from shoal.spec_parsers.mount_parser import parse_mount
from shoal.spec_parsers.network_attachments import add_network
from shoal.spec_parsers.port_parser import is_named, parse_publish
from shoal.spec_parsers.repeated_fields import remove_matching

Change = Callable[[ServiceSpec, str], None]


@dataclass(frozen=True)
class RepeatableOption:
    """A flag that adds to a list of a spec.

    Attributes:
        flag: with its dashes; on update `<flag>-add` and `<flag>-rm`.
        add: takes one value; replaces an entry of the same key.
        remove: takes a key (a variable's name, a label's name, a target port, a target path).
        short: one letter with its dash, on creation.
        add_flag: the flag that adds on update, where Docker's is not `<flag>-add`.
        completes: whose names its values begin with, for completion.
    """

    flag: str
    metavar: str
    help: str
    add: Change
    remove: Change
    short: str = ""
    add_flag: str = ""
    completes: str = ""

    @property
    def update_flags(self) -> tuple[str, str]:
        """Those that add and remove on update."""
        return self.add_flag or f"{self.flag}-add", f"{self.flag}-rm"


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise InvalidInput(f"{text!r} must be in the form NAME=VALUE")
    return key, value


def _map_changes(field: Callable[[ServiceSpec], MutableMapping[str, str]]) -> tuple[Change, Change]:
    def add(spec: ServiceSpec, text: str) -> None:
        key, value = _pair(text)
        field(spec)[key] = value

    def remove(spec: ServiceSpec, text: str) -> None:
        # Checked first: reading a missing key of a protobuf map adds it.
        if text not in field(spec):
            raise InvalidInput(f"{text!r} not found")
        del field(spec)[text]

    return add, remove


def _list_changes(field: Callable[[ServiceSpec], MutableSequence[str]]) -> tuple[Change, Change]:
    def add(spec: ServiceSpec, text: str) -> None:
        if text not in field(spec):
            field(spec).append(text)

    def remove(spec: ServiceSpec, text: str) -> None:
        if text not in field(spec):
            raise InvalidInput(f"{text!r} not found")
        field(spec).remove(text)

    return add, remove


def add_env(spec: ServiceSpec, text: str) -> None:
    """Set a variable; a later one replaces an earlier one of the same name."""
    name, value = _pair(text)
    env = spec.task.container.env
    env[:] = [entry for entry in env if entry.partition("=")[0] != name] + [f"{name}={value}"]


def _remove_env(spec: ServiceSpec, text: str) -> None:
    if not remove_matching(spec.task.container.env, lambda entry: entry.partition("=")[0] == text):
        raise InvalidInput(f"variable {text!r} not found")


def add_env_file(spec: ServiceSpec, path: str) -> None:
    """Variables from a file."""
    for entry in read_env_file(path):
        add_env(spec, entry)


def _add_port(spec: ServiceSpec, text: str) -> None:
    spec.endpoint.ports.extend(parse_publish(text))


def _remove_port(spec: ServiceSpec, text: str) -> None:
    """By the port in the container, and by whatever else of a published port is named beside it."""
    any_protocol = "/" not in text and "protocol=" not in text
    for named in parse_publish(text):
        if not remove_matching(
            spec.endpoint.ports,
            lambda port, named=named: is_named(port, named, any_protocol=any_protocol),  # type: ignore[misc]
        ):
            raise InvalidInput(f"port {text!r} is not published; specify the target port")


MOUNT_HELP = (
    "Attach a mount: type=volume|bind|tmpfs,source=…,target=…; "
    "writable ones have one user at a time unless shared=true."
)


def _add_mount(spec: ServiceSpec, text: str) -> None:
    spec.task.container.mounts.append(parse_mount(text))


def _remove_mount(spec: ServiceSpec, text: str) -> None:
    if not remove_matching(spec.task.container.mounts, lambda mount: mount.target == text):
        raise InvalidInput(f"nothing is mounted at {text!r}")


def _add_ulimit(spec: ServiceSpec, text: str) -> None:
    name, value = _pair(text)
    soft, _, hard = value.partition(":")
    try:
        limit = Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        raise InvalidInput(f"{text!r} must be in the form NAME=SOFT[:HARD]") from None
    remove_matching(spec.task.container.ulimits, lambda other: other.name == name)
    spec.task.container.ulimits.append(limit)


def _remove_ulimit(spec: ServiceSpec, text: str) -> None:
    if not remove_matching(spec.task.container.ulimits, lambda limit: limit.name == text):
        raise InvalidInput(f"{text!r} not found")


def _map_option(
    flag: str, metavar: str, text: str, field: Callable[[ServiceSpec], MutableMapping[str, str]], short: str = ""
) -> RepeatableOption:
    return RepeatableOption(flag, metavar, text, *_map_changes(field), short=short)


def _list_option(
    flag: str, metavar: str, text: str, field: Callable[[ServiceSpec], MutableSequence[str]]
) -> RepeatableOption:
    return RepeatableOption(flag, metavar, text, *_list_changes(field))


def _file_option(flag: str, text: str) -> RepeatableOption:
    def references(spec: ServiceSpec) -> MutableSequence[FileReference]:
        return spec.task.container.secrets if flag == "--secret" else spec.task.container.configs

    kind = flag.removeprefix("--")
    return RepeatableOption(
        flag,
        "FILE",
        text,
        file_options.adding(references),
        file_options.removing(references),
        completes=kind,
    )


CAPABILITIES = (
    RepeatableOption(
        "--cap-add",
        "CAPABILITY",
        "Add Linux capabilities.",
        add_capability,
        reset_capability("cap_add"),
        add_flag="--cap-add",
    ),
    RepeatableOption(
        "--cap-drop",
        "CAPABILITY",
        "Drop Linux capabilities.",
        drop_capability,
        reset_capability("cap_drop"),
        add_flag="--cap-drop",
    ),
)

REPEATABLE_OPTIONS = (
    RepeatableOption("--env", "NAME=VALUE", "Set environment variables.", add_env, _remove_env, short="-e"),
    _map_option("--label", "NAME=VALUE", "Service labels.", lambda spec: spec.labels, short="-l"),
    _map_option("--container-label", "NAME=VALUE", "Container labels.", lambda spec: spec.task.container.labels),
    RepeatableOption(
        "--network",
        "NAME",
        "Network to connect to (or name=NAME,alias=ALIAS,ip=ADDRESS), or host, none, bridge, or service:NAME to share "
        "the network of that service's task in the same slot.",
        add_network,
        remove_network,
        completes="network",
    ),
    RepeatableOption(
        "--publish",
        "PORT",
        "Publish a port or port range: [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL], or KEY=VALUE pairs: target, published, "
        "protocol, host_ip, mode (ingress, or host: only on nodes with a task), traffic (cluster, or local: only to "
        "tasks on the receiving node).",
        _add_port,
        _remove_port,
        short="-p",
    ),
    RepeatableOption(
        "--depends-on",
        "SERVICE[=CONDITION]",
        "Start tasks after SERVICE is started (default), healthy or completed.",
        dependency_options.add_dependency,
        dependency_options.remove_dependency,
        completes="service",
    ),
    _list_option("--constraint", "EXPRESSION", "Placement constraints.", lambda spec: spec.task.placement.constraints),
    RepeatableOption(
        "--placement-pref",
        "PREFERENCE",
        "Placement preferences: spread=KEY or binpack=cpus|memory|load; option ,weight=N.",
        placement_parser.add_preference,
        placement_options.remove_preference,
    ),
    RepeatableOption(
        "--affinity",
        "EXPRESSION",
        "Affinity (service==db) or anti-affinity (service!=db), also to the service itself; options ,weight=N "
        "(preferred, not required) and ,topology-key=KEY.",
        placement_parser.add_affinity,
        placement_options.remove_affinity,
    ),
    RepeatableOption(
        "--generic-resource",
        "KIND=NUMBER",
        "Generic resources to reserve.",
        placement_parser.add_generic,
        placement_options.remove_generic,
    ),
    RepeatableOption("--mount", "MOUNT", MOUNT_HELP, _add_mount, _remove_mount),
    _file_option("--secret", "Secrets to expose: NAME, or source=…,target=…,uid=…,gid=…,mode=…,policy=follow|pin."),
    _file_option("--config", "Configs to expose, like --secret."),
    _list_option(
        "--host",
        "NAME:ADDRESS",
        "Custom host-to-IP mappings; host-gateway is the node's address.",
        lambda spec: spec.task.container.extra_hosts,
    ),
    _list_option(
        "--group", "GROUP", "Supplementary groups for the container user.", lambda spec: spec.task.container.groups
    ),
    _list_option("--dns", "ADDRESS", "Custom DNS servers.", lambda spec: spec.task.container.dns.nameservers),
    _list_option("--dns-search", "DOMAIN", "Custom DNS search domains.", lambda spec: spec.task.container.dns.search),
    _list_option("--dns-option", "OPTION", "DNS options.", lambda spec: spec.task.container.dns.options),
    *CAPABILITIES,
    RepeatableOption(
        "--log-opt",
        "NAME=VALUE",
        "Logging options: max-size=10M, max-file=3.",
        add_log_option,
        remove_log_option,
        add_flag="--log-opt",
    ),
    _map_option("--sysctl", "NAME=VALUE", "Sysctl options.", lambda spec: spec.task.container.sysctls),
    _map_option("--annotation", "NAME=VALUE", "OCI annotations.", lambda spec: spec.task.container.annotations),
    _list_option(
        "--device-cgroup-rule",
        "RULE",
        'Device cgroup rules, such as "c 10:200 rwm".',
        lambda spec: spec.task.container.device_cgroup_rules,
    ),
    RepeatableOption(
        "--device",
        "DEVICE",
        "Host devices: /dev/source[:/dev/target][:rwm], or CDI devices: vendor.com/class=name.",
        host_config.add_device,
        remove_device,
    ),
    RepeatableOption(
        "--security-opt",
        "OPTION",
        f"Security options: {', '.join(security_options.FORMS)}.",
        add_security_option,
        remove_security_option,
    ),
    *(
        RepeatableOption(flag, form, text, block_io_options.adding(flag), block_io_options.removing(flag))
        for flag, (_, form, text, _) in block_io_options.DEVICE_FLAGS.items()
    ),
    RepeatableOption("--ulimit", "NAME=SOFT[:HARD]", "Ulimit options.", _add_ulimit, _remove_ulimit),
)
