"""Layers and images made in a test, and stores to pull them into."""

import gzip
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

from agent.images.disk_guard import DiskGuard
from agent.images.image_store import ImageStore
from agent.images.layers.layer_unpack import extract_layer
from cli.images.pack import PackedImage, PackedLayer, pack_image, write_archive
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import Platform
from shoal.distribution.registries import Registries, RegistrySettings
from shoal.distribution.retry_policy import RetryPolicy
from shoal.tar.budget import budget_for

AMD64 = Platform("linux", "amd64")
QUICK = RetryPolicy(attempts=3, first_seconds=0.01, max_seconds=0.05, connect_seconds=2.0, idle_seconds=5.0)

Entry = tuple[tarfile.TarInfo, bytes]


def entry(
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    mtime: float = 0,
    pax: dict[str, str] | None = None,
    device: tuple[int, int] = (0, 0),
) -> Entry:
    """One entry of a layer."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    (info.uid, info.gid), info.mtime, info.pax_headers = owner, mtime, pax or {}
    info.devmajor, info.devminor = device
    return info, content


def directory(name: str, mode: int = 0o755) -> Entry:
    """A directory entry."""
    return entry(name, kind=tarfile.DIRTYPE, mode=mode)


def symlink(name: str, target: str) -> Entry:
    """A symbolic link entry."""
    return entry(name, kind=tarfile.SYMTYPE, link=target, mode=0o777)


def tar_of(entries: Iterable[Entry]) -> bytes:
    """The uncompressed layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def layer_of(*entries: Entry) -> PackedLayer:
    """A layer as it is pushed."""
    content = tar_of(entries)
    return PackedLayer(gzip.compress(content, 1, mtime=0), digest_of(content))


def image_of(*layers: PackedLayer, platform: Platform = AMD64) -> PackedImage:
    """An image of layers, lowest first."""
    return pack_image(layers, {"Cmd": ["/bin/true"], "Env": [f"PLATFORM={platform}"]}, platform)


def small_archive(directory_path: Path, tag: str = "1", content: bytes = b"content") -> Path:
    """An archive of one image of two layers."""
    path = directory_path / f"small-{tag}.tar"
    lower = layer_of(directory("bin"), entry("bin/true", content, mode=0o755))
    write_archive(path, [image_of(lower, layer_of(entry("top", content)))], tag=tag)
    return path


def unpack_layer(layer: PackedLayer, scratch: Path, name: str = "layer") -> Path:
    """Unpack a layer into a new directory below `scratch`, in this process."""
    blob, target, discarded = scratch / f"{name}.blob", scratch / name, scratch / f"{name}.discarded"
    blob.write_bytes(layer.blob)
    target.mkdir()
    discarded.mkdir()
    unpack_blob(blob, target, discarded, layer.diff_id)
    return target


def unpack_blob(blob: Path, target: Path, discarded: Path, diff_id: str) -> None:
    """Unpack a layer into an empty directory, in this process, with the budget it would have in an agent."""
    root_fd, discarded_fd = (os.open(each, os.O_RDONLY | os.O_DIRECTORY) for each in (target, discarded))
    try:
        with blob.open("rb") as file:
            budget = budget_for(blob.stat().st_size)
            disk = DiskGuard(root_fd, reserve_bytes=0)
            extract_layer(file, root_fd, discarded_fd, diff_id=diff_id, budget=budget, disk=disk)
    finally:
        os.close(root_fd)
        os.close(discarded_fd)


def settings(
    domain: str, *endpoints: str, ca_file: Path | None = None, login: tuple[str, Path] | None = None
) -> Registries:
    """Settings for one registry."""
    username, password_file = login or ("", None)
    return Registries({domain: RegistrySettings(domain, endpoints, ca_file, username, password_file)})


def store_in(directory: Path, registries: Registries, platform: Platform = AMD64) -> ImageStore:
    """A store that does not wait long and leaves the disk no reserve."""
    return ImageStore(directory, registries, platform, retry=QUICK, reserve_bytes=0)


def ignore(_: str) -> None:
    """For reports that a test does not look at."""


def remainders(store_directory: Path) -> list[str]:
    """What lies where nothing may be left after a failure."""
    return [str(path) for name in ("temporary", "layers") for path in (store_directory / name).iterdir()]
