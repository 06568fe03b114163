"""The manager's settings, its addresses, and telling systemd."""

import socket
from pathlib import Path

import pytest

from manager.advertised_address import advertised_host, with_port
from manager.program_options import user_error
from manager.settings import Settings
from shoal.daemons.sd_notify import sd_notify
from shoal.errors import InvalidInput, Unavailable


def test_the_defaults_are_valid() -> None:
    settings = Settings()
    assert settings.key_file == Path("/var/lib/shoal/manager/cluster.key")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings(
            state_directory=Path("state"),
            api_address="here",
            join_address="here:0x1",
            advertise_address="a:b:c/d",
            etcd_ca=tmp_path / "none",
            heartbeat_seconds=0,
            log_level="loud",
            log_format="xml",
        )
    paths = [fault.path for fault in caught.value.faults]
    assert set(paths) == {
        "state-directory",
        "api-address",
        "join-address",
        "advertise-address",
        "etcd-ca",
        "etcd-cert",
        "heartbeat-seconds",
        "log-level",
        "log-format",
    }


def test_two_services_need_two_addresses() -> None:
    with pytest.raises(InvalidInput, match="join-address"):
        Settings(api_address="127.0.0.1:7440", join_address="127.0.0.1:7440")
    Settings(api_address="127.0.0.1:0", join_address="127.0.0.1:0")


def test_what_is_advertised() -> None:
    assert advertised_host("manager.example", "[::]:7440") == "manager.example"
    assert advertised_host("", "10.0.0.1:7440") == "10.0.0.1"
    assert with_port(advertised_host("", "[fd00::1]:7440"), 7440) == "[fd00::1]:7440"


def test_readiness_is_told_where_systemd_listens(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        sd_notify("READY=1", {"NOTIFY_SOCKET": str(path)})
        assert listener.recv(100) == b"READY=1"
    sd_notify("READY=1", {})


def test_only_our_own_errors_are_one_line() -> None:
    ours = ExceptionGroup("", [Unavailable("etcd is away")])
    assert str(user_error(ExceptionGroup("", [ours]))) == "etcd is away"
    assert user_error(ExceptionGroup("", [ours, KeyError("x")])) is None
    assert user_error(KeyError("x")) is None
