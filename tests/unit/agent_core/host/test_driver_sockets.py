"""Where drivers listen: what the operator says, and what lies in the directory."""

import socket
from pathlib import Path

import pytest

from agent.csi.driver_sockets import DriverSocket, find_sockets, parse_socket
from agent.safe_paths.mountinfo import parse_mountinfo
from agent.settings import AgentSettings
from shoal.errors import InvalidInput


def test_with_a_name_and_without() -> None:
    assert parse_socket("nfs.csi.k8s.io=unix:///run/nfs/csi.sock") == DriverSocket(
        Path("/run/nfs/csi.sock"), "nfs.csi.k8s.io"
    )
    assert parse_socket("unix:///run/nfs/csi.sock") == DriverSocket(Path("/run/nfs/csi.sock"))


@pytest.mark.parametrize("text", ["", "nfs", "nfs=", "nfs=/run/x.sock", "nfs=unix://x.sock", "a=tcp://h:1"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="must be in the form NAME=unix:///"):
        parse_socket(text)
    with pytest.raises(InvalidInput, match="--csi"):
        AgentSettings(csi=(text,))


def test_a_path_may_not_be_longer_than_the_kernel_admits() -> None:
    with pytest.raises(InvalidInput, match="the maximum is 107 bytes"):
        parse_socket(f"unix:///{'a' * 107}")


def test_the_time_for_a_call_is_bounded() -> None:
    with pytest.raises(InvalidInput, match="--csi-timeout-seconds"):
        AgentSettings(csi_timeout_seconds=0.1)


def test_sockets_are_found_beside_those_told(tmp_path: Path) -> None:
    (tmp_path / "ebs").mkdir()
    (tmp_path / "note.sock").write_text("no socket")
    for name in ("a.sock", "ebs/csi.sock"):
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tmp_path / name))
    reported = DriverSocket(tmp_path / "a.sock", "a.example")
    assert find_sockets(tmp_path, [reported]) == [reported, DriverSocket(tmp_path / "ebs/csi.sock")]
    assert find_sockets(tmp_path / "missing", []) == []


def test_mount_points_are_read_with_their_escapes() -> None:
    text = "36 35 98:0 / /mnt\\040a/b rw - ext4 /dev/x rw\n37 35 0:5 / /run rw shared:1 - tmpfs tmpfs rw\n"
    assert [entry.point for entry in parse_mountinfo(text)] == [Path("/mnt a/b"), Path("/run")]
