"""`ContainerSpec` of services, and back. Pure."""

from collections.abc import Mapping
from typing import Any

from engine.translate.containers.container_mounts import mount_entries, read_mount_entries
from engine.translate.containers.health_config import health_document, read_health
from engine.translate.fields import Fields
from engine.translate.swarm.swarm_objects import NS
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.file_pb2 import FileReference
from shoal.errors import InvalidInput
from shoal.image_reference import parse

DEFAULT_MODE = 0o444
SECRET_DIRECTORY = "/run/secrets/"  # noqa: S105  # a directory

_TEXTS = {"Image": "image", "Hostname": "hostname", "Dir": "working_dir", "User": "user", "StopSignal": "stop_signal"}
_LISTS = {
    "Command": "entrypoint",
    "Args": "command",
    "Env": "env",
    "Groups": "groups",
    "CapabilityAdd": "cap_add",
    "CapabilityDrop": "cap_drop",
}
_FLAGS = {"TTY": "tty", "OpenStdin": "stdin_open", "ReadOnly": "read_only"}
_MAPS = {"Labels": "labels", "Sysctls": "sysctls"}


def read_container(body: Fields, container: ContainerSpec) -> None:
    """
    Raises:
        ApiError: 400, something is not valid or cannot be honoured.
    """
    for key, field in _TEXTS.items():
        setattr(container, field, body.text(key))
    for key, field in _LISTS.items():
        getattr(container, field).extend(body.texts(key))
    for key, field in _FLAGS.items():
        setattr(container, field, body.boolean(key))
    for key, field in _MAPS.items():
        getattr(container, field).update(body.text_map(key))
    container.init = body.boolean("Init")
    container.oom_score_adj = body.number("OomScoreAdj")
    if body.has("StopGracePeriod"):
        container.stop_grace_ms = body.number("StopGracePeriod") // NS
    if body.has("Healthcheck"):
        read_health(body.nested("Healthcheck"), container)
    container.mounts.extend(read_mount_entries(body))
    container.extra_hosts.extend(each for text in body.texts("Hosts") for each in _hosts(body, text))
    dns = body.nested("DNSConfig")
    container.dns.nameservers.extend(dns.texts("Nameservers"))
    container.dns.search.extend(dns.texts("Search"))
    container.dns.options.extend(dns.texts("Options"))
    for entry in body.nested_list("Ulimits"):
        container.ulimits.add(name=entry.text("Name"), soft=entry.number("Soft"), hard=entry.number("Hard"))
    _read_privileges(body.nested("Privileges"), container)
    container.secrets.extend(_reference(entry, "Secret", SECRET_DIRECTORY) for entry in body.nested_list("Secrets"))
    container.configs.extend(_reference(entry, "Config", "/") for entry in body.nested_list("Configs"))


def container_document(container: ContainerSpec) -> dict[str, Any]:
    """What is set; all else is left out, as Docker does."""
    document: dict[str, Any] = {}
    for key, field in (*_TEXTS.items(), *_FLAGS.items()):
        document |= {key: getattr(container, field)} if getattr(container, field) else {}
    for key, field in _LISTS.items():
        document |= {key: list(getattr(container, field))} if getattr(container, field) else {}
    for key, field in _MAPS.items():
        document |= {key: dict(getattr(container, field))} if getattr(container, field) else {}
    document["Image"] = _familiar(container.image)
    document["Init"] = container.init
    document |= {"OomScoreAdj": container.oom_score_adj} if container.oom_score_adj else {}
    if container.HasField("stop_grace_ms"):
        document["StopGracePeriod"] = container.stop_grace_ms * NS
    if container.HasField("healthcheck"):
        document["Healthcheck"] = health_document(container.healthcheck)
    document |= {"Mounts": mount_entries(container.mounts)} if container.mounts else {}
    document |= {"Hosts": [_host_line(each) for each in container.extra_hosts]} if container.extra_hosts else {}
    document["DNSConfig"] = _dns(container)
    if container.ulimits:
        document["Ulimits"] = [{"Name": each.name, "Hard": each.hard, "Soft": each.soft} for each in container.ulimits]
    if container.no_new_privileges or container.seccomp or container.apparmor:
        document["Privileges"] = _privileges(container)
    document |= _references("Secrets", "Secret", container.secrets, SECRET_DIRECTORY)
    document |= _references("Configs", "Config", container.configs, "/")
    document["Isolation"] = "default"
    return document


def _familiar(image: str) -> str:
    try:
        return parse(image).familiar
    except InvalidInput:
        return image


def _read_privileges(privileges: Fields, container: ContainerSpec) -> None:
    container.no_new_privileges = privileges.boolean("NoNewPrivileges")
    if privileges.nested("CredentialSpec").document:
        raise privileges.invalid("CredentialSpec", "is not supported")
    for key in ("User", "Role", "Type", "Level"):  # `Disable` asks for what is so anyway
        if privileges.nested("SELinuxContext").text(key):
            raise privileges.nested("SELinuxContext").invalid(key, "SELinux labels are not supported")
    seccomp = privileges.nested("Seccomp")
    mode = seccomp.text("Mode")
    if mode == "unconfined":
        container.seccomp = mode
    elif mode == "custom":
        raise seccomp.invalid("Mode", "custom profiles are not supported by this API; use shoal service create")
    if privileges.nested("AppArmor").text("Mode") == "disabled":
        container.apparmor = "unconfined"


def _privileges(container: ContainerSpec) -> dict[str, Any]:
    document: dict[str, Any] = {"NoNewPrivileges": container.no_new_privileges}
    document |= {"Seccomp": {"Mode": "unconfined"}} if container.seccomp == "unconfined" else {}
    return document | ({"AppArmor": {"Mode": "disabled"}} if container.apparmor == "unconfined" else {})


def _hosts(body: Fields, text: str) -> list[str]:
    """ "name:address" of a line of /etc/hosts, `ADDRESS NAME [ALIAS …]`."""
    address, *names = text.split()
    if not names:
        raise body.invalid("Hosts", f"invalid host {text!r}: must be ADDRESS NAME")
    return [f"{name}:{address}" for name in names]


def _host_line(text: str) -> str:
    name, _, address = text.partition(":")
    return f"{address} {name}"


def _dns(container: ContainerSpec) -> dict[str, Any]:
    document: dict[str, Any] = {"Nameservers": list(container.dns.nameservers)} if container.dns.nameservers else {}
    document |= {"Search": list(container.dns.search)} if container.dns.search else {}
    return document | ({"Options": list(container.dns.options)} if container.dns.options else {})


def _reference(entry: Fields, kind: str, directory: str) -> FileReference:
    file = entry.nested("File")
    name = file.text("Name")
    reference = FileReference(source=entry.text(f"{kind}ID") or entry.text(f"{kind}Name"), policy=FileReference.PIN)
    reference.target = (name if name.startswith("/") else directory + name) if name else ""
    reference.uid, reference.gid = _owner(file, "UID"), _owner(file, "GID")
    if file.has("Mode"):
        reference.mode = file.number("Mode")
    return reference


def _owner(file: Fields, key: str) -> int:
    text = file.text(key) or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise file.invalid(key, f"{text!r} must be a number")
    return int(text)


def _file_name(reference: FileReference, directory: str) -> str:
    """Without the directory where files are unless their path says otherwise."""
    name = reference.target.removeprefix(directory)
    return (reference.target if "/" in name else name) or reference.name


def _references(key: str, kind: str, references: Any, directory: str) -> Mapping[str, Any]:
    if not references:
        return {}
    return {
        key: [
            {
                "File": {
                    "Name": _file_name(each, directory),
                    "UID": str(each.uid),
                    "GID": str(each.gid),
                    "Mode": each.mode if each.HasField("mode") else DEFAULT_MODE,
                },
                f"{kind}ID": each.source,
                f"{kind}Name": each.name,
            }
            for each in references
        ]
    }
