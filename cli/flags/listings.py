"""Flags that may be given several times: `--env`, `--label`, `--publish` … On update they come as `-add` and `-rm`."""

from collections.abc import Callable, MutableMapping, MutableSequence
from dataclasses import dataclass

from cli.flags import block_io, dependencies, files, placement, security, tuning
from cli.flags.capabilities import add_capability, drop_capability, forget
from cli.flags.entries import drop
from cli.flags.env_file import entries_of
from cli.flags.logs import add_log_option, remove_log_option
from cli.flags.mounts import parse_mount
from cli.flags.networks import add_network, remove_network
from cli.flags.ports import is_named, parse_publish
from shoal.api.v1.container_pb2 import Ulimit
from shoal.api.v1.file_pb2 import FileReference
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

Change = Callable[[ServiceSpec, str], None]


@dataclass(frozen=True)
class Listing:
    """A flag that adds to a list of a spec.

    Attributes:
        flag: with its dashes; on update `<flag>-add` and `<flag>-rm`.
        add: takes one value; replaces an entry of the same key.
        remove: takes a key (a variable's name, a label's name, a target port, a target path).
        short: one letter with its dash, on creation.
        adding: the flag that adds on update, where Docker's is not `<flag>-add`.
        noun: whose names its values begin with, for completion.
    """

    flag: str
    metavar: str
    help: str
    add: Change
    remove: Change
    short: str = ""
    adding: str = ""
    noun: str = ""

    @property
    def update_flags(self) -> tuple[str, str]:
        """Those that add and remove on update."""
        return self.adding or f"{self.flag}-add", f"{self.flag}-rm"


def _pair(flag: str, text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise InvalidInput(f"{flag}: {text!r} has no name; write it like name=value")
    return key, value


def _map(flag: str, field: Callable[[ServiceSpec], MutableMapping[str, str]]) -> tuple[Change, Change]:
    def add(spec: ServiceSpec, text: str) -> None:
        key, value = _pair(flag, text)
        field(spec)[key] = value

    def remove(spec: ServiceSpec, text: str) -> None:
        # Asked first: to take what is not there makes it, in maps of protobuf.
        if text not in field(spec):
            raise InvalidInput(f"{flag}-rm: there is no {text!r}")
        del field(spec)[text]

    return add, remove


def _words(flag: str, field: Callable[[ServiceSpec], MutableSequence[str]]) -> tuple[Change, Change]:
    def add(spec: ServiceSpec, text: str) -> None:
        if text not in field(spec):
            field(spec).append(text)

    def remove(spec: ServiceSpec, text: str) -> None:
        if text not in field(spec):
            raise InvalidInput(f"{flag}-rm: there is no {text!r}")
        field(spec).remove(text)

    return add, remove


def add_env(spec: ServiceSpec, text: str) -> None:
    """Set a variable; a later one replaces an earlier one of the same name."""
    name, value = _pair("--env", text)
    env = spec.task.container.env
    env[:] = [entry for entry in env if entry.partition("=")[0] != name] + [f"{name}={value}"]


def _remove_env(spec: ServiceSpec, text: str) -> None:
    if not drop(spec.task.container.env, lambda entry: entry.partition("=")[0] == text):
        raise InvalidInput(f"--env-rm: there is no variable {text!r}")


def add_env_file(spec: ServiceSpec, path: str) -> None:
    """Variables from a file."""
    for entry in entries_of(path):
        add_env(spec, entry)


def _add_port(spec: ServiceSpec, text: str) -> None:
    spec.endpoint.ports.extend(parse_publish(text))


def _remove_port(spec: ServiceSpec, text: str) -> None:
    """By the port in the container, and by whatever else of a published port is named beside it."""
    any_protocol = "/" not in text and "protocol=" not in text
    for named in parse_publish(text):
        if not drop(spec.endpoint.ports, lambda port, named=named: is_named(port, named, any_protocol=any_protocol)):  # type: ignore[misc]
            raise InvalidInput(f"--publish-rm: no port {text!r} is published; name the port in the container")


MOUNT_HELP = (
    "Mount: type=volume|bind|tmpfs,source=…,target=…; what may be written is for one task at a time unless shared=true."
)


def _add_mount(spec: ServiceSpec, text: str) -> None:
    spec.task.container.mounts.append(parse_mount(text))


def _remove_mount(spec: ServiceSpec, text: str) -> None:
    if not drop(spec.task.container.mounts, lambda mount: mount.target == text):
        raise InvalidInput(f"--mount-rm: nothing is mounted at {text!r}")


def _add_ulimit(spec: ServiceSpec, text: str) -> None:
    name, value = _pair("--ulimit", text)
    soft, _, hard = value.partition(":")
    try:
        limit = Ulimit(name=name, soft=int(soft), hard=int(hard or soft))
    except ValueError:
        raise InvalidInput(f"--ulimit: {text!r} is not of the form nofile=1024:2048") from None
    drop(spec.task.container.ulimits, lambda other: other.name == name)
    spec.task.container.ulimits.append(limit)


def _remove_ulimit(spec: ServiceSpec, text: str) -> None:
    if not drop(spec.task.container.ulimits, lambda limit: limit.name == text):
        raise InvalidInput(f"--ulimit-rm: there is no {text!r}")


def _mapped(
    flag: str, metavar: str, text: str, field: Callable[[ServiceSpec], MutableMapping[str, str]], short: str = ""
) -> Listing:
    return Listing(flag, metavar, text, *_map(flag, field), short=short)


def _worded(flag: str, metavar: str, text: str, field: Callable[[ServiceSpec], MutableSequence[str]]) -> Listing:
    return Listing(flag, metavar, text, *_words(flag, field))


def _referring(flag: str, text: str) -> Listing:
    def references(spec: ServiceSpec) -> MutableSequence[FileReference]:
        return spec.task.container.secrets if flag == "--secret" else spec.task.container.configs

    noun = flag.removeprefix("--")
    return Listing(flag, "FILE", text, files.adding(flag, references), files.removing(flag, references), noun=noun)


CAPABILITIES = (
    Listing(
        "--cap-add",
        "CAPABILITY",
        "Add a capability.",
        add_capability,
        forget("--cap-add", "cap_add"),
        adding="--cap-add",
    ),
    Listing(
        "--cap-drop",
        "CAPABILITY",
        "Drop a capability.",
        drop_capability,
        forget("--cap-drop", "cap_drop"),
        adding="--cap-drop",
    ),
)

LISTINGS = (
    Listing("--env", "NAME=VALUE", "Set a variable.", add_env, _remove_env, short="-e"),
    _mapped("--label", "NAME=VALUE", "Label the service.", lambda spec: spec.labels, short="-l"),
    _mapped("--container-label", "NAME=VALUE", "Label the containers.", lambda spec: spec.task.container.labels),
    Listing(
        "--network",
        "NAME",
        "Attach to a network (or name=NAME,alias=ALIAS,ip=ADDRESS), or: host, none, bridge, or service:NAME to share "
        "the network of that service's tasks, slot by slot.",
        add_network,
        remove_network,
        noun="network",
    ),
    Listing(
        "--publish",
        "PORT",
        "Publish [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL] on every node, or ranges of them. Or by key=value: target, "
        "published, protocol, host_ip, mode (ingress; host: only on nodes of its tasks), traffic (cluster; local: only "
        "to tasks of the node that is asked).",
        _add_port,
        _remove_port,
        short="-p",
    ),
    Listing(
        "--depends-on",
        "SERVICE[=CONDITION]",
        "Make tasks only once it has started, or is healthy or completed.",
        dependencies.add_dependency,
        dependencies.remove_dependency,
        noun="service",
    ),
    _worded("--constraint", "EXPRESSION", "Place only where this holds.", lambda spec: spec.task.placement.constraints),
    Listing(
        "--placement-pref",
        "PREFERENCE",
        "Prefer nodes: spread=KEY or binpack=cpus|memory|load, with ,weight=N.",
        placement.add_preference,
        placement.remove_preference,
    ),
    Listing(
        "--affinity",
        "EXPRESSION",
        "Be near a service (itself too), service==db, or away, service!=db; a wish only with ,weight=N; ,over=KEY.",
        placement.add_affinity,
        placement.remove_affinity,
    ),
    Listing(
        "--generic-resource",
        "KIND=NUMBER",
        "Reserve so many of a node's generic resources.",
        placement.add_generic,
        placement.remove_generic,
    ),
    Listing("--mount", "MOUNT", MOUNT_HELP, _add_mount, _remove_mount),
    _referring("--secret", "Mount a secret: NAME, or source=…,target=…,uid=…,gid=…,mode=…,policy=follow|pin."),
    _referring("--config", "Mount a config, likewise."),
    _worded(
        "--host",
        "NAME:ADDRESS",
        "Add a line to /etc/hosts; the address host-gateway is the node's.",
        lambda spec: spec.task.container.extra_hosts,
    ),
    _worded("--group", "GROUP", "Add a supplementary group.", lambda spec: spec.task.container.groups),
    _worded("--dns", "ADDRESS", "Use this resolver upstream.", lambda spec: spec.task.container.dns.nameservers),
    _worded("--dns-search", "DOMAIN", "Search this domain.", lambda spec: spec.task.container.dns.search),
    _worded("--dns-option", "OPTION", "Set a resolver option.", lambda spec: spec.task.container.dns.options),
    *CAPABILITIES,
    Listing(
        "--log-opt",
        "NAME=VALUE",
        "Rotate the log: max-size=10M, max-file=3.",
        add_log_option,
        remove_log_option,
        adding="--log-opt",
    ),
    _mapped("--sysctl", "NAME=VALUE", "Set a kernel parameter.", lambda spec: spec.task.container.sysctls),
    _mapped(
        "--annotation", "NAME=VALUE", "Annotate for the OCI runtime.", lambda spec: spec.task.container.annotations
    ),
    _worded(
        "--device-cgroup-rule",
        "RULE",
        'Allow devices, like "c 10:200 rwm".',
        lambda spec: spec.task.container.device_cgroup_rules,
    ),
    Listing(
        "--device",
        "DEVICE",
        "Give it a device: /dev/source[:/dev/target][:rwm].",
        tuning.add_device,
        tuning.remove_device,
    ),
    Listing(
        "--security-opt",
        "OPTION",
        f"{', '.join(security.FORMS)}.",
        security.add_security_option,
        security.remove_security_option,
    ),
    *(
        Listing(flag, form, text, block_io.adding(flag), block_io.removing(flag))
        for flag, (_, form, text, _) in block_io.OF_DEVICES.items()
    ),
    Listing("--ulimit", "NAME=SOFT[:HARD]", "Set a resource limit of processes.", _add_ulimit, _remove_ulimit),
)
