"""Mounts volumes in a container's mount namespace, and populates empty ones from its image.

All mounts end with that namespace, so nothing has to be undone.
"""

import errno
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.runtime.kernel.linux import MS_BIND, MS_REC, mount, unmount
from agent.runtime.rootfs.volume_population import finish_population, populate
from agent.safe_paths.system_calls import open_in_root
from agent.worker.container_runtime import ContainerRequest
from agent.worker.interfaces import MountSource
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.errors import InvalidInput, Unavailable

MOUNT_SECONDS = 30.0
"""Timeout of mount(8), for file servers that do not respond; the task is retried."""
_REAP_SECONDS = 1.0

_NO_DIRECTORY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG)


def mount_volumes(directory: Path, root: Path, request: ContainerRequest) -> ContainerRequest:
    """Mount a request's volumes; returns the request with binds in place of volumes.

    Call it in the container's future mount namespace.

    Args:
        directory: for the mount points.
        root: the container's root file system, from which empty volumes are populated.
    Raises:
        InvalidInput: a subpath does not exist.
        Unavailable: a file system cannot be mounted.
        OSError: the disk or the kernel failed.
    """
    if not request.volumes:
        return request
    spec = ContainerSpec()
    spec.CopyFrom(request.spec)
    for place, each in enumerate(spec.mounts):
        if each.type == Mount.VOLUME:
            point = directory / str(place)
            point.mkdir(parents=True)
            _mount_volume(point, root, each.target, request.volumes[each.target])
            each.type, each.source = Mount.BIND, str(point)
            each.ClearField("volume")
    return replace(request, spec=spec)


def unmount_here(point: Path | None) -> None:
    """Unmount a path, with everything below it, in the caller's mount namespace. No error if nothing is mounted.

    CSI volumes are mounted on the host. A namespace with copies of mounts that its container does not use would keep
    them busy as long as the container runs, long after the host has unmounted them.
    """
    try:
        if point is not None:
            unmount(point)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # it is not a mount point, or does not exist
            raise


def _mount_volume(point: Path, root: Path, target: str, source: MountSource) -> None:
    if source.options and source.options.get("type") != "none":
        _mount_file_system(point, source)
        if not source.subpath:
            return
        whole = point
    elif source.options:
        whole = Path(source.options["device"])
    else:
        whole = source.data
        if source.populate:
            populate(whole, root, target, durable=source.durable)
        else:
            finish_population(whole)
    with _directory_in(whole, source.subpath) as descriptor:
        mount(f"/proc/self/fd/{descriptor}", str(point), None, MS_BIND | MS_REC)


@contextmanager
def _directory_in(whole: Path, subpath: str) -> Generator[int]:
    """A directory below `whole`, held open: symbolic links of a container cannot lead out of it."""
    try:
        top = os.open(whole, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"cannot use volume directory {whole}: {error.strerror}") from None
    try:
        try:
            descriptor = open_in_root(top, subpath or ".", os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY:
                raise
            raise InvalidInput(f"volume-subpath {subpath!r} is not a directory in the volume") from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        os.close(top)


def _mount_file_system(point: Path, source: MountSource) -> None:
    """Use mount(8), which calls the helpers of file systems such as nfs."""
    options = ["-o", source.options["o"]] if source.options.get("o") else []
    command = ["mount", "-t", source.options["type"], *options, "--", source.options["device"], str(point)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", process_group=0
    ) as program:
        try:
            _, errors = program.communicate(timeout=MOUNT_SECONDS)
        except subprocess.TimeoutExpired:
            _kill_group(program)
            device = source.options["device"]
            raise Unavailable(f"mounting {device} timed out after {MOUNT_SECONDS:g} s") from None
    if program.returncode:
        raise Unavailable(f"cannot mount the volume: {' '.join(errors.split())[-300:]}")


def _kill_group(program: "subprocess.Popen[str]") -> None:
    """Kill a program and its helper. That would otherwise wait for its file server on, and stay as a zombie of this
    process, which adopts orphans. One that the kernel does not let go is left to itself."""
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    deadline = time.monotonic() + _REAP_SECONDS
    while time.monotonic() < deadline:
        try:
            reaped, _ = os.waitpid(-program.pid, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(0.01)
