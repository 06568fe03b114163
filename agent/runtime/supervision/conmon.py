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
from pathlib import Path

from agent.runtime.container_paths import ContainerPaths, OciProgram
from agent.runtime.kernel.process_spawn import spawn_program
from agent.worker.container_runtime import ContainerRequest
from shoal.errors import Fault, InvalidInput, Unavailable

_CREATE_SECONDS = 60.0
_MAX_ANSWER = 64 << 10


class RuntimeUnsupported(Unavailable):
    """The OCI runtime does not support this host; another one may."""


def conmon_arguments(
    conmon: Path, program: OciProgram, paths: ContainerPaths, request: ContainerRequest, *, log_bytes: int
) -> list[str]:
    """The command line that creates (but does not start) a container and supervises it.

    Args:
        log_bytes: size of the log file at which conmon replaces it by an empty one; 0: no log.
    """
    task_id, spec, bundle = request.task_id, request.spec, paths.bundle(request.task_id)
    # It appends to the log of an earlier run.
    log = f"k8s-file:{paths.logs_of(task_id, request.container_id)}/log" if log_bytes else "none:"
    arguments = [
        str(conmon), "--api-version", "1", "--cid", task_id, "--cuuid", task_id, "--name", task_id,
        "--runtime", str(program.path), "--bundle", str(bundle),
        "--container-pidfile", f"{bundle}/pid", "--conmon-pidfile", f"{bundle}/conmon.pid",
        "--exit-dir", str(paths.exits), "--log-path", log, "--log-level", "error",
        "--log-size-max", str(log_bytes or -1), "--full-attach", "--no-sync-log",
        "--runtime-arg", "--root", "--runtime-arg", str(paths.runtime_root(program.name)),
    ]  # fmt: skip
    # Without the second flag it ends when an attached client ends its own, or leaves. That of a terminal never ends:
    # who detaches can attach again.
    leave_open = ["--leave-stdin-open"] if spec.tty or not spec.stdin_once else []
    stdin = ["--stdin", *leave_open] if spec.stdin_open else []
    return [*arguments, *stdin, *(["--terminal"] if spec.tty else [])]


def spawn_conmon(arguments: list[str], directory: Path) -> tuple[int, int]:
    """Start conmon in the calling thread's namespaces; returns its first process and the read end of its pipe.

    The thread must have called unshare(CLONE_FS) before: it changes to `directory`, where conmon then writes
    its file `oom`.
    """
    os.chdir(directory)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    sync = 3
    # A descriptor duplicated onto itself would keep its close-on-exec flag.
    moved = os.dup(write_end) if write_end == sync else write_end
    descriptors = [(null, 0), (null, 1), (null, 2), (moved, sync)]
    # In UTC, timestamps of log lines sort as bytes, whatever the host's time zone.
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
        InvalidInput: the container cannot be created from this image and spec.
        RuntimeUnsupported, Unavailable: all other errors.
    """
    try:
        line = _read_line(read_end)
    finally:
        os.close(read_end)
        os.waitpid(first_pid, 0)
    if not line:
        raise Unavailable("conmon exited before the container was created; conmon 2.1 or later is required")
    reply = json.loads(line)
    if reply["data"] > 0:
        return int(reply["data"])
    raise creation_error(str(reply.get("message", "")), program, command)


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
    """Converts crun's or runc's message about `command` to an error with one clean line."""
    line = " ".join(message.split()).removeprefix("runtime error: ")
    if re.search(r"executable file .* not found|exec: .*no such file", line):
        return InvalidInput([Fault("spec.command", f"{command}: no such file in the image")])
    if re.search(r"open executable|exec(?:ve)?[ :].*(?:ermission denied)|is a directory", line):
        return InvalidInput([Fault("spec.command", f"{command}: not executable")])
    if "not supported" in line or "unknown version" in line:
        return RuntimeUnsupported(f"{program} does not support this host: {_tail(line)}")
    return Unavailable(f"{program} could not create the container: {_tail(line)}")


def _tail(line: str) -> str:
    return line.removeprefix("container create failed: ")[-400:] or "no reason given; see the node's system log"


def reopen_log(bundle: Path) -> bool:
    """Make conmon close its log file and open a new one at the same path; False if conmon is not running."""
    return _write_control(bundle, b"2 0 0\n")


def resize_terminal(bundle: Path, columns: int, rows: int) -> bool:
    """Make conmon resize the container's terminal; False if conmon is not running."""
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
    except (BrokenPipeError, BlockingIOError):  # it has exited meanwhile, or is stopped and does not read
        return False
    finally:
        os.close(control)
    return True
