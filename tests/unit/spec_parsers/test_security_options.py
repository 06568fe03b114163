"""Docker's security options: what they set, and what is refused with its reason."""

from pathlib import Path

import pytest

from cli.commands.node import row
from cli.flags.security_flag import add_security_option, read_profile, remove_security_option
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.control_pb2 import NodeView
from shoal.api.v1.node_pb2 import NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.security_options import apply_security_option


def container(*options: str, directory: Path = Path()) -> ContainerSpec:
    made = ContainerSpec()
    for option in options:
        apply_security_option(made, option, lambda path: read_profile(directory / path))
    return made


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("no-new-privileges", ContainerSpec(no_new_privileges=True)),
        ("no-new-privileges=true", ContainerSpec(no_new_privileges=True)),
        ("no-new-privileges:1", ContainerSpec(no_new_privileges=True)),
        ("no-new-privileges=false", ContainerSpec()),
        ("apparmor=web", ContainerSpec(apparmor="web")),
        ("apparmor:unconfined", ContainerSpec(apparmor="unconfined")),
        ("apparmor=a:b=c", ContainerSpec(apparmor="a:b=c")),
        ("seccomp=unconfined", ContainerSpec(seccomp="unconfined")),
        ("seccomp=builtin", ContainerSpec()),
        ("systempaths=unconfined", ContainerSpec(unmasked_paths=True)),
        ("label=disable", ContainerSpec()),
        ("label:disable", ContainerSpec()),
        ("writable-cgroups=false", ContainerSpec()),
    ],
)
def test_an_option_sets_its_field(option: str, expected: ContainerSpec) -> None:
    assert container(option) == expected


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("label=type:svirt_t", "SELinux"),
        ("label:level:s0", "SELinux"),
        ("writable-cgroups=true", "read-only"),
        ("credentialspec=file://a", "Windows"),
        ("apparmor=", "apparmor=PROFILE"),
        ("apparmor", "apparmor=PROFILE"),
        ("seccomp", "seccomp=FILE"),
        ("no-new-privileges=maybe", "no-new-privileges"),
        ("systempaths=", "systempaths=unconfined"),
        ("landlock=on", "use one of"),
        ("", "use one of"),
        ("seccomp=/nowhere/p.json", "cannot read the seccomp profile /nowhere/p.json"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_a_reason(option: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        container(option)


@pytest.mark.parametrize("option", ["seccomp=a=b.json", "seccomp:a=b.json"])
def test_a_profile_is_read_from_its_file(tmp_path: Path, option: str) -> None:
    (tmp_path / "a=b.json").write_text("{}")
    assert container(option, directory=tmp_path).seccomp == "{}"


def test_a_node_tells_what_holds_its_containers_in() -> None:
    about = NodeDescription(security_options=["name=apparmor"])
    assert row(NodeView(status=NodeStatus(description=about)))["security_options"] == ["name=apparmor"]


def test_an_option_is_taken_back_by_its_name() -> None:
    spec = ServiceSpec()
    for option in ("apparmor=web", "no-new-privileges", "systempaths=unconfined"):
        add_security_option(spec, option)
    for name in ("apparmor", "no-new-privileges", "systempaths", "seccomp"):
        remove_security_option(spec, name)
    assert spec.task.container == ContainerSpec()
    with pytest.raises(InvalidInput, match="'label' must be one of apparmor"):
        remove_security_option(spec, "label")
