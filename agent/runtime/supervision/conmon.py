"""conmon, the small process that supervises one container: its command line, its handshake, its log control.

Source: conmon(8) and conmon.c: the final process writes one JSON line into the pipe named by _OCI_SYNCPIPE, the
container's process id, or -1 with the runtime's message.
"""

import errno
import json
import os
import re
import select
import time
from dataclasses import dataclass
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths
from agent.runtime.kernel.process_spawn import spawn_program
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.errors import Fault, InvalidInput, Unavailable

_CREATE_SECONDS = 60.0
_MAX_ANSWER = 64 << 10


class RuntimeUnsupported(Unavailable):
    """The OCI runtime does not work on this host at all; another may."""


@dataclass(frozen=True)
class OciProgram:
    """An OCI runtime: its name, "crun" or "runc", and where it is."""

    name: str
    path: Path


def conmon_arguments(
    conmon: Path, program: OciProgram, paths: ContainerPaths, task_id: str, spec: ContainerSpec, *, log_bytes: int
) -> list[str]:
    """The command line that creates (not yet starts) a container and stays with it.

    Args:
        log_bytes: what its log file may grow to before conmon replaces it by an empty one; 0: there is no log.
    """
    bundle, log = paths.bundle(task_id), f"k8s-file:{paths.logs(task_id)}/log" if log_bytes else "none:"
    arguments = [
        str(conmon), "--api-version", "1", "--cid", task_id, "--cuuid", task_id, "--name", task_id,
        "--runtime", str(program.path), "--bundle", str(bundle),
        "--container-pidfile", f"{bundle}/pid", "--conmon-pidfile", f"{bundle}/conmon.pid",
        "--exit-dir", str(paths.exits), "--log-path", log, "--log-level", "error",
        "--log-size-max", str(log_bytes or -1), "--full-attach", "--no-sync-log",
        "--runtime-arg", "--root", "--runtime-arg", str(paths.runtime_root(program.name)),
    ]  # fmt: skip
    # An open standard input stays so when whoever attached to it leaves.
    kept = ["--stdin", "--leave-stdin-open"] if spec.stdin_open else []
    return [*arguments, *kept, *(["--terminal"] if spec.tty else [])]


def spawn_conmon(arguments: list[str], directory: Path) -> tuple[int, int]:
    """Start conmon in the calling thread's namespaces; returns its first process and the read end of its pipe.

    The thread must have called unshare(CLONE_FS) before: it changes to `directory`, so that conmon, which writes a file
    `oom` where it stands, does so there.
    """
    os.chdir(directory)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    sync = 3
    # A descriptor duplicated onto itself would keep its close-on-exec flag.
    moved = os.dup(write_end) if write_end == sync else write_end
    descriptors = [(null, 0), (null, 1), (null, 2), (moved, sync)]
    # In UTC the times of log lines are in order as bytes, whatever the host's zone.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "_OCI_SYNCPIPE": str(sync), "TZ": "UTC0"}
    try:
        pid = spawn_program(arguments, environment, descriptors=descriptors)
    except OSError:
        os.close(read_end)
        raise
    finally:
        for descriptor in {null, write_end, moved}:
            os.close(descriptor)
    return pid, read_end


def await_created(first_pid: int, read_end: int, program: str, command: str) -> int:
    """The process id of the created container, which waits for its start. Closes `read_end`.

    Raises:
        InvalidInput: the container cannot be made of this image and spec.
        RuntimeRefused, Unavailable: all else.
    """
    try:
        answer = _read_line(read_end)
    finally:
        os.close(read_end)
        os.waitpid(first_pid, 0)
    if not answer:
        raise Unavailable("conmon exited before the container was created; conmon 2.1 or later is required")
    answer_fields = json.loads(answer)
    if answer_fields["data"] > 0:
        return int(answer_fields["data"])
    raise creation_error(str(answer_fields.get("message", "")), program, command)


def _read_line(descriptor: int) -> bytes:
    answer, deadline = b"", time.monotonic() + _CREATE_SECONDS
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not answer.endswith(b"\n") and len(answer) < _MAX_ANSWER:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Unavailable(
                f"timed out creating the container after {_CREATE_SECONDS:.0f} s; the node may be overloaded"
            )
        piece = os.read(descriptor, 4096)
        if not piece:
            break
        answer += piece
    return answer


def creation_error(message: str, program: str, command: str) -> InvalidInput | Unavailable:
    """One clean line for what crun or runc said when they were to run `command`."""
    line = " ".join(message.split()).removeprefix("runtime error: ")
    if re.search(r"executable file .* not found|exec: .*no such file", line):
        return InvalidInput([Fault("spec.command", f"{command}: no such file in the image")])
    if re.search(r"open executable|exec(?:ve)?[ :].*(?:ermission denied)|is a directory", line):
        return InvalidInput([Fault("spec.command", f"{command}: not executable")])
    if "not supported" in line or "unknown version" in line:
        return RuntimeUnsupported(f"{program} does not support this host: {_tail(line)}")
    return Unavailable(f"{program} could not create the container: {_tail(line)}")


def _tail(line: str) -> str:
    return line.removeprefix("container create failed: ")[-400:] or "it gave no reason; see the host's log"


def reopen_log(bundle: Path) -> bool:
    """Have conmon close its log file and open a new one at the same path; False when it is not there to hear it."""
    return _write_control(bundle, b"2 0 0\n")


def resize_terminal(bundle: Path, columns: int, rows: int) -> bool:
    """Have conmon give the container's terminal this size; False when it is not there to hear it."""
    return _write_control(bundle, b"1 %d %d\n" % (rows, columns))


def _write_control(bundle: Path, command: bytes) -> bool:
    try:
        control = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO):
            return False
        raise
    try:
        os.write(control, command)
    except (BrokenPipeError, BlockingIOError):  # it has ended meanwhile, or is stopped and does not read any more
        return False
    finally:
        os.close(control)
    return True
