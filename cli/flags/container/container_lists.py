"""Flags of `shoal run` that may be given several times. Most are those of services, under Docker's names."""

import os.path
from collections.abc import Iterable
from pathlib import Path

from cli.flags.container.container_draft import Apply, ContainerDraft, ContainerFlag, of_spec
from cli.flags.docker_env_file import read_env_file
from cli.flags.repeatable_options import REPEATABLE_OPTIONS, RepeatableOption, add_env
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import NetworkAttachment
from shoal.errors import InvalidInput
from shoal.spec_parsers.exposed_ports import parse_exposed
from shoal.spec_parsers.extra_hosts import parse_extra_host
from shoal.spec_parsers.mount_parser import parse_tmpfs
from shoal.spec_parsers.network_attachments import parse_container_attachment
from shoal.spec_parsers.port_parser import from_short, parse_publish
from shoal.spec_parsers.short_mounts import CONSISTENCY, parse_short_mount

_MAC_OPTION = "mac-address="
_SHARED: dict[str, RepeatableOption] = {option.flag: option for option in REPEATABLE_OPTIONS}


def _shared(*flags: str) -> Iterable[ContainerFlag]:
    for flag in flags:
        option = _SHARED[flag]
        yield ContainerFlag(flag, option.metavar, option.help, of_spec(option.add), repeatable=True)


def _env(draft: ContainerDraft, text: str) -> None:
    """A variable; one without a value has the one that it has here, and is left out where it has none."""
    name, sign, _ = text.partition("=")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form NAME[=VALUE]")
    if sign or name in draft.environment:
        add_env(draft.spec, text if sign else f"{name}={draft.environment[name]}")


def _env_file(draft: ContainerDraft, path: str) -> None:
    for entry in read_env_file(path):
        _env(draft, entry)


def _label(draft: ContainerDraft, text: str) -> None:
    name, _, value = text.partition("=")
    if not name:
        raise InvalidInput(f"{text!r} must be in the form NAME[=VALUE]")
    draft.spec.labels[name] = value


def _label_file(draft: ContainerDraft, path: str) -> None:
    for entry in read_env_file(path):
        _label(draft, entry)


def _publish(draft: ContainerDraft, text: str) -> None:
    draft.spec.endpoint.ports.extend(parse_publish(text) if "=" in text else from_short(text))


def _expose(draft: ContainerDraft, text: str) -> None:
    draft.exposed.extend(parse_exposed(text))


def _network(draft: ContainerDraft, text: str) -> None:
    """The option `mac-address` is the container's: it has one link, however many networks it is on."""
    parts = text.split(",") if "=" in text else [text]
    for part in parts:
        if part.startswith(_MAC_OPTION):
            draft.set_mac(part.removeprefix(_MAC_OPTION))
    rest = ",".join(part for part in parts if not part.startswith(_MAC_OPTION))
    if not rest:
        raise InvalidInput(f"name is missing in {text!r}")
    draft.spec.task.networks.append(parse_container_attachment(rest))


def _alias(draft: ContainerDraft, text: str) -> None:
    draft.aliases.append(text)


def _volume(draft: ContainerDraft, text: str) -> None:
    """Paths of the host may be relative to the working directory."""
    mount = parse_short_mount(text, CONSISTENCY)
    if mount.source.startswith("."):
        mount.source = os.path.normpath(Path.cwd() / mount.source)
    draft.spec.task.container.mounts.append(mount)


def _tmpfs(draft: ContainerDraft, text: str) -> None:
    draft.spec.task.container.mounts.append(parse_tmpfs(text))


def _volumes_from(draft: ContainerDraft, text: str) -> None:
    name, _, mode = text.partition(":")
    if not name or mode not in ("", "ro", "rw", "z", "Z"):
        raise InvalidInput(f"{text!r} must be in the form CONTAINER[:ro|:rw]")
    draft.volumes_from.append(text)


def _link(draft: ContainerDraft, text: str) -> None:
    name, sign, alias = text.removeprefix("/").partition(":")
    if not name or ":" in alias or (sign and not alias):
        raise InvalidInput(f"{text!r} must be in the form CONTAINER[:ALIAS]")
    draft.request.definition.links.append(f"{name}:{alias.rpartition('/')[2] or name}")


def _add_host(draft: ContainerDraft, text: str) -> None:
    draft.spec.task.container.extra_hosts.append(parse_extra_host(text))


def _list(flag: str, metavar: str, text: str, apply: Apply, *others: str, completes: str = "") -> ContainerFlag:
    return ContainerFlag(flag, metavar, text, apply, others, repeatable=True, completes=completes)


def apply_volume_driver(draft: ContainerDraft) -> None:
    """`--volume-driver`, for volumes whose mounts say no driver."""
    for mount in draft.spec.task.container.mounts:
        if draft.volume_driver and mount.type == Mount.VOLUME and not mount.volume.driver:
            mount.volume.driver = draft.volume_driver


def apply_network_settings(draft: ContainerDraft) -> None:
    """`--network-alias`, `--ip` and `--ip6` are of the first network.

    Raises:
        InvalidInput: there is none, or it has its own already.
    """
    networks = draft.spec.task.networks
    if not (draft.aliases or draft.address or draft.address6):
        return
    if not networks:
        raise InvalidInput("--network-alias, --ip and --ip6 need --network NAME")
    first: NetworkAttachment = networks[0]
    for flag, given, own in (
        ("--network-alias", draft.aliases, first.aliases),
        ("--ip", draft.address, first.address),
        ("--ip6", draft.address6, first.address6),
    ):
        if given and own:
            raise InvalidInput(f"{flag} cannot be combined with the same option of --network {first.network}")
    first.aliases.extend(draft.aliases)
    first.address, first.address6 = first.address or draft.address, first.address6 or draft.address6


CONTAINER_LISTS: tuple[ContainerFlag, ...] = (
    _list("--env-file", "FILE", "Read in a file of environment variables.", _env_file),
    _list("--env", "NAME[=VALUE]", "Set environment variables; without a value, copy it.", _env, "-e"),
    _list("--label-file", "FILE", "Read in a file of labels, one NAME=VALUE a line.", _label_file),
    _list("--label", "NAME[=VALUE]", "Set labels on the container.", _label, "-l"),
    _list(
        "--publish",
        "PORT",
        "Publish a port or port range on every node: [[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL].",
        _publish,
        "-p",
    ),
    _list("--expose", "PORT", "Expose a port or port range; --publish-all publishes it.", _expose),
    _list(
        "--network",
        "NETWORK",
        "Network to connect to (or name=NAME,alias=ALIAS,ip=ADDRESS,ip6=ADDRESS), or host, none, bridge, or "
        "container:NAME to share the network of another container.",
        _network,
        "--net",
        completes="network",
    ),
    _list("--network-alias", "NAME", "Add an alias on the first network.", _alias, "--net-alias"),
    _list("--link", "CONTAINER[:ALIAS]", "Add a link to another container.", _link, completes="container"),
    _list(
        "--volume",
        "MOUNT",
        "Mount a volume: [[NAME|/PATH]:]TARGET[:ro,…]; a path of a host needs --node or --constraint.",
        _volume,
        "-v",
    ),
    _list(
        "--mount", "MOUNT", "Attach a mount: type=volume|bind|tmpfs,source=…,target=….", of_spec(_SHARED["--mount"].add)
    ),
    _list("--tmpfs", "PATH", "Mount a tmpfs directory: PATH[:size=SIZE,mode=MODE,…].", _tmpfs),
    _list(
        "--volumes-from", "CONTAINER", "Mount the volumes of another container.", _volumes_from, completes="container"
    ),
    _list("--add-host", "NAME:ADDRESS", "Custom host-to-IP mappings; host-gateway is the node's address.", _add_host),
    _list("--group-add", "GROUP", "Supplementary groups for the container user.", of_spec(_SHARED["--group"].add)),
    _list("--dns-option", "OPTION", "DNS options.", of_spec(_SHARED["--dns-option"].add), "--dns-opt"),
    *_shared(
        "--dns", "--dns-search", "--constraint", "--cap-add", "--cap-drop", "--security-opt", "--sysctl", "--ulimit"
    ),
    *_shared("--annotation", "--log-opt", "--device", "--device-cgroup-rule", "--blkio-weight-device"),
    *_shared("--device-read-bps", "--device-read-iops", "--device-write-bps", "--device-write-iops"),
)
