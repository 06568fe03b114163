"""The example image does what it promises: answers, and stops when asked."""

import os
import signal
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.images.examples import build_hello
from shoal.distribution.image_config import parse_config
from shoal.distribution.manifests import Manifest, parse_manifest
from shoal.errors import NotFound
from shoal.images.archive import open_source
from tests.integration.images.rig import unpack_blob
from tests.ports import free_port

HELLO_FILES = Path(__file__).parents[3] / "deploy/images/hello"


@contextmanager
def running_hello(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The image's entry point in its root file system, first of its own process namespace as in a container."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "chroot", str(root), "/entrypoint.sh"]
    process = subprocess.Popen(
        command, env={"PATH": f"{os.environ['PATH']}:/bin", "PORT": str(port), "HELLO_VERSION": "1"}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def fetch(port: int) -> str:
    """The page, once the server listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
                return str(response.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def first_process(outer: int) -> int:
    """The first process inside the namespace that `unshare` made."""
    return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])


def unpack_all(archive: Path, root: Path) -> None:
    """All layers over each other; hello has no whiteouts."""
    discarded = root.with_name("discarded")
    for each in (root, discarded):
        each.mkdir()
    with open_source(archive) as source:
        manifest = parse_manifest(source.manifest(source.choose("1").digest))
        assert isinstance(manifest, Manifest)
        with source.open_blob(manifest.config.digest) as file:
            diff_ids = parse_config(file.read()).diff_ids
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
            blob = root.with_name("blob")
            with source.open_blob(layer.digest) as file:
                blob.write_bytes(file.read())
            unpack_blob(blob, root, discarded, diff_id)


def test_it_answers_and_stops(tmp_path: Path) -> None:
    root, port = tmp_path / "root", free_port()
    unpack_all(build_hello("1", tmp_path, files=HELLO_FILES), root)
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))  # a runtime mounts a /dev
    with running_hello(root, port) as process:
        page = fetch(port)
        assert page.startswith("version: 1\nhost: ")
        os.kill(first_process(process.pid), signal.SIGTERM)
        assert process.wait(10) == 0


def test_two_versions_share_their_base(tmp_path: Path) -> None:
    layers = []
    for version in ("1", "2"):
        with open_source(build_hello(version, tmp_path, files=HELLO_FILES)) as source:
            manifest = parse_manifest(source.manifest(source.images[0].digest))
            assert isinstance(manifest, Manifest)
            layers.append([layer.digest for layer in manifest.layers])
    assert layers[0][0] == layers[1][0]
    assert layers[0][1] != layers[1][1]


def test_without_busybox_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="busybox-static"):
        build_hello("1", tmp_path, files=HELLO_FILES, busybox=tmp_path / "none")
