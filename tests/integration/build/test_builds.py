"""Builds from their Dockerfile to the image that a node runs, on real parts."""

import os
import tarfile
from pathlib import Path

import pytest

from agent.build.spare_program import SparePrograms
from shoal.api.v1.builds_pb2 import BuildInput, BuildStart
from shoal.errors import InvalidInput, NotFound, Refused, ShoalError, Unavailable
from tests.integration.build.build_rig import BuildEnd, Rig, files_of, play
from tests.polling import until

SIMPLE = """\
FROM $BASE
ENV COLOR=blue
RUN echo "$COLOR" > /color && mkdir -p /data/sub && chmod 700 /data
COPY app /srv/app
WORKDIR /srv
CMD ["cat", "/color"]
"""


def test_a_build_from_its_file_to_an_image(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(SIMPLE, {"app/": "", "app/main.sh": "echo hi\n", "app/sub/": "", "app/sub/x": "1"})
        assert end.error is None, end.error
        image = await rig.pull(end.published)
        assert image.config.command == ("cat", "/color") and "COLOR=blue" in image.config.env
        assert image.config.working_dir == "/srv"
        files = files_of(image)
        assert files["color"] == ("file 644 0:0", b"blue\n")
        assert files["data"][0] == "directory 700 0:0"
        assert files["srv/app/main.sh"] == ("file 644 0:0", b"echo hi\n")
        assert files["srv/app/sub/x"] == ("file 644 0:0", b"1")
        assert not [each for each in files if "resolv" in each or each.startswith(("proc", "dev", "sys"))]

    play(tmp_path, scenario)


STAGES = """\
FROM $BASE AS one
RUN echo one > /one; chown 1000:50 /one
FROM $BASE AS unused
RUN exit 9
FROM $BASE AS two
RUN echo two > /two
FROM scratch
COPY --from=one /one /files/
COPY --from=two /two /files/second
COPY --from=one --chown=7:8 --chmod=4711 /one /files/third
"""


def test_stages_are_built_as_they_are_needed_and_owners_are_kept(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(STAGES)
        assert end.error is None, end.error
        files = files_of(await rig.pull(end.published))
        assert files == {
            "files": ("directory 755 0:0", b""),
            "files/one": ("file 644 1000:50", b"one\n"),
            "files/second": ("file 644 0:0", b"two\n"),
            "files/third": ("file 4711 7:8", b"one\n"),
        }

    play(tmp_path, scenario)


def test_a_command_that_fails_ends_the_build_with_its_code_and_line(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build("FROM $BASE\nRUN echo out; echo err >&2; exit 3\nRUN echo never\n")
        assert isinstance(end.error, Refused)
        command = '"/bin/sh -c echo out; echo err >&2; exit 3"'
        assert str(end.error) == f"process {command} did not complete successfully: exit code: 3"
        failures = [each.failure for each in end.outputs if each.HasField("failure")]
        assert [(each.exit_code, each.line) for each in failures] == [(3, 2)]
        logs = {each.log.stream: each.log.data for each in end.outputs if each.HasField("log")}
        assert logs == {1: b"out\n", 2: b"err\n"} and not end.published

    play(tmp_path, scenario)


FAULTS = [
    ("FROM $BASE\nRUNN x\nCOPPY a b\n", InvalidInput, ["Dockerfile:2", "Dockerfile:3"]),
    ("FROM $BASE\nCOPY missing /x\n", NotFound, []),
    ("FROM $BASE\nUSER nobody-here\nRUN true\n", InvalidInput, ["Dockerfile:3"]),
    ("FROM 127.0.0.1:1/none:1\n", NotFound, []),
    ("FROM $BASE\nADD http://127.0.0.1:1/x /x\n", Unavailable, []),
    ("FROM $BASE\nRUN --security=insecure true\n", InvalidInput, ["Dockerfile:2"]),
    ("FROM $BASE\nRUN --mount=type=secret,id=x,required true\n", NotFound, []),
    ("FROM $BASE\nRUN mkdir /d\nCOPY f /d/x\nCOPY f /d/x/y\n", InvalidInput, ["Dockerfile:4"]),
]


@pytest.mark.parametrize(("dockerfile", "kind", "paths"), FAULTS)
def test_faults_are_told_with_their_lines(
    tmp_path: Path, dockerfile: str, kind: type[ShoalError], paths: list[str]
) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(dockerfile, {"f": "1"})
        assert isinstance(end.error, kind), end.error
        if isinstance(end.error, InvalidInput):
            assert [each.path for each in end.error.faults] == paths, end.error

    play(tmp_path, scenario)


def test_a_build_whose_caller_leaves_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        dockerfile = f"FROM {rig.base}\nRUN echo begun; sleep 31415901 & sleep 31415902\n".encode()
        end = BuildEnd()
        sent = [BuildInput(end_context=BuildInput.EndContext())]
        outputs = rig.stream(BuildStart(dockerfile_text=dockerfile), sent, end)
        async for output in outputs:
            if output.log.data == b"begun\n":
                break
        await until(lambda: _sleepers() == 2)
        await outputs.aclose()
        assert _sleepers() == 0 and rig.leftovers() == []
        assert rig.networks.attached == rig.networks.detached != []

    play(tmp_path, scenario)


def test_what_an_agent_that_was_killed_left_is_removed(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.host.make_directories("killed1", rig.repository)
        assert len(rig.leftovers()) == 2
        rig.host.clear()
        assert rig.leftovers() == []

    play(tmp_path, scenario)


def _sleepers() -> int:
    commands = map(_command, Path("/proc").glob("[0-9]*"))
    return sum(command.startswith(b"sleep\x00314159") for command in commands)


def _command(process: Path) -> bytes:
    """Its words; none of one that has ended meanwhile."""
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_secrets_are_seen_by_their_command_alone(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        secret = b"s3cret-value"
        end = await rig.build(
            "FROM $BASE\n"
            "RUN --mount=type=secret,id=key,target=/run/secrets/key --mount=type=secret,id=key,env=KEY "
            'test "$(cat /run/secrets/key)" = "$KEY" && stat -c %a /run/secrets/key > /mode\n'
            "RUN ls /run/secrets/key > /seen 2>&1 || true\n",
            secrets={"key": secret},
        )
        assert end.error is None, (end.error, end.log)
        files = files_of(await rig.pull(end.published))
        assert files["mode"][1] == b"400\n" and b"No such file" in files["seen"][1]
        assert not any(secret in content for _, content in files.values())
        assert not [each for each in files if each.startswith("run")]
        for output in end.outputs:
            assert secret not in output.SerializeToString()

    play(tmp_path, scenario)


MOUNTS = """\
FROM $BASE AS tools
RUN echo tool > /tool
FROM $BASE
RUN --mount=type=bind,target=/ctx --mount=type=bind,from=tools,source=/tool,target=/opt/tool \\
    --mount=type=tmpfs,target=/scratch cat /ctx/f /opt/tool > /both && echo x > /scratch/x && ! touch /ctx/new
RUN --mount=type=bind,target=/ctx,rw touch /ctx/new && ls /ctx > /listing
RUN ls /ctx /opt /scratch > /after 2>&1 || true
"""


def test_mounts_leave_nothing_in_the_image(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(MOUNTS, {"f": "context\n"})
        assert end.error is None, (end.error, end.log)
        files = files_of(await rig.pull(end.published))
        assert files["both"][1] == b"context\ntool\n" and files["listing"][1] == b"f\nnew\n"
        assert not {"ctx", "opt", "scratch", "opt/tool"} & files.keys()
        assert files["after"][1].count(b"No such file") == 3

    play(tmp_path, scenario)


def test_a_command_is_confined_and_its_network_is_as_asked(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        end = await rig.build(
            "FROM $BASE\n"
            "RUN grep -E '^(CapEff|Seccomp):' /proc/self/status; hostname; id -u; cat /etc/resolv.conf\n"
            "RUN --network=none ls /sys/class/net\n"
            "USER app\nRUN id; pwd; env | grep -E '^(HOME|HOSTNAME)='\n"
        )
        assert end.error is None, (end.error, end.log)
        assert "CapEff:\t00000000a80425fb" in end.log and "Seccomp:\t2" in end.log
        assert "buildkitsandbox\n0\n" in end.log and "nameserver 169.254.1.1" in end.log
        assert "uid=1000(app) gid=1000(app)" in end.log and "HOME=/home/app\n" in end.log and "HOSTNAME" not in end.log

    play(tmp_path, scenario)


@pytest.mark.parametrize("name", ["../out", "/abs/../../out", "link/out"])
def test_a_context_cannot_leave_its_directory(tmp_path: Path, name: str) -> None:
    async def scenario(rig: Rig) -> None:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
        (tmp_path / "outside").mkdir()
        await rig.build("FROM $BASE\nCOPY . /ctx\n", {"link": link, name: "x", "f": "1"})
        assert list((tmp_path / "outside").iterdir()) == [] and not (tmp_path / "out").exists()
        assert not list(tmp_path.rglob("out"))

    play(tmp_path, scenario)


def test_a_program_is_ready_for_the_next_build_and_gone_afterwards(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        rig.programs = SparePrograms()
        for number in range(3):
            rig.programs.prepare()
            end = await rig.build(f"FROM $BASE\nRUN echo {number} > /n\n")
            assert end.error is None
        names = [end.names[each.vertex.id] for each in end.outputs if each.vertex.completed_at_ms]
        assert names[-1] == "exporting to image"
        rig.programs.prepare()
        await until(lambda: _programs() == 2)  # one that waits for the other
        await rig.programs.aclose()
        assert _programs() == 0

    play(tmp_path, scenario)


def _programs() -> int:
    commands = [_command(path) for path in Path("/proc").glob("[0-9]*") if _is_child(path)]
    return sum(b"agent.build.program.main" in command for command in commands)


def _is_child(process: Path) -> bool:
    """Of this test's process, or of a child of it."""
    try:
        parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
        above = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1]
    except (OSError, IndexError):
        return False
    return str(os.getpid()) in (parent, above)


def test_commands_have_the_ssh_agent_of_who_builds(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        text = (
            "FROM $BASE\n"
            "RUN --mount=type=ssh test -S /run/buildkit/ssh_agent.0 && echo $SSH_AUTH_SOCK > /where "
            "&& stat -c %a $SSH_AUTH_SOCK > /mode\n"
            "RUN --mount=type=ssh,id=other,target=/s,mode=0666 stat -c %a /s >> /mode; env | grep SSH >> /where\n"
            "RUN --mount=type=ssh,id=missing test ! -e /run/buildkit\n"
        )
        end = await rig.build(text, ssh_ids=["default", "other"])
        assert end.error is None, (end.error, end.log)
        files = files_of(await rig.pull(end.published))
        assert files["where"][1] == b"/run/buildkit/ssh_agent.0\nSSH_AUTH_SOCK=/s\n"
        assert files["mode"][1] == b"600\n666\n" and not any(name.startswith("run/buildkit") for name in files)
        failed = await rig.build("FROM $BASE\nRUN --mount=type=ssh,required id\n")
        assert failed.error is not None and "SSH agent default: not found" in str(failed.error)

    play(tmp_path, scenario)
