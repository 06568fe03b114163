"""What `shoal build` prints and writes: results, failures, warnings, progress on a terminal."""

import io
import os
import pty
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from shoal.api.v1.builds_pb2 import BuildFailure, BuildOutput, BuildResult, BuildStart, BuildWarning, VertexStatus
from shoal.errors import Refused
from tests.unit.cli.builds.builds_rig import ID, Builder, simple
from tests.unit.cli.exec.exec_rig import DEADLINE_SECONDS, Rig, killed


def test_quiet_prints_the_id_alone(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, _ = rigs
    assert rig.run("build", "-q", str(context)) == (0, f"{ID}\n".encode(), "")


def test_files_of_the_result_go_to_a_directory_or_an_archive(
    rigs: tuple[Rig, Builder], context: Path, tmp_path: Path
) -> None:
    rig, builder = rigs
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(context / "f", "bin/app")

    def answers(start: BuildStart) -> Iterator[BuildOutput]:
        whole = content.getvalue()
        yield from list(simple(start))[:-1]
        yield BuildOutput(file_data=whole[:700])
        yield BuildOutput(file_data=whole[700:])
        yield BuildOutput(result=BuildResult())

    builder.answers = answers
    assert rig.run("build", "-o", str(tmp_path / "out"), str(context))[0] == 0
    assert (tmp_path / "out" / "bin" / "app").read_text() == "f\n"
    assert rig.run("build", "-o", f"type=tar,dest={tmp_path}/out.tar", str(context))[0] == 0
    assert (tmp_path / "out.tar").read_bytes() == content.getvalue()
    code, written, _ = rig.run("build", "-o", "-", str(context))
    assert (code, written) == (0, content.getvalue())
    assert [each.output for each in builder.starts] == [BuildStart.FILES] * 3
    builder.refused = Refused("no")
    assert rig.run("build", "-o", f"type=oci,dest={tmp_path}/oci.tar", str(context))[0] == 1
    assert not [each for each in tmp_path.iterdir() if "oci" in each.name], "whole, or not at all"


def test_a_failure_is_reported_with_its_output_and_its_lines(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs

    def answers(start: BuildStart) -> Iterator[BuildOutput]:
        yield from list(simple(start))[:3]
        error = 'process "/bin/sh -c make" did not complete successfully: exit code: 2'
        yield BuildOutput(vertex=VertexStatus(id="v1", started_at_ms=1000, completed_at_ms=1100, error=error))
        yield BuildOutput(failure=BuildFailure(vertex_id="v1", exit_code=2, line=2))

    builder.answers, builder.refused = answers, Refused("the step failed")
    code, _, reported = rig.run("build", str(context))
    assert code == 1
    tail = reported[reported.index("------") :].splitlines()
    assert tail[0] == "------" and tail[1] == " > [1/1] RUN make:" and tail[2].endswith(" made") and tail[3] == "------"
    assert tail[4:] == [
        "Dockerfile:2",
        "--------------------",
        "   1 |     FROM alpine",
        "   2 | >>> RUN make",
        "   3 |",
        "--------------------",
        "error: the step failed",
    ]


def test_warnings_name_their_line(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs
    warning = BuildWarning(
        rule="FromAsCasing", text="'as' and 'FROM' keywords' casing do not match", line=1, url="https://x"
    )
    builder.answers = lambda start: iter([BuildOutput(warning=warning), *simple(start)])
    code, _, reported = rig.run("build", str(context))
    assert code == 0
    assert "warning: Dockerfile:1: FromAsCasing: 'as' and 'FROM' keywords' casing do not match" in reported
    builder.answers = lambda start: iter([BuildOutput(warning=warning)] if start.check_only else [])
    code, written, _ = rig.run("build", "--check", str(context))
    assert code == 1
    assert written.decode().splitlines()[:3] == [
        "Check complete, 1 warning has been found!",
        "",
        "WARNING: FromAsCasing - https://x",
    ]
    builder.answers = lambda start: iter([])
    assert rig.run("build", "--check", str(context)) == (0, b"Check complete, no warnings found.\n", "")


def test_interrupting_it_ends_the_build(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, builder = rigs

    def answers(start: BuildStart) -> Iterator[BuildOutput]:
        yield from list(simple(start))[:3]
        builder.running.wait(DEADLINE_SECONDS)

    builder.answers = answers
    with killed(rig.start("build", str(context))) as process:
        assert process.stderr is not None
        while b"made" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
    assert builder.cancelled.wait(DEADLINE_SECONDS)


def test_a_terminal_is_drawn_over(rigs: tuple[Rig, Builder], context: Path) -> None:
    rig, _ = rigs
    master, slave = pty.openpty()
    with killed(
        rig.start("build", str(context), stdout=subprocess.PIPE, stderr=slave, env={"TERM": "xterm"})
    ) as process:
        os.close(slave)
        assert process.wait(DEADLINE_SECONDS) == 0
        shown = os.read(master, 1 << 16).decode()
    os.close(master)
    assert "[+] Building" in shown and "FINISHED" in shown and " => [1/1] RUN make" in shown and "\x1b[2K" in shown
