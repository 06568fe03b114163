"""The `mounts` of an OCI runtime spec (runtime-spec 1.0.2, config.md, "Mounts"). Pure."""

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from agent.worker.interfaces import MountedFile
from shoal.api.v1.container_pb2 import ContainerSpec, Mount
from shoal.errors import Fault, InvalidInput

_DEFAULT_SHM_BYTES = 64 << 20
_DEFAULT_TMPFS_MODE = 0o1777

_CLOSED = ("nosuid", "nodev", "noexec")
_SHM = "/dev/shm"  # noqa: S108 - a mount point


def mounts_section(
    spec: ContainerSpec,
    etc_files: Mapping[str, Path],
    mounted_files: Mapping[Path, MountedFile],
    *,
    recursive_read_only: bool,
    file_sources: Collection[str] = (),
    shared_memory: Path | None = None,
) -> list[dict[str, Any]]:
    """Kernel file systems, the given files, the spec's mounts (parents first), secrets and configs.

    Args:
        etc_files: path on this host by path in the container; each is bound over the image's file.
        mounted_files: secrets and configs by path on this host.
        recursive_read_only: the kernel can make a mount and all mounts below it read-only.
        shared_memory: where another container's /dev/shm is mounted, if it is shared.
        file_sources: sources that are not directories: there are no mounts below them, and crun would treat them as
            directories for a recursive read-only mount.
    Raises:
        InvalidInput: a mount without type, a path that is not absolute, or an option without kernel support.
    """
    access = "rw" if spec.privileged else "ro"
    bound = [bind(str(source), target, read_only=False) for target, source in etc_files.items()]
    own = [
        _of_spec(mount, f"spec.mounts[{place}]", recursive_read_only, is_file=mount.source in file_sources)
        for place, mount in enumerate(spec.mounts)
    ]
    own.sort(key=lambda mount: PurePosixPath(mount["destination"]).parts)
    files = [_file(source, file) for source, file in mounted_files.items()]
    kernel = _kernel_mounts(access, spec.shm_bytes or _DEFAULT_SHM_BYTES)
    if spec.host_namespaces.ipc or shared_memory is not None:
        # Any mqueue mount shows the namespace's queues; its shared memory is this one tmpfs.
        source = str(shared_memory or _SHM)
        kernel = [bind(source, _SHM, read_only=False) if mount["destination"] == _SHM else mount for mount in kernel]
    return [*kernel, *bound, *own, *files]


def _kernel_mounts(access: str, shm_bytes: int) -> list[dict[str, Any]]:
    closed = ["nosuid", "noexec", "nodev"]
    return [
        _mount("/proc", "proc", "proc", closed),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        _mount("/dev/shm", "tmpfs", "shm", [*closed, "mode=1777", f"size={shm_bytes}"]),  # noqa: S108
        _mount("/dev/mqueue", "mqueue", "mqueue", closed),
        _mount("/sys", "sysfs", "sysfs", [*closed, access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*closed, "relatime", access]),
    ]


def _of_spec(mount: Mount, path: str, recursive_read_only: bool, *, is_file: bool) -> dict[str, Any]:
    if not mount.target.startswith("/") or PurePosixPath(mount.target) == PurePosixPath("/"):
        raise InvalidInput([Fault(f"{path}.target", f"{mount.target!r} must be an absolute path below /")])
    if mount.type == Mount.TMPFS:
        mode = mount.tmpfs_mode or _DEFAULT_TMPFS_MODE
        size = [f"size={mount.tmpfs_bytes}"] if mount.tmpfs_bytes else []
        access = "ro" if mount.read_only else "rw"
        closed = [option for option in _CLOSED if option.removeprefix("no") not in mount.tmpfs_options]
        options = [*dict.fromkeys((*closed, *mount.tmpfs_options)), access, f"mode={mode:o}", *size]
        return _mount(mount.target, "tmpfs", "tmpfs", options)
    if mount.type != Mount.BIND:
        raise InvalidInput([Fault(f"{path}.type", "must be bind or tmpfs")])
    if not mount.source.startswith("/"):
        raise InvalidInput([Fault(f"{path}.source", f"{mount.source!r} must be an absolute path on the host")])
    if mount.recursive == "readonly" and not recursive_read_only:
        text = "recursive read-only mounts require Linux 5.12 on the node"
        raise InvalidInput([Fault(f"{path}.recursive", text)])
    access = _read_only(mount, recursive_read_only and not is_file) if mount.read_only else "rw"
    propagation = mount.propagation or "rprivate"
    if mount.recursive == "disabled":
        # crun would apply the r of rprivate to the bind.
        return _mount(mount.target, "bind", mount.source, ["bind", propagation.removeprefix("r"), access])
    return _mount(mount.target, "bind", mount.source, ["rbind", propagation, access])


def _read_only(mount: Mount, recursive_read_only: bool) -> str:
    """`rro` is recursive (mount_setattr(2), AT_RECURSIVE), as in Docker 25 and later."""
    return "rro" if recursive_read_only and mount.recursive in ("", "readonly") else "ro"


def has_slave_mounts(spec: ContainerSpec) -> bool:
    """Whether later mounts of the host propagate into any mount."""
    return any(mount.propagation in ("slave", "rslave") for mount in spec.mounts)


def bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    """A bind mount of a path on this host."""
    return _mount(target, "bind", source, ["rbind", "rprivate", "ro" if read_only else "rw"])


def _file(source: Path, file: MountedFile) -> dict[str, Any]:
    execution = [] if file.executable else ["noexec"]
    return _mount(file.path, "bind", str(source), ["bind", "rprivate", "ro", "nosuid", "nodev", *execution])


def _mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": options}
