"""The example images hello:1 and hello:2, from busybox-static: `python -m cli.images.examples --output DIR`."""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cli.images.pack import pack_image, pack_layer, write_archive
from shoal.distribution.manifests import host_platform
from shoal.errors import NotFound

VERSIONS = ("1", "2")
BUSYBOX = Path("/usr/bin/busybox")
_BASE = Path("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
_GROUP = Path("etc/group"), "root:x:0:\nnobody:x:65534:\n"


def build_hello(version: str, output: Path, *, files: Path, busybox: Path = BUSYBOX) -> Path:
    """Write `hello-<version>.tar`, an OCI archive of one image in two layers: busybox below, the page above.

    Args:
        files: the image's own files, laid over busybox.
    Raises:
        NotFound: busybox is not installed, or not the static one's place.
    """
    if not busybox.is_file():
        raise NotFound(f"{busybox} is missing; install the package busybox-static")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        base, page = Path(scratch, "base"), Path(scratch, "page")
        _lay_out_base(base, busybox)
        shutil.copytree(files, page)
        _write(page / "etc/hello-version", f"{version}\n")
        for path in page.rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.suffix in (".sh", ".cgi") else 0o644)
        image = pack_image([pack_layer(base), pack_layer(page)], _settings(version), host_platform())
    archive = output / f"hello-{version}.tar"
    write_archive(archive, [image], tag=f"hello:{version}")
    return archive


def build_all(output: Path, files: Path) -> tuple[Path, ...]:
    """All example images. Raises as `build_hello` does."""
    return tuple(build_hello(version, output, files=files) for version in VERSIONS)


def _settings(version: str) -> Mapping[str, object]:
    return {
        "Cmd": ["/entrypoint.sh"],
        "Env": ["PATH=/bin", "PORT=80", f"HELLO_VERSION={version}"],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
        "ExposedPorts": {"80/tcp": {}},
    }


def _lay_out_base(base: Path, busybox: Path) -> None:
    """A root file system of busybox and a symbolic link for each of its applets."""
    for name, mode in (
        ("bin", 0o755),
        ("etc", 0o755),
        ("proc", 0o555),
        ("sys", 0o555),
        ("dev", 0o755),
        ("root", 0o700),
    ):
        (base / name).mkdir(parents=True)
        (base / name).chmod(mode)
    (base / "tmp").mkdir()
    (base / "tmp").chmod(0o1777)
    shutil.copyfile(busybox, base / "bin/busybox")
    (base / "bin/busybox").chmod(0o755)
    listing = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True)
    for applet in sorted(set(listing.stdout.split()) - {"busybox"}):
        (base / "bin" / applet).symlink_to("busybox")
    for path, content in (_BASE, _GROUP):
        _write(base / path, content)
        (base / path).chmod(0o644)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def main() -> None:
    """Write the archives and print their paths."""
    parser = argparse.ArgumentParser(description="Make the example images as OCI archives.")
    parser.add_argument("--output", type=Path, required=True, help="directory for the archives")
    parser.add_argument("--files", type=Path, default=Path("deploy/images/hello"), help="the hello image's own files")
    arguments = parser.parse_args()
    for archive in build_all(arguments.output, arguments.files):
        print(archive)  # noqa: T201 - a program of its own


if __name__ == "__main__":
    main()
