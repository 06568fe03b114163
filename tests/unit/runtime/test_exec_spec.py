"""What a user's program in a container runs as."""

from typing import Any

import pytest

from agent.runtime.spec.exec_spec import exec_failure, exec_process_section
from agent.runtime.spec.user_lookup import ContainerUser
from shoal.api.v1.streams_pb2 import ExecStart, TerminalSize

OWN: dict[str, Any] = {
    "terminal": False,
    "user": {"uid": 0, "gid": 0, "additionalGids": [7]},
    "args": ["server"],
    "env": ["PATH=/bin", "HOME=/root", "MINE=1"],
    "cwd": "/srv",
    "capabilities": {kind: ["CAP_CHOWN"] for kind in ("bounding", "effective", "permitted")},
    "noNewPrivileges": True,
}
APP = ContainerUser(1000, 1000, (20,), "/home/app")


def made(
    user: ContainerUser | None = None, *, own: dict[str, Any] = OWN, home: str = "/root", **desired: Any
) -> dict[str, Any]:
    start = ExecStart(args=["ls"], **desired)
    return exec_process_section(
        own, start, user=user, own_home=home, available={"CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"}
    )


def test_it_is_the_containers_own_but_for_what_is_asked() -> None:
    assert made() == OWN | {"args": ["ls"]}
    assert made(working_dir="/tmp", env=["MINE=2", "YOURS=3=4"])["env"] == [
        "PATH=/bin",
        "HOME=/root",
        "MINE=2",
        "YOURS=3=4",
    ]
    assert made(working_dir="/tmp")["cwd"] == "/tmp"
    assert OWN["args"] == ["server"]


def test_another_user_has_a_home_and_no_rights_of_roots() -> None:
    process = made(APP)
    assert process["user"] == {"uid": 1000, "gid": 1000, "additionalGids": [20]}
    assert "HOME=/home/app" in process["env"]
    assert process["capabilities"] == {"bounding": ["CAP_CHOWN"]}
    # A home that the service chose stays, and so does one that the user asks for.
    assert "HOME=/root" in made(APP, home="/elsewhere")["env"]
    assert "HOME=/x" in made(APP, env=["HOME=/x"])["env"]


def test_root_in_a_container_of_another_user() -> None:
    own = OWN | {"user": {"uid": 5, "gid": 5}, "capabilities": {"bounding": ["CAP_CHOWN"]}}
    assert made(ContainerUser(0, 0, (), "/root"), own=own)["capabilities"] == OWN["capabilities"]


def test_all_capabilities_are_those_that_there_are() -> None:
    process = made(privileged=True)
    assert process["capabilities"]["effective"] == ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"]
    assert process["noNewPrivileges"] is False
    assert made(APP, privileged=True)["capabilities"] == {"bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"]}


def test_a_terminal_has_a_size_and_a_name() -> None:
    process = made(terminal=TerminalSize(columns=80, rows=24))
    assert (process["terminal"], process["consoleSize"]) == (True, {"height": 24, "width": 80})
    assert process["env"][-1] == "TERM=xterm"
    assert made(terminal=TerminalSize(), env=["TERM=vt100"])["env"][-1] == "TERM=vt100"


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (
            "exec failed: executable file `ls` not found in $PATH: No such file or directory",
            127,
            "executable file `ls`",
        ),
        (
            'exec failed: unable to start container process: exec: "ls": executable file not found in $PATH',
            127,
            "exec: ",
        ),
        ("open executable: Permission denied", 126, "ls: open executable: Permission denied"),
        ('exec failed: unable to start container process: exec: "ls": permission denied', 126, "exec: "),
        ("chdir `/nowhere`: No such file or directory", 126, "ls: chdir"),
        ('chdir to cwd ("/nowhere") set in config.json failed: no such file or directory', 126, "ls: chdir"),
    ],
)
def test_what_the_oci_runtime_says_of_one_that_it_cannot_run(said: str, code: int, text: str) -> None:
    found = exec_failure(said, "ls")
    assert found[0] == code
    assert found[1].startswith(text)
