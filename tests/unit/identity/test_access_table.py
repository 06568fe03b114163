"""Who may call what: the whole table, so that a change of it is seen."""

import re
from pathlib import Path
from types import SimpleNamespace

import console
import engine
from shoal.api.v1 import (
    agent_containers_pb2,
    builds_pb2,
    certificate_authority_pb2,
    control_pb2,
    dispatcher_pb2,
    engine_pb2,
    streams_pb2,
    volume_data_pb2,
)
from shoal.identity.roles import Role
from shoal.manager_calls.read_attempts import is_read
from shoal.rpc import access
from shoal.rpc.manager_access import (
    CONSOLE_CALLS,
    CONSOLE_CONTAINER_CALLS,
    CONSOLE_IMAGE_CALLS,
    ENGINE_CALLS,
    MANAGER_API,
    READS_OF_RECORDS,
)

CALLS_OF_CONSOLES = {
    "Control": CONSOLE_CALLS,
    "Containers": CONSOLE_CONTAINER_CALLS,
    "Images": CONSOLE_IMAGE_CALLS,
}
AUTHORITY = "/shoal.api.v1.CertificateAuthority/"


def test_every_method_is_in_a_table() -> None:
    served = MANAGER_API.keys() | access.JOIN.keys() | access.AGENT_STREAMS.keys()
    files = (
        agent_containers_pb2,
        builds_pb2,
        certificate_authority_pb2,
        control_pb2,
        dispatcher_pb2,
        streams_pb2,
        volume_data_pb2,
    )
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    services += [engine_pb2.DESCRIPTOR.services_by_name[name] for name in ("Containers", "Images")]
    described = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert served == described


def test_users_alone_control_and_agents_alone_hold_sessions() -> None:
    for method, roles in MANAGER_API.items():
        service = method.split("/")[1].rpartition(".")[2]
        expected = {
            "Control": {Role.ADMIN},
            "Containers": {Role.ADMIN, Role.ENGINE},
            "Images": {Role.ADMIN, Role.ENGINE},
            "Builds": {Role.ADMIN, Role.ENGINE},
            "Dispatcher": {Role.AGENT},
            "ManagerPeers": {Role.MANAGER},
            "CertificateAuthority": set(Role),
        }
        if method == AUTHORITY + "IssueServerCertificate":
            expected["CertificateAuthority"] = {Role.ADMIN, Role.ENGINE, Role.CONSOLE}
        name = method.rpartition("/")[2]
        engine = {Role.ENGINE} if service == "Control" and name in ENGINE_CALLS else set()
        console = {Role.CONSOLE} if name in CALLS_OF_CONSOLES.get(service, ()) else set()
        assert roles == frozenset(expected[service] | engine | console)


def test_an_engine_has_what_it_calls_and_no_tokens_keys_or_managers() -> None:
    called: set[str] = set()
    for module in Path(engine.__file__).parent.rglob("*.py"):
        called.update(re.findall(r"control\.([A-Z]\w+)", module.read_text()))
    own = {"ListJoinTokens", "RotateJoinTokens"}
    assert called - set(ENGINE_CALLS) == own, "which are the administrators' alone"
    assert set(ENGINE_CALLS) <= called


def test_a_console_has_what_it_calls_and_no_more() -> None:
    text = "".join(module.read_text() for module in Path(console.__file__).parent.rglob("*.py"))
    for service, stub in (("Control", "control"), ("Containers", "containers"), ("Images", "images")):
        assert set(re.findall(rf"\b_?{stub}\.([A-Z]\w+)", text)) == set(CALLS_OF_CONSOLES[service]), service


def test_reads_of_records_are_reads_that_users_have() -> None:
    for method in READS_OF_RECORDS:
        assert Role.ADMIN in (MANAGER_API[method] or ())
        assert is_read(SimpleNamespace(path=method))


def test_only_joining_needs_no_certificate_and_it_has_a_port_of_its_own() -> None:
    assert dict(access.JOIN) == {AUTHORITY + name: None for name in ("GetRoot", "Join", "JoinManager", "FindManagers")}
    assert None not in MANAGER_API.values()


def test_agents_read_volumes_of_each_other_and_nothing_else() -> None:
    for method, roles in access.AGENT_STREAMS.items():
        is_data = method.startswith("/shoal.api.v1.VolumeData/")
        assert roles == frozenset({Role.AGENT if is_data else Role.MANAGER}), method
