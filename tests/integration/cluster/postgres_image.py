"""An image of PostgreSQL: Debian's server and client, with what they are linked with and what they read."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cli.images.pack import pack_image, pack_layer, write_archive
from shoal.distribution.manifests import host_platform

USER, GROUP = 70, 70
DATA = "/var/lib/postgresql"
START = f"""#!/bin/sh
set -e
[ -s {DATA}/main/PG_VERSION ] || initdb --pgdata {DATA}/main --username postgres --auth trust --locale C --encoding UTF8
printf 'host all all all trust\\nlocal all all trust\\n' >{DATA}/main/pg_hba.conf
exec postgres -D {DATA}/main -c listen_addresses='*' -c unix_socket_directories=/tmp -c shared_buffers=16MB
"""


def home() -> Path:
    """Where Debian has the newest version; its tests are for machines with the package `postgresql`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "the package postgresql is not installed"
    return found[-1].parent.parent


def write_postgres_image(directory: Path) -> Path:
    """Write `postgres.tar`, an OCI archive of the image `postgres:1`."""
    place = home()
    programs = [str(place / "bin" / name) for name in ("postgres", "initdb", "psql")]
    modules = [str(path) for path in (place / "lib").glob("*.so") if "llvm" not in path.name]  # which is large
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for path in {*programs, *modules, "/bin/sh", *_libraries(*programs, *modules, "/bin/sh")}:
            _copy(root, path)
        shutil.copytree(f"/usr/share/postgresql/{place.name}", root / f"usr/share/postgresql/{place.name}")
        for name in ("UTC", "GMT"):
            _copy(root, f"/usr/share/zoneinfo/{name}")
        for name in ("etc", "proc", "sys", "dev", "tmp", "run"):
            (root / name).mkdir(exist_ok=True)
        (root / "tmp").chmod(0o1777)
        (root / "etc/passwd").write_text(f"postgres:x:{USER}:{GROUP}::{DATA}:/bin/sh\n")
        (root / "start").write_text(START)
        (root / "start").chmod(0o755)
        data = root / DATA.lstrip("/")
        data.mkdir(parents=True)
        data.chmod(0o777)  # a layer's files are root's
        settings = {
            "Cmd": ["/start"],
            "Env": [f"PATH={place}/bin:/bin"],
            "User": f"{USER}:{GROUP}",
            "StopSignal": "SIGINT",
        }
        image = pack_image([pack_layer(root, compression=1)], settings, host_platform())
    archive = directory / "postgres.tar"
    write_archive(archive, [image], tag="postgres:1")
    return archive


def _libraries(*programs: str) -> set[str]:
    """Shared objects that programs, or ones of them themselves, are linked with, and the linker."""
    done = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True)
    return {
        word for line in done.stdout.splitlines() if line.startswith("\t") for word in line.split() if word[0] == "/"
    }


def _copy(root: Path, source: str) -> None:
    place = root / source.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
